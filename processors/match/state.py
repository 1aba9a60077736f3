"""What a site remembers: its live tracks, and the people it has met whom nobody has enrolled.

Kept as records of a changelog, so that whoever takes the site over starts with the same.
"""

import logging
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from google.protobuf.message import Message

from processors.match.erased import mentions, without_mentions
from processors.match.groups import Groups
from processors.match.known import Known
from processors.match.strangers import Strangers
from schemas import naming
from schemas import sightline_pb2 as pb
from schemas.decode import InvalidMessageError, decode
from sightline.runtime import metrics
from sightline.runtime.clock import US

log = logging.getLogger(__name__)

_TRACK_LIFE_US = 600 * US
"""Of capture time after a track's last shot: then its end was lost, or is long over.

An ended track is kept as long, so that what is delivered twice is known to be, and to say where
a person was seen last.
"""


def track_key(site_id: str, track_id: str) -> bytes:
    """The changelog's key of a track."""
    return naming.track_state_key(site_id, track_id)


def stranger_key(site_id: str, global_id: int) -> bytes:
    """The changelog's key of a stranger."""
    return naming.person_state_key(site_id, global_id)


@dataclass(frozen=True, slots=True)
class Changes:
    """What a step changes in a site; None: the entry goes.

    The last of the tracks is the one that the event is about: once it is stored, all is.
    """

    tracks: dict[str, pb.TrackState | None] = field(default_factory=dict)
    strangers: dict[int, pb.UnknownPerson | None] = field(default_factory=dict)

    def records(self, site_id: str) -> Iterator[tuple[bytes, bytes | None]]:
        """The changelog's records of this, in the order in which they have to be stored."""
        entries: list[tuple[bytes, Message | None]] = [
            *((stranger_key(site_id, key), person) for key, person in self.strangers.items()),
            *((track_key(site_id, key), track) for key, track in self.tracks.items()),
        ]
        for key, entry in entries:
            yield key, None if entry is None else entry.SerializeToString(deterministic=True)


class SiteState:
    """One site's memory. Only `apply` and `touch` change it, and what `strangers` follows."""

    def __init__(self, site_id: str, known: Known) -> None:
        self.strangers = Strangers(site_id, known)
        self._known = known
        self._tracks: dict[str, pb.TrackState] = {}
        # Of each camera its tracks by last shot (µs), the oldest first.
        self._last: defaultdict[str, OrderedDict[str, int]] = defaultdict(OrderedDict)
        # Those of one motion event, and those who are somebody.
        self._in_event: Groups[tuple[str, str], str] = Groups()
        self._of_person: Groups[int, str] = Groups()
        # By pack those that are over and were nobody, and have a face to compare.
        self._nobody: Groups[str, str] = Groups()
        # Where in the source the last event of a track stood, if this process has seen it.
        self._touched: dict[str, int] = {}

    def track(self, track_id: str) -> pb.TrackState | None:
        """A track that is live, or was a moment ago."""
        return self._tracks.get(track_id)

    def beside(self, track: pb.TrackState) -> list[str]:
        """The other tracks of the same camera and motion event, by id."""
        return sorted(self._in_event.of(_event(track)) - {track.track_id})

    def tracks_of(self, person: int) -> list[pb.TrackState]:
        """The tracks that were a person, of the last minutes."""
        ids = {
            track_id
            for one in self._known.overlay.ids_of(person)
            for track_id in self._of_person.of(one)
        }
        return [self._tracks[track_id] for track_id in sorted(ids)]

    def nobody(self, pack: str) -> list[pb.TrackState]:
        """The tracks of the last minutes that are over and were nobody, with faces of a pack."""
        return [self._tracks[track_id] for track_id in sorted(self._nobody.of(pack))]

    def erased(self) -> Changes:
        """What goes with the people who were erased; nothing more comes of their tracks."""
        tracks: dict[str, pb.TrackState | None] = {}
        for track_id, track in self._tracks.items():
            if self._is_erased(track):
                tracks[track_id] = None
            elif mentions(self._known, track):
                tracks[track_id] = without_mentions(self._known, track)
        self._known.overlay.erase_tracks(one for one, left in tracks.items() if left is None)
        return Changes(tracks, self.strangers.erased())

    def _is_erased(self, track: pb.TrackState) -> bool:
        overlay = self._known.overlay
        return (
            overlay.is_erased_track(track.track_id)
            or overlay.is_erased(track.holds)
            or overlay.is_erased(track.decided.global_id)
        )

    def expired(self, camera_id: str, now_us: int, settled: int) -> list[str]:
        """Tracks of a camera that are forgotten at a capture time of that camera.

        `settled`: the source offset from which on events may be delivered again. A track with
        such events stays: the rest of it alone would be decided otherwise. One that this
        process has not seen has none: they would have come again before what is seen now.
        """
        gone = []
        for track_id, last_us in self._last[camera_id].items():
            if last_us >= now_us - _TRACK_LIFE_US or self._touched.get(track_id, -1) >= settled:
                break
            gone.append(track_id)
        return gone

    def touch(self, track_id: str, offset: int) -> None:
        """Note that an event of a track stood at a source offset, whatever it changed."""
        if track_id in self._tracks:
            self._touched[track_id] = offset

    def apply(self, changes: Changes) -> None:
        """Take over what a step has changed."""
        for track_id, track in changes.tracks.items():
            self._set_track(track_id, track)
        for global_id, person in changes.strangers.items():
            self.strangers.put(global_id, person)

    def _set_track(self, track_id: str, track: pb.TrackState | None) -> None:
        before = self._tracks.pop(track_id, None)
        if before is not None:
            self._last[before.decided.camera_id].pop(track_id, None)
            self._in_event.discard(_event(before), track_id)
            self._of_person.discard(before.holds, track_id)
            self._nobody.discard(before.decided.pack, track_id)
        if track is None:
            self._touched.pop(track_id, None)
            return
        self._tracks[track_id] = track
        last_us = max(shot.captured_at_us for shot in track.shots)
        self._last[track.decided.camera_id][track_id] = last_us
        self._in_event.add(_event(track), track_id)
        if track.holds:
            self._of_person.add(track.holds, track_id)
        if track.face:
            self._nobody.add(track.decided.pack, track_id)


def load(records: Iterable[tuple[bytes, bytes]], known: Known) -> dict[str, SiteState]:
    """The sites of a changelog's entries. What cannot be read is left out, counted and said."""
    tracks: list[pb.TrackState] = []
    strangers: list[pb.UnknownPerson] = []
    for key, value in records:
        try:
            if naming.is_track_state(key):
                tracks.append(decode(pb.TrackState, value))
            else:
                strangers.append(decode(pb.UnknownPerson, value))
        except InvalidMessageError as error:
            # It is no reason to stand still for ever: what was known of one track is gone.
            metrics.DEAD_LETTERS.labels("match", error.reason).inc()
            log.warning("state: the entry %r is left out: %s", key[:200], error)
    # Those that are forgotten first come first.
    tracks.sort(key=lambda one: (one.shots[-1].captured_at_us, one.track_id))
    strangers.sort(key=lambda one: (one.last_seen_us, one.global_id))
    changes: defaultdict[str, Changes] = defaultdict(Changes)
    for track in tracks:
        changes[track.site_id].tracks[track.track_id] = track
    for person in strangers:
        changes[person.site_id].strangers[person.global_id] = person
    sites = {site_id: SiteState(site_id, known) for site_id in changes}
    for site_id, change in changes.items():
        sites[site_id].apply(change)
    return sites


def _event(track: pb.TrackState) -> tuple[str, str]:
    return track.shots[-1].camera_id, track.shots[-1].motion_event_id
