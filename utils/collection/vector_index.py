"""An index that changes and keeps its ids."""

import copy
import math
import threading
import warnings
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from utils.collection.faiss_parts import (
    State,
    as_ids,
    check_facts,
    check_family,
    copy_index,
    imbalance_of,
    is_trained_kind,
    ivf_of,
    known_ids,
    layers_of,
    make_selector,
    new_index,
    points_needed,
    restored_state,
)
from utils.errors import check_k
from utils.indexes import (
    METRICS,
    POINTS_PER_CELL,
    check_dimension,
    check_vectors,
    faiss,
    parse_index,
)

MAX_IMBALANCE_GROWTH = 1.5  # since training; see VectorIndex.needs_retraining
MAX_GROWTH = 2.0


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
        ivf = ivf_of(self._state.index)
        return 0 if ivf is None else min(self._nprobe, ivf.nlist)

    @nprobe.setter
    def nprobe(self, value: int) -> None:
        """Look into this many cells from now on."""
        ivf = ivf_of(self._state.index)
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
        ivf = ivf_of(self._state.index)
        cells = range(0 if ivf is None else ivf.nlist)
        return np.array([ivf.invlists.list_size(i) for i in cells], dtype=np.int64)

    @property
    def keeps_vectors(self) -> bool:
        """Whether the index can give back its vectors exactly (Flat, IVF-Flat, HNSW).

        The others keep codes; `retrain` must then be given the vectors.
        """
        chain = layers_of(self._state.index)
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
            gone = known_ids(ids, old.ids)
            index, dead = copy_index(old), old.dead
            if isinstance(layers_of(index)[-1], faiss.IndexHNSW):
                dead = np.union1d(dead, gone)
            elif len(gone):
                index.remove_ids(gone)
            new = old.next_id + np.arange(len(vectors))
            if len(new):
                index.add_with_ids(vectors, new)
            kept = np.concatenate([np.setdiff1d(old.ids, gone), new])
            self._swap(State(index, kept, dead, old.next_id + len(new)))
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
        wanted = None if among is None else known_ids(among, state.ids)
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
        wanted = as_ids(ids)
        known_ids(wanted, self._state.ids)
        return self._reconstruct(self._state, wanted)

    def age(self) -> Age:
        """Return how the index has changed since it was trained."""
        state = self._state
        return Age(
            self._trained_on,
            len(state.ids),
            imbalance_of(state.index),
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
                index = copy_index(state)
                index.reset()
                index.add_with_ids(self._reconstruct(state, state.ids), state.ids)
                self._swap(State(index, state.ids, state.dead[:0], state.next_id))
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
        check_facts(facts, name)
        self = cls.__new__(cls)
        self._lock = threading.RLock()
        self.factory, self.metric = facts["factory"], facts["metric"]
        self.fallback, self._needed = facts["fallback"], facts["needed"]
        self.points_per_cell = facts["points_per_cell"]
        self._trained_on, self._nprobe = facts["trained_on"], max(1, facts["nprobe"])
        self._imbalance_at_training = facts["imbalance_at_training"]
        self._state = restored_state(index, facts, name)._replace(mapped=mapped)
        self._is_trained_kind = is_trained_kind(index)
        return self

    # --- Inside ------------------------------------------------------------------

    def _check(self, vectors: np.ndarray, name: str) -> np.ndarray:
        vectors = check_vectors(vectors, name)
        check_dimension(vectors, self.d, name)
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
        index = new_index(vectors.shape[1], self.factory, self.metric)
        check_family(index, self.factory)
        needed = points_needed(index, self.points_per_cell)
        fallback = ""
        if len(vectors) < needed:
            fallback = (
                f"{self.factory} needs {needed:,} vectors to train; there are "
                f"{len(vectors):,}. A Flat index is used instead, which is exact; "
                "call retrain() when needs_retraining() says so."
            )
            index = new_index(vectors.shape[1], "Flat", self.metric)
            warnings.warn(fallback, RuntimeWarning, stacklevel=4)
        trained_kind = is_trained_kind(index)
        if not index.is_trained:
            index.train(vectors)
        if len(vectors):
            index.add_with_ids(vectors, ids)
        self._swap(State(index, ids, ids[:0], next_id))
        self.fallback, self._needed = fallback, needed
        self._trained_on, self._is_trained_kind = len(vectors), trained_kind
        self._imbalance_at_training = imbalance_of(index)
        ivf = ivf_of(index)
        self._nprobe = 1 if ivf is None else math.ceil(math.sqrt(ivf.nlist))

    def _swap(self, state: State) -> None:
        if state.index.ntotal != len(state.ids) + len(state.dead):
            raise RuntimeError(
                f"FAISS holds {state.index.ntotal} vectors. Expected: "
                f"{len(state.ids)} and {len(state.dead)} tombstones. Nothing was "
                "changed; please report this."
            )
        self._state = state

    def _search(
        self,
        state: State,
        queries: np.ndarray,
        k: int,
        wanted: np.ndarray | None,
        *,
        thorough: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Search with FAISS, which fills up with id −1 where it finds too few."""
        params, selector = None, make_selector(wanted, state.dead)
        # `sel=None` would be another type to SWIG than no `sel` at all
        masked = {} if selector is None else {"sel": selector}
        ivf, inner = ivf_of(state.index), layers_of(state.index)[-1]
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
        self, state: State, queries: np.ndarray, k: int, wanted: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        return self._search(state, queries, k, wanted, thorough=True)

    def _search_exactly(
        self, state: State, queries: np.ndarray, k: int, wanted: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        ids = state.ids if wanted is None else wanted
        vectors = self._reconstruct(state, ids)
        metric = METRICS[self.metric]
        similarities, rows = faiss.knn(queries, vectors, k, metric=metric)
        return similarities, ids[rows]

    def _reconstruct(self, state: State, ids: np.ndarray) -> np.ndarray:
        if len(ids) == 0:
            return np.empty((0, state.index.d), dtype=np.float32)
        ivf = ivf_of(state.index)
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
