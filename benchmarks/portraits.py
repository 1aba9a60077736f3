"""The ORL portraits as observations: 40 people, 10 each, embedded once per pack and cached."""

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import platformdirs
from numpy.typing import NDArray

from benchmarks import walks
from benchmarks.material import SHARED
from sightline.identity.evidence import Observation
from sightline.models.interface import BGRImage, ModelPack
from sightline.models.packs import load_pack, resolve_pack
from sightline.models.quality import assess
from sightline.people import photos
from sightline.runtime.settings import Settings

PEOPLE, PORTRAITS = 40, 10
ORL = SHARED / "media" / "orl"

SOURCE = "40 people of the ORL portraits (Olivetti Research Laboratory, Samaria and Harter 1994)"


@dataclass(frozen=True, slots=True)
class Canvas:
    """Scale and square canvas (px) of a 92x112 portrait, so that a pack detects the face."""

    enlarged: float
    side: int


CANVASES = {"dlib": Canvas(2.5, 380)}
"""dlib's embedder uses 150 px of a face."""
_CANVAS = Canvas(1.6, 320)


def packs() -> list[Settings]:
    """Return settings of the available packs: the shared models', and dlib."""
    settings = [Settings(pack="dlib")]
    if (SHARED / "models").is_dir():
        settings.insert(0, Settings(models=SHARED / "models"))
    return settings


def framed(path: Path, canvas: Canvas) -> BGRImage:
    """Place an enlarged portrait in the middle of a black square: side x side x 3, BGR."""
    return walks.framed(path, canvas.enlarged, canvas.side)


def canvas_of(pack: str) -> Canvas:
    """Return the canvas for a pack."""
    return CANVASES.get(pack, _CANVAS)


@dataclass(frozen=True, slots=True)
class Portraits:
    """A pack's observations of the portraits, by person."""

    pack: str
    observations: dict[str, list[Observation]]
    """All portraits with a detected face."""
    usable: frozenset[str]
    """Ids of observations that are good enough for a track."""
    photos: frozenset[str]
    """Ids of observations that are good enough to enrol."""

    def good(self) -> dict[str, list[Observation]]:
        """Return the observations that are good enough for a track."""
        return {
            name: [observation for observation in observations if observation.id in self.usable]
            for name, observations in self.observations.items()
        }


def orl_portraits(settings: Settings) -> Portraits:
    """Return a pack's observations of the portraits.

    Embeddings are cached in the user's cache folder.
    """
    pack = resolve_pack(settings).id
    canvas = canvas_of(pack)
    folder = platformdirs.user_cache_path("sightline") / "benchmarks"
    cache_file = folder / f"orl-{pack}-{canvas.enlarged}-{canvas.side}.npz"
    if not cache_file.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(cache_file, **_measured(load_pack(settings), canvas, settings))  # type: ignore[arg-type]
    with np.load(cache_file) as stored:
        observations: dict[str, list[Observation]] = {}
        rows = zip(stored["ids"], stored["vectors"], stored["qualities"], strict=True)
        for id_, vector, quality in rows:
            observation = Observation(str(id_), vector, float(quality))
            observations.setdefault(observation.id.partition("_")[0], []).append(observation)
        usable, photos = stored["ids"][stored["shots"]], stored["ids"][stored["photos"]]
    return Portraits(pack, observations, frozenset(usable.tolist()), frozenset(photos.tolist()))


def _measured(
    pack: ModelPack, canvas: Canvas, settings: Settings
) -> dict[str, NDArray[np.generic]]:
    """Return columns: id, vector, quality, good enough for a track, good enough to enrol."""
    rows = []
    for person, number in product(range(1, PEOPLE + 1), range(1, PORTRAITS + 1)):
        picture = framed(ORL / f"s{person}_{number}.pgm", canvas)
        for face in pack.faces.detect([picture])[0][:1]:
            quality = assess(picture, face)
            evidence = settings.evidence
            is_usable = quality.refusal(evidence.min_face_px, evidence.min_quality) is None
            is_photo = photos.photo_refusal(quality) is None
            [vector] = pack.embedder.embed([(picture, face)])
            overall = float(quality.overall)
            rows.append((f"s{person}_{number}", vector, overall, is_usable, is_photo))
    names = ("ids", "vectors", "qualities", "shots", "photos")
    columns = zip(*rows, strict=True)
    return {name: np.array(column) for name, column in zip(names, columns, strict=True)}
