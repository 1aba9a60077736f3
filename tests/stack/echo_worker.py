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
from sightline.kafka.config import ConfigValue, consumer_config, producer_config
from sightline.kafka.producer import SureProducer
from sightline.kafka.records import Out, Record
from sightline.kafka.transform import Stateless, TransformLoop
from sightline.lifecycle import start_service
from sightline.settings import load_settings


class Echo(Stateless):
    """Every record becomes one; b"poison" never does."""

    def __init__(self, target: str) -> None:
        self._target = target

    def process(self, record: Record) -> Iterable[Out]:
        if record.value == b"poison":
            raise InvalidRecord("poisoned", "as the test wants it")
        return [Out(self._target, "key", record.value, record.timestamp_ms, record.partition)]


class CrashingProducer(SureProducer):
    """Sends a batch with a certain value in it, and dies before it is committed."""

    def __init__(self, config: dict[str, ConfigValue], crash_at: bytes) -> None:
        super().__init__(config)
        self._crash_at = crash_at

    def send_all(self, outs: Iterable[Out]) -> None:
        batch = list(outs)
        super().send_all(batch)
        if self._crash_at in (out.value for out in batch):
            self.flush(10)
            os.kill(os.getpid(), signal.SIGKILL)


def main(source: str, target: str, name: str, crash_at: str) -> None:
    settings = load_settings()
    stop = start_service("echo", settings)
    producer = producer_config(settings, "echo", f"echo-{source}-{name}")
    loop = TransformLoop(
        "echo",
        Echo(target),
        [source],
        consumer_config(settings, "echo", f"echo-{source}"),
        producer,
        batch_records=10,
        batch_seconds=0.2,
    )
    loop._producer = CrashingProducer(producer, crash_at.encode())
    loop.run(stop)


if __name__ == "__main__":
    main(*sys.argv[1:])
