"""Wrong clocks and outages while people walk by: who has a row, beside the undisturbed run.

    .venv/bin/python -m benchmarks.disturbances

The demo's entrance is a live camera. Its clock is set back and forth by an hour half way, the clock
of vision differs from the camera's, or all of its frames wait when vision comes: Kafka was away, or
vision was stopped. The chain runs in memory, with the pack dlib.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.in_memory import Seen, published, see, waiting_at_once
from ops.demo.demo_persons import DEMO_PERSONS, cut_out
from ops.demo.film import FPS, render
from ops.demo.scenario import scenes
from producers.source_interface import CapturedPicture
from sightline.models.packs import load_pack
from sightline.runtime.clock import US_PER_SECOND
from sightline.runtime.settings import Settings
from sightline.streaming.records import Record

_START_US = 1_790_000_000 * US_PER_SECOND
_SET_AT_SECONDS = 12.0
"""Between two groups of walkers, as an event that is cut gives one person two tracks."""

console = Console(stderr=True)


class WorkersClock:
    """The clock of vision's host: by some seconds another than the camera's."""

    def __init__(self, skew_seconds: float) -> None:
        self._skew_us = round(skew_seconds * US_PER_SECOND)

    def now_us(self) -> int:
        """Return the time in microseconds since the epoch."""
        return _START_US + self._skew_us

    def monotonic(self) -> float:
        """Return seconds of a clock that stands still: vision works in no time."""
        return 0.0


@dataclass(frozen=True, slots=True)
class Disturbance:
    """What is wrong while the film plays."""

    name: str
    step_seconds: float = 0.0
    """By which the camera's clock is set."""
    skew_seconds: float = 0.0
    waits: Callable[[Sequence[Record]], list[Record]] = list


DISTURBANCES = (
    Disturbance("undisturbed"),
    Disturbance("clock back by an hour", step_seconds=-3600.0),
    Disturbance("clock forth by an hour", step_seconds=3600.0),
    *(Disturbance(f"skew {skew:+g} s", skew_seconds=skew) for skew in (-60, -10, -2, 2, 10, 60)),
    Disturbance("all frames waited: Kafka or vision was away", waits=waiting_at_once),
)


def film(step_seconds: float) -> Iterator[CapturedPicture]:
    """Yield the pictures of the entrance; the clock of their camera is set by so many seconds."""
    cuts = {member.name: cut_out(member) for member in DEMO_PERSONS}
    is_set = False
    for number, image in enumerate(render(scenes()[0], cuts)):
        seconds = number / FPS
        at_us = _START_US + round(seconds * US_PER_SECOND)
        picture = CapturedPicture(image, at_us)
        if step_seconds and seconds >= _SET_AT_SECONDS:
            at_us += round(step_seconds * US_PER_SECOND)
            picture = replace(picture, captured_at_us=at_us, time_restarts=not is_set)
            is_set = True
        yield picture


def people(seen: Seen) -> list[str]:
    """Return the person of each row, in order of the film: a name, unknown or unidentified."""
    # A clock that was set changes the order of times, not that of the people.
    return sorted(row.name or ("unknown" if row.global_id else "unidentified") for row in seen.rows)


def main() -> dict[str, Any]:
    """Measure and print; the people by disturbance."""
    pack = load_pack(Settings(pack="dlib"))
    table = Table("disturbance", "rows", "frames left out", "as undisturbed", title="disturbances")
    rows: dict[str, list[str]] = {}
    for disturbance in DISTURBANCES:
        records = published(film(disturbance.step_seconds), live=True)
        clock = WorkersClock(disturbance.skew_seconds)
        seen = see(pack, disturbance.waits(records), clock, enrolled=True)
        rows[disturbance.name] = people(seen)
        equal = rows[disturbance.name] == rows[DISTURBANCES[0].name]
        table.add_row(
            disturbance.name, ", ".join(rows[disturbance.name]), str(seen.skipped),
            "yes" if equal else "NO",
        )  # fmt: skip
    console.print(table)
    return {"rows": rows, "equal": len({tuple(names) for names in rows.values()}) == 1}


if __name__ == "__main__":
    print(json.dumps(main()))
