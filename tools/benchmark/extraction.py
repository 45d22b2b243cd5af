"""Compare ways from picture files to vectors, and write EXTRACTION.md.

python -m tools.benchmark.extraction                    # the gallery, at 224 and 64
python -m tools.benchmark.extraction ratio --size 224 64  # two rows, no page
python -m tools.benchmark.extraction --photos FOLDER    # and pictures of yours
python -m tools.benchmark.extraction memory             # peak of memory, warm start
python -m tools.benchmark.extraction page               # the page anew, from the last

Every contender is a process of its own and embeds the same files; they take turns, and
a ratio is taken inside one round.  Leave the machine alone meanwhile.
"""

import argparse
import contextlib
import datetime
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import IO, Any, cast
from unittest import mock

import numpy as np

from tools.benchmark.extraction_page import (
    BFLOAT16,
    DATASET,
    DEFAULT,
    INT8,
    LOOP,
    PEAK_SIDE,
    page,
    ratios,
)
from tools.benchmark.machine import describe, load
from tools.benchmark.worker import memory
from utils import images
from utils.collection import extraction
from utils.collection.cache import VectorCache
from utils.collection.search import ImageSearch
from utils.embeddings import (
    Embedder,
    import_keras,
    import_tensorflow,
    load_embedder,
    normalize,
)
from utils.fast.embedder import FastEmbedder, load_fast_embedder
from utils.fast.runtimes import import_openvino
from utils.gallery import read_metadata
from utils.metrics import average_precision, rank_relevance

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
GALLERY = ROOT / "images" / "metadata.csv"
LOOP_PICTURES = 48  # it is slow, and each picture takes it as long as the last
PEAK_SECONDS = 1.0

Files = Sequence[Path]
Way = Callable[[Files], np.ndarray]


# ----------------------------------------------------------------------- the peers
def loop(embedder: Embedder) -> Way:
    """Do what most tutorials do: Keras's own loader, `predict` on each picture."""
    keras = import_keras()
    prepare = keras.applications.resnet50.preprocess_input

    def run(files: Files) -> np.ndarray:
        vectors = []
        for path in files:
            image = keras.utils.load_img(path, target_size=(embedder.input_size,) * 2)
            batch = keras.utils.img_to_array(image)[None]
            vectors.append(embedder.model.predict(prepare(batch), verbose=0)[0])
        return normalize(np.array(vectors))

    return run


def dataset(embedder: Embedder) -> Way:
    """Let tf.data read, decode, batch and prefetch, and `predict` once."""
    keras, tf = import_keras(), import_tensorflow()
    size = embedder.input_size

    def decode(path: Any) -> Any:
        picture = tf.io.decode_image(
            tf.io.read_file(path), channels=3, expand_animations=False
        )
        picture = tf.image.resize(picture, (size, size), antialias=True)
        return keras.applications.resnet50.preprocess_input(picture)

    def run(files: Files) -> np.ndarray:
        paths = tf.data.Dataset.from_tensor_slices([str(path) for path in files])
        batches = paths.map(decode, num_parallel_calls=tf.data.AUTOTUNE).batch(32)
        found = embedder.model.predict(batches.prefetch(tf.data.AUTOTUNE), verbose=0)
        return normalize(found)

    return run


def torch_network(embedder: Embedder) -> Any:
    """Return the training program's ResNet50 with the weights of the embedder."""
    import torch

    from tools.convert_weights import layer_names
    from tools.train_resnet50 import ResNet50

    network = ResNet50(1)
    network.forward = network.features  # type: ignore[method-assign]
    state = network.state_dict()
    for module, layer in layer_names().items():
        kernel, bias = embedder.model.get_layer(f"{layer}_conv").get_weights()
        norm = embedder.model.get_layer(f"{layer}_bn").get_weights()
        gamma, beta, mean, variance = norm
        new = {
            "0.weight": kernel.transpose(3, 2, 0, 1),
            "1.weight": gamma,
            "1.bias": beta,
            "1.running_mean": mean - bias,
            "1.running_var": variance,
        }
        for key, values in new.items():
            state[f"{module}.{key}"] = torch.from_numpy(np.ascontiguousarray(values))
    network.load_state_dict(state)
    return network.eval()


def torch_eager(embedder: Embedder) -> Way:
    """Run PyTorch's network as libraries like timm do: eager, channels last."""
    import torch

    from tools.train_resnet50 import preprocess

    network = torch_network(embedder).to(memory_format=torch.channels_last)

    def features(pixels: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            batch = torch.from_numpy(pixels).permute(0, 3, 1, 2)  # channels last
            return network(preprocess(batch.float())).numpy()

    return _through(features, embedder.input_size)


def onnx(embedder: Embedder) -> Way:
    """Export PyTorch's network and run it with ONNX Runtime."""
    import onnxruntime
    import torch

    from tools.train_resnet50 import preprocess

    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "resnet50.onnx")
        example = torch.zeros(1, 3, embedder.input_size, embedder.input_size)
        torch.onnx.export(
            torch_network(embedder),
            (example,),
            file,
            dynamo=False,
            input_names=["x"],
            dynamic_axes={"x": {0: "n"}},
        )
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])

    def features(pixels: np.ndarray) -> np.ndarray:
        batch = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
        return session.run(None, {"x": preprocess(batch).contiguous().numpy()})[0]

    return _through(features, embedder.input_size)


def batches(embedder: Embedder) -> Way:
    """Embed in batches, without threads and without compiling by hand."""
    prepare = import_keras().applications.resnet50.preprocess_input

    def run(files: Files) -> np.ndarray:
        found = [
            embedder.model.predict_on_batch(prepare(pixels.astype(np.float32)))
            for _, pixels, _ in images.iterate_batches(files, embedder.input_size)
        ]
        return normalize(np.concatenate(found))

    return run


def ours(embedder: Embedder) -> Way:
    """Use `embed_files` as it comes, with a cache that knows nothing yet."""

    def run(files: Files) -> np.ndarray:
        with tempfile.TemporaryDirectory() as folder:
            with VectorCache(Path(folder) / "cache.sqlite") as cache:
                return extraction.embed_files(files, embedder, cache=cache).vectors

    return run


def _through(features: Callable[[np.ndarray], np.ndarray], size: int) -> Way:
    """Decode in the same threads as ours, and run a network of somebody else's."""

    def run(files: Files) -> np.ndarray:
        read = extraction.map_ahead(lambda path: images.load_picture(path, size), files)
        vectors, batch = [], []
        for pixels in read:
            batch.append(pixels)
            if len(batch) == extraction.BATCH:
                vectors.append(features(np.stack(batch)))
                batch = []
        if batch:
            vectors.append(features(np.stack(batch)))
        return normalize(np.concatenate(vectors))

    return run


@dataclass(frozen=True)
class Contender:
    """A row: what makes the way, and how the embedder is loaded."""

    name: str
    make: Callable[[Embedder], Way]
    precision: str = ""  # "" is plain `load_embedder`
    runtime: str | None = None
    needs: str = "tensorflow"

    @property
    def is_missing(self) -> bool:
        """Whether its library is not installed."""
        return importlib.util.find_spec(self.needs) is None

    def load(self, size: int) -> Embedder:
        """Return the embedder that it is to use."""
        if not self.precision:
            return load_embedder(input_size=size, verbose=False)
        return load_fast_embedder(
            self.precision, runtime=self.runtime, input_size=size, verbose=False
        )


CONTENDERS = [
    Contender(LOOP, loop),
    Contender(DATASET, dataset),
    Contender("batches, one thread", batches),
    Contender("PyTorch eager, channels last", torch_eager, needs="torch"),
    Contender("ONNX Runtime", onnx, needs="onnxruntime"),
    Contender(DEFAULT, ours),
    Contender("Lookalike, TensorFlow", ours, "float32", "tensorflow"),
    Contender("Lookalike, OpenVINO", ours, "float32", "openvino", needs="openvino"),
    Contender(BFLOAT16, ours, "bfloat16"),
    Contender(INT8, ours, "int8", needs="nncf"),
]


# ---------------------------------------------------------------------- the worker
class Worker:
    """One contender in its own process: it embeds when it is told to."""

    def __init__(self, name: str, size: int, files: list[str]) -> None:
        contender = next(c for c in CONTENDERS if c.name == name)
        self.embedder, self.name = contender.load(size), name
        self.files = [Path(file) for file in files]
        self.way = contender.make(self.embedder)

    def warm(self, out: str) -> dict[str, Any]:
        """Embed once for the vectors; networks are compiled on the way."""
        start = perf_counter()
        np.save(out, self.way(self.files))
        return {"seconds": perf_counter() - start}

    def go(self) -> dict[str, float]:
        """Embed the files: pictures a second, from file to vector."""
        files = self.files[:LOOP_PICTURES] if self.name == LOOP else self.files
        start = perf_counter()
        self.way(files)
        return {"speed": len(files) / (perf_counter() - start)}

    def network(self) -> dict[str, float]:
        """Run the network alone, and the same library's largest matrix product."""
        embedder = self.embedder
        seconds: list[float] = []
        pixels = images.load_pictures(self.files[:32], embedder.input_size)[0]
        embedder.forward(pixels)
        while sum(seconds) < PEAK_SECONDS:
            start = perf_counter()
            embedder.forward(pixels)
            seconds.append(perf_counter() - start)
        speed = flops(embedder) * len(pixels) / median(seconds) / 1e9
        library, precision = "tensorflow", "float32"
        if isinstance(embedder, FastEmbedder):
            library, precision = embedder.runtime, embedder.precision
        if precision == "int8":  # no product of whole numbers to be had
            return {"network": speed}
        product = 2 * PEAK_SIDE**3 / matrix_product(library, precision)
        return {"network": speed, "product": product / 1e9}

    def peak(self) -> dict[str, float]:
        """Embed everything: how far memory rose above the loaded model, in MB."""
        self.way(self.files[:64])
        before = memory("now")
        start = perf_counter()
        count = len(self.way(self.files))
        rise = max(0, memory("peak") - before) / 1e6
        return {"rise": rise, "pictures": count, "seconds": perf_counter() - start}


def flops(embedder: Embedder) -> float:
    """Return the floating-point operations for one picture: convolutions only."""
    total = 0
    for layer in embedder.model.layers:
        if layer.name.endswith("_conv"):
            height, width, inputs, outputs = layer.kernel.shape
            _, rows, columns, _ = layer.output.shape
            total += 2 * rows * columns * height * width * inputs * outputs
    return float(total)


def matrix_product(library: str, precision: str) -> float:
    """Return the seconds of a large square matrix product in a library's hands."""
    rng = np.random.default_rng(seed=0)
    a, b = rng.normal(size=(2, PEAK_SIDE, PEAK_SIDE)).astype(np.float32)
    if library == "tensorflow":
        tf = import_tensorflow()
        a, b = (tf.cast(tf.constant(x), precision) for x in (a, b))
        multiply = tf.function(tf.matmul)

        def run() -> Any:
            return multiply(a, b)[0, 0].numpy()
    else:
        openvino = import_openvino()
        from openvino import opset13 as ops

        left, right = (ops.parameter(x.shape, np.float32) for x in (a, b))
        model = openvino.Model([ops.matmul(left, right, False, False)], [left, right])
        hint = {"INFERENCE_PRECISION_HINT": "f32"}
        compiled = openvino.Core().compile_model(model, "CPU", hint)

        def run() -> Any:
            return compiled([a, b])

    seconds: list[float] = []
    run()
    while sum(seconds) < PEAK_SECONDS:
        start = perf_counter()
        run()
        seconds.append(perf_counter() - start)
    return median(seconds)


def serve() -> None:
    """Carry out commands, one JSON line each; file descriptor 1 is for answers."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    worker = None
    for line in sys.stdin:
        command = json.loads(line)
        if worker is None:
            worker = Worker(**command)
            answer: dict[str, Any] = {}
        else:
            answer = getattr(worker, command.pop("do"))(**command)
        print(json.dumps(answer), file=answers, flush=True)


# As utils/start.py has it: FAISS's idle threads would take a core from the network.
QUIET = {"OMP_WAIT_POLICY": "passive"}


class Process:
    """A worker, as the other side sees it."""

    def __init__(self, name: str, size: int, files: Files, log: Path) -> None:
        with open(log, "w", encoding="utf-8") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tools.benchmark.extraction", "worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                cwd=ROOT,
                env=os.environ | QUIET,
            )
        self.name, self.log = name, log
        self.commands = cast(IO[str], self.process.stdin)
        self.answers = cast(IO[str], self.process.stdout)
        self.ask(name=name, size=size, files=[str(path.resolve()) for path in files])

    def ask(self, **command: Any) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        self.commands.write(json.dumps(command) + "\n")
        self.commands.flush()
        line = self.answers.readline()
        if not line:
            raise RuntimeError(f"{self.name} failed; see {self.log}")
        return json.loads(line)

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *error: object) -> None:
        self.commands.close()
        self.process.wait()
        self.answers.close()


# ------------------------------------------------------------------- the comparison
def compare(
    collection: tuple[Files, Sequence[str]],
    size: int,
    rounds: int,
    *,
    only: Container[str] | None = None,
) -> list[dict]:
    """Let contenders, all or some, embed files in turns: a row for each."""
    (files, labels), rows = collection, []
    with contextlib.ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        workers = {}
        for number, contender in enumerate(CONTENDERS):
            if only and contender.name not in only:
                continue
            if contender.is_missing:
                print(f"{contender.name}: {contender.needs} is not installed")
                continue
            log = Path(folder) / f"{number}.log"
            try:
                worker = Process(contender.name, size, files, log)
                stack.enter_context(worker)
                out = str(Path(folder) / f"{number}.npy")
                row = {
                    "name": contender.name,
                    "out": out,
                    **worker.ask(do="warm", out=out),
                }
            except RuntimeError as error:
                print(error, log.read_text("utf-8")[-2000:], sep="\n")
                continue
            workers[contender.name] = worker
            rows.append(row | {"speeds": []})
            print(f"{contender.name}: ready", flush=True)
        for number in range(rounds):
            for row in rows if number % 2 == 0 else rows[::-1]:
                row["speeds"].append(workers[row["name"]].ask(do="go")["speed"])
            print(f"round {number + 1} of {rounds}", flush=True)
        for row in rows:
            if "Lookalike" in row["name"]:
                row |= workers[row["name"]].ask(do="network")
        exact = exact_vectors(files, size)
        for row in rows:
            row |= agreement(np.load(row.pop("out")), exact, labels)
    print_ratios(rows, size)
    return rows


def print_ratios(rows: Sequence[dict], size: int) -> None:
    """Print each row's speed and how often it is as fast as `predict` on a dataset."""
    base = next(row for row in rows if row["name"] == DATASET)
    print(f"{f'input {size}':30}{'pictures/s':>11}{'× dataset':>11}")
    for row in rows:
        times, speed = ratios(row, base), median(row["speeds"])
        spread = f"({min(times):.2f}–{max(times):.2f})"
        print(
            f"{row['name']:30}{speed:11.1f}{median(times):11.2f} {spread}", flush=True
        )


def exact_vectors(files: Files, size: int) -> np.ndarray:
    """Return plain Keras's float32 vectors of the pixels that ours decode."""
    return batches(load_embedder(input_size=size, verbose=False))(files)


def agreement(vectors: np.ndarray, exact: np.ndarray, labels: Sequence[str]) -> dict:
    """Compare with plain Keras: the least cosine, the ten nearest, mAP."""
    cosines = (vectors * exact).sum(axis=1)
    nearest = [
        np.argsort(-_alone(v), axis=1, kind="stable")[:, :10] for v in (vectors, exact)
    ]
    shared = [len(np.intersect1d(a, b)) for a, b in zip(*nearest, strict=True)]
    result = {"cosine": float(cosines.min()), "top10": float(np.mean(shared)) / 10}
    if len(set(labels)) > 1:
        result["map"] = mean_average_precision(vectors, labels)
    return result


def mean_average_precision(vectors: np.ndarray, labels: Sequence[str]) -> float:
    """Return mAP, each picture being asked for the others of its label."""
    names = np.array(labels)
    own = np.eye(len(names), dtype=bool)
    relevant = rank_relevance(_alone(vectors), names, names, ignore=own)
    return float(np.nanmean(average_precision(relevant)))


def _alone(vectors: np.ndarray) -> np.ndarray:
    similarities = vectors @ vectors.T
    np.fill_diagonal(similarities, -np.inf)
    return similarities


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for, and write the page."""
    options = parser().parse_args(arguments)
    kept = options.work / "extraction.json"
    report = json.loads(kept.read_text("utf-8")) if kept.exists() else {}
    if options.command == "ratio":
        for _, files, labels in collections(options):
            for size in options.size:
                only = (DATASET, DEFAULT)
                compare((files, labels), size, options.rounds, only=only)
        return 0
    if options.command == "run":
        report |= {"machine": vars(describe()), "busy": load(), "versions": versions()}
        report["date"] = datetime.date.today().isoformat()
        report["results"] = [
            {"title": title, "size": size, "n": len(files), "rows": rows}
            for title, files, labels in collections(options)
            for size in options.size
            for rows in [compare((files, labels), size, options.rounds)]
        ]
    if "results" not in report:
        parser().error(f"{kept}: expected results of an earlier run. Run it first.")
    if options.command == "memory":
        report["startup"] = measure_startup()
        report["memory"] = measure_memory(options.size[0])
    options.work.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(report, indent=1), "utf-8")
    options.page.write_text("\n".join(page(report)) + "\n", encoding="utf-8")
    print(f"Written: {options.page}")
    return 0


def versions() -> dict[str, str]:
    """Return the versions of the libraries that take part."""
    wanted = ("tensorflow", "keras", "openvino", "nncf", "torch", "onnxruntime")
    return {
        name: importlib.metadata.version(name)
        for name in (*wanted, "pillow")
        if name == "pillow" or importlib.util.find_spec(name)
    }


def collections(options: argparse.Namespace) -> Iterator[tuple[str, Files, list[str]]]:
    """Yield the title, the files and the labels of what is to be embedded."""
    rows = read_metadata(GALLERY)
    rows = [row for row in rows if row["split"] == "gallery"][:: options.every]
    files = [GALLERY.parent / row["file"] for row in rows]
    yield "the gallery", files, [row["label"] for row in rows]
    if options.photos:
        found = images.scan_folder(options.photos)
        step = max(1, len(found.paths) // len(rows))
        chosen = slice(None, step * len(rows), step)
        yield "photos of a folder", found.paths[chosen], list(found.labels[chosen])


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = argparse.ArgumentParser(
        prog="python -m tools.benchmark.extraction",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = options.add_argument
    add("command", nargs="?", choices=["run", "ratio", "memory", "page"], default="run")
    add("--photos", type=Path, help="folder of pictures beside the gallery")
    add("--size", type=int, nargs="+", default=[224, 64], help="input sizes")
    add("--every", type=int, default=4, help="take one of so many gallery pictures")
    add("--rounds", type=int, default=5)
    add("--work", type=Path, default=ROOT / "output" / "benchmark")
    add("--page", type=Path, default=HERE / "EXTRACTION.md")
    return options


def measure_memory(size: int) -> list[dict[str, Any]]:
    """Embed 300 pictures of 12 megapixels, and 50,000 small ones."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        jobs = {
            "300 of 12 megapixels": (
                _paint(Path(folder) / "large", 300, (4000, 3000)),
                size,
            ),
            "50,000 of 64 × 64": (_paint(Path(folder) / "small", 50_000, (64, 64)), 64),
        }
        for title, (files, side) in jobs.items():
            with Process(DEFAULT, side, files, Path(folder) / "log") as worker:
                found.append({"title": title, **worker.ask(do="peak")})
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
    rows = read_metadata(GALLERY)
    paths = [GALLERY.parent / row["file"] for row in rows if row["split"] == "gallery"]
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        cache = {"LOOKALIKE_CACHE": str(Path(folder, "cache.sqlite"))}
        environment = os.environ | QUIET | cache
        with mock.patch.dict(os.environ, environment):
            ImageSearch.from_folder(GALLERY.parent).save(Path(folder, "saved"))
        command = [sys.executable, "-c", WARM_START, Path(folder, "saved"), paths[0]]
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


def _paint(folder: Path, count: int, size: tuple[int, int]) -> list[Path]:
    """Write pictures that differ: one of the gallery, enlarged, with a comment each."""
    folder.mkdir()
    rows = read_metadata(GALLERY)[:: max(1, 1248 // min(count, 1248))]
    encoded: dict[str, bytes] = {}
    for row in rows[:20]:
        image = images.open_picture(GALLERY.parent / row["file"]).resize(size)
        path = folder / "one.jpg"
        image.save(path, quality=90)
        encoded[row["file"]] = path.read_bytes()
        path.unlink()
    kinds, paths = list(encoded.values()), []
    for number in range(count):
        data = kinds[number % len(kinds)] + hashlib.sha256(b"%d" % number).digest()
        paths.append(folder / f"{number}.jpg")
        paths[-1].write_bytes(data)
    return paths


if __name__ == "__main__":
    if sys.argv[1:] == ["worker"]:
        serve()
    else:
        sys.exit(main())
