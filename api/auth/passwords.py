"""Passwords: argon2id, with the parameters that the library holds for right."""

import secrets
import unicodedata
from functools import cache
from threading import Semaphore

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from sightline.runtime.errors import SightlineError

_SHORTEST, _LONGEST = 12, 1024

_HASHER = PasswordHasher()
_TURNS = Semaphore(2)
"""One look at a password takes 64 MiB."""


def hashed(password: str) -> str:
    """What is stored of a password. Raises SightlineError for one that is too short."""
    if not _SHORTEST <= len(password) <= _LONGEST:
        raise SightlineError(f"a password has {_SHORTEST} to {_LONGEST} characters")
    with _TURNS:
        return _HASHER.hash(_form(password))


def fits(stored: str | None, password: str) -> bool:
    """Whether it is the password; that nobody has one (None) takes as long to find out."""
    with _TURNS:
        try:
            return _HASHER.verify(stored or _nobodys(), _form(password)) and stored is not None
        except (VerificationError, InvalidHashError):
            return False


def is_old(stored: str) -> bool:
    """Whether the library has come to hold other parameters for right since."""
    return _HASHER.check_needs_rehash(stored)


def _form(password: str) -> str:
    # Keyboards differ in how they write the same letter.
    return unicodedata.normalize("NFKC", password[: _LONGEST + 1])


@cache
def _nobodys() -> str:
    return _HASHER.hash(secrets.token_hex(32))
