"""Unknown persons of a site, after corrections.

The changelog has what the matcher decided: templates by unknown person. A correction changes whose
they are: a template belongs to the person of its track, which is another unknown person where two
were merged, one was split, or an operator assigned the track to somebody else. `decided` persons
are those of the changelog, `people` those after corrections.
"""

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from copy import deepcopy
from itertools import islice

import numpy as np

from processors.match.embedding_codec import decode_embedding
from processors.match.multimap import Multimap
from processors.match.reference.identity_corrections import AffectedIdentities
from processors.match.reference.reference_data import ReferenceData
from schemas import sightline_pb2 as pb

MAX_TEMPLATES = 10
"""Templates that an unknown person keeps, those that differ most."""

MAX_FORGOTTEN_AT_ONCE = 8
"""Unknown persons that are forgotten with one event at most."""

_ANY_CAMERA = ""
"""Key of persons that expire by the clock of any camera."""


class UnknownPersons:
    """Unknown persons of one site. Only `put` and `refresh` change it."""

    def __init__(self, site_id: str, reference: ReferenceData) -> None:
        self._site_id = site_id
        self._reference = reference
        self._decided: dict[int, pb.UnknownPerson] = {}
        # People by the decided person whose templates are theirs, and the inverse.
        self._people_of: dict[int, set[int]] = {}
        self._decided_of: Multimap[int, int] = Multimap()
        self._decided_with_track: Multimap[str, int] = Multimap()
        # People by the camera that saw them last, with that time (µs), the longest unseen first.
        self._unseen: defaultdict[str, OrderedDict[int, int]] = defaultdict(OrderedDict)
        self._last_camera: dict[int, str] = {}
        self._on_change: Callable[[int], None] = _ignore

    def __len__(self) -> int:
        """Return the number of decided persons."""
        return len(self._decided)

    def get(self, global_id: int) -> pb.UnknownPerson | None:
        """Return an unknown person as it was decided."""
        return self._decided.get(global_id)

    def with_track(self, track_id: str) -> Set[int]:
        """Return the decided persons that have a template of a track."""
        return self._decided_with_track.of(track_id)

    def subscribe(self, on_change: Callable[[int], None]) -> None:
        """Call a function with each person that there is, and with each that changes from now on.

        `on_change` gets the global id of a person whose templates, or whose right to be searched,
        may be different.
        """
        self._on_change = on_change
        assigned = self._reference.corrections.assigned_people(self._site_id)
        of_decided = (person for people in self._people_of.values() for person in people)
        for person in dict.fromkeys([*assigned, *of_decided]):
            on_change(person)

    def templates_of(self, person: int) -> Iterator[pb.Template]:
        """Yield all templates of a person: decided ones first, then those of corrections."""
        person_of = self._reference.corrections.person_of
        for global_id in sorted(self._decided_of.of(person)):
            for template in self._decided[global_id].templates:
                if person_of(template.track_id, global_id) == person:
                    yield template
        for correction in self._reference.corrections.assigned_to(person, self._site_id):
            yield from correction.templates

    def people_of_track(self, track_id: str) -> set[int]:
        """Return the people that have templates of a track, or that it was assigned to."""
        corrections = self._reference.corrections
        people = {
            corrections.person_of(track_id, global_id)
            for global_id in self._decided_with_track.of(track_id)
        }
        if corrections.is_corrected(track_id):
            people.add(corrections.person_of(track_id, 0))
        return people

    def expired(
        self, camera_id: str, now_us: int, ttl_us: int
    ) -> dict[int, pb.UnknownPerson | None]:
        """Return what remains of the persons that a camera saw last, longer than `ttl_us` ago.

        At most `MAX_FORGOTTEN_AT_ONCE` people. Each camera's persons expire by its own clock: that
        of another may be wrong, or its film be an old one.
        """
        remaining: dict[int, pb.UnknownPerson | None] = {}
        for person in self._unseen_since(camera_id, now_us - ttl_us):
            for global_id in sorted(self._decided_of.of(person)):
                decided = remaining.get(global_id, self._decided[global_id])
                if decided is not None:
                    remaining[global_id] = self._without_person(decided, person)
        return remaining

    def _unseen_since(self, camera_id: str, since_us: int) -> list[int]:
        people = []
        for camera in (_ANY_CAMERA, camera_id):
            for person, last_us in islice(self._unseen[camera].items(), MAX_FORGOTTEN_AT_ONCE):
                if last_us >= since_us:
                    break
                people.append(person)
        return people[:MAX_FORGOTTEN_AT_ONCE]

    def erased(self) -> dict[int, pb.UnknownPerson | None]:
        """Return what remains of erased persons, and of those with templates of an erased one."""
        corrections = self._reference.corrections
        remaining: dict[int, pb.UnknownPerson | None] = {}
        for global_id, decided in self._decided.items():
            templates = [
                template
                for template in decided.templates
                if not self._is_erased(template.track_id, global_id)
            ]
            is_founder_erased = corrections.is_erased_track(decided.founder_track_id)
            if len(templates) == len(decided.templates) and not is_founder_erased:
                continue
            rest = with_templates(decided, templates)
            if rest is not None and is_founder_erased:
                rest.founder_track_id = templates[0].track_id
            remaining[global_id] = rest
        return remaining

    def _is_erased(self, track_id: str, decided: int) -> bool:
        corrections = self._reference.corrections
        people = (decided, corrections.person_of(track_id, decided))
        return corrections.is_erased_track(track_id) or any(
            corrections.is_erased(person) for person in people
        )

    def put(self, global_id: int, person: pb.UnknownPerson | None) -> None:
        """Set a decided person; None removes it."""
        people = self._unplace(global_id)
        self._decided.pop(global_id, None)
        if person is not None:
            self._decided[global_id] = person
            people |= self._place(global_id, person)
        for changed in people:
            self._changed(changed)

    def refresh(self, affected: AffectedIdentities) -> None:
        """Follow a change of corrections or of enrolled people."""
        people = set(affected.people)
        decided = {global_id for person in people for global_id in self._decided_of.of(person)}
        decided = decided.union(*map(self._decided_with_track.of, affected.tracks))
        decided |= people & self._decided.keys()
        for global_id in decided:
            people |= self._unplace(global_id) | self._place(global_id, self._decided[global_id])
        for person in people:
            self._changed(person)

    def _place(self, global_id: int, decided: pb.UnknownPerson) -> set[int]:
        """Note the people that the templates of a decided person belong to, and return them."""
        person_of = self._reference.corrections.person_of
        people = {person_of(template.track_id, global_id) for template in decided.templates}
        self._people_of[global_id] = people
        for person in people:
            self._decided_of.add(person, global_id)
        for template in decided.templates:
            self._decided_with_track.add(template.track_id, global_id)
        return set(people)

    def _unplace(self, global_id: int) -> set[int]:
        people = self._people_of.pop(global_id, set())
        for person in people:
            self._decided_of.discard(person, global_id)
        decided = self._decided.get(global_id)
        for template in decided.templates if decided is not None else ():
            self._decided_with_track.discard(template.track_id, global_id)
        return people

    def _changed(self, person: int) -> None:
        self._on_change(person)
        self._note_last_seen(person)

    def _note_last_seen(self, person: int) -> None:
        self._unseen[self._last_camera.pop(person, _ANY_CAMERA)].pop(person, None)
        decided = [self._decided[global_id] for global_id in self._decided_of.of(person)]
        if not decided:
            return
        last = max(decided, key=lambda entry: (entry.last_seen_us, entry.global_id))
        camera, last_us = last.last_camera_id, last.last_seen_us
        if self._reference.corrections.is_forgotten(person):
            camera, last_us = _ANY_CAMERA, 0  # expires at once, by any camera's clock
        elif self._reference.corrections.is_named(person):
            return
        self._last_camera[person] = camera
        self._unseen[camera][person] = last_us

    def _without_person(self, decided: pb.UnknownPerson, person: int) -> pb.UnknownPerson | None:
        """Return a decided person without the templates that belong to a person."""
        person_of = self._reference.corrections.person_of
        templates = [
            template
            for template in decided.templates
            if person_of(template.track_id, decided.global_id) != person
        ]
        return with_templates(decided, templates)


def with_template(person: pb.UnknownPerson, template: pb.Template) -> pb.UnknownPerson:
    """Return a copy with a template added, or replaced by its id; at most `MAX_TEMPLATES`.

    When there are too many of a pack, the worse of the two most alike goes.
    """
    new_id = template.template_id
    templates = [present for present in person.templates if present.template_id != new_id]
    templates.append(template)
    same_pack = [present for present in templates if present.pack == template.pack]
    if len(same_pack) > MAX_TEMPLATES:
        templates.remove(_redundant(same_pack))
    changed = with_templates(person, templates)
    if changed is None:
        raise AssertionError("a template was added and none remains")
    return changed


def without_template(person: pb.UnknownPerson, template_id: str) -> pb.UnknownPerson | None:
    """Return a copy without a template; None when that was the last."""
    return with_templates(
        person, [present for present in person.templates if present.template_id != template_id]
    )


def has_template(person: pb.UnknownPerson, template_id: str) -> bool:
    """Return whether a person has a template."""
    return any(template.template_id == template_id for template in person.templates)


def with_templates(
    person: pb.UnknownPerson, templates: Iterable[pb.Template]
) -> pb.UnknownPerson | None:
    """Return a copy with these templates alone; None where there are none."""
    changed = deepcopy(person)
    del changed.templates[:]
    changed.templates.extend(templates)
    return changed if changed.templates else None


def _redundant(templates: Sequence[pb.Template]) -> pb.Template:
    """Return the worse of the two templates that are most alike."""
    vectors = np.stack([decode_embedding(template.vector) for template in templates])
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -1.0)
    pair = np.unravel_index(int(np.argmax(cosines)), cosines.shape)
    return min((templates[int(row)] for row in pair), key=lambda template: template.quality)


def _ignore(_person: int) -> None:
    """Follow nothing, until an index does."""
