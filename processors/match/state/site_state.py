"""State of a site: its live tracks, and the unknown persons that its cameras have seen.

It is kept as records of a changelog, from which a worker that takes the site over restores it.
"""

import logging
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from google.protobuf.message import Message

from processors.match.multimap import Multimap
from processors.match.reference.reference_data import ReferenceData
from processors.match.state.erasure import mentions_erased, without_erased
from processors.match.state.unknown_persons import UnknownPersons
from schemas import naming
from schemas import sightline_pb2 as pb
from schemas.decode import InvalidMessageError, decode
from sightline.runtime import metrics
from sightline.runtime.clock import US_PER_SECOND

log = logging.getLogger(__name__)

_TRACK_TTL_US = 600 * US_PER_SECOND
"""Capture time after a track's last observation at which it is dropped (µs).

It is over by then, and kept as long so that an event delivered twice is recognised, and to tell
where a person was seen last.
"""

_LIVE_TRACK_TTL_US = 86_400 * US_PER_SECOND
"""The same for a track that is not over: somebody sits with their back to the camera. After that
its end was lost."""


@dataclass(frozen=True, slots=True)
class Changes:
    """Changed entries of a site; None removes an entry.

    The last of the tracks is the event's own: once it is stored, all changes are.
    """

    tracks: dict[str, pb.TrackState | None] = field(default_factory=dict)
    unknown_persons: dict[int, pb.UnknownPerson | None] = field(default_factory=dict)
    fixtures: dict[str, pb.CameraFixtures] = field(default_factory=dict)
    """By camera."""

    def records(self, site_id: str) -> Iterator[tuple[bytes, bytes | None]]:
        """Yield the changelog's keys and values in the order in which they have to be stored."""
        entries: list[tuple[bytes, Message | None]] = [
            *(
                (naming.person_state_key(site_id, key), person)
                for key, person in self.unknown_persons.items()
            ),
            *(
                (naming.fixtures_state_key(site_id, key), fixtures)
                for key, fixtures in self.fixtures.items()
            ),
            *((naming.track_state_key(site_id, key), track) for key, track in self.tracks.items()),
        ]
        for key, entry in entries:
            yield key, None if entry is None else entry.SerializeToString(deterministic=True)


class SiteState:
    """Tracks and unknown persons of one site. Only `apply` and `touch` change it."""

    def __init__(self, site_id: str, reference: ReferenceData) -> None:
        self.unknown_persons = UnknownPersons(site_id, reference)
        self.fixtures: dict[str, pb.CameraFixtures] = {}
        """By camera. Read-only, as all state is."""
        self._reference = reference
        self._tracks: dict[str, pb.TrackState] = {}
        # Capture time of the last observation (µs) by camera and track, the oldest first.
        self._last_us: defaultdict[str, OrderedDict[str, int]] = defaultdict(OrderedDict)
        self._by_event: Multimap[tuple[str, str], str] = Multimap()
        self._by_person: Multimap[int, str] = Multimap()
        # Ended tracks without a person that have a face to compare, by model pack.
        self._unidentified: Multimap[str, str] = Multimap()
        # Source offset of the last event of a track, where this process has seen it.
        self._last_offset: dict[str, int] = {}

    def track(self, track_id: str) -> pb.TrackState | None:
        """Return a track that is live or was in the last minutes."""
        return self._tracks.get(track_id)

    def neighbouring_tracks(self, track: pb.TrackState) -> list[str]:
        """Return the ids of the other tracks of its camera and motion event, sorted."""
        return sorted(self._by_event.of(_event(track)) - {track.track_id})

    def tracks_of(self, person: int) -> list[pb.TrackState]:
        """Return the tracks of the last minutes that are a person, by track id."""
        track_ids = {
            track_id
            for alias in self._reference.corrections.ids_of(person)
            for track_id in self._by_person.of(alias)
        }
        return [self._tracks[track_id] for track_id in sorted(track_ids)]

    def unidentified(self, pack: str) -> list[pb.TrackState]:
        """Return the ended tracks of the last minutes without a person, with faces of a pack."""
        return [self._tracks[track_id] for track_id in sorted(self._unidentified.of(pack))]

    def erased(self) -> Changes:
        """Return the changes that erasures lead to; later events of their tracks are ignored."""
        tracks: dict[str, pb.TrackState | None] = {}
        for track_id, track in self._tracks.items():
            if self._is_erased(track):
                tracks[track_id] = None
            elif mentions_erased(self._reference, track):
                tracks[track_id] = without_erased(self._reference, track)
        self._reference.corrections.erase_tracks(
            track_id for track_id, track in tracks.items() if track is None
        )
        return Changes(tracks, self.unknown_persons.erased())

    def _is_erased(self, track: pb.TrackState) -> bool:
        corrections = self._reference.corrections
        return (
            corrections.is_erased_track(track.track_id)
            or corrections.is_erased(track.holds)
            or corrections.is_erased(track.decided.global_id)
        )

    def expired(self, camera_id: str, now_us: int, redelivered_from: int) -> list[str]:
        """Return the tracks of a camera that are dropped at a capture time of that camera.

        A track with events that may be delivered again stays: the rest of them alone would be
        decided otherwise. A track that this process has not seen has none, since they would have
        been delivered before the present event.

        Args:
            camera_id: Camera whose clock counts.
            now_us: Capture time of the present event.
            redelivered_from: Source offset from which on events may be delivered again.
        """
        expired = []
        for track_id, last_us in self._last_us[camera_id].items():
            is_redelivered = self._last_offset.get(track_id, -1) >= redelivered_from
            if last_us >= now_us - _TRACK_TTL_US or is_redelivered:
                break
            if self._is_over(track_id) or last_us < now_us - _LIVE_TRACK_TTL_US:
                expired.append(track_id)
        return expired

    def _is_over(self, track_id: str) -> bool:
        return self._tracks[track_id].decided.status == pb.Sighting.ENDED

    def touch(self, track_id: str, offset: int) -> None:
        """Note the source offset of an event of a track, whatever it changed."""
        if track_id in self._tracks:
            self._last_offset[track_id] = offset

    def apply(self, changes: Changes) -> None:
        """Apply the changes of a step."""
        for track_id, track in changes.tracks.items():
            self._set_track(track_id, track)
        for global_id, person in changes.unknown_persons.items():
            self.unknown_persons.put(global_id, person)
        self.fixtures |= changes.fixtures

    def _set_track(self, track_id: str, track: pb.TrackState | None) -> None:
        before = self._tracks.pop(track_id, None)
        if before is not None:
            self._last_us[before.decided.camera_id].pop(track_id, None)
            self._by_event.discard(_event(before), track_id)
            self._by_person.discard(before.holds, track_id)
            self._unidentified.discard(before.decided.pack, track_id)
        if track is None:
            self._last_offset.pop(track_id, None)
            return
        self._tracks[track_id] = track
        last_us = max(observation.captured_at_us for observation in track.shots)
        self._last_us[track.decided.camera_id][track_id] = last_us
        self._by_event.add(_event(track), track_id)
        if track.holds:
            self._by_person.add(track.holds, track_id)
        if track.face:
            self._unidentified.add(track.decided.pack, track_id)


def load(records: Iterable[tuple[bytes, bytes]], reference: ReferenceData) -> dict[str, SiteState]:
    """Return the sites of a changelog's entries; an unreadable entry is skipped and counted."""
    tracks: list[pb.TrackState] = []
    persons: list[pb.UnknownPerson] = []
    fixtures: list[pb.CameraFixtures] = []
    for key, value in records:
        try:
            if naming.is_track_state(key):
                tracks.append(decode(pb.TrackState, value))
            elif naming.is_fixtures_state(key):
                fixtures.append(decode(pb.CameraFixtures, value))
            else:
                persons.append(decode(pb.UnknownPerson, value))
        except InvalidMessageError as error:
            # Stopping would not bring the entry back: the site goes on without one track.
            metrics.DEAD_LETTERS.labels("match", error.reason).inc()
            log.warning("state: the entry %r is left out: %s", key[:200], error)
    # The order of expiry: tracks and persons that expire first are inserted first.
    tracks.sort(key=lambda track: (track.shots[-1].captured_at_us, track.track_id))
    persons.sort(key=lambda person: (person.last_seen_us, person.global_id))
    changes: defaultdict[str, Changes] = defaultdict(Changes)
    for track in tracks:
        changes[track.site_id].tracks[track.track_id] = track
    for person in persons:
        changes[person.site_id].unknown_persons[person.global_id] = person
    for camera in fixtures:
        changes[camera.site_id].fixtures[camera.camera_id] = camera
    sites = {site_id: SiteState(site_id, reference) for site_id in changes}
    for site_id, change in changes.items():
        sites[site_id].apply(change)
    return sites


def _event(track: pb.TrackState) -> tuple[str, str]:
    return track.shots[-1].camera_id, track.shots[-1].motion_event_id
