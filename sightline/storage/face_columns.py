"""Templates in the database: a vector column, or an encrypted column beside it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
import psycopg
from numpy.typing import NDArray
from pgvector import Vector

from schemas.naming import template_context, track_context
from sightline.storage.db import encryption_of

Embedding = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class TemplateColumns:
    """A table with templates, by the names of its columns."""

    table: str
    key: str
    owner: str
    """Column of the id that a search returns."""
    context_column: str
    """Column of the id that the encryption context names, by `context_of`."""
    pack: str
    vector_column: str
    encrypted_column: str
    context_of: Callable[[UUID | str], str]


TEMPLATES = TemplateColumns(
    "face_templates", "template_id", "employee_id", "template_id", "pack", "embedding",
    "embedding_sealed", template_context,
)  # fmt: skip
TRACKS = TemplateColumns(
    "person_tracks", "track_uuid", "track_uuid", "track_uuid", "pack", "embedding",
    "embedding_sealed", track_context,
)  # fmt: skip
PERSONS = TemplateColumns(
    "detected_persons", "global_id", "global_id", "face_track", "embedding_pack", "face_embedding",
    "face_embedding_sealed", track_context,
)  # fmt: skip


def to_columns(
    cursor: psycopg.Cursor[Any], name: str, face: Embedding | None
) -> tuple[Embedding | None, bytes | None]:
    """Return the vector column and the encrypted column of a template (d,); one of them is None."""
    ring = None if face is None else encryption_of(cursor).key_ring()
    if face is None or ring is None:
        return face, None
    return None, ring.encrypt(face.astype("<f4").tobytes(), name)


def from_columns(
    cursor: psycopg.Cursor[Any], name: str, face: Vector | None, encrypted: bytes | None
) -> Embedding | None:
    """Return the template (d,) of the vector column or the encrypted column, if either has one.

    Raises MissingKeyError, and TamperedError for an encrypted template that was changed.
    """
    if encrypted is not None:
        return embedding_from_bytes(encryption_of(cursor).decrypt(encrypted, name))
    if face is None:
        return None
    encryption_of(cursor).check_plaintext_allowed(name)
    return face.to_numpy()


def embedding_from_bytes(data: bytes) -> Embedding:
    """Return the vector (d,) of its decrypted bytes: little-endian float32."""
    return np.frombuffer(data, "<f4").astype(np.float32)
