"""The process of one contender of `tools.benchmark.extraction`, and how it is told.

python -m tools.benchmark.extraction_worker     # waits for commands: JSON, one a line
"""

from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from tools.benchmark import dialogue
from tools.benchmark.extraction_peers import BATCH, CONTENDERS, OURS, Job
from utils.images import load_pictures

WARM_FILES = 64  # before memory is looked at: buffers are allocated on the way

# As utils/start.py has it: FAISS's idle threads would take a core from the network.
QUIET = {"OMP_WAIT_POLICY": "passive"}
# Libraries read their number of threads when they are loaded.
THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")


class Worker:
    """One contender in its own process: it embeds when it is told to."""

    def __init__(self, name: str, job: list[Any]) -> None:
        self.contender = next(c for c in CONTENDERS if c.name == name)
        folder, *rest = job
        self.job = Job(Path(folder), *rest)
        self.way = self.contender.make(self.job)
        self.batch: np.ndarray | None = None

    def vectors(self, files: list[str], out: str) -> dict[str, Any]:
        """Embed, and keep the vectors in a file."""
        np.save(out, self.way.embed([Path(file) for file in files]))
        return {}

    def speed(self, files: list[str]) -> dict[str, float]:
        """Embed: pictures a second, from file to vector."""
        start = perf_counter()
        self.way.embed([Path(file) for file in files])
        return {"speed": len(files) / (perf_counter() - start)}

    def network(self, files: list[str]) -> dict[str, float]:
        """Run one batch through the network alone: pictures a second, if it can."""
        if self.way.forward is None:
            return {}
        if self.batch is None:
            self.batch = load_pictures(files[:BATCH], self.job.size)[0]
            self.way.forward(self.batch)
        start = perf_counter()
        self.way.forward(self.batch)
        return {"network": len(self.batch) / (perf_counter() - start)}

    def peak(self, files: list[str]) -> dict[str, float]:
        """Embed everything: how far memory rose above the loaded model, in MB."""
        from tools.benchmark.worker import memory  # brings FAISS, which peers lack

        paths = [Path(file) for file in files]
        self.way.embed(paths[:WARM_FILES])
        before, start = memory("now"), perf_counter()
        count = len(self.way.embed(paths))
        rise = max(0, memory("peak") - before) / 1e6
        return {"rise": rise, "pictures": count, "seconds": perf_counter() - start}


class Process(dialogue.Process):
    """A contender's worker."""

    def __init__(self, name: str, job: Job, log: Path) -> None:
        environment = {"PYTHONPATH": str(dialogue.ROOT)}
        if name.startswith(OURS):
            environment |= QUIET
        if "threads" in job.setting:
            environment |= dict.fromkeys(THREADS, str(job.setting["threads"]))
        module = "tools.benchmark.extraction_worker"
        told = [str(job.folder), *job[1:]]
        super().__init__(module, log, environment, name=name, job=told)


def strings(files: Sequence[Path]) -> list[str]:
    """Return absolute paths, as JSON holds them."""
    return [str(path.resolve()) for path in files]


if __name__ == "__main__":
    dialogue.serve(Worker)
