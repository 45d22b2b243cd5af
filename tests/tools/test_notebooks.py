"""tools/notebooks.py, on notebooks of a few cells."""

import shutil
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tools import notebooks

ROOT = Path(__file__).parents[2]
QUESTION = "### Exercise 1, warm-up: find the largest"
EXERCISE = "numbers = [3, 1, 2]\n# solution\nlargest = max(numbers)\nanswer = largest"
CHECK = 'print("Not answered yet" if answer is ... else answer == 3)'


def text(source, *tags):
    return new_markdown_cell(source, metadata={"tags": list(tags)} if tags else {})


def code(source, *tags):
    return new_code_cell(source, metadata={"tags": list(tags)} if tags else {})


SOLUTIONS = "solutions/01_count_solutions.ipynb"


def write(path, *cells):
    nbformat.write(new_notebook(cells=list(cells)), path)


def sources(path, tag=None):
    cells = nbformat.read(path, as_version=4).cells
    return [c.source for c in cells if tag is None or tag in notebooks.tags(c)]


@pytest.fixture
def folder(tmp_path):
    """Two lessons; the first has an exercise."""
    (tmp_path / "utils").mkdir()
    shutil.copy(ROOT / "utils" / "start.py", tmp_path / "utils")
    folder = tmp_path / "notebooks"
    folder.mkdir()
    write(
        folder / "01_count.ipynb",
        text("# 1. Count"),
        text("## Setup"),
        code("import os"),
        text("## Count things"),
        code("1 + 1"),
        text("## Summary"),
    )
    (folder / "solutions").mkdir()
    write(
        folder / SOLUTIONS,
        text("# 1. Count: solutions"),
        text("## Setup"),
        text("## On your own\n\nThese are solved."),
        text(QUESTION),
        code(EXERCISE),
        text("`max` looks at every number.", "solution"),
        code(CHECK),
    )
    write(
        folder / "02_sort.ipynb",
        text("# 2. Sort"),
        text("## Setup"),
        text("## Summary"),
    )
    return folder


def test_sync_puts_the_blanked_exercises_before_the_summary(folder):
    notebooks.sync(folder)
    lesson = sources(folder / "01_count.ipynb")
    assert lesson[-6:-1] == [
        notebooks.OPENING,
        QUESTION,
        "numbers = [3, 1, 2]\nanswer = ...",
        f"{notebooks.FOLDED}\n{CHECK}",
        "## Summary",
    ]


def folded(path):
    cells = nbformat.read(path, as_version=4).cells
    return [c.source for c in cells if c.metadata.get("jupyter")]


def test_only_the_checks_are_folded_and_only_in_the_lesson(folder):
    notebooks.sync(folder)
    assert folded(folder / "01_count.ipynb") == [f"{notebooks.FOLDED}\n{CHECK}"]
    assert folded(folder / SOLUTIONS) == []


def test_a_check_that_was_unfolded_is_folded_again_and_keeps_its_output(folder):
    notebooks.sync(folder)
    path = folder / "01_count.ipynb"
    notebook = nbformat.read(path, as_version=4)
    check = notebook.cells[-3]
    check.execution_count = 4
    assert check.metadata["slideshow"] == {"slide_type": "skip"}
    expected = nbformat.from_dict(check)
    del check.metadata["jupyter"]
    nbformat.write(notebook, path)
    assert notebooks.main(["check", "--folder", str(folder)]) == 1
    assert notebooks.sync(folder) == [path]
    assert nbformat.read(path, as_version=4).cells[-3] == expected


def test_the_first_code_below_an_answer_is_its_check(folder):
    path = folder / SOLUTIONS
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[-1:] = [text("Now check."), notebook.cells[-1], code("numbers")]
    nbformat.write(notebook, path)
    notebooks.sync(folder)
    assert sources(folder / "01_count.ipynb", "exercise")[-3:] == [
        "Now check.",
        f"{notebooks.FOLDED}\n{CHECK}",
        "numbers",
    ]


def test_sync_leaves_the_solutions_solved(folder):
    notebooks.sync(folder)
    assert EXERCISE in sources(folder / SOLUTIONS)


def test_sync_puts_the_shared_cell_first(folder):
    notebooks.sync(folder)
    for path in folder.rglob("*.ipynb"):
        cells = nbformat.read(path, as_version=4).cells
        first = next(c for c in cells if c.cell_type == "code")
        solves = path.parent.name == "solutions"
        assert first.source == (
            notebooks.SOLUTIONS_SETUP if solves else notebooks.SETUP
        )


def test_sync_links_the_neighbours_above_and_below(folder):
    notebooks.sync(folder)
    contents = "[contents](../README.md#the-notebooks)"
    assert (
        sources(folder / "01_count.ipynb", "navigation")
        == [
            f"{contents} · [solutions](solutions/01_count_solutions.ipynb)"
            " · [02 sort](02_sort.ipynb) →"
        ]
        * 2
    )
    assert sources(folder / "02_sort.ipynb", "navigation") == (
        [f"← [01 count](01_count.ipynb) · {contents}"] * 2
    )
    above = "[contents](../../README.md#the-notebooks)"
    assert sources(folder / SOLUTIONS, "navigation") == (
        [f"← [01 count](../01_count.ipynb) · {above}"] * 2
    )
    assert sources(folder / "01_count.ipynb")[1].startswith("[contents]")


def test_a_second_sync_changes_nothing(folder):
    notebooks.sync(folder)
    before = {path: path.read_bytes() for path in folder.rglob("*.ipynb")}
    assert notebooks.sync(folder) == []
    assert {path: path.read_bytes() for path in folder.rglob("*.ipynb")} == before


def test_sync_of_one_number_leaves_the_others_alone(folder):
    assert notebooks.sync(folder, ["02"]) == [folder / "02_sort.ipynb"]


def test_an_appendix_has_no_exercises_and_no_neighbours(folder):
    path = folder / "A1_count_more.ipynb"
    write(path, text("# A1. Count more"), text("## Setup"), code("1 + 1"))
    notebooks.sync(folder)
    contents = "[contents](../README.md#the-notebooks)"
    assert sources(path) == [
        "# A1. Count more", contents, "## Setup", notebooks.SETUP, "1 + 1", contents
    ]  # fmt: skip


def test_a_generated_cell_that_was_edited_is_written_again(folder):
    notebooks.sync(folder)
    path = folder / "01_count.ipynb"
    good = sources(path)
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if notebooks.tags(cell) & notebooks.GENERATED:
            cell.source += "\nedited"
    nbformat.write(notebook, path)
    assert notebooks.sync(folder) == [path]
    assert sources(path) == good


def test_a_changed_exercise_leaves_the_other_cells_their_outputs(folder):
    notebooks.sync(folder)
    path = folder / "01_count.ipynb"
    notebook = nbformat.read(path, as_version=4)
    for count, cell in enumerate(c for c in notebook.cells if c.cell_type == "code"):
        cell.execution_count = count + 1
    nbformat.write(notebook, path)
    solutions = folder / SOLUTIONS
    changed = nbformat.read(solutions, as_version=4)
    for cell in changed.cells:
        cell.source = cell.source.replace("[3, 1, 2]", "[1, 3]")
    nbformat.write(changed, solutions)
    notebooks.sync(folder)
    cells = nbformat.read(path, as_version=4).cells
    ids = [c.id for c in cells]
    counts = [c.execution_count for c in cells if c.cell_type == "code"]
    assert counts == [1, 2, 3, None, 5]
    assert len(set(ids)) == len(ids)


def test_check_fails_until_sync_was_run(folder, capsys):
    assert notebooks.main(["check", "--folder", str(folder)]) == 1
    assert "01_count.ipynb is stale" in capsys.readouterr().err
    assert notebooks.main(["sync", "--folder", str(folder)]) == 0
    assert notebooks.main(["check", "--folder", str(folder)]) == 0


def test_a_missing_heading_is_reported_with_the_file(folder):
    write(folder / "02_sort.ipynb", text("# 2. Sort"))
    with pytest.raises(ValueError, match=r"^02_sort.ipynb: .*'## Setup'"):
        notebooks.sync(folder)


def test_exercises_written_in_the_lesson_are_refused(folder):
    write(
        folder / "01_count.ipynb",
        text("# 1. Count"),
        text("## Setup"),
        text("## On your own"),
        text("## Summary"),
    )
    with pytest.raises(ValueError, match=r"^01_count.ipynb: .*solutions notebook"):
        notebooks.sync(folder)


def test_a_solution_must_set_answer():
    with pytest.raises(ValueError, match="expected `answer = `"):
        notebooks.blank("k = 3\n# solution\nreply = 4")


def test_only_a_whole_line_marks_a_solution():
    assert notebooks.blank("k = 3  # solution") == "k = 3  # solution"


def test_run_stores_outputs_and_nothing_of_the_machine(folder):
    path = folder / "01_count.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata["author"] = {"editor": "1.2"}
    notebook.cells[4].metadata["trusted"] = True
    notebook.cells[4].metadata["jupyter"] = {"source_hidden": True}
    notebook.cells.insert(5, code("import numpy\n1 / 0", "raises-exception"))
    nbformat.write(notebook, path)
    assert notebooks.main(["run", "01", "--folder", str(folder)]) == 0
    notebook = nbformat.read(path, as_version=4)
    cells = [c for c in notebook.cells if c.cell_type == "code"]
    assert [c.execution_count for c in cells] == [1, 2, 3, 4, 5, 6]
    assert cells[2].outputs[0].data == {"text/plain": "2"}
    traceback = "".join(cells[3].outputs[0].traceback)
    assert traceback.strip() == "ZeroDivisionError: division by zero"
    assert cells[5].outputs[0].text == "Not answered yet\n"
    assert cells[2].metadata == {}
    slideshow = {"slideshow": {"slide_type": "skip"}}
    assert cells[5].metadata == {"tags": ["exercise"]} | slideshow | notebooks.HIDDEN
    assert notebook.metadata == notebooks.METADATA
    solved = nbformat.read(folder / SOLUTIONS, as_version=4)
    assert solved.cells[-2].outputs[0].text == "True\n"


def test_a_notebook_that_fails_stays_as_it_was(folder, capsys):
    path = folder / "02_sort.ipynb"
    write(path, text("# 2. Sort"), text("## Setup"), code("1 / 0"), text("## Summary"))
    notebooks.sync(folder)
    before = path.read_bytes()
    assert notebooks.main(["run", "02", "--folder", str(folder)]) == 1
    assert path.read_bytes() == before
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_an_unknown_number_is_reported(folder, capsys):
    assert notebooks.main(["run", "77", "--folder", str(folder)]) == 1
    assert "no notebook" in capsys.readouterr().err
