"""Check that rows lead back to the right face: each to its frame and box.

`sightline explain` finds the frame of each row; a face that the detector finds in it must overlap
the box, and its best score of all people must be that of the row's person.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import cv2
import numpy as np

from ops.explain.explanation import Explanation, explain
from schemas.naming import template_context, track_context
from sightline.identity.evidence import Vector
from sightline.models.interface import Face, ModelPack
from sightline.people import template_similarity
from sightline.runtime.settings import Settings
from sightline.storage import face_columns
from sightline.storage.db import Connection, connect

_OVERLAP = 0.5
"""Of face and box, over their union."""

# Who is enrolled by their photos, who is not by their face on whichever track shows it best.
_ENROLLED = """
SELECT employee.global_id, template_id, embedding, embedding_sealed FROM face_templates template
JOIN employees employee ON employee.id = template.employee_id WHERE template.pack = %s
"""
_UNKNOWN_PERSONS = """
SELECT global_id, face_track, face_embedding, face_embedding_sealed FROM detected_persons
WHERE person_id IS NULL AND embedding_pack = %s
"""


def check(settings: Settings, pack: ModelPack, folder: Path) -> list[dict[str, Any]]:
    """Explain everybody's last row of the access log; report if its picture has the right face."""
    with connect(settings) as db:
        ids = db.execute(
            "SELECT DISTINCT ON (global_id) id, global_id FROM access_logs"
            " ORDER BY global_id, timestamp DESC, id"
        ).fetchall()
        templates = templates_by_person(db, pack.id)
        return [_checked(explain(settings, db, row), row, person, templates, pack, folder)
                for row, person in ids]  # fmt: skip


def templates_by_person(db: Connection, pack: str) -> dict[int, list[Vector]]:
    """Return all templates, encrypted or not, by global id."""
    templates: dict[int, list[Vector]] = defaultdict(list)
    for query, name in ((_ENROLLED, template_context), (_UNKNOWN_PERSONS, track_context)):
        cursor = db.execute(query, (pack,))
        for person, known_as, *columns in cursor:
            face = face_columns.from_columns(cursor, name(known_as), *columns)
            if face is not None:
                templates[person].append(face)
    return templates


def _checked(
    explanation: Explanation,
    row: UUID,
    person: int,
    templates: dict[int, list[Vector]],
    pack: ModelPack,
    folder: Path,
) -> dict[str, Any]:
    path = folder / f"{row}.jpg"
    opened = explanation.write_frame(path) and cv2.imread(str(path)) is not None
    result: dict[str, Any] = {"row": str(row), "opened": opened, "overlap": 0.0, "right": False}
    observation = explanation.annotated_frame
    if (
        not opened
        or observation is None
        or observation.frame is None
        or observation.face_box is None
    ):
        return result
    image = cv2.imdecode(np.frombuffer(observation.frame.jpeg, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        return result
    pixels = np.asarray(image, np.uint8)
    faces = [(overlap(face, observation.face_box), face) for face in pack.faces.detect([pixels])[0]]
    best, face = max(faces, key=lambda one: one[0], default=(0.0, None))
    if face is None or best < _OVERLAP:
        return result | {"overlap": best}
    [vector] = pack.embedder.embed([(pixels, face)])
    alike = {
        candidate: template_similarity.score(vector, person_templates)
        for candidate, person_templates in templates.items()
    }
    return result | {
        "overlap": best,
        "right": max(alike, key=lambda candidate: alike[candidate]) == person,
    }


def overlap(face: Face, box: Sequence[float]) -> float:
    """Intersection over union of a face and a box x1, y1, x2, y2."""
    a, b = face.box.astype(float), np.asarray(box, float)
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    both = float(np.prod(np.maximum(sides, 0)))
    return both / (float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2])) - both)
