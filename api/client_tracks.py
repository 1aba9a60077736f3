"""The tracks that clients ask for, by the clients' numbers, with what was decided of them last.

A cache of decisions: which crop of a track is looked at, and when, is vision's decision.
"""

from collections import OrderedDict
from dataclasses import dataclass

from schemas import sightline_pb2 as pb

_MAX_TRACKS = 10_000
"""Tracks at once; the least recently asked for ends for one too many."""


@dataclass(slots=True, eq=False)
class ClientTrack:
    """A track of a client."""

    camera_id: str
    site_id: str
    number: int
    """The client's own."""
    requested_us: int
    """Time of the latest request for it."""
    track_id: str = ""
    """Vision's; empty until it has taken a crop of the track."""
    sighting: pb.Sighting | None = None
    """The latest decision on the track."""
    next_detection_us: int = 0
    """Before this capture time vision does not look at a crop of the track."""

    def is_fresh(self, at_us: int) -> bool:
        """Return whether a crop taken now would not change the decision."""
        return self.sighting is not None and at_us < self.next_detection_us


class ClientTracks:
    """The tracks of all clients, the least recently asked for first; not thread-safe."""

    def __init__(self, idle_us: int) -> None:
        """Make an empty cache; a track that is not asked for during `idle_us` is over."""
        self._idle_us = idle_us
        self._tracks: OrderedDict[tuple[str, int], ClientTrack] = OrderedDict()
        self._by_id: dict[str, ClientTrack] = {}
        self._last_us = 0

    def next_time_us(self, now_us: int) -> int:
        """Return the present time, later than any returned before: it names a track's crop."""
        self._last_us = max(now_us, self._last_us + 1)
        return self._last_us

    def request_track(self, camera_id: str, site_id: str, number: int, at_us: int) -> ClientTrack:
        """Return the track with a client's number, a new one where there is none."""
        key = (camera_id, number)
        track = self._tracks.setdefault(key, ClientTrack(camera_id, site_id, number, at_us))
        self._tracks.move_to_end(key)
        track.requested_us = at_us
        return track

    def apply_outcome(self, outcome: pb.CropOutcome) -> None:
        """Keep vision's answer to a crop of one of the tracks."""
        track = self._tracks.get((outcome.camera_id, outcome.track_number))
        if track is None:
            return
        if track.track_id != outcome.track_id:
            # Vision has begun a new track under the number: the old one's decision is not its.
            self._forget_id(track)
            track.track_id, track.sighting = outcome.track_id, None
            self._by_id[track.track_id] = track
        track.next_detection_us = outcome.next_look_us

    def apply_sighting(self, sighting: pb.Sighting) -> None:
        """Keep the matching stream's latest decision on one of the tracks."""
        track = self._by_id.get(sighting.track_id)
        if track is not None:
            track.sighting = sighting

    def remove_idle(self, now_us: int) -> list[ClientTrack]:
        """Remove and return the tracks that are no longer asked for."""
        idle = []
        while self._tracks:
            track = next(iter(self._tracks.values()))
            if len(self._tracks) <= _MAX_TRACKS and track.requested_us >= now_us - self._idle_us:
                break
            idle.append(self._remove(track))
        return idle

    def remove_all(self) -> list[ClientTrack]:
        """Remove and return all tracks."""
        return [self._remove(track) for track in list(self._tracks.values())]

    def _remove(self, track: ClientTrack) -> ClientTrack:
        del self._tracks[track.camera_id, track.number]
        self._forget_id(track)
        return track

    def _forget_id(self, track: ClientTrack) -> None:
        # Of two tracks that vision has exchanged, one has got the other's id before.
        if self._by_id.get(track.track_id) is track:
            del self._by_id[track.track_id]
