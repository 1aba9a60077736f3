"""The whole way back, put together: row, sighting, shots, models, corrections, frame."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np

from ops.explain import models, picture, records, rows
from ops.explain.records import Evidence
from ops.explain.rows import Origin
from schemas import sightline_pb2 as pb
from schemas.topics import LIVE
from sightline.identity.evidence import Vector
from sightline.people import template_similarity
from sightline.runtime.clock import to_datetime
from sightline.runtime.settings import Settings
from sightline.storage import runs
from sightline.storage.db import Connection

Row = dict[str, Any]

_WHY = (
    "person_name global_id employee_id access_status confidence_score score threshold shots"
    " runner_up runner_up_score candidate candidate_score wanted_rate gallery_people"
    " gallery_revision reason pack"
)


@dataclass(frozen=True, slots=True)
class Seen:
    """The frame that a row points to, and what was found in it."""

    position: pb.Position
    track_box: picture.Box | None
    face_box: picture.Box | None
    frame: pb.Frame | None
    """None where Kafka has it no more."""


@dataclass(frozen=True, slots=True)
class Way:
    """The way of a row back to its frame."""

    told: Row
    """All but the picture, as JSON has it."""
    seen: Seen | None

    def write_frame(self, path: Path) -> bool:
        """Write the frame with its boxes; False where it is gone."""
        if self.seen is None or self.seen.frame is None:
            return False
        picture.write(path, self.seen.frame.jpeg, self.seen.track_box, self.seen.face_box)
        return True


def way(settings: Settings, db: Connection, given: UUID) -> Way:
    """Find out where a row comes from. Raises NotFoundError, InfrastructureError."""
    found = rows.origin(db, given, settings.run)
    known = records.evidence(settings, found.run, found.track_id, rows.begin(db, found))
    seen = _seen(settings, found, known)
    persons = {one.global_id for _at, one in known.decisions} | {found.seen["global_id"]}
    told = {
        "asked": str(given),
        "is": found.kind,
        "run": found.run,
        "visit": found.visit,
        "sighting": _sighting(db, found),
        "track": found.track,
        "ended": to_datetime(known.ended.ended_at_us) if known.ended else None,
        "decisions": [_decision(at, one) for at, one in known.decisions],
        "observations": _observations(rows.looks(db, found), known),
        "calibration": rows.calibration(db, found),
        "models": models.files_of(_models_of(settings, db, found.run), str(found.seen["pack"])),
        "corrections": rows.corrections(db, found.track_id, {one for one in persons if one}),
        "promotions": rows.promotions(db, found),
        "frame": _frame(seen),
    }
    return Way(told, seen)


def _sighting(db: Connection, found: Origin) -> Row | None:
    """The decision in force, with the names of those who were near."""
    if found.access is None:
        return None
    row = found.access
    near = [str(row[one]) for one in ("runner_up", "candidate") if row[one]]
    names = rows.names(db, near)
    told = {
        "id": row["id"],
        "track": row["track_uuid"],
        "epoch": row["epoch"],
        "camera": row["camera_id"],
        "site": row["site_id"],
        "motion_event": row["motion_event_id"],
        "decided_at": row["timestamp"],
        "recorded_at": row["recorded_at"],
        "snapshot": row["snapshot_path"],
    }
    told |= {name: row[name] for name in _WHY.split()}
    return told | {
        f"{one}_name": names[str(row[one])]
        for one in ("runner_up", "candidate")
        if str(row[one]) in names
    }


def _decision(at: pb.Position, one: pb.Sighting) -> Row:
    return {
        "at": to_datetime(one.decided_at_us) if one.decided_at_us else None,
        "status": pb.Sighting.Status.Name(one.status).lower(),
        "name": one.name or None,
        "global_id": one.global_id or None,
        "score": one.score,
        "threshold": one.threshold,
        "confidence": one.confidence,
        "shots": one.shots,
        "reason": one.reason or None,
        "record": _place(at),
    }


def _observations(looks: Sequence[Vector], known: Evidence) -> list[Row]:
    """The shots; `score` is how alike each is to whom the row names, as they are known now."""
    return [
        {
            "id": one.observation_id,
            "at": to_datetime(one.captured_at_us),
            "epoch": one.epoch,
            "score": _score(one, looks),
            "quality": one.quality.overall,
            "size_px": one.quality.size_px,
            "sharpness": one.quality.sharpness,
            "frontality": one.quality.frontality,
            "detector_score": one.quality.detector_score,
            "face_box": _box(one.face_box),
            "pack": one.pack,
            "frame": _place(one.frame),
            "record": _place(at),
        }
        for at, one in known.observations
    ]


def _score(one: pb.FaceObservation, looks: Sequence[Vector]) -> float | None:
    vector = np.frombuffer(one.embedding, "<f4")
    same = [look for look in looks if len(look) == len(vector)]
    return template_similarity.score(vector, same) if same else None


def _seen(settings: Settings, found: Origin, known: Evidence) -> Seen | None:
    """The row's frame; of a track that is nobody that of its best shot."""
    shots = [one for _at, one in known.observations]
    if found.access:
        row = found.access
        position = pb.Position(
            topic=row["frame_topic"], partition=row["frame_partition"], offset=row["frame_offset"]
        )
        shots = [one for one in shots if one.frame == position]
        face = row["face_box"]
    elif shots:
        best = max(shots, key=lambda one: one.quality.overall)
        shots, position, face = [best], best.frame, _box(best.face_box)
    else:
        return None
    body = _box(shots[0].track_box) if shots else None
    frame = records.frame_at(settings, position, found.seen["camera_id"])
    return Seen(position, body, face, frame)


def _frame(seen: Seen | None) -> Row | None:
    if seen is None:
        return None
    frame = seen.frame
    return _place(seen.position) | {
        "retained": frame is not None,
        "captured_at": to_datetime(frame.captured_at_us) if frame else None,
        "sequence": frame.sequence if frame else None,
        "width": frame.width if frame else None,
        "height": frame.height if frame else None,
        "face_box": seen.face_box,
        "track_box": seen.track_box,
    }


def _models_of(settings: Settings, db: Connection, run: str) -> Settings:
    """The settings with the folder of models that a run was made with."""
    known = None if run == LIVE else runs.find(db, run)
    if known is None or known.models is None:
        return settings
    return settings.model_copy(update={"models": known.models})


def _place(at: pb.Position) -> Row:
    return {"topic": at.topic, "partition": at.partition, "offset": at.offset}


def _box(box: pb.Box) -> list[float]:
    return [box.x1, box.y1, box.x2, box.y2]
