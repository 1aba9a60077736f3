"""The folder of a backup: what is in it, and whether it is whole.

manifest.json     when it was made, and how much there is
database.dump     PostgreSQL's custom format: `pg_restore` reads it
home/             of the home: config.yaml, keys, the audit trail's end, reports of erasures
objects/          pictures, sealed where they are sealed
checksums         SHA-256 of all of it, as `sha256sum -c checksums` reads them
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from pydantic import BaseModel, ValidationError

from sightline.runtime.errors import SightlineError

VERSION = 1

DUMP = "database.dump"
HOME = "home"
OBJECTS = "objects"

_MANIFEST = "manifest.json"
_CHECKSUMS = "checksums"


class Manifest(BaseModel):
    """What a backup says of itself."""

    format: str = "sightline-backup"
    version: int = VERSION
    made_at: str
    revision: str
    """Of the database's schema."""
    rows: int
    objects: int


@contextmanager
def written(folder: Path) -> Iterator[Path]:
    """A folder to fill, which is there under its name when it is whole; its owner's alone.

    Raises SightlineError where there is something already, or the disk fails.
    """
    if folder.exists():
        raise SightlineError(f"{folder} is there already: give a folder that is not")
    draft = folder.with_name(f".{folder.name}.{uuid4().hex[:8]}")
    try:
        draft.mkdir(mode=0o700)
        yield draft
        _sum_up(draft)
        draft.rename(folder)
    except OSError as error:
        raise SightlineError(f"{folder} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)  # faces and keys of a backup that is none


def save(folder: Path, manifest: Manifest) -> None:
    """Write what the backup says of itself."""
    (folder / _MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n")


def checked(folder: Path) -> Manifest:
    """Read it all once. Raises SightlineError where a file differs, is missing or is one more."""
    try:
        manifest = Manifest.model_validate_json((folder / _MANIFEST).read_text())
        lines = (folder / _CHECKSUMS).read_text().splitlines()
    except FileNotFoundError:
        raise SightlineError(f"{folder} is no backup of `sightline backup`") from None
    except (OSError, ValueError, ValidationError) as error:
        raise SightlineError(f"{folder} is damaged: {error}") from None
    if manifest.version != VERSION:
        raise SightlineError(f"{folder} is a backup of another version")
    sums = dict(_split(line, folder) for line in lines)
    there = {path.relative_to(folder).as_posix() for path in _files(folder)}
    if there != set(sums):
        wrong = sorted(there ^ set(sums))[0]
        raise SightlineError(f"{folder} is damaged: {wrong} is not what was written")
    for name, expected in sums.items():
        if _sum(folder / name) != expected:
            raise SightlineError(f"{folder} is damaged: {name} has changed")
    return manifest


def _split(line: str, folder: Path) -> tuple[str, str]:
    expected, two_spaces, name = line.partition("  ")
    if not two_spaces:
        raise SightlineError(f"{folder} is damaged: {_CHECKSUMS} cannot be read")
    return name, expected


def _sum_up(folder: Path) -> None:
    lines = [f"{_sum(path)}  {path.relative_to(folder).as_posix()}\n" for path in _files(folder)]
    with (folder / _CHECKSUMS).open("w") as file:
        file.writelines(lines)
        file.flush()
        os.fsync(file.fileno())


def _files(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.rglob("*") if path.is_file() and path != folder / _CHECKSUMS
    )


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
