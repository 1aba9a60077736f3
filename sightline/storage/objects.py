"""Object store: a folder, or S3 and compatible services."""

import errno
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from schemas.naming import object_context
from sightline.runtime.connection_urls import objects_folder
from sightline.runtime.errors import InfrastructureError, SightlineError
from sightline.runtime.settings import Settings
from sightline.storage.encryption import Encryption, is_encrypted

if TYPE_CHECKING:
    from botocore.exceptions import ClientError
    from types_boto3_s3 import S3Client

_MAX_KEY_BYTES = 1024
"""S3's limit."""

_BINARY_TYPE = "application/octet-stream"

_CONNECT_TIMEOUT_SECONDS = 5
_READ_TIMEOUT_SECONDS = 20
_MAX_ATTEMPTS = 4


class NoSuchObjectError(SightlineError):
    """No object has the key."""


class ObjectStore(Protocol):
    """A store of bytes by key: relative paths with "/", no part of which starts with a dot.

    Every method raises SightlineError for an invalid key, and InfrastructureError when the disk or
    the service fails.
    """

    def put(self, key: str, data: bytes, content_type: str = "image/jpeg") -> None:
        """Write an object, whole or not at all; an object of that key is replaced."""

    def get(self, key: str) -> bytes:
        """Read an object. Raises NoSuchObjectError."""

    def delete(self, key: str) -> None:
        """Delete an object; a missing object is no error."""

    def delete_all(self, keys: Sequence[str]) -> dict[str, str]:
        """Delete up to 1,000 objects; return the errors of failed deletions by key.

        An invalid key is such an error. Raises InfrastructureError when the store fails as a
        whole.
        """

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys that begin with a prefix, in order."""

    def location(self, key: str) -> str:
        """Return the path or s3:// URL of an object, for people."""


class FolderStore:
    """Objects as files below a folder that only its owner can read."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, key: str, data: bytes, content_type: str = "image/jpeg") -> None:  # noqa: ARG002
        """Write a file under another name, then rename it: a reader never sees half a file."""
        path = self._path(key)
        with _disk("write", path):
            _make_private(path.parent)
            number, draft = tempfile.mkstemp(prefix=".", dir=path.parent)  # mode 0600
            try:
                with os.fdopen(number, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                Path(draft).replace(path)
            except BaseException:
                Path(draft).unlink(missing_ok=True)
                raise
            _sync_folder(path.parent)

    def get(self, key: str) -> bytes:
        """Read a file."""
        path = self._path(key)
        with _disk("read", path):
            try:
                return path.read_bytes()
            except (FileNotFoundError, IsADirectoryError):
                raise NoSuchObjectError(f"there is no object {path}") from None

    def delete(self, key: str) -> None:
        """Delete a file."""
        path = self._path(key)
        with _disk("delete", path):
            path.unlink(missing_ok=True)

    def delete_all(self, keys: Sequence[str]) -> dict[str, str]:
        """Delete files."""
        failed: dict[str, str] = {}
        for key in keys:
            try:
                self.delete(key)
            except (SightlineError, InfrastructureError) as error:
                failed[key] = str(error)
        return failed

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Yield the files whose path below the folder begins with a prefix."""
        for path in sorted(self._root.rglob("*")):
            key = path.relative_to(self._root).as_posix()
            if key.startswith(prefix) and not path.name.startswith(".") and path.is_file():
                yield key

    def location(self, key: str) -> str:
        """Return the file's path."""
        return str(self._path(key))

    def _path(self, key: str) -> Path:
        path = self._root / _checked(key)
        # A symbolic link inside the folder could still lead out of it.
        if not path.resolve().is_relative_to(self._root.resolve()):
            raise SightlineError(f"the key {key!r} leaves {self._root}")
        return path


class S3Store:
    """Objects in a bucket, below a prefix. boto3 finds the credentials."""

    def __init__(self, bucket: str, prefix: str = "", endpoint_url: str | None = None) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._client = _s3_client(endpoint_url)

    def put(self, key: str, data: bytes, content_type: str = "image/jpeg") -> None:
        """Upload an object; the content type of encrypted objects is bytes."""
        kind = _BINARY_TYPE if is_encrypted(data) else content_type
        with _s3(f"put {self.location(key)}"):
            self._client.put_object(
                Bucket=self._bucket, Key=self._key(key), Body=data, ContentType=kind
            )

    def get(self, key: str) -> bytes:
        """Download an object."""
        with _s3(f"get {self.location(key)}"):
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=self._key(key))
            except self._client.exceptions.NoSuchKey:
                raise NoSuchObjectError(f"there is no object {self.location(key)}") from None
            return answer["Body"].read()

    def delete(self, key: str) -> None:
        """Delete an object."""
        with _s3(f"delete {self.location(key)}"):
            self._client.delete_object(Bucket=self._bucket, Key=self._key(key))

    def delete_all(self, keys: Sequence[str]) -> dict[str, str]:
        """Delete objects by one request, or one by one if the server refuses that."""
        failed: dict[str, str] = {}
        keys_by_name: dict[str, str] = {}  # keys by their names in the bucket
        for key in keys:
            try:
                keys_by_name[self._key(key)] = key
            except SightlineError as error:
                failed[key] = str(error)
        if keys_by_name:
            with _s3(f"delete {len(keys_by_name)} objects of s3://{self._bucket}/{self._prefix}"):
                for name, reason in self._delete_all(list(keys_by_name)).items():
                    failed[keys_by_name[name]] = (
                        f"S3, delete {self.location(keys_by_name[name])}: {reason}"
                    )
        return failed

    def _delete_all(self, names: list[str]) -> dict[str, str]:
        try:
            answer = self._client.delete_objects(
                Bucket=self._bucket,
                Delete={"Objects": [{"Key": name} for name in names], "Quiet": True},
            )
        except self._client.exceptions.ClientError as error:
            if not _is_refusal(error):
                raise
            return self._delete_each(
                names
            )  # not every S3-compatible server deletes several at once
        return {
            error["Key"]: f"{error.get('Code')}: {error.get('Message')}"
            for error in answer.get("Errors", [])
        }

    def _delete_each(self, names: list[str]) -> dict[str, str]:
        failed: dict[str, str] = {}
        for name in names:
            try:
                self._client.delete_object(Bucket=self._bucket, Key=name)
            except self._client.exceptions.ClientError as error:
                if not _is_refusal(error):
                    raise
                failed[name] = str(error)
        return failed

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys below the store's prefix that begin with `prefix`."""
        with _s3(f"list s3://{self._bucket}/{self._prefix}{prefix}"):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix + prefix
            )
            for page in pages:
                for entry in page.get("Contents", []):
                    yield entry["Key"].removeprefix(self._prefix)

    def location(self, key: str) -> str:
        """Return the object's URL."""
        return f"s3://{self._bucket}/{self._key(key)}"

    def _key(self, key: str) -> str:
        return self._prefix + _checked(key)


class EncryptedStore:
    """A store that encrypts objects on `put` and decrypts them on `get`, as the settings say."""

    def __init__(self, store: ObjectStore, encryption: Encryption) -> None:
        self._store = store
        self._encryption = encryption

    def put(self, key: str, data: bytes, content_type: str = "image/jpeg") -> None:
        """Encrypt and write an object."""
        self._store.put(key, self._encryption.encrypt(data, object_context(key)), content_type)

    def get(self, key: str) -> bytes:
        """Read and decrypt an object. Raises MissingKeyError and TamperedError."""
        return self._encryption.decrypt(self._store.get(key), object_context(key))

    def delete(self, key: str) -> None:
        """Delete an object."""
        self._store.delete(key)

    def delete_all(self, keys: Sequence[str]) -> dict[str, str]:
        """Delete objects."""
        return self._store.delete_all(keys)

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys that begin with a prefix."""
        return self._store.keys(prefix)

    def location(self, key: str) -> str:
        """Return the path or URL of an encrypted object."""
        return self._store.location(key)


def open_store(settings: Settings) -> ObjectStore:
    """Return the store of the settings: a bucket, else the embedded stack's folder; encrypted."""
    return EncryptedStore(open_raw_store(settings), Encryption(settings))


def open_raw_store(settings: Settings) -> ObjectStore:
    """Return the store of the settings without encryption: objects as they are stored."""
    if settings.s3_bucket:
        return S3Store(settings.s3_bucket, settings.s3_prefix, settings.s3_endpoint_url)
    return FolderStore(objects_folder(settings))


def _checked(key: str) -> str:
    parts = key.split("/")
    if (
        len(key.encode(errors="replace")) > _MAX_KEY_BYTES
        or any(not part or part.startswith(".") for part in parts)
        or not all(char.isprintable() and char != "\\" for char in key)
    ):
        raise SightlineError(f"{key[:120]!r} is no key of an object")
    return key


def _make_private(folder: Path) -> None:
    if not folder.is_dir():
        _make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def _sync_folder(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


@contextmanager
def _disk(verb: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        hint = "; free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        raise InfrastructureError(f"cannot {verb} {path}: {error.strerror}{hint}") from error


@contextmanager
def _s3(request: str) -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise InfrastructureError(f"S3, {request}: {error}") from error


def _is_refusal(error: "ClientError") -> bool:
    """Tell whether the service refused the request, rather than failed."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if status == HTTPStatus.NOT_IMPLEMENTED:
        return True
    return 400 <= status < 500 and status != HTTPStatus.TOO_MANY_REQUESTS


def _s3_client(endpoint_url: str | None) -> "S3Client":
    # Imported here: most installations use a folder, and boto3 is slow to load.
    import boto3  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415

    return boto3.client(
        "s3",
        endpoint_url=endpoint_url,
        config=Config(
            connect_timeout=_CONNECT_TIMEOUT_SECONDS,
            read_timeout=_READ_TIMEOUT_SECONDS,
            retries={"total_max_attempts": _MAX_ATTEMPTS, "mode": "standard"},
            # S3-compatible servers know neither a host for each bucket nor every checksum.
            s3={"addressing_style": "path" if endpoint_url else "auto"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )
