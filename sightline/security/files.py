"""Files of a secure home: pairs of certificate and key, and what their owner alone can read."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Pair:
    """Files of a certificate and its key."""

    certificate: Path
    key: Path


def write_secret(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all, that its owner alone can read."""
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)
    draft.write_bytes(content)
    draft.replace(path)
