"""What takes part in the benchmark, and how each library is spoken to.

A contender is a name, an engine and a grid of search parameters.  An engine has five
methods: `build`, `save`, `load`, `tune` and `search`; it imports its library when it is
made, so that a library which is not installed costs its own contenders only.
"""

import importlib.metadata
import importlib.util
import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from utils.practice.index_choice import POINTS_PER_CELL

SAMPLE_A_CELL = 64  # vectors to train on, where the collection comes in blocks
GRAPH = {"links": 16, "effort": 100}  # M and efConstruction: the same for every graph
EFFORTS = [10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512]
PROBES = [1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256]
FACTORS = [2, 4, 8, 16, 32]  # of a refinement: candidates for each result


class FaissEngine:
    """An index of FAISS by its factory string; ``{cells}`` stands for nlist.

    PCA moves the origin to the mean.  Distances stay as they are, inner products do
    not: so behind PCA the squared distance is used, which ranks unit vectors alike.
    """

    def __init__(self, threads: int, *, factory: str) -> None:
        import faiss

        self.faiss: Any = faiss  # its stubs lack much of what it has
        self.factory = factory
        moved = "PCA" in factory
        self.metric = faiss.METRIC_L2 if moved else faiss.METRIC_INNER_PRODUCT
        faiss.omp_set_num_threads(threads)

    def build(self, vectors: np.ndarray) -> None:
        """Train, if need be, and add."""
        self.start(vectors, len(vectors))
        self.add(vectors)

    def start(self, sample: np.ndarray, n: int) -> None:
        """Train for a collection of n vectors of which `sample` is a part."""
        factory = self.factory.format(cells=cells_for(n))
        self.index = self.faiss.index_factory(sample.shape[1], factory, self.metric)
        if "HNSW" in factory.replace("_HNSW", ""):  # not the one that finds the cells
            self.tune(efConstruction=GRAPH["effort"])
        self.index.train(sample)
        self._drop_spare_components()

    def _drop_spare_components(self) -> None:
        """Forget the components of a PCA that are not used: 17 MB for 2,048 numbers."""
        index = self.faiss.downcast_index(self.index)
        if isinstance(index, self.faiss.IndexRefine):
            index = self.faiss.downcast_index(index.base_index)
        if isinstance(index, self.faiss.IndexPreTransform):
            step = self.faiss.downcast_VectorTransform(index.chain.at(0))
            if isinstance(step, self.faiss.PCAMatrix):
                step.PCAMat.clear()  # searching needs `A` and `b` alone

    def add(self, block: np.ndarray) -> None:
        """Add some vectors; their ids count on."""
        self.index.add(block)

    def save(self, path: Path) -> None:
        """Write the index."""
        self.faiss.write_index(self.index, str(path))

    def load(self, path: Path, shape: tuple[int, int]) -> None:
        """Read what `save` wrote."""
        self.index = self.faiss.read_index(str(path))

    def tune(self, **settings: int) -> None:
        """Set search parameters by FAISS's own names for them."""
        for name, value in settings.items():
            space = self.faiss.ParameterSpace()
            space.set_index_parameter(self.index, name, value)

    def search(self, queries: np.ndarray, k: int) -> np.ndarray:
        """Return ids of shape (q, k)."""
        return self.index.search(queries, k)[1]

    def count_distances(self, queries: np.ndarray, k: int) -> float:
        """Return how many vectors a search compares on average; 0 if unknown."""
        counters = self.faiss.cvar.indexIVF_stats, self.faiss.cvar.hnsw_stats
        for counter in counters:
            counter.reset()
        self.search(queries, k)
        return max(counter.ndis for counter in counters) / len(queries)


class HnswlibEngine:
    """hnswlib, the reference implementation of HNSW."""

    def __init__(self, threads: int) -> None:
        import hnswlib

        self.hnswlib, self.threads = hnswlib, threads

    def build(self, vectors: np.ndarray) -> None:
        """Build the graph."""
        n, d = vectors.shape
        self.index = self.hnswlib.Index(space="ip", dim=d)
        self.index.init_index(n, ef_construction=GRAPH["effort"], M=GRAPH["links"])
        self.index.add_items(vectors, num_threads=self.threads)

    def save(self, path: Path) -> None:
        """Write the index."""
        self.index.save_index(str(path))

    def load(self, path: Path, shape: tuple[int, int]) -> None:
        """Read what `save` wrote."""
        self.index = self.hnswlib.Index(space="ip", dim=shape[1])
        self.index.load_index(str(path), max_elements=shape[0])

    def tune(self, ef: int) -> None:
        """Set how many candidates a search keeps."""
        self.index.set_ef(ef)

    def search(self, queries: np.ndarray, k: int) -> np.ndarray:
        """Return ids of shape (q, k)."""
        ids, _ = self.index.knn_query(queries, k, num_threads=self.threads)
        return ids.astype(np.int64)


class UsearchEngine:
    """usearch, HNSW with vectors in several number formats."""

    def __init__(self, threads: int, *, dtype: str) -> None:
        import usearch.index

        self.usearch, self.threads, self.dtype = usearch.index, threads, dtype

    def _empty(self, d: int) -> Any:
        return self.usearch.Index(
            ndim=d,
            metric="ip",
            dtype=self.dtype,
            connectivity=GRAPH["links"],
            expansion_add=GRAPH["effort"],
        )

    def build(self, vectors: np.ndarray) -> None:
        """Build the graph."""
        self.index = self._empty(vectors.shape[1])
        keys = np.arange(len(vectors), dtype=np.uint64)
        self.index.add(keys, vectors, threads=self.threads)

    def save(self, path: Path) -> None:
        """Write the index."""
        self.index.save(str(path))

    def load(self, path: Path, shape: tuple[int, int]) -> None:
        """Read what `save` wrote."""
        self.index = self._empty(shape[1])
        self.index.load(str(path))

    def tune(self, expansion: int) -> None:
        """Set how many candidates a search keeps."""
        self.index.expansion_search = expansion

    def search(self, queries: np.ndarray, k: int) -> np.ndarray:
        """Return ids of shape (q, k)."""
        found = self.index.search(queries, k, threads=self.threads)
        return np.atleast_2d(found.keys).astype(np.int64)


class VoyagerEngine:
    """voyager, Spotify's HNSW."""

    def __init__(self, threads: int) -> None:
        import voyager

        self.voyager, self.threads, self.effort = voyager, threads, -1

    def build(self, vectors: np.ndarray) -> None:
        """Build the graph."""
        n, d = vectors.shape
        cosine = self.voyager.Space.Cosine  # of unit vectors: the inner product
        self.index = self.voyager.Index(
            cosine, d, M=GRAPH["links"], ef_construction=GRAPH["effort"], max_elements=n
        )
        self.index.add_items(vectors, np.arange(n), num_threads=self.threads)

    def save(self, path: Path) -> None:
        """Write the index."""
        self.index.save(str(path))

    def load(self, path: Path, shape: tuple[int, int]) -> None:
        """Read what `save` wrote."""
        self.index = self.voyager.Index.load(str(path))

    def tune(self, query_ef: int) -> None:
        """Set how many candidates a search keeps."""
        self.effort = query_ef

    def search(self, queries: np.ndarray, k: int) -> np.ndarray:
        """Return ids of shape (q, k)."""
        ids, _ = self.index.query(
            queries, k, num_threads=self.threads, query_ef=self.effort
        )
        return ids.astype(np.int64)


class SklearnEngine:
    """scikit-learn's brute force: exact; its threads follow OMP_NUM_THREADS."""

    def __init__(self, threads: int) -> None:
        from sklearn.neighbors import NearestNeighbors

        self.model = NearestNeighbors(algorithm="brute")

    def build(self, vectors: np.ndarray) -> None:
        """Keep the vectors."""
        self.vectors = vectors
        self.model.fit(vectors)

    def save(self, path: Path) -> None:
        """Write the vectors: there is nothing else."""
        with open(path, "wb") as file:
            np.save(file, self.vectors)

    def load(self, path: Path, shape: tuple[int, int]) -> None:
        """Read what `save` wrote."""
        with open(path, "rb") as file:
            self.build(np.load(file))

    def tune(self) -> None:
        """Nothing can be tuned."""

    def search(self, queries: np.ndarray, k: int) -> np.ndarray:
        """Return ids of shape (q, k)."""
        return self.model.kneighbors(queries, k, return_distance=False)


ENGINES = {
    "faiss": FaissEngine,
    "hnswlib": HnswlibEngine,
    "usearch": UsearchEngine,
    "voyager": VoyagerEngine,
    "sklearn": SklearnEngine,
}
PACKAGES = {  # what pip calls them, and where they are listed
    "faiss": ("faiss-cpu", "requirements.txt"),
    "hnswlib": ("hnswlib", "tools/benchmark/requirements.txt"),
    "usearch": ("usearch", "tools/benchmark/requirements.txt"),
    "voyager": ("voyager", "tools/benchmark/requirements.txt"),
    "sklearn": ("scikit-learn", "requirements-dev.txt"),
    "numpy": ("numpy", "requirements.txt"),
}


@dataclass(frozen=True)
class Contender:
    """One line of the tables.

    `grid` maps a search parameter to the values that are tried, cheapest first.
    """

    name: str
    library: str
    about: str
    options: dict[str, Any] = field(default_factory=dict)
    grid: dict[str, list[int]] = field(default_factory=dict)

    @property
    def file(self) -> str:
        """The name of the index's file."""
        return "".join(c if c.isalnum() else "-" for c in self.name) + ".index"

    @property
    def is_peer(self) -> bool:
        """Whether this is what people might use instead of FAISS."""
        return self.library != "faiss"

    def engine(self, threads: int) -> Any:
        """Import the library and make an engine that uses so many threads."""
        return ENGINES[self.library](threads, **self.options)

    def settings(self, n: int) -> list[dict[str, int]]:
        """Return all combinations of the grid that make sense for n vectors."""
        grid = dict(self.grid)
        if "nprobe" in grid:
            grid["nprobe"] = [p for p in grid["nprobe"] if p <= cells_for(n)]
        return [
            dict(zip(grid, values, strict=True))
            for values in itertools.product(*grid.values())
        ]


def cells_for(n: int) -> int:
    """Choose nlist: a power of two near 2√n that leaves enough to train each cell.

    Examples
    --------
    >>> cells_for(1000), cells_for(100_000), cells_for(1_000_000)
    (16, 512, 2048)
    """
    cells = min(2 * math.sqrt(n), n / POINTS_PER_CELL)
    return 2 ** max(1, round(math.log2(cells) - 0.25))


def _faiss(code: str, about: str, **grid: list[int]) -> Contender:
    name = "FAISS " + code.replace("{cells}", "")
    return Contender(name, "faiss", about, {"factory": code}, grid)


FLAT = _faiss("Flat", "exact; compares with every vector")
BASELINE, CELLS = FLAT.name, "FAISS IVF,Flat"
EVERYONE = [
    FLAT,
    _faiss("IVF{cells},Flat", "cells; whole vectors", nprobe=PROBES),
    _faiss("IVF{cells},SQ8", "cells; a byte a number", nprobe=PROBES),
    _faiss(
        "PCA256,IVF{cells},PQ128x4fs,Refine(SQ8)",
        "cells; 64-byte codes by fast-scan, the best compared again, a byte a number",
        nprobe=PROBES[1::2],
        k_factor_rf=FACTORS,
    ),
    _faiss(
        "PCA256,IVF{cells},PQ128x4fs,Refine(SQ6)",
        "the same, compared again with six bits a number",
        nprobe=PROBES[1::2],
        k_factor_rf=FACTORS,
    ),
    _faiss("IVF{cells},PQ64np", "cells; product quantisation alone", nprobe=PROBES),
    _faiss("HNSW16", "graph; whole vectors", efSearch=EFFORTS),
    _faiss("HNSW16_SQ8", "graph; a byte a number", efSearch=EFFORTS),
    _faiss("HNSW16_SQ6", "graph; six bits a number", efSearch=EFFORTS),
    _faiss(
        "PCA512,IVF{cells},SQ8",
        "cells; 512 principal components, a byte each",
        nprobe=PROBES,
    ),
    _faiss(
        "PCA512,HNSW16_SQ8",
        "graph; 512 principal components, a byte each",
        efSearch=EFFORTS,
    ),
    _faiss(
        "PCA768,HNSW16_SQ8",
        "graph; 768 principal components, a byte each",
        efSearch=EFFORTS,
    ),
    Contender("hnswlib", "hnswlib", "graph; whole vectors", {}, {"ef": EFFORTS}),
    Contender(
        "usearch f32",
        "usearch",
        "graph; whole vectors",
        {"dtype": "f32"},
        {"expansion": EFFORTS},
    ),
    Contender(
        "usearch bf16",
        "usearch",
        "graph; two bytes a number",
        {"dtype": "bf16"},
        {"expansion": EFFORTS},
    ),
    Contender("voyager", "voyager", "graph; whole vectors", {}, {"query_ef": EFFORTS}),
    Contender("scikit-learn brute", "sklearn", "exact; compares with every vector"),
]


def missing(library: str) -> str:
    """Say how to install a library that is not there; "" if it is."""
    if importlib.util.find_spec(library):
        return ""
    package, file = PACKAGES[library]
    return f"{package} is not installed: pip install -r {file}"


def versions(libraries: Iterable[str]) -> dict[str, str]:
    """Return the versions of those that are installed, by the name pip knows."""
    packages = [PACKAGES[name][0] for name in libraries if not missing(name)]
    return {name: importlib.metadata.version(name) for name in packages}
