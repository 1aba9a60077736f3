"""A live camera whose machine's clock is set: the event ends, and pictures go on at once."""

from itertools import pairwise

import numpy as np
import pytest

from producers.event_cutter import EventCutter, EventFrame
from producers.frame_accounting import FrameCounts
from producers.live_source import CaptureTimes
from producers.source_interface import CapturedPicture
from sightline.runtime.clock import US_PER_SECOND
from sightline.storage.cameras import CameraSettings
from tests.unit.test_event_cutter import START, STILL

HOUR = 3600.0


class SetClock:
    """A clock that somebody can set; its monotonic time goes on."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.offset = 0.0

    def now_us(self) -> int:
        return START + round((self.seconds + self.offset) * US_PER_SECOND)

    def monotonic(self) -> float:
        return self.seconds


def grab(
    times: CaptureTimes, clock: SetClock, pictures: int, fps: float = 10
) -> list[tuple[int, bool]]:
    taken = []
    for _ in range(pictures):
        clock.seconds += 1 / fps
        taken.append(times.next())
    return taken


@pytest.mark.parametrize("offset", [-HOUR, -1.2, 1.2, HOUR])
def test_a_set_clock_is_noticed_once_and_followed(offset: float) -> None:
    clock = SetClock()
    times = CaptureTimes(clock)
    grab(times, clock, 20)
    clock.offset = offset
    after = grab(times, clock, 20)
    assert [clock_set for _at, clock_set in after] == [True] + [False] * 19
    assert after[-1][0] == clock.now_us()
    gaps = {later - sooner for (sooner, _), (later, _) in pairwise(after)}
    assert gaps == {US_PER_SECOND // 10}


@pytest.mark.parametrize("offset", [-0.8, 0.8])
def test_a_clock_that_is_put_right_by_less_than_a_second_ends_nothing(offset: float) -> None:
    clock = SetClock()
    times = CaptureTimes(clock)
    before = grab(times, clock, 20)
    clock.offset = offset
    taken = [*before, *grab(times, clock, 20)]
    assert not any(clock_set for _at, clock_set in taken)
    assert [at for at, _ in taken] == sorted({at for at, _ in taken})
    assert taken[-1][0] == clock.now_us()


def test_a_camera_that_stood_still_for_an_hour_has_no_set_clock() -> None:
    clock = SetClock()
    times = CaptureTimes(clock)
    grab(times, clock, 3)
    clock.seconds += HOUR
    assert [clock_set for _at, clock_set in grab(times, clock, 3)] == [False] * 3


@pytest.mark.parametrize("offset", [-HOUR, HOUR])
@pytest.mark.parametrize("motion", [True, False])
def test_as_much_is_published_after_the_clock_was_set_as_before(
    offset: float, *, motion: bool
) -> None:
    """The reproduction: 10 pictures a second, 5 of them published, an hour back or ahead."""
    clock = SetClock()
    times = CaptureTimes(clock)
    cutter = EventCutter("door", CameraSettings(fps=5, motion=motion), FrameCounts())
    noise = np.random.default_rng(3)

    def publish(pictures: int) -> list[EventFrame]:
        shots: list[EventFrame] = []
        for at_us, clock_set in grab(times, clock, pictures):
            if clock_set:
                shots += cutter.finish()
                cutter.restart_time()
            shots += cutter.process(
                CapturedPicture(noise.integers(0, 256, (48, 64, 3), np.uint8), at_us)
            )
        return shots

    before = publish(100)
    clock.offset = offset
    after = publish(100)
    assert len(before) == 50
    assert len(after) == 51  # the old event's last picture is said once more
    assert after[0].last
    assert after[0].event.event_id == before[0].event.event_id
    assert after[0].captured_at_us == before[-1].captured_at_us + 1
    assert after[1].first
    assert after[1].event.event_id != before[0].event.event_id
    assert after[1].captured_at_us - before[-1].captured_at_us == pytest.approx(
        offset * US_PER_SECOND, abs=US_PER_SECOND
    )
    assert [shot.sequence for shot in (*before, *after)] == sorted(
        {shot.sequence for shot in (*before, *after)}
    )


def test_the_background_outlives_a_set_clock() -> None:
    """What stands still is not in motion because the clock was set."""
    clock = SetClock()
    times = CaptureTimes(clock)
    cutter = EventCutter("door", CameraSettings(), FrameCounts())
    for at_us, _set in grab(times, clock, 100):
        cutter.process(CapturedPicture(STILL, at_us))
    clock.offset = -HOUR
    cutter.finish()
    cutter.restart_time()
    shots = [
        shot
        for at_us, _ in grab(times, clock, 100)
        for shot in cutter.process(CapturedPicture(STILL, at_us))
    ]
    # The first second of a connection counts as motion, that after a set clock too.
    assert shots[-1].last
    assert shots[-1].captured_at_us - shots[0].captured_at_us <= 4 * US_PER_SECOND
