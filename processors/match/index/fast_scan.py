"""Short codes of templates (4 bits for 4 dimensions), scanned at memory speed by faiss.

https://github.com/facebookresearch/faiss/wiki/Fast-accumulation-of-PQ-and-AQ-codes-(FastScan)
"""

from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from processors.match.index.template_matrix import Matrix
from sightline.identity.evidence import Vector

_DIMENSIONS_PER_CODE = 4

TRAINING_ROWS = 2048
"""Rows that the codes are learned from."""

_TRAINING_ROUNDS = 8
"""More rounds or rows improved nothing (16 centroids in 4 dimensions), and pause for longer."""

MAX_DEPTH = 1024
"""Rows that a scan returns at most."""


def can_code(dimension: int) -> bool:
    """Return whether vectors of a dimension can be coded."""
    return dimension % _DIMENSIONS_PER_CODE == 0


class FastScanCodes:
    """Codes of the rows 0 to n - 1 of a template matrix."""

    def __init__(self, sample: Matrix) -> None:
        """Learn the codes from a sample (n, d): at least 16 rows, better `TRAINING_ROWS`."""
        faiss.omp_set_num_threads(1)  # one query at a time: more threads only wait
        dimension = sample.shape[1]
        factory: Any = faiss.index_factory  # its stub declares no kinds of indexes
        self._index = factory(
            dimension, f"PQ{dimension // _DIMENSIONS_PER_CODE}x4fs", faiss.METRIC_INNER_PRODUCT
        )
        self._index.pq.cp.niter = _TRAINING_ROUNDS
        self._index.pq.cp.min_points_per_centroid = 1
        self._index.train(sample)
        self._packer = self._index.get_CodePacker()
        self._code = np.zeros(self._index.code_size, np.uint8)
        self._blank = np.zeros_like(self._code)
        # Results are written to the same arrays every time: allocating them and taking their
        # pointers takes as long as the scan of a small gallery.
        self._rows = np.zeros(MAX_DEPTH, np.int64)
        self._scores = np.zeros(MAX_DEPTH, np.float32)
        self._out = faiss.swig_ptr(self._scores), faiss.swig_ptr(self._rows)

    @property
    def size(self) -> int:
        """Number of rows."""
        return int(self._index.ntotal)

    @property
    def bytes_each(self) -> int:
        """Memory of a row in bytes."""
        return len(self._code)

    @property
    def bytes(self) -> int:
        """Memory of all rows in bytes."""
        return self.size * self.bytes_each

    def add(self, templates: Matrix) -> None:
        """Append rows (n, d)."""
        self._index.add(templates)

    def move_last(self, hole: int) -> None:
        """Move the code of the last row into a removed one."""
        codes, code = self._index.codes.data(), faiss.swig_ptr(self._code)
        self._packer.unpack_1_c(codes, self.size - 1, code)
        self._packer.pack_1_c(code, hole, codes)

    def remove_last(self) -> None:
        """Remove the last row."""
        # faiss adds codes by OR, so the place of the next one has to be blank.
        self._packer.pack_1_c(faiss.swig_ptr(self._blank), self.size - 1, self._index.codes.data())
        self._index.ntotal -= 1

    def search(self, vector: Vector, count: int) -> NDArray[np.int64]:
        """Return the rows with the codes nearest to a vector (d,), best first.

        The array is valid until the next call.
        """
        count = min(count, self.size, MAX_DEPTH)
        self._index.search_c(1, faiss.swig_ptr(vector), count, *self._out)
        return self._rows[:count]
