"""How each library is spoken to: an engine each.

An engine is made with a number of threads and whether the vectors have length 1 (then
the inner product ranks as the distance does, and costs less).  It has `start`, `add`,
`save`, `load`, `tune` and `search`, and imports its library when it is made, so that a
library which is not installed costs its own contenders only.  An index is a folder.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

RARE = 0.9995  # of all numbers, how many fit into the range of eight bits
LARGEST_E4M3 = 448.0


class Engine:
    """What all engines have in common."""

    streams = True  # whether `add` may be called again and again

    def __init__(self, threads: int, unit: bool) -> None:
        self.threads, self.unit = threads, unit
        self.index: Any = None

    def start(self, sample: ndarray, n: int) -> None:
        """Begin an index of n vectors, of which `sample` is a part to learn from."""
        raise NotImplementedError

    def add(self, block: ndarray) -> None:
        """Add some vectors; their ids count on."""
        raise NotImplementedError

    def save(self, folder: Path) -> None:
        """Write the index into an empty folder."""
        raise NotImplementedError

    def load(self, folder: Path, n: int, d: int) -> None:
        """Read what `save` wrote."""
        raise NotImplementedError

    def tune(self, **settings: int) -> None:
        """Set what the next searches do."""

    def search(self, queries: ndarray, k: int) -> ndarray:
        """Return ids of shape (q, k)."""
        raise NotImplementedError


class FaissEngine(Engine):
    """An index of FAISS by its factory string.

    PCA moves the origin to the mean.  Distances stay as they are, inner products do
    not: so behind PCA the squared distance is used.
    """

    def __init__(self, threads: int, unit: bool, *, factory: str, ef: int = 0) -> None:
        super().__init__(threads, unit)
        import faiss

        self.faiss: Any = faiss  # its stubs lack much of what it has
        self.factory, self.ef = factory, ef
        faiss.omp_set_num_threads(threads)

    def start(self, sample: ndarray, n: int) -> None:
        """Train, if need be."""
        product = self.unit and "PCA" not in self.factory
        metric = self.faiss.METRIC_INNER_PRODUCT if product else self.faiss.METRIC_L2
        self.index = self.faiss.index_factory(sample.shape[1], self.factory, metric)
        if self.ef:
            self.tune(efConstruction=self.ef)
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

    def add(self, block: ndarray) -> None:
        """Add some vectors."""
        self.index.add(block)

    def save(self, folder: Path) -> None:
        """Write one file."""
        self.faiss.write_index(self.index, str(folder / "index.faiss"))

    def load(self, folder: Path, n: int, d: int) -> None:
        """Read it."""
        self.index = self.faiss.read_index(str(folder / "index.faiss"))

    def tune(self, **settings: int) -> None:
        """Set search parameters by FAISS's own names for them."""
        for name, value in settings.items():
            space = self.faiss.ParameterSpace()
            space.set_index_parameter(self.index, name, value)

    def search(self, queries: ndarray, k: int) -> ndarray:
        """Return ids of shape (q, k)."""
        return self.index.search(queries, k)[1]


class HnswlibEngine(Engine):
    """hnswlib, the reference implementation of HNSW; float32 only."""

    def __init__(self, threads: int, unit: bool, *, links: int, ef: int) -> None:
        super().__init__(threads, unit)
        import hnswlib

        self.hnswlib, self.links, self.ef = hnswlib, links, ef

    def _empty(self, d: int) -> Any:
        return self.hnswlib.Index(space="ip" if self.unit else "l2", dim=d)

    def start(self, sample: ndarray, n: int) -> None:
        """Make room for n vectors."""
        self.index = self._empty(sample.shape[1])
        self.index.init_index(n, ef_construction=self.ef, M=self.links)

    def add(self, block: ndarray) -> None:
        """Insert into the graph."""
        self.index.add_items(block, num_threads=self.threads)

    def save(self, folder: Path) -> None:
        """Write one file."""
        self.index.save_index(str(folder / "index"))

    def load(self, folder: Path, n: int, d: int) -> None:
        """Read it."""
        self.index = self._empty(d)
        self.index.load_index(str(folder / "index"), max_elements=n)

    def tune(self, **settings: int) -> None:
        """Set how many candidates a search keeps."""
        self.index.set_ef(settings["ef"])

    def search(self, queries: ndarray, k: int) -> ndarray:
        """Return ids of shape (q, k)."""
        ids, _ = self.index.knn_query(queries, k, num_threads=self.threads)
        return ids.astype(np.int64)


class ScaledEngine(Engine):
    """For libraries that store eight bits in one fixed range: scale numbers into it.

    All numbers are multiplied alike, so that the ranking stays; a few are clipped.
    Unscaled, the numbers of a unit vector would use five of 255 steps.
    """

    largest = 1.0
    scale: float | None = None  # of other number types: nothing is done

    def _learn_scale(self, sample: ndarray) -> None:
        some = sample[:: max(1, len(sample) // 5_000)]
        self.scale = float(self.largest / np.quantile(np.abs(some), RARE))

    def _scaled(self, vectors: ndarray) -> ndarray:
        if self.scale is None:
            return vectors
        return np.clip(vectors * np.float32(self.scale), -self.largest, self.largest)

    def _save_scale(self, folder: Path) -> None:
        np.save(folder / "scale.npy", np.array(self.scale or np.nan))

    def _load_scale(self, folder: Path) -> None:
        scale = float(np.load(folder / "scale.npy"))
        self.scale = None if np.isnan(scale) else scale


class UsearchEngine(ScaledEngine):
    """usearch, HNSW with vectors in several number types.

    Rounded to bytes, vectors have no longer length 1: then distances rank better.
    """

    largest = 127.0

    def __init__(
        self, threads: int, unit: bool, *, links: int, ef: int, dtype: str
    ) -> None:
        super().__init__(threads, unit)
        import usearch.index

        self.usearch, self.links, self.ef, self.dtype = usearch.index, links, ef, dtype

    def _empty(self, d: int) -> Any:
        return self.usearch.Index(
            ndim=d,
            metric="ip" if self.unit and self.dtype != "i8" else "l2sq",
            dtype=self.dtype,
            connectivity=self.links,
            expansion_add=self.ef,
        )

    def _cast(self, vectors: ndarray) -> ndarray:
        if self.scale is None:
            return vectors
        return np.rint(self._scaled(vectors)).astype(np.int8)

    def start(self, sample: ndarray, n: int) -> None:
        """Make an empty graph."""
        if self.dtype == "i8":
            self._learn_scale(sample)
        self.index = self._empty(sample.shape[1])

    def add(self, block: ndarray) -> None:
        """Insert into the graph."""
        keys = np.arange(len(self.index), len(self.index) + len(block), dtype=np.uint64)
        self.index.add(keys, self._cast(block), threads=self.threads)

    def save(self, folder: Path) -> None:
        """Write the index, and the scale."""
        self.index.save(str(folder / "index"))
        self._save_scale(folder)

    def load(self, folder: Path, n: int, d: int) -> None:
        """Read both."""
        self.index = self._empty(d)
        self.index.load(str(folder / "index"))
        self._load_scale(folder)

    def tune(self, **settings: int) -> None:
        """Set how many candidates a search keeps."""
        self.index.expansion_search = settings["ef"]

    def search(self, queries: ndarray, k: int) -> ndarray:
        """Return ids of shape (q, k)."""
        found = self.index.search(self._cast(queries), k, threads=self.threads)
        return np.atleast_2d(found.keys).astype(np.int64)


class VoyagerEngine(ScaledEngine):
    """voyager, Spotify's HNSW; float32, or two kinds of eight bits."""

    def __init__(
        self, threads: int, unit: bool, *, links: int, ef: int, dtype: str
    ) -> None:
        super().__init__(threads, unit)
        import voyager

        self.voyager, self.links, self.ef, self.dtype = voyager, links, ef, dtype
        self.largest = LARGEST_E4M3 if dtype == "E4M3" else 1.0
        self.query_ef = -1

    def start(self, sample: ndarray, n: int) -> None:
        """Make room for n vectors."""
        if self.dtype != "Float32":
            self._learn_scale(sample)
        space = self.voyager.Space  # "Cosine" would undo the scale
        exact = self.unit and self.dtype == "Float32"
        self.index = self.voyager.Index(
            space.Cosine if exact else space.Euclidean,
            sample.shape[1],
            M=self.links,
            ef_construction=self.ef,
            max_elements=n,
            storage_data_type=getattr(self.voyager.StorageDataType, self.dtype),
        )

    def add(self, block: ndarray) -> None:
        """Insert into the graph."""
        ids = np.arange(len(self.index), len(self.index) + len(block))
        self.index.add_items(self._scaled(block), ids, num_threads=self.threads)

    def save(self, folder: Path) -> None:
        """Write the index, and the scale."""
        self.index.save(str(folder / "index"))
        self._save_scale(folder)

    def load(self, folder: Path, n: int, d: int) -> None:
        """Read both."""
        self.index = self.voyager.Index.load(str(folder / "index"))
        self._load_scale(folder)

    def tune(self, **settings: int) -> None:
        """Set how many candidates a search keeps."""
        self.query_ef = settings["ef"]

    def search(self, queries: ndarray, k: int) -> ndarray:
        """Return ids of shape (q, k)."""
        ids, _ = self.index.query(
            self._scaled(queries),
            k,
            num_threads=self.threads,
            query_ef=max(k, self.query_ef),
        )
        return ids.astype(np.int64)


class ScannEngine(Engine):
    """ScaNN: cells, four bits for two numbers, the best compared again by itself."""

    streams = False

    def __init__(
        self, threads: int, unit: bool, *, leaves: int, kept: str = ""
    ) -> None:
        super().__init__(threads, unit)
        sys.modules.setdefault("tensorflow", None)  # type: ignore[arg-type]
        # which it would import, and refuses in any version but its own
        from scann.scann_ops.py import scann_ops_pybind
        from scann.scann_ops.py.scann_builder import ReorderType

        self.scann, self.kinds = scann_ops_pybind, ReorderType
        self.leaves, self.kept = leaves, kept
        self.asked: dict[str, int] = {}

    def start(self, sample: ndarray, n: int) -> None:
        """Wait for the vectors: it is built in one step."""

    def add(self, block: ndarray) -> None:
        """Build the index, as its documentation recommends."""
        n, measure = len(block), "dot_product" if self.unit else "squared_l2"
        spill = {"soar_lambda": 1.5, "overretrieve_factor": 2.0} if self.unit else {}
        threshold = {"anisotropic_quantization_threshold": 0.2} if self.unit else {}
        builder = self.scann.builder(block, 10, measure)
        builder.set_n_training_threads(self.threads)
        builder = builder.tree(
            self.leaves, 1, training_sample_size=min(n, 100_000), **spill
        ).score_ah(2, **threshold)
        if self.kept:
            builder = builder.reorder(100, quantize=getattr(self.kinds, self.kept))
        self.index = builder.build()

    def save(self, folder: Path) -> None:
        """Write its files."""
        self.index.serialize(str(folder), relative_path=True)

    def load(self, folder: Path, n: int, d: int) -> None:
        """Read them."""
        self.index = self.scann.load_searcher(str(folder))
        self.index.set_num_threads(self.threads)

    def tune(self, **settings: int) -> None:
        """Set how many leaves are searched, and candidates compared again."""
        self.asked = {"leaves_to_search": settings["leaves"]}
        if self.kept:
            self.asked["pre_reorder_num_neighbors"] = settings["again"]

    def search(self, queries: ndarray, k: int) -> ndarray:
        """Return ids of shape (q, k); too few are filled up with −1."""
        if len(queries) == 1:
            ids, _ = self.index.search(queries[0], k, **self.asked)
            found = np.asarray(ids, dtype=np.int64)[None]
        else:
            at_once = self.threads == 1
            call = self.index.search_batched
            call = call if at_once else self.index.search_batched_parallel
            ids, distances = call(queries, k, **self.asked)
            found = np.where(np.isnan(distances), -1, np.asarray(ids, dtype=np.int64))
        missing = k - found.shape[1]
        return np.pad(found, ((0, 0), (0, missing)), constant_values=-1)


class SvsEngine(Engine):
    """Scalable Vector Search, Intel's graph; its LVQ needs one of their processors."""

    streams = False

    def __init__(
        self, threads: int, unit: bool, *, degree: int, window: int, dtype: str
    ) -> None:
        super().__init__(threads, unit)
        import svs

        self.svs, self.degree, self.window, self.dtype = svs, degree, window, dtype
        self.distance = svs.DistanceType.MIP if unit else svs.DistanceType.L2

    def start(self, sample: ndarray, n: int) -> None:
        """Wait for the vectors: it is built in one step."""

    def add(self, block: ndarray) -> None:
        """Build the graph."""
        parameters = self.svs.VamanaBuildParameters(
            graph_max_degree=self.degree,
            window_size=self.window,
            alpha=0.95 if self.unit else 1.2,  # as its documentation says
        )
        self.index = self.svs.Vamana.build(
            parameters,
            block.astype(self.dtype),
            self.distance,
            num_threads=self.threads,
        )

    def _parts(self, folder: Path) -> list[str]:
        return [str(folder / part) for part in ("config", "graph", "data")]

    def save(self, folder: Path) -> None:
        """Write its three folders."""
        self.index.save(*self._parts(folder))

    def load(self, folder: Path, n: int, d: int) -> None:
        """Read them."""
        config, graph, data = self._parts(folder)
        kind = getattr(self.svs.DataType, self.dtype)
        self.index = self.svs.Vamana(
            config,
            self.svs.GraphLoader(graph),
            self.svs.VectorDataLoader(data, kind),
            self.distance,
            num_threads=self.threads,
        )

    def tune(self, **settings: int) -> None:
        """Set how many candidates a search keeps."""
        self.index.search_window_size = settings["ef"]

    def search(self, queries: ndarray, k: int) -> ndarray:
        """Return ids of shape (q, k)."""
        return self.index.search(queries, k)[0].astype(np.int64)


class NgtEngine(Engine):
    """NGT, Yahoo Japan's graph; its wheel is compiled for old processors, too."""

    streams = False

    def __init__(
        self, threads: int, unit: bool, *, edges: int, dtype: str = "Float"
    ) -> None:
        super().__init__(threads, unit)
        import ngtpy

        self.ngt, self.edges, self.dtype = ngtpy, edges, dtype

    def start(self, sample: ndarray, n: int) -> None:
        """Wait for the vectors: it is built where it is saved."""

    def add(self, block: ndarray) -> None:
        """Keep them for `save`."""
        self.block = block

    def save(self, folder: Path) -> None:
        """Build the graph in the folder."""
        self.ngt.create(
            str(folder),
            self.block.shape[1],
            edge_size_for_creation=self.edges,
            distance_type="Normalized Cosine" if self.unit else "L2",
            object_type=self.dtype,
        )
        index = self.ngt.Index(str(folder))
        index.batch_insert(self.block, num_threads=self.threads)
        index.save()
        index.close()

    def load(self, folder: Path, n: int, d: int) -> None:
        """Open the folder."""
        self.index = self.ngt.Index(str(folder), read_only=True)

    def tune(self, **settings: int) -> None:
        """Set how far a search looks around: hundredths of its epsilon."""
        self.index.set(epsilon=settings["epsilon"] / 100)

    def search(self, queries: ndarray, k: int) -> ndarray:
        """Return ids of shape (q, k)."""
        if len(queries) == 1:
            ids = self.index.search(queries[0], k, with_distance=False)
            return np.array(ids, dtype=np.int64)[None]
        results = self.ngt.BatchResults()
        self.index.batch_search(queries, results, k)
        return np.asarray(results.get_ids(), dtype=np.int64)


ENGINES: dict[str, Any] = {  # by the name for `import`; each a class
    "faiss": FaissEngine,
    "hnswlib": HnswlibEngine,
    "usearch": UsearchEngine,
    "voyager": VoyagerEngine,
    "scann": ScannEngine,
    "svs": SvsEngine,
    "ngtpy": NgtEngine,
}
