"""Labelled portraits: a folder for each person, or the people who are enrolled."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ops.calibration.measure import People
from sightline.identity.evidence import Shot
from sightline.models.packs import ModelPack
from sightline.models.quality import assess
from sightline.people.photos import normalised, only_face, read_photo
from sightline.runtime.errors import PhotoError, SightlineError
from sightline.runtime.settings import Settings
from sightline.storage import face_columns
from sightline.storage.db import Connection

Progress = Callable[[float], None]
"""Is told how much is done, 0 to 1."""


@dataclass(slots=True)
class Portraits:
    """What a folder holds."""

    people: dict[str, list[Shot]] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    """Photos that cannot be used, each with the reason."""
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def used(self) -> int:
        """How many photos can be."""
        return sum(map(len, self.people.values()))


def read_portraits(
    folder: Path, pack: ModelPack, settings: Settings, progress: Progress = lambda _: None
) -> Portraits:
    """The portraits in a folder that has one for each person.

    Photos that cannot be used are counted and left out. Raises SightlineError where there are
    no folders of people.
    """
    photos = _photos(folder)
    found = Portraits()
    for done, path in enumerate(photos):
        own = found.people.setdefault(path.parent.name, [])
        label = f"{path.parent.name}/{path.name}"
        try:
            own.append(_shot(path, label, pack, settings))
        except PhotoError as error:
            found.skipped.append(str(error))
            found.reasons[error.reason] += 1
        except SightlineError as error:
            found.skipped.append(str(error))
            found.reasons["UNREADABLE"] += 1
        progress((done + 1) / len(photos))
    return found


def _shot(path: Path, label: str, pack: ModelPack, settings: Settings) -> Shot:
    """Held to what the shots of a track are held to, not to what enrolment asks: it is their
    scores that are measured. Raises SightlineError."""
    image, face = only_face(normalised(read_photo(path)), label, pack)
    quality = assess(image, face)
    refused = quality.refusal(settings.evidence.min_face_px, settings.evidence.min_quality)
    if refused is not None:
        raise PhotoError(refused, f"{label}: the face is {refused}")
    return Shot(label, pack.embedder.embed(image, face), float(quality.overall))


def _photos(folder: Path) -> list[Path]:
    try:
        people = sorted(path for path in folder.iterdir() if path.is_dir())
        photos = [
            path
            for person in people
            for path in sorted(person.iterdir())
            if path.is_file() and not path.name.startswith(".")
        ]
    except OSError as error:
        raise SightlineError(f"{error.filename}: {error.strerror}") from error
    if not photos:
        raise SightlineError(
            f"{folder} holds no photos of people: give a folder with one folder for each person"
        )
    return photos


_TEMPLATES = """
SELECT employee_id::text, template_id::text, quality, embedding, embedding_sealed
FROM face_templates
WHERE pack = %s AND source = 'photo' ORDER BY employee_id, template_id
"""


def enrolled(db: Connection, pack: str) -> People:
    """The templates that enrolled people's photos have with a pack, by person's id."""
    people: dict[str, list[Shot]] = {}
    cursor = db.execute(_TEMPLATES, (pack,))
    for person, template, quality, *columns in cursor:
        face = face_columns.from_columns(cursor, face_columns.of_template(template), *columns)
        if face is not None:
            people.setdefault(person, []).append(Shot(template, face, quality))
    return people
