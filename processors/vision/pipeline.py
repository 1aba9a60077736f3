"""One camera's frames to tracks, shots and snapshots: no clock, no input or output.

The same frames give the same records. A camera's state lasts for one motion event and is thrown
away at its end.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from processors.vision.cuts import is_cut, outline
from processors.vision.heads import choose_face, head_region, search_head
from processors.vision.settings import VisionSettings
from processors.vision.tracking import CameraTracker, Seen
from schemas import sightline_pb2 as pb
from schemas.ids import track_id
from sightline.models import outputs
from sightline.models.observation_policy import ShotPolicy
from sightline.models.outputs import Shot, Track, TrackName, portrait
from sightline.models.packs import BGRImage, Face, Floats, ModelPack
from sightline.models.quality import assess
from sightline.runtime import metrics
from sightline.runtime.clock import US
from sightline.runtime.settings import EvidenceSettings
from sightline.streaming.records import Out


@dataclass(slots=True)
class CameraState:
    """What one camera's next frame needs to know, within one motion event."""

    site_id: str
    event_id: str
    last_us: int
    tracker: CameraTracker
    tracks: dict[int, Track] = field(default_factory=dict)
    """By the tracker's number."""
    detected_us: int | None = None
    visible: list["Visible"] = field(default_factory=list)
    """What the last detection saw."""
    outline: Floats | None = None
    """Of the last picture."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A frame and its pixels; None where they could not be decoded, or nobody looks at them."""

    frame: pb.Frame
    position: pb.Position
    image: BGRImage | None
    skipped: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Visible:
    """A confirmed track in the present frame."""

    track: Track
    box: Floats
    score: float
    face: Face | None
    """Known already where faces are what is followed."""


class VisionPipeline:
    """The stage function: a camera's state and its next frame to records and the state after."""

    def __init__(
        self, pack: ModelPack, settings: VisionSettings, evidence: EvidenceSettings
    ) -> None:
        self._pack = pack
        self._evidence = evidence
        self._policy = ShotPolicy(evidence)
        # A tenth less, or a frame that comes a microsecond early would wait for the next.
        rate = settings.detections_per_second
        if pack.persons is None:
            rate = min(rate, settings.face_detections_per_second)
        self._detect_every_us = round(0.9 * US / rate)

    def step(
        self, state: CameraState | None, picture: Picture
    ) -> tuple[list[Out], CameraState | None]:
        """One frame's records, and the camera's state after it: None when its event is over.

        A frame that is not later than the one before changes nothing: it has no tracks. A frame
        that comes too soon after a detection has the boxes of that one.
        """
        frame = picture.frame
        outs: list[Out] = []
        if state is not None and _begins_anew(state, frame):
            # The end was never delivered: the camera died within its event, or plays it again.
            outs += _end_all(state, frame.captured_at_us)
            state = None
        if state is None:
            tracker = CameraTracker(frame.captured_at_us, self._evidence.lost_seconds)
            state = CameraState(
                frame.site_id, frame.motion_event_id, frame.captured_at_us - 1, tracker
            )
        visible: list[Visible] = []
        if frame.captured_at_us > state.last_us:
            state.last_us = frame.captured_at_us
            if picture.image is not None:
                outs += _end_at_cut(state, picture.image)
                if self._detection_due(state):
                    state.visible = self._follow(state, frame, picture.image)
                    outs += self._shots(state.visible, picture, picture.image)
                    outs += _end_lost(state)
                visible = state.visible
                for seen in visible:
                    seen.track.frames += 1
        boxes = [(seen.track.name, seen.box, seen.score) for seen in visible]
        outs.append(outputs.frame_tracks(frame, picture.position, boxes, skipped=picture.skipped))
        if frame.last_in_event:
            return [*outs, *_end_all(state, state.last_us)], None
        return outs, state

    def _detection_due(self, state: CameraState) -> bool:
        before = state.detected_us
        if before is not None and state.last_us - before < self._detect_every_us:
            return False
        state.detected_us = state.last_us
        return True

    def _follow(self, state: CameraState, frame: pb.Frame, image: BGRImage) -> list[Visible]:
        """Detect, match with the tracks and keep count of them."""
        faces: list[Face] | None = None
        with metrics.STAGE_SECONDS.labels("detect").time():
            if self._pack.persons is not None:
                boxes, scores = self._pack.persons.detect(image)
            else:
                faces = self._pack.faces.detect(image)
                boxes = np.array([face.box for face in faces], np.float32).reshape(-1, 4)
                scores = np.array([face.score for face in faces], np.float32)
        with metrics.STAGE_SECONDS.labels("track").time():
            seen = state.tracker.update(boxes, scores, frame.captured_at_us)
        _begin_new(state, seen, frame)
        visible = []
        for one in seen:
            track = state.tracks[one.number]
            track.seen_us = frame.captured_at_us
            at = one.detection
            face = faces[at] if faces is not None else None
            visible.append(Visible(track, boxes[at], float(scores[at]), face))
        return visible

    def _shots(self, visible: list[Visible], picture: Picture, image: BGRImage) -> Iterator[Out]:
        at_us = picture.frame.captured_at_us
        boxes = {seen.track.name.number: seen.box for seen in visible}
        for seen in visible:
            shots = seen.track.shots
            if self._policy.settled(shots, at_us):
                metrics.FACE_SEARCHES_SAVED.inc()
                metrics.EMBEDDINGS_SAVED.inc()
            elif not self._policy.due(shots, at_us):
                if shots.total and not shots.misses:
                    metrics.EMBEDDINGS_SAVED.inc()
                if seen.face is not None:
                    metrics.FACES.labels("spaced").inc()
            else:
                yield from self._look(seen, boxes, picture, image)

    def _look(
        self, seen: Visible, boxes: dict[int, Floats], picture: Picture, image: BGRImage
    ) -> Iterator[Out]:
        """Look at a track's face; a good shot is worth records, and a turned one where none is."""
        at_us = picture.frame.captured_at_us
        name, shots = seen.track.name, seen.track.shots
        metrics.FACE_SEARCHES.inc()
        face = seen.face or self._search(seen, boxes, image)
        if face is None:
            self._policy.missed(shots, at_us)
            return
        quality = assess(image, face)
        refusal = quality.refusal(self._evidence.min_face_px, self._evidence.min_quality)
        turned = refusal == "turned" and self._policy.turned_wanted(shots)
        metrics.FACES.labels("embedded" if turned else refusal or "embedded").inc()
        if refusal is not None and not turned:
            self._policy.missed(shots, at_us, refused=True)
            return
        metrics.EMBEDDINGS.inc()
        with metrics.STAGE_SECONDS.labels("embed").time():
            vector = self._pack.embedder.embed(image, face)
        shot = Shot(face, quality, seen.box, shots.epoch, self._pack.id, vector)
        yield outputs.observation(name, picture.frame, picture.position, shot)
        if self._policy.taken(shots, at_us, quality.overall, turned=turned):
            best = outputs.snapshot(
                name, picture.frame, picture.position, shot, portrait(image, face)
            )
            if best is not None:
                yield best

    def _search(self, seen: Visible, boxes: dict[int, Floats], image: BGRImage) -> Face | None:
        with metrics.STAGE_SECONDS.labels("faces").time():
            found = search_head(self._pack.faces, image, head_region(seen.box))
        return choose_face(found, seen.track.name.number, boxes)


def _begins_anew(state: CameraState, frame: pb.Frame) -> bool:
    """Whether a frame belongs to another pass over an event than the state does."""
    if frame.motion_event_id != state.event_id:
        return True
    return frame.first_in_event and frame.captured_at_us <= state.last_us


def _begin_new(state: CameraState, seen: list[Seen], frame: pb.Frame) -> None:
    new = [one.number for one in seen if one.number not in state.tracks]
    for ordinal, number in enumerate(new):
        name = TrackName(
            track_id=track_id(frame.camera_id, frame.captured_at_us, ordinal),
            number=number + 1,
            camera_id=frame.camera_id,
            site_id=state.site_id,
            motion_event_id=frame.motion_event_id,
            started_us=frame.captured_at_us,
        )
        state.tracks[number] = Track(name, frame.captured_at_us)


def _end_at_cut(state: CameraState, image: BGRImage) -> list[Out]:
    """Where the picture is of another place, nobody is who stood there before."""
    before, state.outline = state.outline, outline(image)
    if before is None or not is_cut(before, state.outline):
        return []
    ended = _end_all(state, state.last_us)
    state.tracks.clear()
    state.visible = []
    state.tracker.begin_anew()
    state.detected_us = None
    return ended


def _end_lost(state: CameraState) -> list[Out]:
    alive = state.tracker.alive()
    lost = [number for number in state.tracks if number not in alive]
    return [outputs.track_ended(state.tracks.pop(number), state.last_us) for number in lost]


def _end_all(state: CameraState, at_us: int) -> list[Out]:
    return [outputs.track_ended(track, at_us) for track in state.tracks.values()]
