"""People to enrol: portraits cut out of pictures that come inside the dependencies."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import cv2
import numpy as np
from PIL import Image

from ops.demo.demo_persons import DEMO_PERSONS, enrolment_photo
from schemas import ids
from schemas import sightline_pb2 as pb
from schemas.naming import track_context
from schemas.topics import GALLERY
from sightline.identity.evidence import Vector
from sightline.people import employee_changes
from sightline.people.picture_files import Photo
from sightline.runtime.settings import Settings
from sightline.storage import face_columns
from sightline.storage.db import connect
from tests.support import read_topic

MEMBERS = {member.name: member for member in DEMO_PERSONS}


def photo(who: str, *, mirrored: bool = False, light: float = 1.0) -> Photo:
    """A photo of one of the demo's cast."""
    image = enrolment_photo(MEMBERS[who])
    lit = np.clip(image.astype(np.float32) * light, 0, 255).astype(np.uint8)
    flipped = cv2.flip(lit, 1) if mirrored else lit
    done, data = cv2.imencode(".png", flipped)
    assert done
    return Photo(f"{who}{' mirrored' if mirrored else ''} {light}", data.tobytes())


def encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    """A picture file."""
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def saved(folder: Path, name: str, one: Photo) -> Path:
    """The photo as a file."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(one.data)
    return path


def gallery(stack: Settings) -> dict[str, pb.GalleryPerson]:
    """Whom the topic tells matchers of now, by person id."""
    now: dict[str, pb.GalleryPerson] = {}
    for record in read_topic(stack, GALLERY.name):
        key = (record.key or b"").decode()
        now.pop(key, None)
        if record.value:
            now[key] = pb.GalleryPerson.FromString(record.value)
    return now


def met(stack: Settings, face: Vector, pack: str = "backup-pack") -> tuple[int, str]:
    """Somebody whom a camera has met: their global id and their track."""
    track = str(uuid4())
    person = ids.global_id(track)
    with connect(stack) as db, db.cursor() as cursor:
        columns = face_columns.to_columns(cursor, track_context(track), face)
        cursor.execute(
            "INSERT INTO person_tracks (track_uuid, camera_id, first_seen, last_seen, detections,"
            " last_box, global_id, embedding, embedding_sealed, pack, face_quality, epoch,"
            " decided_at, decision, site_id) VALUES (%s, 'people-cam', now(), now(), 3,"
            " '{1,2,3,4}', %s, %s, %s, %s, 0.8, 0, now(), 2, 'people-site')",
            (track, person, *columns, pack),
        )
        cursor.execute(
            "INSERT INTO detected_persons (global_id, face_track, face_embedding,"
            " face_embedding_sealed, embedding_pack, first_seen, last_seen)"
            " VALUES (%s, %s, %s, %s, %s, now(), now())",
            (person, track, *columns, pack),
        )
    return person, track


@contextmanager
def nobody_of(stack: Settings, pack: str) -> Iterator[None]:
    """Whoever is enrolled with a pack is removed before and after, and whom cameras have met.

    Faces are enrolled once, and who was met with one is taken for whoever is enrolled with it.
    """
    _remove_all(stack, pack)
    yield
    _remove_all(stack, pack)


def _remove_all(stack: Settings, pack: str) -> None:
    for (person,) in rows(
        stack, "SELECT DISTINCT employee_id FROM face_templates WHERE pack = %s", pack
    ):
        employee_changes.remove(stack, person)
    with connect(stack) as db:
        db.execute("DELETE FROM detected_persons WHERE embedding_pack = %s", (pack,))


def rows(stack: Settings, query: str, *values: Any) -> list[tuple[Any, ...]]:
    """What a query finds."""
    with connect(stack) as db:
        return db.execute(query, values).fetchall()
