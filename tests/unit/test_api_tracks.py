"""The tracks that clients follow: one shot now and then, until there are enough."""

from api.tracks import ClientTrack, ClientTracks
from schemas import sightline_pb2 as pb
from sightline.runtime.clock import US
from sightline.runtime.settings import EvidenceSettings

T0 = 1_700_000_000 * US
SETTINGS = EvidenceSettings(observations=2, interval_seconds=0.5, reverify_seconds=10)


def shot(tracks: ClientTracks, track: ClientTrack, at_us: int) -> None:
    tracks.taken(track, tracks.tick(at_us), 0.8)
    tracks.told(pb.Sighting(track_id=track.name.track_id, global_id=7))


def test_a_number_is_one_track_of_one_camera() -> None:
    tracks = ClientTracks(SETTINGS)
    one = tracks.seen("a", "site", 5, T0)
    assert tracks.seen("a", "site", 5, T0 + US) is one
    others = [tracks.seen("b", "site", 5, T0), tracks.seen("a", "site", 6, T0)]
    assert len({track.name.track_id for track in [one, *others]}) == 3


def test_an_answer_is_kept_until_another_shot_is_due() -> None:
    tracks = ClientTracks(SETTINGS)
    track = tracks.seen("a", "site", 1, T0)
    assert tracks.wants_shot(track, T0)
    shot(tracks, track, T0)
    assert not tracks.wants_shot(track, T0 + US // 4)
    assert tracks.wants_shot(track, T0 + US)


def test_a_settled_track_is_left_alone_and_then_begins_anew() -> None:
    tracks = ClientTracks(SETTINGS)
    track = tracks.seen("a", "site", 1, T0)
    shot(tracks, track, T0)
    shot(tracks, track, T0 + US)
    assert not tracks.wants_shot(track, T0 + 10 * US)
    assert track.shots.epoch == 0
    assert tracks.wants_shot(track, T0 + 12 * US)
    assert track.shots.epoch == 1


def test_a_shot_that_was_not_answered_does_not_settle_anything() -> None:
    tracks = ClientTracks(SETTINGS)
    track = tracks.seen("a", "site", 1, T0)
    for second in range(3):
        tracks.taken(track, tracks.tick(T0 + second * US), 0.8)
    assert tracks.wants_shot(track, T0 + 4 * US)


def test_tracks_that_nobody_asks_for_end_the_longest_unseen_first() -> None:
    tracks = ClientTracks(SETTINGS)
    first, second = tracks.seen("a", "site", 1, T0), tracks.seen("a", "site", 2, T0 + 2 * US)
    assert tracks.idle(T0 + 9 * US) == []
    assert tracks.idle(T0 + 11 * US) == [first]
    again = tracks.seen("a", "site", 1, T0 + 11 * US)
    assert again.name.track_id != first.name.track_id
    assert tracks.all() == [second, again]
    assert tracks.all() == []


def test_a_time_is_never_given_twice() -> None:
    tracks = ClientTracks(SETTINGS)
    times = [tracks.tick(T0), tracks.tick(T0), tracks.tick(T0 - US), tracks.tick(T0 + US)]
    assert times == sorted(set(times))
