"""Frames of several cameras to tracks, observations and snapshots: no clock, no input or output.

The same frames give the same records, however they are grouped. A camera's state lasts for one
motion event and is thrown away at its end.
"""

from collections.abc import Hashable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import TypeVar

import numpy as np

from processors.vision.camera_state import (
    CameraState,
    Detections,
    EventProgress,
    VisibleTrack,
    end_all,
    end_at_cut,
    end_lost,
    follow,
)
from processors.vision.embedding import CropEmbedder, CropResult, FaceCrop
from processors.vision.face_roi import choose_face, detect_in_regions, head_region
from processors.vision.masks import unmasked, unmasked_faces
from processors.vision.scene_cut import is_cut, outline
from processors.vision.settings import VisionSettings
from processors.vision.stage_time import stage_time
from processors.vision.tracking import CameraTracker
from schemas import sightline_pb2 as pb
from sightline.models import outputs
from sightline.models.interface import BGRImage, Face, Float32Array, ModelPack
from sightline.models.observation_policy import ObservationPolicy
from sightline.runtime import metrics
from sightline.runtime.clock import US_PER_SECOND
from sightline.runtime.settings.groups import EvidenceSettings
from sightline.streaming.records import OutputRecord

CameraKey = TypeVar("CameraKey", bound=Hashable)


@dataclass(frozen=True, slots=True, eq=False)
class DecodedFrame:
    """A frame and its pixels; None where they could not be decoded, or the frame is skipped."""

    frame: pb.Frame
    position: pb.Position
    image: BGRImage | None
    skipped: bool = False


@dataclass(frozen=True, slots=True)
class _Plan:
    """Decisions on a frame that need its pixels and no model."""

    progress: EventProgress
    begins_event: bool
    is_in_order: bool
    """The frame is later than all before it."""
    is_cut: bool
    detects: bool
    last_us: int
    """Capture time of the latest frame up to this one."""


@dataclass(slots=True, eq=False)
class _ObservationAttempt:
    """The attempt to observe the face of one track in one frame."""

    visible: VisibleTrack
    image: BGRImage
    boxes: dict[int, Float32Array]
    """The boxes of all tracks in the frame, by track number."""
    face: Face | None
    result: CropResult | None = None
    """The answer of the second half of vision; None without a face."""


@dataclass(slots=True, eq=False)
class _Step:
    """A frame on its way through the pipeline."""

    picture: DecodedFrame
    plan: _Plan
    detections: Detections | None = None
    attempts: list[_ObservationAttempt] = field(default_factory=list)
    outs: list[OutputRecord] = field(default_factory=list)


class VisionPipeline:
    """The stage function: the cameras' states and their next frames to records and new states."""

    def __init__(
        self, pack: ModelPack, settings: VisionSettings, evidence: EvidenceSettings
    ) -> None:
        self._pack = pack
        self._evidence = evidence
        self._policy = ObservationPolicy(evidence)
        self._embedder = CropEmbedder(pack, evidence)
        # A tenth less, or a frame that comes a microsecond early would wait for the next.
        rate = settings.detections_per_second
        if pack.persons is None:
            rate = min(rate, settings.face_detections_per_second)
        self._detect_every_us = round(0.9 * US_PER_SECOND / rate)

    def run(
        self,
        cameras: MutableMapping[CameraKey, CameraState],
        pictures: Sequence[tuple[CameraKey, DecodedFrame]],
    ) -> list[list[OutputRecord]]:
        """Return the records of each frame, and bring the states of its camera up to date.

        A camera whose motion event is over has no state. A frame that is not later than the one
        before changes nothing: it has no tracks. A frame that comes too soon after a detection has
        the boxes of that one.

        Detection takes the frames of all cameras at once. From tracking on the frames of a camera
        follow one another: round n has the n-th frame of every camera.
        """
        steps: dict[CameraKey, list[_Step]] = {}
        in_order = []
        progress: dict[CameraKey, EventProgress | None] = {}
        for key, picture in pictures:
            if key not in progress:
                progress[key] = cameras[key].progress if key in cameras else None
            plan = self._plan(progress[key], picture)
            progress[key] = None if picture.frame.last_in_event else plan.progress
            step = _Step(picture, plan)
            steps.setdefault(key, []).append(step)
            in_order.append(step)
        self._detect([step for step in in_order if step.plan.detects])
        for frames in zip_longest(*steps.values()):
            current = [
                (key, step) for key, step in zip(steps, frames, strict=True) if step is not None
            ]
            self._round(cameras, current)
        return [step.outs for step in in_order]

    def _plan(self, progress: EventProgress | None, picture: DecodedFrame) -> _Plan:
        """Decide what is done with a frame, and bring the progress of its camera up to date."""
        frame, image = picture.frame, picture.image
        begins_event = progress is None or _begins_anew(progress, frame)
        if progress is None or begins_event:
            progress = EventProgress(frame.motion_event_id, frame.captured_at_us - 1)
        is_in_order = frame.captured_at_us > progress.last_us
        cut = detects = False
        if is_in_order:
            progress.last_us = frame.captured_at_us
            if image is not None:
                before, progress.outline = progress.outline, outline(image)
                cut = before is not None and is_cut(before, progress.outline)
                detects = self._is_detection_due(progress, cut)
        return _Plan(progress, begins_event, is_in_order, cut, detects, progress.last_us)

    def _is_detection_due(self, progress: EventProgress, is_cut: bool) -> bool:
        before = None if is_cut else progress.detected_us
        if before is not None and progress.last_us - before < self._detect_every_us:
            return False
        progress.detected_us = progress.last_us
        return True

    def _detect(self, steps: Sequence[_Step]) -> None:
        images = [step.picture.image for step in steps if step.picture.image is not None]
        with stage_time("detect", len(images)):
            if self._pack.persons is not None:
                detections = [Detections(*people) for people in self._pack.persons.detect(images)]
            else:
                detections = [_as_detections(faces) for faces in self._pack.faces.detect(images)]
        for step, result, image in zip(steps, detections, images, strict=True):
            step.detections = unmasked(result, step.picture.frame, _size(image))

    def _round(
        self,
        cameras: MutableMapping[CameraKey, CameraState],
        steps: Sequence[tuple[CameraKey, _Step]],
    ) -> None:
        """Track, find faces, embed and make the records of one frame of each camera."""
        for key, step in steps:
            cameras[key] = self._track(cameras.get(key), step)
        attempts = [(step.picture, attempt) for _, step in steps for attempt in step.attempts]
        self._find_faces(attempts)
        self._observe(attempts)
        for key, step in steps:
            self._finish(cameras[key], step)
            if step.picture.frame.last_in_event:
                del cameras[key]

    def _track(self, state: CameraState | None, step: _Step) -> CameraState:
        """Match the detections with the tracks, and list the observations that are due."""
        plan, frame = step.plan, step.picture.frame
        if state is None or plan.begins_event:
            if state is not None:
                # The end was never delivered: the camera died within its event, or plays it again.
                step.outs += end_all(state, frame.captured_at_us)
            tracker = CameraTracker(frame.captured_at_us, self._evidence.lost_seconds)
            state = CameraState(frame.site_id, plan.progress, tracker)
        if plan.is_cut:
            step.outs += end_at_cut(state, plan.last_us)
        if step.detections is not None and step.picture.image is not None:
            state.visible = follow(state, frame, step.detections)
            step.attempts = list(self._due(state.visible, frame.captured_at_us, step.picture.image))
        return state

    def _due(
        self, visible: list[VisibleTrack], at_us: int, image: BGRImage
    ) -> Iterator[_ObservationAttempt]:
        """Yield an attempt for each track that an observation is due of."""
        boxes = {shown.track.properties.number: shown.box for shown in visible}
        for shown in visible:
            policy_state = shown.track.observations
            if self._policy.is_settled(policy_state, at_us):
                metrics.FACE_DETECTIONS_SAVED.inc()
                metrics.EMBEDDINGS_SAVED.inc()
            elif not self._policy.is_due(policy_state, at_us):
                if policy_state.total_observations and not policy_state.misses:
                    metrics.EMBEDDINGS_SAVED.inc()
                if shown.face is not None:
                    metrics.FACES.labels("spaced").inc()
            else:
                metrics.FACE_DETECTIONS.inc()
                yield _ObservationAttempt(shown, image, boxes, shown.face)

    def _find_faces(self, attempts: Sequence[tuple[DecodedFrame, _ObservationAttempt]]) -> None:
        """Detect faces in the heads of the tracks, unless faces are what is followed."""
        without = [(picture, attempt) for picture, attempt in attempts if attempt.face is None]
        regions = [(attempt.image, head_region(attempt.visible.box)) for _, attempt in without]
        with stage_time("faces", len(regions)):
            results = detect_in_regions(self._pack.faces, regions)
        for (picture, attempt), faces in zip(without, results, strict=True):
            attempt.face = choose_face(
                unmasked_faces(faces, picture.frame, _size(attempt.image)),
                attempt.visible.track.properties.number,
                attempt.boxes,
            )

    def _observe(self, attempts: Sequence[tuple[DecodedFrame, _ObservationAttempt]]) -> None:
        """Hand the faces to the second half of vision."""
        with_face: list[_ObservationAttempt] = []
        crops: list[FaceCrop] = []
        for picture, attempt in attempts:
            if attempt.face is not None:
                track, box = attempt.visible.track, attempt.visible.box
                frame, position = picture.frame, picture.position
                with_face.append(attempt)
                crops.append(FaceCrop(track, frame, position, attempt.image, attempt.face, box))
        for attempt, result in zip(with_face, self._embedder.observe(crops), strict=True):
            attempt.result = result

    def _finish(self, state: CameraState, step: _Step) -> None:
        """Make the records of a frame."""
        plan, picture, outs = step.plan, step.picture, step.outs
        for attempt in step.attempts:
            outs += self._records(attempt, picture.frame.captured_at_us)
        if plan.detects:
            outs += end_lost(state, plan.last_us)
        visible = state.visible if plan.is_in_order and picture.image is not None else []
        for shown in visible:
            shown.track.frames += 1
        boxes = [(shown.track.properties, shown.box, shown.score) for shown in visible]
        outs.append(
            outputs.frame_tracks(picture.frame, picture.position, boxes, skipped=picture.skipped)
        )
        if picture.frame.last_in_event:
            outs += end_all(state, plan.last_us)

    def _records(self, attempt: _ObservationAttempt, at_us: int) -> Iterator[OutputRecord]:
        """Yield the records of an attempt; a vain one puts off the next."""
        result = attempt.result
        if result is None or result.refusal is not None:
            policy_state = attempt.visible.track.observations
            self._policy.record_miss(policy_state, at_us, refused=result is not None)
        else:
            yield from result.records


def _size(image: BGRImage) -> tuple[int, int]:
    """Return width and height in pixels."""
    return image.shape[1], image.shape[0]


def _as_detections(faces: list[Face]) -> Detections:
    boxes = np.array([face.box for face in faces], np.float32).reshape(-1, 4)
    return Detections(boxes, np.array([face.score for face in faces], np.float32), faces)


def _begins_anew(progress: EventProgress, frame: pb.Frame) -> bool:
    """Return True for a frame of another pass over an event than the progress is of."""
    if frame.motion_event_id != progress.event_id:
        return True
    return frame.first_in_event and frame.captured_at_us <= progress.last_us
