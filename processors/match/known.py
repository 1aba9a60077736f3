"""What a matcher is told by others: who is enrolled, and the facts."""

from dataclasses import dataclass, field

from processors.match.facts import Facts
from processors.match.gallery import Gallery, Person
from processors.match.overlay import Overlay
from schemas.ids import global_id


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """The gallery and the facts, which say together who somebody is."""

    gallery: Gallery = field(default_factory=Gallery)
    facts: Facts = field(default_factory=Facts)

    @property
    def overlay(self) -> Overlay:
        """The corrections."""
        return self.facts.overlay

    def enrolled(self, person: int) -> Person | None:
        """The enrolled person of a global id."""
        return self.gallery.person_of(person)

    def key_of(self, person: int) -> str:
        """How candidates name a person: an enrolled one by person id, a stranger by global id."""
        enrolled = self.enrolled(person)
        return enrolled.person_id if enrolled is not None else str(person)

    def global_id_of(self, key: str) -> int:
        """The global id of a candidate."""
        return int(key) if key.isdecimal() else global_id(key)

    def is_compared(self, person: int) -> bool:
        """Whether the looks of a person are those of a stranger who may come again."""
        return self.enrolled(person) is None and not self.overlay.is_forgotten(person)
