"""The tracks that clients ask for: what was decided is known until another crop may change it."""

from api.client_tracks import ClientTrack, ClientTracks
from schemas import sightline_pb2 as pb
from schemas.ids import track_id
from sightline.runtime.clock import US_PER_SECOND

T0 = 1_700_000_000 * US_PER_SECOND
IDLE = 10 * US_PER_SECOND


def decide(
    tracks: ClientTracks, track: ClientTrack, started_us: int, next_look_us: int = 0
) -> pb.Sighting:
    name = track_id(track.camera_id, started_us, track.number)
    answer(tracks, track, name, next_look_us)
    sighting = pb.Sighting(track_id=name, global_id=7)
    tracks.apply_sighting(sighting)
    return sighting


def answer(tracks: ClientTracks, track: ClientTrack, name: str, next_look_us: int = 0) -> None:
    outcome = pb.CropOutcome(
        camera_id=track.camera_id, track_number=track.number, track_id=name,
        next_look_us=next_look_us,
    )  # fmt: skip
    tracks.apply_outcome(outcome)


def test_a_number_is_one_track_of_one_camera() -> None:
    tracks = ClientTracks(IDLE)
    track = tracks.request_track("a", "site", 5, T0)
    assert tracks.request_track("a", "site", 5, T0 + US_PER_SECOND) is track
    assert track.requested_us == T0 + US_PER_SECOND
    assert tracks.request_track("b", "site", 5, T0) is not track
    assert tracks.request_track("a", "site", 6, T0) is not track


def test_a_decision_is_fresh_until_vision_looks_again() -> None:
    tracks = ClientTracks(IDLE)
    track = tracks.request_track("a", "site", 1, T0)
    assert not track.is_fresh(T0)
    decide(tracks, track, T0, next_look_us=T0 + US_PER_SECOND)
    assert track.is_fresh(T0 + US_PER_SECOND - 1)
    assert not track.is_fresh(T0 + US_PER_SECOND)


def test_without_a_decision_every_crop_is_sent() -> None:
    tracks = ClientTracks(IDLE)
    track = tracks.request_track("a", "site", 1, T0)
    answer(tracks, track, "x", T0 + US_PER_SECOND)
    assert not track.is_fresh(T0)


def test_a_later_decision_replaces_the_earlier_one() -> None:
    tracks = ClientTracks(IDLE)
    track = tracks.request_track("a", "site", 1, T0)
    first = decide(tracks, track, T0)
    later = pb.Sighting(track_id=first.track_id, global_id=8)
    tracks.apply_sighting(later)
    assert track.sighting is later
    tracks.apply_sighting(pb.Sighting(track_id="another"))
    assert track.sighting is later


def test_the_decision_on_another_track_of_the_number_is_not_kept() -> None:
    tracks = ClientTracks(IDLE)
    track = tracks.request_track("a", "site", 1, T0)
    first = decide(tracks, track, T0)
    answer(tracks, track, "new")
    assert (track.track_id, track.sighting) == ("new", None)
    tracks.apply_sighting(first)
    assert track.sighting is None


def test_tracks_that_nobody_asks_for_end_the_longest_unseen_first() -> None:
    tracks = ClientTracks(IDLE)
    first, second = (
        tracks.request_track("a", "site", 1, T0),
        tracks.request_track("a", "site", 2, T0 + 2 * US_PER_SECOND),
    )
    assert tracks.remove_idle(T0 + 9 * US_PER_SECOND) == []
    assert tracks.remove_idle(T0 + 11 * US_PER_SECOND) == [first]
    another = tracks.request_track("a", "site", 1, T0 + 11 * US_PER_SECOND)
    assert another is not first
    assert tracks.remove_all() == [second, another]
    assert tracks.remove_all() == []


def test_a_time_is_never_given_twice() -> None:
    tracks = ClientTracks(IDLE)
    times = [
        tracks.next_time_us(T0),
        tracks.next_time_us(T0),
        tracks.next_time_us(T0 - US_PER_SECOND),
        tracks.next_time_us(T0 + US_PER_SECOND),
    ]
    assert times == sorted(set(times))
