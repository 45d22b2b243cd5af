"""Picture files to vectors, through the cache: read once, decoded once, kept."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from utils import images
from utils.cache import VectorCache
from utils.embeddings import DIMENSION, Embedder, load_embedder
from utils.errors import PictureError
from utils.images import Refusal

CHUNK = 32  # files whose pixels are embedded and cached together
NO_DIRECTION = "the network sees nothing in it (its vector is zero or not finite)"


class EmbeddedFiles(NamedTuple):
    """What `embed_files` returns.

    `vectors` has shape (m, 2048); row i belongs to `paths[positions[i]]`; files that
    could not be read are in `refused`, with a reason each.  `hashes[i]` is the sha256
    of the very bytes that row i was made of.
    """

    vectors: np.ndarray
    positions: list[int]
    refused: list[Refusal]
    hashes: list[str]


def embed_files(
    paths: Sequence[str | os.PathLike],
    embedder: Embedder | None = None,
    *,
    cache: VectorCache | None = None,
    progress: bool = False,
) -> EmbeddedFiles:
    """Turn picture files into unit vectors, computing each picture only once.

    A file is read once: the bytes that name the vector in the cache are the bytes
    that were decoded.  One file's bytes and one chunk's pixels are in memory at a time,
    beside the vectors.

    Parameters
    ----------
    paths : sequence of path
    embedder : Embedder, optional
        Default: `load_embedder()`.
    cache : VectorCache, optional
        Default: ``output/cache.sqlite``, or what ``LOOKALIKE_CACHE`` names.
    progress : bool
        Show a bar while it works; it leaves nothing behind in a notebook.

    Returns
    -------
    embedded : EmbeddedFiles

    Raises
    ------
    WeightsError
        If no embedder was given and the weights cannot be loaded.
    """
    if not paths:  # nothing to do needs no network
        return EmbeddedFiles(np.empty((0, DIMENSION), dtype=np.float32), [], [], [])
    embedder = embedder or load_embedder()
    rows: list[np.ndarray] = []
    positions: list[int] = []
    refused: list[Refusal] = []
    hashes: list[str] = []
    starts = range(0, len(paths), CHUNK)
    # A cache of the caller's stays open for the caller.
    opened = VectorCache() if cache is None else nullcontext(cache)
    with opened as store, _progress_bar(len(paths), progress) as tick:
        for start in starts:
            chunk = paths[start : start + CHUNK]
            found = _embed_chunk(chunk, embedder, store, refused)
            for offset, (key, vector) in found.items():
                positions.append(start + offset)
                rows.append(vector)
                hashes.append(key)
            tick(len(chunk))
    vectors = np.stack(rows) if rows else np.empty((0, DIMENSION), dtype=np.float32)
    return EmbeddedFiles(vectors, positions, refused, hashes)


def _embed_chunk(
    paths: Sequence[str | os.PathLike],
    embedder: Embedder,
    cache: VectorCache,
    refused: list[Refusal],
) -> dict[int, tuple[str, np.ndarray]]:
    """Return position in the chunk -> (hash, vector); add what failed to refused."""
    keys: dict[int, str] = {}
    known: dict[str, np.ndarray] = {}
    new: dict[str, np.ndarray] = {}
    for position, path in enumerate(paths):
        try:
            data = images.read_file(path)
            key = images.content_hash(data)
            if key not in known and key not in new:
                known |= cache.get(embedder.pipeline, [key])
            if key not in known and key not in new:
                new[key] = images.load_picture(
                    data, embedder.input_size, name=str(path)
                )
            keys[position] = key
        except PictureError as error:
            refused.append(Refusal(Path(path), error.reason))
    if new:
        vectors = embedder.embed(np.stack(list(new.values())))
        cache.put(embedder.pipeline, list(new), vectors)
        known |= dict(zip(new, vectors, strict=True))
    blind = [i for i, key in keys.items() if not has_direction(known[key])]
    refused += [Refusal(Path(paths[i]), NO_DIRECTION) for i in blind]
    return {i: (key, known[key]) for i, key in keys.items() if i not in blind}


def has_direction(vector: np.ndarray) -> bool:
    """Say whether a vector can be compared: it is finite, and not zero."""
    return bool(np.isfinite(vector).all() and vector.any())


@contextmanager
def _progress_bar(total: int, shown: bool) -> Iterator[Callable[[int], Any]]:
    """Yield what to call with a count; the bar is gone when the work is done."""
    if not shown:
        yield lambda count: None
        return
    from tqdm.auto import tqdm

    with tqdm(total=total, unit=" pictures", leave=False) as bar:
        yield bar.update
