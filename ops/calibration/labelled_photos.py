"""Labelled portraits from folders of people, or from the enrolled people."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ops.calibration.measure import People
from schemas.naming import template_context
from sightline.identity.evidence import Observation
from sightline.models.image_files import is_hidden
from sightline.models.interface import ModelPack
from sightline.models.quality import assess
from sightline.people.photos import detect_only_face
from sightline.people.picture_files import read_photo, to_upright_jpeg
from sightline.runtime.errors import PhotoError, SightlineError
from sightline.runtime.settings import Settings
from sightline.storage import face_columns
from sightline.storage.db import Connection

Progress = Callable[[float], None]
"""Callback with the completed fraction, 0 to 1."""


@dataclass(slots=True)
class LabelledPhotos:
    """Portraits of a folder by person, and the photos left out."""

    people: dict[str, list[Observation]] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    """Unusable photos, each with the reason."""
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def usable(self) -> int:
        """Number of usable photos."""
        return sum(map(len, self.people.values()))


def read_labelled_photos(
    folder: Path, pack: ModelPack, settings: Settings, progress: Progress = lambda _: None
) -> LabelledPhotos:
    """Read the portraits of a folder that has one subfolder per person.

    Unusable photos are counted and left out. Raises SightlineError if there are no subfolders
    with photos.
    """
    photos = _photos(folder)
    portraits = LabelledPhotos()
    for number, path in enumerate(photos):
        observations = portraits.people.setdefault(path.parent.name, [])
        label = f"{path.parent.name}/{path.name}"
        try:
            observations.append(_observation(path, label, pack, settings))
        except SightlineError as error:
            portraits.skipped.append(str(error))
            reason = error.reason if isinstance(error, PhotoError) else "UNREADABLE"
            portraits.reasons[reason] += 1
        progress((number + 1) / len(photos))
    return portraits


def _observation(path: Path, label: str, pack: ModelPack, settings: Settings) -> Observation:
    """Check and embed a photo. Raises SightlineError.

    The checks are those of a track's observations, not those of enrolment, because scores of
    tracks are measured.
    """
    image, face = detect_only_face(to_upright_jpeg(read_photo(path)), label, pack)
    quality = assess(image, face)
    refused = quality.refusal(settings.evidence.min_face_px, settings.evidence.min_quality)
    if refused is not None:
        raise PhotoError(refused, f"{label}: the face is {refused}")
    [embedding] = pack.embedder.embed([(image, face)])
    return Observation(label, embedding, float(quality.overall))


def _photos(folder: Path) -> list[Path]:
    try:
        people = sorted(path for path in folder.iterdir() if path.is_dir())
        photos = [
            path
            for person in people
            for path in sorted(person.iterdir())
            if path.is_file() and not is_hidden(path)
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


def enrolled_templates(db: Connection, pack: str) -> People:
    """Return the templates of enrolled people's photos of a pack, by employee id."""
    people: dict[str, list[Observation]] = {}
    cursor = db.execute(_TEMPLATES, (pack,))
    for person, template, quality, *columns in cursor:
        face = face_columns.from_columns(cursor, template_context(template), *columns)
        if face is not None:
            people.setdefault(person, []).append(Observation(template, face, quality))
    return people
