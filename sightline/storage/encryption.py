"""Encryption at rest: AES-256-GCM with keys that the settings name.

What is sealed begins with a mark and version, the id of its key, and a nonce. These and the name
of what it is, an object's key or table, row and column, are authenticated with it: nothing sealed
can be changed, nor put in another's place, without that being seen. A key's id follows from the
key, so that one can be missing, and never be taken for another.
"""

import base64
import binascii
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import SecretStr

from sightline.runtime import metrics
from sightline.runtime.errors import SightlineError, UnreachableError
from sightline.runtime.secrets import SECRETS_MANAGER, forget, reveal
from sightline.runtime.settings import Settings

MARK = b"\x00SL\x01"
"""No picture, message or vector begins so; the last byte is the version."""

ID_BYTES = 8
HEAD_BYTES = len(MARK) + ID_BYTES + 12
"""Mark, key id and nonce: no two sealed things begin alike."""

OVERHEAD = HEAD_BYTES + 16
"""Bytes that sealed data are longer than plain ones."""

_KEY_BYTES = 32


class MissingKeyError(UnreachableError):
    """Sealed with a key that is not set: a worker waits until it is."""


class TamperedError(SightlineError):
    """Sealed data that are not what was sealed under that name: changed, damaged or moved."""


@dataclass(frozen=True, slots=True)
class Ring:
    """Keys by id, and the id of the one that seals."""

    keys: Mapping[bytes, AESGCM]
    current: bytes

    @property
    def ids(self) -> list[str]:
        """The ids of all keys in hexadecimal digits, the one that seals first."""
        return [key.hex() for key in self.keys]

    def seal(self, data: bytes, name: str) -> bytes:
        """Encrypt what has a name."""
        head = MARK + self.current + os.urandom(HEAD_BYTES - len(MARK) - ID_BYTES)
        return head + self.keys[self.current].encrypt(_nonce(head), data, head + name.encode())

    def open(self, sealed: bytes, name: str) -> bytes:
        """Decrypt it. Raises MissingKeyError, and TamperedError for what is something else."""
        head = sealed[:HEAD_BYTES]
        key = self.keys.get(key_of(sealed))
        if key is None:
            raise _missing(name, key_of(sealed).hex())
        try:
            return key.decrypt(_nonce(head), sealed[HEAD_BYTES:], head + name.encode())
        except (InvalidTag, ValueError):
            metrics.SEALED_REFUSED.labels(name.partition("/")[0]).inc()
            raise TamperedError(
                f"{name} does not open: it was changed, damaged or moved since it was sealed;"
                " bring it back from a backup, or delete it"
            ) from None


class Sealing:
    """Seals what is written and opens what is read, as the settings say at that moment."""

    def __init__(self, settings: Settings) -> None:
        self._keys = _secret(settings)
        self._required = settings.encryption.required

    @property
    def is_on(self) -> bool:
        """Whether what is written is sealed."""
        return self._keys is not None

    def ring(self) -> Ring | None:
        """The keys as they are now; None with encryption off.

        Raises SightlineError where they are none, or required and not set.
        """
        if self._keys is not None:
            return read_keys(reveal(self._keys))
        if self._required:
            raise SightlineError("encryption.required is set, and encryption.keys is not")
        return None

    def seal(self, data: bytes, name: str) -> bytes:
        """Encrypt what has a name; with encryption off, the data as they are."""
        ring = self.ring()
        return ring.seal(data, name) if ring else data

    def open(self, data: bytes, name: str) -> bytes:
        """Decrypt what is sealed; what is not comes back as it is, unless that is refused.

        Raises MissingKeyError and TamperedError.
        """
        if not is_sealed(data):
            self.allow_plain(name)
            return data
        return self.ring_for(key_of(data), name).open(data, name)

    def ring_for(self, key: bytes, name: str) -> Ring:
        """The keys, this one among them. Raises MissingKeyError."""
        ring = self.ring()
        if self._keys and not (ring and key in ring.keys) and forget(self._keys):
            ring = self.ring()  # it is newer than the keys that were kept
        if ring is None or key not in ring.keys:
            raise _missing(name, key.hex())
        return ring

    def allow_plain(self, name: str) -> None:
        """Raise TamperedError where what is not sealed is not to be trusted."""
        if self._required:
            metrics.SEALED_REFUSED.labels(name.partition("/")[0]).inc()
            raise TamperedError(
                f"{name} is not sealed, and encryption.required is set: was it exchanged? If it is"
                " from before, run `sightline encryption rotate`"
            )


def is_sealed(data: bytes) -> bool:
    """Whether data begin as what is sealed does."""
    return data[: len(MARK)] == MARK


def key_of(sealed: bytes) -> bytes:
    """The id of the key of what is sealed."""
    return bytes(sealed[len(MARK) : len(MARK) + ID_BYTES])


def new_key() -> str:
    """A key to be set, from the system's random numbers."""
    return base64.urlsafe_b64encode(os.urandom(_KEY_BYTES)).decode()


@lru_cache(maxsize=8)
def read_keys(text: str) -> Ring:
    """Keys in base64, with commas or spaces between; the first one seals.

    Raises SightlineError for anything else; it does not tell what was given.
    """
    keys = [_decoded(part) for part in text.replace(",", " ").split()]
    if not keys:
        raise SightlineError("encryption.keys is empty; `sightline encryption new-key` makes one")
    rings = {hashlib.sha256(b"sightline key " + key).digest()[:ID_BYTES]: key for key in keys}
    return Ring({name: AESGCM(key) for name, key in rings.items()}, next(iter(rings)))


def _decoded(text: str) -> bytes:
    try:
        key = base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != _KEY_BYTES:
        raise SightlineError(
            f"encryption.keys: a key is {_KEY_BYTES} bytes in base64, as"
            " `sightline encryption new-key` makes them"
        )
    return key


def _secret(settings: Settings) -> SecretStr | None:
    if settings.encryption.keys is not None:
        return settings.encryption.keys
    named = settings.encryption_key_secret_name
    return SecretStr(f"{SECRETS_MANAGER}{named}") if named else None


def _missing(name: str, key: str) -> MissingKeyError:
    return MissingKeyError(
        f"{name} is sealed with the key {key}, which is not set: add it to encryption.keys, after"
        " the one that seals"
    )


def _nonce(head: bytes) -> bytes:
    return head[len(MARK) + ID_BYTES :]
