"""The part of `tools.doctor` that may crash: run by it in a process of its own.

``python -m tools.doctor_probe [--deep] MODULE ...`` imports the modules, with
``--deep`` turns a picture into a vector, describes threads and Jupyter's kernel, and
prints a JSON object a line: before each step what it does, after it what came of it.
"""

import json
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any


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
    for name in arguments:
        if name != "--deep":
            attempt(name, partial(imports, name))
    if "--deep" in arguments:
        attempt("vector", embed)
    attempt("runtimes", list_runtimes)
    attempt("kernel", find_kernel)


if __name__ == "__main__":
    main(sys.argv[1:])
