"""A camera's state through Kafka: who takes over at any frame goes on to the bit."""

from collections.abc import Sequence

import numpy as np
import pytest

from processors.vision.followed_track import UnusableStateError
from processors.vision.processor import VisionProcessor
from processors.vision.state_record import read_state, restore_state
from schemas import sightline_pb2 as pb
from schemas.topics import vision_state
from sightline.models.interface import BGRImage, Float32Array, ModelPack, PersonBoxes
from sightline.runtime import metrics
from sightline.streaming.records import OutputRecord, Record
from tests.unit.test_vision_pipeline import (
    Camera,
    SeenFaces,
    SeenPeople,
    Vectors,
    vision_settings,
)

STATE = vision_state().name
STEP = 4
"""Grey levels from one frame to the next: they survive the JPEG."""
FRAMES = 60


class Crowd:
    """People who come, walk, are hidden and go; the first pixel says which frame it is."""

    def __init__(self, people: int, seed: int = 7) -> None:
        dice = np.random.default_rng(seed)
        at = dice.uniform(0, 240, (people, 2)).astype(np.float32)
        size = np.array([60, 150], np.float32)
        speed = dice.normal(0, 3, (people, 2)).astype(np.float32)
        self._boxes: list[Float32Array] = []
        self._scores: list[Float32Array] = []
        for _ in range(FRAMES):
            at = at + speed + dice.normal(0, 1, at.shape).astype(np.float32)
            seen = dice.random(people) < 0.85
            corners = at[seen]
            self._boxes.append(np.concatenate([corners, corners + size], axis=1))
            self._scores.append(dice.uniform(0.3, 1, int(seen.sum())).astype(np.float32))

    def detect(self, images: Sequence[BGRImage]) -> list[PersonBoxes]:
        numbers = [round(float(image[0, 0, 0]) / STEP) for image in images]
        return [PersonBoxes(self._boxes[number], self._scores[number]) for number in numbers]


def film(camera: Camera, frames: int = FRAMES) -> list[Record]:
    return [camera.record(number, number * STEP, last=number == FRAMES - 1)
            for number in range(frames)]  # fmt: skip


def processor(people: SeenPeople | Crowd | None, **settings: float) -> VisionProcessor:
    pack = ModelPack("test", people, SeenFaces(whole=people is None), Vectors())
    return VisionProcessor(pack, vision_settings({"detections_per_second": 12.5} | settings))


def state_record(out: OutputRecord, offset: int = 0) -> Record:
    assert out.topic == STATE and out.partition is not None
    return Record(STATE, out.partition, offset, out.key.encode(), out.value, out.timestamp_ms)


def undisturbed(
    worker: VisionProcessor, records: Sequence[Record]
) -> tuple[list[OutputRecord], list[OutputRecord]]:
    """Outputs, and the state after each frame."""
    outs: list[OutputRecord] = []
    states: list[OutputRecord] = []
    for record in records:
        outs += worker.process(record)
        states += worker.state()
    return outs, states


def died_after_each_frame(
    people: SeenPeople | Crowd | None, records: Sequence[Record]
) -> tuple[list[OutputRecord], list[OutputRecord]]:
    """The same with another worker for every frame, which knows what is in Kafka alone."""
    outs: list[OutputRecord] = []
    states: list[OutputRecord] = []
    for record in records:
        worker = processor(people)
        for state in states:
            worker.restore((record.topic, record.partition), record.offset, state_record(state))
        outs += worker.process(record)
        states += worker.state()
    return outs, states


@pytest.mark.slow
@pytest.mark.parametrize("people", [Crowd(12), SeenPeople(), None], ids=["crowd", "one", "faces"])
def test_a_worker_that_takes_over_at_any_frame_goes_on_to_the_bit(
    people: SeenPeople | Crowd | None,
) -> None:
    records = film(Camera())
    expected = undisturbed(processor(people), records)
    assert died_after_each_frame(people, records) == expected
    kinds = {out.topic for out in expected[0]}
    assert kinds == {"tracks", "faces", "snapshots"}, "nothing was seen in the film"
    assert expected[1][-1].value is None, "the event is over, and its state is not"


def test_the_state_goes_to_the_number_of_its_frames_once_a_batch() -> None:
    worker = processor(SeenPeople())
    for record in [*film(Camera("door"), 5), *film(Camera("yard"), 3)]:
        list(worker.process(record))
    offsets = {out.key: (out.partition, pb.VisionState.FromString(out.value or b"").next_offset)
             for out in worker.state()}  # fmt: skip
    assert offsets == {"door": (0, 5), "yard": (0, 3)}
    assert list(worker.state()) == []


@pytest.mark.slow
def test_the_state_of_a_camera_is_small_and_bounded_whatever_is_seen() -> None:
    sizes = {}
    for people in (1, 10, 2000):
        _, states = undisturbed(processor(Crowd(people)), film(Camera(), 30))
        sizes[people] = max(len(out.value or b"") for out in states)
    assert sizes[1] < 2_500
    assert sizes[10] < 20_000
    assert sizes[2000] < vision_state().max_record_bytes // 2


def test_state_of_later_frames_or_of_another_version_is_not_taken() -> None:
    _, states = undisturbed(processor(SeenPeople()), film(Camera(), 10))
    value = states[-1].value or b""
    assert read_state(value, 10).next_offset == 10
    assert read_state(value, 12).next_offset == 10, "another camera's frames came between"
    with pytest.raises(UnusableStateError, match="go on at 9"):
        read_state(value, 9)
    message = pb.VisionState.FromString(value)
    message.version += 1
    with pytest.raises(UnusableStateError, match="version"):
        read_state(message.SerializeToString(), 10)
    with pytest.raises(UnusableStateError):
        read_state(b"\xff\xff", 10)


@pytest.mark.parametrize("field", ["state", "covariance", "outline", "tracks"])
def test_damaged_state_is_refused_and_the_camera_begins_anew(field: str) -> None:
    records = film(Camera(), 11)
    _, states = undisturbed(processor(SeenPeople()), records[:10])
    message = pb.VisionState.FromString(states[-1].value or b"")
    damaged = message if field in ("outline", "tracks") else message.tracklets[0]
    damaged.ClearField("tracks") if field == "tracks" else setattr(damaged, field, b"half")
    with pytest.raises(UnusableStateError, match="damaged"):
        restore_state(message, 2.0)
    worker = processor(SeenPeople())
    broken = OutputRecord(STATE, "door", message.SerializeToString(), 0, 0)
    worker.restore(("frames.default", 0), 10, state_record(broken))
    refused = metrics.DEAD_LETTERS.labels("vision", "unusable_state")._value
    before = refused.get()
    (out,) = worker.process(records[10])
    assert pb.FrameTracks.FromString(out.value or b"").sequence == 10
    assert refused.get() == before + 1


def test_what_another_worker_has_taken_over_is_not_kept() -> None:
    records = film(Camera(), 11)
    _, states = undisturbed(processor(SeenPeople()), records[:10])
    worker = processor(SeenPeople())
    worker.restore(("frames.default", 0), 10, state_record(states[-1]))
    worker.forget([("frames.default", 0)])
    (out,) = worker.process(records[10])
    assert not pb.FrameTracks.FromString(out.value or b"").tracks
