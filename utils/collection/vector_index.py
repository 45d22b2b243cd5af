"""An index that changes and keeps its ids.

Everywhere, vectors are float32 arrays of shape (n, d).  ValueError if they have
another shape, type or dimension, or one is NaN, infinite or, for the inner product,
zero.  KeyError if an id is not in the index.
"""

import copy
import dataclasses
import math
import mmap
import threading
import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from utils.collection import faiss_parts as parts
from utils.collection.factory import check_factory
from utils.collection.faiss_parts import State
from utils.collection.index_store import LAST_ID, facts_on, restored_state
from utils.errors import check_k
from utils.indexes import (
    METRICS,
    POINTS_PER_CELL,
    check_dimension,
    check_vectors,
    faiss,
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
    on Flat, SQ and PQ, and on HNSW and IVF with such codes, each with or without PCA
    or OPQ in front; other kinds are refused, and so is fast-scan (``x4fs``), which
    FAISS does not read again as it was.  HNSW cannot remove: there a removed vector
    stays behind as a tombstone that no search returns, until `compact`.

    An IVF with fewer training vectors a cell than `points_per_cell` would be a bad one;
    a Flat index takes its place, a warning says so, and `needs_retraining` says when
    there are enough.

    Every change is made to a copy, which then takes the old one's place in one step:
    a change that fails changes nothing, and searches from other threads see the old
    index or the new one.  So add many vectors at once rather than one by one.

    `vectors` train the index and are its first content, with ids 0 to n − 1; `factory`
    is a FAISS index factory string, `metric` ``"inner_product"`` or ``"l2"``.

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
        vectors = check_vectors(vectors, "vectors")
        check_k(points_per_cell, "points_per_cell")
        ids = np.arange(len(vectors))
        self._begin(_filled(vectors, ids, factory, metric, per_cell=points_per_cell))

    def _begin(self, state: State, nprobe: int | None = None) -> "VectorIndex":
        self._state = state
        self.metric = state.metric  # for ever: `rebuilt` makes another index
        self._nprobe = nprobe  # None: the default
        self._lock = threading.RLock()  # one change at a time
        return self

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
    def factory(self) -> str:
        """The factory string that was asked for."""
        return self._state.factory

    @property
    def fallback(self) -> str:
        """Why a Flat index is in use instead; "" if none is."""
        return self._state.fallback

    @property
    def ids(self) -> np.ndarray:
        """The ids that can be found, ascending: an int64 array of shape (n,)."""
        return self._state.ids.copy()

    @property
    def nprobe(self) -> int:
        """How many cells of an IVF a search looks into: √nlist, unless set; else 0."""
        return self._nprobe_of(self._state)

    @nprobe.setter
    def nprobe(self, value: int) -> None:
        """Look into this many cells from now on."""
        cells = len(self.cell_sizes)
        if check_k(value, "nprobe") > cells:
            raise ValueError(
                f"nprobe must be from 1 to the number of cells, {cells}. "
                f"Received: {value}."
            )
        self._nprobe = int(value)

    def _nprobe_of(self, state: State) -> int:
        ivf = parts.ivf_of(state.index)
        if ivf is None:
            return 0
        return min(self._nprobe or math.ceil(math.sqrt(ivf.nlist)), ivf.nlist)

    @property
    def cell_sizes(self) -> np.ndarray:
        """How many vectors each cell of an IVF holds: int64 array of shape (nlist,)."""
        return np.array(parts.cell_sizes(self._state.index), dtype=np.int64)

    @property
    def keeps_vectors(self) -> bool:
        """Whether the index can give back its vectors exactly (Flat, IVF-Flat, HNSW).

        The others keep codes; `retrain` must then be given the vectors.
        """
        return parts.keeps_vectors(self._state.index)

    def copy(self) -> "VectorIndex":
        """Return an index that can be changed apart from this one; costs nothing."""
        return copy.copy(self)  # both share the lock and, until a change, the state

    # --- Changing ----------------------------------------------------------------

    def add(self, vectors: np.ndarray) -> np.ndarray:
        """Add vectors under new ids, and return those: int64 array of shape (n,)."""
        return self.replace([], vectors)

    def remove(self, ids: Iterable[int]) -> None:
        """Remove vectors for good; either all of them, or on an error none."""
        self.replace(ids, np.empty((0, self.d), dtype=np.float32))

    def replace(
        self,
        ids: Iterable[int],
        vectors: np.ndarray,
        *,
        new_ids: Sequence[int] | None = None,
        next_id: int = 0,
    ) -> np.ndarray:
        """Remove the ids and add the vectors in one step: both happen, or neither.

        Returns the new ids as `add` does: never the removed ones, and as many as there
        are vectors, which need not be as many as are removed.  They may be chosen by
        the caller, who knows that they were never given before (ValueError if one is
        in the index); from then on, none below `next_id` is given.
        """
        vectors = self._check(vectors, "vectors")
        with self._lock:
            old = self._state
            gone = parts.known_ids(ids, old.ids)
            new = _new_ids(old, len(vectors), new_ids)
            index, dead = parts.copy_index(old), old.dead
            if parts.is_graph(index):
                dead = np.union1d(dead, gone)
            elif len(gone):
                index.remove_ids(gone)
            if len(new):
                index.add_with_ids(vectors, new)
            self._state = dataclasses.replace(
                old,
                index=index,
                ids=np.union1d(np.setdiff1d(old.ids, gone), new),
                dead=dead,
                next_id=max(old.next_id, next_id, int(new.max(initial=-1)) + 1),
                mapped=False,
            )
        return new

    def retrain(
        self, vectors: np.ndarray | None = None, *, factory: str | None = None
    ) -> None:
        """Train again on all vectors and fill anew; see `rebuilt`."""
        with self._lock:
            new = self.rebuilt(vectors=vectors, factory=factory)
            self._state, self._nprobe = new._state, new._nprobe

    def rebuilt(
        self,
        *,
        vectors: np.ndarray | None = None,
        factory: str | None = None,
        metric: str | None = None,
    ) -> "VectorIndex":
        """Return a new index over the same vectors, trained on all of them.

        Ids stay, tombstones go.  `nprobe` stays, too, if the number of cells does.
        `vectors`, whose row i belongs to ``ids[i]``, are needed where the index keeps
        only codes (`keeps_vectors`): codes of codes would be worse at every turn.
        """
        old = self._state
        if vectors is None and len(old.ids) and not parts.keeps_vectors(old.index):
            raise ValueError(
                f"{old.factory} keeps codes, not vectors: pass the {len(old.ids)} "
                "vectors in the order of index.ids. (ImageSearch.retrain takes them "
                "from the vector cache.)"
            )
        if vectors is None:
            vectors = self._reconstruct(old, old.ids)
        factory, metric = factory or old.factory, metric or old.metric
        vectors = self._check(vectors, "vectors", metric)
        if len(vectors) != len(old.ids):
            raise ValueError(
                f"expected {len(old.ids)} vectors, one for each of index.ids. "
                f"Received: {len(vectors)}."
            )
        state = _filled(vectors, old.ids, factory, metric, per_cell=old.points_per_cell)
        state = dataclasses.replace(state, next_id=old.next_id)
        new = VectorIndex.__new__(VectorIndex)._begin(state)
        if len(new.cell_sizes) == len(parts.cell_sizes(old.index)):
            new._nprobe = self._nprobe
        return new

    def compact(self) -> int:
        """Build the index again without its tombstones, and return how many went.

        Vectors are taken as they are stored and coded as they were: nothing is lost,
        nothing trained.  Only HNSW has tombstones.
        """
        with self._lock:
            old = self._state
            if len(old.dead):
                index = parts.copy_index(old)
                index.reset()
                index.add_with_ids(self._reconstruct(old, old.ids), old.ids)
                self._state = dataclasses.replace(
                    old, index=index, dead=old.dead[:0], mapped=False
                )
            return len(old.dead)

    # --- Searching ---------------------------------------------------------------

    def search(
        self, queries: np.ndarray, k: int, *, among: Iterable[int] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the k nearest vectors of each query, or all n if there are fewer.

        Where FAISS finds too few (an IVF whose probed cells hold too few, an HNSW graph
        with gaps) the query is searched again in all cells, and exactly if need be.
        With `among`, the only ids that may be found, n is their number.

        Returns similarities (float32), best first, and ids (int64), never −1, both of
        shape (q, min(k, n)).  With the metric ``"l2"`` they are squared distances.
        """
        queries, k = self._check(queries, "queries"), check_k(k)
        state = self._state  # read once: it may be replaced at any moment
        wanted = None if among is None else parts.known_ids(among, state.ids)
        living = state.ids if wanted is None else wanted
        k = min(k, len(living))
        if k == 0 or len(queries) == 0:
            shape = (len(queries), k)
            return np.empty(shape, np.float32), np.empty(shape, np.int64)

        def exactly(queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            vectors, metric = self._reconstruct(state, living), METRICS[self.metric]
            similarities, rows = faiss.knn(queries, vectors, k, metric=metric)
            return similarities, living[rows]

        search = partial(parts.search_faiss, state, k=k, wanted=wanted)
        similarities, ids = search(queries, nprobe=self._nprobe_of(state))
        for way in (partial(search, nprobe=None), exactly):  # all cells; no index
            if (short := (ids < 0).any(axis=1)).any():
                similarities[short], ids[short] = way(queries[short])
        return similarities, ids

    def reconstruct(self, ids: Iterable[int]) -> np.ndarray:
        """Return the vectors of these ids, in order; exactly, if it `keeps_vectors`."""
        state, wanted = self._state, parts.as_ids(ids)
        parts.known_ids(wanted, state.ids)
        return self._reconstruct(state, wanted)

    # --- Ageing ------------------------------------------------------------------

    def age(self) -> Age:
        """Return how the index has changed since it was trained."""
        state = self._state
        return Age(
            state.trained_on,
            len(state.ids),
            parts.imbalance_of(state.index),
            state.imbalance_at_training,
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
        age, state = self.age(), self._state
        if state.fallback:
            return age.size >= state.needed
        if not parts.is_trained_kind(state.index):
            return False
        limit = MAX_IMBALANCE_GROWTH * age.imbalance_at_training
        return age.imbalance > limit or age.size > MAX_GROWTH * age.trained_on

    # --- Saving ------------------------------------------------------------------

    def snapshot(self) -> tuple[dict[str, Any], Callable[[Any], None]]:
        """Return facts for JSON and a function that writes, both of this moment."""
        state = self._state

        def write(file: Any) -> None:
            with self._lock:
                faiss.write_index(state.index, faiss.PyCallbackIOWriter(file.write))

        return {**facts_on(state), "nprobe": self.nprobe}, write

    @classmethod
    def restore(
        cls, content: bytes | mmap.mmap, facts: dict[str, Any], name: str
    ) -> "VectorIndex":
        """Make the index again from what `snapshot` gave.

        The content may also be a `mapped_file`: then the first change reads the vectors
        into memory.  IndexFileError, with the file's `name`, if the content is not the
        index that the facts describe.
        """
        state = restored_state(content, facts, name)
        return cls.__new__(cls)._begin(state, max(1, facts["nprobe"]))

    # --- Inside ------------------------------------------------------------------

    def _check(self, vectors: np.ndarray, name: str, metric: str = "") -> np.ndarray:
        vectors = check_vectors(vectors, name)
        check_dimension(vectors, self.d, name)
        _check_directions(vectors, metric or self.metric, name)
        return vectors

    def _reconstruct(self, state: State, ids: np.ndarray) -> np.ndarray:
        if len(ids) == 0:
            return np.empty((0, state.index.d), dtype=np.float32)
        ivf = parts.ivf_of(state.index)
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


def next_id_of(index: VectorIndex) -> int:
    """Return the id that the next vector would get."""
    return index._state.next_id


def _new_ids(old: State, n: int, chosen: Sequence[int] | None) -> np.ndarray:
    if chosen is None:
        return old.next_id + np.arange(n)
    new = parts.as_ids(chosen)
    taken = np.isin(new, np.concatenate([old.ids, old.dead]))
    inside = (new >= 0) & (new < LAST_ID)
    if len(np.unique(new)) != n or taken.any() or not inside.all():
        raise ValueError(
            f"new_ids must be {n} different ids from 0 to {LAST_ID}, none of them in "
            f"the index. Received: {len(new)}, of which {taken.sum()} are in it."
        )
    return new


def _check_directions(vectors: np.ndarray, metric: str, name: str) -> None:
    zero = ~vectors.any(axis=1)
    if metric == "inner_product" and zero.any():
        raise ValueError(
            f"{name} must not be zero: a zero vector has no direction, so it is "
            f"similar to nothing. Row {int(np.argmax(zero))} is zero."
        )


def _filled(
    vectors: np.ndarray, ids: np.ndarray, factory: str, metric: str, *, per_cell: int
) -> State:
    """Train and fill a new index, or a Flat one where there are too few vectors.

    A cell needs `per_cell` of them.
    """
    _check_directions(vectors, metric, "vectors")
    check_factory(factory, vectors.shape[1])
    index = parts.new_index(vectors.shape[1], factory, metric)
    needed, fallback = parts.points_needed(index, per_cell), ""
    if len(vectors) < needed:
        fallback = (
            f"{factory} needs {needed:,} vectors to train; there are "
            f"{len(vectors):,}. A Flat index is used instead, which is exact; "
            "call retrain() when needs_retraining() says so."
        )
        index = parts.new_index(vectors.shape[1], "Flat", metric)
        warnings.warn(fallback, RuntimeWarning, stacklevel=3)
    if not index.is_trained:
        parts.train(index, vectors)
    if len(vectors):
        index.add_with_ids(vectors, ids)
    return State(
        index=index,
        ids=ids,
        dead=ids[:0],
        next_id=len(ids),
        factory=factory,
        metric=metric,
        points_per_cell=int(per_cell),
        fallback=fallback,
        needed=int(needed),
        trained_on=len(vectors),
        imbalance_at_training=float(parts.imbalance_of(index)),
    )
