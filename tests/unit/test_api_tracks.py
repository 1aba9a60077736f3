"""The tracks that clients ask for: what was decided is known until another crop may change it."""

from api.client_tracks import ClientTrack, ClientTracks
from schemas import sightline_pb2 as pb
from schemas.ids import track_id
from sightline.runtime.clock import US

T0 = 1_700_000_000 * US
IDLE = 10 * US


def decide(
    tracks: ClientTracks, track: ClientTrack, started_us: int, next_look_us: int = 0
) -> pb.Sighting:
    name = track_id(track.camera_id, started_us, track.number)
    answer(tracks, track, name, next_look_us)
    sighting = pb.Sighting(track_id=name, global_id=7)
    tracks.take_sighting(sighting)
    return sighting


def answer(tracks: ClientTracks, track: ClientTrack, name: str, next_look_us: int = 0) -> None:
    outcome = pb.CropOutcome(
        camera_id=track.camera_id, track_number=track.number, track_id=name,
        next_look_us=next_look_us,
    )  # fmt: skip
    tracks.take_outcome(outcome)


def test_a_number_is_one_track_of_one_camera() -> None:
    tracks = ClientTracks(IDLE)
    track = tracks.ask("a", "site", 5, T0)
    assert tracks.ask("a", "site", 5, T0 + US) is track
    assert track.requested_us == T0 + US
    assert tracks.ask("b", "site", 5, T0) is not track
    assert tracks.ask("a", "site", 6, T0) is not track


def test_a_decision_is_fresh_until_vision_looks_again() -> None:
    tracks = ClientTracks(IDLE)
    track = tracks.ask("a", "site", 1, T0)
    assert not track.is_fresh(T0)
    decide(tracks, track, T0, next_look_us=T0 + US)
    assert track.is_fresh(T0 + US - 1)
    assert not track.is_fresh(T0 + US)


def test_without_a_decision_every_crop_is_sent() -> None:
    tracks = ClientTracks(IDLE)
    track = tracks.ask("a", "site", 1, T0)
    answer(tracks, track, "x", T0 + US)
    assert not track.is_fresh(T0)


def test_a_later_decision_replaces_the_earlier_one() -> None:
    tracks = ClientTracks(IDLE)
    track = tracks.ask("a", "site", 1, T0)
    first = decide(tracks, track, T0)
    later = pb.Sighting(track_id=first.track_id, global_id=8)
    tracks.take_sighting(later)
    assert track.sighting is later
    tracks.take_sighting(pb.Sighting(track_id="another"))
    assert track.sighting is later


def test_the_decision_on_another_track_of_the_number_is_not_kept() -> None:
    tracks = ClientTracks(IDLE)
    track = tracks.ask("a", "site", 1, T0)
    first = decide(tracks, track, T0)
    answer(tracks, track, "new")
    assert (track.track_id, track.sighting) == ("new", None)
    tracks.take_sighting(first)
    assert track.sighting is None


def test_tracks_that_nobody_asks_for_end_the_longest_unseen_first() -> None:
    tracks = ClientTracks(IDLE)
    first, second = tracks.ask("a", "site", 1, T0), tracks.ask("a", "site", 2, T0 + 2 * US)
    assert tracks.take_idle(T0 + 9 * US) == []
    assert tracks.take_idle(T0 + 11 * US) == [first]
    another = tracks.ask("a", "site", 1, T0 + 11 * US)
    assert another is not first
    assert tracks.take_all() == [second, another]
    assert tracks.take_all() == []


def test_a_time_is_never_given_twice() -> None:
    tracks = ClientTracks(IDLE)
    times = [tracks.tick(T0), tracks.tick(T0), tracks.tick(T0 - US), tracks.tick(T0 + US)]
    assert times == sorted(set(times))
