"""Who was erased: what still comes of them, late or with a replay, is not written down."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import psycopg

_TRACKS = "SELECT track_uuid::text FROM public.erased_tracks WHERE track_uuid = ANY(%s::uuid[])"

_PERSONS = "SELECT global_id, erasure_id FROM public.erased_persons WHERE global_id = ANY(%s)"

_BAR = """
INSERT INTO public.erased_tracks (track_uuid, erasure_id)
SELECT unnest(%s::uuid[]), %s ON CONFLICT DO NOTHING
"""


def tracks(cursor: psycopg.Cursor[Any], among: Iterable[str]) -> set[str]:
    """Those of some tracks that were an erased person's."""
    wanted = sorted(set(among))
    found = cursor.execute(_TRACKS, (wanted,)).fetchall() if wanted else []
    return {row[0] for row in found}


def said_of(cursor: psycopg.Cursor[Any], said: Sequence[tuple[str, int]]) -> set[str]:
    """Those tracks, each with the person that it is, that are or were an erased person's.

    One that is heard of for the first time is noted.
    """
    gone = tracks(cursor, [track for track, _person in said])
    persons = sorted({person for _track, person in said if person})
    erased: dict[int, UUID] = dict(cursor.execute(_PERSONS, (persons,)).fetchall())
    new = {track: erased[who] for track, who in said if who in erased and track not in gone}
    for erasure in set(new.values()):
        bar(cursor, sorted(track for track, of in new.items() if of == erasure), erasure)
    return gone | new.keys()


def bar(cursor: psycopg.Cursor[Any], theirs: Sequence[str], erasure: UUID) -> None:
    """Note tracks as those of somebody whom this erasure is about."""
    cursor.execute(_BAR, (list(theirs), erasure))
