"""Codec of vectors in messages: little-endian float32, checked before anything is compared."""

import numpy as np

from sightline.identity.evidence import Vector
from sightline.runtime.errors import PoisonRecord

_LENGTH_TOLERANCE = 0.05
"""Largest difference of a vector's length from 1: half precision explains no more."""


def decode_embedding(data: bytes, dimension: int | None = None) -> Vector:
    """Decode a unit vector (d,).

    Raises:
        InvalidRecord: Not a unit vector, or not of the dimension.
    """
    if len(data) % 4:
        raise PoisonRecord("bad_vector", f"{len(data)} bytes")
    vector = np.frombuffer(data, "<f4").astype(np.float32)
    check_dimension(vector, dimension)
    length = float(np.linalg.norm(vector.astype(np.float64)))
    if not abs(length - 1.0) <= _LENGTH_TOLERANCE:  # true for NaN as well
        raise PoisonRecord("bad_vector", f"length {length:.3g} instead of 1")
    return vector


def check_dimension(vector: Vector, dimension: int | None) -> None:
    """Refuse a vector of another dimension; None accepts any.

    Raises:
        InvalidRecord: Another dimension.
    """
    if dimension is not None and len(vector) != dimension:
        raise PoisonRecord("bad_dimension", f"{len(vector)} numbers where the pack has {dimension}")


def encode_embedding(vector: Vector) -> bytes:
    """Encode a vector (d,)."""
    return vector.astype("<f4").tobytes()
