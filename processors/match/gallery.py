"""The enrolled people whom a matcher knows, by model pack, in memory."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from processors.match.decide import Candidate
from processors.match.index import TemplateIndex
from processors.match.vectors import vector_of
from schemas import sightline_pb2 as pb
from schemas.ids import global_id
from sightline.errors import InvalidRecord
from sightline.identity.evidence import Vector

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
        self._packs: dict[str, TemplateIndex] = {}
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
        return sum(index.templates for index in self._packs.values())

    def put(self, record: pb.GalleryPerson) -> None:
        """Take a person as the record says; a template that cannot be compared is left out."""
        known = self._people.get(record.person_id)
        if known is not None and known.revision > record.revision:
            return  # delivered again by a relay that died
        by_pack: dict[str, list[Vector]] = {pack: [] for pack in self._packs}
        for template in record.templates:
            index = self._packs.get(template.pack)
            try:
                vector = vector_of(template.vector, index.dimension if index is not None else None)
            except InvalidRecord as error:
                log.warning("gallery: a template of %s is left out: %s", record.person_id, error)
                continue
            if index is None:
                self._packs[template.pack] = TemplateIndex(len(vector))
            by_pack.setdefault(template.pack, []).append(vector)
        for pack, vectors in by_pack.items():
            self._packs[pack].put(record.person_id, vectors)
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
        for index in self._packs.values():
            index.remove(person_id)

    def person(self, person_id: str) -> Person | None:
        """An enrolled person."""
        return self._people.get(person_id)

    def person_of(self, of_global_id: int) -> Person | None:
        """The enrolled person with a global id."""
        return self._people.get(self._by_global_id.get(of_global_id, ""))

    def people(self, pack: str) -> int:
        """How many enrolled people a pack knows."""
        index = self._packs.get(pack)
        return index.people if index is not None else 0

    def dimension(self, pack: str) -> int | None:
        """How long a pack's vectors are, where the gallery has any."""
        index = self._packs.get(pack)
        return index.dimension if index is not None else None

    def depth(self, pack: str) -> int:
        """How many of a pack's templates a search looks at closely."""
        index = self._packs.get(pack)
        return index.depth if index is not None else 0

    def nearest(self, pack: str, vector: Vector, also: Sequence[str] = ()) -> list[Candidate]:
        """The enrolled people nearest to a template, best first."""
        index = self._packs.get(pack)
        self._notice(pack, index)
        return index.search(vector, NEAREST, also) if index is not None else []

    def _notice(self, pack: str, index: TemplateIndex | None) -> None:
        """Say once for each pack that people enrolled with another one are not recognised."""
        without = len(self._people) - (index.people if index is not None else 0)
        if without and pack not in self._strange_packs:
            self._strange_packs.add(pack)
            log.warning(
                "%d of %d enrolled people have no photo embedded by the pack %s, so they are not "
                "recognised: run `sightline people refresh`",
                without, len(self._people), pack,
            )  # fmt: skip
