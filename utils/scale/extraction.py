"""Vectors of more pictures than one process can embed: a Ray Data job.

    python -m utils.scale.extraction PICTURES OUT --workers 2
    python -m utils.scale.extraction PICTURES OUT --workers 64 --address auto

The second line runs on a cluster (`ray start` on each machine), where the pictures, OUT
and this repository lie at the same paths on all machines.

The pictures are cut into blocks, and each block becomes a file in OUT.  A worker is a
process (an actor of Ray's) that loads the network once.  It calls `embed_files`, as one
machine does: a picture that cannot be read is a row among the refused ones, and its
block goes on.  In OUT lie

- ``files.parquet``: the id, path and label of each file, and what the scan refused
- ``vectors-….parquet``: id, path, label, sha256 and vector
- ``refused-….parquet``: id, path, sha256 and reason

An id is a file's number in the folder.  It stays; refused pictures leave gaps.  A file
is written whole under another name and then renamed, so a job that is killed leaves
whole blocks, and the next call does the rest.  What has a vector already is read, and
computed again only if its content has changed.

The one module that imports pyarrow.
"""

import argparse
import hashlib
import importlib
import logging
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from utils.beyond.networks import load_network
from utils.collection.bundles import made_folder, sync_folder
from utils.collection.cache import VectorCache
from utils.collection.catalogue import Catalogue, Item, absolute
from utils.collection.changes import once_each
from utils.collection.extraction import embed_files
from utils.collection.search import ImageSearch
from utils.collection.vector_index import VectorIndex
from utils.embeddings import Embedder, load_embedder
from utils.errors import (
    LookalikeError,
    PictureError,
    check_k,
    import_optional,
    printable,
)
from utils.images import Refusal, scan_folder, sha256_of
from utils.scale.ray_cluster import INSTALL, PURPOSE, running_ray

ROOT = Path(__file__).resolve().parents[2]
FILES = "files.parquet"
TRIES = 5  # of a block whose process died; Ray itself would try for ever
NO_ANSWER = {"trouble": f"its process died {TRIES} times"}
Load = Callable[[], Embedder]


class Done(NamedTuple):
    """What one call of `extract` did; `lost` are tried again by the next."""

    embedded: int  # pictures whose vectors were computed now
    kept: int  # pictures that had a vector, or a refusal, already
    refused: list[Refusal]  # all files that have no vector, and why
    lost: list[Refusal]  # files of blocks that failed, and how
    seconds: float


class Extracted(NamedTuple):
    """What `read_extracted` returns; row i of `vectors` is of ``items[i]``."""

    ids: np.ndarray  # int64, of shape (n,), ascending
    vectors: np.ndarray  # float32, of shape (n, d)
    items: list[Item]
    refused: list[Refusal]
    pipeline: str
    root: Path


class Job(NamedTuple):
    """What all workers of one call have in common."""

    load: Load
    out: Path
    run: int  # counts the calls that wrote into `out`
    pipeline: str  # of the vectors there; "" if there are none
    workers: int
    num_gpus: float


class _Row(NamedTuple):
    """The newest that OUT knows of a file."""

    sha256: str
    reason: str  # "" if it has a vector, which is:
    part: Path
    number: int


def extract(
    folder: str | os.PathLike,
    out: str | os.PathLike,
    *,
    load: Load | None = None,
    workers: int = 2,
    num_gpus: float = 0,
    address: str | None = None,
    block: int = 128,
) -> Done:
    """Embed all pictures below a folder into Parquet files, by several processes.

    Call it again after it was stopped, or when pictures have come: it goes on.
    FileNotFoundError if there is no such folder; ValueError if no picture is in it;
    LookalikeError if OUT cannot be written or holds another network's vectors, the
    network cannot be loaded, or Ray is missing or has no GPU and one is asked for.

    Parameters
    ----------
    folder, out : path
    load : function, optional
        Called in each worker, returns its embedder; default `load_embedder`.
    workers : int
        Processes, each with a network of its own.
    num_gpus : float
        Of each worker: 1, or a share of one.
    address : str, optional
        Of a Ray cluster, such as "auto".  By default Ray is started for this call on
        this machine alone, unless the process has started it, and stopped afterwards.
    block : int
        Files that are done, or done again, together.
    """
    start, block = time.perf_counter(), check_k(block, "block")
    if not 0 <= num_gpus < float("inf"):
        raise ValueError(f"num_gpus must be at least 0. Received: {num_gpus}.")
    out, workers = made_folder(absolute(out)), check_k(workers, "workers")
    known, run, pipeline = _known(out)
    rows = _list_files(folder, out)
    for row in rows:
        row["known"] = known[row["id"]].sha256 if row["id"] in known else ""
    blocks = [rows[i : i + block] for i in range(0, len(rows), block)]
    load = load or partial(load_embedder, verbose=False)
    job, answers = Job(load, out, run, pipeline, workers, num_gpus), {}
    with running_ray(address, cores=workers, num_gpus=num_gpus) as ray:
        for answer in _run(ray, blocks, job):
            answers[answer["first"]] = answer
            if answer["fatal"]:
                raise LookalikeError(
                    f"{answer['trouble']}. The blocks in {printable(str(out))} are "
                    "whole: call extract again, and it goes on."
                )
    _sweep(out)
    lost = []
    for files in blocks:
        trouble = answers.get(files[0]["id"], NO_ANSWER)["trouble"]
        if trouble:
            lost += [Refusal(Path(os.fsdecode(row["path"])), trouble) for row in files]
    embedded = sum(answer["embedded"] for answer in answers.values())
    kept = sum(answer["kept"] for answer in answers.values())
    refused = _refused(_read_files(out)[0], _known(out)[0])
    return Done(embedded, kept, refused, lost, time.perf_counter() - start)


def read_extracted(out: str | os.PathLike) -> Extracted:
    """Read what `extract` has written so far, in the order of the ids.

    LookalikeError if there is nothing, or a file is damaged.
    """
    out = absolute(out)
    known, _, pipeline = _known(out)
    files, facts = _read_files(out)
    taken = {row["id"]: row for row in files if row["id"] in known}
    ids = [id for id in sorted(taken) if not known[id].reason]
    if not ids:
        raise LookalikeError(
            f"{printable(str(out))}: expected vectors. Received {len(files)} files and "
            "no vector. Call extract."
        )
    wanted: dict[Path, list[int]] = {}
    for place, id in enumerate(ids):
        wanted.setdefault(known[id].part, []).append(place)
    vectors = np.empty((0, 0), np.float32)
    for part, places in wanted.items():
        found = _read(part, ["vector"])["vector"].combine_chunks()
        table = found.flatten().to_numpy().reshape(len(found), -1)
        if not vectors.size:
            vectors = np.empty((len(ids), table.shape[1]), np.float32)
        vectors[places] = table[[known[ids[place]].number for place in places]]
    items = [_item(taken[id], known[id].sha256) for id in ids]
    refused = _refused(files, known)
    root = Path(os.fsdecode(facts[b"root"]))
    return Extracted(np.array(ids), vectors, items, refused, pipeline, root)


def build_search(
    out: str | os.PathLike, *, factory: str = "Flat", embedder: Embedder | None = None
) -> ImageSearch:
    """Make an `ImageSearch` of what `extract` has written; the ids are the same."""
    found = read_extracted(out)
    index = VectorIndex(found.vectors[:0])
    index.replace([], found.vectors, new_ids=found.ids.tolist())
    if factory != "Flat":
        index = index.rebuilt(vectors=found.vectors, factory=factory)
    items = dict(zip(found.ids.tolist(), found.items, strict=True))
    return ImageSearch(
        index,
        Catalogue(items, found.root),
        pipeline=found.pipeline,
        embedder=embedder,
        refused=found.refused,
    )


# --- The worker ------------------------------------------------------------------


class Worker:
    """What runs in each process: a block of files in, files in OUT, a few counts out.

    Public only because other processes import it.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.embedder: Embedder | None = None
        # TensorFlow would give each process all the cores.
        cores = max(1, (os.cpu_count() or 1) // job.workers)
        os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(cores))

    def __call__(self, block: dict[str, np.ndarray]) -> dict[str, list]:
        """Do a block; an error is an answer, too, so that nothing is tried in vain."""
        answer = {"first": int(block["id"][0]), "trouble": "", "fatal": False}
        answer |= {"embedded": 0, "kept": 0}
        rows = zip(*block.values(), strict=True)
        files = [dict(zip(block, row, strict=True)) for row in rows]
        name = hashlib.sha256(b"\0".join(block["path"])).hexdigest()[:16]
        died = len(list(self.job.out.glob(f"{name}.*.part")))
        mark = self.job.out / f"{name}.{died}.part"  # stays if this process is killed
        try:
            if died == TRIES:
                return {key: [value] for key, value in (answer | NO_ANSWER).items()}
            mark.touch()
            new = [row for row in files if not _is_known(row)]
            answer["kept"] = len(files) - len(new)
            answer["embedded"] = self._embed(new, name) if new else 0
        except (LookalikeError, OSError) as error:
            answer |= {"trouble": str(error), "fatal": True}
        except Exception as error:  # of one block: the others go on
            answer["trouble"] = f"{type(error).__name__}: {error}"
        mark.unlink(missing_ok=True)
        return {key: [value] for key, value in answer.items()}

    def _embed(self, files: list[dict[str, Any]], name: str) -> int:
        pyarrow, embedder = import_pyarrow(), self._loaded()
        paths = [Path(os.fsdecode(row["path"])) for row in files]
        with VectorCache(":memory:") as nowhere:  # OUT is where vectors are kept
            found = embed_files(paths, embedder, cache=nowhere)
        reasons = dict(found.refused)
        bad = [i for i, path in enumerate(paths) if path in reasons]
        columns = {"sha256": [_sha256(paths[i]) for i in bad]}
        columns["reason"] = [reasons[paths[i]] for i in bad]
        if bad:
            self._write("refused", name, [files[i] for i in bad], columns)
        good = [files[i] for i in found.positions]
        if good:
            flat, d = pyarrow.array(found.vectors.ravel()), found.vectors.shape[1]
            vectors = pyarrow.FixedSizeListArray.from_arrays(flat, d)
            columns = {"sha256": found.sha256s, "vector": vectors}
            columns = {"label": [_text(row["label"]) for row in good]} | columns
            self._write("vectors", name, good, columns)
        return len(good)

    def _loaded(self) -> Embedder:
        if self.embedder is None:
            try:
                embedder = self.job.load()
            except Exception as error:
                message = f"the network cannot be loaded: {error}"
                raise LookalikeError(message) from error
            if self.job.pipeline not in ("", embedder.pipeline):
                raise LookalikeError(
                    f"{self.job.out}: expected vectors of {embedder.pipeline}. "
                    f"Received those of {self.job.pipeline}. Choose another folder"
                )
            self.embedder = embedder
        return self.embedder

    def _write(self, kind: str, name: str, files: list, columns: dict) -> None:
        start = {"id": [row["id"] for row in files]}
        start["path"] = [_text(row["path"]) for row in files]
        table = import_pyarrow().table(start | columns)
        facts = {"pipeline": self.embedder.pipeline} if self.embedder else {}
        path = self.job.out / f"{kind}-{self.job.run:05d}-{name}.parquet"
        _write(path, table.replace_schema_metadata(facts))


def _is_known(row: Mapping[str, Any]) -> bool:
    return bool(row["known"]) and row["known"] == _sha256(os.fsdecode(row["path"]))


def _sha256(path: str | os.PathLike) -> str:
    try:
        return sha256_of(path)
    except PictureError:
        return ""


def _text(name: bytes) -> str:
    """Return a name that any program can read; those that are not UTF-8 are escaped."""
    return name.decode("utf-8", "backslashreplace")


# --- Files -----------------------------------------------------------------------


def import_pyarrow() -> Any:
    """Import pyarrow and its Parquet, or say how to install them."""
    import_optional("pyarrow.parquet", INSTALL, PURPOSE)
    return import_optional("pyarrow", INSTALL, PURPOSE)


def _write(path: Path, table: Any) -> None:
    """Write a table so that a crash leaves the whole file or none."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with open(temporary, "wb") as file:
            import_pyarrow().parquet.write_table(
                table, file, use_dictionary=["label"], write_page_checksum=True
            )
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        raise LookalikeError(
            f"{path}: cannot be written ({error.strerror or error})"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _read(path: Path, columns: Sequence[str] | None = None) -> Any:
    """Read columns of a file, or all; LookalikeError if it is damaged or not there."""
    try:
        with open(path, "rb") as file:
            parquet = import_pyarrow().parquet.ParquetFile
            return parquet(file, page_checksum_verification=True).read(columns)
    except Exception as error:  # pyarrow raises several kinds
        raise LookalikeError(
            f"{path}: expected a Parquet file that extract wrote. Received: {error}. "
            "Delete it, and call extract again."
        ) from error


def _known(out: Path) -> tuple[dict[int, _Row], int, str]:
    """Return the newest of each id, the number of the next run, and the pipeline."""
    known: dict[int, _Row] = {}
    parts = [path for path in out.glob("*-*-*.parquet") if path.is_file()]
    # Of one run, a vector counts more than a refusal: "vectors" comes later.
    parts.sort(key=lambda path: (path.name.split("-")[1], path.name))
    pipelines, run = set(), 1
    for part in parts:
        columns = ["id", "sha256"] + ["reason"] * part.name.startswith("refused")
        try:
            table = _read(part, columns)
        except LookalikeError as error:
            kept = part.with_suffix(".damaged")
            os.replace(part, kept)
            warnings.warn(f"{error} It is kept as {kept.name}.", stacklevel=3)
            continue
        run = int(part.name.split("-")[1]) + 1
        pipelines.add(table.schema.metadata[b"pipeline"].decode())
        for number, row in enumerate(table.to_pylist()):
            reason = row.get("reason", "")
            known[row["id"]] = _Row(row["sha256"], reason, part, number)
    if len(pipelines) > 1:
        raise LookalikeError(
            f"{out}: expected vectors of one network. Received: "
            f"{', '.join(sorted(pipelines))}. Choose another folder."
        )
    return known, run, "".join(pipelines)


def _list_files(folder: str | os.PathLike, out: Path) -> list[dict[str, Any]]:
    """Scan the folder and write FILES; a file that is in it already keeps its id."""
    found, root = scan_folder(folder), absolute(folder)
    if not found.paths:
        raise ValueError(
            f"{printable(str(folder))}: expected pictures, found none that can be read "
            f"({len(found.refused)} files refused)."
        )
    before, facts = _read_files(out) if (out / FILES).exists() else ([], {})
    ids = {row["path"]: row["id"] for row in before if row["id"] >= 0}
    next_id, rows = int(facts.get(b"next_id", 0)), []
    for path, label in once_each(found.paths, found.labels, root).items():
        name = os.fsencode(path)
        id = ids.get(name, next_id)
        next_id = max(next_id, id + 1)
        rows.append({"id": id, "path": name, "label": os.fsencode(label), "reason": ""})
    nobody = {"id": -1, "label": b""}
    refused = [
        nobody | {"path": os.fsencode(path), "reason": reason}
        for path, reason in found.refused
    ]
    _sweep(out)
    table = import_pyarrow().Table.from_pylist(rows + refused)
    about = {"root": os.fsencode(root), "next_id": str(next_id)}
    _write(out / FILES, table.replace_schema_metadata(about))
    return rows


def _sweep(out: Path) -> None:
    """Delete what killed processes have left."""
    for stray in out.glob("*.part"):
        stray.unlink(missing_ok=True)


def _read_files(out: Path) -> tuple[list[dict[str, Any]], Mapping[bytes, bytes]]:
    table = _read(out / FILES)
    return table.to_pylist(), table.schema.metadata


def _refused(files: Sequence[Mapping], known: Mapping[int, _Row]) -> list[Refusal]:
    reasons = [(row, row["reason"]) for row in files if row["reason"]]
    reasons += [(row, known[row["id"]].reason) for row in files if row["id"] in known]
    refused = [
        Refusal(Path(os.fsdecode(row["path"])), why) for row, why in reasons if why
    ]
    return sorted(refused, key=lambda refusal: refusal.path.parts)


def _item(row: Mapping[str, Any], sha256: str) -> Item:
    return Item(Path(os.fsdecode(row["path"])), os.fsdecode(row["label"]), sha256)


# --- Ray -------------------------------------------------------------------------


def _run(ray: Any, blocks: list, job: Job) -> Iterator[dict[str, Any]]:
    """Yield what the workers answer to each block, in any order."""
    table = import_pyarrow().Table.from_pylist
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.max_errored_blocks = -1  # a block that fails is lost, and not the job
    cores = int(ray.cluster_resources().get("CPU", 1))
    workers = max(1, min(job.workers, cores, len(blocks)))
    # A worker starts in another folder, and would not find this module.
    where = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    answers = ray.data.from_arrow([table(files) for files in blocks]).map_batches(
        Worker,
        fn_constructor_args=(job,),
        batch_size=len(blocks[0]),  # a block at a time: only the last has fewer
        batch_format="numpy",
        compute=ray.data.ActorPoolStrategy(size=workers),
        num_cpus=1,
        num_gpus=job.num_gpus,
        runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join(where)}},
    )
    try:
        yield from answers.iter_rows()
    except ray.exceptions.RayError as error:
        reason = str(error).strip().splitlines()[-1]
        raise LookalikeError(f"Ray ended the job: {reason}") from error


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the job from the command line."""
    parser = argparse.ArgumentParser(description="Pictures to vectors, by Ray Data.")
    parser.add_argument("folder", help="pictures, and folders of pictures")
    parser.add_argument("out", help="folder of the Parquet files; a second run goes on")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--num-gpus", type=float, default=0, help="of each worker")
    parser.add_argument("--address", help="of a Ray cluster, such as auto")
    parser.add_argument("--block", type=int, default=128, help="files in one Parquet")
    parser.add_argument("--network", help="of utils.beyond.networks; default ResNet50")
    options = vars(parser.parse_args(arguments))
    network = options.pop("network")
    load = partial(load_network, network, verbose=False) if network else None
    done = extract(**options, load=load)
    print(
        f"{done.embedded} pictures embedded, {done.kept} known before, "
        f"{len(done.refused)} refused, {len(done.lost)} lost, {done.seconds:.0f} s"
    )
    for path, reason in done.refused + done.lost:
        print(printable(f"  {path}: {reason}"))


if __name__ == "__main__":
    # Workers find what the module of this name holds, not what __main__ does.
    importlib.import_module("utils.scale.extraction").main()
