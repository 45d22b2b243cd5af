"""The process of one contender: it reads commands as JSON lines and answers in kind.

python -m tools.benchmark.worker        # started by tools.benchmark.race
"""

from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from tools.benchmark.contenders import SAMPLE_A_CELL, K, cells_for, find
from tools.benchmark.data import (
    NearestSoFar,
    halves,
    load_exact,
    load_facts,
    stream,
)
from tools.benchmark.dialogue import serve
from utils.metrics import ann_recall

SINGLES, LEAST_SINGLES, SINGLE_SECONDS = 100, 10, 1.0  # queries one by one, a turn
BATCH_SECONDS = 0.2  # a batch is repeated until it took that long
GOOD_ENOUGH = 0.995  # recall after which costlier settings are not tried
PROBE_QUERIES = 40  # one by one, for each setting


class Worker:
    """What one contender does, a method for each command."""

    def __init__(self, contender: str, folder: str, threads: int) -> None:
        self.contender = find(contender)
        self.folder = Path(folder)
        self.facts = load_facts(self.folder)
        self.index = self.folder / self.contender.folder
        self.engine = self.contender.engine(threads, self.facts.n)

    def build(self) -> dict[str, float]:
        """Build and save the index: seconds, peak of memory, bytes of its files."""
        self.index.mkdir(parents=True)
        start = perf_counter()
        if self.facts.streamed:
            waiting = self._build_from_blocks()
        else:
            vectors = np.load(self.folder / "base.npy")
            waiting = perf_counter() - start
            self.engine.start(vectors, len(vectors))
            self.engine.add(vectors)
        self.engine.save(self.index)  # NGT builds then
        seconds = perf_counter() - start - waiting
        return {
            "seconds": seconds,
            "peak": memory("peak"),
            "file": size_of(self.index),
        }

    def _build_from_blocks(self) -> float:
        """Build without ever holding the collection; return seconds not spent on it."""
        queries, start = np.load(self.folder / "queries.npy"), perf_counter()
        self.engine.start(self._sample(), self.facts.n)
        spent, start_all = perf_counter() - start, start
        exact = self.folder / "exact.npz"
        nearest = None if exact.exists() else NearestSoFar(queries)
        for block in stream(self.folder):
            start = perf_counter()
            self.engine.add(block)
            spent += perf_counter() - start
            if nearest:
                nearest.look_at(block)
        if nearest:
            nearest.save(self.folder)
        return perf_counter() - start_all - spent

    def _sample(self) -> np.ndarray:
        """Return the first vectors of the stream, enough to train on."""
        wanted = min(self.facts.n, SAMPLE_A_CELL * cells_for(self.facts.n))
        sample = np.empty((wanted, self.facts.d), dtype=np.float32)
        filled = 0
        for block in stream(self.folder):
            block = block[: wanted - filled]
            sample[filled : filled + len(block)] = block
            filled += len(block)
            if filled == wanted:
                break
        return sample

    def open(self) -> dict[str, float]:
        """Load the index: the memory that this takes."""
        self.queries = np.load(self.folder / "queries.npy")
        self.choosing, self.reporting = map(np.ascontiguousarray, halves(self.queries))
        before = memory("now")
        self.engine.load(self.index, self.facts.n, self.facts.d)
        return {"memory": max(0, memory("now") - before)}

    def sweep(self) -> dict[str, list[dict[str, Any]]]:
        """Try the settings, cheapest first: what each finds, and its milliseconds.

        `hits` are two lists, of the queries to choose on and of those to report on: how
        many queries found 0, 1, … K of their neighbours.
        """
        points: list[dict[str, Any]] = []
        enough: list[dict[str, int]] = []
        for setting in self.contender.settings(self.facts.n):
            if any(all(setting[key] >= good[key] for key in good) for good in enough):
                continue
            self.engine.tune(**setting)
            found = self._found()
            probe = self._singles(self.choosing[:PROBE_QUERIES])
            hits = [np.bincount(h, minlength=K + 1).tolist() for h in halves(found)]
            points.append({"setting": setting, "hits": hits, "ms": 1e3 * median(probe)})
            if found.mean() >= GOOD_ENOUGH * K and setting:
                enough.append(setting)
        return {"points": points}

    def _found(self) -> np.ndarray:
        """Return how many of its neighbours each query finds: int of shape (q,)."""
        ids = self.engine.search(self.queries, K)
        exact = load_exact(self.folder)
        if self.facts.streamed:  # no vectors to compare with; nor are there ties
            recalls = ann_recall(ids, exact.ids)
        else:
            base = np.load(self.folder / "base.npy", mmap_mode="r")
            similarities = np.full(ids.shape, -np.inf)
            for row, query in enumerate(self.queries):
                found = ids[row] >= 0
                similarities[row, found] = base[ids[row, found]] @ query
            recalls = ann_recall(
                ids,
                exact.ids,
                similarities=similarities,
                exact_similarities=exact.similarities,
            )
        return np.rint(K * recalls).astype(int)

    def turn(self, setting: dict[str, int], singles: bool) -> dict[str, Any]:
        """Take a turn in the race: milliseconds one by one, queries/s in a batch."""
        queries = self.reporting
        self.engine.tune(**setting)
        self.engine.search(queries, K)  # warm
        seconds, batches = 0.0, 0
        while seconds < BATCH_SECONDS:
            start = perf_counter()
            self.engine.search(queries, K)
            seconds += perf_counter() - start
            batches += 1
        answer = {"per_second": batches * len(queries) / seconds}
        if singles:
            times = 1e3 * np.array(self._singles(queries[:SINGLES]))
            answer |= {"p50": np.median(times), "p95": np.percentile(times, 95)}
        return answer

    def _singles(self, queries: np.ndarray) -> list[float]:
        """Seconds of each search, one query at a time, within a limit."""
        seconds: list[float] = []
        for row in range(len(queries)):
            if len(seconds) >= LEAST_SINGLES and sum(seconds) > SINGLE_SECONDS:
                break
            query = queries[row : row + 1]
            start = perf_counter()
            self.engine.search(query, K)
            seconds.append(perf_counter() - start)
        return seconds


def memory(what: str) -> int:
    """Return this process's resident bytes, ``"now"`` or at the ``"peak"``.

    On Linux from /proc: the peak that `getrusage` tells there is, in a new process,
    at least what its parent had.
    """
    name = {"now": "VmRSS:", "peak": "VmHWM:"}[what]
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            return next(1024 * int(x.split()[1]) for x in file if x.startswith(name))
    except OSError:
        import resource  # macOS: the peak alone, in bytes; Windows has neither

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def size_of(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    serve(Worker)
