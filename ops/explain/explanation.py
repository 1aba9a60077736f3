"""Explanation of a row: sighting, observations, models, corrections, frame."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np

from ops.explain import frame_drawing, kafka_records, pack_files, row_origin
from ops.explain.kafka_records import TrackRecords
from ops.explain.row_origin import Origin
from schemas import sightline_pb2 as pb
from schemas.topics import LIVE
from sightline.identity.evidence import Vector
from sightline.people import template_similarity
from sightline.people.one_of import one_of
from sightline.runtime.clock import to_datetime
from sightline.runtime.settings import Settings
from sightline.storage import runs
from sightline.storage.camera_names import name_of
from sightline.storage.db import Connection

Row = dict[str, Any]

_DECISION_COLUMNS = (
    "person_name global_id employee_id access_status confidence_score score threshold shots"
    " runner_up runner_up_score candidate candidate_score wanted_rate gallery_people"
    " gallery_revision reason face_attempts refusals pack"
)

_QUALITY_FIELDS = ("size_px", "sharpness", "frontality", "detector_score")


@dataclass(frozen=True, slots=True)
class AnnotatedFrame:
    """Frame that a row points to, with the boxes of track and face."""

    position: pb.Position
    track_box: frame_drawing.Box | None
    face_box: frame_drawing.Box | None
    frame: pb.Frame | None
    """None if Kafka has deleted it."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Explanation of a row, back to its frame."""

    fields: Row
    """Fields for JSON: all but the picture."""
    annotated_frame: AnnotatedFrame | None

    def write_frame(self, path: Path) -> bool:
        """Write the frame with its boxes; return False if Kafka has deleted it."""
        if self.annotated_frame is None or self.annotated_frame.frame is None:
            return False
        frame_drawing.write(
            path,
            self.annotated_frame.frame.jpeg,
            self.annotated_frame.track_box,
            self.annotated_frame.face_box,
        )
        return True


def explain(settings: Settings, db: Connection, row_id: UUID) -> Explanation:
    """Explain a row. Raises NotFoundError, InfrastructureError."""
    origin = row_origin.origin(db, row_id, settings.run)
    track_records = kafka_records.track_records(
        settings, origin.run, origin.track_id, row_origin.earliest_moment(db, origin)
    )
    frame = _frame_of(settings, origin, track_records)
    persons = {sighting.global_id for _at, sighting in track_records.decisions}
    persons |= {origin.primary_row["global_id"] or 0}
    fields = {
        "asked": str(row_id),
        "is": origin.kind,
        "run": origin.run,
        "visit": _with_camera_name(db, origin.visit, "camera_name"),
        "sighting": _sighting(db, origin),
        "track": _with_camera_name(db, origin.track, "camera_id"),
        "ended": to_datetime(track_records.ended.ended_at_us) if track_records.ended else None,
        "decisions": [_decision(at, sighting) for at, sighting in track_records.decisions],
        "observations": _observations(row_origin.templates_of_today(db, origin), track_records),
        "calibration": row_origin.calibration(db, origin),
        "models": pack_files.files_of(
            _models_of(settings, db, origin.run), str(origin.primary_row["pack"])
        ),
        "corrections": row_origin.corrections(db, origin.track_id, filter(None, persons)),
        "promotions": row_origin.promotions(db, origin),
        "frame": _frame_fields(frame),
    }
    return Explanation(fields, frame)


def _with_camera_name(db: Connection, row: Row | None, column: str) -> Row | None:
    """Return a row with the name of today of the camera whose id it has."""
    return row and row | {column: name_of(db, row[column])}


def _sighting(db: Connection, origin: Origin) -> Row | None:
    """Return the decision in force, with the names of the near candidates."""
    if origin.access is None:
        return None
    row = origin.access
    candidate_ids = [str(row[column]) for column in ("runner_up", "candidate") if row[column]]
    names = row_origin.names(db, candidate_ids)
    fields = {
        "id": row["id"],
        "track": row["track_uuid"],
        "epoch": row["epoch"],
        "camera": name_of(db, row["camera_id"]),
        "site": row["site_id"],
        "motion_event": row["motion_event_id"],
        "decided_at": row["timestamp"],
        "recorded_at": row["recorded_at"],
        "snapshot": row["snapshot_path"],
    }
    fields |= {name: row[name] for name in _DECISION_COLUMNS.split()}
    if row["global_id"] is None and row["reason"]:
        undecided = one_of(db.cursor(), row["candidate"], row["runner_up"], row["reason"])
        fields["person_name"] = undecided or row["person_name"]
    return fields | {
        f"{column}_name": names[str(row[column])]
        for column in ("runner_up", "candidate")
        if str(row[column]) in names
    }


def _decision(position: pb.Position, sighting: pb.Sighting) -> Row:
    return {
        "at": to_datetime(sighting.decided_at_us) if sighting.decided_at_us else None,
        "status": pb.Sighting.Status.Name(sighting.status).lower(),
        "name": sighting.name or None,
        "global_id": sighting.global_id or None,
        "score": sighting.score,
        "threshold": sighting.threshold,
        "confidence": sighting.confidence,
        "shots": sighting.shots,
        "reason": sighting.reason or None,
        "record": _position(position),
    }


def _observations(templates: Sequence[Vector], track_records: TrackRecords) -> list[Row]:
    """Return the observations; `score` is with today's templates of the row's person."""
    return [
        {
            "id": observation.observation_id,
            "at": to_datetime(observation.captured_at_us),
            "epoch": observation.epoch,
            "score": _score(observation, templates),
            "quality": observation.quality.overall,
            **{name: getattr(observation.quality, name) for name in _QUALITY_FIELDS},
            "face_box": _box(observation.face_box),
            "pack": observation.pack,
            "frame": _position(observation.frame),
            "record": _position(position),
        }
        for position, observation in track_records.observations
    ]


def _score(observation: pb.FaceObservation, templates: Sequence[Vector]) -> float | None:
    vector = np.frombuffer(observation.embedding, "<f4")
    same_length = [template for template in templates if len(template) == len(vector)]
    return template_similarity.score(vector, same_length) if same_length else None


def _frame_of(
    settings: Settings, origin: Origin, track_records: TrackRecords
) -> AnnotatedFrame | None:
    """Return the row's frame; for a track without identity that of its best observation."""
    observations = [observation for _at, observation in track_records.observations]
    if origin.access:
        row = origin.access
        position = pb.Position(
            topic=row["frame_topic"], partition=row["frame_partition"], offset=row["frame_offset"]
        )
        observations = [entry for entry in observations if entry.frame == position]
        face = row["face_box"] if any(row["face_box"]) else None
    elif observations:
        best = max(observations, key=lambda observation: observation.quality.overall)
        observations, position, face = [best], best.frame, _box(best.face_box)
    else:
        return None
    body = _box(observations[0].track_box) if observations else _end_box(track_records.ended)
    frame = kafka_records.frame_at(settings, position, origin.primary_row["camera_id"])
    return AnnotatedFrame(position, body, face, frame)


def _frame_fields(annotated: AnnotatedFrame | None) -> Row | None:
    if annotated is None:
        return None
    frame = annotated.frame
    return _position(annotated.position) | {
        "retained": frame is not None,
        "captured_at": to_datetime(frame.captured_at_us) if frame else None,
        **{name: getattr(frame, name, None) for name in ("sequence", "width", "height")},
        "face_box": annotated.face_box,
        "track_box": annotated.track_box,
    }


def _models_of(settings: Settings, db: Connection, run: str) -> Settings:
    """Return the settings with the folder of models of a run."""
    stored_run = None if run == LIVE else runs.find(db, run)
    if stored_run is None or stored_run.models is None:
        return settings
    return settings.model_copy(update={"models": stored_run.models})


def _position(position: pb.Position) -> Row:
    return {"topic": position.topic, "partition": position.partition, "offset": position.offset}


def _end_box(ended: pb.TrackEnded | None) -> list[float] | None:
    return _box(ended.box) if ended is not None and ended.HasField("box") else None


def _box(box: pb.Box) -> list[float]:
    return [box.x1, box.y1, box.x2, box.y2]
