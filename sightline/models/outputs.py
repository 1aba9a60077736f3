"""Records that vision writes; their times are capture times."""

from dataclasses import dataclass, field

import cv2
import numpy as np

from schemas import sightline_pb2 as pb
from schemas import topics
from schemas.ids import observation_id
from sightline.models.interface import BGRImage, Face, Float32Array
from sightline.models.observation_policy import ObservationState
from sightline.models.presence import Presence
from sightline.models.quality import FaceQuality
from sightline.streaming.records import OutputRecord

_SNAPSHOT_JPEG_QUALITY = 90


@dataclass(frozen=True, slots=True)
class TrackProperties:
    """The constant properties of a track."""

    track_id: str
    number: int
    camera_id: str
    site_id: str
    motion_event_id: str
    started_us: int


@dataclass(slots=True)
class Track:
    """A confirmed track that is seen or may be seen again."""

    properties: TrackProperties
    seen_us: int
    frames: int = 0
    observations: ObservationState = field(default_factory=ObservationState)
    presence: Presence = field(default_factory=Presence)


@dataclass(frozen=True, slots=True, eq=False)
class ObservationData:
    """An observation: one face of a track in one frame, with its quality and embedding."""

    face: Face
    quality: FaceQuality
    track_box: Float32Array
    epoch: int
    pack: str
    embedding: Float32Array


def box(sides: Float32Array) -> pb.Box:
    """Return a box (4,) as a message."""
    x1, y1, x2, y2 = (float(side) for side in sides)
    return pb.Box(x1=x1, y1=y1, x2=x2, y2=y2)


def _box_or_none(*candidates: Float32Array | None) -> pb.Box | None:
    """Return the first box (4,) that is there as a message."""
    return next((box(sides) for sides in candidates if sides is not None), None)


def frame_tracks(
    frame: pb.Frame,
    position: pb.Position,
    tracks: list[tuple[TrackProperties, Float32Array, float]],
    *,
    skipped: bool = False,
    was_dead_letter: bool = False,
) -> OutputRecord:
    """Make the record of a frame: its confirmed tracks with box (4,) and score.

    `skipped`: vision was too late for the frame; `was_dead_letter`: it was a dead letter and has
    such a record already.
    """
    message = pb.FrameTracks(
        camera_id=frame.camera_id,
        site_id=frame.site_id,
        sequence=frame.sequence,
        captured_at_us=frame.captured_at_us,
        frame=position,
        width=frame.width,
        height=frame.height,
        motion_event_id=frame.motion_event_id,
        last_in_event=frame.last_in_event,
        tracks=[
            pb.TrackBox(
                track_id=name.track_id, track_number=name.number, box=box(sides), score=score
            )
            for name, sides, score in tracks
        ],
        skipped=skipped,
        again=was_dead_letter,
    )
    return OutputRecord.of(topics.TRACKS, frame.camera_id, message, frame.captured_at_us)


def observation(
    track: Track, frame: pb.Frame, position: pb.Position, data: ObservationData
) -> OutputRecord:
    """Make the record of an observation."""
    properties, quality = track.properties, data.quality
    message = pb.FaceObservation(
        observation_id=observation_id(properties.track_id, frame.captured_at_us),
        track_id=properties.track_id,
        track_number=properties.number,
        epoch=data.epoch,
        camera_id=properties.camera_id,
        site_id=properties.site_id,
        motion_event_id=properties.motion_event_id,
        sequence=frame.sequence,
        captured_at_us=frame.captured_at_us,
        track_started_at_us=properties.started_us,
        frame=position,
        width=frame.width,
        height=frame.height,
        track_box=box(data.track_box),
        face_box=box(data.face.box),
        quality=pb.FaceQuality(
            size_px=quality.size_px,
            sharpness=quality.sharpness,
            frontality=quality.frontality,
            detector_score=quality.detector_score,
            overall=quality.overall,
        ),
        pack=data.pack,
        embedding=data.embedding.astype("<f4").tobytes(),
        moved=track.presence.moved if frame.width else None,
    )
    event = pb.FaceEvent(observation=message)
    return OutputRecord.of(topics.FACES, properties.site_id, event, frame.captured_at_us)


def track_ended(
    track: Track, at_us: int, pack: str, *, is_confirmed: bool, is_in_sight: bool
) -> OutputRecord:
    """Make the record that a track has ended at `at_us`, with what is known of its presence."""
    name, presence = track.properties, track.presence
    message = pb.TrackEnded(
        track_id=name.track_id,
        track_number=name.number,
        camera_id=name.camera_id,
        site_id=name.site_id,
        motion_event_id=name.motion_event_id,
        started_at_us=name.started_us,
        ended_at_us=track.seen_us,
        frames=track.frames,
        observations=track.observations.total_observations,
        confirmed=is_confirmed,
        pack=pack,
        attempts=presence.attempts,
        refusals=presence.refusals,
        face_px=presence.face_px,
        moved=presence.moved,
        frame=presence.picture_frame,
        box=_box_or_none(presence.picture_box, presence.first_box),
        width=presence.frame_size[0],
        height=presence.frame_size[1],
        in_sight=is_in_sight,
    )
    return OutputRecord.of(topics.FACES, name.site_id, pb.FaceEvent(track_ended=message), at_us)


def whole_body(image: BGRImage, sides: Float32Array) -> BGRImage:
    """Cut a body's box (4,) with a tenth around it out of an image, as far as the image goes."""
    height, width = image.shape[:2]
    x1, y1, x2, y2 = (float(side) for side in sides)
    wide, tall = 0.1 * (x2 - x1), 0.1 * (y2 - y1)
    left, right = max(0, round(x1 - wide)), min(width, round(x2 + wide))
    top, bottom = max(0, round(y1 - tall)), min(height, round(y2 + tall))
    return image[top:bottom, left:right]


def head_and_shoulders(image: BGRImage, face: Face) -> BGRImage:
    """Cut head and shoulders around a face out of an image, as far as the image goes."""
    height, width = image.shape[:2]
    x1, y1, x2, y2 = (float(side) for side in face.box)
    wide, tall = x2 - x1, y2 - y1
    left, right = max(0, round(x1 - wide)), min(width, round(x2 + wide))
    top, bottom = max(0, round(y1 - 0.7 * tall)), min(height, round(y2 + 1.2 * tall))
    return image[top:bottom, left:right]


def snapshot(
    track: Track, frame: pb.Frame, position: pb.Position, picture: BGRImage, quality: float,
    kind: pb.EvidenceKind = pb.EVIDENCE_KIND_FACE,
) -> OutputRecord | None:  # fmt: skip
    """Make the record of a track's best picture so far; None where it is too large for a record.

    Args:
        track: The picture's track.
        frame: Frame that the picture was cut out of.
        position: Of the frame's record.
        picture: h x w x 3, BGR.
        quality: 0 to 1, among pictures of this kind.
        kind: Part of the person that it shows best.
    """
    properties = track.properties
    done, jpeg = cv2.imencode(
        ".jpg", np.ascontiguousarray(picture), [cv2.IMWRITE_JPEG_QUALITY, _SNAPSHOT_JPEG_QUALITY]
    )
    if not done or jpeg.nbytes > topics.SNAPSHOTS.max_record_bytes - topics.KIB:
        return None
    message = pb.Snapshot(
        track_id=properties.track_id,
        epoch=track.observations.epoch,
        camera_id=properties.camera_id,
        site_id=properties.site_id,
        captured_at_us=frame.captured_at_us,
        frame=position,
        jpeg=jpeg.tobytes(),
        quality=quality,
        kind=kind,
    )
    return OutputRecord.of(topics.SNAPSHOTS, properties.track_id, message, frame.captured_at_us)
