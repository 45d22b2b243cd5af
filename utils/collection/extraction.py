"""Picture files to vectors, through the cache: read once, decoded once, kept.

Threads read and decode while the network works: both let go of Python's lock.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from utils.collection.cache import VectorCache
from utils.embeddings import DIMENSION, Embedder, load_embedder
from utils.errors import PictureError
from utils.images import Refusal, load_picture, read_file, sha256_of

BATCH = 32  # pictures that are embedded and cached together
THREADS = max(2, min(4, os.cpu_count() or 1))  # each may hold a picture at full size
AHEAD = 4 * BATCH  # files read ahead of the network: 2 MB of pixels at 64, 20 at 224
NO_DIRECTION = "the network sees nothing in it (its vector is zero or not finite)"


class EmbeddedFiles(NamedTuple):
    """What `embed_files` returns.

    `vectors` has shape (m, d); row i belongs to `paths[positions[i]]`; files that
    could not be read are in `refused`, with a reason each.  `sha256s[i]` is that of the
    very bytes that row i was made of.
    """

    vectors: np.ndarray
    positions: list[int]
    refused: list[Refusal]
    sha256s: list[str]


class _Read(NamedTuple):
    """One file as a thread leaves it: pixels only if its vector is not known."""

    position: int
    sha256: str = ""
    vector: np.ndarray | None = None
    pixels: np.ndarray | None = None
    reason: str = ""


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

    Parameters
    ----------
    paths : sequence of path
    embedder : Embedder, optional
        Default: `load_embedder()`.
    cache : VectorCache, optional
        Default: ``output/cache.sqlite``, or what ``LOOKALIKE_CACHE`` names.
    progress : bool
        Show a bar while it works; it leaves nothing behind in a notebook.

    Raises
    ------
    WeightsError
        If no embedder was given and the weights cannot be loaded.
    """
    from tqdm.auto import tqdm

    table = _Table(len(paths), getattr(embedder, "dimension", DIMENSION))
    if not paths:  # nothing to do needs no network
        return table.result(paths)
    embedder = embedder or load_embedder()
    # A cache of the caller's stays open for the caller.
    opened = VectorCache() if cache is None else nullcontext(cache)
    bar = tqdm(total=len(paths), unit=" pictures", leave=False, disable=not progress)
    with opened as store, bar:
        read = partial(_read, embedder=embedder, cache=store)
        for batch in _batches(map_ahead(read, list(enumerate(paths)))):
            new = {
                file.sha256: file.pixels
                for file in batch
                if file.pixels is not None and file.sha256 not in table.row_of
            }
            table.fill(batch, _embed(new, embedder, store))
            bar.update(len(batch))
    return table.result(paths)


class _Table:
    """The vectors in one array from the start: to gather them later takes it twice."""

    def __init__(self, size: int, dimension: int) -> None:
        self.size, self.vectors = size, np.empty((0, dimension), dtype=np.float32)
        self.positions: list[int] = []  # of the file that a row belongs to
        self.sha256s: list[str] = []
        self.row_of: dict[str, int] = {}  # sha256 -> the first row that has it
        self.reasons: dict[int, str] = {}  # position -> why it was refused

    def fill(self, files: Iterable[_Read], new: Mapping[str, np.ndarray]) -> None:
        """Give each file its vector: known, new, or that of an earlier file alike."""
        for position, sha256, vector, _, reason in files:
            if sha256 in new:
                vector = new[sha256]
            elif sha256 in self.row_of:
                vector = self.vectors[self.row_of[sha256]]
            if vector is None or not has_direction(vector):
                self.reasons[position] = reason or NO_DIRECTION
                continue
            row = len(self.positions)
            if row == 0:
                self.vectors = np.empty((self.size, len(vector)), dtype=np.float32)
            self.vectors[row] = vector
            self.positions.append(position)
            self.sha256s.append(sha256)
            self.row_of.setdefault(sha256, row)

    def result(self, paths: Sequence[str | os.PathLike]) -> EmbeddedFiles:
        refused = [Refusal(Path(paths[i]), self.reasons[i]) for i in self.reasons]
        vectors = self.vectors[: len(self.positions)]
        return EmbeddedFiles(vectors, self.positions, refused, self.sha256s)


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
    pixels: Mapping[str, np.ndarray], embedder: Embedder, cache: VectorCache
) -> dict[str, np.ndarray]:
    """Return sha256 -> vector, and keep the vectors."""
    if not pixels:
        return {}
    vectors = embedder.embed(np.stack(list(pixels.values())))
    cache.put(embedder.pipeline, list(pixels), vectors)
    return dict(zip(pixels, vectors, strict=True))


def has_direction(vector: np.ndarray) -> bool:
    """Say whether a vector can be compared: it is finite, and not zero."""
    return bool(np.isfinite(vector).all() and vector.any())
