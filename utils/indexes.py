"""Build, search, change, save and load FAISS indexes.

The one module that imports faiss.  It knows arrays and ids, no paths of pictures:
`utils.search` keeps what an id means.  The functions work on FAISS's own indexes;
`VectorIndex` is an index that changes and keeps its ids.
"""

import copy
import hashlib
import io
import itertools
import math
import operator
import os
import threading
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

# Idle threads of OpenMP are to sleep: by default they spin for a while, which takes a
# core from the network that embeds the next batch.  It counts if nothing has loaded
# FAISS before.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import faiss
import numpy as np

from utils.errors import IndexFileError

METRICS = {
    "inner_product": faiss.METRIC_INNER_PRODUCT,
    "l2": faiss.METRIC_L2,
}
POINTS_PER_CELL = 39  # FAISS's own minimum for training a cell without a warning
MAX_IMBALANCE_GROWTH = 1.5  # since training; see VectorIndex.needs_retraining
MAX_GROWTH = 2.0
UNTRAINED_CODES = (  # of scalar quantisers: these only round each number
    faiss.ScalarQuantizer.QT_fp16,
    faiss.ScalarQuantizer.QT_bf16,
    faiss.ScalarQuantizer.QT_8bit_direct,
    faiss.ScalarQuantizer.QT_8bit_direct_signed,
)
LAST_ID = 1 << 62  # room for as many more as anybody can add
LARGEST = 1e15  # squares and sums of larger numbers leave float32's range
SMALLEST_LIMIT, TABLES_A_FILE = 64_000_000, 8  # bytes; times the file's size
_limit_lock = threading.Lock()  # the byte limit below belongs to the whole process


def set_threads(n: int) -> int:
    """Set with how many threads FAISS works when this thread calls it.

    It counts for training, adding and searching; other Python threads keep theirs.

    FAISS shares the queries of one call among its threads, so a second thread helps a
    batch and hardly a single query.  With one thread, training and HNSW graphs come
    out the same every time.

    Parameters
    ----------
    n : int
        From 1; more than the machine has cores only makes them wait for each other.

    Returns
    -------
    before : int
        The number until now, to go back to.

    Raises
    ------
    ValueError
        If n is no whole number, or below 1: FAISS takes 0 without a word.
    """
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise ValueError(
            f"expected a whole number of threads, from 1. Received: {n!r}."
        )
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(int(n))
    return before


def build_index(
    embeddings: np.ndarray,
    factory: str = "Flat",
    *,
    metric: str = "inner_product",
) -> faiss.Index:
    """Build a FAISS index, train it if it must be trained, and add the vectors.

    Parameters
    ----------
    embeddings : float32 array of shape (n, d)
        Unit vectors, if the inner product is to be a cosine.  Vector i gets id i.
    factory : str
        A string of FAISS's index factory: ``"Flat"`` is exact.
    metric : {"inner_product", "l2"}
        What `search` returns: a similarity (larger is nearer) or a squared
        Euclidean distance (smaller is nearer).

    Returns
    -------
    index : faiss.Index
        Holds n vectors of dimension d.

    Raises
    ------
    ValueError
        If the array is no (n, d) float32, holds NaN or infinity, or if FAISS does
        not know the factory string or the metric.

    References
    ----------
    https://github.com/facebookresearch/faiss/wiki/The-index-factory

    Examples
    --------
    >>> index = build_index(np.eye(4, dtype="float32"))
    >>> index.ntotal, index.d
    (4, 4)
    """
    embeddings = check_vectors(embeddings, "embeddings")
    index = _from_factory(embeddings.shape[1], factory, metric)
    if not index.is_trained:
        index.train(embeddings)
    index.add(embeddings)
    return index


def search_index(
    index: faiss.Index, queries: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Find the k nearest vectors of each query.

    Parameters
    ----------
    index : faiss.Index
    queries : float32 array of shape (q, d)
    k : int
        How many to find; more than the index holds is cut to that.

    Returns
    -------
    similarities : float32 array of shape (q, k)
        Best first; squared distances where the index was built with ``"l2"``.
    ids : int64 array of shape (q, k)
        −1 where an approximate index found fewer than k.

    Raises
    ------
    ValueError
        If k is below 1, or the queries do not have the index's dimension or are
        not finite.

    Examples
    --------
    >>> index = build_index(np.eye(3, dtype="float32"))
    >>> search_index(index, np.eye(3, dtype="float32")[1:2], 1)[1]
    array([[1]])
    """
    queries = check_vectors(queries, "queries")
    _check_dimension(queries, index.d, "queries")
    return index.search(queries, max(1, min(check_k(k), index.ntotal)))


def check_vectors(vectors: np.ndarray, name: str) -> np.ndarray:
    """Return the vectors as FAISS needs them, or say what is wrong.

    Parameters
    ----------
    vectors : float32 array of shape (n, d)
    name : str
        What the message calls them.

    Returns
    -------
    vectors : float32 array of shape (n, d)
        C-contiguous.

    Raises
    ------
    ValueError
        If the shape or dtype is another, or a value is NaN or infinite: FAISS takes
        such vectors without a word and never finds them again.
    """
    vectors = np.asarray(vectors)
    if vectors.ndim != 2 or vectors.shape[1] == 0:
        raise ValueError(
            f"{name} must have shape (n, d). Received: {vectors.shape}. "
            f"For one vector, add a batch axis: {name}[None]."
        )
    if vectors.dtype != np.float32:
        raise ValueError(
            f"{name} must be float32. Received: {vectors.dtype}. "
            f"Convert: {name}.astype('float32')."
        )
    if not np.isfinite(vectors).all():
        row = int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])
        raise ValueError(f"{name} must be finite. Row {row} holds NaN or infinity.")
    if vectors.size and np.abs(vectors).max() > LARGEST:
        row = int(np.argmax(np.abs(vectors).max(axis=1)))
        raise ValueError(
            f"{name} must be within ±{LARGEST:g}, or distances overflow. Row {row} is "
            "not. Normalise them."
        )
    return np.ascontiguousarray(vectors)


def check_k(k: int) -> int:
    """Return k as the int that FAISS needs; NumPy's integers are welcome.

    Raises
    ------
    ValueError
        If k is no whole number, or below 1.
    """
    try:
        number = operator.index(k)
    except TypeError:
        raise ValueError(f"k must be a whole number. Received: {k!r}.") from None
    if number < 1:
        raise ValueError(f"k must be at least 1. Received: {k}.")
    return number


def _check_dimension(vectors: np.ndarray, d: int, name: str) -> None:
    # FAISS raises an AssertionError without words, and none at all under python -O.
    if vectors.shape[1] != d:
        raise ValueError(
            f"{name} must have the index's dimension, {d}. "
            f"Received: {vectors.shape[1]}. Embed them with the same weights as the "
            "collection."
        )


def save_index(index: faiss.Index, path: str | os.PathLike) -> str:
    """Write an index so that a crash leaves the old file or the new one.

    Parameters
    ----------
    index : faiss.Index
    path : path
        Where to write; the folder must exist.

    Returns
    -------
    sha256 : str
        Of the file's bytes, for `load_index` to check.

    Raises
    ------
    OSError
        If the disk is full or not writable (`faiss.write_index` can miss that).
    """
    path = Path(path)
    content = faiss.serialize_index(index).tobytes()
    temporary = path.with_name(path.name + ".part")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return hashlib.sha256(content).hexdigest()


def load_index(
    path: str | os.PathLike, *, sha256: str | None = None, mmap: bool = False
) -> faiss.Index:
    """Read an index file.

    Parameters
    ----------
    path : path
    sha256 : str, optional
        What `save_index` returned.  FAISS itself accepts most damaged files.
    mmap : bool
        Leave the vectors in the file: the system reads what a search touches, and
        processes that map the same file share that memory.  Such an index can be
        searched only (FAISS ends the process if one adds to it), and the file must
        never be written again in place; `save_index` replaces it, which is safe (on
        Windows it has to wait until the index is gone).

    Returns
    -------
    index : faiss.Index

    Raises
    ------
    IndexFileError
        If the file is missing, damaged or no FAISS index.
    """
    path = Path(path)
    try:
        content = None if mmap else path.read_bytes()
        with io.BytesIO(content) if content is not None else open(path, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest() if sha256 else None
            size = file.seek(0, os.SEEK_END)
    except OSError as error:
        raise IndexFileError(
            f"{path}: cannot be read ({error.strerror}). Build the index again and "
            "save it."
        ) from error
    if found != sha256:
        raise IndexFileError(
            f"{path}: the file is damaged or belongs to another save (its sha256 "
            "differs from the one recorded). Build the index again and save it."
        )
    if content is not None:
        return parse_index(content, str(path))
    name, flag = os.fsdecode(path), faiss.IO_FLAG_MMAP_IFC
    return _read_bounded(lambda: faiss.read_index(name, flag), size, str(path))


def parse_index(content: bytes, name: str) -> faiss.Index:
    """Make an index of a file's bytes, in memory bounded by their number.

    Parameters
    ----------
    content : bytes
    name : str
        The file's, for errors.

    Returns
    -------
    index : faiss.Index

    Raises
    ------
    IndexFileError
        If FAISS cannot read it.
    """
    data = np.frombuffer(content, dtype=np.uint8)
    return _read_bounded(lambda: faiss.deserialize_index(data), len(content), name)


def _read_bounded(read: Callable[[], faiss.Index], size: int, name: str) -> faiss.Index:
    """Let FAISS read a file of `size` bytes, in memory bounded by that."""
    with _limit_lock:
        # A small file can claim gigabytes.  IVF-PQ makes tables that its file does not
        # hold, so a vector may be larger than the file, but only by a factor; and
        # nothing (such as an IVF's cells) may be there more often than it has bytes.
        before = faiss.get_deserialization_vector_byte_limit()
        loops = faiss.get_deserialization_loop_limit()
        limit = max(SMALLEST_LIMIT, TABLES_A_FILE * size)
        faiss.set_deserialization_vector_byte_limit(limit)
        faiss.set_deserialization_loop_limit(max(1, size))  # 0 is no limit
        try:
            return read()
        except Exception as error:
            raise IndexFileError(
                f"{name}: expected a FAISS index, received {size} "
                "bytes that FAISS cannot read. Build the index again and save it."
            ) from error
        finally:
            faiss.set_deserialization_vector_byte_limit(before)
            faiss.set_deserialization_loop_limit(loops)


class Age(NamedTuple):
    """How far an index has come from the vectors that it was trained on.

    `imbalance` is FAISS's factor: 1 when all cells of an IVF hold equally many
    vectors, nlist when one cell holds them all (1 for an index without cells).
    """

    trained_on: int
    size: int
    imbalance: float
    imbalance_at_training: float
    tombstones: int


class _State(NamedTuple):
    """All that an add or a remove changes; replaced whole, never changed."""

    index: faiss.Index
    ids: np.ndarray  # of the living vectors, ascending
    dead: np.ndarray  # still in the index, but never found
    next_id: int
    mapped: bool = False  # its vectors are in a file: for searching only


class VectorIndex:
    """An index whose ids are for ever, whatever FAISS does with its own.

    Ids are int64, count upwards from 0 and are never reused or shifted.  Works alike
    on Flat, SQ, PQ, IVF with any code, and HNSW, each with or without PCA or OPQ in
    front.  HNSW cannot remove: there a removed vector stays behind as a tombstone
    that no search returns, until `compact`.

    An IVF with fewer than `points_per_cell` training vectors a cell would be a bad
    one; a Flat index takes its place, a warning says so, and `needs_retraining` says
    when there are enough.

    Every change is made to a copy, which then takes the old one's place in one step:
    a change that fails changes nothing, and searches from other threads see the old
    index or the new one.  So add many vectors at once rather than one by one.

    Parameters
    ----------
    vectors : float32 array of shape (n, d)
        They train the index and are its first content, with ids 0 to n − 1.
    factory : str
        FAISS index factory string.
    metric : {"inner_product", "l2"}
    points_per_cell : int
        Training vectors that an IVF needs for each cell.  FAISS's own minimum, 39,
        is the default.

    Attributes
    ----------
    factory, metric : str
        What was asked for.
    fallback : str
        Why a Flat index is in use instead; "" if none is.

    Raises
    ------
    ValueError
        If a vector is NaN, infinite or (for the inner product) zero, or the factory
        or metric is none that is known.

    Examples
    --------
    >>> index = VectorIndex(np.eye(3, dtype="float32"))
    >>> index.remove([1])
    >>> index.add(np.eye(3, dtype="float32")[1:2])
    array([3])
    >>> index.ids
    array([0, 2, 3])
    """

    def __init__(
        self,
        vectors: np.ndarray,
        factory: str = "Flat",
        *,
        metric: str = "inner_product",
        points_per_cell: int = POINTS_PER_CELL,
    ) -> None:
        self.factory, self.metric = factory, metric
        self.points_per_cell = points_per_cell
        self.fallback = ""
        self._lock = threading.RLock()
        vectors = check_vectors(vectors, "vectors")
        self._check_directions(vectors, "vectors")
        self._build(vectors, np.arange(len(vectors)), len(vectors))

    def __len__(self) -> int:
        return len(self._state.ids)

    def __repr__(self) -> str:
        kind = f"Flat instead of {self.factory}" if self.fallback else self.factory
        return f"VectorIndex: {len(self)} vectors of dimension {self.d}, {kind}"

    @property
    def d(self) -> int:
        """The dimension of the vectors."""
        return self._state.index.d

    @property
    def ids(self) -> np.ndarray:
        """The ids that can be found, ascending: an int64 array of shape (n,)."""
        return self._state.ids.copy()

    @property
    def nprobe(self) -> int:
        """How many cells of an IVF a search looks into; 0 where there are none.

        The default is the square root of their number.
        """
        ivf = _ivf(self._state.index)
        return 0 if ivf is None else min(self._nprobe, ivf.nlist)

    @nprobe.setter
    def nprobe(self, value: int) -> None:
        """Look into this many cells from now on."""
        ivf = _ivf(self._state.index)
        if ivf is None or not 1 <= value <= ivf.nlist:
            cells = 0 if ivf is None else ivf.nlist
            raise ValueError(
                f"nprobe must be from 1 to the number of cells, {cells}. "
                f"Received: {value}."
            )
        self._nprobe = int(value)

    @property
    def cell_sizes(self) -> np.ndarray:
        """How many vectors each cell of an IVF holds: int64 array of shape (nlist,)."""
        ivf = _ivf(self._state.index)
        cells = range(0 if ivf is None else ivf.nlist)
        return np.array([ivf.invlists.list_size(i) for i in cells], dtype=np.int64)

    @property
    def keeps_vectors(self) -> bool:
        """Whether the index can give back its vectors exactly (Flat, IVF-Flat, HNSW).

        The others keep codes; `retrain` must then be given the vectors.
        """
        chain = _chain(self._state.index)
        exact = (faiss.IndexFlat, faiss.IndexIVFFlat, faiss.IndexHNSWFlat)
        transformed = any(isinstance(part, faiss.IndexPreTransform) for part in chain)
        return isinstance(chain[-1], exact) and not transformed

    def copy(self) -> "VectorIndex":
        """Return an index that can be changed apart from this one; costs nothing."""
        return copy.copy(self)  # both share the lock and, until a change, the state

    def add(self, vectors: np.ndarray) -> np.ndarray:
        """Add vectors under new ids.

        Parameters
        ----------
        vectors : float32 array of shape (n, d)

        Returns
        -------
        ids : int64 array of shape (n,)

        Raises
        ------
        ValueError
            If the array is not of that kind, or a row is NaN, infinite or zero.
        """
        return self.replace([], vectors)

    def remove(self, ids: Iterable[int]) -> None:
        """Remove vectors; their ids are never given to another one.

        Raises
        ------
        KeyError
            If an id is not in the index; then nothing is removed.
        """
        self.replace(ids, np.empty((0, self.d), dtype=np.float32))

    def replace(self, ids: Iterable[int], vectors: np.ndarray) -> np.ndarray:
        """Remove some vectors and add others in one step: both happen, or neither.

        Parameters
        ----------
        ids : iterable of int
            The ids to remove.
        vectors : float32 array of shape (n, d)
            The vectors to add; n need not be the number of ids.

        Returns
        -------
        ids : int64 array of shape (n,)
            New ids, never the removed ones.

        Raises
        ------
        KeyError, ValueError
            As in `remove` and `add`; nothing has changed then.
        """
        vectors = self._check(vectors, "vectors")
        with self._lock:
            old = self._state
            gone = _known_ids(ids, old.ids)
            index, dead = _copy_index(old), old.dead
            if isinstance(_chain(index)[-1], faiss.IndexHNSW):
                dead = np.union1d(dead, gone)
            elif len(gone):
                index.remove_ids(gone)
            new = old.next_id + np.arange(len(vectors))
            if len(new):
                index.add_with_ids(vectors, new)
            kept = np.concatenate([np.setdiff1d(old.ids, gone), new])
            self._swap(_State(index, kept, dead, old.next_id + len(new)))
        return new

    def search(
        self, queries: np.ndarray, k: int, *, among: Iterable[int] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the k nearest vectors of each query.

        Where FAISS finds fewer (an IVF whose probed cells hold too few, an HNSW graph
        with gaps) the query is searched again in all cells, and exactly if need be.
        So each query has min(k, n) results, and no id −1.

        Parameters
        ----------
        queries : float32 array of shape (q, d)
        k : int
            More than the index holds is cut to that.
        among : iterable of int, optional
            The only ids that may be found; n is their number then.

        Returns
        -------
        similarities : float32 array of shape (q, min(k, n))
            Best first; squared distances with the metric ``"l2"``.
        ids : int64 array of shape (q, min(k, n))

        Raises
        ------
        ValueError
            If k is no whole number from 1, or the queries are no vectors of this
            dimension, or NaN, infinite or (for the inner product) zero.
        KeyError
            If an id of `among` is not in the index.
        """
        queries, k = self._check(queries, "queries"), check_k(k)
        state = self._state
        wanted = None if among is None else _known_ids(among, state.ids)
        k = min(k, len(state.ids if wanted is None else wanted))
        if k == 0 or len(queries) == 0:
            shape = (len(queries), k)
            return np.empty(shape, np.float32), np.empty(shape, np.int64)
        similarities, ids = self._search(state, queries, k, wanted)
        for way in (self._search_all, self._search_exactly):
            short = (ids < 0).any(axis=1)
            if short.any():
                similarities[short], ids[short] = way(state, queries[short], k, wanted)
        return similarities, ids

    def reconstruct(self, ids: Iterable[int]) -> np.ndarray:
        """Return vectors as the index keeps them: exactly, if it `keeps_vectors`.

        Parameters
        ----------
        ids : iterable of int

        Returns
        -------
        vectors : float32 array of shape (n, d)
            Row i belongs to the i-th id.

        Raises
        ------
        KeyError
            If an id is not in the index.
        """
        wanted = _as_ids(ids)
        _known_ids(wanted, self._state.ids)
        return self._reconstruct(self._state, wanted)

    def age(self) -> Age:
        """Return how the index has changed since it was trained."""
        state = self._state
        return Age(
            self._trained_on,
            len(state.ids),
            _imbalance(state.index),
            self._imbalance_at_training,
            len(state.dead),
        )

    def needs_retraining(self) -> bool:
        """Say whether training again would make a better index.

        FAISS never moves the cells (or codebooks) that it once learned, whatever is
        added.  The rule: the cells are `MAX_IMBALANCE_GROWTH` times as unbalanced as
        after training, which is how vectors of a kind that was not trained on show;
        or there are `MAX_GROWTH` times as many vectors; or a Flat index stands in for
        an IVF for which there now are enough.  An untrained kind (Flat, HNSW) never
        needs it.
        """
        age = self.age()
        if self.fallback:
            return age.size >= self._needed
        if not self._is_trained_kind:
            return False
        limit = MAX_IMBALANCE_GROWTH * age.imbalance_at_training
        return age.imbalance > limit or age.size > MAX_GROWTH * age.trained_on

    def retrain(
        self, vectors: np.ndarray | None = None, *, factory: str | None = None
    ) -> None:
        """Train again on all vectors and fill anew; ids stay, tombstones go.

        `nprobe` stays, too, if the number of cells does.

        Parameters
        ----------
        vectors : float32 array of shape (n, d), optional
            Row i belongs to ``ids[i]``.  Needed where the index keeps only codes
            (`keeps_vectors`): codes of codes would be worse at every turn.
        factory : str, optional
            Another kind of index from now on.

        Raises
        ------
        ValueError
            If vectors are needed and not given, or of another number.
        """
        with self._lock:
            state = self._state
            if vectors is None:
                if not self.keeps_vectors:
                    raise ValueError(
                        f"{self.factory} keeps codes, not vectors: pass the "
                        f"{len(self)} vectors in the order of index.ids. "
                        "(ImageSearch.retrain takes them from the vector cache.)"
                    )
                vectors = self._reconstruct(state, state.ids)
            vectors = self._check(vectors, "vectors")
            if len(vectors) != len(state.ids):
                raise ValueError(
                    f"expected {len(state.ids)} vectors, one for each of index.ids. "
                    f"Received: {len(vectors)}."
                )
            twin, cells = self.copy(), len(self.cell_sizes)
            twin.factory = factory or self.factory
            twin._build(vectors, state.ids, state.next_id)
            if len(twin.cell_sizes) == cells:
                twin._nprobe = self._nprobe
            self.__dict__.update(twin.__dict__)

    def compact(self) -> int:
        """Build the index again without its tombstones, and return how many went.

        Vectors are taken as they are stored and coded as they were: nothing is lost,
        nothing trained.  Only HNSW has tombstones.
        """
        with self._lock:
            state = self._state
            if len(state.dead):
                index = _copy_index(state)
                index.reset()
                index.add_with_ids(self._reconstruct(state, state.ids), state.ids)
                self._swap(_State(index, state.ids, state.dead[:0], state.next_id))
            return len(state.dead)

    # --- Saving ------------------------------------------------------------------

    def snapshot(self) -> tuple[dict[str, Any], Callable[[BinaryIO], None]]:
        """Return what `restore` needs: facts for JSON, and a function that writes.

        Both are of this moment, whatever is added meanwhile.
        """
        state = self._state
        facts = {
            "factory": self.factory,
            "metric": self.metric,
            "d": state.index.d,
            "ntotal": state.index.ntotal,
            "next_id": int(state.next_id),
            "tombstones": state.dead.tolist(),
            "fallback": self.fallback,
            "needed": int(self._needed),
            "points_per_cell": int(self.points_per_cell),
            "nprobe": int(self._nprobe),
            "trained_on": int(self._trained_on),
            "imbalance_at_training": float(self._imbalance_at_training),
            "faiss": faiss.__version__,
        }

        def write(file: BinaryIO) -> None:
            with self._lock:
                faiss.write_index(state.index, faiss.PyCallbackIOWriter(file.write))

        return facts, write

    @classmethod
    def restore(
        cls, content: bytes | faiss.Index, facts: dict[str, Any], name: str
    ) -> "VectorIndex":
        """Make the index again from what `snapshot` gave.

        Parameters
        ----------
        content : bytes or faiss.Index
            What the function wrote, or `load_index` of it with ``mmap=True``: then the
            first change reads the vectors into memory.
        facts : dict
        name : str
            The file's, for errors.

        Raises
        ------
        IndexFileError
            If the content is no such index, or not the one that the facts describe.
        """
        mapped = isinstance(content, faiss.Index)
        index = content if mapped else parse_index(content, name)
        _check_facts(facts, name)
        self = cls.__new__(cls)
        self._lock = threading.RLock()
        self.factory, self.metric = facts["factory"], facts["metric"]
        self.fallback, self._needed = facts["fallback"], facts["needed"]
        self.points_per_cell = facts["points_per_cell"]
        self._trained_on, self._nprobe = facts["trained_on"], max(1, facts["nprobe"])
        self._imbalance_at_training = facts["imbalance_at_training"]
        self._state = _restored_state(index, facts, name)._replace(mapped=mapped)
        self._is_trained_kind = _is_trained_kind(index)
        return self

    # --- Inside ------------------------------------------------------------------

    def _check(self, vectors: np.ndarray, name: str) -> np.ndarray:
        vectors = check_vectors(vectors, name)
        _check_dimension(vectors, self.d, name)
        self._check_directions(vectors, name)
        return vectors

    def _check_directions(self, vectors: np.ndarray, name: str) -> None:
        zero = ~vectors.any(axis=1)
        if self.metric == "inner_product" and zero.any():
            raise ValueError(
                f"{name} must not be zero: a zero vector has no direction, so it is "
                f"similar to nothing. Row {int(np.argmax(zero))} is zero."
            )

    def _build(self, vectors: np.ndarray, ids: np.ndarray, next_id: int) -> None:
        """Train and fill a new index, or a Flat one where there is too little."""
        index = _new_index(vectors.shape[1], self.factory, self.metric)
        _check_family(index, self.factory)
        needed = _points_needed(index, self.points_per_cell)
        fallback = ""
        if len(vectors) < needed:
            fallback = (
                f"{self.factory} needs {needed:,} vectors to train; there are "
                f"{len(vectors):,}. A Flat index is used instead, which is exact; "
                "call retrain() when needs_retraining() says so."
            )
            index = _new_index(vectors.shape[1], "Flat", self.metric)
            warnings.warn(fallback, RuntimeWarning, stacklevel=4)
        trained_kind = _is_trained_kind(index)
        if not index.is_trained:
            index.train(vectors)
        if len(vectors):
            index.add_with_ids(vectors, ids)
        self._swap(_State(index, ids, ids[:0], next_id))
        self.fallback, self._needed = fallback, needed
        self._trained_on, self._is_trained_kind = len(vectors), trained_kind
        self._imbalance_at_training = _imbalance(index)
        ivf = _ivf(index)
        self._nprobe = 1 if ivf is None else math.ceil(math.sqrt(ivf.nlist))

    def _swap(self, state: _State) -> None:
        if state.index.ntotal != len(state.ids) + len(state.dead):
            raise RuntimeError(
                f"FAISS holds {state.index.ntotal} vectors. Expected: "
                f"{len(state.ids)} and {len(state.dead)} tombstones. Nothing was "
                "changed; please report this."
            )
        self._state = state

    def _search(
        self,
        state: _State,
        queries: np.ndarray,
        k: int,
        wanted: np.ndarray | None,
        *,
        thorough: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Search with FAISS, which fills up with id −1 where it finds too few."""
        params, selector = None, _selector(wanted, state.dead)
        # `sel=None` would be another type to SWIG than no `sel` at all
        masked = {} if selector is None else {"sel": selector}
        ivf, inner = _ivf(state.index), _chain(state.index)[-1]
        if ivf is not None:
            nprobe = ivf.nlist if thorough else min(self._nprobe, ivf.nlist)
            params = faiss.SearchParametersIVF(nprobe=nprobe, **masked)
        elif isinstance(inner, faiss.IndexHNSW):
            effort = inner.ntotal if thorough else max(inner.hnsw.efSearch, k)
            effort = min(effort, inner.ntotal)
            params = faiss.SearchParametersHNSW(efSearch=effort, **masked)
        elif masked:
            params = faiss.SearchParameters(**masked)
        if masked and isinstance(inner, faiss.IndexPQ):  # cannot pass any over
            return self._search_exactly(state, queries, k, wanted)
        return state.index.search(queries, k, params=params)

    def _search_all(
        self, state: _State, queries: np.ndarray, k: int, wanted: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        return self._search(state, queries, k, wanted, thorough=True)

    def _search_exactly(
        self, state: _State, queries: np.ndarray, k: int, wanted: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        ids = state.ids if wanted is None else wanted
        vectors = self._reconstruct(state, ids)
        metric = METRICS[self.metric]
        similarities, rows = faiss.knn(queries, vectors, k, metric=metric)
        return similarities, ids[rows]

    def _reconstruct(self, state: _State, ids: np.ndarray) -> np.ndarray:
        if len(ids) == 0:
            return np.empty((0, state.index.d), dtype=np.float32)
        ivf = _ivf(state.index)
        if ivf is None:
            return state.index.reconstruct_batch(ids)
        with self._lock:
            # An IVF finds its vectors by id only through a table, made for a moment:
            # it would not survive a removal.
            ivf.set_direct_map_type(faiss.DirectMap.Hashtable)
            try:
                return state.index.reconstruct_batch(ids)
            finally:
                ivf.set_direct_map_type(faiss.DirectMap.NoMap)


# --- FAISS, looked into ----------------------------------------------------------


def _new_index(d: int, factory: str, metric: str) -> faiss.Index:
    """Make an empty index that takes ids of ours."""
    index = _from_factory(d, factory, metric)
    if _ivf(index) is None:  # an IVF has ids of its own
        index = _from_factory(d, f"IDMap2,{factory}", metric)
    _keep_quiet(index)
    return index


def _from_factory(d: int, factory: str, metric: str) -> faiss.Index:
    if metric not in METRICS:
        raise ValueError(
            f"metric must be one of {list(METRICS)}. Received: {metric!r}."
        )
    try:
        index = faiss.index_factory(d, factory, METRICS[metric])
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"factory must be a FAISS index factory string such as 'Flat' or "
            f"'IVF32,Flat' that fits dimension {d}. Received: {factory!r}."
        ) from error
    if _chain(index)[-1].metric_type != METRICS[metric]:
        raise ValueError(  # HNSW_PQ drops the inner product without a word
            f"metric must be one that FAISS has for {factory}. Received: {metric!r}."
        )
    return index


def _chain(index: faiss.Index) -> list[faiss.Index]:
    """Return the index and those inside it, down to the one that holds the codes.

    The inner ones are alive as long as the index is.
    """
    chain = [faiss.downcast_index(index)]
    while hasattr(chain[-1], "index"):
        chain.append(faiss.downcast_index(chain[-1].index))
    return chain


def _codes(index: faiss.Index) -> faiss.Index:
    """Return the last part of the chain, or what an HNSW keeps its vectors in."""
    inner = _chain(index)[-1]
    return faiss.downcast_index(inner.storage) if hasattr(inner, "storage") else inner


def _ivf(index: faiss.Index) -> Any:
    """Return the IVF in the chain, or None."""
    inner = _chain(index)[-1]
    return inner if isinstance(inner, faiss.IndexIVF) else None


def _selector(wanted: np.ndarray | None, dead: np.ndarray) -> Any:
    """Return what tells FAISS which ids may be found, or None if all may."""
    if wanted is not None:  # the living ones among them
        return faiss.IDSelectorBatch(wanted)
    return faiss.IDSelectorNot(faiss.IDSelectorBatch(dead)) if len(dead) else None


def _check_family(index: faiss.Index, factory: str) -> None:
    *outer, inner = _chain(index)
    good = isinstance(inner, faiss.IndexFlatCodes | faiss.IndexIVF | faiss.IndexHNSW)
    wrappers = (faiss.IndexIDMap2, faiss.IndexPreTransform)
    maps = sum(isinstance(part, faiss.IndexIDMap) for part in outer)
    good = good and getattr(inner, "nlist", 1) > 0
    if not good or maps > 1 or not all(isinstance(part, wrappers) for part in outer):
        raise ValueError(
            "factory must name a Flat, SQ, PQ, IVF or HNSW index, with or without PCA "
            f"or OPQ in front and without IDMap. Received: {factory!r}. Other kinds "
            "can be had from build_index."
        )


def _points_needed(index: faiss.Index, points_per_cell: int) -> int:
    """Count the vectors without which this index cannot, or should not, be trained."""
    inner, codes = _chain(index)[-1], _codes(index)
    needed = [0, codes.pq.ksub if hasattr(codes, "pq") else 0]
    if isinstance(inner, faiss.IndexIVF):
        needed.append(inner.nlist * points_per_cell)
    for part in _chain(index):
        if isinstance(part, faiss.IndexPreTransform) and not part.is_trained:
            first = faiss.downcast_VectorTransform(part.chain.at(0))
            # OPQ learns a product quantiser of 8 bits on the way, whatever follows
            needed += [first.d_out, 256 * isinstance(first, faiss.OPQMatrix)]
    return max(needed)


def _keep_quiet(index: faiss.Index) -> None:
    """Stop FAISS's warnings on few points, which go past Python's own stderr."""
    for part in (_chain(index)[-1], getattr(_codes(index), "pq", None)):
        if hasattr(part, "cp"):
            part.cp.min_points_per_centroid = 1


def _is_trained_kind(index: faiss.Index) -> bool:
    """Whether such an index learns from vectors before it takes any."""
    codes = _codes(index)
    if len(_chain(index)) > 2 or _ivf(index) is not None:
        return True
    if isinstance(codes, faiss.IndexScalarQuantizer):
        return codes.sq.qtype not in UNTRAINED_CODES
    return not isinstance(codes, faiss.IndexFlat)


def _imbalance(index: faiss.Index) -> float:
    ivf = _ivf(index)
    return 1.0 if ivf is None or ivf.ntotal == 0 else ivf.invlists.imbalance_factor()


def _copy_index(state: _State) -> faiss.Index:
    """Return a copy that may be changed."""
    if not state.mapped:  # a clone of a mapped index would still be one
        try:
            return faiss.clone_index(state.index)
        except RuntimeError:  # "clone not supported for this type"
            pass
    return faiss.deserialize_index(faiss.serialize_index(state.index))


def _as_ids(ids: Iterable[int]) -> np.ndarray:
    try:
        return np.array([operator.index(i) for i in ids], dtype=np.int64)
    except (TypeError, OverflowError) as error:
        raise ValueError(f"ids must be whole numbers, one or more. ({error})") from None


def _known_ids(ids: Iterable[int], known: np.ndarray) -> np.ndarray:
    """Return the ids once each, if all are known."""
    wanted = np.unique(_as_ids(ids))
    strangers = wanted[~np.isin(wanted, known)]
    if len(strangers):
        raise KeyError(
            f"{len(strangers)} of {len(wanted)} ids are not in this index of "
            f"{len(known)} vectors: {strangers[:5].tolist()}. Nothing was changed."
        )
    return wanted


def _stored_ids(index: faiss.Index) -> np.ndarray:
    """Return the ids in a FAISS index, ascending."""
    ivf = _ivf(index)
    if ivf is None:
        return np.sort(faiss.vector_to_array(index.id_map))
    lists = ivf.invlists
    sizes = [lists.list_size(i) for i in range(ivf.nlist)]
    parts = [faiss.rev_swig_ptr(lists.get_ids(i), n) for i, n in enumerate(sizes) if n]
    return np.sort(np.concatenate([np.empty(0, np.int64), *parts]))


def _check_facts(facts: dict[str, Any], name: str) -> None:
    kinds = {
        "factory": str,
        "metric": str,
        "fallback": str,
        "d": int,
        "ntotal": int,
        "next_id": int,
        "needed": int,
        "points_per_cell": int,
        "nprobe": int,
        "trained_on": int,
        "imbalance_at_training": float,
        "tombstones": list,
    }
    wrong = [key for key, kind in kinds.items() if type(facts.get(key)) is not kind]
    if wrong or not all(type(i) is int for i in facts["tombstones"]):
        raise IndexFileError(
            f"{name}: expected facts on the index beside it. Missing or of "
            f"another kind: {wrong or ['tombstones']}. Build it again and save it."
        )


def _restored_state(index: faiss.Index, facts: dict[str, Any], name: str) -> _State:
    """Check that the index is the one that the facts describe."""
    metric = {number: word for word, number in METRICS.items()}.get(index.metric_type)
    for what, found, expected in (
        ("dimension", index.d, facts["d"]),
        ("metric", metric, facts["metric"]),
        ("vectors", index.ntotal, facts["ntotal"]),
        ("trained", index.is_trained, True),
    ):
        if found != expected:
            raise IndexFileError(
                f"{name}: expected {what} {expected}. Received {found}. "
                "Build it again and save it."
            )
    try:
        _check_family(index, facts["factory"])
        if _ivf(index) is None and not isinstance(index, faiss.IndexIDMap2):
            raise ValueError("it has no ids")
        stored = _stored_ids(index)
        dead = np.unique(np.array(facts["tombstones"], dtype=np.int64))
        _check_stored_ids(index, stored, dead, facts["next_id"])
    except (ValueError, OverflowError) as error:
        raise IndexFileError(
            f"{name}: expected an index as VectorIndex writes it. Received "
            f"another one: {error}. Build it again and save it."
        ) from error
    return _State(index, np.setdiff1d(stored, dead), dead, facts["next_id"])


def _fits(outer: faiss.Index, inner: faiss.Index) -> bool:
    """Whether vectors can pass from one layer to the next: FAISS does not ask."""
    d = outer.d
    if isinstance(outer, faiss.IndexPreTransform):
        for i in range(outer.chain.size()):
            step = outer.chain.at(i)
            if step.d_in != d or not step.is_trained:
                return False
            d = step.d_out
    return d == inner.d


def _check_stored_ids(
    index: faiss.Index, stored: np.ndarray, dead: np.ndarray, next_id: int
) -> None:
    chain = _chain(index)
    parts = [*chain, _codes(index)]
    if any(part.ntotal != index.ntotal or not part.is_trained for part in parts):
        raise ValueError(
            "its layers are untrained or hold different numbers of vectors"
        )
    for outer, inner in itertools.pairwise(chain):
        if not _fits(outer, inner):
            raise ValueError("its layers have different dimensions")
    if len(stored) != index.ntotal or (np.diff(stored) <= 0).any():
        raise ValueError("an id is missing or there twice")
    first, last = (stored[0], stored[-1]) if len(stored) else (0, -1)
    if not 0 <= first or not last < next_id <= LAST_ID:
        raise ValueError(f"ids from {first} to {last}, the next {next_id}")
    can_mask = isinstance(chain[-1], faiss.IndexHNSW)
    if not np.isin(dead, stored).all() or (len(dead) and not can_mask):
        raise ValueError("tombstones of vectors that are not there")
