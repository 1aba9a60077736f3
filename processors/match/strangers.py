"""The people whom a site has met and nobody has enrolled, as they are known after corrections.

What is kept, and in the changelog, is what the matcher decided: each stranger's looks. What is
searched are people as corrections make them of those looks: a look belongs to whoever its track
is, and that is another stranger where two were merged, one was split, or a track was somebody
else.
"""

import logging
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Sequence, Set
from itertools import islice

import numpy as np

from processors.match.decide import Candidate
from processors.match.gallery import NEAREST
from processors.match.groups import Groups
from processors.match.known import Known
from processors.match.overlay import Touched
from processors.match.packs import Packs
from processors.match.vectors import vector_of
from schemas import sightline_pb2 as pb
from sightline.identity.evidence import Vector, mean_of, score_of
from sightline.runtime.errors import InvalidRecord

log = logging.getLogger(__name__)

MAX_TEMPLATES = 10
"""Looks of a stranger that are kept, those that differ most."""

FORGOTTEN_AT_ONCE = 8
"""Strangers that are forgotten with one event at most."""

_ANY = ""
"""In place of a camera: the clock of any will do."""


class Strangers:
    """The strangers of one site. Only `put` and `refresh` change it."""

    def __init__(self, site_id: str, known: Known) -> None:
        self._site_id = site_id
        self._known = known
        self._kept: dict[int, pb.UnknownPerson] = {}
        # Of whom a kept stranger's looks are, and the other way round.
        self._people_in: dict[int, set[int]] = {}
        self._kept_of: Groups[int, int] = Groups()
        self._kept_of_track: Groups[str, int] = Groups()
        self._packs = Packs()
        # Of each camera the people whom it was the last to see (µs), the longest unseen first.
        self._unseen: defaultdict[str, OrderedDict[int, int]] = defaultdict(OrderedDict)
        self._last_camera: dict[int, str] = {}
        for person in known.overlay.given_people(site_id):
            self._index(person)

    def get(self, global_id: int) -> pb.UnknownPerson | None:
        """What is kept of a stranger, as it was decided."""
        return self._kept.get(global_id)

    def kept_with(self, track_id: str) -> Set[int]:
        """The kept strangers who have a look of a track."""
        return self._kept_of_track.of(track_id)

    @property
    def size(self) -> int:
        """How many strangers are kept, as they were decided."""
        return len(self._kept)

    @property
    def index_bytes(self) -> int:
        """What their indexes take in memory."""
        return self._packs.bytes

    def people(self, pack: str) -> int:
        """How many people a pack would recognise."""
        return self._packs.people(pack)

    def dimension(self, pack: str) -> int | None:
        """How long a pack's vectors are, where the site has met anybody by it."""
        return self._packs.dimension(pack)

    def nearest(
        self, pack: str, vector: Vector, *, without: tuple[str, str], also: Sequence[str]
    ) -> list[Candidate]:
        """The people nearest to a template, best first.

        `without`: a track and the id of a template of it that does not count, because it is what
        is asked about.
        """
        if pack not in self._packs:
            return []
        track_id, template_id = without
        own = self._people_of_track(track_id)
        found = self._packs.search(pack, vector, NEAREST, [*also, *map(str, own)])
        others = [one for one in found if int(one.key) not in own]
        for person in own:
            looks = self._looks(person, pack)
            rest = [look for name, look in looks.items() if name != template_id]
            if rest and self._known.is_compared(person):
                others.append(Candidate(str(person), score_of(vector, rest, mean_of(rest))))
        return sorted(others, key=lambda one: (-one.score, one.key))

    def forgettable(
        self, camera_id: str, now_us: int, life_us: int
    ) -> dict[int, pb.UnknownPerson | None]:
        """What is left of strangers whom a camera was the last to see, too long before now.

        At most `FORGOTTEN_AT_ONCE` people. Each camera's strangers go by its own clock: that of
        another may be wrong, or its film be an old one.
        """
        gone: dict[int, pb.UnknownPerson | None] = {}
        for person in self._too_long_unseen(camera_id, now_us - life_us):
            for global_id in sorted(self._kept_of.of(person)):
                kept = gone.get(global_id, self._kept[global_id])
                if kept is not None:
                    gone[global_id] = self._without_person(kept, person)
        return gone

    def _too_long_unseen(self, camera_id: str, since_us: int) -> list[int]:
        found = []
        for camera in (_ANY, camera_id):
            for person, last_us in islice(self._unseen[camera].items(), FORGOTTEN_AT_ONCE):
                if last_us >= since_us:
                    break
                found.append(person)
        return found[:FORGOTTEN_AT_ONCE]

    def erased(self) -> dict[int, pb.UnknownPerson | None]:
        """What is left of strangers who were erased, and of those with looks of one."""
        overlay = self._known.overlay
        gone: dict[int, pb.UnknownPerson | None] = {}
        for global_id, kept in self._kept.items():
            looks = [one for one in kept.templates if not self._is_erased(one.track_id, global_id)]
            founder = overlay.is_erased_track(kept.founder_track_id)
            if len(looks) == len(kept.templates) and not founder:
                continue
            left = with_looks(kept, looks)
            if left is not None and founder:
                left.founder_track_id = looks[0].track_id
            gone[global_id] = left
        return gone

    def _is_erased(self, track_id: str, kept_as: int) -> bool:
        overlay = self._known.overlay
        return overlay.is_erased_track(track_id) or any(
            overlay.is_erased(one) for one in (kept_as, overlay.who(track_id, kept_as))
        )

    def put(self, global_id: int, stranger: pb.UnknownPerson | None) -> None:
        """Keep a stranger as they are now; None forgets them."""
        before = self._unplace(global_id)
        self._kept.pop(global_id, None)
        if stranger is not None:
            self._kept[global_id] = stranger
            before |= self._place(global_id, stranger)
        for person in before:
            self._index(person)

    def refresh(self, touched: Touched) -> None:
        """Follow what has changed of corrections and of who is enrolled."""
        people = set(touched.people)
        kept = {one for person in people for one in self._kept_of.of(person)}
        kept |= {one for track in touched.tracks for one in self._kept_of_track.of(track)}
        kept |= people & self._kept.keys()
        for global_id in kept:
            people |= self._unplace(global_id) | self._place(global_id, self._kept[global_id])
        for person in people:
            self._index(person)

    def _place(self, global_id: int, stranger: pb.UnknownPerson) -> set[int]:
        """Note of whom the looks are; those people."""
        who = self._known.overlay.who
        people = {who(look.track_id, global_id) for look in stranger.templates}
        self._people_in[global_id] = people
        for person in people:
            self._kept_of.add(person, global_id)
        for look in stranger.templates:
            self._kept_of_track.add(look.track_id, global_id)
        return set(people)

    def _unplace(self, global_id: int) -> set[int]:
        people = self._people_in.pop(global_id, set())
        for person in people:
            self._kept_of.discard(person, global_id)
        stranger = self._kept.get(global_id)
        for look in stranger.templates if stranger is not None else ():
            self._kept_of_track.discard(look.track_id, global_id)
        return people

    def _people_of_track(self, track_id: str) -> set[int]:
        """Of whom a track has looks among the kept, or among the corrections."""
        who = self._known.overlay.who
        people = {who(track_id, one) for one in self._kept_of_track.of(track_id)}
        if self._known.overlay.is_corrected(track_id):
            people.add(who(track_id, 0))
        return people

    def _index(self, person: int) -> None:
        """Make a person searchable as they are now, or no more."""
        packs: set[str] = set()
        if self._known.is_compared(person):
            packs = {look.pack for look in self._templates(person)}
        self._packs.put(
            str(person), {pack: [*self._looks(person, pack).values()] for pack in packs}
        )
        self._note_age(person)

    def _looks(self, person: int, pack: str) -> dict[str, Vector]:
        """The looks of a person by template id; what cannot be compared is left out."""
        dimension = self.dimension(pack) or self._known.gallery.dimension(pack)
        looks: dict[str, Vector] = {}
        for one in self._templates(person):
            if one.pack != pack or one.template_id in looks:
                continue
            try:
                vector = looks[one.template_id] = vector_of(one.vector, dimension)
                dimension = len(vector)
            except InvalidRecord as error:
                log.warning("a look of %d is left out: %s", person, error)
        return looks

    def _templates(self, person: int) -> Iterator[pb.Template]:
        """All looks of a person: those kept, then those that corrections brought."""
        who = self._known.overlay.who
        for global_id in sorted(self._kept_of.of(person)):
            for look in self._kept[global_id].templates:
                if who(look.track_id, global_id) == person:
                    yield look
        for given in self._known.overlay.given_to(person, self._site_id):
            yield from given.templates

    def _note_age(self, person: int) -> None:
        self._unseen[self._last_camera.pop(person, _ANY)].pop(person, None)
        kept = [self._kept[one] for one in self._kept_of.of(person)]
        if not kept:
            return
        last = max(kept, key=lambda one: (one.last_seen_us, one.global_id))
        camera, last_us = last.last_camera_id, last.last_seen_us
        if self._known.overlay.is_forgotten(person):
            camera, last_us = _ANY, 0  # long enough, whatever the camera
        elif self._known.overlay.is_named(person):
            return
        self._last_camera[person] = camera
        self._unseen[camera][person] = last_us

    def _without_person(self, stranger: pb.UnknownPerson, person: int) -> pb.UnknownPerson | None:
        """A stranger without the looks that are a person's."""
        who = self._known.overlay.who
        return with_looks(
            stranger,
            [one for one in stranger.templates if who(one.track_id, stranger.global_id) != person],
        )


def with_template(person: pb.UnknownPerson, template: pb.Template) -> pb.UnknownPerson:
    """A stranger with a look added, or replaced where it is there; at most `MAX_TEMPLATES`.

    When there are too many, the worse of the two most alike goes.
    """
    kept = [one for one in person.templates if one.template_id != template.template_id]
    kept.append(template)
    same_pack = [one for one in kept if one.pack == template.pack]
    if len(same_pack) > MAX_TEMPLATES:
        kept.remove(_superfluous(same_pack))
    changed = with_looks(person, kept)
    if changed is None:
        raise AssertionError("a look was added and none is left")
    return changed


def without_template(person: pb.UnknownPerson, template_id: str) -> pb.UnknownPerson | None:
    """A stranger with a look taken away; None when that was all there was."""
    return with_looks(person, [one for one in person.templates if one.template_id != template_id])


def has_template(person: pb.UnknownPerson, template_id: str) -> bool:
    """Whether a stranger has a look."""
    return any(one.template_id == template_id for one in person.templates)


def with_looks(person: pb.UnknownPerson, looks: Iterable[pb.Template]) -> pb.UnknownPerson | None:
    """A stranger with these looks alone; None where there are none."""
    changed = pb.UnknownPerson()
    changed.CopyFrom(person)
    del changed.templates[:]
    changed.templates.extend(looks)
    return changed if changed.templates else None


def _superfluous(templates: Sequence[pb.Template]) -> pb.Template:
    vectors = np.stack([vector_of(one.vector) for one in templates])
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -1.0)
    pair = np.unravel_index(int(np.argmax(cosines)), cosines.shape)
    return min((templates[int(row)] for row in pair), key=lambda one: one.quality)
