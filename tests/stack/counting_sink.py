"""A toy sink as a process that a test can kill: it counts how often each record is written.

Usage: python -m tests.stack.counting_sink NAME TOPIC
"""

import sys
from collections.abc import Mapping, Sequence

from google.protobuf.message import Message

from schemas import sightline_pb2 as pb
from sightline.runtime.errors import PoisonRecord
from sightline.runtime.lifecycle import start_service
from sightline.runtime.settings import load_settings
from sightline.storage.db import Cursor
from sinks.runtime.loop import SinkLoop
from sinks.runtime.postgres import RowWriter
from sinks.runtime.sink import DecodedRecord


class CountingSink(RowWriter):
    """Writes a row for each template id; the quality has to be below 100."""

    batch_seconds = 0.3

    def __init__(self, name: str, topic: str) -> None:
        self.name = name
        self.topics: Mapping[str, type[Message]] = {topic: pb.Template}

    def write(self, cursor: Cursor, batch: Sequence[DecodedRecord]) -> None:
        for decoded in batch:
            assert isinstance(decoded.message, pb.Template)
            if decoded.message.pack == "refused":
                raise PoisonRecord("refused", "as the test wants it")
            cursor.execute(
                "INSERT INTO counted (sink, id, quality, batch) VALUES (%s, %s, %s, %s)"
                " ON CONFLICT (sink, id) DO UPDATE SET times = counted.times + 1",
                (self.name, decoded.message.template_id, decoded.message.quality, len(batch)),
            )


if __name__ == "__main__":
    name, topic = sys.argv[1:]
    settings = load_settings()
    stop = start_service(name, settings)
    SinkLoop(CountingSink(name, topic), settings).run(stop)
