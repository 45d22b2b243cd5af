"""Build, search, save and load FAISS indexes: arrays and ids, no paths of pictures.

The one module that imports faiss; others take it from here.  In all functions here:

- Vectors are float32 arrays of shape (n, d), finite and within ±1e15; ValueError if
  not: FAISS takes others without a word, and returns nonsense or never finds them.
- `path` is a str or any os.PathLike; a leading ``~`` is the home folder.
- IndexFileError names a file that is missing, damaged or no FAISS index.
"""

import errno
import hashlib
import io
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import faiss
import faiss.contrib.ondisk  # merges shards that memory cannot hold
import numpy as np

from utils.errors import IndexFileError, check_k, expanded

METRICS = {"inner_product": faiss.METRIC_INNER_PRODUCT, "l2": faiss.METRIC_L2}
POINTS_PER_CELL = 39  # FAISS's own minimum for training a cell without a warning
LARGEST = 1e15  # squares and sums of larger numbers leave float32's range
_limit_lock = threading.Lock()  # the byte limit below belongs to the whole process


def build_index(
    embeddings: np.ndarray, factory: str = "Flat", *, metric: str = "inner_product"
) -> faiss.Index:
    """Build a FAISS index, train it if it must be trained, and add the vectors.

    `embeddings` are unit vectors, if the inner product is to be a cosine; vector i gets
    id i. `factory` is a string of FAISS's index factory: ``"Flat"`` is exact. `metric`
    is ``"inner_product"``, a similarity (larger is nearer), or ``"l2"``, a squared
    Euclidean distance (smaller is nearer). ValueError, too, if FAISS knows no such
    factory string or metric.

    https://github.com/facebookresearch/faiss/wiki/The-index-factory

    >>> index = build_index(np.eye(4, dtype="float32"))
    >>> index.ntotal, index.d
    (4, 4)
    """
    embeddings = check_vectors(embeddings, "embeddings")
    index = from_factory(embeddings.shape[1], factory, metric)
    if not index.is_trained:
        index.train(embeddings)
    index.add(embeddings)
    return index


def search_index(
    index: faiss.Index, queries: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Find the k nearest vectors of each query; k is cut to what the index holds.

    Returns similarities (float32; squared distances of an ``"l2"`` index) and ids
    (int64; −1 where an approximate index found fewer than k): shape (q, k), best first.

    >>> index = build_index(np.eye(3, dtype="float32"))
    >>> search_index(index, np.eye(3, dtype="float32")[1:2], 1)[1]
    array([[1]])
    """
    queries = check_vectors(queries, "queries")
    check_dimension(queries, index.d, "queries")
    return index.search(queries, max(1, min(check_k(k), index.ntotal)))


def from_factory(d: int, factory: str, metric: str) -> faiss.Index:
    """Return an empty index for vectors of dimension d, or a ValueError that says why.

    FAISS itself lets some factory strings drop the metric without a word.
    """
    if metric not in METRICS:
        raise ValueError(
            f"metric must be one of {list(METRICS)}. Received: {metric!r}."
        )
    try:
        short = factory if len(factory) < 200 else ""  # FAISS reads it by recursion
        index = faiss.index_factory(d, short, METRICS[metric])
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"factory must be a FAISS index factory string such as 'Flat' or "
            f"'IVF32,Flat' that fits dimension {d}. Received: {factory!r:.100}."
        ) from error
    innermost = faiss.downcast_index(index)
    while hasattr(innermost, "index"):
        innermost = faiss.downcast_index(innermost.index)
    if innermost.metric_type != METRICS[metric]:  # such as an HNSW of PQ codes
        raise ValueError(
            f"metric must be one that FAISS has for {factory}. Received: {metric!r}."
        )
    return index


def check_vectors(vectors: np.ndarray, name: str) -> np.ndarray:
    """Return vectors as C-contiguous float32, or say what is wrong with `name`."""
    vectors = np.asarray(vectors)
    if vectors.ndim != 2 or vectors.shape[1] == 0:
        raise ValueError(
            f"{name} must have shape (n, d). Received: {vectors.shape}. "
            f"For one vector, add a batch axis: {name}[None]."
        )
    if vectors.dtype != np.float32:
        raise ValueError(
            f"{name} must be float32. Received: {vectors.dtype}. "
            f"Convert: {name}.astype('float32')."
        )
    if not np.isfinite(vectors).all():
        row = int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])
        raise ValueError(f"{name} must be finite. Row {row} holds NaN or infinity.")
    if vectors.size and np.abs(vectors).max() > LARGEST:
        row = int(np.argmax(np.abs(vectors).max(axis=1)))
        raise ValueError(
            f"{name} must be within ±{LARGEST:g}, or distances overflow. Row {row} is "
            "not. Normalise them."
        )
    return np.ascontiguousarray(vectors)


def check_dimension(vectors: np.ndarray, d: int, name: str) -> None:
    """Raise a ValueError if vectors of shape (n, d) were meant and they are others."""
    # FAISS raises an AssertionError without words, and none at all under python -O.
    if vectors.shape[1] != d:
        raise ValueError(
            f"{name} must have the index's dimension, {d}. Received: "
            f"{vectors.shape[1]}. Embed them with the same weights as the collection."
        )


def save_index(index: faiss.Index, path: str | os.PathLike) -> str:
    """Write an index so that a crash leaves the old file or the new one.

    Returns the sha256 of the file's bytes, for `load_index` to check. OSError if the
    disk is full or not writable (`faiss.write_index` can miss that), or there is no
    such folder.
    """
    path = Path(expanded(path))
    content = faiss.serialize_index(index).tobytes()
    temporary = path.with_name(path.name + ".part")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return hashlib.sha256(content).hexdigest()


def load_index(
    path: str | os.PathLike, *, sha256: str | None = None, mmap: bool = False
) -> faiss.Index:
    """Read an index file, or raise an IndexFileError.

    `sha256` is what `save_index` returned: FAISS itself accepts most damaged files.
    Read only your own: another's may make FAISS write to other files of yours.

    `mmap` leaves the vectors in the file: the system reads what a search touches, and
    processes that map the same file share that memory. Such an index can be searched
    only (FAISS ends the process if one adds to it), and the file never be written again
    in place; `save_index` replaces it (on Windows, once the index is gone).
    """
    path = Path(expanded(path))
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would never answer
            raise OSError(errno.EINVAL, "it is no plain file")
        content = None if mmap else path.read_bytes()
        with io.BytesIO(content) if content is not None else open(path, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest() if sha256 else None
            size = file.seek(0, os.SEEK_END)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise IndexFileError(
            f"{path}: cannot be read ({reason}). Build the index again and save it."
        ) from error
    if found != sha256:
        raise IndexFileError(
            f"{path}: the file is damaged or belongs to another save (its sha256 "
            "differs from the one recorded). Build the index again and save it."
        )
    if content is not None:
        return parse_index(content, str(path))
    name, flag = os.fsdecode(path), faiss.IO_FLAG_MMAP_IFC
    return read_bounded(lambda: faiss.read_index(name, flag), size, str(path))


def parse_index(content: bytes, name: str) -> faiss.Index:
    """Make an index of a file's bytes, in memory bounded by their number."""
    data = np.frombuffer(content, dtype=np.uint8)
    return read_bounded(lambda: faiss.deserialize_index(data), len(content), name)


def read_bounded(read: Callable[[], faiss.Index], size: int, name: str) -> faiss.Index:
    """Let FAISS read a file of `size` bytes, in memory bounded by that."""
    with _limit_lock:
        # A small file can claim gigabytes.  IVF-PQ makes tables that its file does not
        # hold, so a vector may be larger than the file, but only by a factor; and of
        # nothing (such as an IVF's cells) can there be more than the file has bytes.
        before = faiss.get_deserialization_vector_byte_limit()
        loops = faiss.get_deserialization_loop_limit()
        faiss.set_deserialization_vector_byte_limit(max(64_000_000, 8 * size))
        faiss.set_deserialization_loop_limit(max(1, size))  # 0 is no limit
        try:
            return read()
        except Exception as error:
            raise IndexFileError(
                f"{name}: expected a FAISS index, received {size} "
                "bytes that FAISS cannot read. Build the index again and save it."
            ) from error
        finally:
            faiss.set_deserialization_vector_byte_limit(before)
            faiss.set_deserialization_loop_limit(loops)
