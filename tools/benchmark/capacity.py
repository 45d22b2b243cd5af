"""Measure what `utils.scale.capacity` plans with, and how well it plans.

    python -m tools.benchmark.capacity                  # about ten minutes, alone
    python -m tools.benchmark.capacity --most 100000    # smaller collections only

It writes ``utils/scale/capacity.json``, from which the calculator reads its constants,
and the page CAPACITY.md.  Stop it when you like: what was measured is kept in
``output/``, and the next run goes on.  Each index is built in one process and searched
in another, so that one's memory is not the other's.  Times are of the processor: those
of a process that had to wait for others would say nothing of the index.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, astuple, dataclass, replace
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from tools.benchmark.capacity_page import page
from tools.benchmark.machine import describe, load
from tools.benchmark.worker import memory
from utils.collection.extraction import embed_files
from utils.gallery import load_gallery
from utils.indexes import faiss
from utils.practice.enlarge import enlarge
from utils.scale.capacity import (
    CODEBOOK,
    FEW,
    MEASURED,
    PAIR,
    ROUNDS,
    SAMPLE,
    VERTEX,
    WALK,
    Constants,
    plan,
    take_apart,
)

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "output" / "benchmark-capacity"
PAGE = Path(__file__).with_name("CAPACITY.md")
SIZES = (10_000, 100_000, 1_000_000)
DIMENSION, K, PARTS = 128, 10, 32
COPIES = 200_000_000  # bytes: of a small index several are loaded
QUERIES, TURNS, SECONDS = 200, 3, 2.0  # one by one; a turn takes so long at the most


@dataclass(frozen=True)
class Point:
    """An index to be measured; a `check` is no part of the constants."""

    index: str
    n: int
    d: int = DIMENSION
    nprobe: int | None = None
    ef: int = 64
    check: bool = False

    @property
    def start(self) -> tuple[str, int, int]:
        """Return what `take_apart` asks for."""
        return self.index, self.n, self.d

    @property
    def factory(self) -> str:
        """Return the factory string with its number of cells."""
        cells = take_apart(*self.start).cells
        return self.index.replace("IVF,", f"IVF{cells},")

    @property
    def name(self) -> str:
        """Return a name for files and keys."""
        return "-".join(map(str, [self.factory.replace(",", "_"), *astuple(self)[1:]]))


def points(most: int) -> list[Point]:
    """Return what is measured: for the constants, then to check the calculator."""
    kinds = ["Flat", "SQ8", f"PQ{PARTS}np", "IVF,Flat", "IVF,SQ8", f"IVF,PQ{PARTS}np"]
    kinds.append("HNSW32")
    chosen = [Point("Flat", 100)]
    chosen += [Point(kind, n) for n in SIZES for kind in kinds]
    for n in SIZES:
        chosen.append(Point("Flat", n, 64, check=True))
        chosen.append(Point("IVF,SQ8", n, 64, nprobe=16, check=True))
        chosen.append(Point("HNSW16", n, 64, ef=32, check=True))
    more = ["Flat", "IVF,Flat", "HNSW32", "HNSW32_SQ8", "PCA64,IVF,PQ16np"]
    chosen += [Point(kind, 30_000, 512, check=True) for kind in more]
    return [point for point in chosen if point.n <= most]


# --- Measuring, each step in a process of its own --------------------------------


def build(point: Point, file: Path) -> dict[str, float]:
    """Train, fill and save an index: seconds of all cores together, and of the wall.

    Cells are trained once for all indexes that have the same.
    """
    vectors = np.load(_vectors_file(point.n, point.d))
    index = faiss.index_factory(point.d, point.factory, faiss.METRIC_INNER_PRODUCT)
    times, coarse = {"coarse": 0.0}, file.with_name(f"cells-{point.n}-{point.d}.npz")
    ivf = faiss.try_extract_index_ivf(index)
    if ivf is not None and isinstance(index, faiss.IndexIVF) and coarse.exists():
        with np.load(coarse) as kept:
            ivf.quantizer.add(kept["centroids"])
            times["coarse"] = float(kept["seconds"])
    start, wall = time.process_time(), time.perf_counter()
    if isinstance(index, faiss.IndexIVF) and not coarse.exists():
        index.train_q1(len(vectors), faiss.swig_ptr(vectors), False, index.metric_type)
        times["coarse"] = time.process_time() - start
        centroids = index.quantizer.reconstruct_n(0, index.nlist)
        np.savez(coarse, centroids=centroids, seconds=times["coarse"])
        start = time.process_time()
    index.train(vectors)
    times["train"], start = time.process_time() - start, time.process_time()
    index.add(vectors)
    times |= {"add": time.process_time() - start, "wall": time.perf_counter() - wall}
    faiss.write_index(index, str(file))
    return times | {"disk": file.stat().st_size}


def serve(point: Point, file: Path) -> dict[str, float]:
    """Load an index and search it, one query at a time, with one thread."""
    queries = np.load(_vectors_file(QUERIES, point.d))
    index = faiss.read_index(str(file))
    index.search(queries[:1], K)  # whatever a first search loads is loaded
    before, copies = memory("now"), max(1, min(20, COPIES // file.stat().st_size))
    more = [faiss.read_index(str(file)) for _ in range(copies)]
    kept = (memory("now") - before) / copies
    del more
    ivf = faiss.try_extract_index_ivf(index)
    if ivf is not None:
        ivf.nprobe = point.nprobe or math.ceil(math.sqrt(ivf.nlist))
    if hasattr(index, "hnsw"):
        index.hnsw.efSearch = point.ef
    turns = [_search(index, queries) for _ in range(TURNS + 1)][1:]  # the first warms
    faiss.cvar.hnsw_stats.reset()
    index.search(queries[:50], K)
    visits = faiss.cvar.hnsw_stats.ndis / 50
    cpu, wall = min(turn[0] for turn in turns), median(turn[1] for turn in turns)
    return {"memory": kept, "query": cpu, "query_wall": wall, "visits": visits}


def _search(index: Any, queries: np.ndarray) -> tuple[float, float]:
    """Return seconds a query, of the processor and of the wall."""
    walls, cpu = [], time.process_time()
    for row in range(len(queries)):
        start = time.perf_counter()
        index.search(queries[row : row + 1], K)
        walls.append(time.perf_counter() - start)
        if sum(walls) > SECONDS:
            break
    return (time.process_time() - cpu) / len(walls), median(walls)


def _vectors_file(n: int, d: int) -> Path:
    """Draw n vectors of d numbers from the gallery's, unless they are there."""
    file, source = FOLDER / f"vectors-{n}-{d}.npy", FOLDER / "gallery.npy"
    if not file.exists():
        if not source.exists():
            np.save(source, embed_files(load_gallery().gallery.paths).vectors)
        real = np.load(source)
        real -= real.mean(axis=0)
        reduced = real @ np.linalg.svd(real, full_matrices=False)[2][:d].T
        reduced /= np.linalg.norm(reduced, axis=1, keepdims=True)
        _replace(file, enlarge(reduced, n, seed=int(n == QUERIES)))
    return file


def _replace(file: Path, array: np.ndarray) -> None:
    with open(f"{file}.part", "wb") as part:
        np.save(part, array)
    os.replace(f"{file}.part", file)


def _ask(step: str, point: Point, threads: int) -> dict[str, float]:
    """Do a step in a process of its own."""
    limits = {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "passive"}
    command = [sys.executable, "-m", "tools.benchmark.capacity", "--step", step]
    done = subprocess.run(
        [*command, "--point", json.dumps(asdict(point))],
        cwd=ROOT,
        env=os.environ | limits,
        stdout=subprocess.PIPE,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"{step} of {point.name} failed")
    return json.loads(done.stdout.splitlines()[-1])


def measure(most: int) -> Iterator[tuple[Point, dict[str, float]]]:
    """Yield all points with what was measured, now or by an earlier run."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    file, machine = FOLDER / "results.json", asdict(describe())
    stored = json.loads(file.read_text()) if file.exists() else {}
    results = stored.get("results", {}) if stored.get("machine") == machine else {}
    for point in points(most):
        if point.name not in results:
            start, index = time.perf_counter(), FOLDER / f"{point.name}.faiss"
            for n in (QUERIES, point.n):
                _vectors_file(n, point.d)
            built = _ask("build", point, machine["cores"])
            results[point.name] = built | _ask("serve", point, 1)
            index.unlink()
            file.write_text(json.dumps({"machine": machine, "results": results}))
            print(f"{point.name}: {time.perf_counter() - start:.1f} s", flush=True)
        yield point, results[point.name]


# --- From times to constants -----------------------------------------------------


def derive(measured: dict[Point, dict[str, float]], machine: str) -> Constants:
    """Return the seconds of a unit of work: what is left of a time, by its amount."""
    found = {point: times for point, times in measured.items() if not point.check}
    call = next(times["query"] for point, times in found.items() if point.n == 100)
    units: dict[str, list[tuple[float, float]]] = {}
    known = Constants(units, call, 0, 0, 0, 0, 1, machine, date.today().isoformat())
    # Plain scans come first: what is left of the others depends on them.
    for point in sorted(found, key=lambda p: ("HNSW" in p.index, "IVF" in p.index)):
        kind, times = take_apart(*point.start), found[point]
        if point.n == 100:
            continue
        size = point.n * (kind.vector_bytes if kind.links else kind.code_bytes)
        work = float(point.n * kind.numbers)
        seconds, name = times["query"] - call, kind.compared
        if kind.parts:
            seconds -= (kind.d << kind.bits) * known.unit("Flat", 0)
        if kind.cells:
            nprobe = math.ceil(math.sqrt(kind.cells))
            work, name = work * nprobe / kind.cells, f"IVF,{name}"
            seconds -= kind.coarse_seconds(known, nprobe)
        if kind.links:
            seconds -= times["visits"] * kind.d * known.unit("Flat", 0)
            work, name = times["visits"] * (VERTEX + kind.code_bytes), "HNSW"
            visits = units.setdefault("HNSW visits", [])
            visits.append((point.n, times["visits"] / point.ef**WALK))
        units.setdefault(name, []).append((size, max(seconds / work, 1e-13)))
    return _derive_building(found, known)


def _derive_building(
    found: dict[Point, dict[str, float]], known: Constants
) -> Constants:
    largest = {point.index: point for point in sorted(found, key=lambda p: p.n)}
    cells, codes = largest["IVF,SQ8"], largest["SQ8"]
    kind = take_apart(*cells.start)
    products = ROUNDS * min(kind.n, SAMPLE * kind.cells) * kind.cells * (PAIR + kind.d)
    codebook = {  # by whether few vectors trained it
        point.n < FEW: times["train"]
        / (25 * min(point.n, CODEBOOK) * take_apart(*point.start).distances)
        for point, times in found.items()
        if point.index == f"PQ{PARTS}np"
    }
    graph = largest["HNSW32"]
    known = replace(
        known,
        train=found[cells]["coarse"] / products,
        codebook=codebook.get(False, codebook[True]),
        few=codebook[True],
        encode=(found[codes]["train"] + found[codes]["add"]) / (codes.n * codes.d),
    )
    walks = take_apart(*graph.start).build_seconds(known)
    return replace(known, insert=found[graph]["add"] / walks)


def main() -> None:
    """Measure, derive the constants, write both files."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--most", type=int, default=max(SIZES), help="vectors")
    parser.add_argument("--step", choices=("build", "serve"), help=argparse.SUPPRESS)
    parser.add_argument("--point", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        point = Point(**json.loads(options.point))
        step = {"build": build, "serve": serve}[options.step]
        print(json.dumps(step(point, FOLDER / f"{point.name}.faiss")))
        return
    busy, machine = load(), describe()
    measured = dict(measure(options.most))
    text = f"{machine.processor}, {machine.cores} cores, {machine.memory_gb} GB"
    known = derive(measured, text)
    MEASURED.write_text(json.dumps(asdict(known), indent=1) + "\n", encoding="utf-8")
    rows = []
    for point, times in measured.items():
        if point.n > 100:
            planned = plan(
                *(point.n, point.d, point.index),
                nprobe=point.nprobe,
                ef_search=point.ef,
                constants=known,
            )
            rows.append({"point": asdict(point), "times": times, "plan": planned})
    lines = page(rows, known, busy)
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
