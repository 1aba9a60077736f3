"""Templates of many people, searched exactly. What replaces it later has these four methods."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from processors.match.decide import Candidate
from sightline.identity.evidence import Vector, mean_of, score_of

_FIRST_ROWS = 64


class TemplateIndex:
    """People by key, each with one or more templates of the same dimension.

    A score is half the cosine to the person's best template and half that to their mean.
    """

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self._templates = _Rows(dimension)
        self._means = _Rows(dimension)
        # For each row of templates, the row of its person's mean.
        self._person_of = np.zeros(_FIRST_ROWS, np.intp)
        self._rows: dict[str, tuple[int, list[int]]] = {}  # key -> mean's row, templates' rows
        self._key_of: dict[int, str] = {}  # mean's row -> key

    @property
    def people(self) -> int:
        """How many people there are."""
        return len(self._rows)

    @property
    def templates(self) -> int:
        """How many templates there are."""
        return sum(len(rows) for _, rows in self._rows.values())

    def put(self, key: str, templates: Sequence[Vector]) -> None:
        """Set a person's templates; none removes the person."""
        self.remove(key)
        if not templates:
            return
        mean = self._means.add(mean_of(templates))
        rows = [self._templates.add(one) for one in templates]
        if len(self._person_of) < self._templates.size:
            grown = np.zeros(len(self._templates.matrix), np.intp)
            grown[: len(self._person_of)] = self._person_of
            self._person_of = grown
        self._person_of[rows] = mean
        self._rows[key] = mean, rows
        self._key_of[mean] = key

    def remove(self, key: str) -> None:
        """Forget a person; one who is not there is no error."""
        mean, rows = self._rows.pop(key, (None, []))
        if mean is None:
            return
        del self._key_of[mean]
        self._means.drop(mean)
        for row in rows:
            self._templates.drop(row)

    def search(self, vector: Vector, count: int, also: Sequence[str] = ()) -> list[Candidate]:
        """The best `count` people for a template, best first, and those named in `also`."""
        if not self._rows:
            return []
        scores = self._scores(vector)
        found = np.argpartition(-scores, min(count, len(scores)) - 1)[:count].tolist()
        rows = set(found) | {self._rows[key][0] for key in also if key in self._rows}
        people = [self._candidate(row, vector) for row in rows if row in self._key_of]
        return sorted(people, key=lambda one: (-one.score, one.key))

    def _candidate(self, row: int, vector: Vector) -> Candidate:
        """A person by the row of their mean, with the score to its last digit.

        What a product with a whole matrix says of one row depends on the other rows: after a
        restart the same evidence would have another score.
        """
        key = self._key_of[row]
        templates = [self._templates.matrix[at] for at in self._rows[key][1]]
        return Candidate(key, score_of(vector, templates, self._means.matrix[row]))

    def _scores(self, vector: Vector) -> NDArray[np.float32]:
        """(rows of means,): each person's score; -1 at most where there is nobody."""
        cosines = self._templates.matrix[: self._templates.size] @ vector
        cosines[self._templates.free] = -1.0  # a dropped row never is anybody's best
        best = np.full(self._means.size, -1.0, np.float32)
        np.maximum.at(best, self._person_of[: self._templates.size], cosines)
        mean = self._means.matrix[: self._means.size] @ vector
        scores = np.asarray((best + mean) / 2, np.float32)
        scores[self._means.free] = -2.0
        return scores


class _Rows:
    """A matrix that grows by doubling and uses dropped rows again."""

    def __init__(self, dimension: int) -> None:
        self.matrix = np.zeros((_FIRST_ROWS, dimension), np.float32)
        self.size = 0
        self.free: list[int] = []

    def add(self, vector: Vector) -> int:
        if self.free:
            row = self.free.pop()
        else:
            if self.size == len(self.matrix):
                self.matrix = np.concatenate([self.matrix, np.zeros_like(self.matrix)])
            row = self.size
            self.size += 1
        self.matrix[row] = vector
        return row

    def drop(self, row: int) -> None:
        self.matrix[row] = 0.0
        self.free.append(row)
