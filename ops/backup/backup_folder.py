"""Folder of a backup: its files, its manifest and its checksums.

manifest.json     time of the backup, and counts
database.dump     PostgreSQL's custom format: `pg_restore` reads it
home/             files of the home: config.yaml, keys, audit trail's end, erasure reports
objects/          pictures as stored, so encrypted if they are
checksums         SHA-256 of all files, for `sha256sum -c checksums`
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from pydantic import BaseModel

from sightline.runtime.errors import SightlineError

VERSION = 1

DUMP = "database.dump"
HOME = "home"
OBJECTS = "objects"

_MANIFEST = "manifest.json"
_CHECKSUMS = "checksums"


class BackupManifest(BaseModel):
    """Manifest of a backup."""

    format: str = "sightline-backup"
    version: int = VERSION
    made_at: str
    revision: str
    """Revision of the database's schema."""
    rows: int
    objects: int


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield a folder to fill; it gets its name when it is complete, readable by its owner alone.

    Raises SightlineError if the folder exists already, or the disk fails.
    """
    if folder.exists():
        raise SightlineError(f"{folder} is there already: give a folder that is not")
    draft = folder.with_name(f".{folder.name}.{uuid4().hex[:8]}")
    try:
        draft.mkdir(mode=0o700)
        yield draft
        _write_checksums(draft)
        draft.rename(folder)
    except OSError as error:
        raise SightlineError(f"{folder} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)  # an incomplete backup holds faces and keys too


def save(folder: Path, manifest: BackupManifest) -> None:
    """Write the manifest."""
    (folder / _MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n")


def verified(folder: Path) -> BackupManifest:
    """Verify all files. Raises SightlineError for one that differs, is missing or extra."""
    try:
        manifest = BackupManifest.model_validate_json((folder / _MANIFEST).read_text())
        lines = (folder / _CHECKSUMS).read_text().splitlines()
    except FileNotFoundError:
        raise SightlineError(f"{folder} is no backup of `sightline backup`") from None
    except (OSError, ValueError) as error:
        raise SightlineError(f"{folder} is damaged: {error}") from None
    if manifest.version != VERSION:
        raise SightlineError(f"{folder} is a backup of another version")
    checksums = dict(_split(line, folder) for line in lines)
    existing = {path.relative_to(folder).as_posix() for path in _files(folder)}
    if existing != set(checksums):
        difference = sorted(existing ^ set(checksums))[0]
        raise SightlineError(f"{folder} is damaged: {difference} is not what was written")
    for name, expected in checksums.items():
        if _checksum(folder / name) != expected:
            raise SightlineError(f"{folder} is damaged: {name} has changed")
    return manifest


def _split(line: str, folder: Path) -> tuple[str, str]:
    expected, two_spaces, name = line.partition("  ")
    if not two_spaces:
        raise SightlineError(f"{folder} is damaged: {_CHECKSUMS} cannot be read")
    return name, expected


def _write_checksums(folder: Path) -> None:
    with (folder / _CHECKSUMS).open("w") as file:
        for path in _files(folder):
            file.write(f"{_checksum(path)}  {path.relative_to(folder).as_posix()}\n")
        file.flush()
        os.fsync(file.fileno())


def _files(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.rglob("*") if path.is_file() and path != folder / _CHECKSUMS
    )


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
