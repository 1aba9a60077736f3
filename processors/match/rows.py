"""Templates side by side in one matrix, without gaps, each with the number of its owner."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sightline.identity.evidence import Vector

Matrix = NDArray[np.float32]
Rows = NDArray[np.int32]

_MOST_MORE = 4096
"""Rows that a matrix grows by at once: the zeroing of more would be a pause."""


class TemplateRows:
    """Templates (size, d) of owners. What is removed is filled by the last row, so there are no
    gaps: nothing has ever to be compacted.

    The rows of an owner are a ring: each knows the next one, in the order they were added.
    """

    def __init__(self, dimension: int) -> None:
        self.matrix: Matrix = np.zeros((0, dimension), np.float32)
        self.owner: Rows = np.zeros(0, np.int32)
        self.size = 0
        self._next: Rows = np.zeros(0, np.int32)

    @property
    def bytes(self) -> int:
        """What they take in memory, with the room for more."""
        return self.matrix.nbytes + self.owner.nbytes + self._next.nbytes

    def add(self, owner: int, templates: Matrix) -> int:
        """Append the templates (n, d) of an owner who has none; the first of their rows."""
        first, end = self.size, self.size + len(templates)
        if end > len(self.matrix):
            self._make_room(end)
        self.matrix[first:end] = templates
        self.owner[first:end] = owner
        self._next[first : end - 1] = np.arange(first + 1, end)
        self._next[end - 1] = first
        self.size = end
        return first

    def of(self, first: int) -> list[int]:
        """The rows of an owner, from the first one on."""
        found = [first]
        while (row := int(self._next[found[-1]])) != first:
            found.append(row)
        return found

    def grid(self, first: Rows, most: int) -> Rows:
        """(most, n): the rows of n owners; those with fewer than `most` begin again."""
        rows = np.empty((most, len(first)), np.int32)
        rows[0] = first
        for at in range(1, most):
            self._next.take(rows[at - 1], out=rows[at])
        return rows

    def remove_last(self) -> None:
        """Drop the last row, of which nobody's ring may know any more."""
        self.size -= 1
        if self.size < len(self.matrix) - 4 * _MOST_MORE:
            self._resize(self.size + _MOST_MORE)

    def move_last(self, hole: int) -> None:
        """Put the last row into a hole; the ring it belongs to follows."""
        last = self.size - 1
        before = self.of(last)[-1]
        self._next[before] = hole
        self._next[hole] = hole if before == last else self._next[last]
        self.owner[hole] = self.owner[last]
        self.matrix[hole] = self.matrix[last]

    def _make_room(self, rows: int) -> None:
        room = len(self.matrix)
        self._resize(max(rows, room + min(max(room, 64), _MOST_MORE)))

    def _resize(self, rows: int) -> None:
        # In place: the system moves pages instead of copying a matrix of gigabytes. Nobody
        # holds a view of them.
        self.matrix.resize((rows, self.matrix.shape[1]), refcheck=False)
        self.owner.resize(rows, refcheck=False)
        self._next.resize(rows, refcheck=False)


def as_matrix(templates: Sequence[Vector]) -> Matrix:
    """Templates one below the other, (n, d)."""
    return np.stack(templates).astype(np.float32, copy=False)
