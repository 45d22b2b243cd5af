"""The part of `tools.doctor` that may crash: run by it in a process of its own.

``python -m tools.doctor_probe [--deep] MODULE ...`` imports the modules, with
``--deep`` turns a picture into a vector, describes threads and Jupyter's kernel, and
prints a JSON object a line: before each step what it does, after it what came of it.
``--speed`` times the ways to run the network, and does nothing else.
"""

import json
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

TURNS, PICTURES = 5, 16  # each way's, and pictures in a turn


def imports(name: str) -> bool:
    """Import a module."""
    return bool(import_module(name))


def embed() -> str:
    """Turn a grey picture into a vector, with the bundled weights."""
    import numpy as np

    from utils.embeddings import load_embedder

    embedder = load_embedder("bundled")
    size = embedder.input_size
    picture = np.full((1, size, size, 3), 127, dtype=np.uint8)
    return f"{embedder.pipeline}: {embedder.embed(picture).shape[1]} numbers"


def measure_speeds(sizes: tuple[int, ...] = (64, 224)) -> list[dict[str, Any]]:
    """Time the network alone, in every way that runs here: pictures a second."""
    import numpy as np

    from utils.embeddings import load_embedder
    from utils.errors import LookalikeError
    from utils.fast.embedder import RUNTIMES, FastEmbedder

    found = []
    for size in sizes:
        exact = load_embedder("bundled", input_size=size, verbose=False)
        ways = {"load_embedder()": exact}
        for precision in ("float32", "bfloat16", "int8"):  # float16 is for GPUs
            for runtime in RUNTIMES[precision]:
                call = f"load_fast_embedder({precision!r}, runtime={runtime!r})"
                ways[call] = FastEmbedder(exact, precision, runtime)
        batch = np.random.default_rng(0).integers(0, 256, (PICTURES, size, size, 3))
        batch = batch.astype(np.uint8)
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(TURNS + 1):  # they take turns; the first one compiles
            for name in list(ways):
                start = perf_counter()
                try:
                    ways[name].embed(batch)
                except LookalikeError:  # OpenVINO or NNCF is not installed
                    del ways[name]
                if turn:
                    seconds[name].append(perf_counter() - start)
        for name in ways:
            speed = PICTURES / median(seconds[name])
            found.append({"size": size, "call": name, "speed": speed})
    return found


def list_runtimes() -> list[dict[str, Any]]:
    """Thread pools of this process, as threadpoolctl lists them, and FAISS's."""
    from threadpoolctl import threadpool_info

    found = [
        {
            "api": pool["user_api"],
            "name": pool["prefix"],
            "file": "/".join(Path(pool["filepath"]).parts[-2:]),
            "threads": pool["num_threads"],
        }
        for pool in threadpool_info()
    ]
    faiss = sys.modules.get("faiss")
    if faiss is not None:
        threads = faiss.omp_get_max_threads()
        found.append({"api": "faiss", "name": "faiss", "file": "", "threads": threads})
    return found


def find_kernel() -> str:
    """Return the program that Jupyter's kernel ``python3`` starts."""
    from jupyter_client.kernelspec import KernelSpecManager

    return KernelSpecManager().get_kernel_spec("python3").argv[0]


def attempt(name: str, step: Callable[[], object]) -> None:
    """Print what is tried; then its result, or the first line of its error."""
    print(json.dumps({"doing": name}), flush=True)
    try:
        facts = {name: step()}
    except BaseException as error:  # even SystemExit: the next one is due
        lines = str(error).strip().splitlines() or [""]
        message = f"{type(error).__name__}: {lines[0][:200]}"
        facts = {"module": name, "error": message}
    print(json.dumps(facts), flush=True)


def main(arguments: list[str]) -> None:
    """Try everything, one after the other, in this one process."""
    if "--speed" in arguments:
        attempt("speeds", measure_speeds)
        return
    for name in arguments:
        if name != "--deep":
            attempt(name, partial(imports, name))
    if "--deep" in arguments:
        attempt("vector", embed)
    attempt("runtimes", list_runtimes)
    attempt("kernel", find_kernel)


if __name__ == "__main__":
    main(sys.argv[1:])
