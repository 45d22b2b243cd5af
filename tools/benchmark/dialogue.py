"""A worker in a process of its own, spoken to in lines of JSON.

`Process` is the side that asks, `serve` the side that answers.  A process of its own
keeps a contender's memory apart, lets the environment fix the number of threads, and
keeps a crash to itself.  Nothing but Python's own modules is needed here: peers run
where FAISS is not installed.
"""

import contextlib
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, Self, cast

ROOT = Path(__file__).resolve().parents[2]
TAIL = 2000  # characters of the log that an error repeats
PATIENCE = 10  # seconds that a worker has to end


class ContenderError(RuntimeError):
    """A contender failed, with what its library said; the others go on."""


class Process:
    """A worker, as the other side sees it.

    Parameters
    ----------
    module : str
        What `python -m` runs: it calls `serve`.
    log : Path
        Takes what the worker and its libraries print.
    environment : mapping of str to str
        What the worker has besides this process's own.
    **job
        What the worker is made of.

    Raises
    ------
    ContenderError
        If the worker cannot be made.
    """

    def __init__(
        self, module: str, log: Path, environment: Mapping[str, str], **job: Any
    ) -> None:
        self.log = log
        with open(log, "w", encoding="utf-8") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                cwd=ROOT,
                env={**os.environ, **environment},
            )
        self.commands = cast(IO[str], self.process.stdin)
        self.answers = cast(IO[str], self.process.stdout)
        try:
            self._send(job)
        except BaseException:
            self.close()
            raise

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Have the worker do something, and return what it answers."""
        return self._send({"do": do, **arguments})

    def _send(self, command: dict[str, Any]) -> dict[str, Any]:
        try:
            self.commands.write(json.dumps(command) + "\n")
            self.commands.flush()
            line = self.answers.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            code = self.process.wait()
            last = self.log.read_text("utf-8", errors="replace")[-TAIL:]
            message = f"its process ended with status {code}; see {self.log.name}"
            raise ContenderError(f"{message}\n{last}".strip())
        answer = json.loads(line)
        if "error" in answer:
            raise ContenderError(answer["error"])
        return answer

    def close(self) -> None:
        """Let the process end."""
        with contextlib.suppress(BrokenPipeError):  # it left a command unread
            self.commands.close()
        try:
            self.process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:  # we were interrupted in the midst of it
            self.process.kill()
            self.process.wait()
        self.answers.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def serve(make: Callable[..., Any]) -> None:
    """Make a worker of the first command, call its methods by the others.

    An error is an answer, too.  File descriptor 1 is kept for answers: libraries may
    print what they like.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    worker = None
    for line in sys.stdin:
        command = json.loads(line)
        try:
            if worker is None:
                worker, answer = make(**command), {}
            else:
                answer = getattr(worker, command.pop("do"))(**command)
        except Exception as error:  # noqa: BLE001 - libraries raise what they like
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)
