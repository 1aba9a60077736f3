"""The ORL portraits as shots: 40 people, 10 each, embedded once by each pack and kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import platformdirs

from benchmarks.material import SHARED
from sightline.identity.evidence import Shot
from sightline.settings import Settings
from sightline.vision.interface import BGRImage
from sightline.vision.packs import ModelPack, load_pack, resolve_pack
from sightline.vision.quality import assess

PEOPLE, PORTRAITS = 40, 10
ORL = SHARED / "media" / "orl"

SOURCE = "40 people of the ORL portraits (Olivetti Research Laboratory, Samaria and Harter 1994)"


@dataclass(frozen=True, slots=True)
class Canvas:
    """How a portrait of 92x112 is shown to a pack, so that it finds the face."""

    enlarged: float
    side: int


CANVASES = {"dlib": Canvas(2.5, 380)}
"""dlib's embedder looks at 150 px of a face."""
_CANVAS = Canvas(1.6, 320)


def packs() -> list[Settings]:
    """The packs that there are: that of the shared models, and dlib."""
    settings = [Settings(pack="dlib")]
    if (SHARED / "models").is_dir():
        settings.insert(0, Settings(models=SHARED / "models"))
    return settings


def framed(path: Path, canvas: Canvas) -> BGRImage:
    """A portrait, enlarged, in the middle of a black square: side x side x 3."""
    small = cv2.imread(str(path))
    if small is None:
        raise FileNotFoundError(path)
    large = cv2.resize(
        small, None, fx=canvas.enlarged, fy=canvas.enlarged, interpolation=cv2.INTER_CUBIC
    )
    height, width = large.shape[:2]
    top, left = (canvas.side - height) // 2, (canvas.side - width) // 2
    picture = np.zeros((canvas.side, canvas.side, 3), np.uint8)
    picture[top : top + height, left : left + width] = large
    return picture


def canvas_of(pack: str) -> Canvas:
    """How portraits are shown to a pack."""
    return CANVASES.get(pack, _CANVAS)


def orl_shots(settings: Settings) -> tuple[str, dict[str, list[Shot]]]:
    """A pack's id, and its shots of each person. Portraits without a face are left out.

    Embeddings are kept in the user's cache folder.
    """
    pack = resolve_pack(settings).id
    canvas = canvas_of(pack)
    folder = platformdirs.user_cache_path("sightline") / "benchmarks"
    kept = folder / f"orl-{pack}-{canvas.enlarged}-{canvas.side}.npz"
    if not kept.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        shots = _embedded(load_pack(settings), canvas)
        np.savez(
            kept,
            ids=[shot.id for shot in shots],
            vectors=np.stack([shot.vector for shot in shots]),
            qualities=[shot.quality for shot in shots],
        )
    with np.load(kept) as stored:
        rows = zip(stored["ids"], stored["vectors"], stored["qualities"], strict=True)
        return pack, _by_person([Shot(str(id_), vec, float(good)) for id_, vec, good in rows])


def _embedded(pack: ModelPack, canvas: Canvas) -> list[Shot]:
    shots = []
    for person in range(1, PEOPLE + 1):
        for number in range(1, PORTRAITS + 1):
            picture = framed(ORL / f"s{person}_{number}.pgm", canvas)
            faces = pack.faces.detect(picture)
            if faces:
                quality = float(assess(picture, faces[0]).overall)
                vector = pack.embedder.embed(picture, faces[0])
                shots.append(Shot(f"s{person}_{number}", vector, quality))
    return shots


def _by_person(shots: Sequence[Shot]) -> dict[str, list[Shot]]:
    people: dict[str, list[Shot]] = {}
    for shot in shots:
        people.setdefault(shot.id.partition("_")[0], []).append(shot)
    return people
