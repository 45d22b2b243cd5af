"""tools/slides.py: where slides begin, and pages that need no network."""

import json
import os
import re
import zipfile
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tools import slides
from tools.notebooks import find_notebooks

ROOT = Path(__file__).parents[2]
NOTEBOOKS = find_notebooks(ROOT / "notebooks")
CHECK = "# The check of your answer\nprint(find_fault(answer, int) or 'Right.')"


def text(source, *tags):
    return new_markdown_cell(source, metadata={"tags": list(tags)} if tags else {})


def code(source, printed=""):
    outputs = [new_output("stream", name="stdout", text=printed)] if printed else []
    return new_code_cell(source, outputs=outputs, execution_count=1)


@pytest.fixture
def lesson():
    """Cells of a small lesson, each with what it ought to be on slides."""
    return [
        (text("# 1. Count\n\nYou will count."), "slide"),
        (text("[contents](../README.md)", "navigation"), "skip"),
        (text("## Setup"), "skip"),
        (code("import sys"), "skip"),
        (text("New here: `numpy`."), "skip"),
        (code("import numpy as np"), "skip"),
        (text("## Count things\n\nOne, two."), "slide"),
        (code("1 + 1"), "-"),
        (text("And three."), "subslide"),
        (code("1 + 2"), "-"),
        (code("print('answer = ...')"), "-"),
        (code("answer = 1 + 3"), "-"),
        (text("## On your own"), "slide"),
        (text("### Exercise 1: count\n\nHow many?"), "subslide"),
        (code("answer = ..."), "-"),
        (code(CHECK), "skip"),
        (text("### Exercise 2: count on\n\nAnd now?"), "subslide"),
        (code("numbers = [1]\n# solution\nanswer = len(numbers)"), "-"),
        (text("`len` counts."), "subslide"),
        (code(CHECK), "skip"),
        (text("## Summary\n\n- Counting."), "slide"),
        (text("[contents](../README.md)", "navigation"), "skip"),
    ]


def test_sections_begin_slides_and_text_begins_sub_slides(lesson):
    cells, expected = zip(*lesson, strict=True)
    assert slides.slide_types(list(cells)) == list(expected)


def test_code_that_does_not_fit_below_begins_a_slide_of_its_own():
    long = code("\n".join(f"x{i} = {i}" for i in range(15)))
    talkative = code("1", printed="line\n" * 20)
    cells = [text("## Count\n\n" + "word " * 150), long, talkative, code("2")]
    assert slides.slide_types(cells) == ["slide", "subslide", "subslide", "subslide"]
    assert slides.slide_types([*cells, code("3")])[-2:] == ["subslide", "-"]


def test_a_figure_counts_with_the_height_it_has_on_the_slide():
    lesson = next(path for path in NOTEBOOKS if path.name.startswith("03_"))
    cells = nbformat.read(lesson, as_version=4).cells
    for cell in cells:
        for output in cell.get("outputs", []):
            if "image/jpeg" in output.get("data", {}):
                lines = slides.picture_lines(output.data["image/jpeg"])
                assert 3 < lines < slides.cell_lines(cell) < 100
                return
    pytest.fail("expected a figure in lesson 03")


def test_stamping_changes_the_metadata_of_slides_and_nothing_else(lesson, tmp_path):
    cells = [cell for cell, _ in lesson]
    cells[7].metadata.update(tags=["raises-exception"], slideshow={"slide_type": "old"})
    path = tmp_path / "01_count.ipynb"
    nbformat.write(new_notebook(cells=cells), path)
    before = json.loads(path.read_text(encoding="utf-8"))
    assert slides.stamp_all(tmp_path, write=True) == [path]
    after = json.loads(path.read_text(encoding="utf-8"))
    stamped = [
        c["metadata"].pop("slideshow", {}).get("slide_type") for c in after["cells"]
    ]
    assert [kind or "-" for kind in stamped] == [expected for _, expected in lesson]
    del before["cells"][7]["metadata"]["slideshow"]
    assert after == before
    content = path.read_bytes()
    assert slides.stamp_all(tmp_path, write=True) == []
    assert path.read_bytes() == content


def test_check_fails_until_the_notebooks_are_stamped(lesson, tmp_path, capsys):
    path = tmp_path / "01_count.ipynb"
    nbformat.write(new_notebook(cells=[cell for cell, _ in lesson]), path)
    assert slides.main(["check", "--folder", str(tmp_path)]) == 1
    assert "01_count.ipynb: stale" in capsys.readouterr().out
    assert slides.main(["stamp", "--folder", str(tmp_path)]) == 0
    assert slides.main(["check", "--folder", str(tmp_path)]) == 0


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_slides_are_those_of_the_rule(path):
    notebook = nbformat.read(path, as_version=4)
    stored = [cell.metadata.get("slideshow") for cell in notebook.cells]
    slides.stamp(notebook.cells)
    rule = [cell.metadata.get("slideshow") for cell in notebook.cells]
    assert stored == rule, "run `python tools/slides.py stamp`"


# ------------------------------------------------------------------------- pages


@pytest.fixture
def page(lesson, tmp_path):
    path = tmp_path / "01_count.ipynb"
    nbformat.write(new_notebook(cells=[cell for cell, _ in lesson]), path)
    return slides.export(path, "assets")


def test_a_page_asks_nothing_of_the_network(page):
    loaded = re.findall(r"<(?:script|link|img)\b[^>]*?\b(?:src|href)=\"([^\"]+)", page)
    loaded += re.findall(
        r"(?:@import|import\b[^;]{,40}from|url\()\s*['\"]?([^'\")]+)", page
    )
    assert loaded
    assert [link for link in loaded if re.match(r"(https?:)?//", link)] == []


def test_a_page_takes_its_scripts_from_the_folder_beside_it(page):
    assert 'href="assets/reveal.js/dist/reveal.css"' in page
    assert 'href="assets/reveal.js/dist/theme/white.css"' in page
    assert '"assets/reveal.js/dist/reveal.js"' in page
    for script in ("jquery.min.js", "require.js", "mathjax/MathJax.js"):
        assert f'src="assets/{script}' in page


def test_a_page_shows_sections_and_hides_setup(page):
    body = page[page.index('<div class="slides">') :]
    assert body.count("<section") == 2 * 4 + 4  # four slides, four more below them
    assert "Count things" in body
    assert "import" not in body.replace("important", "").split("<script>")[0]
    assert "find_fault" not in body


def test_an_unknown_lesson_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no lesson in .* has the number"):
        slides.make(ROOT / "notebooks", tmp_path, ["77"])


def make_wheel(path, names):
    with zipfile.ZipFile(path, "w") as wheel:
        for name in names:
            wheel.writestr(name, "content")


def test_only_what_shows_slides_is_taken_out_of_the_wheels(tmp_path):
    reveal = "sphinx_revealjs/_static/revealjs"
    math = "nbclassic/static/components/MathJax"
    taken = {
        f"{reveal}/LICENSE": "reveal.js/LICENSE",
        f"{reveal}/dist/reveal.js": "reveal.js/dist/reveal.js",
        f"{reveal}/plugin/notes/notes.js": "reveal.js/plugin/notes/notes.js",
        f"{math}/MathJax.js": "mathjax/MathJax.js",
        f"{math}/jax/input/TeX/jax.js": "mathjax/jax/input/TeX/jax.js",
        "nbclassic/static/components/jquery/dist/jquery.min.js": "jquery.min.js",
        "nbclassic/static/components/requirejs/require.js": "require.js",
        "sphinx_revealjs-3.2.1.dist-info/licenses/LICENSE": "mathjax/LICENSE",
    }
    left = [
        "sphinx_revealjs/__init__.py",
        f"{reveal}/dist/theme/simple.css",
        f"{math}/localization/de/de.js",
        f"{math}/jax/output/SVG/jax.js",
        "nbclassic/static/components/jquery/../../../../evil.js",
    ]
    make_wheel(tmp_path / "a.whl", [*taken, *left])
    assert slides.extract(tmp_path / "a.whl", tmp_path / "out") == len(taken)
    files = [p for p in (tmp_path / "out").rglob("*") if p.is_file()]
    found = {p.relative_to(tmp_path / "out").as_posix() for p in files}
    assert found == set(taken.values())


def test_half_a_download_leaves_no_scripts(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(OSError, match="requirements-slides.txt. Received 0"):
        slides.fetch(tmp_path / "slides" / "assets")
    assert list((tmp_path / "slides").iterdir()) == []


def test_scripts_that_are_there_are_not_fetched_again(tmp_path, monkeypatch):
    monkeypatch.setattr(slides.subprocess, "run", None)
    slides.fetch(tmp_path)


def test_versions_in_the_list_of_licences_are_fetched_by_their_sums():
    lines = slides.REQUIREMENTS.read_text(encoding="utf-8")
    assert (
        len(re.findall(r"^[\w-]+==\S+ \\\n +--hash=sha256:\w{64}$", lines, re.M)) == 2
    )
