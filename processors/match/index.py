"""Templates of many people, searched.

Small galleries are searched exactly. In larger ones short codes (`fastscan`) say who comes near,
and those are scored exactly; how many they have to be is measured on the gallery's own templates.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from processors.match.decide import Candidate
from processors.match.fastscan import DEEPEST, TRAINING_ROWS, Codes, can_code
from processors.match.rows import Matrix, Rows, TemplateRows, as_matrix
from sightline.identity.evidence import Vector

FLAT_TEMPLATES = 5000
"""Up to here every template is compared; below half of it again."""

_PROBES = 256
_WANTED_RECALL = 0.99
_FIRST_DEPTH = 256  # until it is measured
_LEAST_DEPTH = 64
_TEMPLATES_FOR_ONE_MORE = 4000
"""In so many: looking deeper costs nothing next to the scan of them all."""
_SCORED = 16
"""People who are scored in full: those with the nearest templates."""

_ROUNDING = 1e-5
"""More than the scores of one product with a whole matrix are off."""

_SHORTEST = 1e-6
"""Templates whose sum is shorter cancel out."""

Numbers = NDArray[np.integer]


class TemplateIndex:
    """People by key, each with one or more templates of the same dimension.

    A score is half the cosine to the person's best template and half that to their mean, and
    follows from the stored templates of that person alone: what a product with a whole matrix
    says of one row depends on the other rows, and after a restart the same evidence would have
    another score.
    """

    def __init__(self, dimension: int, flat: int = FLAT_TEMPLATES) -> None:
        self.dimension = dimension
        self._flat = flat
        self._rows = TemplateRows(dimension)
        self._codes: Codes | None = None
        self._depth = _FIRST_DEPTH
        self._measured = 0  # how many templates there were when the depth was measured
        self._measuring: Iterator[None] = iter(())
        # People have numbers; those of people who are gone are used again.
        self._number: dict[str, int] = {}
        self._key: list[str] = []
        self._free: list[int] = []
        self._first: Rows = np.zeros(0, np.int32)  # the first row of each person
        self._count: Rows = np.zeros(0, np.int32)  # templates of each person; 0: nobody
        # Length of the sum of each person's templates: the cosine to their mean is the sum of
        # the cosines by this. 0 where the templates cancel out: then the first is the mean.
        self._length: NDArray[np.float64] = np.zeros(0, np.float64)

    @property
    def people(self) -> int:
        """How many people there are."""
        return len(self._number)

    @property
    def templates(self) -> int:
        """How many templates there are."""
        return self._rows.size

    @property
    def bytes(self) -> int:
        """What it takes in memory, but for the people's names."""
        columns = (self._first, self._count, self._length)
        codes = 0 if self._codes is None else self._codes.bytes
        return self._rows.bytes + codes + sum(column.nbytes for column in columns)

    @property
    def depth(self) -> int:
        """How many templates a search looks at closely; all of them in a small gallery."""
        return self._rows.size if self._codes is None else self._depth

    def put(self, key: str, templates: Sequence[Vector]) -> None:
        """Set a person's templates; none removes the person."""
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
        """Forget a person; one who is not there is no error."""
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

    def search(self, vector: Vector, count: int, also: Sequence[str] = ()) -> list[Candidate]:
        """The best `count` people for a template, best first, and those named in `also`."""
        if not self._number:
            return []
        vector = np.ascontiguousarray(vector, np.float32)
        if self._codes is None:
            people = self._compared(vector, count)
        else:
            people = self._near(vector, count, self._codes)
        for key in also:
            number = self._number.get(key)
            if number is not None and number not in people:
                people.append(number)
        scores = self._scores(np.array(people, np.int32), vector).tolist()
        ranked = sorted(
            (-score, self._key[number]) for score, number in zip(scores, people, strict=True)
        )
        found = [Candidate(key, -lost) for lost, key in ranked[:count]]
        return found + [Candidate(key, -lost) for lost, key in ranked[count:] if key in also]

    def _append(self, number: int, matrix: Matrix) -> None:
        self._first[number] = self._rows.add(number, matrix)
        self._count[number] = len(matrix)
        length = float(np.linalg.norm(matrix.sum(axis=0, dtype=np.float64)))
        self._length[number] = length if length > _SHORTEST else 0.0
        if self._codes is not None:
            self._codes.add(matrix)
        elif self._rows.size > self._flat and can_code(self.dimension):
            self._learn_codes()
        if self._codes is not None and self._rows.size >= 2 * self._measured:
            self._measured = self._rows.size
            self._measuring = self._measure()

    def _learn_codes(self) -> None:
        stored = self._rows.matrix[: self._rows.size]
        chosen = np.random.default_rng(0).choice(
            len(stored), min(TRAINING_ROWS, len(stored)), False
        )
        self._codes = Codes(stored[chosen])
        self._codes.add(stored)
        self._depth, self._measured = _FIRST_DEPTH, 0

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
                room = number + max(64, number // 4)
                for column in (self._first, self._count, self._length):
                    column.resize(room, refcheck=False)
        self._number[key] = number
        return number

    def _compared(self, vector: Vector, count: int) -> list[int]:
        """The numbers of the best people, of all; more than `count` where it is that close."""
        people, rows = len(self._key), self._rows.size
        owner = self._rows.owner[:rows]
        cosines = self._rows.matrix[:rows] @ vector
        best = np.full(people, -2.0, np.float32)
        np.maximum.at(best, owner, cosines)
        total = np.bincount(owner, cosines, people).astype(np.float64, copy=False)
        mean = _to_mean(total, self._length[:people], cosines[self._first[:people]])
        there = self._count[:people] > 0
        scores = np.where(there, (best + mean) / 2, -2.0)
        if people > count:
            there &= scores >= np.partition(scores, -count)[-count] - _ROUNDING
        return np.flatnonzero(there).tolist()

    def _near(self, vector: Vector, count: int, codes: Codes) -> list[int]:
        """The numbers of people who have a template near to a vector, `count` or more."""
        depth = max(self._depth, count)
        while True:
            rows = codes.search(vector, depth)
            cosines = np.vecdot(self._rows.matrix.take(rows, 0), vector)
            owners = self._rows.owner.take(rows[np.argsort(-cosines)])
            people = list(dict.fromkeys(owners.tolist()))
            # People with many templates each may leave no room for others.
            if len(people) >= min(count, self.people) or depth >= min(DEEPEST, codes.size):
                return people[: max(_SCORED, count)]
            depth *= 4

    def _scores(self, people: Numbers, vector: Vector) -> NDArray[np.float64]:
        """(n,): the exact score of each of n people, who may not be none."""
        counts = self._count.take(people)
        most = int(counts.max())
        rows = self._rows.grid(self._first.take(people), most)
        # One product for each row, as `score_of` does it.
        cosines = np.vecdot(self._rows.matrix.take(rows, 0), vector).astype(np.float64)
        if most == 1:
            best = total = cosines[0]
        else:
            best = cosines.max(0)
            own = np.where(np.arange(most)[:, None] < counts, cosines, 0.0)
            # Added in order: what `sum` does depends on how many people there are.
            total = np.add.accumulate(own)[-1]
        mean = _to_mean(total, self._length.take(people), cosines[0])
        return np.asarray((best + mean) / 2, np.float64)

    def _measure(self) -> Iterator[None]:
        """Find how deep to search so that the best person is found; a step is one probe.

        A probe is a template that differs from itself as one person does from another, so that
        it is about as hard as what is still given a name.
        """
        random = np.random.default_rng(self._rows.size)
        depths = []
        for _ in range(_PROBES):
            if self._codes is None:
                return
            source, one, other = random.integers(self._rows.size, size=3)
            probe = self._rows.matrix[source] + self._rows.matrix[one] - self._rows.matrix[other]
            probe /= max(float(np.linalg.norm(probe)), 1e-6)
            if depth := self._depth_of(probe, int(source), self._codes):
                depths.append(depth)
            yield
        enough = int(np.quantile(depths, _WANTED_RECALL, method="higher")) if depths else DEEPEST
        least = _LEAST_DEPTH + self._rows.size // _TEMPLATES_FOR_ONE_MORE
        self._depth = min(max(2 * enough, least), DEEPEST)

    def _depth_of(self, probe: Vector, source: int, codes: Codes) -> int | None:
        """How deep one has to search to find the owner of the row that a probe was made of.

        None where somebody else is nearer: such a probe would name nobody.
        """
        owners = self._rows.owner.take(codes.search(probe, DEEPEST))
        owner = int(self._rows.owner[source])
        people = np.union1d(owners, owner)
        if people[np.argmax(self._scores(people, probe))] != owner:
            return None
        found = owners == owner
        return int(np.argmax(found)) + 1 if found.any() else DEEPEST


def _to_mean(
    total: NDArray[np.float64], length: NDArray[np.float64], first: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Cosines to people's means, from the sums of the cosines to their templates."""
    mean = total / np.maximum(length, _SHORTEST)
    return np.asarray(np.where(length > 0.0, mean, first), np.float64)
