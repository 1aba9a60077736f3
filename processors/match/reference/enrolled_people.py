"""Directory of enrolled people: what a sighting says about each of them. No templates."""

from dataclasses import dataclass

from schemas import sightline_pb2 as pb
from schemas.ids import global_id


@dataclass(frozen=True, slots=True)
class EnrolledPerson:
    """Fields of a sighting that describe an enrolled person."""

    person_id: str
    name: str
    is_authorized: bool  # and active
    revision: int


class EnrolledPeople:
    """Enrolled people by person id and by global id, as the topic `gallery` has them."""

    def __init__(self) -> None:
        self._people: dict[str, EnrolledPerson] = {}
        self._person_ids: dict[int, str] = {}
        self.revision = 0
        """Next offset of the topic: the version of the gallery that a decision names."""

    def __len__(self) -> int:
        """Return the number of enrolled people."""
        return len(self._people)

    def put(self, record: pb.GalleryPerson) -> bool:
        """Add or replace a person; False for a record older than the present one.

        A relay that died delivers records again.
        """
        present = self._people.get(record.person_id)
        if present is not None and present.revision > record.revision:
            return False
        self._person_ids[global_id(record.person_id)] = record.person_id
        self._people[record.person_id] = EnrolledPerson(
            person_id=record.person_id,
            name=record.name,
            is_authorized=record.is_authorized and record.status == "active",
            revision=record.revision,
        )
        return True

    def remove(self, person_id: str) -> None:
        """Remove a person; a missing one is no error."""
        self._people.pop(person_id, None)
        self._person_ids.pop(global_id(person_id), None)

    def person(self, person_id: str) -> EnrolledPerson | None:
        """Return an enrolled person by person id."""
        return self._people.get(person_id)

    def with_global_id(self, person: int) -> EnrolledPerson | None:
        """Return an enrolled person by global id."""
        return self._people.get(self._person_ids.get(person, ""))
