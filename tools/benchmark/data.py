"""The collections of the benchmark: vectors, held-out queries, true neighbours.

A collection is a folder with `base.npy`, `queries.npy`, `exact.npz` and `facts.json`.
Settings are chosen on every other query, and reported on the rest (`halves`).
The collection of a million is never written: its folder holds the few real vectors that
it is drawn from, and every process draws it anew, block by block.
"""

import hashlib
import json
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tools.benchmark.contenders import K
from utils.collection.cache import VectorCache
from utils.collection.extraction import embed_files
from utils.gallery import read_metadata
from utils.images import scan_folder
from utils.practice.enlarge import LENGTH_TOLERANCE, enlarge, iterate_enlarged

BLOCK = 16_384  # rows that are looked at together


@dataclass(frozen=True)
class Facts:
    """What a collection is, and a fingerprint of its very numbers."""

    title: str  # "97,500 real vectors"
    note: str  # where they come from
    n: int
    d: int
    queries: int
    fingerprint: str
    real: bool = False
    streamed: bool = False


class Exact(NamedTuple):
    """The true k nearest: ids and similarities of shape (q, k), best first."""

    ids: np.ndarray
    similarities: np.ndarray


class NearestSoFar:
    """The exact neighbours in a collection that passes by in blocks."""

    def __init__(self, queries: np.ndarray) -> None:
        self.queries, self.seen = queries, 0
        self.best = np.full((len(queries), K), -np.inf, dtype=np.float32)
        self.ids = np.full((len(queries), K), -1, dtype=np.int64)

    def look_at(self, block: np.ndarray) -> None:
        """Compare the queries with the next vectors of the collection."""
        for start in range(0, len(block), BLOCK):
            similarities = self.queries @ block[start : start + BLOCK].T
            ids = np.arange(similarities.shape[1]) + self.seen + start
            self._merge(similarities, np.broadcast_to(ids, similarities.shape))
        self.seen += len(block)

    def _merge(self, similarities: np.ndarray, ids: np.ndarray) -> None:
        if similarities.shape[1] > K:  # most of them cannot come in
            top = np.argpartition(-similarities, K - 1, axis=1)[:, :K]
            similarities = np.take_along_axis(similarities, top, axis=1)
            ids = np.take_along_axis(ids, top, axis=1)
        similarities = np.hstack([self.best, similarities])
        ids = np.hstack([self.ids, ids])
        order = np.argsort(-similarities, axis=1, kind="stable")[:, :K]
        self.best = np.take_along_axis(similarities, order, axis=1)
        self.ids = np.take_along_axis(ids, order, axis=1)

    def save(self, folder: Path) -> None:
        """Write `exact.npz`."""
        np.savez(folder / "exact.npz", ids=self.ids, similarities=self.best)


def load_exact(folder: Path) -> Exact:
    """Read what `NearestSoFar.save` wrote."""
    with np.load(folder / "exact.npz") as file:
        return Exact(file["ids"], file["similarities"])


def load_facts(folder: Path) -> Facts:
    """Read the facts of a collection."""
    return Facts(**json.loads((folder / "facts.json").read_text(encoding="utf-8")))


def stream(folder: Path) -> Iterator[np.ndarray]:
    """Draw the vectors of a collection that is not kept, in blocks."""
    return iterate_enlarged(np.load(folder / "source.npy"), load_facts(folder).n)


def write_collection(
    folder: Path,
    base: np.ndarray,
    queries: np.ndarray,
    *,
    title: str,
    note: str,
    real: bool = False,
) -> Path:
    """Write a collection, unless these very vectors are there already.

    Parameters
    ----------
    folder : Path
    base : float32 array of shape (n, d)
    queries : float32 array of shape (q, d)
    title, note : str
        For the page.
    real : bool
        Whether they are pictures' own vectors.

    Returns
    -------
    folder : Path
    """
    mark = fingerprint([base, queries])
    n, d = base.shape
    facts = Facts(title, note, n, d, len(queries), mark, real)
    if not _is_there(folder, facts):
        folder.mkdir(parents=True, exist_ok=True)
        _write_queries(folder, queries)
        np.save(folder / "base.npy", base)
        nearest = NearestSoFar(queries)
        nearest.look_at(base)
        nearest.save(folder)
    return _write_facts(folder, facts)


def write_streamed(folder: Path, source: np.ndarray, n: int, n_queries: int) -> Path:
    """Write what a collection of n vectors is drawn from, and its queries.

    The true neighbours are found by the first process that draws it.
    """
    queries = enlarge(source, n_queries, seed=1)
    mark = fingerprint([source, queries, np.array([n])])
    note = "drawn from the gallery's vectors by `utils.practice.enlarge`; synthetic"
    title = f"{n:,} vectors by enlargement"
    facts = Facts(title, note, n, source.shape[1], n_queries, mark, streamed=True)
    if not _is_there(folder, facts):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "exact.npz").unlink(missing_ok=True)
        np.save(folder / "source.npy", source)
        _write_queries(folder, queries)
    return _write_facts(folder, facts)


def write_enlarged(folder: Path, source: np.ndarray, n: int, n_queries: int) -> Path:
    """Write a collection of n vectors that `utils.practice.enlarge` draws."""
    base, queries = enlarge(source, n), enlarge(source, n_queries, seed=1)
    title = f"{n:,} vectors by enlargement"
    real = f"{len(source):,} real vectors"
    note = f"drawn from {real} by `utils.practice.enlarge`; synthetic"
    return write_collection(folder, base, queries, title=title, note=note)


def hold_out(vectors: np.ndarray, n_queries: int) -> tuple[np.ndarray, np.ndarray]:
    """Set queries aside, chosen and ordered at random: (the rest, the queries)."""
    n_queries = min(n_queries, len(vectors) // 5)
    rows = np.random.default_rng(seed=0).permutation(len(vectors))
    rest, queries = np.sort(rows[n_queries:]), rows[:n_queries]
    return np.ascontiguousarray(vectors[rest]), np.ascontiguousarray(vectors[queries])


def halves(queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what settings are chosen on, and what they are reported on."""
    return queries[::2], queries[1::2]


def read_vectors(path: Path) -> np.ndarray:
    """Read real vectors from a file and check them.

    Parameters
    ----------
    path : Path
        Written by ``numpy.save``.

    Returns
    -------
    vectors : float32 array of shape (n, d)
        Mapped from the file, not yet in memory.

    Raises
    ------
    ValueError
        If it is no such file, or its rows are not finite and of length 1.
    """
    try:
        vectors = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(
            f"{path}: expected an array written by numpy.save. Received: {error}. "
            "Save it: np.save(path, embeddings)."
        ) from error
    shape: tuple[int, ...] = getattr(vectors, "shape", ())
    dtype = getattr(vectors, "dtype", "no array")
    if len(shape) != 2 or dtype != np.float32 or shape[0] < 100 or shape[1] < 8:
        raise ValueError(
            f"{path}: expected float32 of shape (n, d), at least 100 vectors of 8 "
            f"numbers. Received: {dtype} of shape {shape}. Save the embeddings as "
            "they come from utils.collection.extraction.embed_files."
        )
    for start in range(0, len(vectors), BLOCK):
        lengths = np.linalg.norm(vectors[start : start + BLOCK], axis=1)
        wrong = ~(np.abs(lengths - 1) < LENGTH_TOLERANCE)  # NaN is wrong, too
        if wrong.any():
            row = int(np.argmax(wrong))
            raise ValueError(
                f"{path}: expected vectors of length 1. Row {start + row} has length "
                f"{lengths[row]:.3g}. Divide each row by its length."
            )
    return vectors


def embed_gallery(images: Path) -> np.ndarray:
    """Return the gallery's vectors, float32 of shape (n, 2048).

    `images` is the folder with `metadata.csv`.
    """
    rows = read_metadata(images / "metadata.csv")
    return _embed([images / row["file"] for row in rows])


def embed_photos(source: Path, vectors: Path) -> int:
    """Embed photos with the bundled weights, and write the vectors for `--vectors`.

    Parameters
    ----------
    source : Path
        A folder of class folders, or of zip files that hold them.
    vectors : Path
        The .npy file to write.  Stopped in the midst of it, call it again: beside it is
        a cache, until it is whole.

    Returns
    -------
    n : int
        How many there are.
    """
    kept = vectors.with_suffix(".sqlite")
    with tempfile.TemporaryDirectory() as unpacked:
        archives = sorted(source.glob("*.zip"))
        for archive in archives:
            with zipfile.ZipFile(archive) as entries:
                entries.extractall(Path(unpacked) / archive.stem)
        paths = scan_folder(unpacked if archives else source).paths
        with VectorCache(kept) as cache:
            found = _embed(paths, cache)
    np.save(vectors, found)
    for file in kept.parent.glob(f"{kept.name}*"):  # and what SQLite puts beside it
        file.unlink()
    return len(found)


def _embed(paths: list[Path], cache: VectorCache | None = None) -> np.ndarray:
    embedded = embed_files(paths, cache=cache, progress=True)
    if embedded.refused:
        first = embedded.refused[0]
        print(f"{len(embedded.refused)} refused, first {first.path}: {first.reason}")
    return embedded.vectors


def fingerprint(arrays: Iterable[np.ndarray]) -> str:
    """Return 16 hexadecimal digits that stand for the arrays' very bytes."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(str(array.shape).encode())
        for start in range(0, len(array), BLOCK):
            digest.update(np.ascontiguousarray(array[start : start + BLOCK]).data)
    return digest.hexdigest()[:16]


def _is_there(folder: Path, facts: Facts) -> bool:
    try:
        return load_facts(folder).fingerprint == facts.fingerprint
    except (OSError, ValueError, TypeError):
        return False


def _write_queries(folder: Path, queries: np.ndarray) -> None:
    (folder / "facts.json").unlink(missing_ok=True)  # written last: all else is there
    np.save(folder / "queries.npy", queries)


def _write_facts(folder: Path, facts: Facts) -> Path:
    text = json.dumps(asdict(facts), indent=1)
    (folder / "facts.json").write_text(text, encoding="utf-8")
    return folder
