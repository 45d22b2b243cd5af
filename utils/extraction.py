"""Picture files to vectors, through the cache: read once, decoded once, kept."""

import hashlib
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

CHUNK = 32  # files read, decoded and cached together: bounds the memory


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
    that were decoded.  Memory does not grow with the number of files, apart from the
    vectors.

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
    contents: dict[int, bytes] = {}
    for position, path in enumerate(paths):
        try:
            contents[position] = images.read_file(path)
        except PictureError as error:
            refused.append(Refusal(Path(path), error.reason))
    keys = {i: hashlib.sha256(data).hexdigest() for i, data in contents.items()}
    known = cache.get(embedder.pipeline, list(set(keys.values())))
    new: dict[str, np.ndarray] = {}
    for position, key in keys.items():
        if key in known or key in new:
            continue
        try:
            new[key] = images.load_picture(
                contents[position], embedder.input_size, name=str(paths[position])
            )
        except PictureError as error:
            refused.append(Refusal(Path(paths[position]), error.reason))
    if new:
        vectors = embedder.embed(np.stack(list(new.values())))
        cache.put(embedder.pipeline, list(new), vectors)
        known |= dict(zip(new, vectors, strict=True))
    found = {i: (key, known[key]) for i, key in keys.items() if key in known}
    for i in [i for i, (_, vector) in found.items() if not _has_direction(vector)]:
        reason = "the network sees nothing in it (its vector is zero or not finite)"
        refused.append(Refusal(Path(paths[i]), reason))
        del found[i]
    return found


def _has_direction(vector: np.ndarray) -> bool:
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
