"""A worker of the smallest processor there is, as a process that a test can kill.

Usage: python -m tests.stack.echo_worker SOURCE TARGET NAME

It writes every record of SOURCE to TARGET.
"""

import sys
from collections.abc import Iterable

from sightline.runtime.errors import PoisonRecord
from sightline.runtime.lifecycle import start_service
from sightline.runtime.settings import load_settings
from sightline.streaming.client_config import consumer_config, producer_config
from sightline.streaming.records import OutputRecord, Partition, Record
from sightline.streaming.transform_loop import TransformLoop


class Echo:
    """Copies every record but b"poison"; it has no state."""

    def __init__(self, target: str) -> None:
        self._target = target

    def process(self, record: Record) -> Iterable[OutputRecord]:
        if record.value == b"poison":
            raise PoisonRecord("poisoned", "as the test wants it")
        return [
            OutputRecord(self._target, "key", record.value, record.timestamp_ms, record.partition)
        ]

    def state(self) -> Iterable[OutputRecord]:
        return ()

    def restore(self, partition: Partition, next_offset: int, record: Record) -> None:
        raise AssertionError("there is no state topic")

    def forget(self, partitions: Iterable[Partition]) -> None:
        pass


def main(source: str, target: str, name: str) -> None:
    settings = load_settings()
    stop = start_service("echo", settings)
    loop = TransformLoop(
        "echo",
        Echo(target),
        [source],
        consumer_config(settings, "echo", f"echo-{source}"),
        producer_config(settings, "echo", f"echo-{source}-{name}"),
        batch_records=10,
        batch_seconds=0.2,
    )
    loop.run(stop)


if __name__ == "__main__":
    main(*sys.argv[1:])
