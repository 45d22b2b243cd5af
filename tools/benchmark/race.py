"""Start the workers, let them take turns, keep every result.

Three stages for each collection.  Family after family, every build is made and sweeps
its settings; only what was chosen stays on the disk.  Then the chosen race: in a round
each takes one short turn, so that a slow minute of the machine slows them all, and a
ratio is taken inside one round.

A result is a line of JSON, written as soon as it is there; a run that was stopped goes
on where it was.
"""

import json
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any
from zlib import crc32

from tools.benchmark import dialogue
from tools.benchmark.contenders import Contender, Family, missing
from tools.benchmark.data import load_facts
from tools.benchmark.dialogue import ContenderError
from tools.benchmark.machine import free_memory
from tools.benchmark.standing import Chosen, Section
from tools.benchmark.worker import size_of

ROOM = 0.9  # of the free memory, for all indexes together
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


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

    def of(self, **wanted: Any) -> list[dict[str, Any]]:
        """Return the records that have all these values."""
        return [
            record
            for record in self.records
            if all(record.get(key) == value for key, value in wanted.items())
        ]

    def forget(self, **wanted: Any) -> None:
        """Drop the records that have all these values."""
        dropped = self.of(**wanted)
        if dropped:
            self.records = [r for r in self.records if r not in dropped]
            lines = (json.dumps(record) + "\n" for record in self.records)
            self.path.write_text("".join(lines), encoding="utf-8")

    def newest(self, **wanted: Any) -> dict[str, Any] | None:
        """Return the last of them, if there is one: the newest counts."""
        return next(reversed(self.of(**wanted)), None)


class Process(dialogue.Process):
    """A contender's worker."""

    def __init__(self, contender: Contender, folder: Path, threads: int) -> None:
        self.threads = threads
        environment = dict.fromkeys(THREADS, str(threads))
        environment |= {"OMP_WAIT_POLICY": "passive"}  # idle threads sleep, not spin
        super().__init__(
            "tools.benchmark.worker",
            folder / f"{contender.folder}.log",
            environment,
            contender=contender.name,
            folder=str(folder),
            threads=threads,
        )


class Benchmark:
    """All stages on one collection.

    Parameters
    ----------
    folder : Path
        A collection that `tools.benchmark.data` wrote.
    contenders : sequence of Contender
    results : Results
    threads : sequence of int
        An index is built with the largest number; there is a race for each.
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
        rounds: int = 7,
        say: Callable[[str], Any] = print,
    ) -> None:
        self.folder, self.results, self.say = folder, results, say
        self.threads, self.rounds = threads, rounds
        self.facts = load_facts(folder)
        self.key = {"data": self.facts.fingerprint}
        self.contenders = [c for c in contenders if not missing(c.family.library)]
        self.who = crc32("\n".join(c.name for c in self.contenders).encode())

    def run(self) -> Section:
        """Build, sweep and race; then remove the indexes."""
        self.say(f"{self.facts.title} (n = {self.facts.n:,})")
        self.results.forget(**self.key, kind="failure")  # they may do better now
        for family in dict.fromkeys(c.family for c in self.contenders):
            self._prepare(family)
        for threads in self.threads:
            self._race(threads)
        for contender in self.contenders:
            shutil.rmtree(self.folder / contender.folder, ignore_errors=True)
        return self.section()

    def section(self) -> Section:
        """Return all results of this collection so far."""
        names = [contender.name for contender in self.contenders]
        facts = asdict(self.facts) | {"who": self.who, "contenders": names}
        section = Section(facts, self.results.records, self.contenders)
        if section.is_small:
            section.facts["title"] += ", small indexes"
        return section

    def _fail(self, contender: Contender, stage: str, error: ContenderError) -> None:
        line = str(error).splitlines()[0]
        self.say(f"  {contender.name}: {stage} failed: {line}")
        record = {"kind": "failure", "contender": contender.name, "stage": stage}
        self.results.add(**self.key, **record, error=line)

    def _rounds(self, threads: int) -> list[dict[str, Any]]:
        """Return the finished rounds of just these contenders."""
        return self.results.of(**self.key, kind="round", threads=threads, who=self.who)

    def _has(self, kind: str, contender: Contender) -> dict[str, Any] | None:
        return self.results.newest(**self.key, kind=kind, contender=contender.name)

    def _prepare(self, family: Family) -> None:
        """Build and sweep what is not done yet, and keep the indexes that will race."""
        mine = [c for c in self.contenders if c.family == family]
        for contender in mine:
            if not self._has("sweep", contender) and not self._has(
                "failure", contender
            ):
                self._attempt(contender, "building", self._build)
                self._attempt(contender, "sweeping", self._sweep)
        racing = {
            c.contender for c in self._finalists() if c.contender.family == family
        }
        over = all(len(self._rounds(t)) >= self.rounds for t in self.threads)
        for contender in mine:
            if contender in racing and not over:
                self._attempt(contender, "building", self._build)
            else:
                shutil.rmtree(self.folder / contender.folder, ignore_errors=True)

    def _finalists(self) -> list[Chosen]:
        """Return what is chosen so far, but for those that failed since."""
        section = self.section()
        return [c for c in section.finalists() if c.contender not in section.failed]

    def _attempt(self, contender: Contender, stage: str, step: Callable) -> None:
        if self._has("failure", contender):
            return
        try:
            step(contender)
        except ContenderError as error:
            self._fail(contender, stage, error)

    def _build(self, contender: Contender) -> None:
        build, folder = self._has("build", contender), self.folder / contender.folder
        if build and folder.exists() and size_of(folder) == build["file"]:
            return
        shutil.rmtree(folder, ignore_errors=True)
        with Process(contender, self.folder, max(self.threads)) as worker:
            answer = worker.ask("build")
        record = {"kind": "build", "contender": contender.name}
        self.results.add(**self.key, **record, threads=worker.threads, **answer)
        self.say(f"  {contender.name}: built in {answer['seconds']:.1f} s")

    def _sweep(self, contender: Contender) -> None:
        """Find out what each setting finds, and what the index takes in memory."""
        start = time.perf_counter()
        with Process(contender, self.folder, 1) as worker:
            answer = worker.ask("open") | worker.ask("sweep")
        record = {"kind": "sweep", "contender": contender.name}
        self.results.add(**self.key, **record, **answer)
        seconds = time.perf_counter() - start
        self.say(f"  {contender.name}: swept in {seconds:.1f} s")

    def _race(self, threads: int) -> None:
        if len(self._rounds(threads)) >= self.rounds:
            return
        finalists = self._finalists()
        starters = list(dict.fromkeys(chosen.contender for chosen in finalists))
        self._check_room(sum(size_of(self.folder / c.folder) for c in starters))
        with ExitStack() as stack:
            workers: dict[Contender, Process] = {}
            for contender in starters:
                try:
                    worker = Process(contender, self.folder, threads)
                    stack.enter_context(worker).ask("open")
                    workers[contender] = worker
                except ContenderError as error:
                    self._fail(contender, "opening", error)
            for number in range(len(self._rounds(threads)), self.rounds):
                self._round(number, threads, finalists, workers)

    def _check_room(self, needed: int) -> None:
        if needed > ROOM * free_memory():
            raise MemoryError(
                f"The race keeps all indexes in memory: expected {needed / 1e9:.1f} GB "
                f"and some more. Free: {free_memory() / 1e9:.1f} GB. Leave some out "
                "with --only, or lower --n; what was built is kept."
            )

    def _round(
        self,
        number: int,
        threads: int,
        finalists: Sequence[Chosen],
        workers: dict[Contender, Process],
    ) -> None:
        """Let each take its turns; who begins differs from round to round."""
        start, turns = time.perf_counter(), []
        order = [chosen for chosen in finalists if chosen.contender in workers]
        shift = number * len(order) // max(1, self.rounds)
        for chosen in (order[shift:] + order[:shift])[:: -1 if number % 2 else 1]:
            contender, setting = chosen.contender, chosen.point["setting"]
            if contender not in workers:
                continue
            try:
                worker, alone = workers[contender], threads == 1
                turn = worker.ask("turn", setting=setting, singles=alone)
                turns.append({"contender": contender.name, "setting": setting, **turn})
            except ContenderError as error:
                self._fail(contender, "racing", error)
                del workers[contender]
        self.results.add(
            **self.key, kind="round", threads=threads, who=self.who, turns=turns
        )
        seconds = time.perf_counter() - start
        self.say(f"  round {number + 1} with {threads} threads: {seconds:.0f} s")
