"""Mutated records through every service, mutated requests to every endpoint.

Usage: python -m benchmarks.fuzz [--records 10000] [--requests 2000] [--seed S] [--only NAME ...].
It has a stack of its own, and ends with status 1 where a process ends, an answer is a 500 or a
503, or a record is neither taken nor refused.
"""

import argparse
import secrets
import sys
from collections.abc import Callable, Iterator

from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from benchmarks.fuzz.endpoints import KINDS, Answers, Endpoints
from benchmarks.fuzz.records import STATES, Records, Row
from benchmarks.fuzz.seeds import CAMERA, SITE
from benchmarks.rig import add_cameras, own_folder
from ops.demo import installation
from schemas.topics import DEAD_LETTERS
from sightline.runtime.settings import Settings
from sightline.storage.cameras import NewCamera

console = Console(width=140)


def main() -> None:
    """Run both halves and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=10_000, help="of each topic")
    parser.add_argument("--requests", type=int, default=2_000, help="of each endpoint")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--only", nargs="*", help="topics and endpoints with this in their name")
    arguments = parser.parse_args()
    console.print(f"seed {arguments.seed}")

    def is_selected(name: str) -> bool:
        return not arguments.only or any(part in name for part in arguments.only)

    with own_folder() as home:
        settings = installation.own_settings(home, None)
        with installation.running_stack(settings):
            add_cameras(
                settings, [NewCamera(camera_id=CAMERA, uri=SecretStr("none"), site_id=SITE)]
            )
            rows = fuzz_records(settings, arguments.records, arguments.seed, is_selected)
            answers = fuzz_requests(settings, arguments.requests, arguments.seed, is_selected)
    right = [*(row.is_right() for row in rows), *(answer.is_right() for answer in answers)]
    sys.exit(0 if all(right) else 1)


def fuzz_records(
    settings: Settings, count: int, seed: int, is_selected: Callable[[str], bool] = bool
) -> list[Row]:
    """Send mutated records of every selected topic, one topic after the other."""
    rows: list[Row] = []
    if not count:
        return rows
    records = Records(settings, seed, is_selected)
    try:
        records.ready()
        for row in _of_topics(records, count, is_selected):
            console.print(f"{row.topic} to {row.service}: {row.summary()}", highlight=False)
            rows.append(row)
    finally:
        records.close()
    table = Table("topic", "service", "sent", "taken", "refused", "letters", "alive", "s",
                  title=f"Mutated records, seed {seed}")  # fmt: skip
    for row in rows:
        table.add_row(
            row.topic, row.service, str(row.sent), str(row.taken), str(row.refused),
            str(row.letters), "yes" if row.alive else "NO", f"{row.seconds:.0f}",
            style=None if row.is_right() else "red",
        )  # fmt: skip
    console.print(table)
    for row in rows:
        if row.note:
            console.print(f"{row.topic} to {row.service}: {row.note}", markup=False)
    return rows


def _of_topics(records: Records, count: int, is_selected: Callable[[str], bool]) -> Iterator[Row]:
    for topic in records.readers:
        yield from records.topic(topic, count)
    for topic in filter(is_selected, STATES):
        yield records.state(topic, count)
    if is_selected(DEAD_LETTERS.name):
        yield records.letters(count)


def fuzz_requests(
    settings: Settings, count: int, seed: int, is_selected: Callable[[str], bool] = bool
) -> list[Answers]:
    """Send mutated requests to every selected endpoint, one endpoint after the other."""
    answers: list[Answers] = []
    if not count:
        return answers
    with Endpoints(settings, seed) as endpoints:
        for result in endpoints.all(count, is_selected):
            console.print(
                f"{result.endpoint}: {dict(result.counts)}, {result.seconds:.0f} s", highlight=False
            )
            answers.append(result)
    table = Table("endpoint", *KINDS, "sent", "alive", "s", title=f"Mutated requests, seed {seed}")
    for result in answers:
        table.add_row(
            result.endpoint, *(str(result.counts[kind]) for kind in KINDS), str(result.sent),
            "yes" if result.alive else "NO", f"{result.seconds:.0f}",
            style=None if result.is_right() else "red",
        )  # fmt: skip
    console.print(table)
    for result in answers:
        for example in result.examples:
            console.print(f"{result.endpoint}: {example}", markup=False)
    return answers


if __name__ == "__main__":
    main()
