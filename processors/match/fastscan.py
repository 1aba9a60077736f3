"""Short codes of templates (4 bits for 4 dimensions), scanned at memory speed by faiss.

https://github.com/facebookresearch/faiss/wiki/Fast-accumulation-of-PQ-and-AQ-codes-(FastScan)
"""

from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from processors.match.rows import Matrix
from sightline.identity.evidence import Vector

_DIMENSIONS = 4
"""That one code of 4 bits stands for."""

TRAINING_ROWS = 2048
_TRAINING_ROUNDS = 8
"""More of either did not find more (16 centroids in 4 dimensions), and is a longer pause."""

DEEPEST = 1024
"""Rows that a scan can be asked for."""


def can_code(dimension: int) -> bool:
    """Whether vectors of this length have codes."""
    return dimension % _DIMENSIONS == 0


class Codes:
    """The codes of rows 0 to n - 1."""

    def __init__(self, sample: Matrix) -> None:
        """Learn the codes from a sample (at least 16 rows, better `TRAINING_ROWS`)."""
        faiss.omp_set_num_threads(1)  # one query at a time: more threads only wait
        dimension = sample.shape[1]
        factory: Any = faiss.index_factory  # its stub knows no kinds of indexes
        self._index = factory(
            dimension, f"PQ{dimension // _DIMENSIONS}x4fs", faiss.METRIC_INNER_PRODUCT
        )
        self._index.pq.cp.niter = _TRAINING_ROUNDS
        self._index.pq.cp.min_points_per_centroid = 1
        self._index.train(sample)
        self._packer = self._index.get_CodePacker()
        self._code = np.zeros(self._index.code_size, np.uint8)
        self._blank = np.zeros_like(self._code)
        # Results are written to the same place every time: making arrays and their pointers
        # takes as long as the scan of a small gallery.
        self._rows = np.zeros(DEEPEST, np.int64)
        self._scores = np.zeros(DEEPEST, np.float32)
        self._out = faiss.swig_ptr(self._scores), faiss.swig_ptr(self._rows)

    @property
    def size(self) -> int:
        """How many rows there are."""
        return int(self._index.ntotal)

    @property
    def bytes_each(self) -> int:
        """What a row takes."""
        return len(self._code)

    @property
    def bytes(self) -> int:
        """What all of them take in memory."""
        return self.size * self.bytes_each

    def add(self, templates: Matrix) -> None:
        """Append rows (n, d)."""
        self._index.add(templates)

    def move_last(self, hole: int) -> None:
        """Put the last row's code into a hole."""
        codes, code = self._index.codes.data(), faiss.swig_ptr(self._code)
        self._packer.unpack_1_c(codes, self.size - 1, code)
        self._packer.pack_1_c(code, hole, codes)

    def remove_last(self) -> None:
        """Drop the last row."""
        # faiss adds by OR, so what it adds to has to be blank.
        self._packer.pack_1_c(faiss.swig_ptr(self._blank), self.size - 1, self._index.codes.data())
        self._index.ntotal -= 1

    def search(self, vector: Vector, count: int) -> NDArray[np.int64]:
        """The rows whose codes are nearest to a vector, best first; valid until the next call."""
        count = min(count, self.size, DEEPEST)
        self._index.search_c(1, faiss.swig_ptr(vector), count, *self._out)
        return self._rows[:count]
