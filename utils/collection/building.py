"""From pictures to the parts of a collection: vectors, and what their ids mean."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from utils.collection.cache import VectorCache
from utils.collection.catalogue import Catalogue, Item, absolute, common_folder
from utils.collection.changes import once_each
from utils.collection.extraction import EmbeddedFiles, embed_files
from utils.collection.vector_index import VectorIndex
from utils.embeddings import Embedder
from utils.errors import LookalikeError, printable
from utils.images import Collection, Refusal


def build_parts(
    collection: Collection,
    embedder: Embedder,
    *,
    root: str | os.PathLike | None,
    factory: str,
    progress: bool,
) -> tuple[VectorIndex, Catalogue, list[Refusal]]:
    """Embed a collection's pictures; the arguments are `ImageSearch.from_collection`'s.

    ValueError, if there is not one label for each path, or no picture can be read.
    """
    labels = labels_for(collection.paths, collection.labels)
    paths = [absolute(path) for path in collection.paths]
    folder = common_folder(None, paths) if root is None and paths else root
    folder = absolute(folder or os.curdir)
    wanted = once_each(paths, labels, folder)
    embedded = embed_files(list(wanted), embedder, progress=progress)
    if not embedded.positions:
        refused = [*embedded.refused, *collection.refused]
        why = [f"{printable(str(path))}: {reason}" for path, reason in refused]
        raise ValueError(
            f"expected pictures that can be read. Received {len(collection)}, of "
            f"which none can be. The first: {(why or ['there is none'])[0]}"
        )
    catalogue = Catalogue(dict(enumerate(items_of(embedded, wanted))), folder)
    index = VectorIndex(embedded.vectors, factory)
    return index, catalogue, [*collection.refused, *embedded.refused]


def labels_for(paths: Sequence[Any], labels: Iterable[str] | str) -> list[str]:
    """Return one label for each path, or say what is wrong in a ValueError."""
    labels = [labels] * len(paths) if isinstance(labels, str) else list(labels)
    if len(labels) != len(paths):
        raise ValueError(
            f"expected {len(paths)} labels, one for each path. Received: {len(labels)}."
        )
    for path, label in zip(paths, labels, strict=True):
        if not isinstance(label, str):  # it would be saved, and not load again
            raise ValueError(
                f"{printable(str(path))}: expected a label of type str. Received: "
                f"{label!r}. Convert it: str(label)."
            )
    return labels


def items_of(embedded: EmbeddedFiles, labels: Mapping[Path, str]) -> list[Item]:
    """Return one item per row of `embedded`, which was made of `labels`' keys."""
    paths = list(labels)
    pairs = zip(embedded.positions, embedded.sha256s, strict=True)
    return [Item(paths[i], labels[paths[i]], sha256) for i, sha256 in pairs]


def exact_vectors(
    items: Sequence[Item], pipeline: str, load: Callable[[], Embedder]
) -> np.ndarray:
    """Return the items' vectors, from the cache or computed again: float32, (n, d).

    `load` is called for the embedder only if the cache lacks a vector; LookalikeError,
    if one can be had neither way.
    """
    with VectorCache() as cache:
        known = cache.get(pipeline, list({item.sha256 for item in items}))
    missing = [item.path for item in items if item.sha256 not in known]
    if missing:
        embedded = embed_files(missing, load())
        known |= dict(zip(embedded.sha256s, embedded.vectors, strict=True))
    lost = [item.path for item in items if item.sha256 not in known]
    if lost:
        raise LookalikeError(
            "expected a cached vector or an unchanged file for each picture. "
            f"{len(lost)} have neither; the first: {lost[0]}. Call "
            "update() to drop vanished and changed pictures, then retrain."
        )
    return np.stack([known[item.sha256] for item in items])
