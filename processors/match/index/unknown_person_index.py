"""Index of the templates of a site's unknown persons, which follows every change of them."""

import logging
from collections.abc import Iterator, Sequence

from processors.match.candidates import MAX_CANDIDATES, Candidate
from processors.match.embedding_codec import decode_embedding
from processors.match.index.gallery import GalleryIndex
from processors.match.index.indexes_by_model import IndexesByModel
from processors.match.reference.reference_data import ReferenceData
from processors.match.state.unknown_persons import UnknownPersons
from schemas import sightline_pb2 as pb
from sightline.identity.evidence import Vector, mean_of, score_of
from sightline.runtime.errors import PoisonRecord

log = logging.getLogger(__name__)


class UnknownPersonIndex:
    """Searchable unknown persons of one site, by model pack."""

    def __init__(
        self, persons: UnknownPersons, reference: ReferenceData, gallery: GalleryIndex
    ) -> None:
        self._persons = persons
        self._reference = reference
        self._gallery = gallery
        self.indexes = IndexesByModel()
        persons.subscribe(self._refresh)

    def nearest(
        self, pack: str, vector: Vector, *, without: tuple[str, str], also: Sequence[str]
    ) -> list[Candidate]:
        """Return the persons nearest to a vector (d,), best first.

        Args:
            pack: Id of the model pack of the vector.
            vector: Template of a track (d,).
            without: A track, and the id of the template that a person may have of it, which does
                not count.
            also: Keys of persons that are returned however many come nearer.
        """
        if pack not in self.indexes:
            return []
        track_id, template_id = without
        own = self._persons.people_of_track(track_id)
        nearest = self.indexes.search(pack, vector, MAX_CANDIDATES, [*also, *map(str, own)])
        candidates = [candidate for candidate in nearest if int(candidate.key) not in own]
        for person in own:
            vectors = self._vectors(person, pack)
            others = [vectors[key] for key in vectors if key != template_id]
            if others and self._reference.is_searchable(person):
                score = score_of(vector, others, mean_of(others))
                candidates.append(Candidate(str(person), score))
        return sorted(candidates, key=lambda candidate: (-candidate.score, candidate.key))

    def _refresh(self, person: int) -> None:
        """Index a person as it is now, or remove it."""
        packs: set[str] = set()
        if self._reference.is_searchable(person):
            packs = {template.pack for template in self._templates(person)}
        self.indexes.put(
            str(person), {pack: [*self._vectors(person, pack).values()] for pack in packs}
        )

    def _vectors(self, person: int, pack: str) -> dict[str, Vector]:
        """Return the vectors of a person by template id; those of another length are skipped."""
        dimension = self.indexes.dimension(pack) or self._gallery.indexes.dimension(pack)
        vectors: dict[str, Vector] = {}
        for template in self._templates(person):
            if template.pack != pack or template.template_id in vectors:
                continue
            try:
                vector = vectors[template.template_id] = decode_embedding(
                    template.vector, dimension
                )
                dimension = len(vector)
            except PoisonRecord as error:
                log.warning("a template of the unknown person %d is left out: %s", person, error)
        return vectors

    def _templates(self, person: int) -> Iterator[pb.Template]:
        for template in self._persons.templates_of(person):
            if template.kind == pb.EVIDENCE_KIND_FACE:
                yield template
