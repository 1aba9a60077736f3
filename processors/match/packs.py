"""The templates of people by model pack; vectors of two packs never meet."""

from collections.abc import Mapping, Sequence

from processors.match.decide import Candidate
from processors.match.index import TemplateIndex
from sightline.identity.evidence import Vector
from sightline.runtime import metrics


class Packs:
    """An index for each pack that anybody has templates of."""

    def __init__(self) -> None:
        self._indexes: dict[str, TemplateIndex] = {}

    def __contains__(self, pack: str) -> bool:
        """Whether anybody has had templates of a pack."""
        return pack in self._indexes

    @property
    def templates(self) -> int:
        """How many templates there are, of all packs."""
        return sum(index.templates for index in self._indexes.values())

    @property
    def bytes(self) -> int:
        """What the indexes take in memory."""
        return sum(index.bytes for index in self._indexes.values())

    def people(self, pack: str) -> int:
        """How many people have templates of a pack."""
        index = self._indexes.get(pack)
        return index.people if index is not None else 0

    def dimension(self, pack: str) -> int | None:
        """How long a pack's vectors are, where there have been any."""
        index = self._indexes.get(pack)
        return index.dimension if index is not None else None

    def depth(self, pack: str) -> int:
        """How many of a pack's templates a search looks at closely."""
        index = self._indexes.get(pack)
        return index.depth if index is not None else 0

    def put(self, key: str, templates: Mapping[str, Sequence[Vector]]) -> None:
        """Set a person's templates by pack; those of the packs not named go."""
        for pack, vectors in templates.items():
            if vectors and pack not in self._indexes:
                self._indexes[pack] = TemplateIndex(len(vectors[0]))
        for pack, index in self._indexes.items():
            index.put(key, templates.get(pack, ()))

    def remove(self, key: str) -> None:
        """Forget a person; one who is not there is no error."""
        self.put(key, {})

    def search(
        self, pack: str, vector: Vector, count: int, also: Sequence[str] = ()
    ) -> list[Candidate]:
        """The best `count` people for a template of a pack, best first, and those in `also`."""
        index = self._indexes.get(pack)
        if index is None:
            return []
        with metrics.INDEX_SEARCH_SECONDS.time():
            return index.search(vector, count, also)
