"""Synthetic people for the benchmark of matching, and a brute-force search of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from schemas import sightline_pb2 as pb

Vectors = NDArray[np.float32]

PACK = "numbers"
SAME_PERSON_COSINE = 0.61
"""Cosine of two observations of a person. MobileFaceNet on ORL: .60 for 5% of the pairs."""

_CHUNK_PEOPLE = 1000


@dataclass(frozen=True, slots=True)
class Crowd:
    """People as clusters: a face drawn evenly from all directions, and observations around it."""

    people: int
    templates_each: int  # templates of each
    dimension: int
    seed: int = 1

    @property
    def templates(self) -> int:
        """Number of templates of all people."""
        return self.people * self.templates_each

    def chunks(self) -> Iterator[tuple[int, Vectors]]:
        """Yield the first person's number and templates (n, each, d), a thousand people at once."""
        for first in range(0, self.people, _CHUNK_PEOPLE):
            faces = self.faces(first)[: self.people - first]
            random = np.random.default_rng([self.seed, first, 1])
            repeated = np.repeat(faces[:, None], self.templates_each, 1)
            yield first, observations_of(repeated, SAME_PERSON_COSINE, random)

    def faces(self, first: int) -> Vectors:
        """The faces (1000, d) of the people from `first` on, a multiple of a thousand."""
        random = np.random.default_rng([self.seed, first, 0])
        return unit(random.standard_normal((_CHUNK_PEOPLE, self.dimension), np.float32))

    def matrix(self) -> Vectors:
        """Return all templates (n, d), those of a person side by side."""
        templates = np.empty((self.templates, self.dimension), np.float32)
        for first, templates_each in self.chunks():
            rows = templates_each.reshape(-1, self.dimension)
            templates[first * self.templates_each : first * self.templates_each + len(rows)] = rows
        return templates

    def queries(self, count: int, cosine: float = SAME_PERSON_COSINE) -> Vectors:
        """Draw queries (count, d): observations of random people at a cosine to their others."""
        random = np.random.default_rng([self.seed, 2])
        chosen = random.integers(self.people, size=count)
        places = [divmod(number, _CHUNK_PEOPLE) for number in chosen.tolist()]
        faces = np.stack([self.faces(chunk * _CHUNK_PEOPLE)[at] for chunk, at in places])
        return observations_of(faces, cosine**2 / SAME_PERSON_COSINE, random)

    def records(self) -> Iterator[pb.GalleryPerson]:
        """Yield the people's gallery records."""
        for first, templates_each in self.chunks():
            for number, person_templates in enumerate(templates_each, first):
                yield record(number, person_templates)


def record(number: int, templates_each: Vectors) -> pb.GalleryPerson:
    """Build a person's gallery record."""
    return pb.GalleryPerson(
        person_id=str(UUID(int=number + 1)),
        name=f"Person {number}",
        status="active",
        is_authorized=True,
        revision=1,
        templates=[
            pb.Template(
                template_id=str(UUID(int=index)), pack=PACK, vector=template.tobytes(), quality=0.9
            )
            for index, template in enumerate(templates_each)
        ],
    )


def unit(vectors: NDArray[np.floating]) -> Vectors:
    """Scale vectors (..., d) to unit length."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / length, np.float32)


def observations_of(faces: Vectors, cosine: float, random: np.random.Generator) -> Vectors:
    """Draw an observation of each face (..., d); two of one face have the given cosine."""
    noise = unit(random.standard_normal(faces.shape, np.float32))
    return unit(faces + np.float32(np.sqrt(1 / cosine - 1)) * noise)


class BruteForce:
    """The product's score by numpy: every template compared, half best and half mean."""

    def __init__(self, crowd: Crowd) -> None:
        self.matrix = crowd.matrix()
        self._first = np.arange(0, crowd.templates, crowd.templates_each)
        self._means: Vectors | None = None  # of one template it is that template
        if crowd.templates_each > 1:
            self._means = unit(np.add.reduceat(self.matrix, self._first))

    def scores(self, query: Vectors) -> Vectors:
        """Return the scores of all people, (people,)."""
        cosines: Vectors = self.matrix @ query
        if self._means is None:
            return cosines
        best = np.maximum.reduceat(cosines, self._first)
        return np.asarray((best + self._means @ query) / 2, np.float32)

    def search(self, query: Vectors, count: int) -> list[tuple[int, float]]:
        """Return the best people's numbers with their scores."""
        scores = self.scores(query)
        best = np.argpartition(-scores, count)[:count]
        best = best[np.argsort(-scores[best])]
        return list(zip(best.tolist(), scores[best].tolist(), strict=True))

    def templates(self, query: Vectors, count: int) -> list[int]:
        """Return the nearest templates by cosine alone: less than the product needs."""
        cosines = self.matrix @ query
        nearest = np.argpartition(-cosines, count)[:count]
        return [int(row) for row in nearest[np.argsort(-cosines[nearest])]]
