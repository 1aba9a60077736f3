"""The installation's key: it signs the lines of the trail and the reports of erasures."""

import base64
import hashlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from sightline.runtime.errors import InfrastructureError, SightlineError
from sightline.runtime.secrets import reveal
from sightline.runtime.settings import Settings


class Signer:
    """An Ed25519 key."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = key.public_key()
        self.key_id = key_id_of(self.public)

    def sign(self, message: bytes) -> bytes:
        """The signature, 64 bytes."""
        return self._key.sign(message)


class Trusted:
    """The keys whose signatures count, by id."""

    def __init__(self, keys: Iterable[Ed25519PublicKey]) -> None:
        self._keys = {key_id_of(key): key for key in keys}

    def holds(self, key_id: str, message: bytes, signature: bytes) -> bool:
        """Whether one of these keys has signed the message."""
        key = self._keys.get(key_id)
        if key is None:
            return False
        try:
            key.verify(signature, message)
        except InvalidSignature:
            return False
        return True


def key_id_of(key: Ed25519PublicKey) -> str:
    """What a key is called: 16 hex digits of the hash of its public half."""
    return hashlib.sha256(_raw(key)).hexdigest()[:16]


def told(key: Ed25519PublicKey) -> str:
    """A public key as `audit.former_keys` takes it: base64 of its 32 bytes."""
    return base64.b64encode(_raw(key)).decode()


def signer(settings: Settings) -> Signer:
    """The key that is set, else that of the home, made where it is not there yet.

    Raises SightlineError for one that is none, InfrastructureError where the disk fails.
    """
    given = settings.audit.signing_key
    pem = reveal(given).encode() if given else _own(settings.home / "keys" / "audit.pem")
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise SightlineError("audit.signing_key is no private key in PEM") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SightlineError("audit.signing_key is no Ed25519 key")
    return Signer(key)


def trusted(settings: Settings) -> Trusted:
    """The key in use, and those of before. Raises SightlineError."""
    try:
        former = [
            Ed25519PublicKey.from_public_bytes(base64.b64decode(one, validate=True))
            for one in settings.audit.former_keys
        ]
    except ValueError as error:
        raise SightlineError("audit.former_keys: give base64 of 32 bytes each") from error
    return Trusted([signer(settings).public, *former])


def _own(path: Path) -> bytes:
    """The key in a file, which one of several processes that want it first makes."""
    try:
        if not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            number, draft = tempfile.mkstemp(prefix=".", dir=path.parent)  # mode 0600
            with os.fdopen(number, "wb") as file:
                file.write(_new())
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(draft, path)
            except FileExistsError:
                pass  # somebody was quicker
            finally:
                Path(draft).unlink()
        return path.read_bytes()
    except OSError as error:
        raise InfrastructureError(f"cannot keep a key in {path}: {error.strerror}") from error


def _new() -> bytes:
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _raw(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)
