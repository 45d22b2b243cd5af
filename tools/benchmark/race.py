"""Start the workers, let them take turns, keep every result.

Three stages for each collection: every contender builds its index and writes it; all of
them open what they wrote and sweep their settings; then they race.  In a round of the
race each contender takes one short turn, so that a slow minute of the machine slows
them all, and a ratio is taken inside one round.

A result is a line of `results.jsonl`, written as soon as it is there; a run that was
stopped goes on where it was.
"""

import datetime
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, cast

from tools.benchmark.contenders import Contender, missing
from tools.benchmark.data import load_facts
from tools.benchmark.machine import Machine, free_memory, load

ROOT = Path(__file__).resolve().parents[2]
LEVELS = (0.90, 0.95, 0.99)
ROOM = 0.9  # of the free memory, for all indexes together
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class ContenderError(RuntimeError):
    """A contender failed; the others go on."""


class Results:
    """Lines of JSON in a file; each belongs to a collection, a contender, a stage."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records: list[dict[str, Any]] = []
        if path.exists():
            *lines, rest = path.read_text(encoding="utf-8").split("\n")
            self.records = [json.loads(line) for line in lines]
            if rest:  # we were stopped in the midst of a line
                path.write_text("".join(f"{line}\n" for line in lines), "utf-8")

    def add(self, **record: Any) -> None:
        """Keep a record, on the disk too."""
        self.records.append(record)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def begin(self, machine: Machine, command: str, **what: Any) -> None:
        """Keep what is about to be run, for the page."""
        today = datetime.date.today().isoformat()
        busy = {"load": load(), "date": today, "command": command}
        self.add(kind="run", machine=vars(machine), **busy, **what)

    def of(self, **wanted: Any) -> list[dict[str, Any]]:
        """Return the records that have all these values."""
        return [
            record
            for record in self.records
            if all(record.get(key) == value for key, value in wanted.items())
        ]

    def newest(self, **wanted: Any) -> dict[str, Any] | None:
        """Return the last of them, if there is one: the newest counts."""
        return next(reversed(self.of(**wanted)), None)


class Process:
    """A worker in a process of its own: call it with a command, get its answer."""

    def __init__(self, contender: Contender, folder: Path, threads: int) -> None:
        self.name = contender.name
        environment = os.environ | dict.fromkeys(THREADS, str(threads))
        environment |= {"OMP_WAIT_POLICY": "passive"}  # idle threads sleep, not spin
        self.log = folder / f"{contender.file}.log"
        with open(self.log, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tools.benchmark.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=ROOT,
                env=environment,
            )
        self.threads = threads
        self.commands = cast(IO[str], self.process.stdin)
        self.answers = cast(IO[str], self.process.stdout)
        self._ask({"contender": self.name, "folder": str(folder), "threads": threads})

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *error: object) -> None:
        self.commands.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:  # we were interrupted in the midst of it
            self.process.kill()
            self.process.wait()
        self.answers.close()

    def __call__(self, command: str, **arguments: Any) -> dict[str, Any]:
        """Do a command in the worker, and return what it answers."""
        return self._ask({"do": command, **arguments})

    def _ask(self, command: dict[str, Any]) -> dict[str, Any]:
        try:
            self.commands.write(json.dumps(command) + "\n")
            self.commands.flush()
            line = self.answers.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            code = self.process.wait()
            message = f"its process ended with status {code}; see {self.log.name}"
            raise ContenderError(message)
        answer = json.loads(line)
        if "error" in answer:
            raise ContenderError(answer["error"])
        return answer


class Benchmark:
    """All stages on one collection.

    Parameters
    ----------
    folder : Path
        A collection that `tools.benchmark.data` wrote.
    contenders : sequence of Contender
    results : Results
    threads : sequence of int
        The index is built with the largest number; there is a race for each.
    rounds : int
    say : callable
        Takes a line of progress.
    """

    def __init__(
        self,
        folder: Path,
        contenders: Sequence[Contender],
        results: Results,
        *,
        threads: Sequence[int] = (1, 2),
        rounds: int = 5,
        say: Callable[[str], Any] = print,
    ) -> None:
        self.folder, self.results, self.say = folder, results, say
        self.threads, self.rounds = threads, rounds
        self.facts = load_facts(folder)
        self.key = {"data": self.facts.fingerprint}
        self.contenders = [c for c in contenders if not missing(c.library)]

    def run(self) -> None:
        """Build, sweep and race; then remove the index files."""
        self.say(f"{self.facts.title} (n = {self.facts.n:,})")
        if not self._is_complete():
            for contender in self.contenders:
                self._build(contender)
            for threads in self.threads:
                self._race(threads)
        for contender in self.contenders:
            (self.folder / contender.file).unlink(missing_ok=True)

    def _fail(self, contender: Contender, stage: str, error: ContenderError) -> None:
        self.say(f"  {contender.name}: {stage} failed: {error}")
        record = {"kind": "failure", "contender": contender.name, "stage": stage}
        self.results.add(**self.key, **record, error=str(error))

    def _rounds(self, threads: int) -> list[dict[str, Any]]:
        """Return the finished rounds of just these contenders."""
        names = [contender.name for contender in self.contenders]
        wanted = {"kind": "round", "threads": threads, "contenders": names}
        return self.results.of(**self.key, **wanted)

    def _is_complete(self) -> bool:
        return all(len(self._rounds(t)) >= self.rounds for t in self.threads)

    def _record(self, kind: str, contender: Contender) -> dict[str, Any]:
        wanted = {"kind": kind, "contender": contender.name}
        return self.results.newest(**self.key, **wanted) or {}

    def _file_is_whole(self, contender: Contender) -> bool:
        build = self._record("build", contender)
        file = self.folder / contender.file
        return bool(build and file.exists() and file.stat().st_size == build["file"])

    def _build(self, contender: Contender) -> None:
        if self._file_is_whole(contender):
            return
        try:
            with Process(contender, self.folder, max(self.threads)) as worker:
                answer = worker("build")
        except ContenderError as error:
            self._fail(contender, "building", error)
            return
        record = {"kind": "build", "contender": contender.name}
        self.results.add(**self.key, **record, threads=worker.threads, **answer)
        self.say(f"  {contender.name}: built in {answer['seconds']:.1f} s")

    def _race(self, threads: int) -> None:
        if len(self._rounds(threads)) >= self.rounds:
            return
        starters = [c for c in self.contenders if self._file_is_whole(c)]
        self._check_room(sum((self.folder / c.file).stat().st_size for c in starters))
        with ExitStack() as stack:
            workers: dict[str, Process] = {}
            for contender in starters:
                try:
                    worker = Process(contender, self.folder, threads)
                    stack.enter_context(worker)
                    self._open(contender, worker)
                    workers[contender.name] = worker
                except ContenderError as error:
                    self._fail(contender, "opening", error)
            for number in range(len(self._rounds(threads)), self.rounds):
                self._round(number, threads, workers)

    def _check_room(self, needed: int) -> None:
        if needed > ROOM * free_memory():
            raise MemoryError(
                f"The race keeps all indexes in memory: expected {needed / 1e9:.1f} GB "
                f"and some more. Free: {free_memory() / 1e9:.1f} GB. Leave some out "
                "with --only, or lower --n; what was built is kept."
            )

    def _open(self, contender: Contender, worker: Process) -> None:
        """Load the index and, unless it is known, what each setting finds."""
        opened = worker("open")
        if self._record("sweep", contender):
            return
        answer = worker("sweep")
        record = {"kind": "sweep", "contender": contender.name}
        self.results.add(**self.key, **record, **opened, **answer)
        best = max(point["recall"] for point in answer["points"])
        self.say(f"  {contender.name}: recall up to {best:.3f}")

    def _round(self, number: int, threads: int, workers: dict[str, Process]) -> None:
        """Let each take its turns; who begins differs from round to round."""
        start, turns = time.perf_counter(), []
        order = [c for c in self.contenders if c.name in workers]
        shift = number % max(1, len(order))
        for contender in (order[shift:] + order[:shift])[:: -1 if number % 2 else 1]:
            points = self._record("sweep", contender)["points"]
            try:
                for setting in choose_settings(points):
                    turn = workers[contender.name](
                        "turn", setting=setting, singles=threads == 1
                    )
                    turns.append(
                        {"contender": contender.name, "setting": setting, **turn}
                    )
            except ContenderError as error:
                self._fail(contender, "racing", error)
                del workers[contender.name]
        names = [contender.name for contender in self.contenders]
        record = {"kind": "round", "threads": threads, "contenders": names}
        self.results.add(**self.key, **record, turns=turns)
        seconds = time.perf_counter() - start
        self.say(f"  round {number + 1} with {threads} threads: {seconds:.0f} s")


def cheapest(points: Iterable[dict[str, Any]], level: float) -> dict[str, Any] | None:
    """Return the fastest point of a sweep that reaches a recall, if one does.

    Examples
    --------
    >>> points = [{"recall": 0.9, "ms": 1}, {"recall": 0.97, "ms": 3}]
    >>> cheapest(points, 0.95)["ms"], cheapest(points, 0.99)
    (3, None)
    """
    good = [point for point in points if point["recall"] >= level]
    return min(good, key=lambda point: point["ms"], default=None)


def choose_settings(points: Sequence[dict[str, Any]]) -> list[dict[str, int]]:
    """Return the settings that race: the cheapest at each level, each once.

    One that reaches no level races with the setting that finds most.
    """
    chosen = [cheapest(points, level) for level in LEVELS]
    settings = [point["setting"] for point in chosen if point]
    settings = settings or [max(points, key=lambda p: p["recall"])["setting"]]
    return [s for i, s in enumerate(settings) if s not in settings[:i]]
