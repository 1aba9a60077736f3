"""Filter of frames by run: those of the run's motion events, up to the offset where it begins."""

from schemas import sightline_pb2 as pb
from sightline.runtime.errors import PoisonRecord
from sightline.runtime.settings import Settings
from sightline.storage import runs
from sightline.storage.db import connect
from sightline.storage.runs import Spans
from sightline.streaming.records import Record


class RunFilter:
    """The frames of a run among all records of its topics."""

    def __init__(self, events: frozenset[str], spans: Spans) -> None:
        self._events = events
        self._spans = spans

    @classmethod
    def of_run(cls, settings: Settings) -> "RunFilter":
        """Read the filter of the run that the settings name.

        Raises:
            NotFoundError: There is no such run.
        """
        with connect(settings) as db:
            run = runs.get(db, settings.run)
            return cls(runs.events(db, run.name), run.spans)

    def includes(self, record: Record) -> bool:
        """Return True for a frame of the run.

        A record that is no frame is left out: in the run `live` it is a dead letter already.
        """
        first, end = self._spans.get(record.topic, {}).get(record.partition, (0, 0))
        if not first <= record.offset < end:
            return False
        try:
            return record.decode(pb.Frame).motion_event_id in self._events
        except PoisonRecord:
            return False
