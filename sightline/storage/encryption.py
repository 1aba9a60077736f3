"""Encryption at rest: AES-256-GCM with the keys of the settings.

A ciphertext begins with a mark and version, the id of its key, and a nonce. These and the
encryption context (an object's key, or table, row and column) are authenticated with it: a
ciphertext cannot be changed, nor moved to another row, without detection. A key's id is derived
from the key, so that a key may be missing but is never taken for another.
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

from schemas.naming import context_kind
from sightline.runtime import metrics
from sightline.runtime.errors import SightlineError, UnreachableError
from sightline.runtime.secrets import SECRETS_MANAGER, mark_refused, reveal
from sightline.runtime.settings import Settings

MARK = b"\x00SL\x01"
"""No picture, message or vector begins like this; the last byte is the version."""

ID_BYTES = 8
HEAD_BYTES = len(MARK) + ID_BYTES + 12
"""Mark, key id and nonce: no two ciphertexts have the same head."""

OVERHEAD = HEAD_BYTES + 16
"""Bytes by which a ciphertext is longer than its plaintext."""

_KEY_BYTES = 32


class MissingKeyError(UnreachableError):
    """Encrypted with a key that is not set: a worker waits until it is."""


class TamperedError(SightlineError):
    """A ciphertext that was changed, damaged or moved to another encryption context."""


@dataclass(frozen=True, slots=True)
class KeyRing:
    """Encryption keys by id, and the id of the key that encrypts."""

    keys: Mapping[bytes, AESGCM]
    current: bytes

    @property
    def ids(self) -> list[str]:
        """The ids of all keys in hexadecimal digits; the key that encrypts comes first."""
        return [key.hex() for key in self.keys]

    def encrypt(self, data: bytes, name: str) -> bytes:
        """Encrypt data for an encryption context."""
        head = MARK + self.current + os.urandom(HEAD_BYTES - len(MARK) - ID_BYTES)
        return head + self.keys[self.current].encrypt(_nonce(head), data, head + name.encode())

    def decrypt(self, ciphertext: bytes, name: str) -> bytes:
        """Decrypt a ciphertext of a context. Raises MissingKeyError and TamperedError."""
        head = ciphertext[:HEAD_BYTES]
        key = self.keys.get(key_id_of(ciphertext))
        if key is None:
            raise _missing(name, key_id_of(ciphertext).hex())
        try:
            return key.decrypt(_nonce(head), ciphertext[HEAD_BYTES:], head + name.encode())
        except (InvalidTag, ValueError):
            metrics.DECRYPTION_FAILURES.labels(context_kind(name)).inc()
            raise TamperedError(
                f"{name} cannot be decrypted: it was changed, damaged or moved since it was"
                " encrypted; bring it back from a backup, or delete it"
            ) from None


class Encryption:
    """Encryption as the settings say, with the keys that are set at the moment of a call."""

    def __init__(self, settings: Settings) -> None:
        self._keys = _secret(settings)
        self._secrets = settings.secrets
        self._required = settings.encryption.required

    @property
    def is_on(self) -> bool:
        """True while written data are encrypted."""
        return self._keys is not None

    def key_ring(self) -> KeyRing | None:
        """Return the present keys; None with encryption off.

        Raises SightlineError for invalid keys, and for required keys that are not set.
        """
        if self._keys is not None:
            return read_keys(reveal(self._keys, self._secrets))
        if self._required:
            raise SightlineError("encryption.required is set, and encryption.keys is not")
        return None

    def encrypt(self, data: bytes, name: str) -> bytes:
        """Encrypt data for an encryption context; with encryption off return them as they are."""
        ring = self.key_ring()
        return ring.encrypt(data, name) if ring else data

    def decrypt(self, data: bytes, name: str) -> bytes:
        """Decrypt a ciphertext; return plaintext as it is, unless encryption is required.

        Raises MissingKeyError and TamperedError.
        """
        if not is_encrypted(data):
            self.check_plaintext_allowed(name)
            return data
        return self.key_ring_with(key_id_of(data), name).decrypt(data, name)

    def key_ring_with(self, key: bytes, name: str) -> KeyRing:
        """Return the present keys, with this key among them. Raises MissingKeyError."""
        ring = self.key_ring()
        if (
            self._keys
            and not (ring and key in ring.keys)
            and mark_refused(self._keys, self._secrets)
        ):
            ring = self.key_ring()  # the key may be newer than the cached ones
        if ring is None or key not in ring.keys:
            raise _missing(name, key.hex())
        return ring

    def check_plaintext_allowed(self, name: str) -> None:
        """Raise TamperedError if encryption is required: plaintext may have been substituted."""
        if self._required:
            metrics.DECRYPTION_FAILURES.labels(context_kind(name)).inc()
            raise TamperedError(
                f"{name} is not encrypted, and encryption.required is set: was it exchanged? If it"
                " is from before, run `sightline encryption rotate`"
            )


def is_encrypted(data: bytes) -> bool:
    """Tell whether data begin as a ciphertext does."""
    return data[: len(MARK)] == MARK


def key_id_of(ciphertext: bytes) -> bytes:
    """Return the id of a ciphertext's key."""
    return bytes(ciphertext[len(MARK) : len(MARK) + ID_BYTES])


def new_key() -> str:
    """Return a random key in base64, for the setting `encryption.keys`."""
    return base64.urlsafe_b64encode(os.urandom(_KEY_BYTES)).decode()


@lru_cache(maxsize=8)
def read_keys(text: str) -> KeyRing:
    """Parse keys in base64, separated by commas or spaces; the first key encrypts.

    Raises SightlineError for anything else, without quoting the text.
    """
    keys = [_decoded(part) for part in text.replace(",", " ").split()]
    if not keys:
        raise SightlineError("encryption.keys is empty; `sightline encryption new-key` makes one")
    rings = {hashlib.sha256(b"sightline key " + key).digest()[:ID_BYTES]: key for key in keys}
    return KeyRing({name: AESGCM(key) for name, key in rings.items()}, next(iter(rings)))


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
        f"{name} is encrypted with the key {key}, which is not set: add it to encryption.keys,"
        " after the one that encrypts"
    )


def _nonce(head: bytes) -> bytes:
    return head[len(MARK) + ID_BYTES :]
