"""What the films show, what was found, and how the two compare. Pure values and functions."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

Box = tuple[float, float, float, float]
"""x1, y1, x2, y2 in pixels of the film, origin top left."""


@dataclass(frozen=True, slots=True)
class Appearance:
    """A face in one frame of a film."""

    camera: str
    frame: int  # number in the film, from 0
    who: str
    face: Box


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who is in the films."""

    name: str
    enrolled: bool


@dataclass(frozen=True, slots=True)
class Truth:
    """Who is in which film, when and where."""

    people: tuple[Person, ...]
    appearances: tuple[Appearance, ...]

    def cameras_of(self, person: Person) -> list[str]:
        """The cameras that a person walks by, by name."""
        return sorted({one.camera for one in self.appearances if one.who == person.name})


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a track was said to be; the name is empty for an unknown person."""

    name: str
    global_id: int


@dataclass(frozen=True, slots=True)
class Track:
    """One track: its box (a person's or a face's) by frame, and who it was said to be."""

    track_id: str
    camera: str
    boxes: dict[int, Box]
    identities: frozenset[Identity] = frozenset()


@dataclass(frozen=True, slots=True)
class Line:
    """One person at one camera: whom the tracks there were said to be."""

    person: Person
    camera: str
    found: frozenset[Identity]
    right: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """The comparison. People are counted, not their tracks."""

    lines: tuple[Line, ...]
    expected_named: int
    named_right: int  # right at every camera that they walk by
    named_wrong: int  # tracks with a name that is not theirs
    expected_unknown: int
    unknown_found: int  # unknown at every camera, and sharing no id with anybody
    same_id_across_cameras: int  # of those, the ones with one id at all cameras
    strays: int  # tracks with an identity where nobody is
    owners: dict[str, str]  # track id -> whose track it is

    @property
    def passed(self) -> bool:
        """Whether everybody was found for who they are."""
        return (
            self.named_right == self.expected_named
            and self.unknown_found == self.same_id_across_cameras == self.expected_unknown
            and not self.named_wrong
            and not self.strays
        )


def compare(truth: Truth, tracks: Iterable[Track]) -> Verdict:
    """Match tracks to people by camera, frame and place, and judge who they were said to be."""
    index = _by_frame(truth.appearances)
    said: dict[tuple[str, str], set[Identity]] = defaultdict(set)
    owners: dict[str, str] = {}
    wrong = strays = 0
    for track in tracks:
        who = owner(track, index)
        if who is None:
            strays += bool(track.identities)
        else:
            owners[track.track_id] = who
            said[who, track.camera] |= track.identities
        wrong += any(one.name and one.name != who for one in track.identities)
    lines = tuple(
        _line(person, camera, frozenset(said[person.name, camera]))
        for person in truth.people
        for camera in truth.cameras_of(person)
    )
    enrolled = [person for person in truth.people if person.enrolled]
    strangers = [person for person in truth.people if not person.enrolled]
    ids = {
        person: {one.global_id for line in lines if line.person == person for one in line.found}
        for person in truth.people
    }
    right = {
        person: all(line.right for line in lines if line.person == person)
        for person in truth.people
    }
    own = [one for one in strangers if right[one] and not _shared(one, ids)]
    return Verdict(
        lines=lines,
        expected_named=len(enrolled),
        named_right=sum(right[one] for one in enrolled),
        named_wrong=wrong,
        expected_unknown=len(strangers),
        unknown_found=len(own),
        same_id_across_cameras=sum(len(ids[one]) == 1 for one in own),
        strays=strays,
        owners=owners,
    )


Index = dict[tuple[str, int], list[Appearance]]


def _by_frame(appearances: Iterable[Appearance]) -> Index:
    index: Index = defaultdict(list)
    for one in appearances:
        index[one.camera, one.frame].append(one)
    return index


def owner(track: Track, index: Index) -> str | None:
    """The person whose face is in a track's boxes in most frames; None when nobody's is."""
    votes: Counter[str] = Counter()
    for frame, box in track.boxes.items():
        inside = [one for one in index.get((track.camera, frame), ()) if _holds(box, one.face)]
        if len(inside) == 1:  # two people in one box say nothing
            votes[inside[0].who] += 1
    return votes.most_common(1)[0][0] if votes else None


def _holds(box: Box, face: Box) -> bool:
    x, y = (face[0] + face[2]) / 2, (face[1] + face[3]) / 2
    return box[0] <= x <= box[2] and box[1] <= y <= box[3]


def _line(person: Person, camera: str, found: frozenset[Identity]) -> Line:
    expected = person.name if person.enrolled else ""
    right = bool(found) and all(one.name == expected for one in found)
    return Line(person, camera, found, right)


def _shared(person: Person, ids: dict[Person, set[int]]) -> bool:
    return any(ids[person] & others for one, others in ids.items() if one != person)
