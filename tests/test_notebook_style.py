"""Every notebook has the same skeleton, short cells and stored outputs."""

import ast
import re
from pathlib import Path
from statistics import median, quantiles

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from nbval.plugin import get_sanitize_patterns

from tools.notebooks import (
    FOLDER,
    HIDDEN,
    METADATA,
    SETUP,
    SOLUTIONS_SETUP,
    check,
    find_lessons,
    find_notebooks,
    number_of,
    solutions_of,
    tags,
)

ROOT = Path(__file__).parents[1]
NOTEBOOKS = find_notebooks(FOLDER)
LESSONS = find_lessons(FOLDER)
SANITIZE = ROOT / "tests" / "nbval_sanitize.cfg"

WORDS = range(700, 1601)
MAX_CODE_CELLS = 30  # exercises and their checks included
MAX_LINES, MAX_COLUMNS, MAX_BYTES, MAX_IGNORED = 20, 88, 500_000, 4
MEDIAN_LINES, P95_LINES = 6, 15
MIN_TRIES = 2  # boxes in the middle: predict, change a number, run again
TRY_IT = "> **Try it**"

ABSOLUTE_PATH = re.compile(r"(?<![\w.])/(home|root|tmp|Users|opt|usr|var)/|\b[A-Z]:\\")
RAW_FLOAT = re.compile(r"\d\.\d{5,}")
JUNK = ("\x1b[", "█", "it/s]", 'class="dataframe"', "WARNING:tensorflow")
VERDICT = re.compile(r"\b(True|False)\b")
READS_A_CLOCK = re.compile(r"time|seconds|version|perf_counter", re.IGNORECASE)

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
every_lesson = pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)


def read(path):
    return nbformat.read(path, as_version=4)


def code_cells(path):
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def prose_cells(path):
    cells = [cell for cell in read(path).cells if cell.cell_type == "markdown"]
    return [cell for cell in cells if "navigation" not in tags(cell)]


def headings(path):
    prose = "\n".join(cell.source for cell in prose_cells(path))
    return re.findall(r"^## (.+)$", prose, flags=re.MULTILINE)


def section(path, heading):
    """Cells below a heading, up to the next one."""
    inside, found = False, []
    for cell in read(path).cells:
        if cell.cell_type == "markdown" and cell.source.startswith("## "):
            inside = cell.source.split("\n")[0] == f"## {heading}"
        if inside:
            found.append(cell)
    return found


def statements(source):
    return ast.parse(TransformerManager().transform_cell(source)).body


def own_code_cells(path):
    """Cells of code that belong to this lesson: not the setup that all share."""
    hidden = {"setup", "exercise"}
    return [cell for cell in code_cells(path) if not tags(cell) & hidden]


def shows_something(cell):
    """Whether a cell's output has a figure or a number in it."""
    pictures = any("image/" in str(list(o.get("data", {}))) for o in cell.outputs)
    return pictures or any(re.search(r"\d", text) for text in texts(cell.outputs))


def texts(outputs):
    """Everything in the outputs that a reader reads, pictures left out."""
    for output in outputs:
        yield from (output[key] for key in ("text", "evalue") if key in output)
        yield from output.get("traceback", [])
        for kind, value in output.get("data", {}).items():
            if not kind.startswith("image/"):
                yield value if isinstance(value, str) else str(value)


# ------------------------------------------------------------------- skeleton


@every_notebook
def test_title_carries_the_file_number(path):
    title = read(path).cells[0].source.split("\n")[0]
    assert title.startswith(f"# {number_of(path).lstrip('0')}. ")


@every_lesson
def test_first_cell_says_what_the_reader_gains_needs_and_spends(path):
    first = read(path).cells[0].source
    for promise in ("**You will learn**", "**You need**", "**Time**"):
        assert promise in first, f"{promise} is missing"


@every_lesson
def test_lesson_has_the_whole_skeleton(path):
    found = headings(path)
    assert found[0] == "Setup"
    assert found[-3:] == ["What can go wrong", "On your own", "Summary"]
    assert len(found) > 4, "a lesson needs sections of its own"


@every_lesson
def test_what_can_go_wrong_is_shown_live(path):
    cells = section(path, "What can go wrong")
    assert any(cell.cell_type == "code" for cell in cells)


@every_lesson
def test_lesson_has_solutions_to_the_same_title(path):
    solutions = solutions_of(path)
    assert solutions.exists(), f"write {solutions.name}"
    assert headings(solutions)[0] == "Setup"
    title = read(path).cells[0].source.split("\n")[0]
    assert read(solutions).cells[0].source.split("\n")[0] == f"{title}: solutions"


def test_every_notebook_is_a_lesson_or_its_solutions_or_an_appendix():
    found = {path for path in FOLDER.rglob("*.ipynb") if ".ipynb_" not in str(path)}
    assert found == set(NOTEBOOKS)


def test_no_number_is_missing():
    numbers = [int(number_of(path)) for path in LESSONS]
    assert numbers == list(range(1, len(LESSONS) + 1))


def test_generated_cells_are_up_to_date():
    assert check(FOLDER), "run `python tools/notebooks.py run`"


@every_notebook
def test_first_code_cell_is_the_shared_setup(path):
    solves = path.parent.name == "solutions"
    assert code_cells(path)[0].source == (SOLUTIONS_SETUP if solves else SETUP)


@every_notebook
def test_imports_are_all_in_setup(path):
    setup = [cell.id for cell in section(path, "Setup")]
    for cell in code_cells(path):
        if cell.id not in setup:
            for node in ast.walk(ast.Module(statements(cell.source), [])):
                assert not isinstance(node, ast.Import | ast.ImportFrom), cell.source


@every_notebook
def test_nothing_of_the_author_s_machine_is_in_the_metadata(path):
    notebook = read(path)
    assert notebook.metadata == METADATA
    known = {"tags", "slideshow"}  # tests/tools/test_slides.py judges the latter
    for cell in notebook.cells:
        kept = {key: value for key, value in cell.metadata.items() if key not in known}
        assert kept in ({}, HIDDEN), cell.metadata


# ------------------------------------------------------------------ exercises


@every_lesson
def test_there_are_two_or_three_exercises_each_with_a_check(path):
    cells = [c for c in section(path, "On your own") if c.cell_type == "code"]
    asked = [i for i, c in enumerate(cells) if c.source.endswith("answer = ...")]
    assert len(asked) in (2, 3)
    for position in asked:
        checked = cells[position + 1]
        assert any("Not answered yet" in text for text in texts(checked.outputs)), (
            "a check must print `Not answered yet` for `...`:\n" + checked.source
        )


@every_notebook
def test_solutions_pass_their_checks(path):
    if path.parent.name != "solutions":
        pytest.skip("a lesson's exercises are unanswered")
    cells = [c for c in section(path, "On your own") if c.cell_type == "code"]
    printed = [text for cell in cells for text in texts(cell.outputs)]
    assert not any("Not answered yet" in text for text in printed)


# ---------------------------------------------------------------------- cells


@every_notebook
def test_cells_are_short_and_were_run_in_order(path):
    cells = code_cells(path)
    counts = [cell.execution_count for cell in cells]
    assert counts == list(range(1, len(cells) + 1)), "python tools/notebooks.py run"
    for cell in cells:
        lines = cell.source.splitlines()
        assert 0 < len(lines) <= MAX_LINES, cell.source
        assert max(map(len, lines)) <= MAX_COLUMNS, cell.source
        assert not cell.source.rstrip().endswith(";"), "nbval ignores a last semicolon"


@every_lesson
def test_most_cells_are_a_few_lines(path):
    lines = [len(cell.source.splitlines()) for cell in own_code_cells(path)]
    assert median(lines) <= MEDIAN_LINES
    assert quantiles(lines, n=20)[-1] <= P95_LINES


@every_lesson
def test_lesson_is_neither_thin_nor_long(path):
    n_code, n_prose = len(code_cells(path)), len(prose_cells(path))
    assert n_code <= MAX_CODE_CELLS
    assert n_prose >= n_code, "at least as many cells of text as of code"


@every_lesson
def test_lesson_takes_a_sitting_to_read(path):
    prose = " ".join(cell.source for cell in prose_cells(path))
    prose = re.sub(r"\]\([^)]*\)", "]", prose)  # links count by their text
    assert len(re.findall(r"\w[\w'’.-]*", prose)) in WORDS


@every_lesson
def test_the_reader_tries_something_before_the_exercises(path):
    tries = [c for c in prose_cells(path) if c.source.startswith(TRY_IT)]
    assert len(tries) >= MIN_TRIES, f"a box is a text cell that begins with {TRY_IT!r}"


@every_lesson
def test_what_an_output_shows_is_said_below_it(path):
    cells = read(path).cells
    for cell, below in zip(cells, cells[1:], strict=False):
        if cell.cell_type == "code" and "exercise" not in tags(cell):
            if shows_something(cell):
                said = below.cell_type == "markdown" and not below.source.startswith(
                    "#"
                )
                assert said, f"say what to see in the output of:\n{cell.source}"


@every_lesson
def test_numbers_are_shown_and_not_verdicts(path):
    cells = read(path).cells
    for cell, below in zip(cells, cells[1:], strict=False):
        if cell.cell_type == "code" and "exercise" not in tags(cell):
            for line in "\n".join(texts(cell.outputs)).splitlines():
                if VERDICT.search(line) and not re.search(r"\d", line):
                    reason = re.search(r"machine", below.source)
                    assert reason, f"print the number behind {line!r}, or say why not"


# -------------------------------------------------------------------- outputs


@every_notebook
def test_a_value_or_a_print_at_the_end_has_a_stored_output(path):
    for cell in code_cells(path):
        last = statements(cell.source)[-1]
        if isinstance(last, ast.Expr) and "get_ipython" not in ast.unparse(last):
            assert cell.outputs, f"end in a value worth seeing:\n{cell.source}"


@every_notebook
def test_errors_are_stored_where_they_were_announced(path):
    for cell in code_cells(path):
        raised = [o for o in cell.outputs if o.output_type == "error"]
        assert len(raised) == ("raises-exception" in tags(cell)), cell.source


@every_notebook
def test_outputs_hold_no_junk(path):
    for cell in code_cells(path):
        names = [output.get("name") for output in cell.outputs]
        assert "stderr" not in names, f"log noise in:\n{cell.source}"
        for text in texts(cell.outputs):
            assert not any(junk in text for junk in JUNK), text
            assert not RAW_FLOAT.search(text), f"round the numbers of:\n{cell.source}"


@every_notebook
def test_no_path_of_a_machine_is_stored(path):
    for cell in read(path).cells:
        for text in [cell.source, *texts(cell.get("outputs", []))]:
            found = ABSOLUTE_PATH.search(text)
            assert not found, f"{found.group()} in:\n{cell.source}"


@every_notebook
def test_figures_are_jpegs_in_a_small_file(path):
    assert path.stat().st_size <= MAX_BYTES
    for cell in code_cells(path):
        for output in cell.outputs:
            kinds = {k for k in output.get("data", {}) if k.startswith("image/")}
            assert kinds <= {"image/jpeg"}, cell.source


# ---------------------------------------------------------------------- nbval


@every_notebook
def test_only_cells_that_read_a_clock_or_a_version_are_not_compared(path):
    ignored = [c for c in code_cells(path) if "nbval-ignore-output" in tags(c)]
    assert len(ignored) <= MAX_IGNORED
    for cell in ignored:
        assert READS_A_CLOCK.search(cell.source), cell.source


@every_notebook
def test_no_cell_is_skipped_and_no_nbval_comment_meets_the_reader(path):
    for cell in code_cells(path):
        assert tags(cell).isdisjoint({"nbval-skip", "skip-execution"}), cell.source
        assert "NBVAL_" not in cell.source


def test_every_sanitising_rule_is_read():
    """A comment between `regex:` and `replace:` would drop the rule in silence."""
    text = SANITIZE.read_text(encoding="utf-8")
    written = re.findall(r"^regex:", text, flags=re.MULTILINE)
    assert len(get_sanitize_patterns(text)) == len(written)


@pytest.mark.parametrize("number", ["7", "0.83", "1152", "-1", "1,152", "2e-05"])
def test_no_sanitising_rule_matches_a_plain_number(number):
    for regex, _ in get_sanitize_patterns(SANITIZE.read_text(encoding="utf-8")):
        assert not re.search(regex, f"recall {number} of"), regex
