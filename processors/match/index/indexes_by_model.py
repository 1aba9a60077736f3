"""Template indexes by model pack; vectors of two packs are never compared."""

from collections.abc import Mapping, Sequence

from processors.match.candidates import Candidate
from processors.match.index.template_index import TemplateIndex
from sightline.identity.evidence import Vector
from sightline.runtime import metrics


class IndexesByModel:
    """Template index of each model pack that people have templates of."""

    def __init__(self) -> None:
        self._indexes: dict[str, TemplateIndex] = {}

    def __contains__(self, pack: str) -> bool:
        """Return whether there have been templates of a pack."""
        return pack in self._indexes

    @property
    def templates(self) -> int:
        """Number of templates, of all packs."""
        return sum(index.templates for index in self._indexes.values())

    @property
    def bytes(self) -> int:
        """Memory of the indexes in bytes."""
        return sum(index.bytes for index in self._indexes.values())

    def people(self, pack: str) -> int:
        """Return the number of people with templates of a pack."""
        index = self._indexes.get(pack)
        return index.people if index is not None else 0

    def dimension(self, pack: str) -> int | None:
        """Return the dimension of a pack's vectors; None before the first of them."""
        index = self._indexes.get(pack)
        return index.dimension if index is not None else None

    def depth(self, pack: str) -> int:
        """Return the number of a pack's templates that a search scores exactly."""
        index = self._indexes.get(pack)
        return index.depth if index is not None else 0

    def put(self, key: str, templates: Mapping[str, Sequence[Vector]]) -> None:
        """Set a person's templates (d,) by pack; those of the packs not named are removed."""
        for pack, vectors in templates.items():
            if vectors and pack not in self._indexes:
                self._indexes[pack] = TemplateIndex(len(vectors[0]))
        for pack, index in self._indexes.items():
            index.put(key, templates.get(pack, ()))

    def remove(self, key: str) -> None:
        """Remove a person; a missing one is no error."""
        self.put(key, {})

    def search(
        self, pack: str, vector: Vector, count: int, always: Sequence[str] = ()
    ) -> list[Candidate]:
        """Return the best `count` people for a vector (d,), best first, then those in `always`."""
        index = self._indexes.get(pack)
        if index is None:
            return []
        with metrics.INDEX_SEARCH_SECONDS.time():
            return index.search(vector, count, always)
