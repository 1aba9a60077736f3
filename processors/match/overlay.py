"""Corrections: what people have said of tracks and of persons, laid over what was decided.

Who a track is, is whom somebody said that it was, else whom the matcher decided; and then the
person whom that one was merged into.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from processors.match.groups import Groups
from schemas import ids
from schemas import sightline_pb2 as pb


@dataclass(frozen=True, slots=True)
class Touched:
    """What a change may have made another."""

    people: frozenset[int] = frozenset()  # global ids
    tracks: frozenset[str] = frozenset()

    def __or__(self, other: "Touched") -> "Touched":
        return Touched(self.people | other.people, self.tracks | other.tracks)


@dataclass(slots=True)
class Overlay:
    """All corrections in force."""

    _tracks: dict[str, pb.TrackCorrection] = field(default_factory=dict)
    _people: dict[int, pb.PersonCorrection] = field(default_factory=dict)
    # The other way round: whose tracks were given to a person, who was merged into one, who is
    # said to be another than one.
    _given: Groups[int, str] = field(default_factory=Groups)
    _merged: Groups[int, int] = field(default_factory=Groups)
    _apart: Groups[int, int] = field(default_factory=Groups)
    _erased: set[str] = field(default_factory=set)  # tracks

    def set_track(self, track_id: str, said: pb.TrackCorrection | None) -> Touched:
        """Take what is said of a track; None takes it back."""
        before = self._tracks.pop(track_id, None)
        people = {one.global_id for one in (before, said) if one is not None}
        if before is not None:
            self._given.discard(before.global_id, track_id)
        if said is not None:
            self._tracks[track_id] = said
            self._given.add(said.global_id, track_id)
        return Touched(
            frozenset(people | {self.alias(one) for one in people}), frozenset({track_id})
        )

    def set_person(self, global_id: int, said: pb.PersonCorrection | None) -> Touched:
        """Take what is said of a person; None takes it back."""
        people = {global_id, self.alias(global_id)}
        before = self._people.pop(global_id, None)
        if before is not None:
            self._merged.discard(before.merged_into, global_id)
        if said is not None:
            self._people[global_id] = said
            self._erased.update(said.erased_tracks)
        if said is not None and said.merged_into:
            self._merged.add(said.merged_into, global_id)
        for other in before.not_same if before is not None else ():
            self._apart.discard(other, global_id)
        for other in said.not_same if said is not None else ():
            self._apart.add(other, global_id)
        return Touched(frozenset(people | {self.alias(global_id)}))

    def alias(self, global_id: int) -> int:
        """Whom a person was merged into, or themselves."""
        said = self._people.get(global_id)
        return said.merged_into if said is not None and said.merged_into else global_id

    def who(self, track_id: str, global_id: int) -> int:
        """Who a track is that the matcher takes for a person; 0 stays nobody unless corrected."""
        said = self._tracks.get(track_id)
        return self.alias(said.global_id if said is not None else global_id)

    def is_corrected(self, track_id: str) -> bool:
        """Whether somebody has said who a track is."""
        return track_id in self._tracks

    def ids_of(self, person: int) -> set[int]:
        """All ids that mean a person."""
        return {person, *self._merged.of(person)}

    def given_to(self, person: int, site_id: str) -> list[pb.TrackCorrection]:
        """The tracks of a site that somebody has said were a person."""
        tracks = {track for one in self.ids_of(person) for track in self._given.of(one)}
        found = [self._tracks[track] for track in sorted(tracks)]
        return [one for one in found if one.site_id == site_id]

    def given_people(self, site_id: str) -> set[int]:
        """Everybody whom somebody has said that a track of a site was."""
        said = self._tracks.values()
        return {self.alias(one.global_id) for one in said if one.site_id == site_id}

    def apart(self, person: int) -> set[int]:
        """Those who are other people than a person, however alike."""
        others: set[int] = set()
        for one in self.ids_of(person):
            said = self._people.get(one)
            others.update(said.not_same if said is not None else ())
            others.update(self._apart.of(one))
        return {self.alias(one) for one in others} - {person}

    def is_named(self, person: int) -> bool:
        """Whether somebody has given a person a name."""
        return any(self._said(one).named for one in self.ids_of(person))

    def is_forgotten(self, person: int) -> bool:
        """Whether a person's looks are not to be compared any more."""
        return self._said(person).forgotten

    def is_erased(self, person: int) -> bool:
        """Whether nothing of a person is kept any more, nor what still comes of them."""
        return self._said(person).erased

    def is_erased_track(self, track_id: str) -> bool:
        """Whether a track was erased with its person, or is the one that founded them."""
        return track_id in self._erased or self.is_erased(ids.global_id(track_id))

    def erase_tracks(self, tracks: Iterable[str]) -> None:
        """Take tracks for erased ones from now on."""
        self._erased.update(tracks)

    def _said(self, global_id: int) -> pb.PersonCorrection:
        return self._people.get(global_id) or pb.PersonCorrection()
