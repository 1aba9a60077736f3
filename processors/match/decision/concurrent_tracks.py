"""Tracks of a site during a decision round: those that it has decided are as it left them."""

from collections.abc import Mapping
from dataclasses import dataclass

from processors.match.decision import co_visibility
from processors.match.decision.co_visibility import CoVisibility
from processors.match.reference.reference_data import ReferenceData
from processors.match.state.site_state import SiteState
from schemas import sightline_pb2 as pb


@dataclass(frozen=True, slots=True, eq=False)
class ConcurrentTracks:
    """Read-only view of a site's tracks with changed ones laid over; its owner fills these."""

    _site: SiteState
    _reference: ReferenceData
    _changed: Mapping[str, pb.TrackState]
    _now_us: int
    _lost_seconds: float

    def track(self, track_id: str) -> pb.TrackState:
        """Return a track; it has to be there."""
        track = self._changed.get(track_id) or self._site.track(track_id)
        if track is None:
            raise AssertionError(f"no track {track_id}")
        return track

    def person_held_by(self, track: pb.TrackState) -> int:
        """Return the person that a track holds against others of its time; 0: none."""
        return self._reference.corrections.person_of(track.track_id, track.holds)

    def neighbouring_tracks(self, track: pb.TrackState) -> list[pb.TrackState]:
        """Return the other tracks of its camera and motion event, and all that have changed."""
        others = {*self._site.neighbouring_tracks(track), *self._changed} - {track.track_id}
        return [self.track(other) for other in sorted(others)]

    def co_visibility(self, track: pb.TrackState, other: pb.TrackState) -> CoVisibility:
        """Return whether two tracks overlap in time, as far as known now."""
        return co_visibility.co_visibility(track, other, self._now_us, self._lost_seconds)
