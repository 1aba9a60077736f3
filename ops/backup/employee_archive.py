"""Archive of tables: a zip of CSV files whose last 64 characters are the SHA-256 of the rest.

The checksum is the end of the zip's comment, so any tool opens the archive. The file is readable
by its owner alone.
"""

import hashlib
import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pydantic import BaseModel

from sightline.runtime.errors import SightlineError

FORMAT = "sightline-people"
VERSION = 1

_MANIFEST = "manifest.json"
_COMMENT = b"biometric data; sha256 of all before: "
_DIGEST_CHARACTERS = 64
_CHUNK_BYTES = 1 << 20


class ArchiveManifest(BaseModel):
    """Contents of the archive."""

    format: str
    version: int
    made_at: str
    tables: dict[str, int]
    """Number of rows by table."""
    keys: list[str] = []
    """Ids of the keys that its embeddings are encrypted with."""


@contextmanager
def new_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """Give a zip to fill; it appears at the path once it is complete. Raises SightlineError."""
    draft = path.with_name(f".{path.name}.draft")
    try:
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "r+b") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                yield archive
                archive.comment = _COMMENT + b"0" * _DIGEST_CHARACTERS
            file.seek(0)
            digest = _digest(file, file.seek(0, os.SEEK_END) - _DIGEST_CHARACTERS)
            file.seek(-_DIGEST_CHARACTERS, os.SEEK_END)
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
    """Write the manifest into the archive."""
    manifest = ArchiveManifest(
        format=FORMAT, version=VERSION, made_at=made_at, tables=dict(tables), keys=keys
    )
    archive.writestr(_MANIFEST, manifest.model_dump_json(indent=1))


@contextmanager
def open_checked(path: Path) -> Iterator[tuple[zipfile.ZipFile, ArchiveManifest]]:
    """Open an archive after checking its checksum and version. Raises SightlineError."""
    try:
        with path.open("rb") as file:
            _check_digest(file, path)
            with zipfile.ZipFile(file) as archive:
                yield archive, _manifest(archive, path)
    except OSError as error:
        raise SightlineError(f"{path}: {error.strerror}") from error
    except zipfile.BadZipFile as error:
        raise SightlineError(f"{path} is no backup of people") from error


def _manifest(archive: zipfile.ZipFile, path: Path) -> ArchiveManifest:
    try:
        manifest = ArchiveManifest.model_validate_json(archive.read(_MANIFEST))
    except (KeyError, ValueError):
        raise SightlineError(f"{path} is no backup of people") from None
    if (manifest.format, manifest.version) != (FORMAT, VERSION):
        raise SightlineError(
            f"{path} is of version {manifest.version} of {manifest.format[:40]}; this program reads"
            f" version {VERSION} of {FORMAT}"
        )
    return manifest


def _check_digest(file: IO[bytes], path: Path) -> None:
    size = file.seek(0, os.SEEK_END)
    if size <= _DIGEST_CHARACTERS:
        raise SightlineError(f"{path} is no backup of people")
    file.seek(size - _DIGEST_CHARACTERS)
    stored_digest = file.read(_DIGEST_CHARACTERS)
    if stored_digest != _digest(file, size - _DIGEST_CHARACTERS):
        raise SightlineError(
            f"{path} is cut off or damaged: its checksum is wrong; nothing was restored"
        )


def _digest(file: IO[bytes], length: int) -> bytes:
    """Return the SHA-256 of the file's first `length` bytes as hexadecimal digits."""
    sha256 = hashlib.sha256()
    file.seek(0)
    while length and (chunk := file.read(min(_CHUNK_BYTES, length))):
        sha256.update(chunk)
        length -= len(chunk)
    return sha256.hexdigest().encode()
