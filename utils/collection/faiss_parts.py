"""FAISS, looked into: the layers of an index, and what a saved one must fulfil."""

import itertools
import operator
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from utils.errors import IndexFileError
from utils.indexes import METRICS, faiss, from_factory

UNTRAINED_CODES = (  # of scalar quantisers: these only round each number
    faiss.ScalarQuantizer.QT_fp16,
    faiss.ScalarQuantizer.QT_bf16,
    faiss.ScalarQuantizer.QT_8bit_direct,
    faiss.ScalarQuantizer.QT_8bit_direct_signed,
)
LAST_ID = 1 << 62  # room for as many more as anybody can add


class State(NamedTuple):
    """All that an add or a remove changes; replaced whole, never changed."""

    index: faiss.Index
    ids: np.ndarray  # of the living vectors, ascending
    dead: np.ndarray  # still in the index, but never found
    next_id: int
    mapped: bool = False  # its vectors are in a file: for searching only


def new_index(d: int, factory: str, metric: str) -> faiss.Index:
    """Make an empty index that takes ids of ours."""
    index = from_factory(d, factory, metric)
    if ivf_of(index) is None:  # an IVF has ids of its own
        index = from_factory(d, f"IDMap2,{factory}", metric)
    keep_quiet(index)
    return index


def layers_of(index: faiss.Index) -> list[faiss.Index]:
    """Return the index and those inside it, down to the one that holds the codes.

    The inner ones are alive as long as the index is.
    """
    chain = [faiss.downcast_index(index)]
    while hasattr(chain[-1], "index"):
        chain.append(faiss.downcast_index(chain[-1].index))
    return chain


def codes_of(index: faiss.Index) -> faiss.Index:
    """Return the last part of the chain, or what an HNSW keeps its vectors in."""
    inner = layers_of(index)[-1]
    return faiss.downcast_index(inner.storage) if hasattr(inner, "storage") else inner


def ivf_of(index: faiss.Index) -> Any:
    """Return the IVF in the chain, or None."""
    inner = layers_of(index)[-1]
    return inner if isinstance(inner, faiss.IndexIVF) else None


def make_selector(wanted: np.ndarray | None, dead: np.ndarray) -> Any:
    """Return what tells FAISS which ids may be found, or None if all may."""
    if wanted is not None:  # the living ones among them
        return faiss.IDSelectorBatch(wanted)
    return faiss.IDSelectorNot(faiss.IDSelectorBatch(dead)) if len(dead) else None


def check_family(index: faiss.Index, factory: str) -> None:
    *outer, inner = layers_of(index)
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


def keep_quiet(index: faiss.Index) -> None:
    """Stop FAISS's warnings on few points, which go past Python's own stderr."""
    for part in (layers_of(index)[-1], getattr(codes_of(index), "pq", None)):
        if hasattr(part, "cp"):
            part.cp.min_points_per_centroid = 1


def is_trained_kind(index: faiss.Index) -> bool:
    """Whether such an index learns from vectors before it takes any."""
    codes = codes_of(index)
    if len(layers_of(index)) > 2 or ivf_of(index) is not None:
        return True
    if isinstance(codes, faiss.IndexScalarQuantizer):
        return codes.sq.qtype not in UNTRAINED_CODES
    return not isinstance(codes, faiss.IndexFlat)


def imbalance_of(index: faiss.Index) -> float:
    ivf = ivf_of(index)
    return 1.0 if ivf is None or ivf.ntotal == 0 else ivf.invlists.imbalance_factor()


def copy_index(state: State) -> faiss.Index:
    """Return a copy that may be changed."""
    if not state.mapped:  # a clone of a mapped index would still be one
        try:
            return faiss.clone_index(state.index)
        except RuntimeError:  # "clone not supported for this type"
            pass
    return faiss.deserialize_index(faiss.serialize_index(state.index))


def as_ids(ids: Iterable[int]) -> np.ndarray:
    try:
        return np.array([operator.index(i) for i in ids], dtype=np.int64)
    except (TypeError, OverflowError) as error:
        raise ValueError(f"ids must be whole numbers, one or more. ({error})") from None


def known_ids(ids: Iterable[int], known: np.ndarray) -> np.ndarray:
    """Return the ids once each, if all are known."""
    wanted = np.unique(as_ids(ids))
    strangers = wanted[~np.isin(wanted, known)]
    if len(strangers):
        raise KeyError(
            f"{len(strangers)} of {len(wanted)} ids are not in this index of "
            f"{len(known)} vectors: {strangers[:5].tolist()}. Nothing was changed."
        )
    return wanted


def stored_ids(index: faiss.Index) -> np.ndarray:
    """Return the ids in a FAISS index, ascending."""
    ivf = ivf_of(index)
    if ivf is None:
        return np.sort(faiss.vector_to_array(index.id_map))
    lists = ivf.invlists
    sizes = [lists.list_size(i) for i in range(ivf.nlist)]
    parts = [faiss.rev_swig_ptr(lists.get_ids(i), n) for i, n in enumerate(sizes) if n]
    return np.sort(np.concatenate([np.empty(0, np.int64), *parts]))


def check_facts(facts: dict[str, Any], name: str) -> None:
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


def restored_state(index: faiss.Index, facts: dict[str, Any], name: str) -> State:
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
        check_family(index, facts["factory"])
        if ivf_of(index) is None and not isinstance(index, faiss.IndexIDMap2):
            raise ValueError("it has no ids")
        stored = stored_ids(index)
        dead = np.unique(np.array(facts["tombstones"], dtype=np.int64))
        check_stored_ids(index, stored, dead, facts["next_id"])
    except (ValueError, OverflowError) as error:
        raise IndexFileError(
            f"{name}: expected an index as VectorIndex writes it. Received "
            f"another one: {error}. Build it again and save it."
        ) from error
    return State(index, np.setdiff1d(stored, dead), dead, facts["next_id"])


def do_layers_fit(outer: faiss.Index, inner: faiss.Index) -> bool:
    """Whether vectors can pass from one layer to the next: FAISS does not ask."""
    d = outer.d
    if isinstance(outer, faiss.IndexPreTransform):
        for i in range(outer.chain.size()):
            step = outer.chain.at(i)
            if step.d_in != d or not step.is_trained:
                return False
            d = step.d_out
    return d == inner.d


def check_stored_ids(
    index: faiss.Index, stored: np.ndarray, dead: np.ndarray, next_id: int
) -> None:
    chain = layers_of(index)
    parts = [*chain, codes_of(index)]
    if any(part.ntotal != index.ntotal or not part.is_trained for part in parts):
        raise ValueError(
            "its layers are untrained or hold different numbers of vectors"
        )
    for outer, inner in itertools.pairwise(chain):
        if not do_layers_fit(outer, inner):
            raise ValueError("its layers have different dimensions")
    if len(stored) != index.ntotal or (np.diff(stored) <= 0).any():
        raise ValueError("an id is missing or there twice")
    first, last = (stored[0], stored[-1]) if len(stored) else (0, -1)
    if not 0 <= first or not last < next_id <= LAST_ID:
        raise ValueError(f"ids from {first} to {last}, the next {next_id}")
    can_mask = isinstance(chain[-1], faiss.IndexHNSW)
    if not np.isin(dead, stored).all() or (len(dead) and not can_mask):
        raise ValueError("tombstones of vectors that are not there")
