"""Which decision counts, and what the sinks make of a batch before it meets a database."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import sightline_pb2 as pb
from sightline.runtime.errors import PoisonRecord
from sinks.access_log import foot_point
from sinks.person_state import add_up
from sinks.sighting_rules import decisions_in_force
from sinks.snapshot_rows import SnapshotOwner
from sinks.snapshots import best_snapshots
from sinks.visitor_log import frames_by_event

NOW_US = 2_000_000_000_000_000

PROVISIONAL, CONFIRMED = pb.Sighting.PROVISIONAL, pb.Sighting.CONFIRMED
CHANGED, ENDED = pb.Sighting.CHANGED, pb.Sighting.ENDED


def sighting(status: "pb.Sighting.Status", person: int, at_us: int = 1, **more: Any) -> pb.Sighting:
    return pb.Sighting(
        sighting_id="one", status=status, global_id=person, decided_at_us=at_us, **more
    )


def persons(sightings: Sequence[pb.Sighting]) -> list[int]:
    return [one.global_id for one in decisions_in_force(sightings)]


@pytest.mark.parametrize(
    ("told", "who"),
    [
        ([], []),
        ([sighting(PROVISIONAL, 0)], []),
        ([sighting(CONFIRMED, 5)], [5]),
        ([sighting(CONFIRMED, 5), sighting(CHANGED, 6, 2)], [6]),
        ([sighting(CHANGED, 6, 2), sighting(CONFIRMED, 5)], [6]),
        ([sighting(CONFIRMED, 5), sighting(CHANGED, 6)], [6]),
        ([sighting(CHANGED, 6), sighting(CONFIRMED, 5)], [6]),
        ([sighting(CONFIRMED, 5), sighting(CHANGED, 0, 2)], [0]),
        ([sighting(CONFIRMED, 5), sighting(PROVISIONAL, 0, 2)], [5]),
        ([sighting(ENDED, 0)], []),
        ([sighting(ENDED, 5, 9)], [5]),
        ([sighting(CONFIRMED, 5), sighting(ENDED, 5, 9)], [5]),
        ([sighting(CONFIRMED, 5), sighting(ENDED, 5, 9), sighting(CHANGED, 6, 2)], [6]),
    ],
)
def test_the_later_decision_is_in_force(told: list[pb.Sighting], who: list[int]) -> None:
    assert persons(told) == who


DECISIONS = st.lists(
    st.builds(
        sighting,
        st.sampled_from([PROVISIONAL, CONFIRMED, CHANGED, ENDED]),
        st.integers(1, 3),
        st.integers(1, 5),
    )
)


@given(DECISIONS, st.data())
def test_a_part_decided_before_decides_the_same(
    told: list[pb.Sighting], data: st.DataObject
) -> None:
    middle = data.draw(st.integers(0, len(told)))
    before = decisions_in_force(told[:middle])
    # An ended track alone fills in and yields to any decision, in a batch as in the table.
    assert persons([*before, *told[middle:]]) == persons(told)


def test_a_sure_decision_on_nobody_is_invalid() -> None:
    with pytest.raises(PoisonRecord, match="no_identity"):
        decisions_in_force([sighting(CONFIRMED, 0)])


def test_where_a_person_stands_is_a_fraction_of_the_frame() -> None:
    box = pb.Box(x1=40, y1=10, x2=60, y2=75)
    assert foot_point(pb.Sighting(width=200, height=100, track_box=box)) == (0.25, 0.75)
    outside = pb.Box(x1=190, y1=10, x2=260, y2=130)
    assert foot_point(pb.Sighting(width=200, height=100, track_box=outside)) == (1.0, 1.0)
    assert foot_point(pb.Sighting(track_box=box)) == (None, None)


def test_the_frames_of_a_batch_are_counted_by_event() -> None:
    frames = [
        pb.FrameTracks(camera_id="a", motion_event_id="x", captured_at_us=at_us)
        for at_us in (3, 5, 4)
    ]
    frames.append(
        pb.FrameTracks(camera_id="b", motion_event_id="y", captured_at_us=1, last_in_event=True)
    )
    counted = [
        (one.event_id, one.frames, one.last_frame_us, one.all_seen)
        for one in frames_by_event(frames)
    ]
    assert counted == [("x", 3, 5, False), ("y", 1, 1, True)]


def test_the_best_shot_of_a_track_and_epoch_is_kept_the_first_of_equals() -> None:
    def shot(epoch: int, quality: float, jpeg: bytes) -> pb.Snapshot:
        return pb.Snapshot(track_id="t", epoch=epoch, quality=quality, jpeg=jpeg)

    best = best_snapshots(
        [shot(0, 0.5, b"a"), shot(0, 0.7, b"b"), shot(0, 0.7, b"c"), shot(1, 0.1, b"d")]
    )
    assert [one.jpeg for one in best.values()] == [b"b", b"d"]


def test_two_tracks_of_one_instant_have_keys_of_their_own() -> None:
    def key(sighting_id: str, name: str | None) -> str:
        at = datetime(2026, 11, 21, 10, 15, 30, 250_999, UTC)
        return SnapshotOwner(sighting_id, "track", 0, "camera", 1, name, at, "").key

    assert key("0123456789", None) == "unknown/2026-11-21/10-15-30.250_01234567.jpg"
    assert key("0123456789", "Joe Biden") == "known/Joe_Biden_2026-11-21_10-15-30.250_01234567.jpg"
    assert key("89abcdef01", "Joe Biden") != key("0123456789", "Joe Biden")


def test_a_sighting_s_box_stands_in_only_until_a_frame_has_one() -> None:
    box, other = pb.Box(x1=1, y1=1, x2=3, y2=5), pb.Box(x1=2, y1=2, x2=4, y2=6)
    seen = pb.Sighting(track_id="t", camera_id="c", decided_at_us=9, track_box=other)
    frame = pb.FrameTracks(
        camera_id="c", captured_at_us=5, tracks=[pb.TrackBox(track_id="t", box=box)]
    )
    alone = add_up([], [seen], NOW_US)["t"]
    assert (alone.detections, alone.box, alone.last_seen_us) == (0, [2, 2, 4, 6], 9)
    both = add_up([frame], [seen], NOW_US)["t"]
    assert (both.detections, both.box, both.height, both.width) == (1, [1, 1, 3, 5], 4, 2)
