"""Results: what a hit is, how an index's answer becomes hits, how they are drawn."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from utils import images, plotting
from utils.collection.catalogue import Item
from utils.errors import PictureError, printable


class Hit(NamedTuple):
    """One result.  `score` is the cosine similarity, from −1 to 1 (same direction)."""

    rank: int
    id: int
    path: Path
    label: str
    score: float


def make_hits(
    similarities: np.ndarray,
    ids: np.ndarray,
    items: Mapping[int, Item],
    *,
    exclude: Iterable[int] = (),
    k: int | None = None,
) -> list[Hit]:
    """Return at most k hits of one query, whose ranks count from 1.

    `similarities` and `ids`, of shape (n,), are a row each of what `VectorIndex.search`
    returned.  An id without an item is passed over, as those in `exclude` are: its
    picture has been removed since the index was made.
    """
    excluded = set(exclude)
    pairs = zip(ids.tolist(), similarities.tolist(), strict=True)
    left = [(id, score) for id, score in pairs if id in items and id not in excluded]
    return [
        Hit(rank, id, items[id].path, items[id].label, score)
        for rank, (id, score) in enumerate(left[:k], start=1)
    ]


def show_hits(
    queries: Sequence[images.PictureSource],
    hits: Sequence[Sequence[Hit]],
    *,
    labels: Sequence[str] | None = None,
    size: int = 128,
) -> None:
    """Draw one row per query: the query, then its hits with label and score.

    `hits` has a list for each query; with `labels`, those of the queries, hits with
    another label are marked as wrong.  The label "" is unknown: neither right nor
    wrong.  `size` is a drawn picture's, in pixels.
    """
    named = [] if labels is None else list(labels)  # an array has no truth value
    pairs = zip(named, hits, strict=True) if named else ()
    right = [[_agree(hit.label, label) for hit in found] for label, found in pairs]
    tiles = {hit.path: _tile(hit.path, size) for found in hits for hit in found}
    missing = {path: reason for path, (_, reason) in tiles.items() if reason}
    notes = dict.fromkeys(missing, "\n(can't be shown)")
    plotting.show_results(
        [images.load_picture(query, size) for query in queries],
        [[tiles[hit.path][0] for hit in found] for found in hits],
        query_titles=[f"query: {label}".rstrip(": ") for label in named],
        titles=[
            [
                f"{hit.label} {hit.score:.2f}{notes.get(hit.path, '')}".lstrip()
                for hit in found
            ]
            for found in hits
        ],
        right=right,
    )
    if missing:
        path, reason = next(iter(missing.items()))
        warnings.warn(
            f"{len(missing)} pictures can't be shown; the first: "
            f"{printable(str(path))}: {reason}. If the pictures have moved, say where "
            "they are: ImageSearch.load(folder, root=...).",
            RuntimeWarning,
            stacklevel=2,
        )


def _agree(label: str, other: str) -> bool | None:
    """Whether two labels are the same; None if one of them is unknown."""
    return label == other if label and other else None


def _tile(path: Path, size: int) -> tuple[np.ndarray, str]:
    """Return a picture and "", or a grey tile with a cross and why it stands there."""
    try:
        return images.load_picture(path, size), ""
    except PictureError as error:
        reason = error.reason
    cross = np.eye(size, dtype=bool) | np.eye(size, dtype=bool)[::-1]
    grey = np.where(cross, 160, 230).astype(np.uint8)
    return grey[..., None].repeat(3, axis=2), reason
