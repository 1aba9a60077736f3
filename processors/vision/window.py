"""Which frames belong to a run: those of its motion events, up to where it begins."""

from schemas import sightline_pb2 as pb
from sightline.runtime.errors import InvalidRecord
from sightline.runtime.settings import Settings
from sightline.storage import runs
from sightline.storage.db import connect
from sightline.storage.runs import Spans
from sightline.streaming.records import Record


class Window:
    """The frames of a run among all that its topics hold."""

    def __init__(self, events: frozenset[str], spans: Spans) -> None:
        self._events = events
        self._spans = spans

    @classmethod
    def of_run(cls, settings: Settings) -> "Window":
        """The window of the run that the settings name. Raises NotFoundError."""
        with connect(settings) as db:
            run = runs.get(db, settings.run)
            return cls(runs.events(db, run.name), run.spans)

    def holds(self, record: Record) -> bool:
        """Whether a record is a frame of the run. What is none was a dead letter of live."""
        first, end = self._spans.get(record.topic, {}).get(record.partition, (0, 0))
        if not first <= record.offset < end:
            return False
        try:
            return record.decode(pb.Frame).motion_event_id in self._events
        except InvalidRecord:
            return False
