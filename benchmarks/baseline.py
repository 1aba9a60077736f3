"""The baseline: one process, one loop, both cores, everything done on every frame."""

import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import supervision as sv
from trackers import ByteTrackTracker

from sightline.identity.calibration import builtin_calibration
from sightline.models.interface import Face, Float32Array
from sightline.models.packs import load_pack
from sightline.runtime.settings import Settings

Photos = tuple[tuple[str, Path], ...]

T = TypeVar("T", int, str)

_WARM_UP_FRAMES = 20
_AGREEING_OBSERVATIONS = 3
_TARGET_FPIR = 1e-3


@dataclass(slots=True)
class Result:
    """Result of the loop over a film."""

    frames: int = 0
    seconds: float = 0.0
    embeddings: int = 0
    names: list[set[str]] = field(default_factory=list)
    """By frame: the names of the tracks in it."""

    @property
    def fps(self) -> float:
        """Frames per second."""
        return self.frames / self.seconds


class Loop:
    """A single-process loop: models on all cores without spinning, and a brute-force gallery."""

    def __init__(self, models: Path | None, photos: Photos) -> None:
        cores = len(os.sched_getaffinity(0))
        cv2.setNumThreads(cores)
        pack = "auto" if models else "dlib"
        self._pack = load_pack(Settings(models=models, pack=pack, model_threads=cores))
        scale = builtin_calibration(self._pack.id).scale(len(photos), _TARGET_FPIR)
        self._threshold = scale.threshold(_AGREEING_OBSERVATIONS)
        self._names = [name for name, _ in photos]
        self._gallery = np.stack([self._enrol(path) for _, path in photos])

    def _enrol(self, path: Path) -> Float32Array:
        image = np.asarray(cv2.imread(str(path)), np.uint8)
        [faces] = self._pack.faces.detect([image])
        [embedding] = self._pack.embedder.embed([(image, faces[0])])
        return embedding

    def _name(self, vector: Float32Array) -> str:
        """Return the best enrolled person of a brute-force search, or an empty name."""
        scores = self._gallery @ vector
        best = int(scores.argmax())
        return self._names[best] if scores[best] >= self._threshold else ""

    def run(self, film: Path, limit: int | None = None) -> Result:
        """Work through a film, or its first frames."""
        result = Result()
        tracker = ByteTrackTracker(minimum_consecutive_frames=2)
        votes: dict[int, Counter[str]] = defaultdict(Counter)
        numbers_by_frame: list[list[int]] = []
        capture = cv2.VideoCapture(str(film))
        started_at = time.perf_counter()
        while limit is None or result.frames < limit:
            readable, frame = capture.read()
            if not readable:
                break
            image = np.asarray(frame, np.uint8)
            [faces] = self._pack.faces.detect([image])
            people = _boxes(faces)
            if self._pack.persons:
                [people] = self._pack.persons.detect([image])
            numbers, boxes = _follow(tracker, *people)
            for face in faces:
                [embedding] = self._pack.embedder.embed([(image, face)])
                name = self._name(embedding)
                number = owner(face.box.tolist(), zip(numbers, boxes.tolist(), strict=True))
                if name and number is not None:
                    votes[number][name] += 1
            result.frames += 1
            result.embeddings += len(faces)
            numbers_by_frame.append(numbers)
        result.seconds = time.perf_counter() - started_at
        capture.release()
        names = {number: _winner(counted) for number, counted in votes.items()}
        result.names = [
            {names.get(number, "") for number in row} - {""} for row in numbers_by_frame
        ]
        return result


def _boxes(faces: list[Face]) -> tuple[Float32Array, Float32Array]:
    boxes = np.array([face.box for face in faces], np.float32).reshape(-1, 4)
    return boxes, np.array([face.score for face in faces], np.float32)


def _follow(
    tracker: Any, boxes: Float32Array, scores: Float32Array
) -> tuple[list[int], Float32Array]:
    tracked = tracker.update(sv.Detections(xyxy=boxes, confidence=scores))
    ids = np.full(len(tracked), -1) if tracked.tracker_id is None else tracked.tracker_id
    return [int(number) for number in ids[ids >= 0]], tracked.xyxy[ids >= 0]


def owner(face: Sequence[float], boxes: Iterable[tuple[T, Sequence[float]]]) -> T | None:
    """Return the track whose box contains a face; of several the one with the nearest top."""
    x, y = (face[0] + face[2]) / 2, (face[1] + face[3]) / 2
    near = [
        (abs(x - (x1 + x2) / 2) + abs(y - y1), track)
        for track, (x1, y1, x2, y2) in boxes
        if x1 <= x <= x2 and y1 <= y <= y2
    ]
    return min(near)[1] if near else None


def _winner(counted: Counter[str]) -> str:
    """Return the majority name of a track, or an empty name for too few observations."""
    name, count = counted.most_common(1)[0]
    return name if count >= _AGREEING_OBSERVATIONS else ""


def measure(film: Path, models: Path | None, photos: Photos) -> Result:
    """Run the loop over a film after a warm-up."""
    loop = Loop(models, photos)
    loop.run(film, limit=_WARM_UP_FRAMES)
    return loop.run(film)
