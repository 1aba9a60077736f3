"""Class-data archive of Kafka's JVM: a start maps the classes instead of parsing and verifying.

The JVM itself writes it when a broker ends, and ignores one that does not fit. It lies beside the
jars, and is used by all homes of a user.
"""

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

_QUIET = "-Xlog:cds=off,cds+dynamic=off,class+path=off"  # the log is for what the broker says

_WRITE = "-XX:ArchiveClassesAtExit="


def archive_path(java: str, jars: Path) -> Path:
    """Return the path of the archive of a JVM with some jars; another build has another path."""
    program = Path(java).resolve()
    state = program.stat()
    identity = f"{program} {state.st_size} {state.st_mtime_ns}"
    return jars.with_name(f"{jars.name}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}.jsa")


def reading_options(archive: Path) -> list[str]:
    """Return the options of a JVM that uses an archive, if there is one."""
    return [_QUIET, f"-XX:SharedArchiveFile={archive}"] if archive.exists() else []


def writing_options(draft: Path) -> list[str]:
    """Return the options of a JVM that writes an archive at its end, in a second or two."""
    return [_QUIET, f"{_WRITE}{draft}"]


def is_writing(command: Sequence[str]) -> bool:
    """Return whether a JVM with this command line writes an archive at its end."""
    return any(option.startswith(_WRITE) for option in command)


def publish(draft: Path, archive: Path) -> None:
    """Move an archive to its place, whole or not at all; nothing is moved to a read-only cache."""
    copy = archive.with_name(f"{archive.name}.{uuid4().hex}")
    try:
        shutil.move(draft, copy)  # the home may be on another disk
        copy.rename(archive)
    except OSError:
        copy.unlink(missing_ok=True)
