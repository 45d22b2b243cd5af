"""FAISS, looked into: what an index consists of, and what `VectorIndex` asks of it.

An index is a chain of layers: ids (IDMap2), rotations (PCA, OPQ), and last the one that
holds the codes, which for an HNSW is inside its storage.
"""

import operator
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from utils.indexes import faiss, from_factory

UNTRAINED_CODES = (  # scalar quantisers that only round each number
    faiss.ScalarQuantizer.QT_fp16,
    faiss.ScalarQuantizer.QT_bf16,
    faiss.ScalarQuantizer.QT_8bit_direct,
    faiss.ScalarQuantizer.QT_8bit_direct_signed,
)

UNTRAINED_STEPS = (faiss.NormalizationTransform, faiss.RandomRotationMatrix)


@dataclass(frozen=True, kw_only=True)
class State:
    """All that a change of a `VectorIndex` changes; replaced whole, never changed."""

    index: faiss.Index
    ids: np.ndarray  # of the living vectors, ascending
    dead: np.ndarray  # still in the index, but never found
    next_id: int
    mapped: bool = False  # its vectors are in a file: for searching only
    # How the index was made, and what became of it:
    factory: str
    metric: str
    points_per_cell: int
    fallback: str  # why a Flat index is in use instead; "" if none is
    needed: int  # vectors, for training what was asked for
    trained_on: int
    imbalance_at_training: float

    def __post_init__(self) -> None:
        if self.index.ntotal != len(self.ids) + len(self.dead):
            raise RuntimeError(
                f"FAISS holds {self.index.ntotal} vectors. Expected: {len(self.ids)} "
                f"and {len(self.dead)} tombstones. Nothing was changed; please report "
                "this."
            )


def new_index(d: int, factory: str, metric: str) -> faiss.Index:
    """Make an empty index that takes ids of ours."""
    index = from_factory(d, factory, metric)
    if ivf_of(index) is None:  # an IVF has ids of its own
        index = from_factory(d, f"IDMap2,{factory}", metric)
    inner, quantizer = layers_of(index)[-1], getattr(codes_of(index), "pq", None)
    for clustering in (getattr(inner, "cp", None), getattr(quantizer, "cp", None)):
        if clustering is not None:  # its warnings go past Python's own stderr
            clustering.min_points_per_centroid = 1
    return index


def transforms_of(index: faiss.Index) -> list[Any]:
    """Return what vectors go through before they are coded, first things first."""
    chains = [
        p.chain for p in layers_of(index) if isinstance(p, faiss.IndexPreTransform)
    ]
    steps = [chain.at(i) for chain in chains for i in range(chain.size())]
    return [faiss.downcast_VectorTransform(step) for step in steps]


def train(index: faiss.Index, vectors: np.ndarray) -> None:
    """Train an index, without the warnings of OPQ's own product quantiser."""
    steps = [s for s in transforms_of(index) if isinstance(s, faiss.OPQMatrix)]
    quantizers = [faiss.ProductQuantizer(step.d_out, step.M, 8) for step in steps]
    for step, quantizer in zip(steps, quantizers, strict=True):
        quantizer.cp.min_points_per_centroid = 1
        step.pq = quantizer
    index.train(vectors)
    for step in steps:
        step.pq = None


def copy_index(state: State) -> faiss.Index:
    """Return a copy that may be changed."""
    if not state.mapped:  # a clone of a mapped index would still be one
        try:
            return faiss.clone_index(state.index)
        except RuntimeError:  # "clone not supported for this type"
            pass
    return faiss.deserialize_index(faiss.serialize_index(state.index))


def layers_of(index: faiss.Index) -> list[faiss.Index]:
    """Return the index and those inside it; they are alive as long as the index is."""
    chain = [faiss.downcast_index(index)]
    while hasattr(chain[-1], "index"):
        chain.append(faiss.downcast_index(chain[-1].index))
    return chain


def codes_of(index: faiss.Index) -> faiss.Index:
    """Return the last layer, or what an HNSW keeps its vectors in."""
    inner = layers_of(index)[-1]
    return faiss.downcast_index(inner.storage) if hasattr(inner, "storage") else inner


def ivf_of(index: faiss.Index) -> Any:
    """Return the IVF in the chain, or None."""
    inner = layers_of(index)[-1]
    return inner if isinstance(inner, faiss.IndexIVF) else None


def is_graph(index: faiss.Index) -> bool:
    """Whether the index is an HNSW, which cannot remove."""
    return isinstance(layers_of(index)[-1], faiss.IndexHNSW)


def is_trained_kind(index: faiss.Index) -> bool:
    """Whether such an index learns from vectors before it takes any."""
    codes, steps = codes_of(index), transforms_of(index)
    if ivf_of(index) is not None or any(type(s) not in UNTRAINED_STEPS for s in steps):
        return True
    if isinstance(codes, faiss.IndexScalarQuantizer):
        return codes.sq.qtype not in UNTRAINED_CODES
    return not isinstance(codes, faiss.IndexFlat)


def keeps_vectors(index: faiss.Index) -> bool:
    """Whether the index holds vectors and not codes of them."""
    chain = layers_of(index)
    exact = (faiss.IndexFlat, faiss.IndexIVFFlat, faiss.IndexHNSWFlat)
    transformed = any(isinstance(part, faiss.IndexPreTransform) for part in chain)
    return isinstance(chain[-1], exact) and not transformed


def points_needed(index: faiss.Index, points_per_cell: int) -> int:
    """Count the vectors without which this index cannot, or should not, be trained."""
    inner, codes = layers_of(index)[-1], codes_of(index)
    needed = [0, codes.pq.ksub if hasattr(codes, "pq") else 0]
    if isinstance(inner, faiss.IndexIVF):
        needed.append(inner.nlist * points_per_cell)
    for part in layers_of(index):
        if isinstance(part, faiss.IndexPreTransform) and not part.is_trained:
            first = faiss.downcast_VectorTransform(part.chain.at(0))
            # OPQ learns a product quantiser of 8 bits on the way, whatever follows
            needed += [first.d_out, 256 * isinstance(first, faiss.OPQMatrix)]
    return max(needed)


def imbalance_of(index: faiss.Index) -> float:
    """Return FAISS's factor: 1 for equal cells or none, nlist if one holds them all."""
    ivf = ivf_of(index)
    return 1.0 if ivf is None or ivf.ntotal == 0 else ivf.invlists.imbalance_factor()


def cell_sizes(index: faiss.Index) -> list[int]:
    """Return how many vectors each cell of an IVF holds; none without cells."""
    ivf = ivf_of(index)
    return [] if ivf is None else [ivf.invlists.list_size(i) for i in range(ivf.nlist)]


def stored_ids(index: faiss.Index) -> np.ndarray:
    """Return the ids in a FAISS index, ascending."""
    ivf = ivf_of(index)
    if ivf is None:
        return np.sort(faiss.vector_to_array(index.id_map))
    cells = [(i, size) for i, size in enumerate(cell_sizes(index)) if size]
    parts = [faiss.rev_swig_ptr(ivf.invlists.get_ids(i), size) for i, size in cells]
    return np.sort(np.concatenate([np.empty(0, np.int64), *parts]))


def search_faiss(
    state: State, queries: np.ndarray, k: int, *, wanted: Any, nprobe: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Search with FAISS, which pads with id −1 where it finds too few.

    `wanted` are the only ids that may be found, None for all the living; `nprobe` is
    how many cells to look into, None for all (and for a whole graph).
    """
    selector = None
    if wanted is not None:
        selector = faiss.IDSelectorBatch(wanted)
    elif len(state.dead):
        selector = faiss.IDSelectorNot(faiss.IDSelectorBatch(state.dead))
    # `sel=None` would be another type to SWIG than no `sel` at all
    masked = {} if selector is None else {"sel": selector}
    params, inner = None, layers_of(state.index)[-1]
    if isinstance(inner, faiss.IndexIVF):
        cells = inner.nlist if nprobe is None else nprobe
        params = faiss.SearchParametersIVF(nprobe=cells, **masked)
    elif isinstance(inner, faiss.IndexHNSW):
        effort = inner.ntotal if nprobe is None else max(inner.hnsw.efSearch, k)
        effort = min(effort, inner.ntotal)
        params = faiss.SearchParametersHNSW(efSearch=effort, **masked)
    elif masked and isinstance(inner, faiss.IndexPQ):  # it cannot pass any over
        shape = (len(queries), k)
        return np.zeros(shape, np.float32), np.full(shape, -1, np.int64)
    elif masked:
        params = faiss.SearchParameters(**masked)
    return state.index.search(queries, k, params=params)


def as_ids(ids: Iterable[int]) -> np.ndarray:
    """Return whole numbers as an int64 array; ValueError if they are none."""
    try:
        return np.array([operator.index(i) for i in ids], dtype=np.int64)
    except (TypeError, OverflowError) as error:
        raise ValueError(f"ids must be whole numbers, one or more. ({error})") from None


def known_ids(ids: Iterable[int], known: np.ndarray) -> np.ndarray:
    """Return the ids once each; KeyError if one is unknown."""
    wanted = np.unique(as_ids(ids))
    strangers = wanted[~np.isin(wanted, known)]
    if len(strangers):
        raise KeyError(
            f"{len(strangers)} of {len(wanted)} ids are not in this index of "
            f"{len(known)} vectors: {strangers[:5].tolist()}. Nothing was changed."
        )
    return wanted
