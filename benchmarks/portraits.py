"""The ORL portraits as shots: 40 people, 10 each, embedded once by each pack and kept."""

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import platformdirs
from numpy.typing import NDArray

from benchmarks.material import SHARED
from sightline.identity.evidence import Shot
from sightline.models.interface import BGRImage
from sightline.models.packs import ModelPack, load_pack, resolve_pack
from sightline.models.quality import assess
from sightline.people import photos
from sightline.runtime.settings import Settings

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


@dataclass(frozen=True, slots=True)
class Portraits:
    """What a pack sees in the portraits, by person."""

    pack: str
    seen: dict[str, list[Shot]]
    """All in which it finds a face."""
    shots: frozenset[str]
    """Ids of those that are good enough for a track."""
    photos: frozenset[str]
    """Ids of those that are good enough to enrol."""

    def good(self) -> dict[str, list[Shot]]:
        """Those that are good enough for a track."""
        return {
            name: [shot for shot in own if shot.id in self.shots] for name, own in self.seen.items()
        }


def orl_portraits(settings: Settings) -> Portraits:
    """The portraits as a pack sees them.

    Embeddings are kept in the user's cache folder.
    """
    pack = resolve_pack(settings).id
    canvas = canvas_of(pack)
    folder = platformdirs.user_cache_path("sightline") / "benchmarks"
    kept = folder / f"orl-{pack}-{canvas.enlarged}-{canvas.side}.npz"
    if not kept.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(kept, **_measured(load_pack(settings), canvas, settings))  # type: ignore[arg-type]
    with np.load(kept) as stored:
        seen: dict[str, list[Shot]] = {}
        rows = zip(stored["ids"], stored["vectors"], stored["qualities"], strict=True)
        for id_, vector, quality in rows:
            shot = Shot(str(id_), vector, float(quality))
            seen.setdefault(shot.id.partition("_")[0], []).append(shot)
        shots, photos = stored["ids"][stored["shots"]], stored["ids"][stored["photos"]]
    return Portraits(pack, seen, frozenset(shots.tolist()), frozenset(photos.tolist()))


def _measured(
    pack: ModelPack, canvas: Canvas, settings: Settings
) -> dict[str, NDArray[np.generic]]:
    """Columns: id, vector, quality, whether it is good enough for a track and to enrol."""
    rows = []
    for person, number in product(range(1, PEOPLE + 1), range(1, PORTRAITS + 1)):
        picture = framed(ORL / f"s{person}_{number}.pgm", canvas)
        for face in pack.faces.detect(picture)[:1]:
            quality = assess(picture, face)
            shot = quality.refusal(settings.evidence.min_face_px, settings.evidence.min_quality)
            photo = photos.refusal(quality)
            vector = pack.embedder.embed(picture, face)
            overall = float(quality.overall)
            rows.append((f"s{person}_{number}", vector, overall, shot is None, photo is None))
    names = ("ids", "vectors", "qualities", "shots", "photos")
    columns = zip(*rows, strict=True)
    return {name: np.array(column) for name, column in zip(names, columns, strict=True)}
