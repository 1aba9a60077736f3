"""Somebody who stands still is present: the event stays open, at a reduced rate.

Light, furniture and places that are left hold no event open for long.
"""

from itertools import pairwise

import numpy as np
import pytest

from producers.event_cutter import EventCutter, StillRules
from producers.frame_accounting import FrameCounts
from producers.motion_detection import EventGate, EventPhase
from producers.source_interface import CapturedPicture
from sightline.models.interface import BGRImage
from sightline.runtime.clock import US_PER_SECOND
from sightline.storage.camera_masks import parse_mask
from sightline.storage.cameras import CameraSettings
from tests.unit.still_scenes import (
    FPS,
    HEIGHT,
    START,
    WIDTH,
    paste,
    play,
    relight,
    room,
    seconds_of,
    visit,
)

COME, GO = 3.0, 28.0
FIRST_SECOND_S_EVENT = 1
"""The first second of a connection counts as motion: an event of its own."""


@pytest.mark.parametrize(
    ("height", "sway"), [(240, 0), (240, 2), (240, 10), (120, 5), (60, 0), (60, 10)]
)
def test_who_stands_still_is_one_event_from_coming_to_going(height: int, sway: float) -> None:
    outcome = play(
        lambda picture, second: visit(picture, second, come=COME, go=GO, sway=sway, height=height),
        38,
    )
    [(begin, end)] = outcome.events[FIRST_SECOND_S_EVENT:]
    assert begin == pytest.approx(COME, abs=1.0)
    assert GO + 4 <= end <= GO + 8


def test_the_rate_is_reduced_while_nothing_moves_and_full_again_at_once() -> None:
    outcome = play(lambda picture, second: visit(picture, second, come=COME, go=GO, sway=2), 38)
    still = outcome.published(16, GO)
    assert all(frame.still for frame in still)
    gaps = {round(seconds_of(b) - seconds_of(a), 2) for a, b in pairwise(still)}
    assert gaps == {0.5}  # 2 of the 4 pictures in a second
    assert outcome.counts.dropped["still"] > 0
    # All pictures of the walk are there, and those just before it.
    walk = [seconds_of(frame) for frame in outcome.published(GO, GO + 4)]
    assert walk == [GO + number / FPS for number in range(4 * FPS)]
    assert not any(frame.still for frame in outcome.published(GO + 1, GO + 4))


def test_the_same_film_gives_the_same_frames() -> None:
    def cut() -> list[tuple[int, int, bool, str]]:
        outcome = play(lambda picture, second: visit(picture, second, come=2, go=16, sway=5), 20)
        return [
            (frame.sequence, frame.captured_at_us, frame.still, frame.event.event_id)
            for frame in outcome.frames
        ]

    assert cut() == cut()


def bring_chair(picture: BGRImage, second: float) -> None:
    if second >= 7:
        paste(picture, 300, 90, is_box=True)
    if 5 <= second < 7:
        paste(picture, -60 + 180 * (second - 5), 200)
    elif 7 <= second < 9:
        paste(picture, 300 - 180 * (second - 7), 200)


@pytest.mark.parametrize("still_seconds", [5, 15])
def test_a_chair_left_standing_is_background_after_the_set_time(still_seconds: int) -> None:
    outcome = play(bring_chair, 36, rules=StillRules(still_us=still_seconds * US_PER_SECOND))
    [(begin, end)] = outcome.events[FIRST_SECOND_S_EVENT:]
    assert begin == pytest.approx(5, abs=1.5)
    moved_until = 13  # the model of motion forgets for four seconds
    assert 9 + still_seconds <= end <= moved_until + still_seconds + 4
    assert len(outcome.published(16, 36)) <= 2 * max(0.0, end - 16) + 2


def test_who_sways_outlasts_a_chair() -> None:
    outcome = play(
        lambda picture, second: visit(picture, second, come=COME, go=GO, sway=5),
        38,
        rules=StillRules(still_us=10 * US_PER_SECOND),
    )
    assert len(outcome.events) == FIRST_SECOND_S_EVENT + 1


def test_a_chair_taken_away_leaves_no_ghost() -> None:
    def take(picture: BGRImage, second: float) -> None:
        if second < 12:
            paste(picture, 300, 90, is_box=True)
        if 10 <= second < 12:
            paste(picture, -60 + 180 * (second - 10), 200)
        elif 12 <= second < 14:
            paste(picture, 300 - 180 * (second - 12), 200)

    [(_, end)] = play(take, 35).events[FIRST_SECOND_S_EVENT:]
    assert end <= 22


@pytest.mark.parametrize("sway", [0, 2])
def test_who_was_there_from_the_start_leaves_no_ghost(sway: float) -> None:
    outcome = play(lambda picture, second: visit(picture, second, come=-10, go=20, sway=sway), 45)
    begin, end = outcome.events[-1]
    assert begin == pytest.approx(20, abs=1.5)
    assert end <= 32


_ROWS, _COLUMNS = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
SPOT = np.exp(-((_COLUMNS - 225) ** 2 + (_ROWS - 50) ** 2) / (2 * 60.0**2)).astype(np.float32)


@pytest.mark.parametrize("gain", [0.4, 0.8, 1.2, 1.8])
@pytest.mark.parametrize("where", [None, SPOT], ids=["everywhere", "a spot"])
def test_a_lamp_holds_no_event_open(gain: float, where: np.ndarray | None) -> None:
    def switch(picture: BGRImage, second: float) -> None:
        if second >= 10:
            relight(picture, gain, where)

    outcome = play(switch, 24)
    assert all(end <= 20 for _, end in outcome.events)


def test_a_lamp_takes_nobody_away() -> None:
    def switch(picture: BGRImage, second: float) -> None:
        visit(picture, second, come=COME, go=GO, sway=2)
        if second >= 16:
            relight(picture, 1.4)

    [(begin, end)] = play(switch, 42).events[FIRST_SECOND_S_EVENT:]
    assert begin == pytest.approx(COME, abs=1.0)
    assert GO + 4 <= end <= GO + 12


@pytest.mark.parametrize("period", [15, 60])
def test_clouds_hold_no_event_open(period: float) -> None:
    def cloud(picture: BGRImage, second: float) -> None:
        relight(picture, 0.85 + 0.15 * np.cos(2 * np.pi * second / period))

    assert sum(end - begin for begin, end in play(cloud, 60).events) <= 10


@pytest.mark.parametrize("noise", [0, 4, 10])
def test_noise_opens_nothing(noise: float) -> None:
    outcome = play(lambda picture, second: None, 20, noise=noise)
    assert len(outcome.events) == FIRST_SECOND_S_EVENT


def test_a_film_that_ends_while_somebody_stands_there_ends_its_event() -> None:
    outcome = play(lambda picture, second: visit(picture, second, come=COME, go=99), 30)
    assert outcome.frames[-1].last
    assert seconds_of(outcome.frames[-1]) == 30 - 1 / FPS
    assert outcome.frames[-1].event.ended


def test_an_event_of_the_longest_time_is_cut_and_who_stands_there_is_background() -> None:
    outcome = play(
        lambda picture, second: visit(picture, second, come=COME, go=99),
        40,
        rules=StillRules(max_event_us=20 * US_PER_SECOND),
    )
    [(begin, end)] = outcome.events[FIRST_SECOND_S_EVENT:]
    assert end - begin == pytest.approx(20, abs=2)


def test_a_new_connection_knows_who_is_there() -> None:
    def cutter_of(earlier: EventCutter | None) -> EventCutter:
        detector = None if earlier is None else earlier.detector
        return EventCutter("c", CameraSettings(), FrameCounts(), 0, None, detector)

    def run(cutter: EventCutter, begin: int, end: int) -> list[float]:
        times = []
        for number in range(begin * FPS, end * FPS):
            picture = room().copy()
            visit(picture, number / FPS, come=COME, go=99, sway=2)
            at_us = START + number * US_PER_SECOND // FPS
            times += [
                seconds_of(frame) for frame in cutter.process(CapturedPicture(picture, at_us))
            ]
        return times

    before = cutter_of(None)
    run(before, 0, 25)
    assert run(cutter_of(before), 60, 80)[-1] > 79
    assert run(cutter_of(None), 60, 80)[-1] < 70  # a stranger to the room sees furniture


def test_nothing_counts_under_a_mask_of_motion() -> None:
    settings = CameraSettings(masks=(parse_mask("motion:0,0,1,0,1,1,0,1"),))
    outcome = play(
        lambda picture, second: visit(picture, second, come=COME, go=20), 25, settings=settings
    )
    assert len(outcome.events) == FIRST_SECOND_S_EVENT


def test_a_mask_of_motion_ends_at_its_edge() -> None:
    """The right half is masked: who walks through is in the left half for two seconds."""
    settings = CameraSettings(masks=(parse_mask("motion:0.5,0,1,0,1,1,0.5,1"),))
    outcome = play(
        lambda picture, second: visit(picture, second, come=COME, go=COME + 4), 30,
        settings=settings,
    )  # fmt: skip
    [(begin, end)] = outcome.events[FIRST_SECOND_S_EVENT:]
    assert begin == pytest.approx(COME, abs=1.0)
    assert end <= COME + 12


def test_the_gate_is_still_and_not_over_while_something_has_foreground() -> None:
    gate = EventGate()
    times = [START + number * US_PER_SECOND for number in range(30)]
    occupied = [5 <= number < 20 for number in range(30)]
    phases = [
        gate.process(0.0, at, has_foreground=has_foreground)
        for at, has_foreground in zip(times, occupied, strict=True)
    ]
    assert phases[5] is EventPhase.STARTED  # an event was cut while somebody stood there
    assert set(phases[6:21]) == {EventPhase.STILL}
    assert phases[21] is EventPhase.ENDED
    assert set(phases[22:]) == {EventPhase.IDLE}
