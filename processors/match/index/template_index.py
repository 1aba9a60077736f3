"""Index of the templates of many people.

Small galleries are searched exactly. In larger ones short codes (`fast_scan`) select the nearest
templates, which are scored exactly; how many have to be selected is measured on the gallery's own
templates.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from processors.match.candidates import Candidate
from processors.match.index.fast_scan import MAX_DEPTH, TRAINING_ROWS, FastScanCodes, can_code
from processors.match.index.template_matrix import Matrix, Rows, TemplateMatrix, as_matrix
from sightline.identity.evidence import Vector

FLAT_TEMPLATES = 5000
"""Templates up to which all of them are compared; below half of it they are again."""

_MEASURED_QUERIES = 256
_TARGET_RECALL = 0.99
_INITIAL_DEPTH = 256  # until the depth is measured
_MIN_DEPTH = 64
_TEMPLATES_PER_DEPTH = 4000
"""Templates for which the least depth grows by one: it costs nothing next to their scan."""
_MAX_SCORED_PEOPLE = 16
"""People with the nearest templates, who are scored in full."""

_ROUNDING = 1e-5
"""More than the scores of one product with a whole matrix are off."""

_MIN_SUM_LENGTH = 1e-6
"""Length of the sum of a person's templates below which they cancel out."""

Numbers = NDArray[np.integer]


class TemplateIndex:
    """People by key, each with one or more templates of the same dimension.

    A score is half the cosine to the person's best template and half that to their mean. It
    follows from the stored templates of that person alone: one row of a product with a whole
    matrix depends on the other rows in its last bits, and after a restart the same evidence would
    have another score.
    """

    def __init__(self, dimension: int, flat: int = FLAT_TEMPLATES) -> None:
        self.dimension = dimension
        self._flat = flat
        self._rows = TemplateMatrix(dimension)
        self._codes: FastScanCodes | None = None
        self._depth = _INITIAL_DEPTH
        self._measured_size = 0  # number of templates when the depth was measured
        self._measuring: Iterator[None] = iter(())
        # People have numbers; those of removed people are used again.
        self._number: dict[str, int] = {}
        self._key: list[str] = []
        self._free: list[int] = []
        self._first: Rows = np.zeros(0, np.int32)  # the first row of each person
        self._count: Rows = np.zeros(0, np.int32)  # templates of each person; 0: free number
        # Length of the sum of each person's templates: the cosine to their mean is the sum of
        # the cosines by this. 0 where the templates cancel out: then the first is the mean.
        self._length: NDArray[np.float64] = np.zeros(0, np.float64)

    @property
    def people(self) -> int:
        """Number of people."""
        return len(self._number)

    @property
    def templates(self) -> int:
        """Number of templates."""
        return self._rows.size

    @property
    def bytes(self) -> int:
        """Memory in bytes, without the people's keys."""
        columns = (self._first, self._count, self._length)
        codes = 0 if self._codes is None else self._codes.bytes
        return self._rows.bytes + codes + sum(column.nbytes for column in columns)

    @property
    def depth(self) -> int:
        """Number of templates that a search scores exactly; all of them in a small gallery."""
        return self._rows.size if self._codes is None else self._depth

    def put(self, key: str, templates: Sequence[Vector]) -> None:
        """Set a person's templates (d,); none removes the person."""
        if not templates:
            self.remove(key)
            return
        matrix = as_matrix(templates)
        number = self._number.get(key)
        if number is not None:
            if np.array_equal(matrix, self._rows.matrix[self._rows.of(int(self._first[number]))]):
                return
            self.remove(key)
        self._append(self._new_number(key), matrix)
        next(self._measuring, None)

    def remove(self, key: str) -> None:
        """Remove a person; a missing one is no error."""
        number = self._number.pop(key, None)
        if number is None:
            return
        for row in sorted(self._rows.of(int(self._first[number])), reverse=True):
            self._remove_row(row)
        self._first[number] = self._count[number] = 0
        self._key[number] = ""
        self._free.append(number)
        if self._codes is not None and self._rows.size < self._flat // 2:
            self._codes, self._measuring = None, iter(())

    def search(self, vector: Vector, count: int, always: Sequence[str] = ()) -> list[Candidate]:
        """Return the best `count` people for a vector (d,), best first, then those in `always`.

        Equal scores are ordered by key.
        """
        if not self._number:
            return []
        vector = np.ascontiguousarray(vector, np.float32)
        if self._codes is None:
            people = self._best_of_all(vector, count)
        else:
            people = self._nearest(vector, count, self._codes)
        for key in always:
            number = self._number.get(key)
            if number is not None and number not in people:
                people.append(number)
        scores = self._scores(np.array(people, np.int32), vector).tolist()
        ranked = sorted(
            (-score, self._key[number]) for score, number in zip(scores, people, strict=True)
        )
        best = [Candidate(key, -negative) for negative, key in ranked[:count]]
        return best + [
            Candidate(key, -negative) for negative, key in ranked[count:] if key in always
        ]

    def _append(self, number: int, matrix: Matrix) -> None:
        self._first[number] = self._rows.add(number, matrix)
        self._count[number] = len(matrix)
        length = float(np.linalg.norm(matrix.sum(axis=0, dtype=np.float64)))
        self._length[number] = length if length > _MIN_SUM_LENGTH else 0.0
        if self._codes is not None:
            self._codes.add(matrix)
        elif self._rows.size > self._flat and can_code(self.dimension):
            self._learn_codes()
        if self._codes is not None and self._rows.size >= 2 * self._measured_size:
            self._measured_size = self._rows.size
            self._measuring = self._measure()

    def _learn_codes(self) -> None:
        stored = self._rows.matrix[: self._rows.size]
        chosen = np.random.default_rng(0).choice(
            len(stored), min(TRAINING_ROWS, len(stored)), False
        )
        self._codes = FastScanCodes(stored[chosen])
        self._codes.add(stored)
        self._depth, self._measured_size = _INITIAL_DEPTH, 0

    def _remove_row(self, row: int) -> None:
        last = self._rows.size - 1
        if row != last:
            owner = int(self._rows.owner[last])
            if self._first[owner] == last:
                self._first[owner] = row
            self._rows.move_last(row)
            if self._codes is not None:
                self._codes.move_last(row)
        self._rows.remove_last()
        if self._codes is not None:
            self._codes.remove_last()

    def _new_number(self, key: str) -> int:
        if self._free:
            number = self._free.pop()
            self._key[number] = key
        else:
            number = len(self._key)
            self._key.append(key)
            if number == len(self._first):
                capacity = number + max(64, number // 4)
                for column in (self._first, self._count, self._length):
                    column.resize(capacity, refcheck=False)
        self._number[key] = number
        return number

    def _best_of_all(self, vector: Vector, count: int) -> list[int]:
        """Return the numbers of the best people; more than `count` where scores are that close."""
        people, rows = len(self._key), self._rows.size
        owner = self._rows.owner[:rows]
        cosines = self._rows.matrix[:rows] @ vector
        best = np.full(people, -2.0, np.float32)
        np.maximum.at(best, owner, cosines)
        total = np.bincount(owner, cosines, people).astype(np.float64, copy=False)
        mean = _cosine_to_mean(total, self._length[:people], cosines[self._first[:people]])
        is_chosen = self._count[:people] > 0
        scores = np.where(is_chosen, (best + mean) / 2, -2.0)
        if people > count:
            is_chosen &= scores >= np.partition(scores, -count)[-count] - _ROUNDING
        return np.flatnonzero(is_chosen).tolist()

    def _nearest(self, vector: Vector, count: int, codes: FastScanCodes) -> list[int]:
        """Return the numbers of people with a template near to a vector, `count` or more."""
        depth = max(self._depth, count)
        while True:
            rows = codes.search(vector, depth)
            cosines = np.vecdot(self._rows.matrix.take(rows, 0), vector)
            owners = self._rows.owner.take(rows[np.argsort(-cosines)])
            people = list(dict.fromkeys(owners.tolist()))
            # People with many templates each may leave no room for others.
            if len(people) >= min(count, self.people) or depth >= min(MAX_DEPTH, codes.size):
                return people[: max(_MAX_SCORED_PEOPLE, count)]
            depth *= 4

    def _scores(self, people: Numbers, vector: Vector) -> NDArray[np.float64]:
        """Return the exact scores (n,) of n people, at least one."""
        counts = self._count.take(people)
        most = int(counts.max())
        rows = self._rows.grid(self._first.take(people), most)
        # One product for each row, as in `score_of`.
        cosines = np.vecdot(self._rows.matrix.take(rows, 0), vector).astype(np.float64)
        if most == 1:
            best = total = cosines[0]
        else:
            best = cosines.max(0)
            own = np.where(np.arange(most)[:, None] < counts, cosines, 0.0)
            # Added in order: the result of `sum` depends on how many people there are.
            total = np.add.accumulate(own)[-1]
        mean = _cosine_to_mean(total, self._length.take(people), cosines[0])
        return np.asarray((best + mean) / 2, np.float64)

    def _measure(self) -> Iterator[None]:
        """Measure how deep to search for the best person to be found; one query for each step.

        A query is a template that differs from itself as one person does from another, so that it
        is about as hard as the hardest that still gets a name.
        """
        random = np.random.default_rng(self._rows.size)
        depths = []
        for _ in range(_MEASURED_QUERIES):
            if self._codes is None:
                return
            source, first, second = random.integers(self._rows.size, size=3)
            query = self._rows.matrix[source] + self._rows.matrix[first] - self._rows.matrix[second]
            query /= max(float(np.linalg.norm(query)), 1e-6)
            if depth := self._depth_of(query, int(source), self._codes):
                depths.append(depth)
            yield
        enough = int(np.quantile(depths, _TARGET_RECALL, method="higher")) if depths else MAX_DEPTH
        least = _MIN_DEPTH + self._rows.size // _TEMPLATES_PER_DEPTH
        self._depth = min(max(2 * enough, least), MAX_DEPTH)

    def _depth_of(self, query: Vector, source: int, codes: FastScanCodes) -> int | None:
        """Return the depth at which the owner of the row that a query was made of is found.

        None where another person is nearer: such a query would name nobody.
        """
        owners = self._rows.owner.take(codes.search(query, MAX_DEPTH))
        owner = int(self._rows.owner[source])
        people = np.union1d(owners, owner)
        if people[np.argmax(self._scores(people, query))] != owner:
            return None
        is_owner = owners == owner
        return int(np.argmax(is_owner)) + 1 if is_owner.any() else MAX_DEPTH


def _cosine_to_mean(
    total: NDArray[np.float64], length: NDArray[np.float64], first: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Return the cosines to people's means (n,), from the sums of those to their templates."""
    mean = total / np.maximum(length, _MIN_SUM_LENGTH)
    return np.asarray(np.where(length > 0.0, mean, first), np.float64)
