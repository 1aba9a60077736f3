"""Index of the enrolled people's templates, by model pack, in memory."""

import logging
from collections import defaultdict
from collections.abc import Sequence

from processors.match.candidates import MAX_CANDIDATES, Candidate
from processors.match.embedding_codec import decode_embedding
from processors.match.index.indexes_by_model import IndexesByModel
from processors.match.reference.enrolled_people import EnrolledPeople
from schemas import sightline_pb2 as pb
from sightline.identity.evidence import Vector
from sightline.runtime.errors import PoisonRecord

log = logging.getLogger(__name__)


class GalleryIndex:
    """Directory of enrolled people with the index of their face templates."""

    def __init__(self, enrolled: EnrolledPeople | None = None) -> None:
        self.enrolled = enrolled if enrolled is not None else EnrolledPeople()
        self.indexes = IndexesByModel()
        self._warned_packs: set[str] = set()

    def put(self, record: pb.GalleryPerson) -> None:
        """Set a person; a template that cannot be compared is skipped with a warning."""
        if not self.enrolled.put(record):
            return
        by_pack: defaultdict[str, list[Vector]] = defaultdict(list)
        for template in record.templates:
            if template.kind != pb.EVIDENCE_KIND_FACE:
                continue
            vectors = by_pack[template.pack]
            dimension = self.indexes.dimension(template.pack) or (
                len(vectors[0]) if vectors else None
            )
            try:
                vectors.append(decode_embedding(template.vector, dimension))
            except PoisonRecord as error:
                log.warning("gallery: a template of %s is left out: %s", record.person_id, error)
        self.indexes.put(record.person_id, by_pack)

    def remove(self, person_id: str) -> None:
        """Remove a person; a missing one is no error."""
        self.enrolled.remove(person_id)
        self.indexes.remove(person_id)

    def nearest(self, pack: str, vector: Vector, also: Sequence[str] = ()) -> list[Candidate]:
        """Return the enrolled people nearest to a vector (d,), best first, then those in `also`."""
        self._warn_of_missing_templates(pack)
        return self.indexes.search(pack, vector, MAX_CANDIDATES, also)

    def _warn_of_missing_templates(self, pack: str) -> None:
        """Log once for each pack that people enrolled with another one are not recognised."""
        missing = len(self.enrolled) - self.indexes.people(pack)
        if missing and pack not in self._warned_packs:
            self._warned_packs.add(pack)
            log.warning(
                "%d of %d enrolled people have no photo embedded by the pack %s, so they are not "
                "recognised: run `sightline employees refresh`",
                missing, len(self.enrolled), pack,
            )  # fmt: skip
