"""Candidate search in memory: the indexes of enrolled people and of a site's unknown persons."""

from processors.match.candidates import CandidateAnswer, CandidateQuery, Population
from processors.match.embedding_codec import check_dimension, decode_embedding
from processors.match.index.gallery import GalleryIndex
from processors.match.index.unknown_person_index import UnknownPersonIndex
from sightline.identity.evidence import EvidenceKind


class IndexSearch:
    """`CandidateSearch` of one site by the indexes of this process."""

    def __init__(self, gallery: GalleryIndex, unknown: UnknownPersonIndex) -> None:
        self._gallery = gallery
        self._unknown = unknown

    def check(self, pack: str, embedding: bytes) -> None:
        """Refuse an embedding that cannot be compared with the indexes."""
        for dimension in self._dimensions(pack):
            decode_embedding(embedding, dimension)

    def search(self, query: CandidateQuery) -> CandidateAnswer:
        """Return the candidates for a track of the indexes as they are now."""
        pack, evidence = query.pack, query.evidence
        if evidence.kind != EvidenceKind.FACE:
            raise ValueError(f"no index has templates of the kind {evidence.kind.name}")
        for dimension in self._dimensions(pack):
            check_dimension(evidence.template, dimension)
        enrolled = self._gallery.nearest(pack, evidence.template, query.always)
        unknown = self._unknown.nearest(
            pack, evidence.template, without=(query.track_id, query.template_id), also=query.always
        )
        return CandidateAnswer(
            query,
            Population(enrolled, self._gallery.indexes.people(pack)),
            Population(unknown, self._unknown.indexes.people(pack)),
        )

    def _dimensions(self, pack: str) -> tuple[int | None, int | None]:
        return self._gallery.indexes.dimension(pack), self._unknown.indexes.dimension(pack)
