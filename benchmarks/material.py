"""Films, photos and models to measure on: the shared ones, else the demo's and the pack dlib."""

from dataclasses import dataclass, replace
from pathlib import Path

import cv2

from ops.demo.demo_persons import DEMO_PERSONS, cut_out, enrolment_photo
from ops.demo.film import Scene, render, write_film
from ops.demo.scenario import scenes

SHARED = Path(__file__).resolve().parents[2] / "shared"

PHOTOS = (
    ("Lin-Manuel Miranda", SHARED / "media" / "photos" / "lin-manuel-miranda.png"),
    ("Alex Lacamoire", SHARED / "media" / "photos" / "alex-lacamoire.png"),
    ("Joe Biden", SHARED / "media" / "photos" / "biden.jpg"),
)
"""Photos of people in the stage clip."""

FACE_MODELS = tuple(
    SHARED / "models" / name for name in ("scrfd_2.5g_bnkps.onnx", "mobilefacenet_128.onnx")
)
"""Models without a person detector: faces are followed."""


@dataclass(frozen=True, slots=True)
class Material:
    """A film, photos of people to enrol, and a folder of models or None for the pack dlib."""

    film: Path
    photos: tuple[tuple[str, Path], ...]
    models: Path | None


def shared_material() -> Material | None:
    """Return the stage clip with the shared models, or None if they are absent."""
    film, models = SHARED / "media" / "stage_clip.mp4", SHARED / "models"
    return Material(film, PHOTOS, models) if film.is_file() and models.is_dir() else None


def absent(*paths: Path) -> str | None:
    """Return which of the shared files is missing, or None."""
    missing = [path for path in paths if not path.exists()]
    return f"no {missing[0].relative_to(SHARED.parent)} next to the project" if missing else None


def link_face_models(folder: Path) -> Path:
    """Make a folder of models with the face models alone."""
    models = folder / "models"
    models.mkdir()
    for path in FACE_MODELS:
        (models / path.name).symlink_to(path)
    return models


_UNLIT_GAIN = 0.07
"""Light on a person whose face is detected, and too dark for an observation."""


def own_films(
    folder: Path,
    seconds: float | None = None,
    count: int | None = None,
    *,
    last_is_unlit: bool = False,
) -> tuple[list[Path], tuple[tuple[str, Path], ...]]:
    """Make the demo's films and the photos of its enrolled people in a folder.

    `seconds` is a shorter length of each film; people who walk longer are left out. `count` is the
    number of films, else all. `last_is_unlit`: nobody can tell who the last one of each film is.
    """
    cuts = {member.name: cut_out(member) for member in DEMO_PERSONS}
    films = []
    for scene in scenes()[:count]:
        films.append(folder / f"{scene.camera}.mp4")
        shown = scene if seconds is None else _cut(scene, seconds)
        write_film(films[-1], render(_with_unlit_last(shown) if last_is_unlit else shown, cuts))
    photos = []
    for member in DEMO_PERSONS:
        if member.enrolled:
            photos.append((member.name, folder / f"{member.name}.jpg"))
            cv2.imwrite(str(photos[-1][1]), enrolment_photo(member))
    return films, tuple(photos)


def _cut(scene: Scene, seconds: float) -> Scene:
    walks = tuple(walk for walk in scene.walks if walk.starts + walk.seconds <= seconds)
    return replace(scene, seconds=seconds, walks=walks)


def _with_unlit_last(scene: Scene) -> Scene:
    *others, last = scene.walks
    return replace(scene, walks=(*others, replace(last, gain=_UNLIT_GAIN)))


def material(folder: Path) -> Material:
    """Return the shared material, or the demo's."""
    films_photos = shared_material()
    if films_photos is not None:
        return films_photos
    films, photos = own_films(folder)
    return Material(films[0], photos, None)
