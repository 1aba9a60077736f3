"""A worker of the smallest processor there is, as a process that a test can kill.

Usage: python -m tests.stack.echo_worker SOURCE TARGET NAME CRASH_AT

It writes every record of SOURCE to TARGET, and kills itself at the value CRASH_AT once the
broker has the outputs, before they are committed.
"""

import os
import signal
import sys
from collections.abc import Iterable

from sightline.errors import InvalidRecord
from sightline.kafka.config import consumer_config, producer_config
from sightline.kafka.producer import SureProducer
from sightline.kafka.records import Out, Record
from sightline.kafka.transform import TransformLoop
from sightline.lifecycle import start_service
from sightline.settings import load_settings


class Echo:
    """Every record becomes one; b"poison" never does."""

    def __init__(self, target: str) -> None:
        self._target = target

    def process(self, record: Record) -> Iterable[Out]:
        if record.value == b"poison":
            raise InvalidRecord("poisoned", "as the test wants it")
        return [Out(self._target, "key", record.value, record.timestamp_ms, record.partition)]

    def forget(self, partitions: Iterable[tuple[str, int]]) -> None:
        """There is no state."""


class CrashingEcho(Echo):
    """Sends the record of a value past the transaction's queue, and dies."""

    def __init__(self, target: str, crash_at: bytes) -> None:
        super().__init__(target)
        self._crash_at = crash_at
        self.producer: SureProducer | None = None

    def process(self, record: Record) -> Iterable[Out]:
        outs = super().process(record)
        if record.value == self._crash_at and self.producer is not None:
            self.producer.send_all(outs)
            self.producer.flush(10)
            os.kill(os.getpid(), signal.SIGKILL)
        return outs


def main(source: str, target: str, name: str, crash_at: str) -> None:
    settings = load_settings()
    stop = start_service("echo", settings)
    processor = CrashingEcho(target, crash_at.encode())
    loop = TransformLoop(
        "echo",
        processor,
        [source],
        # The shortest time that the broker lets a group wait for a dead member.
        consumer_config(settings, "echo", f"echo-{source}") | {"session.timeout.ms": 6000},
        producer_config(settings, "echo", f"echo-{source}-{name}"),
        batch_records=10,
        batch_seconds=0.2,
    )
    processor.producer = loop._producer
    loop.run(stop)


if __name__ == "__main__":
    main(*sys.argv[1:])
