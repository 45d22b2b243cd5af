"""Principal components and a refinement, as FAISS has them, for the other libraries."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from tools.benchmark.engines import Engine

TOGETHER = 16  # queries whose candidates are decoded at once: some megabytes


class ReducedEngine(Engine):
    """Another engine on principal components; then, if asked for, FAISS's refinement.

    The components are FAISS's own `PCAMatrix`, as ``PCA256`` in its factory strings, or
    turned at random so that their ranges are alike, as ``PCAR256``.  `reorder` is
    what `Refine(…)` takes there: whole vectors in a byte or six bits a number, with
    which k·factor candidates are compared again, decoded by FAISS's own code.
    """

    def __init__(
        self,
        threads: int,
        unit: bool,
        *,
        make: Callable[[int, bool], Engine],
        pca: int,
        rotate: int = 0,
        reorder: str = "",
    ) -> None:
        super().__init__(threads, unit)
        import faiss

        self.faiss: Any = faiss
        faiss.omp_set_num_threads(threads)
        self.inner, self.pca, self.reorder = make(threads, False), pca, reorder
        self.rotate = bool(rotate)
        self.factor = 1
        self.pool = ThreadPoolExecutor(threads)

    def start(self, sample: ndarray, n: int) -> None:
        """Find the components, the ranges of the numbers, and start the other."""
        d = sample.shape[1]
        self.matrix = self.faiss.PCAMatrix(d, self.pca, 0, self.rotate)
        self.matrix.train(sample)
        self.matrix.PCAMat.clear()
        self.inner.start(self.matrix.apply(sample), n)
        if self.reorder:
            self.index = self.faiss.index_factory(d, self.reorder)
            self.index.train(sample)

    def add(self, block: ndarray) -> None:
        """Add the reduced vectors, and the codes of the whole ones."""
        self.inner.add(self.matrix.apply(block))
        if self.reorder:
            self.index.add(block)

    def save(self, folder: Path) -> None:
        """Write the other's files in a folder of their own, and ours beside it."""
        (folder / "inner").mkdir()
        self.inner.save(folder / "inner")
        self.faiss.write_VectorTransform(self.matrix, str(folder / "pca"))
        if self.reorder:
            self.faiss.write_index(self.index, str(folder / "codes"))

    def load(self, folder: Path, n: int, d: int) -> None:
        """Read them."""
        self.inner.load(folder / "inner", n, self.pca)
        self.matrix = self.faiss.read_VectorTransform(str(folder / "pca"))
        if self.reorder:
            self.index = self.faiss.read_index(str(folder / "codes"))
            size = self.index.code_size
            codes = self.faiss.rev_swig_ptr(self.index.codes.data(), n * size)
            self.codes = codes.reshape(n, size)

    def tune(self, **settings: int) -> None:
        """Set `factor`; all others are the other engine's."""
        self.factor = settings.pop("factor", 1)
        self.inner.tune(**settings)

    def search(self, queries: ndarray, k: int) -> ndarray:
        """Return ids of shape (q, k)."""
        candidates = self.inner.search(self.matrix.apply(queries), k * self.factor)
        if not self.reorder:
            return candidates
        starts = range(0, len(queries), TOGETHER)
        parts = [slice(start, start + TOGETHER) for start in starts]
        run = map if self.threads == 1 or len(parts) == 1 else self.pool.map
        return np.vstack(
            list(
                run(lambda part: self._best(queries[part], candidates[part], k), parts)
            )
        )

    def _best(self, queries: ndarray, candidates: ndarray, k: int) -> ndarray:
        """Return the k nearest of each query's candidates, of which −1 is none."""
        codes = self.codes[candidates.ravel()]  # of −1 the last, which does not count
        vectors = self.index.sa_decode(codes).reshape(*candidates.shape, -1)
        if self.unit:
            nearness = np.matmul(vectors, queries[:, :, None])[:, :, 0]
        else:
            nearness = -np.square(vectors - queries[:, None]).sum(axis=2)
        nearness[candidates < 0] = -np.inf
        top = np.argsort(-nearness, axis=1)[:, :k]
        return np.take_along_axis(candidates, top, axis=1)
