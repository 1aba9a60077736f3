"""Objects, most of them pictures: in a folder, or in S3 and what speaks its language."""

import errno
import hashlib
import os
import tempfile
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from schemas.topics import LIVE
from sightline.runtime.connection_urls import objects_folder
from sightline.runtime.errors import InfrastructureError, SightlineError
from sightline.runtime.settings import Settings
from sightline.storage.encryption import Sealing, is_sealed

if TYPE_CHECKING:
    from botocore.exceptions import ClientError
    from types_boto3_s3 import S3Client

_MAX_KEY_BYTES = 1024
"""S3's own limit."""

_MAX_SAFE_BYTES = 120
"""Leaves room within the 255 bytes of a file name for a time and an extension."""

_HASH_DIGITS = 10

_BYTES = "application/octet-stream"

_CONNECT_SECONDS = 5
_READ_SECONDS = 20
_ATTEMPTS = 4


class NoSuchObjectError(SightlineError):
    """Nothing has that key."""


class ObjectStore(Protocol):
    """Named bytes. Keys are relative paths with "/", no part of which starts with a dot.

    Every method raises SightlineError for a key that is none, and InfrastructureError when
    the disk or the service fails.
    """

    def put(self, key: str, data: bytes, content_type: str = "image/jpeg") -> None:
        """Write an object, whole or not at all; replaces what has that key."""
        ...

    def get(self, key: str) -> bytes:
        """Read an object. Raises NoSuchObjectError when there is none."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error."""
        ...

    def delete_all(self, keys: Sequence[str]) -> dict[str, str]:
        """Remove up to 1,000 objects; by key the errors of those that could not be removed.

        A key that is none is such an error. Raises InfrastructureError when the store fails as
        a whole.
        """
        ...

    def keys(self, prefix: str = "") -> Iterator[str]:
        """The keys that begin with a prefix, in order."""
        ...

    def location(self, key: str) -> str:
        """Where a person finds the object: a path or an s3:// URL."""
        ...


class FolderStore:
    """Objects as files below a folder that only its owner can read."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, key: str, data: bytes, content_type: str = "image/jpeg") -> None:  # noqa: ARG002
        """Write a file beside its place, then rename it: a reader never sees half of one."""
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
        """Remove a file."""
        path = self._path(key)
        with _disk("delete", path):
            path.unlink(missing_ok=True)

    def delete_all(self, keys: Sequence[str]) -> dict[str, str]:
        """Remove files."""
        failed: dict[str, str] = {}
        for key in keys:
            try:
                self.delete(key)
            except (SightlineError, InfrastructureError) as error:
                failed[key] = str(error)
        return failed

    def keys(self, prefix: str = "") -> Iterator[str]:
        """The files whose path below the folder begins with a prefix."""
        for path in sorted(self._root.rglob("*")):
            key = path.relative_to(self._root).as_posix()
            if key.startswith(prefix) and not path.name.startswith(".") and path.is_file():
                yield key

    def location(self, key: str) -> str:
        """The file's path."""
        return str(self._path(key))

    def _path(self, key: str) -> Path:
        path = self._root / _checked(key)
        # A link inside the folder could still lead out of it.
        if not path.resolve().is_relative_to(self._root.resolve()):
            raise SightlineError(f"the key {key!r} leaves {self._root}")
        return path


class S3Store:
    """Objects in a bucket, below a prefix. Credentials come from where boto3 finds them."""

    def __init__(self, bucket: str, prefix: str = "", endpoint_url: str | None = None) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._client = _s3_client(endpoint_url)

    def put(self, key: str, data: bytes, content_type: str = "image/jpeg") -> None:
        """Upload an object; one that is sealed is bytes to whoever looks into the bucket."""
        kind = _BYTES if is_sealed(data) else content_type
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
        """Remove an object."""
        with _s3(f"delete {self.location(key)}"):
            self._client.delete_object(Bucket=self._bucket, Key=self._key(key))

    def delete_all(self, keys: Sequence[str]) -> dict[str, str]:
        """Remove objects with one request, or one by one where the server refuses that."""
        failed: dict[str, str] = {}
        asked: dict[str, str] = {}  # keys by what they are called in the bucket
        for key in keys:
            try:
                asked[self._key(key)] = key
            except SightlineError as error:
                failed[key] = str(error)
        if asked:
            with _s3(f"delete {len(asked)} objects of s3://{self._bucket}/{self._prefix}"):
                for name, why in self._delete_all(list(asked)).items():
                    failed[asked[name]] = f"S3, delete {self.location(asked[name])}: {why}"
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
            return self._delete_each(names)  # not every maker's server takes several at once
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
        """The keys below the store's prefix that begin with `prefix`."""
        with _s3(f"list s3://{self._bucket}/{self._prefix}{prefix}"):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix + prefix
            )
            for page in pages:
                for entry in page.get("Contents", []):
                    yield entry["Key"].removeprefix(self._prefix)

    def location(self, key: str) -> str:
        """The object's URL."""
        return f"s3://{self._bucket}/{self._key(key)}"

    def _key(self, key: str) -> str:
        return self._prefix + _checked(key)


class SealedStore:
    """A store that seals what is put into it and opens what is got, as the settings say."""

    def __init__(self, store: ObjectStore, sealing: Sealing) -> None:
        self._store = store
        self._sealing = sealing

    def put(self, key: str, data: bytes, content_type: str = "image/jpeg") -> None:
        """Write an object, sealed."""
        self._store.put(key, self._sealing.seal(data, name_of(key)), content_type)

    def get(self, key: str) -> bytes:
        """Read an object. Raises MissingKeyError, and TamperedError for one that was changed."""
        return self._sealing.open(self._store.get(key), name_of(key))

    def delete(self, key: str) -> None:
        """Remove an object."""
        self._store.delete(key)

    def delete_all(self, keys: Sequence[str]) -> dict[str, str]:
        """Remove objects."""
        return self._store.delete_all(keys)

    def keys(self, prefix: str = "") -> Iterator[str]:
        """The keys that begin with a prefix."""
        return self._store.keys(prefix)

    def location(self, key: str) -> str:
        """Where the sealed object lies."""
        return self._store.location(key)


def open_store(settings: Settings) -> ObjectStore:
    """The bucket that is set, else the folder of the embedded stack; sealed where that is set."""
    return SealedStore(open_raw_store(settings), Sealing(settings))


def open_raw_store(settings: Settings) -> ObjectStore:
    """The same with its objects as they lie there."""
    if settings.s3_bucket:
        return S3Store(settings.s3_bucket, settings.s3_prefix, settings.s3_endpoint_url)
    return FolderStore(objects_folder(settings))


def name_of(key: str) -> str:
    """What an object is sealed as."""
    return f"objects/{key}"


def run_prefix(run: str) -> str:
    """What the keys of a run's pictures begin with."""
    return "" if run == LIVE else f"runs/{run}/"


def safe_name(name: str) -> str:
    """A person's name as part of a key; different names give different parts.

    Letters of all scripts and digits stay, everything else becomes "_". Where more than
    spaces was replaced, or the name was cut, "-" and a hash of the name follow: "-" stands
    nowhere else, so that no name can look like another's.
    """
    composed = unicodedata.normalize("NFC", name)
    kept = "".join(char if _is_letter_or_digit(char) else "_" for char in composed)
    cut = kept.encode()[:_MAX_SAFE_BYTES].decode(errors="ignore")
    if cut and cut.replace("_", " ") == name:
        return cut
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:_HASH_DIGITS]
    return f"{cut}-{digest}"


def _is_letter_or_digit(char: str) -> bool:
    category = unicodedata.category(char)
    return category[0] in "LM" or category == "Nd"  # many scripts write vowels as marks (M)


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
def _s3(what: str) -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise InfrastructureError(f"S3, {what}: {error}") from error


def _is_refusal(error: "ClientError") -> bool:
    """Whether the service has refused what was asked, rather than failed."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if status == HTTPStatus.NOT_IMPLEMENTED:
        return True
    return 400 <= status < 500 and status != HTTPStatus.TOO_MANY_REQUESTS


def _s3_client(endpoint_url: str | None) -> "S3Client":
    # Imported here: most installations keep a folder, and boto3 takes its time to load.
    import boto3  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415

    return boto3.client(
        "s3",
        endpoint_url=endpoint_url,
        config=Config(
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
            retries={"total_max_attempts": _ATTEMPTS, "mode": "standard"},
            # Other makers' servers know neither a bucket's own host nor every checksum.
            s3={"addressing_style": "path" if endpoint_url else "auto"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )
