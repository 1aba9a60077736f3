"""Vectors as they travel: little-endian float32, checked before anything is compared."""

import numpy as np

from sightline.identity.evidence import Vector
from sightline.runtime.errors import InvalidRecord

_LENGTH_SLACK = 0.05
"""A vector's length may be off one by this: half precision and JPEGs are no excuse for more."""


def vector_of(data: bytes, dimension: int | None = None) -> Vector:
    """A unit vector (d,). Raises InvalidRecord for any other and for another dimension."""
    if len(data) % 4:
        raise InvalidRecord("bad_vector", f"{len(data)} bytes")
    vector = np.frombuffer(data, "<f4").astype(np.float32)
    if dimension is not None and len(vector) != dimension:
        raise InvalidRecord(
            "bad_dimension", f"{len(vector)} numbers where the pack has {dimension}"
        )
    length = float(np.linalg.norm(vector.astype(np.float64)))
    if not abs(length - 1.0) <= _LENGTH_SLACK:  # also where it is not a number
        raise InvalidRecord("bad_vector", f"length {length:.3g} instead of 1")
    return vector


def bytes_of(vector: Vector) -> bytes:
    """A vector as it travels."""
    return vector.astype("<f4").tobytes()
