"""The tracks that clients follow: their small numbers as tracks of a camera. No clock, no Kafka."""

from collections import OrderedDict
from dataclasses import dataclass

from schemas import sightline_pb2 as pb
from schemas.ids import motion_event_id, track_id
from sightline.models.observation_policy import ShotPolicy
from sightline.models.outputs import Track, TrackName
from sightline.runtime.clock import US
from sightline.runtime.settings import EvidenceSettings

_MOST = 10_000
"""Tracks at once; the one that was seen longest ago ends for the one that is too many."""


@dataclass(slots=True, eq=False)
class ClientTrack(Track):
    """One track of one client, by its number there."""

    last: pb.Sighting | None = None
    """What the matching stream said last of it."""


class ClientTracks:
    """Who is followed now, the one seen longest ago first."""

    def __init__(self, settings: EvidenceSettings) -> None:
        self._policy = ShotPolicy(settings)
        self._life_us = round(settings.reverify_seconds * US)
        self._tracks: OrderedDict[tuple[str, int], ClientTrack] = OrderedDict()
        self._by_id: dict[str, ClientTrack] = {}
        self._last_us = 0

    def tick(self, now_us: int) -> int:
        """Now, later than ever before: a time names a track and a shot."""
        self._last_us = max(now_us, self._last_us + 1)
        return self._last_us

    def seen(self, camera_id: str, site_id: str, number: int, now_us: int) -> ClientTrack:
        """The track with a client's number, a new one where there is none.

        Those that begin in one frame, with one time, share a motion event: the matcher takes no
        two of them for one person.
        """
        key = (camera_id, number)
        track = self._tracks.get(key)
        if track is None:
            started = self.tick(now_us)
            name = TrackName(
                track_id=track_id(camera_id, started, 0),
                number=number,
                camera_id=camera_id,
                site_id=site_id,
                motion_event_id=motion_event_id(camera_id, now_us),
                started_us=started,
            )
            track = self._tracks[key] = self._by_id[name.track_id] = ClientTrack(name, now_us)
        self._tracks.move_to_end(key)
        track.seen_us = now_us
        track.frames += 1
        return track

    def wants_shot(self, track: ClientTrack, now_us: int) -> bool:
        """Whether a crop is to be embedded: not of a settled track, nor right after another."""
        settled = self._policy.settled(track.shots, now_us)
        return track.last is None or not (settled or not self._policy.due(track.shots, now_us))

    def taken(self, track: ClientTrack, at_us: int, quality: float) -> bool:
        """A shot was taken; True where its picture is the track's best so far."""
        return self._policy.taken(track.shots, at_us, quality)

    def told(self, sighting: pb.Sighting) -> None:
        """Keep what the stream says of a track of ours."""
        track = self._by_id.get(sighting.track_id)
        if track is not None:
            track.last = sighting

    def idle(self, now_us: int) -> list[ClientTrack]:
        """Take out those that have not been seen for long."""
        gone = []
        while self._tracks:
            track = next(iter(self._tracks.values()))
            if len(self._tracks) <= _MOST and track.seen_us >= now_us - self._life_us:
                break
            gone.append(self._remove(track))
        return gone

    def all(self) -> list[ClientTrack]:
        """Take out all."""
        return [self._remove(track) for track in list(self._tracks.values())]

    def _remove(self, track: ClientTrack) -> ClientTrack:
        del self._tracks[track.name.camera_id, track.name.number]
        del self._by_id[track.name.track_id]
        return track
