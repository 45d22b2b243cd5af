"""Picture files to vectors, through the cache: read once, decoded once, kept.

Threads read and decode while the network works: both let go of Python's lock."""

import os
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from utils import images
from utils.collection.cache import VectorCache
from utils.embeddings import DIMENSION, Embedder, load_embedder
from utils.errors import PictureError
from utils.images import Refusal

BATCH = 32  # pictures that are embedded and cached together
THREADS = max(2, min(4, os.cpu_count() or 1))  # each may hold a picture at full size
AHEAD = 4 * BATCH  # files read ahead of the network: 2 MB of pixels at 64, 20 at 224
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


class _Read(NamedTuple):
    """One file as a thread leaves it: pixels only if its vector is not known."""

    position: int
    key: str = ""
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
    table = _Table(len(paths))
    reasons: dict[int, str] = {}  # position -> why it was refused
    # A cache of the caller's stays open for the caller.
    opened = VectorCache() if cache is None else nullcontext(cache)
    with opened as store, _progress_bar(len(paths), progress) as tick:
        read = partial(_read, embedder=embedder, cache=store)
        for batch in _batches(map_ahead(read, list(enumerate(paths)))):
            reasons |= {file.position: file.reason for file in batch if file.reason}
            readable = [file for file in batch if file.key]
            table.fill(readable, _vectors_of(readable, table.row_of, embedder, store))
            tick(len(batch))
    positions, hashes = table.positions, table.hashes
    vectors = table.vectors[: len(positions)]
    blind = [row for row, vector in enumerate(vectors) if not has_direction(vector)]
    if blind:
        reasons |= {positions[row]: NO_DIRECTION for row in blind}
        vectors = np.delete(vectors, blind, axis=0)
        hashes = [hashes[row] for row, i in enumerate(positions) if i not in reasons]
        positions = [i for i in positions if i not in reasons]
    refused = [Refusal(Path(paths[i]), reasons[i]) for i in sorted(reasons)]
    return EmbeddedFiles(vectors, positions, refused, hashes)


class _Table:
    """The vectors in one array from the start: to gather them later takes it twice."""

    def __init__(self, size: int) -> None:
        self.size, self.vectors = size, np.empty((0, DIMENSION), dtype=np.float32)
        self.positions: list[int] = []  # of the file that a row belongs to
        self.hashes: list[str] = []
        self.row_of: dict[str, int] = {}  # hash -> the first row that has it

    def fill(self, files: Iterable[_Read], new: Mapping[str, np.ndarray]) -> None:
        """Give each file its vector: a new one, or that of an earlier file alike."""
        for position, key, *_ in files:
            vector = new[key] if key in new else self.vectors[self.row_of[key]]
            if not self.positions:
                self.vectors = np.empty((self.size, len(vector)), dtype=np.float32)
            row = len(self.positions)
            self.vectors[row] = vector
            self.positions.append(position)
            self.hashes.append(key)
            self.row_of.setdefault(key, row)


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
            new.add(file.key)
        if len(new) == BATCH or len(group) == AHEAD:
            yield group
            group, new = [], set()
    if group:
        yield group


def _read(
    numbered: tuple[int, str | os.PathLike], *, embedder: Embedder, cache: VectorCache
) -> _Read:
    """Read a file once: its hash, and the vector if it is known, or else the pixels."""
    position, path = numbered
    try:
        data = images.read_file(path)
        key = images.sha256_of(data)
        if known := cache.get(embedder.pipeline, [key]):
            return _Read(position, key, vector=known[key])
        pixels = images.load_picture(data, embedder.input_size, name=str(path))
        return _Read(position, key, pixels=pixels)
    except PictureError as error:
        return _Read(position, reason=error.reason)


def _vectors_of(
    batch: Sequence[_Read],
    known: Container[str],
    embedder: Embedder,
    cache: VectorCache,
) -> dict[str, np.ndarray]:
    """Return hash -> vector of a batch's pictures, those left out that are known."""
    cached = {file.key: file.vector for file in batch if file.vector is not None}
    pixels = {file.key: file.pixels for file in batch if file.pixels is not None}
    keys = [key for key in pixels if key not in cached and key not in known]
    if not keys:
        return cached
    vectors = embedder.embed(np.stack([pixels[key] for key in keys]))
    cache.put(embedder.pipeline, keys, vectors)
    return cached | dict(zip(keys, vectors, strict=True))


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
