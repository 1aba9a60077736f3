"""Hashes of model files."""

import hashlib
from pathlib import Path


def sha256_of_file(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
