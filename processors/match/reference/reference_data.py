"""Reference data of a matcher: enrolled people and facts, which it reads and never decides."""

from dataclasses import dataclass, field

from processors.match.reference.enrolled_people import EnrolledPeople, EnrolledPerson
from processors.match.reference.facts import Facts
from processors.match.reference.identity_corrections import IdentityCorrections
from schemas.ids import global_id


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceData:
    """Enrolled people and facts, which say together who a person is. No index."""

    enrolled: EnrolledPeople = field(default_factory=EnrolledPeople)
    facts: Facts = field(default_factory=Facts)

    @property
    def corrections(self) -> IdentityCorrections:
        """Corrections in force."""
        return self.facts.corrections

    def enrolled_person(self, person: int) -> EnrolledPerson | None:
        """Return the enrolled person with a global id."""
        return self.enrolled.with_global_id(person)

    def key_of(self, person: int) -> str:
        """Return the candidate key of a global id: the person id of an enrolled person, else it."""
        enrolled = self.enrolled_person(person)
        return enrolled.person_id if enrolled is not None else str(person)

    def global_id_of(self, key: str) -> int:
        """Return the global id of a candidate key."""
        return int(key) if key.isdecimal() else global_id(key)

    def is_searchable(self, person: int) -> bool:
        """Return whether a person is searched as an unknown person: not enrolled, not forgotten."""
        return self.enrolled_person(person) is None and not self.corrections.is_forgotten(person)
