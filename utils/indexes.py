"""Build, search, change, save and load FAISS indexes.

The one module that imports faiss.  It knows arrays and ids, no paths of pictures:
`utils.collection.search` keeps what an id means.  The functions work on FAISS's own indexes;
`VectorIndex` is an index that changes and keeps its ids.
"""

import hashlib
import io
import operator
import os
import threading
from collections.abc import Callable
from pathlib import Path

# Idle threads of OpenMP are to sleep: by default they spin for a while, which takes a
# core from the network that embeds the next batch.  It counts if nothing has loaded
# FAISS before.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import faiss
import numpy as np

from utils.errors import IndexFileError

METRICS = {
    "inner_product": faiss.METRIC_INNER_PRODUCT,
    "l2": faiss.METRIC_L2,
}
POINTS_PER_CELL = 39  # FAISS's own minimum for training a cell without a warning
LARGEST = 1e15  # squares and sums of larger numbers leave float32's range
SMALLEST_LIMIT, TABLES_A_FILE = 64_000_000, 8  # bytes; times the file's size
_limit_lock = threading.Lock()  # the byte limit below belongs to the whole process


def set_threads(n: int) -> int:
    """Set with how many threads FAISS works when this thread calls it.

    It counts for training, adding and searching; other Python threads keep theirs.

    FAISS shares the queries of one call among its threads, so a second thread helps a
    batch and hardly a single query.  With one thread, training and HNSW graphs come
    out the same every time.

    Parameters
    ----------
    n : int
        From 1; more than the machine has cores only makes them wait for each other.

    Returns
    -------
    before : int
        The number until now, to go back to.

    Raises
    ------
    ValueError
        If n is no whole number, or below 1: FAISS takes 0 without a word.
    """
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise ValueError(
            f"expected a whole number of threads, from 1. Received: {n!r}."
        )
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(int(n))
    return before


def build_index(
    embeddings: np.ndarray,
    factory: str = "Flat",
    *,
    metric: str = "inner_product",
) -> faiss.Index:
    """Build a FAISS index, train it if it must be trained, and add the vectors.

    Parameters
    ----------
    embeddings : float32 array of shape (n, d)
        Unit vectors, if the inner product is to be a cosine.  Vector i gets id i.
    factory : str
        A string of FAISS's index factory: ``"Flat"`` is exact.
    metric : {"inner_product", "l2"}
        What `search` returns: a similarity (larger is nearer) or a squared
        Euclidean distance (smaller is nearer).

    Returns
    -------
    index : faiss.Index
        Holds n vectors of dimension d.

    Raises
    ------
    ValueError
        If the array is no (n, d) float32, holds NaN or infinity, or if FAISS does
        not know the factory string or the metric.

    References
    ----------
    https://github.com/facebookresearch/faiss/wiki/The-index-factory

    Examples
    --------
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
    """Find the k nearest vectors of each query.

    Parameters
    ----------
    index : faiss.Index
    queries : float32 array of shape (q, d)
    k : int
        How many to find; more than the index holds is cut to that.

    Returns
    -------
    similarities : float32 array of shape (q, k)
        Best first; squared distances where the index was built with ``"l2"``.
    ids : int64 array of shape (q, k)
        −1 where an approximate index found fewer than k.

    Raises
    ------
    ValueError
        If k is below 1, or the queries do not have the index's dimension or are
        not finite.

    Examples
    --------
    >>> index = build_index(np.eye(3, dtype="float32"))
    >>> search_index(index, np.eye(3, dtype="float32")[1:2], 1)[1]
    array([[1]])
    """
    queries = check_vectors(queries, "queries")
    check_dimension(queries, index.d, "queries")
    return index.search(queries, max(1, min(check_k(k), index.ntotal)))


def from_factory(d: int, factory: str, metric: str) -> faiss.Index:
    """Return an empty index of FAISS's index factory."""
    if metric not in METRICS:
        raise ValueError(
            f"metric must be one of {list(METRICS)}. Received: {metric!r}."
        )
    try:
        index = faiss.index_factory(d, factory, METRICS[metric])
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"factory must be a FAISS index factory string such as 'Flat' or "
            f"'IVF32,Flat' that fits dimension {d}. Received: {factory!r}."
        ) from error
    innermost = faiss.downcast_index(index)
    while hasattr(innermost, "index"):
        innermost = faiss.downcast_index(innermost.index)
    if innermost.metric_type != METRICS[metric]:
        raise ValueError(  # HNSW_PQ drops the inner product without a word
            f"metric must be one that FAISS has for {factory}. Received: {metric!r}."
        )
    return index


def check_vectors(vectors: np.ndarray, name: str) -> np.ndarray:
    """Return the vectors as FAISS needs them, or say what is wrong.

    Parameters
    ----------
    vectors : float32 array of shape (n, d)
    name : str
        What the message calls them.

    Returns
    -------
    vectors : float32 array of shape (n, d)
        C-contiguous.

    Raises
    ------
    ValueError
        If the shape or dtype is another, or a value is NaN or infinite: FAISS takes
        such vectors without a word and never finds them again.
    """
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


def check_k(k: int) -> int:
    """Return k as the int that FAISS needs; NumPy's integers are welcome.

    Raises
    ------
    ValueError
        If k is no whole number, or below 1.
    """
    try:
        number = operator.index(k)
    except TypeError:
        raise ValueError(f"k must be a whole number. Received: {k!r}.") from None
    if number < 1:
        raise ValueError(f"k must be at least 1. Received: {k}.")
    return number


def check_dimension(vectors: np.ndarray, d: int, name: str) -> None:
    # FAISS raises an AssertionError without words, and none at all under python -O.
    if vectors.shape[1] != d:
        raise ValueError(
            f"{name} must have the index's dimension, {d}. "
            f"Received: {vectors.shape[1]}. Embed them with the same weights as the "
            "collection."
        )


def save_index(index: faiss.Index, path: str | os.PathLike) -> str:
    """Write an index so that a crash leaves the old file or the new one.

    Parameters
    ----------
    index : faiss.Index
    path : path
        Where to write; the folder must exist.

    Returns
    -------
    sha256 : str
        Of the file's bytes, for `load_index` to check.

    Raises
    ------
    OSError
        If the disk is full or not writable (`faiss.write_index` can miss that).
    """
    path = Path(path)
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
    """Read an index file.

    Parameters
    ----------
    path : path
    sha256 : str, optional
        What `save_index` returned.  FAISS itself accepts most damaged files.
    mmap : bool
        Leave the vectors in the file: the system reads what a search touches, and
        processes that map the same file share that memory.  Such an index can be
        searched only (FAISS ends the process if one adds to it), and the file must
        never be written again in place; `save_index` replaces it, which is safe (on
        Windows it has to wait until the index is gone).

    Returns
    -------
    index : faiss.Index

    Raises
    ------
    IndexFileError
        If the file is missing, damaged or no FAISS index.
    """
    path = Path(path)
    try:
        content = None if mmap else path.read_bytes()
        with io.BytesIO(content) if content is not None else open(path, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest() if sha256 else None
            size = file.seek(0, os.SEEK_END)
    except OSError as error:
        raise IndexFileError(
            f"{path}: cannot be read ({error.strerror}). Build the index again and "
            "save it."
        ) from error
    if found != sha256:
        raise IndexFileError(
            f"{path}: the file is damaged or belongs to another save (its sha256 "
            "differs from the one recorded). Build the index again and save it."
        )
    if content is not None:
        return parse_index(content, str(path))
    name, flag = os.fsdecode(path), faiss.IO_FLAG_MMAP_IFC
    return _read_bounded(lambda: faiss.read_index(name, flag), size, str(path))


def parse_index(content: bytes, name: str) -> faiss.Index:
    """Make an index of a file's bytes, in memory bounded by their number.

    Parameters
    ----------
    content : bytes
    name : str
        The file's, for errors.

    Returns
    -------
    index : faiss.Index

    Raises
    ------
    IndexFileError
        If FAISS cannot read it.
    """
    data = np.frombuffer(content, dtype=np.uint8)
    return _read_bounded(lambda: faiss.deserialize_index(data), len(content), name)


def _read_bounded(read: Callable[[], faiss.Index], size: int, name: str) -> faiss.Index:
    """Let FAISS read a file of `size` bytes, in memory bounded by that."""
    with _limit_lock:
        # A small file can claim gigabytes.  IVF-PQ makes tables that its file does not
        # hold, so a vector may be larger than the file, but only by a factor; and
        # nothing (such as an IVF's cells) may be there more often than it has bytes.
        before = faiss.get_deserialization_vector_byte_limit()
        loops = faiss.get_deserialization_loop_limit()
        limit = max(SMALLEST_LIMIT, TABLES_A_FILE * size)
        faiss.set_deserialization_vector_byte_limit(limit)
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
