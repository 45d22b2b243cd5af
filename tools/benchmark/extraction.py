"""Compare ways from picture files to vectors, and write EXTRACTION.md.

python -m tools.benchmark.extraction --photos FOLDER     # about 45 minutes, alone
python -m tools.benchmark.extraction --redraw            # the page, from raw results
python -m tools.benchmark.extraction --memory            # peak of memory, warm start

Every contender is a process of its own.  It tries its settings on a few pictures and
races with the fastest of them; the contenders take turns, round by round, and a ratio
is taken inside one round.  Raw results stand beside the page, in EXTRACTION.json.
"""

import argparse
import contextlib
import datetime
import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any
from unittest import mock

import numpy as np

from tools.benchmark.dialogue import ROOT
from tools.benchmark.extraction_filters import compare_filters
from tools.benchmark.extraction_page import draw, page, summary
from tools.benchmark.extraction_peers import (
    CONTENDERS,
    DEFAULT,
    GENERATOR,
    LOOP,
    Contender,
    Job,
    thread_counts,
)
from tools.benchmark.extraction_quality import (
    Sample,
    agreement,
    gallery_sample,
    photo_sample,
)
from tools.benchmark.extraction_worker import QUIET, Process, strings
from tools.benchmark.machine import (
    ANYWAY,
    check_quiet,
    describe,
    read_raw,
    write_raw,
)
from utils.collection.search import ImageSearch
from utils.embeddings import BUNDLED, read_card
from utils.fast.embedder import FastEmbedder, load_fast_embedder
from utils.gallery import IMAGES, read_metadata
from utils.images import open_picture

PAGE = Path(__file__).with_name("EXTRACTION.md")
PACKAGES = (
    *("tensorflow", "keras", "openvino", "nncf", "torch", "onnxruntime"),
    *("pillow", "numpy"),
)
PICTURES = 224  # full batches: compiled PyTorch would pay for the rest of one
LARGER = 224  # the size of ImageNet's networks, beside the notebooks'
TUNING_FILES = 48  # on which settings are tried
LOOP_FILES = 32  # it is slow, and each picture takes it as long as the last
# Width and height of the painted pictures, and how many of 16 have them
SHAPES = {(256, 256): 8, (640, 480): 4, (1600, 1200): 3, (4000, 3000): 1}

Record = dict[str, Any]


# --------------------------------------------------------------------- the pictures
def paint(
    folder: Path, count: int, shapes: Mapping[tuple[int, int], int]
) -> list[Path]:
    """Write JPEGs that differ: a few of the gallery, enlarged, with a comment each."""
    folder.mkdir()
    cycle = [shape for shape, times in shapes.items() for _ in range(times)]
    cycle = [cycle[i] for i in np.random.default_rng(seed=0).permutation(len(cycle))]
    rows = read_metadata()[:: max(1, 1248 // 24)]
    encoded: dict[tuple[int, tuple[int, int]], bytes] = {}
    paths = []
    for number in range(count):
        key = number % len(rows), cycle[number % len(cycle)]
        path = folder / f"{number}.jpg"
        if key not in encoded:
            image = open_picture(IMAGES / rows[key[0]]["file"]).resize(key[1])
            image.save(path, quality=90)
            encoded[key] = path.read_bytes()
        path.write_bytes(encoded[key] + hashlib.sha256(b"%d" % number).digest())
        paths.append(path)
    return paths


# ------------------------------------------------------------------- the comparison
def export(folder: Path, sizes: Sequence[int]) -> None:
    """Write the peers' networks, in a process of its own."""
    command = [sys.executable, "-m", "tools.benchmark.extraction_export", str(folder)]
    subprocess.run([*command, *map(str, sizes)], cwd=ROOT, check=True)


def own_share(name: str, files: Sequence[Path]) -> list[str]:
    """Return the files that a contender embeds when it is timed."""
    return strings(files[:LOOP_FILES] if name == LOOP else files)


def fastest(
    contender: Contender, job: Job, files: Sequence[Path]
) -> tuple[Process, Record]:
    """Try each setting of a contender; return a process with the fastest, and all."""
    tried: list[Record] = []
    processes: list[Process] = []
    names = own_share(contender.name, files)
    try:
        for number, setting in enumerate(contender.grid):
            own = job._replace(precision=contender.precision, setting=setting)
            log = job.folder / f"{contender.name}-{job.size}-{number}.log"
            processes.append(Process(contender.name, own, log))
            tried.append({"setting": setting, "speed": 0.0})
            if len(contender.grid) > 1:
                processes[-1].ask(do="speed", files=names)  # compiles, fills caches
                tried[-1] |= processes[-1].ask(do="speed", files=names)
    except BaseException:
        for process in processes:
            process.close()
        raise
    best = int(np.argmax([one["speed"] for one in tried]))
    for process in processes[:best] + processes[best + 1 :]:
        process.close()
    return processes[best], {"setting": tried[best]["setting"], "tried": tried}


def compare(
    job: Job,
    files: Sequence[Path],
    samples: Sequence[Sample],
    options: argparse.Namespace,
) -> Record:
    """Let contenders embed files in turns: speeds and quality of each at one size."""
    rows: list[Record] = []
    with contextlib.ExitStack() as stack:
        workers: dict[str, Process] = {}
        for contender in CONTENDERS:
            if options.only and contender.name not in (*options.only, GENERATOR):
                continue  # quality is told against that one
            row: Record = {"name": contender.name, "precision": contender.precision}
            rows.append(row)
            try:
                if contender.missing:
                    raise RuntimeError(f"not installed: {contender.missing}")
                worker, found = fastest(contender, job, files[:TUNING_FILES])
                stack.callback(worker.close)
                row["vectors"] = [embed(worker, sample, job) for sample in samples]
            except RuntimeError as error:
                row["failed"] = str(error)[:300]
                print(f"{contender.name}: {row['failed']}", flush=True)
                continue
            row |= found | {"speeds": [], "network": []}
            workers[contender.name] = worker
            print(f"input {job.size}, {contender.name}: {found['setting']}", flush=True)
        racing = [row for row in rows if row["name"] in workers]
        race(racing, workers, files, options.rounds)
    judge(racing, samples)
    return {"size": job.size, "rows": rows}


def embed(worker: Process, sample: Sample, job: Job) -> np.ndarray:
    """Have a worker embed a sample, and return the vectors."""
    out = job.folder / "vectors.npy"
    worker.ask(do="vectors", files=strings(sample.files), out=str(out))
    return np.load(out)


def race(
    rows: Sequence[Record],
    workers: Mapping[str, Process],
    files: Sequence[Path],
    rounds: int,
) -> None:
    """Take turns, every second round backwards; add the speeds to the rows."""
    for number in range(rounds):
        for row in rows if number % 2 == 0 else rows[::-1]:
            worker, names = workers[row["name"]], own_share(row["name"], files)
            row["speeds"].append(worker.ask(do="speed", files=names)["speed"])
            row["network"] += worker.ask(do="network", files=names).values()
        print(f"round {number + 1} of {rounds}", flush=True)


def judge(rows: Sequence[Record], samples: Sequence[Sample]) -> None:
    """Put each row's quality in the place of its vectors: against Keras in float32."""
    exact = next(row["vectors"] for row in rows if row["name"] == GENERATOR)
    for row in rows:
        row["quality"] = {
            sample.title: agreement(own, of_keras, sample)
            for own, of_keras, sample in zip(
                row.pop("vectors"), exact, samples, strict=True
            )
        }


def filters(sizes: Sequence[int], samples: Sequence[Sample]) -> list[Record]:
    """Measure what the resize filter does, at each size and on each sample."""
    runtime = "openvino" if importlib.util.find_spec("openvino") else "tensorflow"

    def load(size: int) -> FastEmbedder:
        return load_fast_embedder(
            "float32", runtime=runtime, input_size=size, verbose=False
        )

    result = []
    for size in sizes:
        larger = load(size + size // 2) if size < LARGER else None
        for sample in samples:
            rows = compare_filters(sample, load(size), larger)
            result.append({"size": size, "title": sample.title, "rows": rows})
            print(f"filters at {size} on {sample.title}: done", flush=True)
    return result


# ------------------------------------------------------------ memory and warm start
def measure_memory(size: int) -> list[Record]:
    """Embed 300 pictures of 12 megapixels, and 50,000 small ones."""
    found = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        jobs = {
            "300 of 12 megapixels": (300, (4000, 3000)),
            "50,000 of 64 × 64": (50_000, (64, 64)),
        }
        for number, (title, (count, shape)) in enumerate(jobs.items()):
            files = paint(folder / str(number), count, {shape: 1})
            job = Job(folder, size, "float32", {"fast": False})
            with Process(DEFAULT, job, folder / "log") as worker:
                peak = worker.ask(do="peak", files=strings(files))
            found.append({"title": title, **peak})
            print(f"memory, {title}: {found[-1]}", flush=True)
    return found


WARM_START = """
import sys
from utils.collection.search import ImageSearch
hits = ImageSearch.load(sys.argv[1]).search(sys.argv[2])
print(len(hits), "tensorflow" in sys.modules)
"""


def measure_startup() -> list[float]:
    """Seconds of a new process: load a saved search, answer a query that is cached."""
    query = IMAGES / read_metadata()[0]["file"]
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        cache = {"LOOKALIKE_CACHE": str(Path(folder, "cache.sqlite"))}
        environment = os.environ | QUIET | cache
        with mock.patch.dict(os.environ, environment):
            ImageSearch.from_folder(IMAGES).save(Path(folder, "saved"))
        command = [sys.executable, "-c", WARM_START, Path(folder, "saved"), query]
        for _ in range(5):
            start = perf_counter()
            done = subprocess.run(
                command,
                cwd=ROOT,
                env=environment,
                capture_output=True,
                text=True,
                check=True,
            )
            seconds.append(perf_counter() - start)
            if done.stdout.split() != ["5", "False"]:
                raise RuntimeError(f"expected 5 hits without TensorFlow: {done.stdout}")
    return seconds


# ------------------------------------------------------------------------ the program
def run(options: argparse.Namespace) -> Record:
    """Measure everything; keep what is measured after every part."""
    machine = describe(PACKAGES)
    raw: Record = {
        "date": datetime.date.today().isoformat(),
        "machine": vars(machine),
        "quiet": check_quiet(machine.cores, anyway=options.busy),
        "threads": thread_counts(),
        "weights": read_card(BUNDLED),
        "rounds": options.rounds,
        "pictures": options.pictures,
        "shapes": [[*shape, times] for shape, times in SHAPES.items()],
    }
    samples = [gallery_sample(options.every)]
    if options.photos:
        samples.append(photo_sample(options.photos, options.each))
    raw["samples"] = [
        {"title": s.title, "queries": len(s.queries), "candidates": len(s.candidates)}
        for s in samples
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        export(folder, options.sizes)
        files = paint(folder / "pictures", options.pictures, SHAPES)
        raw["results"] = []
        for size in options.sizes:
            job = Job(folder, size, "float32", {})
            raw["results"].append(compare(job, files, samples, options))
            write_raw(options.page, raw)
    raw["filters"] = filters(options.sizes, samples)
    return raw


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what is asked for, and write the page."""
    options = parser().parse_args(arguments)
    raw = read_raw(options.page) if options.redraw or options.memory else run(options)
    if options.memory:
        check_quiet(raw["machine"]["cores"], anyway=options.busy)
        raw["startup"] = measure_startup()
        raw["memory"] = measure_memory(options.sizes[0])
    raw = json.loads(json.dumps(raw))  # as it will be read
    write_raw(options.page, raw)
    figure = options.page.with_suffix(".jpg")
    draw(raw, figure)
    options.page.write_text("\n".join(page(raw, figure.name)) + "\n", encoding="utf-8")
    print(summary(raw), f"Written: {options.page}", sep="\n")
    return 0


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = argparse.ArgumentParser(
        prog="python -m tools.benchmark.extraction",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    sizes = [read_card(BUNDLED)["input_size"], LARGER]
    names = [contender.name for contender in CONTENDERS]
    add = options.add_argument
    add("--photos", type=Path, help="folder of class folders, to judge quality on")
    add("--sizes", type=int, nargs="+", default=sizes, help="inputs of the network")
    add("--pictures", type=int, default=PICTURES, help="embedded in a round")
    add("--rounds", type=int, default=7)
    add("--every", type=int, default=4, help="take one of so many gallery pictures")
    add("--each", type=int, default=10, help="take so many photos of each kind")
    add("--only", nargs="+", choices=names, help="some contenders", metavar="NAME")
    add(ANYWAY, action="store_true", dest="busy", help="on a busy machine, too")
    add("--redraw", action="store_true", help="the page alone, from the raw results")
    add("--memory", action="store_true", help="add memory and warm start to the page")
    add("--page", type=Path, default=PAGE)
    return options


if __name__ == "__main__":
    sys.exit(main())
