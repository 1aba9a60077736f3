"""Where the live pass writes once a run has become the truth of some motion events.

What it still says of them, a name that it finds later say, goes to the rows that were replaced:
they stay what the live pass would have, and nobody's truth is overwritten.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from uuid import UUID

from google.protobuf.message import Message
from psycopg import sql

from schemas import sightline_pb2 as pb
from schemas.naming import replaced_schema
from schemas.topics import LIVE
from sightline.people import identity_corrections
from sightline.runtime.clock import to_datetime
from sightline.runtime.settings import Settings
from sightline.storage.db import Connection
from sightline.streaming.sink_loop import Cursor, Sink, Taken

_OF_EVENTS = """
SELECT event_id::text, promotion_id FROM promoted_events WHERE event_id = ANY(%s::uuid[])
"""

# A picture does not say of which event it is. A camera has one at a time.
_OF_SHOTS = """
SELECT shot.number, promotion_id
FROM unnest(%s::text[], %s::timestamptz[]) WITH ORDINALITY AS shot(camera_id, at, number)
JOIN promoted_events event ON event.camera_id = shot.camera_id
    AND shot.at BETWEEN event.from_at AND event.to_at
"""

_BY_EVENT = ("access_logs", "visitor_logs", "visit_evidence", "person_tracks", "snapshot_owners")

_REPLACED_PICTURES = """
DELETE FROM {snapshots} WHERE sighting_id IN (
    SELECT sighting_id FROM {owners} WHERE motion_event_id = ANY(%s))
RETURNING path
"""

_STALE_PICTURES = """
INSERT INTO public.stale_objects (key)
SELECT DISTINCT key FROM unnest(%s::text[]) AS key
WHERE NOT EXISTS (SELECT FROM public.snapshots shown WHERE shown.path = key)
    AND NOT EXISTS (SELECT FROM {snapshots} kept WHERE kept.path = key)
ON CONFLICT (key) DO UPDATE SET stale_at = excluded.stale_at
"""


class WithPromotions:
    """A sink of the live pass that leaves the rows of promoted runs alone."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.name = sink.name
        self.topics: Mapping[str, type[Message]] = sink.topics
        self.batch_seconds = sink.batch_seconds

    def write(self, cursor: Cursor, batch: Sequence[Taken]) -> None:
        """Write a batch, each record where its motion event's live rows are."""
        identity_corrections.share(
            cursor
        )  # nothing is promoted from here to the end of the transaction
        places = _promotions(cursor, batch)
        parts: dict[int, list[Taken]] = defaultdict(list)
        for number, taken in enumerate(batch):
            parts[places.get(number, 0)].append(taken)
        for promotion, part in parts.items():
            if promotion:
                self._write_aside(cursor, part, replaced_schema(promotion))
            else:
                self._sink.write(cursor, part)

    def idle(self, cursor: Cursor) -> None:
        """What is due by time in the rows that people read."""
        self._sink.idle(cursor)

    def maintain(self, db: Connection) -> bool:
        """Do a slice of what the sink has to do outside of its transactions."""
        return self._sink.maintain(db)

    def _write_aside(self, cursor: Cursor, part: Sequence[Taken], schema: str) -> None:
        path = sql.SQL("SET LOCAL search_path = {}, public").format(sql.Identifier(schema))
        cursor.execute(path)
        self._sink.write(cursor, part)
        cursor.execute("SET LOCAL search_path = public")


def with_promotions(sink: Sink, settings: Settings) -> Sink:
    """The sink as it works in a run: only the live pass can be replaced by another."""
    return WithPromotions(sink) if settings.run == LIVE else sink


def forget_replaced(cursor: Cursor, events: Sequence[UUID]) -> None:
    """Delete what promoted runs have replaced of motion events: taking back leaves them alone."""
    cursor.execute(
        "DELETE FROM promoted_events WHERE event_id = ANY(%s) RETURNING promotion_id",
        (list(events),),
    )
    for promotion in sorted({row[0] for row in cursor.fetchall()}):
        _forget(cursor, replaced_schema(promotion), list(events))


def _forget(cursor: Cursor, schema: str, events: list[UUID]) -> None:
    names = {
        "snapshots": sql.Identifier(schema, "snapshots"),
        "owners": sql.Identifier(schema, "snapshot_owners"),
    }
    cursor.execute(sql.SQL(_REPLACED_PICTURES).format(**names), (events,))
    paths = [row[0] for row in cursor.fetchall()]
    cursor.execute(sql.SQL(_STALE_PICTURES).format(**names), (paths,))
    for table in _BY_EVENT:
        delete = sql.SQL("DELETE FROM {} WHERE motion_event_id = ANY(%s)")
        cursor.execute(delete.format(sql.Identifier(schema, table)), (events,))


def _promotions(cursor: Cursor, batch: Sequence[Taken]) -> dict[int, int]:
    """The promotion that each record of a batch falls under, by its number; few do."""
    events = {number: _event(one.message) for number, one in enumerate(batch)}
    cursor.execute(_OF_EVENTS, (sorted({event for event in events.values() if event}),))
    promoted: dict[str, int] = dict(cursor.fetchall())
    found = {number: promoted[event] for number, event in events.items() if event in promoted}
    shots = [
        (number, one.message)
        for number, one in enumerate(batch)
        if isinstance(one.message, pb.Snapshot)
    ]
    cursor.execute(
        _OF_SHOTS,
        (
            [shot.camera_id for _number, shot in shots],
            [to_datetime(shot.captured_at_us) for _number, shot in shots],
        ),
    )
    return found | {shots[ordinal - 1][0]: promotion for ordinal, promotion in cursor}


def _event(message: Message) -> str | None:
    """The motion event whose rows a record is about."""
    if isinstance(message, pb.Sighting | pb.FrameTracks):
        return message.motion_event_id
    return None
