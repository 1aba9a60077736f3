"""Corrections by operators, laid over the matcher's decisions.

The person of a track is the one that an operator assigned it to, else the one that the matcher
decided; and then the person whom that one was merged into.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from processors.match.multimap import Multimap
from schemas import ids
from schemas import sightline_pb2 as pb


@dataclass(frozen=True, slots=True)
class AffectedIdentities:
    """People and tracks whose meaning a change of reference data may have changed."""

    people: frozenset[int] = frozenset()  # global ids
    tracks: frozenset[str] = frozenset()

    def __or__(self, other: "AffectedIdentities") -> "AffectedIdentities":
        return AffectedIdentities(self.people | other.people, self.tracks | other.tracks)


@dataclass(slots=True)
class IdentityCorrections:
    """Corrections in force, of tracks and of persons."""

    _tracks: dict[str, pb.TrackCorrection] = field(default_factory=dict)
    _people: dict[int, pb.PersonCorrection] = field(default_factory=dict)
    # Inverse of the corrections: tracks by the person they were assigned to, people by the person
    # they were merged into, and people by the person they are not.
    _assigned: Multimap[int, str] = field(default_factory=Multimap)
    _merged: Multimap[int, int] = field(default_factory=Multimap)
    _cannot_link: Multimap[int, int] = field(default_factory=Multimap)
    _erased_tracks: set[str] = field(default_factory=set)

    def set_track(self, track_id: str, correction: pb.TrackCorrection | None) -> AffectedIdentities:
        """Set the correction of a track; None removes it."""
        before = self._tracks.pop(track_id, None)
        people = {entry.global_id for entry in (before, correction) if entry is not None}
        if before is not None:
            self._assigned.discard(before.global_id, track_id)
        if correction is not None:
            self._tracks[track_id] = correction
            self._assigned.add(correction.global_id, track_id)
        return AffectedIdentities(
            frozenset(people | {self.alias(person) for person in people}), frozenset({track_id})
        )

    def set_person(
        self, global_id: int, correction: pb.PersonCorrection | None
    ) -> AffectedIdentities:
        """Set the correction of a person; None removes it."""
        people = {global_id, self.alias(global_id)}
        before = self._people.pop(global_id, None)
        if before is not None:
            self._merged.discard(before.merged_into, global_id)
        if correction is not None:
            self._people[global_id] = correction
            self._erased_tracks.update(correction.erased_tracks)
        if correction is not None and correction.merged_into:
            self._merged.add(correction.merged_into, global_id)
        for other in before.not_same if before is not None else ():
            self._cannot_link.discard(other, global_id)
        for other in correction.not_same if correction is not None else ():
            self._cannot_link.add(other, global_id)
        return AffectedIdentities(frozenset(people | {self.alias(global_id)}))

    def alias(self, global_id: int) -> int:
        """Return the person whom a person was merged into, or the person itself."""
        return self._correction(global_id).merged_into or global_id

    def person_of(self, track_id: str, decided: int) -> int:
        """Return the corrected person of a track that the matcher decided to be a person.

        0 means no person, in both; it stays 0 unless the track is corrected.
        """
        correction = self._tracks.get(track_id)
        return self.alias(correction.global_id if correction is not None else decided)

    def is_corrected(self, track_id: str) -> bool:
        """Return whether an operator assigned a track to a person."""
        return track_id in self._tracks

    def ids_of(self, person: int) -> set[int]:
        """Return all global ids that mean a person."""
        return {person, *self._merged.of(person)}

    def assigned_to(self, person: int, site_id: str) -> list[pb.TrackCorrection]:
        """Return the corrections that assign tracks of a site to a person, by track id."""
        tracks = {track for alias in self.ids_of(person) for track in self._assigned.of(alias)}
        corrections = [self._tracks[track] for track in sorted(tracks)]
        return [correction for correction in corrections if correction.site_id == site_id]

    def assigned_people(self, site_id: str) -> set[int]:
        """Return the people whom tracks of a site are assigned to."""
        corrections = self._tracks.values()
        return {self.alias(entry.global_id) for entry in corrections if entry.site_id == site_id}

    def cannot_link(self, person: int) -> set[int]:
        """Return the people that a person is not, however alike."""
        others: set[int] = set()
        for alias in self.ids_of(person):
            others.update(self._correction(alias).not_same, self._cannot_link.of(alias))
        return {self.alias(other) for other in others} - {person}

    def is_named(self, person: int) -> bool:
        """Return whether an operator named a person."""
        return any(self._correction(alias).named for alias in self.ids_of(person))

    def is_forgotten(self, person: int) -> bool:
        """Return whether the templates of a person are not searched any more."""
        return self._correction(person).forgotten

    def is_erased(self, person: int) -> bool:
        """Return whether a person was erased: nothing of them is stored, now or later."""
        return self._correction(person).erased

    def is_erased_track(self, track_id: str) -> bool:
        """Return whether a track was erased with its person, or founded an erased person."""
        return track_id in self._erased_tracks or self.is_erased(ids.global_id(track_id))

    def erase_tracks(self, tracks: Iterable[str]) -> None:
        """Mark tracks as erased."""
        self._erased_tracks.update(tracks)

    def _correction(self, global_id: int) -> pb.PersonCorrection:
        return self._people.get(global_id) or pb.PersonCorrection()
