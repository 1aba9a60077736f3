"""Files that their owner alone can read: keys, certificates and pictures of people."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from sightline.runtime.errors import SightlineError

PRIVATE_UMASK = 0o077
"""Files that a process creates are readable by their owner alone."""


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Paths of a certificate and its key."""

    certificate: Path
    key: Path


def write_private_file(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all, that its owner alone can read."""
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)
    draft.write_bytes(content)
    draft.replace(path)


def open_private(path: str, flags: int) -> int:
    """Open a file so that its owner alone can read it, an existing one as well.

    An `opener` for `open()`. Pipes and devices keep their mode.
    """
    descriptor = os.open(path, flags, 0o600)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.fchmod(descriptor, 0o600)
    return descriptor


def restrict_folder(folder: Path) -> bool:
    """Set a folder's mode to 0700; return whether others had access.

    Raises SightlineError for a shared folder, such as / and /tmp, and for another user's.
    """
    mode = stat.S_IMODE(folder.stat().st_mode)
    if not mode & 0o077:
        return False
    if folder.resolve() == Path("/") or mode & stat.S_ISVTX:
        raise SightlineError(f"{folder} is everybody's: set SIGHTLINE_HOME to a folder of its own")
    try:
        folder.chmod(0o700)
    except PermissionError as error:
        raise SightlineError(
            f"others may enter {folder}, which is another user's: make it your own"
        ) from error
    return True
