"""People made of numbers for the benchmark of matching, and the plain way to find them."""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from schemas import sightline_pb2 as pb

Vectors = NDArray[np.float32]

PACK = "numbers"
LIKENESS = 0.61
"""Cosine of two shots of one person. ORL portraits by MobileFaceNet: .60 for 5% of the pairs."""

_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Crowd:
    """People as clusters: a face drawn evenly from all directions, and shots around it."""

    people: int
    looks: int  # templates of each
    dimension: int
    seed: int = 1

    @property
    def templates(self) -> int:
        """Of all of them."""
        return self.people * self.looks

    def chunks(self) -> Iterator[tuple[int, Vectors]]:
        """The first person's number and (n, looks, d) templates, a thousand people at once."""
        for first in range(0, self.people, _AT_ONCE):
            faces = self.faces(first)[: self.people - first]
            random = np.random.default_rng([self.seed, first, 1])
            yield first, shots_of(np.repeat(faces[:, None], self.looks, 1), LIKENESS, random)

    def faces(self, first: int) -> Vectors:
        """The faces (1000, d) of the people from `first` on, a multiple of a thousand."""
        random = np.random.default_rng([self.seed, first, 0])
        return unit(random.standard_normal((_AT_ONCE, self.dimension), np.float32))

    def matrix(self) -> Vectors:
        """All templates (n, d), those of a person side by side."""
        found = np.empty((self.templates, self.dimension), np.float32)
        for first, looks in self.chunks():
            rows = looks.reshape(-1, self.dimension)
            found[first * self.looks : first * self.looks + len(rows)] = rows
        return found

    def probes(self, count: int, likeness: float = LIKENESS) -> Vectors:
        """(count, d): one more shot of some of them, by its cosine to their other shots."""
        random = np.random.default_rng([self.seed, 2])
        chosen = random.integers(self.people, size=count)
        faces = np.stack([self.faces(one - one % _AT_ONCE)[one % _AT_ONCE] for one in chosen])
        return shots_of(faces, likeness**2 / LIKENESS, random)

    def records(self) -> Iterator[pb.GalleryPerson]:
        """What the gallery topic says of them."""
        for first, looks in self.chunks():
            for number, own in enumerate(looks, first):
                yield record(number, own)


def record(number: int, looks: Vectors) -> pb.GalleryPerson:
    """The gallery's record of a person."""
    return pb.GalleryPerson(
        person_id=str(UUID(int=number + 1)),
        name=f"Person {number}",
        status="active",
        is_authorized=True,
        revision=1,
        templates=[
            pb.Template(template_id=str(UUID(int=at)), pack=PACK, vector=one.tobytes(), quality=0.9)
            for at, one in enumerate(looks)
        ],
    )


def unit(vectors: Vectors) -> Vectors:
    """The same directions, of length 1."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / length, np.float32)


def shots_of(faces: Vectors, likeness: float, random: np.random.Generator) -> Vectors:
    """A shot of each face (..., d); two such shots have a cosine of `likeness` to each other."""
    noise = unit(random.standard_normal(faces.shape, np.float32))
    return unit(faces + np.float32(np.sqrt(1 / likeness - 1)) * noise)


class BruteForce:
    """The product's score by numpy: every template compared, half best and half mean."""

    def __init__(self, crowd: Crowd) -> None:
        self.matrix = crowd.matrix()
        self._first = np.arange(0, crowd.templates, crowd.looks)
        self._means: Vectors | None = None  # of one template it is that template
        if crowd.looks > 1:
            self._means = unit(np.add.reduceat(self.matrix, self._first))

    def scores(self, probe: Vectors) -> Vectors:
        """(people,)"""
        cosines: Vectors = self.matrix @ probe
        if self._means is None:
            return cosines
        best = np.maximum.reduceat(cosines, self._first)
        return np.asarray((best + self._means @ probe) / 2, np.float32)

    def search(self, probe: Vectors, count: int) -> list[tuple[int, float]]:
        """The best people by number, with their scores."""
        scores = self.scores(probe)
        found = np.argpartition(-scores, count)[:count]
        found = found[np.argsort(-scores[found])]
        return list(zip(found.tolist(), scores[found].tolist(), strict=True))

    def templates(self, probe: Vectors, count: int) -> list[int]:
        """The nearest templates by cosine alone: less than the product needs."""
        cosines = self.matrix @ probe
        found = np.argpartition(-cosines, count)[:count]
        return [int(row) for row in found[np.argsort(-cosines[found])]]
