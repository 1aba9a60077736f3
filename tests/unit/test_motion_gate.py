"""The motion gate opens when something moves, and every event ends on a picture of its own."""

from functools import cache

import numpy as np
import pytest

from producers.motion_detection import EventGate, EventPhase, GateRules, MotionDetector
from sightline.models.interface import BGRImage
from sightline.runtime.clock import US_PER_SECOND

START = 1_700_000_000 * US_PER_SECOND
FPS = 10


@cache
def still_rooms(count: int) -> list[BGRImage]:
    """Pictures of a noisy room, 640x360."""
    noise = np.random.default_rng(1)
    shape = (360, 640, 3)
    return [
        (noise.standard_normal(shape, np.float32) * 4 + 110).astype(np.uint8) for _ in range(count)
    ]


def room(second: float, still: BGRImage) -> BGRImage:
    """A room that somebody 40 px wide crosses from second 6 to second 9."""
    image = still.copy()
    if 6 <= second < 9:
        left = int(40 + (second - 6) * 180)
        image[120:240, left : left + 40] = (40, 60, 200)
    return image


def steps(seconds: int) -> list[tuple[float, EventPhase]]:
    still = still_rooms(17)
    detector, gate = MotionDetector(), EventGate()
    found = []
    for number in range(seconds * FPS):
        second = number / FPS
        at_us = START + number * US_PER_SECOND // FPS
        found.append(
            (
                second,
                gate.process(
                    detector.moving_ratio(room(second, still[number % len(still)]), at_us), at_us
                ),
            )
        )
    return found


def test_an_event_for_the_start_and_one_for_who_walks_through() -> None:
    found = steps(15)
    started = [second for second, step in found if step is EventPhase.STARTED]
    ended = [second for second, step in found if step is EventPhase.ENDED]
    assert started[0] == 0.0
    assert started[1] == pytest.approx(6.0, abs=0.21)
    assert len(started) == 2
    assert ended[1] == pytest.approx(8.9 + 2.0, abs=0.3)
    assert len(ended) == 2


def test_a_shadowless_still_room_stays_closed_after_the_warm_up() -> None:
    found = [step for second, step in steps(6) if second > 3.1]
    assert set(found) == {EventPhase.IDLE}


def feed(
    gate: EventGate, shares: list[float], *, first: int = 0, fps: int = FPS
) -> list[EventPhase]:
    return [
        gate.process(share, START + number * US_PER_SECOND // fps)
        for number, share in enumerate(shares, first)
    ]


def warm() -> EventGate:
    """A gate whose event of the warm-up is over: the next picture is number 32."""
    gate = EventGate()
    found = feed(gate, [0.0] * 32)
    assert found[0] is EventPhase.STARTED
    assert found.index(EventPhase.ENDED) == 29  # 0.9 s was the last picture of the warm-up, + 2 s
    return gate


def test_one_flash_opens_nothing_and_two_moving_pictures_do() -> None:
    gate = warm()
    assert feed(gate, [0.5, 0.0, 0.5, 0.5], first=32) == [
        EventPhase.IDLE,
        EventPhase.IDLE,
        EventPhase.IDLE,
        EventPhase.STARTED,
    ]


def test_a_pause_shorter_than_the_hold_does_not_cut() -> None:
    gate = warm()
    found = feed(gate, [0.5, 0.5] + [0.0] * 19 + [0.5] + [0.0] * 20, first=32)
    assert found.count(EventPhase.STARTED) == 1
    assert found[-1] is EventPhase.ENDED
    assert found.count(EventPhase.ENDED) == 1


def test_a_long_event_is_cut_and_goes_on_with_the_next_picture() -> None:
    gate = EventGate(GateRules(max_duration_us=300 * US_PER_SECOND))
    found = feed(gate, [1.0] * 602, fps=1)
    assert [number for number, step in enumerate(found) if step is EventPhase.ENDED] == [300, 601]
    assert found[301] is EventPhase.STARTED
    assert EventPhase.IDLE not in found


def test_rules_can_be_given() -> None:
    gate = EventGate(GateRules(start_ratio=0.5, start_pictures=1, warm_up_us=0))
    assert feed(gate, [0.4, 0.6]) == [EventPhase.IDLE, EventPhase.STARTED]
