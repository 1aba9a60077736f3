"""Frames that go through the models together give what each of them gives alone."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from processors.vision.processor import VisionProcessor
from processors.vision.settings import VisionSettings
from sightline.models.interface import BGRImage, Face, Float32Array, ModelPack, PersonBoxes
from sightline.runtime.errors import PoisonRecord
from sightline.runtime.settings import Settings
from sightline.runtime.settings.groups import EvidenceSettings
from sightline.streaming.records import OutputRecord, Record
from tests.unit.test_vision_pipeline import START, Camera, make_face

FRAMES = 14
LATER = START + 60_000_000

Result = tuple[list[OutputRecord], str]
"""Outputs of a record, and the reason of its dead letter."""


class People:
    """Two people in every picture, whose places follow from its pixels."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def detect(self, images: Sequence[BGRImage]) -> list[PersonBoxes]:
        self.calls.append(len(images))
        return [PersonBoxes(self._boxes(image), np.array([0.9, 0.7], np.float32))
                for image in images]  # fmt: skip

    def _boxes(self, image: BGRImage) -> Float32Array:
        left = float(image[0, 0, 0])
        return np.array([[left, 40, left + 60, 220], [left + 90, 30, left + 150, 200]], np.float32)


class Faces:
    """One face in every head, none where the crop is dark on average."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def detect(self, images: Sequence[BGRImage]) -> list[list[Face]]:
        self.calls.append(len(images))
        return [self._face(image) for image in images]

    def _face(self, image: BGRImage) -> list[Face]:
        side = image.shape[0] / 2
        if image[5, 5, 0] < 60:
            return []
        return [make_face((image.shape[1] - side) / 2, image.shape[0] * 0.2, side)]


class Embeddings:
    """A vector of a face's place and of the pixels around it."""

    dimension = 4

    def __init__(self) -> None:
        self.calls: list[int] = []

    def embed(self, faces: Sequence[tuple[BGRImage, Face]]) -> list[Float32Array]:
        self.calls.append(len(faces))
        return [np.array([image.mean(), image[40, 40, 0], *face.box[:2]], np.float32)
                for image, face in faces]  # fmt: skip


def pack() -> ModelPack:
    return ModelPack("test", People(), Faces(), Embeddings())


def faces_alone() -> ModelPack:
    return ModelPack("faces", None, Faces(), Embeddings())


def worker(models: ModelPack) -> VisionProcessor:
    vision = VisionSettings(detections_per_second=20, face_detections_per_second=20)
    evidence = EvidenceSettings(observations=3, interval_seconds=0.08, reverify_seconds=0.2)
    return VisionProcessor(models, Settings(vision=vision, evidence=evidence))


@cache
def film() -> list[Record]:
    """Three cameras in turn: a cut, a corrupt picture, a frame out of order, an end in between."""
    cameras = [Camera(name) for name in ("door", "hall", "yard")]
    for seed, camera in enumerate(cameras):
        noise = np.random.default_rng(seed).integers(0, 250, camera.noise.shape, dtype=np.uint8)
        camera.noise = noise
    door, hall, yard = cameras
    records = []
    for number in range(FRAMES):
        records.append(door.record(number, 40 + number, last=number in (4, FRAMES - 1)))
        if number == 7:
            records.append(hall.record(3, 60))
            hall.noise = np.ascontiguousarray(hall.noise[::-1, ::-1] // 3)
        records.append(hall.record(number, 60, bad=number == 4))
        start, number_there = (START, number) if number < 9 else (LATER, number - 9)
        records.append(yard.record(number_there, 20 + 2 * number, start=start))
    return [replace(record, offset=offset) for offset, record in enumerate(records)]


def taken(processor: VisionProcessor, records: Sequence[Record]) -> list[Result]:
    results = []
    for record in records:
        outs: list[OutputRecord] = []
        reason = ""
        try:
            for out in processor.process(record):
                outs.append(out)
        except PoisonRecord as error:
            reason = error.reason
        results.append((outs, reason))
    return results


@cache
def one_at_a_time(models: Callable[[], ModelPack]) -> list[tuple[Result, list[OutputRecord]]]:
    """Result of each record of the film, and the state that has changed with it."""
    processor = worker(models())
    return [(taken(processor, [record])[0], list(processor.state())) for record in film()]


ends_of_groups = st.sets(st.integers(1, 3 * FRAMES)).map(lambda ends: sorted(ends | {len(film())}))


# Nothing is made smaller where it fails: that takes minutes, and any grouping is as good.
@pytest.mark.slow
@settings(max_examples=8, deadline=None, phases=[Phase.explicit, Phase.generate])
@example([len(film())])
@given(ends_of_groups)
def test_outputs_dead_letters_and_states_are_the_same_for_any_grouping(ends: list[int]) -> None:
    for models in (pack, faces_alone):
        processor = worker(models())
        for start, end in zip([0, *ends[:-1]], ends, strict=True):
            processor.prepare(film()[start:end])
            alone = one_at_a_time(models)[start:end]
            assert taken(processor, film()[start:end]) == [result for result, _ in alone]
            states = {state.key: state for _, changed in alone for state in changed}
            assert {state.key: state for state in processor.state()} == states


def test_the_film_has_everything_that_could_go_wrong() -> None:
    results = [result for result, _ in one_at_a_time(pack)]
    topics = [out.topic for outs, _ in results for out in outs]
    assert set(topics) == {"tracks", "faces", "snapshots"}
    assert topics.count("faces") > 20
    assert [reason for _, reason in results if reason] == ["bad_jpeg"]


def test_the_models_see_the_frames_of_all_cameras_in_one_call() -> None:
    models = pack()
    processor = worker(models)
    processor.prepare(film())
    people, faces, embedder = models.persons, models.faces, models.embedder
    assert isinstance(people, People) and isinstance(faces, Faces)
    assert isinstance(embedder, Embeddings)
    assert len(people.calls) == 1 and people.calls[0] > 20
    assert max(faces.calls) > 2, "heads of several cameras are searched together"
    assert max(embedder.calls) > 2, "faces of several cameras are embedded together"
    calls = list(people.calls)
    taken(processor, film())
    assert people.calls == calls, "what is prepared is not computed again"


def test_what_was_prepared_on_partitions_of_another_worker_is_dropped() -> None:
    models = pack()
    processor = worker(models)
    processor.prepare(film()[:3])
    processor.forget([("frames.default", 0)])
    assert list(processor.state()) == []
    assert taken(processor, film()[:3]) == [result for result, _ in one_at_a_time(pack)[:3]]
