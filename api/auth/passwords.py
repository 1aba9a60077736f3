"""Password hashes: argon2id, with the library's recommended parameters."""

import secrets
import unicodedata
from functools import cache
from threading import Semaphore

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from sightline.runtime.errors import SightlineError

_MIN_CHARACTERS, _MAX_CHARACTERS = 12, 1024

_HASHER = PasswordHasher()
_HASHING = Semaphore(2)
"""Bounds concurrent hashes: each takes 64 MiB."""


def hash_password(password: str) -> str:
    """Return the hash of a password. Raises SightlineError for a length out of bounds."""
    if not _MIN_CHARACTERS <= len(password) <= _MAX_CHARACTERS:
        raise SightlineError(f"a password has {_MIN_CHARACTERS} to {_MAX_CHARACTERS} characters")
    with _HASHING:
        return _HASHER.hash(_normalized(password))


def verify_password(stored: str | None, password: str) -> bool:
    """Tell whether a password matches a hash; without a hash (None) it takes as long."""
    with _HASHING:
        try:
            return (
                _HASHER.verify(stored or _dummy_hash(), _normalized(password))
                and stored is not None
            )
        except (VerificationError, InvalidHashError):
            return False


def needs_rehash(stored: str) -> bool:
    """Tell whether a hash has other parameters than the recommended ones."""
    return _HASHER.check_needs_rehash(stored)


def _normalized(password: str) -> str:
    # Keyboards differ in the code points of the same letter.
    return unicodedata.normalize("NFKC", password[: _MAX_CHARACTERS + 1])


@cache
def _dummy_hash() -> str:
    return _HASHER.hash(secrets.token_hex(32))
