"""Templates as the rows of one matrix without gaps, each with the number of its owner."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sightline.identity.evidence import Vector

Matrix = NDArray[np.float32]
"""(n, d) templates of unit length."""

Rows = NDArray[np.int32]
"""(n,) row or owner numbers."""

_MAX_GROWTH_ROWS = 4096
"""Rows that a matrix grows by at once: zeroing more would be a pause."""


class TemplateMatrix:
    """Templates (size, d) of owners.

    A removed row is filled by the last one, so there are no gaps and nothing is ever compacted.
    The rows of an owner form a ring: each knows the next one, in the order they were added.
    """

    def __init__(self, dimension: int) -> None:
        self.matrix: Matrix = np.zeros((0, dimension), np.float32)
        self.owner: Rows = np.zeros(0, np.int32)
        self.size = 0
        self._next: Rows = np.zeros(0, np.int32)

    @property
    def bytes(self) -> int:
        """Memory in bytes, with the spare rows."""
        return self.matrix.nbytes + self.owner.nbytes + self._next.nbytes

    def add(self, owner: int, templates: Matrix) -> int:
        """Append the templates (n, d) of an owner without rows; return the first row."""
        first, end = self.size, self.size + len(templates)
        if end > len(self.matrix):
            self._grow(end)
        self.matrix[first:end] = templates
        self.owner[first:end] = owner
        self._next[first : end - 1] = np.arange(first + 1, end)
        self._next[end - 1] = first
        self.size = end
        return first

    def of(self, first: int) -> list[int]:
        """Return the rows of an owner, from the first one on."""
        rows = [first]
        while (row := int(self._next[rows[-1]])) != first:
            rows.append(row)
        return rows

    def grid(self, first: Rows, count: int) -> Rows:
        """Return `count` rows of each of n owners, (count, n); fewer rows are repeated."""
        rows = np.empty((count, len(first)), np.int32)
        rows[0] = first
        for at in range(1, count):
            self._next.take(rows[at - 1], out=rows[at])
        return rows

    def remove_last(self) -> None:
        """Remove the last row, which must not be part of a ring any more."""
        self.size -= 1
        if self.size < len(self.matrix) - 4 * _MAX_GROWTH_ROWS:
            self._resize(self.size + _MAX_GROWTH_ROWS)

    def move_last(self, hole: int) -> None:
        """Move the last row into a removed one, and repair its ring."""
        last = self.size - 1
        before = self.of(last)[-1]
        self._next[before] = hole
        self._next[hole] = hole if before == last else self._next[last]
        self.owner[hole] = self.owner[last]
        self.matrix[hole] = self.matrix[last]

    def _grow(self, rows: int) -> None:
        capacity = len(self.matrix)
        self._resize(max(rows, capacity + min(max(capacity, 64), _MAX_GROWTH_ROWS)))

    def _resize(self, rows: int) -> None:
        # In place, the system moves pages instead of copying gigabytes. No view of the arrays
        # is held anywhere.
        self.matrix.resize((rows, self.matrix.shape[1]), refcheck=False)
        self.owner.resize(rows, refcheck=False)
        self._next.resize(rows, refcheck=False)


def as_matrix(templates: Sequence[Vector]) -> Matrix:
    """Stack n templates (d,) to (n, d)."""
    return np.stack(templates).astype(np.float32, copy=False)
