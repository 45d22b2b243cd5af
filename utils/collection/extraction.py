"""Picture files to vectors, through the cache: read once, decoded once, kept.

Threads read and decode while the network works: both let go of Python's lock.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from utils.collection.cache import VectorCache
from utils.collection.catalogue import Item
from utils.embeddings import DIMENSION, Embedder, load_embedder
from utils.errors import LookalikeError, PictureError
from utils.images import Refusal, load_picture, read_file, sha256_of

BATCH = 32  # pictures that are embedded and cached together
THREADS = max(2, min(4, os.cpu_count() or 1))  # each may hold a picture at full size
AHEAD = 4 * BATCH  # files read ahead of the network: 2 MB of pixels at 64, 20 at 224
NO_DIRECTION = "the network sees nothing in it (its vector is zero or not finite)"


class EmbeddedFiles(NamedTuple):
    """What `embed_files` returns: row i of `vectors` is of `paths[positions[i]]`."""

    vectors: np.ndarray  # float32, of shape (m, d)
    positions: list[int]
    refused: list[Refusal]  # the files that could not be read, and why
    sha256s: list[str]  # of the very bytes that each row was made of


class _Read(NamedTuple):
    """One file as a thread leaves it: pixels only if its vector is not known."""

    position: int
    sha256: str = ""
    vector: np.ndarray | None = None
    pixels: np.ndarray | None = None
    reason: str = NO_DIRECTION


def embed_files(
    paths: Sequence[str | os.PathLike],
    embedder: Embedder | None = None,
    *,
    cache: VectorCache | None = None,
    progress: bool = False,
) -> EmbeddedFiles:
    """Turn picture files into unit vectors, computing each picture only once.

    A file is read once: the bytes that name the vector in the cache are the bytes
    that were decoded.  Memory does not grow with the number of files, beside the
    vectors: a few files at full size (one a thread) and a few batches of small pixels.
    Stop it when you like: what is embedded is in the cache, and the next call goes on
    from there.

    `embedder` is `load_embedder()`, unless another is given (WeightsError if it cannot
    be loaded), `cache` what `VectorCache()` opens; `progress` shows a bar, unless
    the environment has TQDM_DISABLE, as it has where notebooks are stored and tested.
    """
    dimension = getattr(embedder, "dimension", DIMENSION)
    result = EmbeddedFiles(np.empty((0, dimension), np.float32), [], [], [])
    if not paths:  # nothing to do needs no network
        return result
    from tqdm.auto import tqdm

    embedder = embedder or load_embedder()
    vectors, positions, refused, sha256s = result
    row_of: dict[str, int] = {}  # sha256 -> the first row that has it
    # A cache of the caller's stays open for the caller.
    opened = VectorCache() if cache is None else nullcontext(cache)
    # tqdm's bar for notebooks passes its own variable over.
    hidden = not progress or bool(os.environ.get("TQDM_DISABLE"))
    bar = tqdm(total=len(paths), unit=" pictures", leave=False, disable=hidden)
    with opened as store, bar:
        read = partial(_read, embedder=embedder, cache=store)
        for batch in _batches(map_ahead(read, list(enumerate(paths)))):
            new = _embed([f for f in batch if f.sha256 not in row_of], embedder, store)
            for position, sha256, vector, _, reason in batch:
                if sha256 in row_of:
                    vector = vectors[row_of[sha256]]
                elif sha256 in new:
                    vector = new[sha256]
                if vector is None or not has_direction(vector):
                    refused.append(Refusal(Path(paths[position]), reason))
                    continue
                if not positions:  # all at once: gathered later they take twice as much
                    vectors = np.empty((len(paths), len(vector)), np.float32)
                vectors[len(positions)] = vector
                row_of.setdefault(sha256, len(positions))
                positions.append(position)
                sha256s.append(sha256)
            bar.update(len(batch))
    return result._replace(vectors=vectors[: len(positions)])


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


def map_ahead(function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
    """Yield function(item) in the items' order; threads work at the next ones."""
    waiting: deque[Future] = deque()
    pool = ThreadPoolExecutor(THREADS)
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:  # also when the reader stops it: nothing that has not begun will begin
        pool.shutdown(cancel_futures=True)


def _batches(files: Iterable[_Read]) -> Iterator[list[_Read]]:
    """Yield files in groups: at most BATCH whose pixels must go through the network.

    Known files wait for no network, but pass in groups, too: a group is what the
    progress bar counts.
    """
    group: list[_Read] = []
    new: set[str] = set()
    for file in files:
        group.append(file)
        if file.pixels is not None:
            new.add(file.sha256)
        if len(new) == BATCH or len(group) == AHEAD:
            yield group
            group, new = [], set()
    if group:
        yield group


def _read(
    numbered: tuple[int, str | os.PathLike], *, embedder: Embedder, cache: VectorCache
) -> _Read:
    """Read a file once: its sha256, and its vector if known, or else its pixels."""
    position, path = numbered
    try:
        data = read_file(path)
        sha256 = sha256_of(data)
        if known := cache.get(embedder.pipeline, [sha256]):
            return _Read(position, sha256, vector=known[sha256])
        pixels = load_picture(data, embedder.input_size, name=str(path))
        return _Read(position, sha256, pixels=pixels)
    except PictureError as error:
        return _Read(position, reason=error.reason)


def _embed(
    files: Iterable[_Read], embedder: Embedder, cache: VectorCache
) -> dict[str, np.ndarray]:
    """Return sha256 -> vector of the files that have pixels, and keep the vectors."""
    pixels = {file.sha256: file.pixels for file in files if file.pixels is not None}
    if not pixels:
        return {}
    vectors = embedder.embed(np.stack(list(pixels.values())))
    cache.put(embedder.pipeline, list(pixels), vectors)
    return dict(zip(pixels, vectors, strict=True))


def has_direction(vector: np.ndarray) -> bool:
    """Say whether a vector can be compared: it is finite, and not zero."""
    return bool(np.isfinite(vector).all() and vector.any())
