"""Vision too far behind: a live camera's frames are skipped evenly, and counted; a film's never."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import pytest

from processors.vision.backlog import Footage
from processors.vision.load_shedding import FrameWait, LoadShedding, SheddingState
from processors.vision.processor import VisionProcessor
from processors.vision.settings import VisionSettings
from schemas import sightline_pb2 as pb
from schemas.decode import decode
from sightline.models.interface import ModelPack
from sightline.runtime import metrics
from sightline.runtime.clock import US_PER_SECOND
from sightline.runtime.errors import PoisonRecord
from sightline.runtime.settings import Settings
from sightline.streaming.records import RETRY_FOR, Record
from tests.unit.test_vision_pipeline import START, Camera, SeenFaces, SeenPeople, Vectors

SETTINGS = VisionSettings(shed_above_seconds=2, resume_below_seconds=0.5)


def looked_at(
    state: SheddingState, ages: Iterable[float], *, live: bool = True, first: int = -1
) -> list[int]:
    """Which of frames, each of an age, are looked at."""
    rule = LoadShedding(SETTINGS)
    frames = [pb.Frame(captured_at_us=START, live=live, first_in_event=number == first)
              for number, _ in enumerate(ages)]  # fmt: skip
    return [
        number
        for number, (frame, age) in enumerate(zip(frames, ages, strict=True))
        if not rule.skips(state, frame, FrameWait(age))
    ]


def test_nothing_is_skipped_before_the_limit() -> None:
    assert looked_at(SheddingState(), [1.9] * 10) == list(range(10))


def test_what_is_skipped_is_spread_evenly_and_grows_with_the_age() -> None:
    assert looked_at(SheddingState(), [2.5] * 10) == [1, 3, 5, 7, 9]
    assert looked_at(SheddingState(), [4.5] * 12) == [3, 7, 11]
    assert looked_at(SheddingState(), [1000.0] * 129) == [63, 127]


def test_skipping_ends_only_when_it_has_caught_up() -> None:
    assert looked_at(SheddingState(), [2.0, 1.9, 1.0, 0.6, 0.5, 1.9, 1.9]) == [1, 3, 4, 5, 6]


def test_films_and_an_events_first_and_last_frame_are_never_skipped() -> None:
    assert looked_at(SheddingState(), [1e6] * 5, live=False) == list(range(5))
    assert looked_at(SheddingState(), [2.5] * 6, first=2) == [1, 2, 4]
    last = pb.Frame(captured_at_us=START, live=True, last_in_event=True)
    assert not LoadShedding(SETTINGS).skips(SheddingState(is_shedding=True), last, FrameWait(10.0))


def test_it_can_be_turned_off() -> None:
    rule = LoadShedding(VisionSettings(shed_above_seconds=0))
    frame = pb.Frame(captured_at_us=START, live=True)
    assert not rule.skips(SheddingState(), frame, FrameWait(1000.0))


class OtherClock:
    """A clock that differs from the camera's by some seconds."""

    def __init__(self, seconds: float) -> None:
        self._now_us = START + round(seconds * US_PER_SECOND)

    def now_us(self) -> int:
        return self._now_us

    def monotonic(self) -> float:
        return 0.0


def worker(run: str = "live", *, skew_seconds: float = 0.0) -> VisionProcessor:
    pack = ModelPack("test", SeenPeople(), SeenFaces(), Vectors())
    return VisionProcessor(pack, Settings(run=run), clock=OtherClock(skew_seconds))


def live_film(camera: str, frames: int = 20, *, waited_seconds: float = 0.0) -> list[Record]:
    records = []
    for record in Camera(camera).film(frames):
        frame = decode(pb.Frame, record.value)
        frame.live = True
        value = frame.SerializeToString()
        records.append(
            replace(record, partition=0, value=value, timestamp_ms=0, headers=(),
                    waited_seconds=waited_seconds)
        )  # fmt: skip
    return records


def frames_of(processor: VisionProcessor, records: list[Record], topic: str = "tracks"
              ) -> list[pb.FrameTracks]:  # fmt: skip
    outs = [out for record in records for out in processor.process(record)]
    return [decode(pb.FrameTracks, out.value) for out in outs if out.topic == topic]


def test_a_skipped_frame_is_recorded_without_boxes_counted_and_seen_from_outside() -> None:
    skipped = metrics.FRAMES_SKIPPED.labels("late", "behind")
    seen = frames_of(worker(), live_film("late", waited_seconds=3.0))
    assert [frame.sequence for frame in seen] == list(range(20))
    assert [frame.sequence for frame in seen if not frame.skipped] == [0, *range(2, 20, 2), 19]
    assert not any(frame.tracks for frame in seen if frame.skipped)
    assert seen[-1].tracks and seen[-1].last_in_event
    assert skipped._value.get() == 9
    assert metrics.VISION_SHEDDING.labels("late")._value.get() == 1
    assert metrics.FRAME_WAITING_SECONDS.labels("late")._value.get() == 3.0


@pytest.mark.parametrize("skew", [-60.0, -10.0, -2.1, 2.1, 10.0, 60.0])
def test_clocks_that_differ_skip_nothing_and_are_shown(skew: float) -> None:
    """The reproduction: from 2 s on, half to 98% of the frames were skipped."""
    seen = frames_of(worker(skew_seconds=skew), live_film("skewed"))
    assert not any(frame.skipped for frame in seen)
    shown = metrics.CAPTURE_DELAY_SECONDS.labels("skewed")._value.get()
    assert shown == pytest.approx(skew, abs=3.0)  # the film lasts two seconds


def test_a_run_skips_nothing_and_writes_to_topics_of_its_own() -> None:
    film = live_film("replayed", waited_seconds=1e6)
    seen = frames_of(worker("again"), film, "tracks.run-again")
    assert [frame.sequence for frame in seen if not frame.skipped] == list(range(20))


def test_a_replayed_dead_letter_is_looked_at_once_more_and_disturbs_nobody() -> None:
    camera = Camera()
    film = camera.film(20)
    processor = worker()
    seen = frames_of(processor, film[:10])
    (retried,) = frames_of(processor, [retry(film[5])])
    assert retried.again and not retried.tracks
    with pytest.raises(PoisonRecord, match="bad_jpeg"):
        frames_of(processor, [retry(camera.record(21, bad=True))])
    seen += frames_of(processor, film[10:])
    assert seen == frames_of(worker(), film)


def retry(record: Record) -> Record:
    headers = ((RETRY_FOR, b"vision"),)
    return Record(record.topic, 0, 1000, record.key, record.value, 0, headers)


def backlog_of(
    seconds: float, *, fps: int = 10, speed: float = 8.0, live_seconds: float = 20.0
) -> list[tuple[int, bool]]:
    """Capture seconds of frames, and whether they were processed, of a live camera.

    A worker that processes `speed` times as many frames as come starts behind so much footage.
    """
    rule, state, footage = LoadShedding(SETTINGS), SheddingState(), Footage()
    frames: list[tuple[int, bool]] = []
    now, spent = 0.0, 1 / (fps * speed)
    for number in range(round((seconds + live_seconds) * fps)):
        at_us = START + number * US_PER_SECOND // fps
        arrived = number / fps - seconds  # this one is there
        now = max(now, arrived)
        newest = int((now + seconds) * fps)
        record = Record(
            "frames", 0, number, b"", b"", at_us // 1000, records_behind=max(0, newest - number)
        )
        frame = pb.Frame(captured_at_us=at_us, live=True)
        wait = FrameWait(min(now, now - arrived), footage.seconds(record), now)
        is_processed = not rule.skips(state, frame, wait)
        frames.append((number // fps, is_processed))
        now += spent if is_processed else 0.0
    return frames


def test_what_waited_during_an_outage_is_worked_off_at_a_pace_that_follows_people() -> None:
    frames = backlog_of(600, live_seconds=100)
    processed = Counter(second for second, is_processed in frames if is_processed)
    assert min(processed[second] for second in range(700)) >= 5, "people in it get their rows"
    assert {processed[second] for second in range(660, 700)} == {10}, "it has caught up"


def test_a_worker_that_is_too_slow_for_the_pace_as_well_sheds_more() -> None:
    frames = backlog_of(120, speed=0.2, live_seconds=600)
    processed = Counter(second for second, is_processed in frames if is_processed)
    assert processed[1] >= 5
    assert processed[700] < 5


def test_a_worker_that_is_a_little_too_slow_sheds_and_keeps_up() -> None:
    """No backlog: live pictures stay live."""
    rule, state, footage = LoadShedding(SETTINGS), SheddingState(), Footage()
    now, longest = 0.0, 0.0
    for number in range(6000):
        arrived = number / 10
        now = max(now, arrived)
        behind = int((now - arrived) * 10)
        record = Record("f", 0, number, b"", b"", number * 100, records_behind=behind)
        frame = pb.Frame(captured_at_us=START + number * 100_000, live=True)
        wait = FrameWait(now - arrived, footage.seconds(record), now)
        now += 0.0 if rule.skips(state, frame, wait) else 0.15
        longest = max(longest, now - arrived)
    assert longest < 5.0
    assert not state.backlog.is_working_off
