"""Mutated records through every service, mutated requests to every endpoint.

Usage: python -m benchmarks.fuzz [--records 10000] [--requests 2000] [--seed S] [--only TOPIC].
It has a stack of its own, and ends with status 1 where a process ends, an answer is a 500, or a
record is neither taken nor refused.
"""

import argparse
import secrets
import sys

from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from benchmarks.fuzz.endpoints import Answers, Endpoints
from benchmarks.fuzz.records import READERS, Records, Row
from benchmarks.fuzz.seeds import CAMERA, SITE
from benchmarks.rig import add_cameras, own_folder
from schemas.topics import MATCH_STATE, vision_state
from sightline.demo import stage
from sightline.settings import Settings
from sightline.store.cameras import NewCamera

console = Console()


def main() -> None:
    """Run both halves and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=10_000, help="of each topic")
    parser.add_argument("--requests", type=int, default=2_000, help="of each endpoint")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--only", help="topics and endpoints whose name contains this")
    given = parser.parse_args()
    console.print(f"seed {given.seed}")
    with own_folder() as home:
        settings = stage.own_settings(home, None)
        with stage.running_stack(settings):
            add_cameras(
                settings, [NewCamera(camera_id=CAMERA, uri=SecretStr("none"), site_id=SITE)]
            )
            rows = fuzz_records(settings, given.records, given.seed, given.only or "")
            answers = fuzz_requests(settings, given.requests, given.seed, given.only or "")
    right = [*(one.is_right() for one in rows), *(one.is_right() for one in answers)]
    sys.exit(0 if all(right) else 1)


def fuzz_records(settings: Settings, count: int, seed: int, only: str = "") -> list[Row]:
    """All topics, one after the other, whose name contains `only`."""
    if not count:
        return []
    records = Records(settings, seed)
    rows: list[Row] = []
    try:
        records.ready()
        for topic in READERS:
            if only in topic:
                rows += records.topic(topic, count)
        if only in vision_state().name:
            rows.append(records.state(vision_state().name, "vision", count))
        if only in MATCH_STATE.name:
            rows.append(records.state(MATCH_STATE.name, "match", count))
        if only in "dead-letters":
            rows.append(records.letters(count))
    finally:
        records.close()
    table = Table("topic", "service", "sent", "taken", "refused", "letters", "alive", "s", "note",
                  title=f"Mutated records, seed {seed}")  # fmt: skip
    for row in rows:
        table.add_row(
            row.topic, row.service, str(row.sent), str(row.taken), str(row.refused),
            str(row.letters), "yes" if row.alive else "NO", f"{row.seconds:.0f}", row.note,
            style=None if row.is_right() else "red",
        )  # fmt: skip
    console.print(table)
    return rows


def fuzz_requests(settings: Settings, count: int, seed: int, only: str = "") -> list[Answers]:
    """All endpoints, one after the other, whose path contains `only`."""
    if not count:
        return []
    with Endpoints(settings, seed) as endpoints:
        answers = list(endpoints.all(count, only))
    table = Table("endpoint", "sent", "2xx", "4xx", "503", "500", "broken", "alive", "s",
                  title=f"Mutated requests, seed {seed}")  # fmt: skip
    for one in answers:
        table.add_row(
            one.endpoint, str(one.sent), *(str(one.of(kind)) for kind in ("2xx", "4xx", "503")),
            str(one.of("500")), str(one.of("broken")), "yes" if one.alive else "NO",
            f"{one.seconds:.0f}", style=None if one.is_right() else "red",
        )  # fmt: skip
    console.print(table)
    for one in answers:
        for example in one.examples:
            console.print(f"{one.endpoint}: {example}", markup=False)
    return answers


if __name__ == "__main__":
    main()
