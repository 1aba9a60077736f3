"""Records of the topic `facts`: operators' corrections, published to the matchers.

Each record holds the complete state of its key, so publishing is idempotent. The publisher holds
the corrections' lock (`overlay`), so that the records of one key are in the order of the commits.
"""

import logging
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from pgvector import Vector

from schemas import sightline_pb2 as pb
from schemas.ids import sighting_id
from schemas.naming import person_fact_key, track_context, track_fact_key
from schemas.topics import FACTS
from sightline.runtime.clock import to_us
from sightline.storage import face_columns
from sightline.storage.db import Cursor
from sightline.storage.encryption import TamperedError
from sightline.storage.outbox import enqueue_all

log = logging.getLogger(__name__)

_PERSONS = """
SELECT person.global_id, coalesce(alias.into_global_id, 0),
    ARRAY(SELECT other_global_id FROM not_same WHERE not_same.global_id = person.global_id
        UNION SELECT not_same.global_id FROM not_same
        WHERE other_global_id = person.global_id ORDER BY 1),
    EXISTS (SELECT FROM person_names WHERE person_names.global_id = person.global_id),
    EXISTS (SELECT FROM corrections WHERE kind = 'forget'
        AND (details ->> 'global_id')::bigint = person.global_id)
FROM unnest(%s::bigint[]) AS person(global_id)
LEFT JOIN person_aliases alias USING (global_id)
ORDER BY person.global_id
"""

# A track may be corrected before the sink has its embedding: the sink publishes it again then.
_TRACKS = """
SELECT correction.track_uuid::text, coalesce(track.site_id, log.site_id), correction.global_id,
    track.pack, track.embedding, track.embedding_sealed, track.face_quality, track.epoch,
    track.first_seen,
    coalesce(track.last_seen, log.timestamp)
FROM track_corrections correction
LEFT JOIN person_tracks track USING (track_uuid)
LEFT JOIN LATERAL (
    SELECT site_id, timestamp FROM access_logs log
    WHERE log.track_uuid = correction.track_uuid ORDER BY epoch DESC LIMIT 1) AS log ON true
WHERE correction.track_uuid = ANY(%s::uuid[])
ORDER BY correction.track_uuid
"""


def publish_persons(cursor: Cursor, persons: Iterable[int]) -> None:
    """Publish the corrections of persons, or a tombstone for a person without any."""
    cursor.execute(_PERSONS, (sorted(set(persons)),))
    enqueue_all(
        cursor, FACTS.name, [(person_fact_key(row[0]), _person(*row)) for row in cursor.fetchall()]
    )


def publish_tracks(cursor: Cursor, tracks: Sequence[str | UUID]) -> None:
    """Publish the person and template of each corrected track among these."""
    with cursor.connection.cursor(binary=True) as vectors:
        corrected = vectors.execute(_TRACKS, (list(map(str, tracks)),)).fetchall()
    rows = [row for row in corrected if row[1] is not None]
    enqueue_all(
        cursor, FACTS.name, [(track_fact_key(row[0]), track_fact(cursor, *row)) for row in rows]
    )


def _person(
    person: int, into: int, not_same: list[int], named: bool, forgotten: bool
) -> bytes | None:
    if not (into or not_same or named or forgotten):
        return None
    correction = pb.PersonCorrection(
        global_id=person, merged_into=into, not_same=not_same, named=named, forgotten=forgotten
    )
    return pb.Fact(person=correction).SerializeToString(deterministic=True)


def track_fact(
    cursor: Cursor,
    track: str,
    site: str,
    person: int,
    pack: str | None,
    embedding: Vector | None,
    encrypted: bytes | None,
    quality: float | None,
    epoch: int | None,
    first_seen: Any,
    last_seen: Any,
) -> bytes:
    """Serialize the fact of a corrected track: its person, and its template if there is one."""
    correction = pb.TrackCorrection(track_id=track, site_id=site, global_id=person)
    face = _face(cursor, embedding, encrypted, track)
    if face is not None and epoch is not None:
        correction.templates.add(
            template_id=sighting_id(track, epoch),
            pack=pack or "",
            vector=face.astype("<f4").tobytes(),
            quality=quality or 0.0,
            track_id=track,
        )
    if last_seen is not None:
        correction.last_seen_us = to_us(last_seen)
        correction.first_seen_us = to_us(first_seen or last_seen)
    return pb.Fact(track=correction).SerializeToString(deterministic=True)


def _face(
    cursor: Cursor, embedding: Vector | None, encrypted: bytes | None, track: str
) -> face_columns.Embedding | None:
    """Return the track's embedding (d,), or None if it cannot be decrypted."""
    try:
        return face_columns.from_columns(cursor, track_context(track), embedding, encrypted)
    except TamperedError as error:
        log.warning("facts: left out: %s", error)
        return None
