"""Compare indexes, and write the results page.

python -m tools.benchmark --quick            # your machine, three minutes; no download
python -m tools.benchmark --photos FOLDER    # the page: real vectors first
python -m tools.benchmark --vectors FILE     # the same, from vectors kept before
python -m tools.benchmark --redraw           # the page anew, from the raw results

FOLDER has a folder for each class, or zip files of them.  A run that was stopped goes
on where it was.  Leave the machine alone meanwhile: a busy one is refused.
"""

import argparse
import datetime
import json
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tools.benchmark import data, page
from tools.benchmark.contenders import (
    BASELINE,
    CELLS,
    EVERYONE,
    FAMILIES,
    LIBRARIES,
    PACKAGES,
    QUICK,
    Contender,
    find,
    missing,
)
from tools.benchmark.machine import ANYWAY, check_quiet, describe, write_raw
from tools.benchmark.race import Benchmark, Results
from tools.benchmark.standing import Section, leaders

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
QUERIES = 1_000  # half of them to choose on, half of them to report on
ENLARGED, MILLION, FEW = 100_000, 1_000_000, 20_000
ROUNDS, QUICK_ROUNDS = 7, 4
STREAMED_BYTES = 3_500  # a vector: what may be built of a million under 6 GB

Step = tuple[
    Path, Callable[[], Sequence[Contender]]
]  # a collection, and who takes part


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = argparse.ArgumentParser(
        prog="python -m tools.benchmark",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = options.add_argument
    add("--quick", action="store_true", help="few contenders; a page in output/ alone")
    add("--photos", type=Path, help="folder of pictures, embedded with the weights")
    add("--vectors", type=Path, help=".npy of real unit vectors (n, d), float32")
    add(
        "--trained-on",
        action="store_true",
        help="the real vectors' photos trained the weights; the page says so",
    )
    add("--only", help="names of families with semicolons between (default: all)")
    add("--n", type=int, help="size of the enlarged collection")
    add("--million", type=int, default=MILLION, help="of the largest; 0 for none")
    add("--threads", type=int, nargs="+", help="begins with 1 (default: 1 and all)")
    add("--rounds", type=int, help=f"of the race (default: {ROUNDS})")
    add("--work", type=Path, default=ROOT / "output" / "benchmark")
    add("--page", type=Path, help="default: RESULTS.md, with --quick in --work")
    add("--redraw", action="store_true", help="measure nothing; draw the page anew")
    add(
        ANYWAY, action="store_true", help="measure on a busy machine, and mark the page"
    )
    return options


def in_a_process(function: Any, *arguments: Any) -> Any:
    """Call where TensorFlow may take memory and threads, and give both back."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def choose(options: argparse.Namespace) -> list[Contender]:
    """Return the contenders that are wanted, in the order of the table."""
    known = [family.name for family in FAMILIES]
    default = QUICK if options.quick else known
    names = options.only.split(";") if options.only else default
    strangers = [name for name in names if name not in known]
    if strangers:
        raise ValueError(f"--only: expected names of {known}. Received: {strangers}.")
    found = [c for c in EVERYONE if c.family.name in names]
    return [c for c in found if not (options.quick and c.number)]  # a build of each


def real_vectors(options: argparse.Namespace) -> Path | None:
    """Prepare the real vectors' collection, if there are such."""
    file = options.vectors
    if options.photos:
        file = options.work / "photos.npy"
        in_a_process(data.embed_photos, options.photos, file)
        print(f"Kept for --vectors: {file}")
    if file is None:
        return None
    base, queries = data.hold_out(data.read_vectors(file), QUERIES)
    by = " by the bundled weights" if options.photos else ""
    note = f"vectors of real pictures{by}; the queries are held out at random"
    if options.trained_on:
        note += ". **These photos trained the weights**: others may lie less clearly"
    title = f"{len(base):,} real vectors"
    folder = options.work / "real"
    return data.write_collection(
        folder, base, queries, title=title, note=note, real=True
    )


def steps(options: argparse.Namespace, found: list[Section]) -> Iterator[Step]:
    """Yield the collections; the real ones decide who takes part in the others.

    `found` holds the results of those before, when a step is asked who takes part.
    Of real vectors the compact families race by themselves.
    """
    everyone = choose(options)
    large = [c for c in everyone if not c.family.compact]
    small = [c for c in everyone if c.family.compact or c.name == BASELINE]
    n = options.n or (FEW if options.quick else ENLARGED)

    def best() -> list[Contender]:
        if not found:
            return everyone
        also = [find(CELLS)] if find(CELLS) in everyone else []  # is it like real ones?
        some = [contender for section in found for contender in leaders(section)]
        return list(dict.fromkeys([*some, *also]))

    def streamed() -> list[Contender]:
        first = found[0]
        fit = [c for c in first.contenders if c.streams]
        fit = [c for c in fit if first.bytes_a_vector(c) <= STREAMED_BYTES]
        return leaders(first.among(fit), [(0.95, 1)])  # one of each library

    real = None if options.quick else real_vectors(options)
    if real:
        yield real, lambda: large
        if len(small) > 1:
            yield real, lambda: small
    gallery = in_a_process(data.embed_gallery, ROOT / "images")
    folder = options.work / f"enlarged-{n}"
    yield data.write_enlarged(folder, gallery, n, QUERIES), best
    if options.million and not options.quick:
        folder = options.work / "million"
        yield data.write_streamed(folder, gallery, options.million, QUERIES), streamed


def run(options: argparse.Namespace, command: str) -> None:
    """Measure all collections, and keep the raw results beside the page."""
    machine = describe(PACKAGES)
    quiet = check_quiet(machine.cores, anyway=options.busy)
    threads = options.threads or sorted({1, machine.cores})
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    declared = json.dumps([[f.name, f.builds, f.grid] for f in FAMILIES])
    mark = f"{machine.fingerprint}-{sha256(declared.encode()).hexdigest()[:8]}"
    results = Results(options.work / f"results-{mark}.jsonl")
    sections: list[Section] = []
    for folder, contenders in steps(options, sections):
        benchmark = Benchmark(
            folder, contenders(), results, threads=threads, rounds=rounds
        )
        sections.append(benchmark.run())
        keys = {section.facts["fingerprint"] for section in sections}
        raw = {
            "date": datetime.date.today().isoformat(),
            "command": command,
            "machine": asdict(machine),
            "quiet": quiet,
            "threads": threads,
            "rounds": rounds,
            "absent": [text for name in LIBRARIES if (text := missing(name))],
            "sections": [section.facts for section in sections],
            "records": [r for r in results.records if r["data"] in keys],
        }
        write_raw(options.page, raw)


def spoken(arguments: Sequence[str]) -> str:
    """Return the command for the page, without where this machine has its files."""
    names = [Path(text).name if "/" in text else text for text in arguments]
    return shlex.join(["python", "-m", "tools.benchmark", *names])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for, and write the page."""
    options = parser().parse_args(arguments)
    if options.quick:
        options.work = options.work.with_name(options.work.name + "-quick")
    default = options.work / "QUICK.md" if options.quick else HERE / "RESULTS.md"
    options.page = options.page or default
    if options.threads and options.threads[0] != 1:
        parser().error(f"--threads: expected 1 first. Received: {options.threads}.")
    given = sys.argv[1:] if arguments is None else arguments
    try:
        if not options.redraw:
            for text in filter(None, map(missing, LIBRARIES)):
                print(text)
            options.work.mkdir(parents=True, exist_ok=True)
            run(options, spoken(given))
        page.write(options.page)
    except (ValueError, MemoryError) as error:
        parser().error(str(error))
    print(f"Written: {options.page}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
