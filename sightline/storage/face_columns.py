"""Faces in the database: a vector in one column, or sealed in the one beside it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
import psycopg
from numpy.typing import NDArray
from pgvector import Vector

from sightline.storage.db import sealing_of

Floats = NDArray[np.float32]


def of_template(template: UUID | str) -> str:
    """What the face of a template is sealed as."""
    return f"face_templates/{template}/embedding"


def of_track(track: UUID | str) -> str:
    """What the face of a track is sealed as; that of a person is one of theirs."""
    return f"person_tracks/{track}/embedding"


@dataclass(frozen=True, slots=True)
class Place:
    """A table with faces, by the names of its columns."""

    table: str
    key: str
    owner: str
    """What is found by a face."""
    known_as: str
    """What a face is sealed as, by `name`."""
    pack: str
    plain: str
    sealed: str
    name: Callable[[UUID | str], str]


TEMPLATES = Place(
    "face_templates", "template_id", "employee_id", "template_id", "pack", "embedding",
    "embedding_sealed", of_template,
)  # fmt: skip
TRACKS = Place(
    "person_tracks", "track_uuid", "track_uuid", "track_uuid", "pack", "embedding",
    "embedding_sealed", of_track,
)  # fmt: skip
PERSONS = Place(
    "detected_persons", "global_id", "global_id", "face_track", "embedding_pack", "face_embedding",
    "face_embedding_sealed", of_track,
)  # fmt: skip


def to_columns(
    cursor: psycopg.Cursor[Any], name: str, face: Floats | None
) -> tuple[Floats | None, bytes | None]:
    """What to write of a face (d,): the vector, or what is sealed; None is the other."""
    ring = None if face is None else sealing_of(cursor).ring()
    if face is None or ring is None:
        return face, None
    return None, ring.seal(face.astype("<f4").tobytes(), name)


def from_columns(
    cursor: psycopg.Cursor[Any], name: str, face: Vector | None, sealed: bytes | None
) -> Floats | None:
    """The face (d,) that is in either column, if there is one.

    Raises MissingKeyError, and TamperedError for one that is not what was written.
    """
    if sealed is not None:
        return as_floats(sealing_of(cursor).open(sealed, name))
    if face is None:
        return None
    sealing_of(cursor).allow_plain(name)
    return face.to_numpy()


def as_floats(data: bytes) -> Floats:
    """A vector (d,) as it is sealed: little-endian."""
    return np.frombuffer(data, "<f4").astype(np.float32)
