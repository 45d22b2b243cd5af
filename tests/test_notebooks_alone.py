"""Each lesson runs alone in a fresh clone, and its cells can be run again.

Learners run a cell again all the time. After Run All, every cell is run once more, from
the last to the first, so that each meets what later cells left behind. It must print
what it printed before.
"""

import asyncio
import os
import re
from pathlib import Path
from subprocess import DEVNULL

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError
from nbval.plugin import get_sanitize_patterns

from tools.notebooks import (
    FOLDER,
    find_appendices,
    find_lessons,
    kernel_environment,
    make_client,
    tags,
)

ROOT = Path(__file__).parents[1]
SANITIZE = get_sanitize_patterns(
    (ROOT / "tests" / "nbval_sanitize.cfg").read_text(encoding="utf-8")
)
UNCOMPARED = ("application/vnd.jupyter.widget-view+json", "image/jpeg")


def seen(outputs):
    """What a reader reads in outputs, as nbval compares it: no pictures, no widgets."""
    parts = []
    for output in outputs:
        parts += [output.get(key, "") for key in ("text", "ename", "evalue")]
        data = output.get("data", {})
        parts += [value for kind, value in data.items() if kind not in UNCOMPARED]
    text = "\n".join(map(str, parts))
    for regex, replacement in SANITIZE:
        text = re.sub(regex, replacement, text)
    return text


@pytest.fixture(scope="module")
def one_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("lessons") / "cache.sqlite"


@pytest.fixture(autouse=True)
def temporary_cache(one_cache, monkeypatch):
    """Let the lessons share vectors, as they do for a reader: the first computes."""
    monkeypatch.setenv("LOOKALIKE_CACHE", str(one_cache))


async def run_again(notebook, folder):
    """Run All, then every cell from last to first; return what went wrong."""
    client = make_client(notebook, folder)
    code = [i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    wrong = []
    # Without `cleanup_kc` a kernel that was handed over would outlive its lesson.
    options = {"env": kernel_environment(), "stderr": DEVNULL, "cleanup_kc": True}
    async with client.async_setup_kernel(**options):
        for index in code:
            await client.async_execute_cell(notebook.cells[index], index)
        first = {index: seen(notebook.cells[index].outputs) for index in code}
        for index in reversed(code):
            cell = notebook.cells[index]
            try:
                await client.async_execute_cell(cell, index)
            except CellExecutionError as error:
                wrong.append(f"{cell.source}\n--> {error.ename}: {error.evalue}")
                continue
            if "nbval-ignore-output" not in tags(cell):
                again = seen(cell.outputs)
                if again != first[index]:
                    wrong.append(f"{cell.source}\n--> {first[index]}\n--> {again}")
    return wrong


@pytest.mark.skipif(os.name == "nt", reason="links need a right on Windows")
@pytest.mark.parametrize(
    "lesson",
    find_lessons(FOLDER) + find_appendices(FOLDER),
    ids=lambda path: path.stem,
)
def test_a_lesson_runs_alone_and_its_cells_run_again(lesson, clone):
    notebook = nbformat.read(lesson, as_version=4)
    wrong = asyncio.run(run_again(notebook, clone / "notebooks"))
    assert not wrong, "\n\n".join(dict.fromkeys(wrong))
