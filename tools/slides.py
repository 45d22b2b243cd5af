"""Lessons as slides, which need no network to be shown.

    python tools/slides.py make [NN ...]   write output/slides/*.slides.html
    python tools/slides.py stamp           write into the notebooks where slides begin
    python tools/slides.py check           fail if `stamp` would change a notebook

Where a slide begins is stored in the notebooks, so that ``jupyter nbconvert --to
slides`` works as well; it fetches reveal.js from the network, though. Nobody decides
it cell by cell: `slide_types` is the rule, and ``tools/notebooks.py`` applies it
whenever it stores a notebook.

`make` needs a network, or pip's cache, once: the scripts that show slides come out of
two wheels, named with their sums in ``tools/requirements-slides.txt``. What it writes
is a folder to be copied as a whole.
"""

import argparse
import base64
import io
import math
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import nbformat
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS, SLIDES = ROOT / "notebooks", ROOT / "output" / "slides"
TEMPLATE = ROOT / "tools" / "slide_template" / "lookalike"
REQUIREMENTS = ROOT / "tools" / "requirements-slides.txt"

# A slide of nbconvert's template is 960 x 700 pixels, its text 20 pixels high.
PAGE = 24.0  # lines of text that fit on a slide
LINE_WIDTH, LINE_HEIGHT = 88, 28.0  # characters, pixels
FIGURE_WIDTH = 830.0  # pixels; a wider figure is made smaller
# Code that asks for an answer: blank in a lesson, solved in its solutions notebook.
QUESTION = re.compile(r"^(answer = \.\.\.|# solution)$", re.MULTILINE)


# ---------------------------------------------------------------------- the rule


def picture_lines(jpeg: str) -> float:
    """Height on a slide, in lines of text, of a JPEG in base64."""
    from PIL import Image

    width, height = Image.open(io.BytesIO(base64.b64decode(jpeg))).size
    return height * min(1.0, FIGURE_WIDTH / width) / LINE_HEIGHT


def cell_lines(cell: NotebookNode) -> float:
    """Height on a slide, in lines of text, of a cell with its outputs; about."""
    lines = cell.source.split("\n")
    if cell.cell_type != "code":
        rows = sum(math.ceil(len(line) / LINE_WIDTH) for line in lines)
        return rows + 0.5 * lines.count("") + sum(line[:1] == "#" for line in lines)
    total = len(lines) + 1.0
    for output in cell.outputs:
        data = output.get("data", {})
        if "image/jpeg" in data:
            total += picture_lines(data["image/jpeg"]) + 1
        else:
            text = output.get("text") or data.get("text/plain") or output.get("evalue")
            total += len((text or "").rstrip("\n").split("\n")) + 1
    return total


def slide_types(cells: list[NotebookNode]) -> list[str]:
    """What each cell of a notebook is on slides.

    A title or a section begins a slide. Within it, a cell of text and the code that
    follows it share a sub-slide; code that would not fit below begins one of its own.
    The section Setup, the lines that link the neighbours and the cells that check an
    answer are left out.

    Parameters
    ----------
    cells : list of NotebookNode

    Returns
    -------
    types : list of str
        ``"slide"``, ``"subslide"``, ``"-"`` (goes on) or ``"skip"``, as nbconvert and
        JupyterLab name them.
    """
    types, in_setup, is_check, asked, filled = [], False, False, False, 0.0
    for cell in cells:
        is_text, lines = cell.cell_type == "markdown", cell_lines(cell)
        if not is_text:  # the code after a question checks its answer
            is_check, asked = asked, bool(QUESTION.search(cell.source))
        begins = is_text and cell.source.startswith(("# ", "## "))
        if begins:
            in_setup = cell.source.split("\n")[0] == "## Setup"
        if in_setup or "navigation" in cell.metadata.get("tags", []):
            types.append("skip")
        elif is_check and not is_text:
            types.append("skip")
        elif begins or is_text or filled + lines > PAGE:
            types.append("slide" if begins else "subslide")
            filled = lines
        else:
            types.append("-")
            filled += lines
    return types


def stamp(cells: list[NotebookNode]) -> None:
    """Write into the cells' metadata what they are on slides; nothing else changes."""
    for cell, slide_type in zip(cells, slide_types(cells), strict=True):
        cell.metadata.pop("slideshow", None)
        if slide_type != "-":
            cell.metadata["slideshow"] = nbformat.from_dict({"slide_type": slide_type})


def stamp_all(folder: Path, *, write: bool) -> list[Path]:
    """Notebooks of a folder whose slides are not as the rule has them.

    Parameters
    ----------
    folder : Path
    write : bool
        Fix them, too.
    """
    stale = []
    for path in sorted(folder.rglob("[0-9A][0-9]_*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        before = [dict(cell.metadata) for cell in notebook.cells]
        stamp(notebook.cells)
        if before != [dict(cell.metadata) for cell in notebook.cells]:
            stale.append(path)
            if write:
                nbformat.write(notebook, path)
    return stale


# ------------------------------------------------------------------- the scripts

# Which files of the two wheels show slides, and where they go.
TAKEN = {
    r"sphinx_revealjs/_static/revealjs/(LICENSE|dist/reveal\.(?:js|css)"
    r"|dist/theme/white\.css|dist/theme/fonts/source-sans-pro/.*(?:css|woff|LICENSE)"
    r"|plugin/notes/notes\.js)": "reveal.js",
    r"nbclassic/static/components/MathJax/(MathJax\.js|README\.md"
    r"|config/(?:Safe|TeX-AMS-MML_HTMLorMML-full)\.js|extensions/[^/]*\.js"
    r"|extensions/(?:HTML-CSS|MathML|TeX)/.*\.js|extensions/a11y/accessibility-menu\.js"
    r"|jax/(?:element|input|output/(?:HTML-CSS|NativeMML|PreviewHTML))/.*"
    r"|fonts/HTML-CSS/STIX-Web/woff/.*)": "mathjax",
    r"nbclassic/static/components/jquery/dist/(jquery\.min\.js)": "",
    r"nbclassic/static/components/requirejs/(require\.js)": "",
    # sphinx-revealjs is under the licence that MathJax is under, and has its text.
    r"sphinx_revealjs-.*/licenses/(LICENSE)": "mathjax",
}
FEWEST_FILES = 100  # that a complete folder of scripts has
# MathJax looks for its usual fonts; the wheel has these alone.
MATHJAX_FONTS = """\
MathJax.Hub.Config({
  "HTML-CSS": {availableFonts: [], preferredFont: null, imageFont: null,
               webFont: "STIX-Web"},
  menuSettings: {CHTMLpreview: false}
});
MathJax.Ajax.loadComplete("[MathJax]/config/lookalike.js");
"""
LICENCES = """\
The slides are shown by other people's software:

reveal.js 5.2.0   MIT           reveal.js/LICENSE
Source Sans Pro   SIL OFL 1.1   reveal.js/dist/theme/fonts/source-sans-pro/LICENSE
MathJax 2.7.9     Apache 2.0    mathjax/LICENSE
STIX fonts        SIL OFL 1.1   (part of MathJax)
jQuery 3.7.1      MIT           first lines of jquery.min.js
RequireJS 2.3.7   MIT           first lines of require.js
"""


def extract(wheel: Path, target: Path) -> int:
    """Take the files that show slides out of a wheel; return how many there are."""
    count = 0
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            for pattern, folder in TAKEN.items():
                found = re.fullmatch(pattern, name)
                if found and not name.endswith("/"):
                    path = target / folder / found.group(1)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(archive.read(name))
                    count += 1
    return count


def fetch(target: Path) -> None:
    """Put the scripts that show slides into a folder, unless they are there.

    Raises
    ------
    OSError
        If they can't be downloaded.
    """
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".scripts-") as part:
        wheels, folder = Path(part) / "wheels", Path(part) / "scripts"
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--disable-pip-version-check", "--only-binary=:all:"]
        command += ["--require-hashes", "-r", str(REQUIREMENTS), "-d", str(wheels)]
        done = subprocess.run(
            command, stderr=subprocess.PIPE, text=True, errors="replace"
        )
        count = sum(extract(wheel, folder) for wheel in wheels.glob("*.whl"))
        if done.returncode != 0 or count < FEWEST_FILES:
            raise OSError(
                f"expected the files that show slides out of {REQUIREMENTS.name}. "
                f"Received {count}. Is there a network? pip said: "
                f"{done.stderr.strip()[-1000:]}"
            )
        (folder / "mathjax" / "config" / "lookalike.js").write_text(MATHJAX_FONTS)
        (folder / "LICENCES.txt").write_text(LICENCES, encoding="utf-8")
        os.replace(folder, target)


# -------------------------------------------------------------------- the slides


def settings(prefix: str) -> dict:
    """Settings of nbconvert for slides that take their scripts from a folder.

    Parameters
    ----------
    prefix : str
        The folder, as a link from the page of slides.
    """
    fonts = "TeX-AMS-MML_HTMLorMML-full,Safe,lookalike"
    return {
        "SlidesExporter": {
            "template_name": TEMPLATE.name,
            "reveal_url_prefix": f"{prefix}/reveal.js",
            "reveal_theme": "white",
            "reveal_transition": "none",
            "reveal_number": "c/t",
            "jquery_url": f"{prefix}/jquery.min.js",
            "require_js_url": f"{prefix}/require.js",
            "mathjax_url": f"{prefix}/mathjax/MathJax.js?config={fonts}",
        }
    }


def export(lesson: Path, prefix: str) -> str:
    """The page of slides of a lesson, as HTML."""
    from nbconvert import SlidesExporter
    from traitlets.config import Config

    notebook = nbformat.read(lesson, as_version=4)
    stamp(notebook.cells)
    config = Config(settings(prefix))
    config.SlidesExporter.extra_template_basedirs = [str(TEMPLATE.parent)]
    exporter = SlidesExporter(config=config)
    resources = {"metadata": {"name": lesson.stem}}
    page, _ = exporter.from_notebook_node(notebook, resources=resources)
    return page


def make(notebooks: Path, target: Path, numbers: list[str] | None = None) -> list[Path]:
    """Write the slides of the lessons of a folder; return the pages.

    Parameters
    ----------
    notebooks : Path
        Folder of the lessons.
    target : Path
        Where the pages go; the scripts that show them go to ``assets`` inside.
    numbers : list of str, optional
        Such as ``["03", "04"]``; by default all.

    Raises
    ------
    ValueError
        If no lesson has one of the numbers.
    OSError
        If the scripts can't be downloaded.
    """
    lessons = [
        path
        for path in sorted(notebooks.glob("[0-9][0-9]_*.ipynb"))
        if not numbers or path.name.split("_")[0] in numbers
    ]
    if not lessons:
        raise ValueError(f"no lesson in {notebooks.name}/ has the number {numbers}.")
    fetch(target / "assets")
    pages = []
    for lesson in lessons:
        page = target / f"{lesson.stem}.slides.html"
        page.write_text(export(lesson, "assets"), encoding="utf-8")
        pages.append(page)
    return pages


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("command", choices=["make", "stamp", "check"])
    parser.add_argument("numbers", nargs="*", help="for make: 03 04 ...; default all")
    parser.add_argument("--folder", type=Path, default=NOTEBOOKS)
    parser.add_argument("--to", type=Path, default=SLIDES, help="for make")
    options = parser.parse_args(arguments)
    if options.command == "make":
        try:
            for page in make(options.folder, options.to, options.numbers):
                print(page)
        except (OSError, ValueError) as error:
            print(error, file=sys.stderr)
            return 1
        return 0
    stale = stamp_all(options.folder, write=options.command == "stamp")
    for path in stale:
        print(f"{path.name}: " + ("stamped" if options.command == "stamp" else "stale"))
    return 1 if stale and options.command == "check" else 0


if __name__ == "__main__":
    sys.exit(main())
