"""The process of one contender of `tools.benchmark.extraction`, and how it is told.

python -m tools.benchmark.extraction_worker     # waits for commands: JSON, one a line
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import IO, Any, cast

import numpy as np

from tools.benchmark.extraction_peers import BATCH, CONTENDERS, OURS, Job
from utils.images import load_pictures

ROOT = Path(__file__).resolve().parents[2]
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


def serve() -> None:
    """Carry out commands, one JSON line each; file descriptor 1 is for answers."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    worker = None
    for line in sys.stdin:
        command = json.loads(line)
        try:
            if worker is None:
                worker = Worker(**command)
                answer: dict[str, Any] = {}
            else:
                answer = getattr(worker, command.pop("do"))(**command)
        except Exception as error:  # noqa: BLE001 - libraries raise what they like
            answer = {"failed": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


class Process:
    """A worker, as the other side sees it.

    RuntimeError, with what the library said, if it cannot do what it is told.
    """

    def __init__(self, name: str, job: Job, log: Path) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        if name.startswith(OURS):
            environment |= QUIET
        if "threads" in job.setting:
            environment |= dict.fromkeys(THREADS, str(job.setting["threads"]))
        with open(log, "w", encoding="utf-8") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tools.benchmark.extraction_worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                cwd=ROOT,
                env=environment,
            )
        self.name, self.log = name, log
        self.commands = cast(IO[str], self.process.stdin)
        self.answers = cast(IO[str], self.process.stdout)
        try:
            self.ask(name=name, job=[str(job.folder), *job[1:]])
        except BaseException:
            self.close()
            raise

    def ask(self, **command: Any) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        try:
            self.commands.write(json.dumps(command) + "\n")
            self.commands.flush()
            line = self.answers.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            last = self.log.read_text("utf-8", errors="replace")[-2000:]
            raise RuntimeError(f"{self.name} ended before it answered: {last}")
        answer = json.loads(line)
        if "failed" in answer:
            raise RuntimeError(answer["failed"])
        return answer

    def close(self) -> None:
        """Let the process end."""
        self.commands.close()
        self.process.wait()
        self.answers.close()

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def strings(files: Sequence[Path]) -> list[str]:
    """Return absolute paths, as JSON holds them."""
    return [str(path.resolve()) for path in files]


if __name__ == "__main__":
    serve()
