"""Every captured picture is published or counted, and every event has one first and one last."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.event_cutter import Event, EventCutter, EventFrame, RateCap
from producers.frame_accounting import FrameCounts
from producers.source_interface import CapturedPicture
from schemas import ids
from sightline.models.interface import BGRImage
from sightline.runtime.clock import US_PER_SECOND
from sightline.storage.cameras import CameraSettings

START = 1_700_000_000 * US_PER_SECOND
STILL = np.full((48, 64, 3), 90, np.uint8)
_noise = np.random.default_rng(3)
MOVING: list[BGRImage] = [_noise.integers(0, 256, (48, 64, 3)).astype(np.uint8) for _ in range(4)]

pictures = st.lists(
    st.tuples(
        st.integers(1, 3 * US_PER_SECOND),  # since the one before
        st.sampled_from([STILL, *MOVING, None]),
        st.integers(0, 3),  # skipped
    ),
    min_size=1,
    max_size=60,
)


def cut(
    cutter: EventCutter, given_pictures: list[tuple[int, BGRImage | None, int]], *, knows_end: bool
) -> list[EventFrame]:
    at_us = START
    shots: list[EventFrame] = []
    for number, (since, image, skipped) in enumerate(given_pictures, 1):
        at_us += since
        last = knows_end and number == len(given_pictures)
        shots += cutter.process(CapturedPicture(image, at_us, skipped, last))
    return shots + cutter.finish()


@settings(max_examples=60, deadline=None)
@given(pictures, st.booleans(), st.booleans(), st.sampled_from([None, 2.0]))
def test_nothing_is_lost_and_events_are_whole(
    given_pictures: list[tuple[int, BGRImage | None, int]],
    motion: bool,
    knows_end: bool,
    fps: float | None,
) -> None:
    tally = FrameCounts()
    cutter = EventCutter("cutter", CameraSettings(motion=motion, fps=fps), tally)
    shots = cut(cutter, given_pictures, knows_end=knows_end)

    assert tally.captured == len(shots) + tally.dropped.total()
    repeats = tally.captured - sum(1 + skipped for _, _, skipped in given_pictures)
    assert repeats in (0, 1)
    assert [shot.sequence for shot in shots] == sorted({shot.sequence for shot in shots})
    times = [shot.captured_at_us for shot in shots]
    assert times == sorted(set(times))

    by_event: dict[str, list[EventFrame]] = {}
    for shot in shots:
        by_event.setdefault(shot.event.event_id, []).append(shot)
    for event_id, frames in by_event.items():
        assert [shot.first for shot in frames] == [True] + [False] * (len(frames) - 1)
        assert [shot.last for shot in frames] == [False] * (len(frames) - 1) + [True]
        event = frames[-1].event
        assert event.ended
        assert event_id == ids.motion_event_id("cutter", frames[0].captured_at_us)
        assert (event.first_sequence, event.last_sequence) == (
            frames[0].sequence,
            frames[-1].sequence,
        )
        assert event.last_at_us == frames[-1].captured_at_us


def test_without_the_gate_a_film_gives_exactly_its_frames() -> None:
    tally = FrameCounts()
    cutter = EventCutter("film", CameraSettings(motion=False), tally)
    shots = cut(cutter, [(US_PER_SECOND // 10, STILL, 0)] * 50, knows_end=True)
    assert [shot.sequence for shot in shots] == list(range(1, 51))
    assert not tally.dropped


def test_a_lost_camera_s_last_picture_is_said_once_more() -> None:
    tally = FrameCounts()
    cutter = EventCutter("lost", CameraSettings(motion=False), tally)
    shots = cut(cutter, [(US_PER_SECOND // 10, image, 0) for image in MOVING], knows_end=False)
    *_, shown, again = shots
    assert again.image is shown.image
    assert again.captured_at_us == shown.captured_at_us + 1
    assert again.last
    assert tally.captured == len(MOVING) + 1


def test_pictures_just_before_a_motion_go_with_it() -> None:
    cutter = EventCutter("pre", CameraSettings(), FrameCounts())
    quiet = [(US_PER_SECOND // 10, STILL, 0)] * 60
    cut_so_far = cut(
        cutter, [*quiet, *[(US_PER_SECOND // 10, image, 0) for image in MOVING]], knows_end=False
    )
    opened = [shot.sequence for shot in cut_so_far if shot.first]
    assert opened == [1, 57]  # two moving ones open it: 61 and 62; five before 62 come along


def test_the_rate_is_capped_evenly() -> None:
    cap = RateCap(10)
    taken = [at for at in range(0, 2 * US_PER_SECOND, US_PER_SECOND // 25) if cap.allows(at)]
    assert len(taken) == 20
    gaps = {later - sooner for sooner, later in pairwise(taken)}
    assert max(gaps) <= 3 * US_PER_SECOND // 25


def test_a_trembling_beat_at_the_cap_loses_nothing() -> None:
    cap = RateCap(10)
    tremble = [0, 9_000, -8_000, 4_000, -9_000]
    times = [number * US_PER_SECOND // 10 + tremble[number % 5] for number in range(100)]
    assert all(cap.allows(at) for at in times)


@settings(max_examples=30, deadline=None)
@given(pictures, st.integers(0, 60), st.booleans())
def test_a_film_seen_again_up_to_a_kill_goes_on_as_if_nothing_had_been(
    given_pictures: list[tuple[int, BGRImage | None, int]], killed_after: int, motion: bool
) -> None:
    def life(told: int) -> tuple[list[list[tuple[int, int, Event, bool, bool]]], FrameCounts]:
        """What is said of each picture, and counted of those that have not been told of."""
        tally = FrameCounts()
        cutter = EventCutter("film", CameraSettings(motion=motion), tally)
        at_us, said = START, []
        for number, (since, image, _) in enumerate(given_pictures, 1):
            at_us += since
            last = number == len(given_pictures)
            shots = cutter.process(CapturedPicture(image, at_us, last=last))
            said.append([(s.sequence, s.captured_at_us, s.event, s.first, s.last) for s in shots])
            if number <= told:
                tally.clear()
        return said, tally

    whole, counted = life(told=0)
    again, counted_later = life(told=killed_after)
    assert again == whole
    left = counted.captured - killed_after if killed_after < len(given_pictures) else 0
    assert counted_later.captured == left
