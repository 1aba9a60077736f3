"""PostgreSQL for root: it refuses to run as root, so it runs as a system user of its own.

That user may not enter a home, and no folder above a home is opened for it. Its files are in a
folder of their own, which other users cannot enter either:

    /var/lib/sightline-postgres/
        server-.../    PostgreSQL's programs, copied from where they are installed
        ID/            data of one home, whose `postgres` is a link to it
            home       path of the home that it belongs to
"""

import errno
import logging
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import uuid4

from sightline.runtime.errors import SightlineError
from sightline.runtime.file_locks import locked
from sightline.runtime.private_files import write_private_file

log = logging.getLogger(__name__)

SYSTEM_USER = "sightline-postgres"

DATA_ROOT = Path("/var/lib/sightline-postgres")
"""Folder of the data; a link here to another disk needs folders that let the user through."""

_FOLDER_MODE = 0o710  # root's; the system user may enter and not list
_HOME_FILE = "home"


def system_user() -> str | None:
    """Return the user that PostgreSQL runs as; None is the current user.

    Root gets the system user, made if absent. Raises SightlineError if it cannot be made.
    """
    if os.geteuid() != 0:
        return None
    if not _has_user():
        _make_user()
    return SYSTEM_USER


def copy_for_system_user(name: str, root: Path, parts: Sequence[str]) -> Path:
    """Copy `parts` of the folder `root` for the system user, once for each name.

    Returns the folder that stands for `root`. The copy appears whole or not at all. Raises
    SightlineError if it cannot be written.
    """
    copy = _make_place() / f"server-{name}"
    try:
        with locked(DATA_ROOT / "servers.lock"):
            if not copy.exists():
                _copy(root, parts, copy)
    except OSError as error:
        raise _not_written(error) from error
    return copy


def data_folder(entry: Path) -> Path:
    """Return the folder of a home's `postgres`: itself, or the target of the link.

    In a copied home the link leads to the data of another home: the result is the link itself.
    """
    if not entry.is_symlink() or _is_copied(entry):
        return entry
    return entry.resolve()


def settle_data_folder(entry: Path) -> None:
    """Give a home whose server is down a data folder that the system user may enter.

    Data of an earlier version are moved out of the home. A crash at any point loses nothing: the
    next call continues. Raises SightlineError if it cannot be written, or the home leads to data
    that are missing or another home's.
    """
    root = _make_place()
    moved = entry.with_name("postgres.moved")
    try:
        if not entry.is_symlink():
            link = entry.with_name("postgres.link")  # keeps the target until all files are there
            if not link.is_symlink():
                link.symlink_to(root / uuid4().hex)
            place = link.readlink()
            if entry.is_dir():
                _move(entry, place, moved)
            place.mkdir(mode=_FOLDER_MODE, exist_ok=True)
            link.rename(entry)
        place = _checked(entry)
        _give_to_group(place, _FOLDER_MODE)
        _write_home(place, entry.parent.resolve())
        if moved.exists():
            shutil.rmtree(moved)
    except (OSError, subprocess.CalledProcessError) as error:
        raise _not_written(error) from error


def homes() -> Iterator[tuple[Path, Path]]:
    """Yield each home of this machine's root and its data folder, removed homes included."""
    if os.geteuid() == 0:
        for record in DATA_ROOT.glob(f"*/{_HOME_FILE}"):
            yield _read_home(record), record.parent


def remove_data_folders(folder: Path) -> None:
    """Remove the data folders of all homes at or below a folder; their servers are down."""
    for home, place in list(homes()):
        if home.is_relative_to(folder.resolve()):
            shutil.rmtree(place)


def _has_user() -> bool:
    try:
        pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        return False
    return True


def _make_user() -> None:
    try:
        subprocess.run(
            [
                "useradd", "--system", "--user-group", "--no-create-home", "--shell", "/bin/false",
                SYSTEM_USER,
            ],
            capture_output=True, check=True, umask=0o022,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError) as error:
        if _has_user():
            return  # another home has made it meanwhile
        raise SightlineError(
            f"PostgreSQL does not run as root, and no user {SYSTEM_USER} could be made: {error}"
        ) from error


def _make_place() -> Path:
    try:
        DATA_ROOT.mkdir(mode=_FOLDER_MODE, exist_ok=True)
        _give_to_group(DATA_ROOT, _FOLDER_MODE)
    except OSError as error:
        raise _not_written(error) from error
    return DATA_ROOT.resolve()


def _not_written(error: Exception) -> SightlineError:
    return SightlineError(
        f"PostgreSQL of root keeps its data in {DATA_ROOT}, which cannot be written: {error}"
    )


def _give_to_group(path: Path, mode: int) -> None:
    """Give a path to root and the system user's group; the group first, then the mode."""
    shutil.chown(path, "root", SYSTEM_USER)
    path.chmod(mode)


def _copy(root: Path, parts: Sequence[str], copy: Path) -> None:
    draft = copy.with_name(f"{copy.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)  # of an interrupted call
    for part in parts:
        shutil.copytree(root / part, draft / part, symlinks=True, dirs_exist_ok=True)
    for path in (draft, *draft.rglob("*")):
        if not path.is_symlink():
            # The files may have been installed under a strict umask.
            runs = path.stat().st_mode & 0o100
            _give_to_group(path, 0o750 if runs else 0o640)
    os.sync()
    draft.rename(copy)


def _write_home(place: Path, home: Path) -> None:
    record = place / _HOME_FILE
    if not record.exists() or _read_home(record) != home:
        write_private_file(record, os.fsencode(home))


def _read_home(record: Path) -> Path:
    return Path(os.fsdecode(record.read_bytes()))


def _is_copied(entry: Path) -> bool:
    """Return True if a home leads to another home's data; a moved home does not."""
    record = entry / _HOME_FILE
    try:
        home = _read_home(record)
        return not home.samefile(entry.parent) and (home / entry.name).samefile(entry)
    except OSError:  # the target does not exist any more
        return False


def _checked(entry: Path) -> Path:
    place = entry.resolve()
    if not place.is_dir():
        raise SightlineError(f"the database of {entry.parent} is missing: it was in {place}")
    if _is_copied(entry):
        raise SightlineError(
            f"{place} is the database of the home {_read_home(place / _HOME_FILE)}, of which"
            f" {entry.parent} is a copy: `sightline backup` and `restore` copy a home"
        )
    return place


def _move(entry: Path, place: Path, aside: Path) -> None:
    """Move a data folder; to another disk it is copied whole before the original goes."""
    data = entry / "data"
    if data.exists() and data.stat().st_uid != pwd.getpwnam(SYSTEM_USER).pw_uid:
        raise SightlineError(f"{data} is not of {SYSTEM_USER}: run this as its owner")
    if entry.is_mount():
        raise SightlineError(
            f"{entry} is a disk of its own: mount it where {SYSTEM_USER} may enter, and make"
            f" {entry} a link to it"
        )
    log.warning("moving PostgreSQL's data from %s to %s", entry, place)
    try:
        entry.rename(place)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        draft = place.with_name(f"{place.name}.draft")
        for stale in (draft, place):  # of an interrupted call
            shutil.rmtree(stale, ignore_errors=True)
        subprocess.run(["cp", "--archive", entry, draft], capture_output=True, check=True)
        os.sync()
        draft.rename(place)
        entry.rename(aside)
