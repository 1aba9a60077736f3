"""Ground truth of the films, the pipeline's output, and their comparison. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

Box = tuple[float, float, float, float]
"""x1, y1, x2, y2 in pixels of the film, origin top left."""


@dataclass(frozen=True, slots=True)
class Appearance:
    """Face in one frame of a film."""

    camera: str
    frame: int  # number in the film, from 0
    name: str
    face: Box


@dataclass(frozen=True, slots=True)
class FilmPerson:
    """Person in the films."""

    name: str
    enrolled: bool


@dataclass(frozen=True, slots=True)
class GroundTruth:
    """Ground truth: the persons of the films, with their faces by frame."""

    persons: tuple[FilmPerson, ...]
    appearances: tuple[Appearance, ...]

    def cameras_of(self, person: FilmPerson) -> list[str]:
        """Return the cameras that a person walks by, sorted by name."""
        return sorted(
            {appearance.camera for appearance in self.appearances if appearance.name == person.name}
        )


@dataclass(frozen=True, slots=True)
class DecidedIdentity:
    """Identity that was given to a track; the name is empty for an unknown person."""

    name: str
    global_id: int


@dataclass(frozen=True, slots=True)
class TrackBoxes:
    """Track: its box (a person's or a face's) by frame, and its identities."""

    track_id: str
    camera: str
    boxes: dict[int, Box]
    identities: frozenset[DecidedIdentity] = frozenset()


@dataclass(frozen=True, slots=True)
class PersonAtCamera:
    """Result for one person at one camera, with the identities of the tracks there."""

    person: FilmPerson
    camera: str
    identities: frozenset[DecidedIdentity]
    is_correct: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """Comparison of truth and output. Persons are counted, not their tracks."""

    lines: tuple[PersonAtCamera, ...]
    expected_named: int
    named_right: int  # right at every camera that they walk by
    named_wrong: int  # tracks with the name of another person
    expected_unknown: int
    unknown_found: int  # unknown at every camera, and sharing no id with anybody
    same_id_across_cameras: int  # of those, persons with one id at all cameras
    strays: int  # tracks with an identity where the truth has no person
    owners: dict[str, str]  # track id -> name of the person

    @property
    def passed(self) -> bool:
        """True if every person was identified correctly."""
        return (
            self.named_right == self.expected_named
            and self.unknown_found == self.same_id_across_cameras == self.expected_unknown
            and not self.named_wrong
            and not self.strays
        )


def compare(truth: GroundTruth, tracks: Iterable[TrackBoxes]) -> Verdict:
    """Match tracks to persons by camera, frame and place, and check their identities."""
    index = _by_frame(truth.appearances)
    identities: dict[tuple[str, str], set[DecidedIdentity]] = defaultdict(set)
    owners: dict[str, str] = {}
    wrong = strays = 0
    for track in tracks:
        person_name = owner(track, index)
        if person_name is None:
            strays += bool(track.identities)
        else:
            owners[track.track_id] = person_name
            identities[person_name, track.camera] |= track.identities
        wrong += any(identity.name not in ("", person_name) for identity in track.identities)
    lines = tuple(
        _line(person, camera, frozenset(identities[person.name, camera]))
        for person in truth.persons
        for camera in truth.cameras_of(person)
    )
    enrolled = [person for person in truth.persons if person.enrolled]
    unknown = [person for person in truth.persons if not person.enrolled]
    ids, right = {}, {}
    for person in truth.persons:
        own_lines = [line for line in lines if line.person == person]
        ids[person] = {identity.global_id for line in own_lines for identity in line.identities}
        right[person] = all(line.is_correct for line in own_lines)
    separate = [person for person in unknown if right[person] and not _shares_id(person, ids)]
    return Verdict(
        lines=lines,
        expected_named=len(enrolled),
        named_right=sum(right[person] for person in enrolled),
        named_wrong=wrong,
        expected_unknown=len(unknown),
        unknown_found=len(separate),
        same_id_across_cameras=sum(len(ids[person]) == 1 for person in separate),
        strays=strays,
        owners=owners,
    )


Index = dict[tuple[str, int], list[Appearance]]


def _by_frame(appearances: Iterable[Appearance]) -> Index:
    index: Index = defaultdict(list)
    for appearance in appearances:
        index[appearance.camera, appearance.frame].append(appearance)
    return index


def owner(track: TrackBoxes, index: Index) -> str | None:
    """Return the person whose face is in a track's boxes in most frames; None if there is none."""
    votes: Counter[str] = Counter()
    for frame, box in track.boxes.items():
        inside = [
            appearance
            for appearance in index.get((track.camera, frame), ())
            if contains_middle(box, appearance.face)
        ]
        if len(inside) == 1:  # two faces in one box decide nothing
            votes[inside[0].name] += 1
    return votes.most_common(1)[0][0] if votes else None


def contains_middle(box: Box, face: Box) -> bool:
    """Return True if the middle of a face is in a box."""
    x, y = (face[0] + face[2]) / 2, (face[1] + face[3]) / 2
    return box[0] <= x <= box[2] and box[1] <= y <= box[3]


def _line(
    person: FilmPerson, camera: str, identities: frozenset[DecidedIdentity]
) -> PersonAtCamera:
    expected = person.name if person.enrolled else ""
    right = bool(identities) and all(identity.name == expected for identity in identities)
    return PersonAtCamera(person, camera, identities, right)


def _shares_id(person: FilmPerson, ids: dict[FilmPerson, set[int]]) -> bool:
    return any(ids[person] & other_ids for other, other_ids in ids.items() if other != person)
