"""Make the notebooks: generated cells, execution, stored outputs.

    python tools/notebooks.py sync [NN ...]   write the generated cells
    python tools/notebooks.py run [NN ...]    sync, execute, store the outputs
    python tools/notebooks.py check           fail if sync would change a file

Two notebooks belong to a number. ``03_compare_vectors.ipynb`` is the lesson;
``solutions/03_compare_vectors_solutions.ipynb`` recreates in a few lines what the
lesson had by then and solves its exercises. An appendix, ``A1_….ipynb``, has neither
exercises nor solutions. All are written by hand, except the cells that carry one of
three tags. Never edit those: `sync` throws them away and
writes them again, so that they cannot drift.

``setup``
    The shared first code cell (`SETUP`), below the heading ``## Setup``.
``navigation``
    The line that links the neighbours, below the title and at the end.
``exercise``
    The lesson's section ``## On your own``, placed before ``## Summary``. It is
    the section of that name in the solutions notebook, with the answers blanked and
    the checks folded, below an opening that all lessons share (`OPENING`).

In the solutions notebook an exercise is a cell of text, a code cell, and a cell
that checks the variable ``answer`` (and prints *Not answered yet* for ``...``).
In the lesson JupyterLab shows only the first line of the check, which is `FOLDED`.
The code cell marks where its answer begins; the rest of it is blanked::

    first = ids[0]                                      first = ids[0]
    # solution                                   ──▶    answer = ...
    answer = labels[first] == labels[0]

A cell tagged ``solution`` (the reasoning behind an answer) stays out of the
lesson. Cells that `sync` does not change keep their ids and outputs.
"""

import argparse
import os
import re
import sys
from collections.abc import Sequence
from difflib import SequenceMatcher
from pathlib import Path
from subprocess import DEVNULL
from time import perf_counter

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tools.slides import stamp  # noqa: E402

FOLDER = ROOT / "notebooks"
CONTENTS = "[contents](../README.md#the-notebooks)"
GENERATED = {"setup", "navigation", "exercise"}
CELL_TIMEOUT = 600  # seconds
METADATA = {
    "kernelspec": {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    },
    "language_info": {"name": "python"},
}

SETUP = """\
# Not found? Open this notebook from the folder `notebooks` of Lookalike.
%run ../utils/start.py"""
SOLUTIONS_SETUP = """\
# Not found? Open this notebook from the folder `notebooks/solutions` of Lookalike.
%run ../../utils/start.py"""

OPENING = """\
## On your own

Put your answer in place of `...` and run the cell with Shift-Enter. That selects the \
check below it, which is folded so that it gives nothing away. Shift-Enter again runs \
it: it says whether the answer is right and, if not, what is wrong. Change the answer \
and run both again, as often as you like.

A *warm-up* repeats something from this page with one change, *practice* puts two \
things together, and a *challenge* needs an idea of your own."""

FOLDED = "# The check of your answer: Shift-Enter runs it."
HIDDEN = {"jupyter": {"source_hidden": True}}  # JupyterLab shows the first line only


# ------------------------------------------------------------ generated cells


def tags(cell: NotebookNode) -> set[str]:
    """Tags of a cell."""
    return set(cell.metadata.get("tags", []))


def find_heading(cells: list[NotebookNode], heading: str) -> int:
    """Position of the text cell that begins with a heading.

    Raises
    ------
    ValueError
        If no cell begins with it.
    """
    for position, cell in enumerate(cells):
        if cell.cell_type == "markdown" and cell.source.split("\n")[0] == heading:
            return position
    raise ValueError(
        f"expected a text cell that begins with {heading!r}. Found none: add it."
    )


def blank(source: str) -> str:
    r"""Replace what follows a line ``# solution``, if any, by ``answer = ...``.

    Raises
    ------
    ValueError
        If the replaced lines do not set ``answer``.

    Examples
    --------
    >>> print(blank("k = 3\n# solution\nanswer = ids[:k]"))
    k = 3
    answer = ...
    """
    given, *solution = re.split(r"(?m)^# solution$", source, maxsplit=1)
    if not solution:
        return source
    if not re.search(r"(?m)^(def )?answer\b", solution[0]):
        raise ValueError(f"expected `answer = ` below `# solution` in:\n{source}")
    return given + "answer = ..."


def make_exercises(solutions: Path) -> list[NotebookNode]:
    """The section *On your own* of a lesson, from its solutions notebook."""
    cells = nbformat.read(solutions, as_version=4).cells
    exercises = [new_markdown_cell(OPENING, metadata={"tags": ["exercise"]})]
    asked = False  # whether the last cell of code asks for an answer
    try:
        for cell in cells[find_heading(cells, "## On your own") + 1 :]:
            if tags(cell) & (GENERATED | {"solution"}):
                continue
            metadata = {"tags": ["exercise", *sorted(tags(cell))]}
            if cell.cell_type == "markdown":
                new = new_markdown_cell(cell.source, metadata=metadata)
            elif asked:
                check = f"{FOLDED}\n{cell.source}"
                new, asked = new_code_cell(check, metadata=metadata | HIDDEN), False
            else:
                new = new_code_cell(blank(cell.source), metadata=metadata)
                asked = new.source != cell.source
            exercises.append(new)
    except ValueError as error:
        raise ValueError(f"{solutions.name}: {error}") from error
    return exercises


def link(path: Path, *, up: str = "") -> str:
    """Markdown link to a notebook, named like its file."""
    return f"[{path.stem.replace('_', ' ')}]({up}{path.name})"


def navigate(before: Path | None, after: Path | None, *others: str) -> str:
    """The line that links the lessons before and after this one."""
    parts = [f"← {link(before)}"] if before else []
    parts += [CONTENTS, *others]
    parts += [f"{link(after)} →"] if after else []
    return " · ".join(parts)


def compose(
    cells: list[NotebookNode],
    line: str,
    exercises: list[NotebookNode],
    setup: str = SETUP,
) -> list[NotebookNode]:
    """Cells written by hand, with the generated ones in their places.

    Raises
    ------
    ValueError
        If the notebook lacks a heading, or a lesson writes its own exercises.
    """
    written = [cell for cell in cells if not tags(cell) & GENERATED]
    first = new_code_cell(setup, metadata={"tags": ["setup"]})
    written.insert(find_heading(written, "## Setup") + 1, first)
    if exercises:
        if any(cell.source.startswith("## On your own") for cell in written):
            raise ValueError("write `## On your own` in the solutions notebook.")
        summary = find_heading(written, "## Summary")
        written[summary:summary] = exercises
    above, below = (
        new_markdown_cell(line, metadata={"tags": ["navigation"]}) for _ in range(2)
    )
    return [written[0], above, *written[1:], below]


def keep_unchanged(
    old: list[NotebookNode], new: list[NotebookNode]
) -> list[NotebookNode]:
    """New cells, with the ids, counts and outputs of old ones that say the same."""

    def say(cells: list[NotebookNode]) -> list[tuple]:
        return [(c.cell_type, tuple(sorted(tags(c))), c.source) for c in cells]

    matcher = SequenceMatcher(None, say(old), say(new), autojunk=False)
    kept = list(new)
    for start, target, size in matcher.get_matching_blocks():
        for step in range(size):
            known, wanted = old[start + step], new[target + step]
            metadata = {k: v for k, v in known.metadata.items() if k not in HIDDEN}
            same = known | {"metadata": metadata | wanted.metadata}
            kept[target + step] = nbformat.from_dict(same)
    return kept


# ------------------------------------------------------------------- commands


def find_lessons(folder: Path) -> list[Path]:
    """Lessons of a folder, in the order of their numbers."""
    return sorted(folder.glob("[0-9][0-9]_*.ipynb"))


def find_appendices(folder: Path) -> list[Path]:
    """Appendices of a folder, in the order of their numbers."""
    return sorted(folder.glob("A[0-9]_*.ipynb"))


def find_notebooks(folder: Path) -> list[Path]:
    """Lessons, each followed by its solutions if it has any, and the appendices."""
    pairs = [(path, solutions_of(path)) for path in find_lessons(folder)]
    lessons = [path for pair in pairs for path in pair if path.exists()]
    return lessons + find_appendices(folder)


def number_of(path: Path) -> str:
    """The number that a notebook's name begins with: "03", or "A1"."""
    return path.name.split("_")[0]


def solutions_of(lesson: Path) -> Path:
    """Path of the solutions notebook that belongs to a lesson."""
    return lesson.parent / "solutions" / f"{lesson.stem}_solutions.ipynb"


def update(
    path: Path, line: str, exercises: list[NotebookNode], setup: str = SETUP
) -> NotebookNode | None:
    """The notebook with its generated cells made anew; None if nothing changes."""
    notebook = nbformat.read(path, as_version=4)
    try:
        new = compose(notebook.cells, line, exercises, setup)
        new = keep_unchanged(notebook.cells, new)
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error
    stamp(new)
    if new == notebook.cells:
        return None
    notebook.cells = new
    return notebook


def plan(folder: Path, numbers: Sequence[str] = ()) -> dict[Path, NotebookNode]:
    """Notebooks that `sync` would write: those whose generated cells are stale.

    Only the notebooks with the given numbers, if there are any.

    Raises
    ------
    ValueError
        If a notebook lacks a heading; the message begins with the file's name.
    """
    lessons = find_lessons(folder)
    updates = {}
    for before, lesson, after in zip(
        [None, *lessons], lessons, [*lessons[1:], None], strict=False
    ):
        if numbers and number_of(lesson) not in numbers:
            continue
        solutions, exercises, others = solutions_of(lesson), [], []
        if solutions.exists():
            back = f"← {link(lesson, up='../')} · {CONTENTS.replace('../', '../../')}"
            updates[solutions] = update(solutions, back, [], SOLUTIONS_SETUP)
            others = [f"[solutions](solutions/{solutions.name})"]
            exercises = make_exercises(solutions)
        line = navigate(before, after, *others)
        updates[lesson] = update(lesson, line, exercises)
    for appendix in find_appendices(folder):
        if not numbers or number_of(appendix) in numbers:
            updates[appendix] = update(appendix, CONTENTS, [])
    return {path: notebook for path, notebook in updates.items() if notebook}


def sync(folder: Path, numbers: Sequence[str] = ()) -> list[Path]:
    """Write the generated cells; return the notebooks that changed."""
    changed = plan(folder, numbers)
    for path, notebook in changed.items():
        nbformat.write(notebook, path)
    return list(changed)


def tidy(notebook: NotebookNode) -> None:
    """Leave nothing in a notebook that says where or when it was run."""
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        kept = {"tags": sorted(tags(cell))} if tags(cell) else {}
        folded = "exercise" in tags(cell) and "jupyter" in cell.metadata
        cell.metadata = nbformat.from_dict(kept | HIDDEN if folded else kept)
        for output in cell.get("outputs", []):
            if output.output_type == "error":  # colour codes help nobody in a file
                output.traceback = [
                    re.sub(r"\x1b\[[0-9;]*m", "", line) for line in output.traceback
                ]
    stamp(notebook.cells)  # the outputs' height decides, too


def make_client(notebook: NotebookNode, folder: Path) -> NotebookClient:
    """What executes a notebook as if it stood in a folder, in a fresh kernel.

    Its kernel is this environment's, whatever else is installed, and takes the bundled
    weights, whatever is set.
    """
    specs = KernelSpecManager(kernel_dirs=[])
    return NotebookClient(
        notebook,
        km=AsyncKernelManager(kernel_name="python3", kernel_spec_manager=specs),
        timeout=CELL_TIMEOUT,
        coalesce_streams=True,
        record_timing=False,
        store_widget_state=False,
        resources={"metadata": {"path": str(folder)}},
    )


def kernel_environment() -> dict[str, str]:
    """Variables of a kernel whose outputs are stored or compared."""
    environment = os.environ | {"LOOKALIKE_WEIGHTS": "bundled", "TQDM_DISABLE": "1"}
    environment.pop("MPLBACKEND", None)  # it would make every figure vanish
    return environment


def run(path: Path) -> float:
    """Execute a notebook in a fresh kernel, store its outputs, return the seconds.

    The file stays as it was if a cell raises that is not tagged
    ``raises-exception``.
    """
    notebook = nbformat.read(path, as_version=4)
    client = make_client(notebook, path.parent)
    start = perf_counter()
    # Without `cleanup_kc` a kernel that was handed over would outlive its notebook.
    # Its own log goes nowhere.
    client.execute(env=kernel_environment(), stderr=DEVNULL, cleanup_kc=True)
    seconds = perf_counter() - start
    tidy(notebook)
    nbformat.write(notebook, path)
    return seconds


def run_all(folder: Path, numbers: list[str]) -> bool:
    """Execute the notebooks with these numbers, or all; True if none failed."""
    chosen = find_notebooks(folder)
    if numbers:
        chosen = [path for path in chosen if number_of(path) in numbers]
    good = bool(chosen)
    if not chosen:
        print(f"no notebook in {folder.name}/ has that number.", file=sys.stderr)
    for path in chosen:
        try:
            print(f"{run(path):6.1f} s  {path.name}", flush=True)
        except (CellExecutionError, DeadKernelError, TimeoutError) as error:
            good = False
            print(f"FAILED    {path.name}, left as it was\n{error}", file=sys.stderr)
    return good


def check(folder: Path) -> bool:
    """True if `sync` would change nothing; names what it would change."""
    stale = plan(folder)
    for path in stale:
        print(
            f"{path.name} is stale: run `python tools/notebooks.py run`.",
            file=sys.stderr,
        )
    return not stale


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("command", choices=["sync", "run", "check"])
    parser.add_argument("numbers", nargs="*", help="03 04 A1 ...; default all")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    options = parser.parse_args(arguments)
    try:
        if options.command == "check":
            return 0 if check(options.folder) else 1
        for path in sync(options.folder, options.numbers):
            print(f"synced    {path.name}")
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    if options.command == "run":
        return 0 if run_all(options.folder, options.numbers) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
