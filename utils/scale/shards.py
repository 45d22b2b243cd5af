"""One index in several parts, its *shards*: filled, searched, merged, replaced.

All shards of an index are copies of one that was trained once, so they share its cells
and its codes, and each holds ids that no other holds. Vectors are float32 arrays of
shape (n, d), ids int64 arrays of shape (n,).

On disk each shard is a folder of its own (see `utils.collection.bundles`), so one can
be replaced while others are read: a reader finds the old shard or the new one whole.
"""

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from utils.collection.bundles import generation_in, read_bundle, write_bundle
from utils.collection.faiss_parts import (
    as_ids,
    codes_of,
    ivf_of,
    new_index,
    stored_ids,
    train,
    transforms_of,
)
from utils.collection.locks import locked
from utils.errors import IndexFileError, LookalikeError, check_k, expanded
from utils.indexes import (
    METRICS,
    check_dimension,
    check_vectors,
    faiss,
    load_index,
    save_index,
    search_index,
)

FILE, CELLS, HEADER = "index.faiss", "cells.ivfdata", "header.faiss"


# --- Train once, fill, search ------------------------------------------------------


def train_empty(
    sample: np.ndarray,
    factory: str,
    *,
    metric: str = "inner_product",
    nprobe: int | None = None,
) -> faiss.Index:
    """Train an index and leave it empty: what every shard is a copy of.

    `sample` is drawn from the whole collection, `factory` and `metric` are those of
    `utils.indexes.build_index`; the index takes ids of yours. `nprobe` is how many
    cells each search will look into, if it has cells.
    """
    sample = check_vectors(sample, "sample")
    index = new_index(sample.shape[1], factory, metric)
    if not index.is_trained:
        train(index, sample)
    if nprobe is not None:
        if (cells := ivf_of(index)) is None:
            raise ValueError(
                f"nprobe needs an index with cells, such as 'IVF64,SQ8'. Received: "
                f"{nprobe} for {factory!r}."
            )
        cells.nprobe = check_k(nprobe, "nprobe")
    return index


def fill(trained: faiss.Index, vectors: np.ndarray, ids: Iterable[int]) -> faiss.Index:
    """Copy the trained, empty index and add vectors with ids: one shard."""
    vectors, numbers = check_vectors(vectors, "vectors"), as_ids(ids)
    check_dimension(vectors, trained.d, "vectors")
    different = len(np.unique(numbers))
    if not len(numbers) == different == len(vectors):
        raise ValueError(
            f"ids must be one for each of {len(vectors)} vectors, all different. "
            f"Received: {len(numbers)} ids, {different} different."
        )
    shard = faiss.clone_index(trained)
    shard.add_with_ids(vectors, numbers)
    return shard


def merge_best(
    lists: Sequence[tuple[np.ndarray, np.ndarray]],
    k: int,
    metric: str = "inner_product",
) -> tuple[np.ndarray, np.ndarray]:
    """Merge the k-best lists of several shards into the k best of all.

    Each list is (similarities, ids), both of shape (q, at most k), from shards with one
    metric: a squared distance and a similarity cannot be compared.

    >>> one = np.array([[0.9, 0.5]]), np.array([[4, 7]])
    >>> two = np.array([[0.8, 0.1]]), np.array([[2, 3]])
    >>> merge_best([one, two], 3)[1]
    array([[4, 2, 7]])
    """
    similarities = np.concatenate([found for found, _ in lists], axis=1)
    ids = np.concatenate([found for _, found in lists], axis=1)
    sign = -1 if metric == "inner_product" else 1
    best = np.argsort(sign * similarities, axis=1, kind="stable")[:, : check_k(k)]
    return (
        np.take_along_axis(similarities, best, axis=1),
        np.take_along_axis(ids, best, axis=1),
    )


def search_shards(
    shards: Sequence[faiss.Index], queries: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Search one shard after another and merge: as `utils.indexes.search_index`."""
    metric = check_alike(shards)
    lists = [search_index(shard, queries, k) for shard in shards if shard.ntotal]
    if not lists:
        raise ValueError(
            "the shards must hold vectors. Received: none. Use `fill` first."
        )
    return merge_best(lists, k, metric)


# --- Check and merge ---------------------------------------------------------------


def check_alike(shards: Sequence[faiss.Index]) -> str:
    """Return the metric of all shards; ValueError if they differ in it, or in d."""
    if not shards:
        raise ValueError("shards must be one index or more. Received: none.")
    kinds = sorted({(shard.d, shard.metric_type) for shard in shards})
    if len(kinds) > 1:
        names = {number: name for name, number in METRICS.items()}
        found = ", ".join(f"{names.get(m, m)} in {d} dimensions" for d, m in kinds)
        raise ValueError(
            "shards must share one metric and one dimension, or their numbers cannot "
            f"be compared. Received: {found}. Build them from one trained index."
        )
    return next(n for n, number in METRICS.items() if number == kinds[0][1])


def check_separate(ids_of: Sequence[np.ndarray]) -> None:
    """Raise a ValueError if an id is in two shards: their answers would be mixed up."""
    found, counts = np.unique(np.concatenate(ids_of), return_counts=True)
    if (twice := found[counts > 1]).size:
        holders = [i for i, ids in enumerate(ids_of) if twice[0] in ids]
        raise ValueError(
            f"an id must be in one shard only. Received: {len(twice)} that are in "
            f"several, such as {twice[0]} in shards {holders}. Give each shard ids of "
            "its own."
        )


def training_of(index: faiss.Index) -> str:
    """Return a hash of what training fixed: rotations, cells and codes.

    Codes of one index mean nothing to another that was trained on other vectors.
    FAISS's `merge_from` compares the cells and not the codes.
    """
    cells, codes = ivf_of(index), codes_of(index)
    arrays = [faiss.vector_to_array(step.A) for step in transforms_of(index)]
    if cells is not None:
        arrays.append(faiss.serialize_index(cells.quantizer))
    if hasattr(codes, "pq"):
        arrays.append(faiss.vector_to_array(codes.pq.centroids))
    if hasattr(codes, "sq"):
        arrays.append(faiss.vector_to_array(codes.sq.trained))
    kind = f"{type(codes).__name__} {index.d} {index.metric_type} {codes.code_size} "
    content = kind.encode() + b"".join(array.tobytes() for array in arrays)
    return hashlib.sha256(content).hexdigest()


def merge_shards(shards: Sequence[faiss.Index]) -> faiss.Index:
    """Merge shards into one new index by FAISS's `merge_from`; they stay as they are.

    ValueError if they were not trained together, or an id is in two of them.
    """
    _check_mergeable(shards)
    merged = faiss.clone_index(shards[0])
    for shard in shards[1:]:
        merged.merge_from(faiss.clone_index(shard), 0)  # it empties what it takes from
    return merged


def merge_on_disk(
    trained: faiss.Index, shards: Sequence[faiss.Index], folder: str | os.PathLike
) -> faiss.Index:
    """Merge shards into files, through FAISS's `contrib.ondisk`, and open the result.

    The cells stay in one file that searches read from, so the index may be larger than
    the memory. Only for an index with cells, as those of 'IVF64,SQ8'.
    """
    if not isinstance(trained, faiss.IndexIVF) or trained.ntotal:
        raise ValueError(
            "trained must be an empty index with cells, such as "
            "train_empty(sample, 'IVF64,SQ8')."
        )
    _check_mergeable([trained, *shards])
    folder = Path(expanded(folder))
    folder.mkdir(parents=True, exist_ok=True)
    for name in (CELLS, HEADER):
        (folder / name).unlink(missing_ok=True)  # whoever has it mapped keeps it
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        names = [os.path.join(scratch, f"{i}.faiss") for i in range(len(shards))]
        for shard, name in zip(shards, names, strict=True):
            save_index(shard, name)
        merged, cells = faiss.clone_index(trained), os.fspath(folder / CELLS)
        _silently(lambda: faiss.contrib.ondisk.merge_ondisk(merged, names, cells))
    save_index(merged, folder / HEADER)
    return open_on_disk(folder)


def open_on_disk(folder: str | os.PathLike) -> faiss.Index:
    """Open what `merge_on_disk` wrote, for searching; IndexFileError if it is gone.

    Open only your own: FAISS takes the name of the cells' file from the header.
    """
    header = Path(expanded(folder)) / HEADER
    flags = faiss.IO_FLAG_ONDISK_SAME_DIR | faiss.IO_FLAG_READ_ONLY
    try:
        return _silently(lambda: faiss.read_index(os.fspath(header), flags))
    except RuntimeError as error:
        raise IndexFileError(
            f"{header}: expected an index that `merge_on_disk` wrote, with {CELLS} "
            "beside it. Received: files that FAISS cannot read. Merge the shards again."
        ) from error


def _check_mergeable(shards: Sequence[faiss.Index]) -> None:
    check_alike(shards)
    first = training_of(shards[0])
    others = [i for i, shard in enumerate(shards) if training_of(shard) != first]
    if others:
        raise ValueError(
            f"shards must be copies of one trained index to be merged. Received: other "
            f"cells or codes in shards {others}. Fill copies of one `train_empty`, or "
            "search them apart with `search_shards`."
        )
    check_separate([stored_ids(shard) for shard in shards])


def _silently(call: Callable[[], Any]) -> Any:
    """Call FAISS without what its C++ prints of files; a notebook would store it."""
    sys.stdout.flush()
    saved = os.dup(1)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        try:
            return call()
        finally:
            os.dup2(saved, 1)
            os.close(saved)


# --- Shards in folders, replaced while they are read -------------------------------


class ShardSet:
    """The shards in a folder, mapped from their files and searched together.

    A search uses the shards it began with. `refresh` opens those that were replaced
    since, by this process or another, and takes them over in one step.
    """

    def __init__(self, folder: str | os.PathLike) -> None:
        self.folder = Path(expanded(folder))
        self._state: dict[str, tuple[str, faiss.Index]] = {}
        self.refresh()

    def refresh(self) -> list[str]:
        """Take over what was replaced; returns the names of those shards."""
        state = {}
        for name in shard_names(self.folder):
            known = self._state.get(name)
            if known is None or generation_in(self.folder / name) != known[0]:
                known = _open_shard(self.folder / name)
            state[name] = known
        if not state:
            raise IndexFileError(
                f"{self.folder}: expected shards. Received: none. Use `publish`."
            )
        changed = [name for name in state if state[name] != self._state.get(name)]
        self._state = state
        return changed

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Search all shards: as `search_shards`."""
        return search_shards([index for _, index in self._state.values()], queries, k)


def publish(folder: str | os.PathLike, name: str, shard: faiss.Index) -> None:
    """Put a shard into a folder of shards, or in place of the one of that name.

    Nothing is changed, and a ValueError raised, if it doesn't go with the others: it
    has another metric or dimension, or ids that another shard holds.
    """
    if not name.isidentifier():
        raise ValueError(
            f"name must be letters, digits and _, such as 'shard_0'. Received: {name!r}"
        )
    folder = Path(expanded(folder))
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        names = [other for other in shard_names(folder) if other != name]
        shards = [shard, *(_open_shard(folder / other)[1] for other in names)]
        check_alike(shards)
        check_separate([stored_ids(each) for each in shards])
        write_bundle(
            folder / name,
            {FILE: lambda file: _write(shard, file)},
            {"ntotal": shard.ntotal, "training": training_of(shard)},
        )


def shard_names(folder: Path) -> list[str]:
    """Return the names of the shards in a folder, sorted."""
    return sorted(path.parent.name for path in folder.glob("*/CURRENT"))


def _open_shard(folder: Path) -> tuple[str, faiss.Index]:
    opener = {FILE: lambda path: load_index(path, mmap=True)}
    bundle = read_bundle(folder, openers=opener)
    return bundle.folder.name, bundle.files[FILE]


def _write(index: faiss.Index, file: Any) -> None:
    faiss.write_index(index, faiss.PyCallbackIOWriter(file.write))


# --- Choose where an index is searched ---------------------------------------------


def place(index: faiss.Index, where: str = "cpu") -> faiss.Index:
    """Return the index for searching on ``"cpu"``, ``"gpu"`` or a GPU as ``"gpu:1"``.

    A GPU needs the package faiss-gpu in place of faiss-cpu. LookalikeError if it is not
    installed or sees no such GPU; it never falls back to the processor without a word.
    """
    kind, _, number = where.partition(":")
    if kind == "cpu" and not number:
        return index
    if kind != "gpu" or not (number or "0").isdecimal():
        raise ValueError(
            f"where must be 'cpu', 'gpu' or such as 'gpu:1'. Received: {where!r}."
        )
    if not hasattr(faiss, "StandardGpuResources"):
        raise LookalikeError(
            f"{where}: expected FAISS built for GPUs. Received: FAISS "
            f"{faiss.__version__} for processors only. Install faiss-gpu in place of "
            "faiss-cpu, on Linux with CUDA, or use 'cpu'."
        )
    if int(number or 0) >= faiss.get_num_gpus():
        raise LookalikeError(
            f"{where}: expected that GPU. Received: {faiss.get_num_gpus()} that FAISS "
            "sees, counted from 0. Check nvidia-smi, or use 'cpu'."
        )
    resources = faiss.StandardGpuResources()
    return faiss.index_cpu_to_gpu(resources, int(number or 0), index)
