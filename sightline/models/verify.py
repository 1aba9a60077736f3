"""Verification of a pack's files: each runs on a picture, and is the file that was fetched."""

import time
from collections.abc import Callable
from importlib.resources import as_file, files
from pathlib import Path
from typing import TypedDict

import cv2
import numpy as np

from sightline.models.dlib_pack import WEIGHTS_SHA256, weight_files
from sightline.models.fetch import recorded_hashes
from sightline.models.file_hashes import sha256_of_file
from sightline.models.interface import BGRImage, ModelPack
from sightline.models.onnx_session import require_insightface
from sightline.models.packs import PackFiles, load_pack, resolve_pack
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings import Settings


class FileCheck(TypedDict):
    """The verification of one model file; `intact` is None where no hash is recorded."""

    file: str
    role: str
    sha256: str
    intact: bool | None
    found: str
    ms: float


def verify_pack(settings: Settings) -> list[FileCheck]:
    """Load and run each file of the pack in use on a picture of six people.

    Raises:
        SightlineError: A file is missing, broken or changed, or detects nothing in the picture.
    """
    files_of_pack = resolve_pack(settings)
    pack = load_pack(settings)
    picture = sample_picture()
    checks = []
    for role, path in _model_files(files_of_pack).items():
        digest = sha256_of_file(path)
        intact = _intact(path, digest)
        if intact is False:
            raise SightlineError(
                f"model file {path} is not what was fetched: delete its folder, then run "
                f"`sightline models fetch`, or install face_recognition_models again"
            )
        result, ms = _run(_TRIALS[role], pack, picture)
        checks.append(
            FileCheck(file=str(path), role=role, sha256=digest, intact=intact, found=result, ms=ms)
        )
    return checks


def sample_picture() -> BGRImage:
    """Return a picture (886, 1280, 3) of six people from the package insightface."""
    require_insightface()
    with as_file(files("insightface") / "data" / "images" / "t1.jpg") as path:
        picture = cv2.imread(str(path))
    if picture is None:
        raise SightlineError("insightface's picture t1.jpg is missing: install insightface again")
    return np.asarray(picture, np.uint8)


def _model_files(pack: PackFiles) -> dict[str, Path]:
    if pack.faces is None or pack.embedder is None:
        return weight_files()
    persons = {"persons": pack.persons} if pack.persons else {}
    return persons | {"faces": pack.faces, "embedder": pack.embedder}


def _intact(path: Path, digest: str) -> bool | None:
    recorded = recorded_hashes(path.parent).get(path.name) or WEIGHTS_SHA256.get(path.name)
    return None if recorded is None else recorded == digest


def _run(
    trial: Callable[[ModelPack, BGRImage], str], pack: ModelPack, picture: BGRImage
) -> tuple[str, float]:
    trial(pack, picture)  # the first run also sets up
    began = time.perf_counter()
    result = trial(pack, picture)
    return result, round((time.perf_counter() - began) * 1000, 1)


def _persons(pack: ModelPack, picture: BGRImage) -> str:
    people = len(pack.persons.detect([picture])[0].boxes) if pack.persons else 0
    if not people:
        raise SightlineError("the person detector finds nobody in a picture of six people")
    return f"{people} people"


def _faces(pack: ModelPack, picture: BGRImage) -> str:
    [faces] = pack.faces.detect([picture])
    if not faces:
        raise SightlineError("the face detector finds no face in a picture of six people")
    return f"{len(faces)} faces"


def _embedder(pack: ModelPack, picture: BGRImage) -> str:
    [faces] = pack.faces.detect([picture])
    embeddings = np.stack(pack.embedder.embed([(picture, face) for face in faces]))
    similarity = embeddings @ embeddings.T - np.eye(len(embeddings))
    return f"{pack.embedder.dimension} numbers; two people at most {similarity.max():.2f} alike"


_TRIALS: dict[str, Callable[[ModelPack, BGRImage], str]] = {
    "persons": _persons,
    "faces": _faces,
    "landmarks": _faces,
    "embedder": _embedder,
}
