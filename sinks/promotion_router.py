"""Routing of live records to replaced rows, once a run was promoted for some motion events.

Later live records of these events, such as a name found afterwards, go to the replaced rows: those
stay as the live run would have them, and the promoted rows are not overwritten.
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
from sightline.storage.db import Connection, Cursor
from sinks.runtime.postgres import PostgresSink
from sinks.runtime.sink import DecodedRecord
from sinks.runtime.target import SinkTarget

_OF_EVENTS = """
SELECT event_id::text, promotion_id FROM promoted_events WHERE event_id = ANY(%s::uuid[])
"""

# A snapshot does not state its event. A camera has one event at a time.
_OF_SNAPSHOTS = """
SELECT snapshot.number, promotion_id
FROM unnest(%s::text[], %s::timestamptz[]) WITH ORDINALITY AS snapshot(camera_id, at, number)
JOIN promoted_events event ON event.camera_id = snapshot.camera_id
    AND snapshot.at BETWEEN event.from_at AND event.to_at
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
    AND NOT EXISTS (SELECT FROM {snapshots} replaced WHERE replaced.path = key)
ON CONFLICT (key) DO UPDATE SET stale_at = excluded.stale_at
"""


class PromotionRouter:
    """A sink of the live run that leaves the rows of promoted runs alone."""

    def __init__(self, sink: PostgresSink) -> None:
        self._sink = sink
        self.name = sink.name
        self.topics: Mapping[str, type[Message]] = sink.topics
        self.batch_seconds = sink.batch_seconds

    def target(self, settings: Settings) -> SinkTarget[Connection, Cursor]:
        """Return the store that the sink writes to."""
        return self._sink.target(settings)

    def write(self, cursor: Cursor, batch: Sequence[DecodedRecord]) -> None:
        """Write a batch, each record to the schema of its motion event's live rows."""
        identity_corrections.lock_shared(
            cursor
        )  # nothing is promoted from here to the end of the transaction
        promotions = _promotions(cursor, batch)
        parts: dict[int, list[DecodedRecord]] = defaultdict(list)
        for number, decoded in enumerate(batch):
            parts[promotions.get(number, 0)].append(decoded)
        for promotion, part in parts.items():
            if promotion:
                self._write_aside(cursor, part, replaced_schema(promotion))
            else:
                self._sink.write(cursor, part)

    def idle(self, cursor: Cursor) -> None:
        """Do the sink's work that is due by time, in the live schema."""
        self._sink.idle(cursor)

    def maintain(self, connection: Connection) -> bool:
        """Do a slice of the sink's work that is part of no batch."""
        return self._sink.maintain(connection)

    def _write_aside(self, cursor: Cursor, part: Sequence[DecodedRecord], schema: str) -> None:
        path = sql.SQL("SET LOCAL search_path = {}, public").format(sql.Identifier(schema))
        cursor.execute(path)
        self._sink.write(cursor, part)
        cursor.execute("SET LOCAL search_path = public")


def with_promotions(sink: PostgresSink, settings: Settings) -> PostgresSink:
    """Return the sink as it works in a run: only live rows can be replaced by a promotion."""
    return PromotionRouter(sink) if settings.run == LIVE else sink


def delete_replaced(cursor: Cursor, events: Sequence[UUID]) -> None:
    """Delete the replaced rows of motion events, which no rollback can bring back then."""
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


def _promotions(cursor: Cursor, batch: Sequence[DecodedRecord]) -> dict[int, int]:
    """Return the promotion of each record of a batch that has one, by its number in the batch."""
    events = {number: _event(decoded.message) for number, decoded in enumerate(batch)}
    cursor.execute(_OF_EVENTS, (sorted({event for event in events.values() if event}),))
    promoted: dict[str, int] = dict(cursor.fetchall())
    promotions = {number: promoted[event] for number, event in events.items() if event in promoted}
    snapshots = [
        (number, decoded.message)
        for number, decoded in enumerate(batch)
        if isinstance(decoded.message, pb.Snapshot)
    ]
    cursor.execute(
        _OF_SNAPSHOTS,
        (
            [snapshot.camera_id for _number, snapshot in snapshots],
            [to_datetime(snapshot.captured_at_us) for _number, snapshot in snapshots],
        ),
    )
    return promotions | {snapshots[ordinal - 1][0]: promotion for ordinal, promotion in cursor}


def _event(message: Message) -> str | None:
    """Return the motion event of a message; None where it states none."""
    if isinstance(message, pb.Sighting | pb.FrameTracks):
        return message.motion_event_id
    return None
