"""The tracks of a site at one moment: those that an event has changed are as it has left them."""

from collections.abc import Mapping

from processors.match import rivals
from processors.match.known import Known
from processors.match.rivals import Together
from processors.match.state import SiteState
from schemas import sightline_pb2 as pb


class Moment:
    """Reads `changed`, which its owner may go on filling; changes nothing."""

    def __init__(
        self,
        site: SiteState,
        known: Known,
        changed: Mapping[str, pb.TrackState],
        now_us: int,
        lost_seconds: float,
    ) -> None:
        self._site = site
        self._known = known
        self._changed = changed
        self._now_us = now_us
        self._lost_seconds = lost_seconds

    def track(self, track_id: str) -> pb.TrackState:
        """A track that there is."""
        track = self._changed.get(track_id) or self._site.track(track_id)
        if track is None:
            raise AssertionError(f"no track {track_id}")
        return track

    def holds(self, track: pb.TrackState) -> int:
        """Whom no other track of its moment may be because this one is; 0: nobody."""
        return self._known.overlay.who(track.track_id, track.holds)

    def beside(self, track: pb.TrackState) -> list[pb.TrackState]:
        """The other tracks of its camera and motion event, and all that have changed."""
        others = {*self._site.beside(track), *self._changed} - {track.track_id}
        return [self.track(one) for one in sorted(others)]

    def together(self, one: pb.TrackState, other: pb.TrackState) -> Together:
        """Whether two tracks were seen at once, as far as known now."""
        return rivals.together(one, other, self._now_us, self._lost_seconds)
