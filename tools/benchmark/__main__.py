"""Compare indexes, and write the results page.

python -m tools.benchmark                           # at most 40 minutes on two cores
python -m tools.benchmark --vectors FILE            # and on real vectors of yours
python -m tools.benchmark --photos FOLDER           # and on pictures of yours
python -m tools.benchmark --full                    # everything, for some hours
python -m tools.benchmark page                      # the page anew from kept results

A run that was stopped goes on where it was.  Leave the machine alone meanwhile.
"""

import argparse
import shlex
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from tools.benchmark import data, page
from tools.benchmark.contenders import (
    BASELINE,
    CELLS,
    EVERYONE,
    PACKAGES,
    Contender,
    missing,
)
from tools.benchmark.machine import describe
from tools.benchmark.race import Benchmark, Results

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
QUERIES = 500
SOURCE = 1_248  # real vectors from which an enlargement is judged against real ones
GROWTH = (3_000, 10_000, 30_000)
REFINED = "FAISS PCA256,IVF,PQ128x4fs,Refine(SQ8)"
GROWING = (BASELINE, REFINED, "FAISS HNSW16_SQ8", "hnswlib", "voyager")
MILLION = ("FAISS PCA512,IVF,SQ8", REFINED)
MILLION_FULL = (*MILLION, "FAISS IVF,SQ8", "FAISS PCA512,HNSW16_SQ8")


@dataclass(frozen=True)
class Section:
    """A collection on the page, and who takes part."""

    kind: str
    folder: Path
    contenders: Sequence[Contender]
    rounds: int


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = argparse.ArgumentParser(
        prog="python -m tools.benchmark",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = options.add_argument
    add("command", nargs="?", choices=["run", "page"], default="run")
    add("--vectors", type=Path, help=".npy of real unit vectors (n, d), float32")
    add(
        "--trained-on",
        action="store_true",
        help="the photos behind --vectors trained the weights; the page says so",
    )
    add("--photos", type=Path, help="folder of pictures, embedded with the weights")
    add("--full", action="store_true", help="more rounds; more indexes at a million")
    add("--no-million", action="store_true", help="leave out the million vectors")
    add("--only", help="names of contenders with semicolons between (default: all)")
    add("--n", type=int, default=100_000, help="size of the enlarged collection")
    add("--million", type=int, default=1_000_000, help="and of the largest")
    add("--threads", type=int, nargs="+", default=[1, 2], help="begins with 1")
    add("--rounds", type=int, help="of the race (default: 5, with --full 9)")
    add("--work", type=Path, default=ROOT / "output" / "benchmark")
    add("--page", type=Path, default=HERE / "RESULTS.md")
    return options


def in_a_process(function: Any, *arguments: Any) -> Any:
    """Call where TensorFlow may take memory and threads, and give both back."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def choose(names: Sequence[str]) -> list[Contender]:
    """Return the contenders of these names, in the order of the table."""
    known = [contender.name for contender in EVERYONE]
    strangers = [name for name in names if name not in known]
    if strangers:
        raise ValueError(f"--only: expected names of {known}. Received: {strangers}.")
    return [contender for contender in EVERYONE if contender.name in names]


def sections(options: argparse.Namespace) -> list[Section]:
    """Prepare the collections: each is a folder of vectors, queries and answers."""
    work, rounds = options.work, options.rounds or (9 if options.full else 5)
    names = options.only.split(";") if options.only else [c.name for c in EVERYONE]
    everyone = choose(names)
    some = [contender for contender in everyone if contender.name in GROWING]
    real = data.read_vectors(options.vectors) if options.vectors else None
    vectors, is_query = in_a_process(data.embed_gallery, ROOT / "images")
    folder = data.write_collection(
        work / "gallery",
        vectors[~is_query],
        vectors[is_query],
        title="The gallery",
        note="real vectors of `images/`; the queries are its held-out pictures",
    )
    found = [Section("collection", folder, everyone, rounds)]
    if options.photos:
        found.append(Section("collection", photos(options), everyone, rounds))
    for n in GROWTH:
        if n < options.n:
            folder = data.write_enlarged(work / f"enlarged-{n}", vectors, n, QUERIES)
            found.append(Section("growth", folder, some, rounds))
    folder = data.write_enlarged(
        work / f"enlarged-{options.n}", vectors, options.n, QUERIES
    )
    found.append(Section("main", folder, everyone, rounds))
    if real is not None:
        found.append(Section("main", own(options, real), everyone, rounds))
    found += agreement(work, vectors if real is None else real)
    if not options.no_million:
        names = MILLION_FULL if options.full else MILLION
        folder = data.write_streamed(work / "million", vectors, options.million, 200)
        found.append(Section("million", folder, choose(names), rounds))
    return found


def photos(options: argparse.Namespace) -> Path:
    """Prepare the pictures of a folder."""
    base, queries = data.hold_out(
        in_a_process(data.embed_folder, options.photos), QUERIES
    )
    note = "real vectors of a folder of pictures; the queries are held out at random"
    return data.write_collection(
        options.work / "photos", base, queries, title="A folder of photos", note=note
    )


def own(options: argparse.Namespace, real: np.ndarray) -> Path:
    """Prepare the real vectors of a file."""
    base, queries = data.hold_out(real, QUERIES)
    note = f"real vectors from `{options.vectors.name}`; queries held out at random"
    if options.trained_on:
        note += ". **These photos trained the weights**: others may lie less clearly"
    return data.write_collection(
        options.work / "real",
        base,
        queries,
        title=f"{len(base):,} real vectors",
        note=note,
    )


def agreement(work: Path, real: np.ndarray) -> list[Section]:
    """Prepare a pair: real vectors, and as many drawn from a small part of them."""
    base, queries = data.hold_out(real, QUERIES if len(real) > 5_000 else 200)
    rows = np.random.default_rng(seed=1).permutation(len(base))
    source = base[rows[: min(SOURCE, len(base) // 2)]]
    pair = [
        data.write_collection(
            work / "agreement-real",
            base,
            queries,
            title="Real",
            note="held-out queries",
        ),
        data.write_enlarged(
            work / "agreement-enlarged", source, len(base), len(queries)
        ),
    ]
    return [Section("agreement", folder, choose([CELLS]), 1) for folder in pair]


def say_what_is_missing() -> None:
    """Print how to install the peers that are not there."""
    for library in dict.fromkeys(contender.library for contender in EVERYONE):
        if missing(library):
            print(missing(library))


def run(section: Section, results: Results, threads: Sequence[int]) -> None:
    """Measure one collection."""
    everyone, rounds = section.contenders, section.rounds
    Benchmark(section.folder, everyone, results, threads=threads, rounds=rounds).run()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for, and write the page."""
    options = parser().parse_args(arguments)
    if options.threads[0] != 1:
        parser().error(f"--threads: expected 1 first. Received: {options.threads}.")
    say_what_is_missing()
    options.work.mkdir(parents=True, exist_ok=True)
    machine = describe(package for package, _ in PACKAGES.values())
    results = Results(options.work / f"results-{machine.fingerprint}.jsonl")
    if options.command == "run":
        try:
            todo = sections(options)
        except ValueError as error:
            parser().error(str(error))
        command = "python -m tools.benchmark " + shlex.join(arguments or sys.argv[1:])
        shown = [(section.kind, section.folder.name) for section in todo]
        results.begin(machine, command, sections=shown, threads=options.threads)
        try:
            for section in todo:
                run(section, results, options.threads)
        except MemoryError as error:
            parser().error(str(error))
    page.write(options.page, results, options.work)
    print(f"Written: {options.page}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
