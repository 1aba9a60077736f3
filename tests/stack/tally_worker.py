"""A worker of the smallest processor with state, as a process that a test can kill.

Usage: python -m tests.stack.tally_worker NAME

It reads `test-NAME-in` and writes to `test-NAME-out`, for every record, its key and how many
records of the key there have been, which it keeps in `test-NAME-state`.
"""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator

from schemas.topics import Topic
from sightline.runtime.errors import InfrastructureError
from sightline.runtime.lifecycle import start_service
from sightline.runtime.settings import load_settings
from sightline.streaming.client_config import member_config, producer_config, worker_id
from sightline.streaming.records import OutputRecord, Partition, Record
from sightline.streaming.transform_loop import TransformLoop

Key = tuple[str, int, str]


def topics(name: str) -> tuple[Topic, Topic, Topic]:
    """Return the source, the target and the state topic."""
    return (
        Topic(f"test-{name}-in", "key", 2),
        Topic(f"test-{name}-out", "key", 2),
        Topic(f"test-{name}-state", "key", 2, compacted=True),
    )


class Tally:
    """Counts the records of each key."""

    def __init__(self, target: str, state: str) -> None:
        self._target = target
        self._state = state
        self._counts: Counter[Key] = Counter()
        self._touched: set[Key] = set()

    def process(self, record: Record) -> Iterable[OutputRecord]:
        key = (record.topic, record.partition, (record.key or b"").decode())
        self._counts[key] += 1
        self._touched.add(key)
        value = f"{key[2]}{self._counts[key]:03}".encode()
        return [OutputRecord(self._target, key[2], value, record.timestamp_ms, record.partition)]

    def state(self) -> Iterator[OutputRecord]:
        for key in sorted(self._touched):
            yield OutputRecord(self._state, key[2], str(self._counts[key]).encode(), 0, key[1])
        self._touched = set()

    def restore(self, partition: Partition, next_offset: int, record: Record) -> None:
        self._counts[(*partition, (record.key or b"").decode())] = int(record.value or b"0")

    def forget(self, partitions: Iterable[Partition]) -> None:
        dropped = set(partitions)
        self._counts = Counter({k: n for k, n in self._counts.items() if k[:2] not in dropped})
        self._touched = {key for key in self._touched if key[:2] not in dropped}


def main(name: str) -> None:
    settings = load_settings()
    stop = start_service("tally", settings)
    source, target, state = topics(name)
    worker = worker_id(settings, f"tally-{name}")
    loop = TransformLoop(
        "tally",
        Tally(target.name, state.name),
        [source.name],
        member_config(settings, worker, f"tally-{name}"),
        producer_config(settings, worker, transactional_id=worker),
        batch_records=5,
        batch_seconds=0.2,
        state_topic=state.name,
    )
    try:
        loop.run(stop)
    except InfrastructureError as error:
        sys.exit(f"tally: {error}")


if __name__ == "__main__":
    main(sys.argv[1])
