"""A `VectorIndex` in a file: the facts beside it, and the checks on what is read.

FAISS reads nearly any file without complaint, so an index is taken only if it is the
one that its facts describe.
"""

import itertools
from typing import Any

import numpy as np

from utils.collection import faiss_parts as parts
from utils.collection.faiss_parts import State
from utils.errors import IndexFileError
from utils.indexes import METRICS, faiss, parse_index

ORIGIN = {  # what a State knows of how it was made
    **dict.fromkeys(("factory", "metric", "fallback"), str),
    **dict.fromkeys(("points_per_cell", "needed", "trained_on"), int),
    "imbalance_at_training": float,
}
KINDS = ORIGIN | dict.fromkeys(("d", "ntotal", "next_id", "nprobe"), int)
LAST_ID = 1 << 62  # room for as many more as anybody can add


def facts_on(state: State) -> dict[str, Any]:
    """Return what JSON can hold of an index, beside FAISS's own file."""
    return {
        **{name: getattr(state, name) for name in ORIGIN},
        "d": state.index.d,
        "ntotal": state.index.ntotal,
        "next_id": int(state.next_id),
        "tombstones": state.dead.tolist(),
        "faiss": faiss.__version__,
    }


def restored_state(
    content: bytes | faiss.Index, facts: dict[str, Any], name: str
) -> State:
    """Check that the content is the index that the facts describe, and return it.

    IndexFileError, with the file's `name`, if it is not.
    """
    index = parse_index(content, name) if isinstance(content, bytes) else content
    wrong = [key for key, kind in KINDS.items() if type(facts.get(key)) is not kind]
    tombstones = facts.get("tombstones")
    plain = isinstance(tombstones, list) and all(type(i) is int for i in tombstones)
    if wrong or not plain:
        raise IndexFileError(
            f"{name}: expected facts on the index beside it. Missing or of "
            f"another kind: {wrong or ['tombstones']}. Build it again and save it."
        )
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
        dead = np.unique(np.array(tombstones, dtype=np.int64))
        parts.check_family(index, facts["factory"])
        _check_layers(index)
        stored = _checked_ids(index, dead, facts["next_id"])
    except (ValueError, OverflowError) as error:
        raise IndexFileError(
            f"{name}: expected an index as VectorIndex writes it. Received "
            f"another one: {error}. Build it again and save it."
        ) from error
    return State(
        index=index,
        ids=np.setdiff1d(stored, dead),
        dead=dead,
        next_id=facts["next_id"],
        mapped=index is content,
        **{name: facts[name] for name in ORIGIN},
    )


def _check_layers(index: faiss.Index) -> None:
    if parts.ivf_of(index) is None and not isinstance(index, faiss.IndexIDMap2):
        raise ValueError("it has no ids")
    chain = parts.layers_of(index)
    for part in (*chain, parts.codes_of(index)):
        if part.ntotal != index.ntotal or not part.is_trained:
            raise ValueError(
                "its layers are untrained or hold different numbers of vectors"
            )
    for outer, inner in itertools.pairwise(chain):
        # FAISS does not ask whether vectors can pass from one layer to the next.
        d: int | None = outer.d
        if isinstance(outer, faiss.IndexPreTransform):
            for step in map(outer.chain.at, range(outer.chain.size())):
                d = step.d_out if step.d_in == d and step.is_trained else None
        if d != inner.d:
            raise ValueError("its layers have different dimensions")


def _checked_ids(index: faiss.Index, dead: np.ndarray, next_id: int) -> np.ndarray:
    stored = parts.stored_ids(index)
    if len(stored) != index.ntotal or (np.diff(stored) <= 0).any():
        raise ValueError("an id is missing or occurs twice")
    first, last = (stored[0], stored[-1]) if len(stored) else (0, -1)
    if first < 0 or not last < next_id <= LAST_ID:
        raise ValueError(f"ids from {first} to {last}, the next {next_id}")
    if not np.isin(dead, stored).all() or (len(dead) and not parts.is_graph(index)):
        raise ValueError("tombstones of vectors that it does not hold")
    return stored
