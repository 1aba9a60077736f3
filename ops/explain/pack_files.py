"""Model files of a pack, as far as they are on this machine."""

from pathlib import Path
from typing import Any

from sightline.models.dlib_pack import PACK_ID, weight_files
from sightline.models.file_hashes import sha256_of_file
from sightline.models.packs import resolve_pack
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings import Settings


def files_of(settings: Settings, pack: str) -> list[dict[str, Any]]:
    """Return the files of a pack with their SHA-256 of now; empty if the pack is not here.

    The settings name the folder of models.
    """
    return [
        {
            "model": model,
            "file": path.name,
            "folder": str(path.parent),
            "sha256": sha256_of_file(path),
        }
        for model, path in _paths(settings, pack).items()
    ]


def _paths(settings: Settings, pack: str) -> dict[str, Path]:
    try:
        if pack == PACK_ID:
            return weight_files()
        pack_in_use = resolve_pack(settings)
    except SightlineError:
        return {}  # the files were removed
    if pack_in_use.id != pack:
        return {}
    paths = {
        "persons": pack_in_use.persons,
        "faces": pack_in_use.faces,
        "embedder": pack_in_use.embedder,
    }
    return {model: path for model, path in paths.items() if path is not None}
