"""A run's faces stand where live's stood; what live has not met stands beside its neighbours."""

from collections.abc import Sequence
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from processors.match.replay.replay_order import FaceRecord, LiveOrder
from schemas import sightline_pb2 as pb
from sightline.streaming.records import Record


def shot(name: str, camera: str, ms: int, offset: int) -> FaceRecord:
    seen = pb.FaceObservation(
        observation_id=name, track_id=f"track {name}", camera_id=camera, site_id="site"
    )
    return _face(pb.FaceEvent(observation=seen), ms, offset)


def end(name: str, camera: str, ms: int, offset: int) -> FaceRecord:
    over = pb.TrackEnded(track_id=name, camera_id=camera, site_id="site")
    return _face(pb.FaceEvent(track_ended=over), ms, offset)


def _face(event: pb.FaceEvent, ms: int, offset: int) -> FaceRecord:
    return FaceRecord(Record("faces", 0, offset, b"site", event.SerializeToString(), ms), event)


def placed(live: Sequence[FaceRecord], faces: Sequence[FaceRecord]) -> list[str]:
    order = LiveOrder()
    for face in live:
        order.add(face)
    return [face.event_id[1] for _key, face in order.place(faces)]


def test_two_cameras_that_came_in_another_order_stand_as_in_live() -> None:
    live = [shot("a1", "a", 1000, 10), shot("b1", "b", 900, 11), shot("a2", "a", 2000, 14)]
    faces = [shot("b1", "b", 900, 0), shot("a1", "a", 1000, 1), shot("a2", "a", 2000, 2)]
    assert placed(live, faces) == ["a1", "b1", "a2"]


def test_what_live_has_not_met_goes_by_its_own_cameras_time() -> None:
    # The other camera's clock is an hour behind: its times say nothing of this one's.
    live = [shot("a1", "a", 5000, 1), shot("b1", "b", 100, 2), shot("a3", "a", 7000, 3)]
    faces = [*live, shot("a2", "a", 6000, 8), shot("b2", "b", 200, 9)]
    assert placed(live, sorted(faces, key=lambda face: face.record.timestamp_ms)) == [
        "a1", "a2", "b1", "b2", "a3",
    ]  # fmt: skip


def test_nothing_leaves_its_own_cameras_order() -> None:
    live = [shot("a1", "a", 1000, 1), end("a1", "a", 1000, 2), shot("a2", "a", 1000, 3)]
    faces = [shot("a1", "a", 1000, 0), shot("new", "a", 1000, 1), end("a1", "a", 1000, 2)]
    assert placed(live, faces) == ["a1", "new", "a1"]


def test_a_film_that_was_read_twice_is_matched_twice() -> None:
    live = [shot("a", "a", 10, 1), end("a", "a", 20, 2), shot("b", "b", 15, 3),
            shot("a", "a", 10, 4), end("a", "a", 20, 5)]  # fmt: skip
    faces = [live[2], live[0], live[1], live[3], live[4]]
    assert placed(live, faces) == ["a", "a", "b", "a", "a"]


def test_a_camera_that_live_has_never_met_goes_by_the_sites_time() -> None:
    live = [shot("a1", "a", 1000, 1), shot("a2", "a", 3000, 2)]
    assert placed(live, [shot("c", "c", 2000, 0), *live]) == ["a1", "c", "a2"]
    assert placed([], [shot("c", "c", 2000, 0), shot("d", "d", 1000, 1)]) == ["d", "c"]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5)), max_size=30), st.randoms())
def test_whatever_is_missing_and_new_each_camera_keeps_its_order(
    heard: list[tuple[str, int]], random: Random
) -> None:
    clocks = dict.fromkeys("abc", 0)
    everything: list[FaceRecord] = []
    for offset, (camera, pause) in enumerate(heard):
        clocks[camera] += pause
        everything.append(shot(f"{camera}{offset}", camera, clocks[camera], offset))
    live = [face for face in everything if random.random() < 0.7]
    faces = [face for face in everything if random.random() < 0.7]
    names = placed(live, faces)
    for camera in "abc":
        mine = [face.event_id[1] for face in faces if face.inner.camera_id == camera]
        assert [name for name in names if name.startswith(camera)] == mine
    both = {face.event_id[1] for face in live}
    assert [name for name in names if name in both] == [
        face.event_id[1] for face in live if face in faces
    ]
