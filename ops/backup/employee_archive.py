"""A file of tables: a zip of CSV files whose last 64 characters are the SHA-256 of the rest.

Any tool opens it: the checksum is the end of the zip's comment. The file is its owner's alone.
"""

import hashlib
import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from pydantic import BaseModel, ValidationError

from sightline.runtime.errors import SightlineError

FORMAT = "sightline-people"
VERSION = 1

_MANIFEST = "manifest.json"
_COMMENT = b"biometric data; sha256 of all before: "
_DIGITS = 64
_CHUNK = 1 << 20


class Manifest(BaseModel):
    """What is in the file."""

    format: str
    version: int
    made_at: str
    tables: dict[str, int]
    """How many rows of each table."""
    keys: list[str] = []
    """Ids of the keys that faces in it are sealed with."""


@contextmanager
def written(path: Path) -> Iterator[zipfile.ZipFile]:
    """A zip to fill, which appears at the path when it is whole. Raises SightlineError."""
    draft = path.with_name(f".{path.name}.draft")
    try:
        number = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(number, "r+b") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                yield archive
                archive.comment = _COMMENT + b"0" * _DIGITS
            file.seek(0)
            digest = _digest(file, file.seek(0, os.SEEK_END) - _DIGITS)
            file.seek(-_DIGITS, os.SEEK_END)
            file.write(digest)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise SightlineError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        draft.unlink(missing_ok=True)


def write_manifest(
    archive: zipfile.ZipFile, made_at: str, tables: Mapping[str, int], keys: list[str]
) -> None:
    """Say what is in the file."""
    manifest = Manifest(
        format=FORMAT, version=VERSION, made_at=made_at, tables=dict(tables), keys=keys
    )
    archive.writestr(_MANIFEST, json.dumps(manifest.model_dump(), indent=1))


@contextmanager
def checked(path: Path) -> Iterator[tuple[zipfile.ZipFile, Manifest]]:
    """A file that is whole and of this version. Raises SightlineError for any other."""
    try:
        with path.open("rb") as file:
            _check_sum(file, path)
            with zipfile.ZipFile(file) as archive:
                yield archive, _manifest(archive, path)
    except OSError as error:
        raise SightlineError(f"{path}: {error.strerror}") from error
    except zipfile.BadZipFile as error:
        raise SightlineError(f"{path} is no backup of people") from error


def _manifest(archive: zipfile.ZipFile, path: Path) -> Manifest:
    try:
        said: Any = json.loads(archive.read(_MANIFEST))
        manifest = Manifest.model_validate(said)
    except (KeyError, ValueError, ValidationError):
        raise SightlineError(f"{path} is no backup of people") from None
    if (manifest.format, manifest.version) != (FORMAT, VERSION):
        raise SightlineError(
            f"{path} is of version {manifest.version} of {manifest.format[:40]}; this program reads"
            f" version {VERSION} of {FORMAT}"
        )
    return manifest


def _check_sum(file: IO[bytes], path: Path) -> None:
    size = file.seek(0, os.SEEK_END)
    if size <= _DIGITS:
        raise SightlineError(f"{path} is no backup of people")
    file.seek(size - _DIGITS)
    said = file.read(_DIGITS)
    if said != _digest(file, size - _DIGITS):
        raise SightlineError(
            f"{path} is cut off or damaged: its checksum is wrong; nothing was restored"
        )


def _digest(file: IO[bytes], length: int) -> bytes:
    """SHA-256 of the file's first bytes, in hexadecimal digits."""
    sha256 = hashlib.sha256()
    file.seek(0)
    while length and (chunk := file.read(min(_CHUNK, length))):
        sha256.update(chunk)
        length -= len(chunk)
    return sha256.hexdigest().encode()
