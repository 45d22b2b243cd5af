"""Every notebook has the same skeleton, short cells and stored outputs."""

import ast
import re
from pathlib import Path

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from nbval.plugin import get_sanitize_patterns

from tools.notebooks import (
    FOLDER,
    HIDDEN,
    METADATA,
    SETUP,
    check,
    find_lessons,
    tags,
)

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
LESSONS = find_lessons(FOLDER)
SANITIZE = ROOT / "tests" / "nbval_sanitize.cfg"

LONG_LESSONS = {"05", "06", "07"}  # may have more cells and more words
CODE_CELLS, LONG_CODE_CELLS = range(12, 26), range(12, 41)
WORDS, LONG_WORDS = range(800, 1501), range(800, 2501)
MAX_LINES, MAX_COLUMNS, MAX_BYTES, MAX_IGNORED = 20, 88, 500_000, 4

ABSOLUTE_PATH = re.compile(r"(?<![\w.])/(home|root|tmp|Users|opt|usr|var)/|\b[A-Z]:\\")
RAW_FLOAT = re.compile(r"\d\.\d{5,}")
JUNK = ("\x1b[", "█", "it/s]", 'class="dataframe"', "WARNING:tensorflow")
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
    number, suffix = re.match(r"(\d\d)([a-z]?)_", path.name).groups()
    assert title.startswith(f"# {int(number)}{suffix}. ")


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
    solutions = path.with_name(f"{path.stem}_solutions.ipynb")
    assert solutions.exists(), f"write {solutions.name}"
    assert headings(solutions)[0] == "Setup"
    title = read(path).cells[0].source.split("\n")[0]
    assert read(solutions).cells[0].source.split("\n")[0] == f"{title}: solutions"


def test_solutions_belong_to_lessons():
    solutions = {path.name for path in NOTEBOOKS} - {path.name for path in LESSONS}
    assert solutions <= {f"{path.stem}_solutions.ipynb" for path in LESSONS}


def test_generated_cells_are_up_to_date():
    assert check(FOLDER), "run `python tools/notebooks.py run`"


@every_notebook
def test_first_code_cell_is_the_shared_setup(path):
    assert code_cells(path)[0].source == SETUP


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
    if path in LESSONS:
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
def test_lesson_is_neither_thin_nor_long(path):
    is_long = path.name[:2] in LONG_LESSONS
    n_code, n_prose = len(code_cells(path)), len(prose_cells(path))
    assert n_code in (LONG_CODE_CELLS if is_long else CODE_CELLS)
    assert n_prose >= n_code, "at least as many cells of text as of code"


@every_lesson
def test_lesson_takes_a_sitting_to_read(path):
    prose = " ".join(cell.source for cell in prose_cells(path))
    prose = re.sub(r"\]\([^)]*\)", "]", prose)  # links count by their text
    words = len(re.findall(r"\w[\w'’.-]*", prose))
    assert words in (LONG_WORDS if path.name[:2] in LONG_LESSONS else WORDS)


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
