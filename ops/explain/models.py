"""Which models a pack's vectors are from, as far as its files are here."""

from pathlib import Path
from typing import Any

from sightline.models.dlib_pack import PACK_ID, weight_files
from sightline.models.files import sha256
from sightline.models.packs import resolve_pack
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings import Settings


def files_of(settings: Settings, pack: str) -> list[dict[str, Any]]:
    """The files of a pack with their SHA-256, as they are now; none where it is not here.

    The settings name the folder in which they are to be looked for.
    """
    return [
        {"model": what, "file": path.name, "folder": str(path.parent), "sha256": sha256(path)}
        for what, path in _paths(settings, pack).items()
    ]


def _paths(settings: Settings, pack: str) -> dict[str, Path]:
    try:
        if pack == PACK_ID:
            return weight_files()
        found = resolve_pack(settings)
    except SightlineError:
        return {}  # what was there is not any more
    if found.id != pack:
        return {}
    named = {"persons": found.persons, "faces": found.faces, "embedder": found.embedder}
    return {what: path for what, path in named.items() if path is not None}
