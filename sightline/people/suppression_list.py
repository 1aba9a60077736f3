"""Suppression list: late or replayed records of erased persons are not stored again."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import psycopg

_TRACKS = "SELECT track_uuid::text FROM public.erased_tracks WHERE track_uuid = ANY(%s::uuid[])"

_PERSONS = "SELECT global_id, erasure_id FROM public.erased_persons WHERE global_id = ANY(%s)"

_INSERT_TRACKS = """
INSERT INTO public.erased_tracks (track_uuid, erasure_id)
SELECT unnest(%s::uuid[]), %s ON CONFLICT DO NOTHING
"""


def suppressed_tracks(cursor: psycopg.Cursor[Any], candidates: Iterable[str]) -> set[str]:
    """Return those of the tracks that belonged to an erased person."""
    track_ids = sorted(set(candidates))
    rows = cursor.execute(_TRACKS, (track_ids,)).fetchall() if track_ids else []
    return {row[0] for row in rows}


def erased_tracks_of(
    cursor: psycopg.Cursor[Any], identities: Sequence[tuple[str, int]]
) -> set[str]:
    """Return the tracks of (track, global id) pairs that belong to an erased person.

    Tracks that are not on the list yet are added.
    """
    suppressed = suppressed_tracks(cursor, [track for track, _person in identities])
    persons = sorted({person for _track, person in identities if person})
    erased: dict[int, UUID] = dict(cursor.execute(_PERSONS, (persons,)).fetchall())
    added = {
        track: erased[person]
        for track, person in identities
        if person in erased and track not in suppressed
    }
    for track, erasure in sorted(added.items()):
        suppress_tracks(cursor, [track], erasure)
    return suppressed | added.keys()


def suppress_tracks(cursor: psycopg.Cursor[Any], track_ids: Sequence[str], erasure: UUID) -> None:
    """Add tracks of the person of an erasure to the list."""
    cursor.execute(_INSERT_TRACKS, (list(track_ids), erasure))
