"""The enrolled people whom a matcher knows, by model pack, in memory."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from processors.match.decide import Candidate
from processors.match.packs import Packs
from processors.match.vectors import vector_of
from schemas import sightline_pb2 as pb
from schemas.ids import global_id
from sightline.identity.evidence import Vector
from sightline.runtime.errors import InvalidRecord

log = logging.getLogger(__name__)

NEAREST = 5
"""Candidates that a search brings: the best, the second, and some to look at."""


@dataclass(frozen=True, slots=True)
class Person:
    """What a sighting says about an enrolled person."""

    person_id: str
    name: str
    is_authorized: bool  # and active
    revision: int


class Gallery:
    """Enrolled people; vectors of two packs never meet."""

    def __init__(self) -> None:
        self._people: dict[str, Person] = {}
        self._packs = Packs()
        self._by_global_id: dict[int, str] = {}
        self._strange_packs: set[str] = set()
        self.revision = 0
        """How many records of the topic this is made of: its next offset."""

    def __len__(self) -> int:
        """How many people there are."""
        return len(self._people)

    @property
    def templates(self) -> int:
        """How many templates there are, of all packs."""
        return self._packs.templates

    @property
    def index_bytes(self) -> int:
        """What its indexes take in memory."""
        return self._packs.bytes

    def put(self, record: pb.GalleryPerson) -> None:
        """Take a person as the record says; a template that cannot be compared is left out."""
        known = self._people.get(record.person_id)
        if known is not None and known.revision > record.revision:
            return  # delivered again by a relay that died
        by_pack: defaultdict[str, list[Vector]] = defaultdict(list)
        for template in record.templates:
            vectors = by_pack[template.pack]
            dimension = self.dimension(template.pack) or (len(vectors[0]) if vectors else None)
            try:
                vectors.append(vector_of(template.vector, dimension))
            except InvalidRecord as error:
                log.warning("gallery: a template of %s is left out: %s", record.person_id, error)
        self._packs.put(record.person_id, by_pack)
        self._by_global_id[global_id(record.person_id)] = record.person_id
        self._people[record.person_id] = Person(
            person_id=record.person_id,
            name=record.name,
            is_authorized=record.is_authorized and record.status == "active",
            revision=record.revision,
        )

    def remove(self, person_id: str) -> None:
        """Forget a person."""
        self._people.pop(person_id, None)
        self._by_global_id.pop(global_id(person_id), None)
        self._packs.remove(person_id)

    def person(self, person_id: str) -> Person | None:
        """An enrolled person."""
        return self._people.get(person_id)

    def person_of(self, of_global_id: int) -> Person | None:
        """The enrolled person with a global id."""
        return self._people.get(self._by_global_id.get(of_global_id, ""))

    def people(self, pack: str) -> int:
        """How many enrolled people a pack knows."""
        return self._packs.people(pack)

    def dimension(self, pack: str) -> int | None:
        """How long a pack's vectors are, where the gallery has any."""
        return self._packs.dimension(pack)

    def depth(self, pack: str) -> int:
        """How many of a pack's templates a search looks at closely."""
        return self._packs.depth(pack)

    def nearest(self, pack: str, vector: Vector, also: Sequence[str] = ()) -> list[Candidate]:
        """The enrolled people nearest to a template, best first."""
        self._notice(pack)
        return self._packs.search(pack, vector, NEAREST, also)

    def _notice(self, pack: str) -> None:
        """Say once for each pack that people enrolled with another one are not recognised."""
        without = len(self._people) - self.people(pack)
        if without and pack not in self._strange_packs:
            self._strange_packs.add(pack)
            log.warning(
                "%d of %d enrolled people have no photo embedded by the pack %s, so they are not "
                "recognised: run `sightline employees refresh`",
                without, len(self._people), pack,
            )  # fmt: skip
