"""Ed25519 key of the installation: it signs the audit trail and the reports of erasures."""

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


class SigningKey:
    """An Ed25519 private key."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = key.public_key()
        self.key_id = key_id_of(self.public)

    def sign(self, message: bytes) -> bytes:
        """Return the signature of a message, 64 bytes."""
        return self._key.sign(message)


class TrustedKeys:
    """Trusted public keys, by id."""

    def __init__(self, keys: Iterable[Ed25519PublicKey]) -> None:
        self._keys = {key_id_of(key): key for key in keys}

    def verify(self, key_id: str, message: bytes, signature: bytes) -> bool:
        """Tell whether a trusted key has signed the message."""
        key = self._keys.get(key_id)
        if key is None:
            return False
        try:
            key.verify(signature, message)
        except InvalidSignature:
            return False
        return True


def key_id_of(key: Ed25519PublicKey) -> str:
    """Return a key's id: 16 hexadecimal digits of the SHA-256 of its public key."""
    return hashlib.sha256(_raw(key)).hexdigest()[:16]


def public_text(key: Ed25519PublicKey) -> str:
    """Return a public key for `audit.former_keys`: base64 of its 32 bytes."""
    return base64.b64encode(_raw(key)).decode()


def signing_key(settings: Settings) -> SigningKey:
    """Return the key of the settings, else the home's, which is created if it is missing.

    Raises SightlineError for an invalid key, InfrastructureError when the disk fails.
    """
    reference = settings.audit.signing_key
    pem = (
        reveal(reference, settings.secrets).encode()
        if reference
        else _home_key(settings.home / "keys" / "audit.pem")
    )
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise SightlineError("audit.signing_key is no private key in PEM") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SightlineError("audit.signing_key is no Ed25519 key")
    return SigningKey(key)


def trusted_keys(settings: Settings) -> TrustedKeys:
    """Return the key in use and the former keys. Raises SightlineError."""
    try:
        former = [
            Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))
            for text in settings.audit.former_keys
        ]
    except ValueError as error:
        raise SightlineError("audit.former_keys: give base64 of 32 bytes each") from error
    return TrustedKeys([signing_key(settings).public, *former])


def _home_key(path: Path) -> bytes:
    """Return the key in a file; if it is missing the first of several processes creates it."""
    try:
        if not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            number, draft = tempfile.mkstemp(prefix=".", dir=path.parent)  # mode 0600
            with os.fdopen(number, "wb") as file:
                file.write(_new_pem())
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(draft, path)
            except FileExistsError:
                pass  # another process has created it
            finally:
                Path(draft).unlink()
        return path.read_bytes()
    except OSError as error:
        raise InfrastructureError(f"cannot keep a key in {path}: {error.strerror}") from error


def _new_pem() -> bytes:
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _raw(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)
