"""A toy sink as a process that a test can kill: it counts how often each record is written.

Usage: python -m tests.stack.counting_sink NAME TOPIC
"""

import sys
from collections.abc import Mapping, Sequence

from google.protobuf.message import Message

from schemas import sightline_pb2 as pb
from sightline.runtime.errors import InvalidRecord
from sightline.runtime.lifecycle import start_service
from sightline.runtime.settings import load_settings
from sightline.storage.db import Connection
from sightline.streaming.sink_loop import Cursor, SinkLoop, Taken


class CountingSink:
    """Writes a row for each template id; its vector is a number that has to be below 100."""

    batch_seconds = 0.3

    def __init__(self, name: str, topic: str) -> None:
        self.name = name
        self.topics: Mapping[str, type[Message]] = {topic: pb.Template}

    def write(self, cursor: Cursor, batch: Sequence[Taken]) -> None:
        for taken in batch:
            assert isinstance(taken.message, pb.Template)
            if taken.message.pack == "refused":
                raise InvalidRecord("refused", "as the test wants it")
            cursor.execute(
                "INSERT INTO counted (sink, id, quality, batch) VALUES (%s, %s, %s, %s)"
                " ON CONFLICT (sink, id) DO UPDATE SET times = counted.times + 1",
                (self.name, taken.message.template_id, taken.message.quality, len(batch)),
            )

    def idle(self, cursor: Cursor) -> None:
        """Nothing is due."""

    def maintain(self, db: Connection) -> bool:
        """Nothing is due."""
        return False


if __name__ == "__main__":
    name, topic = sys.argv[1:]
    settings = load_settings()
    stop = start_service(name, settings)
    SinkLoop(CountingSink(name, topic), settings).run(stop)
