"""A `VectorIndex` in a file: the facts beside it, and the checks on what is read.

FAISS reads nearly any file without complaint, so an index is taken only if it is the
one that its facts describe: `index_format` compares the two.
"""

import mmap
from pathlib import Path
from typing import Any

import numpy as np

from utils.collection import faiss_parts as parts
from utils.collection.factory import check_factory
from utils.collection.faiss_parts import State
from utils.collection.index_format import check_format
from utils.collection.locks import share
from utils.errors import IndexFileError
from utils.indexes import METRICS, faiss, parse_index, read_bounded

ORIGIN = {  # what a State knows of how it was made
    **dict.fromkeys(("factory", "metric", "fallback"), str),
    **dict.fromkeys(("points_per_cell", "needed", "trained_on"), int),
    "imbalance_at_training": float,
}
KINDS = ORIGIN | dict.fromkeys(("d", "ntotal", "next_id", "nprobe"), int)
LAST_ID = 1 << 62  # room for as many more as anybody can add
BOUNDS = {
    **dict.fromkeys(("ntotal", "needed", "trained_on", "nprobe"), (0, 1 << 40)),
    **{"d": (1, 1 << 20), "next_id": (0, LAST_ID), "points_per_cell": (1, 1 << 40)},
    "imbalance_at_training": (0, 1 << 40),
}
LONGEST_REASON = 1000


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


def mapped_file(path: Path) -> mmap.mmap:
    """Map a file of an index, so that `restored_state` leaves the vectors in it."""
    try:
        with open(path, "rb") as file:
            share(file)  # the map holds the lock for as long as it lives
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:  # ValueError: the file is empty
        raise IndexFileError(
            f"{path}: expected an index to map. Received: {error}. "
            "Build it again and save it."
        ) from error


def restored_state(
    content: bytes | mmap.mmap, facts: dict[str, Any], name: str
) -> State:
    """Check that the content is the index that the facts describe, and return it.

    IndexFileError, with the file's `name`, if it is not.  FAISS opens nothing before
    the whole structure is known to be the one that we would have made.
    """
    wrong = [key for key, kind in KINDS.items() if type(facts.get(key)) is not kind]
    tombstones = facts.get("tombstones")
    plain = isinstance(tombstones, list) and all(type(i) is int for i in tombstones)
    if wrong or not plain:
        raise IndexFileError(
            f"{name}: expected facts on the index beside it. Missing or of "
            f"another kind: {wrong or ['tombstones']}. Build it again and save it."
        )
    try:
        dead = np.unique(np.array(tombstones, dtype=np.int64))
        check_format(content, _empty_file(facts, len(content)), facts["ntotal"])
        index = _parse(content, name)
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
        mapped=not isinstance(content, bytes),
        **{name: facts[name] for name in ORIGIN},
    )


def _empty_file(facts: dict[str, Any], size: int) -> bytes:
    """Return the file of an index as the facts describe it, but without vectors."""
    for name, (least, most) in BOUNDS.items():
        if not least <= facts[name] <= most:  # no NaN is
            raise ValueError(f"{name} is not from {least} to {most}")
    if facts["metric"] not in METRICS:
        raise ValueError(f"the metric is none of {list(METRICS)}")
    if len(facts["fallback"]) > LONGEST_REASON:
        raise ValueError(f"a fallback of more than {LONGEST_REASON} characters")
    least = check_factory(facts["factory"], facts["d"])
    factory = "Flat" if facts["fallback"] else facts["factory"]
    if size < least and not facts["fallback"]:  # before FAISS makes tables as large
        raise ValueError(f"{size} bytes, where {least} are needed")
    index = parts.new_index(facts["d"], factory, facts["metric"])
    return faiss.serialize_index(index).tobytes()


def _parse(content: bytes | mmap.mmap, name: str) -> faiss.Index:
    if isinstance(content, bytes):
        return parse_index(content, name)
    data = np.frombuffer(content, dtype=np.uint8)
    reader = faiss.ZeroCopyIOReader(faiss.swig_ptr(data), len(data))
    index = read_bounded(lambda: faiss.read_index(reader), len(data), name)
    index.referenced_objects = [data]  # the map must live as long as the index
    return index


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
