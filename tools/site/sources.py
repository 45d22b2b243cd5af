"""A folder of copies that Sphinx reads: the notebooks as stored, and our Markdown.

Files keep their places, so links between them go on working; only the README becomes
the first page. Nothing is executed. What a page cannot show, or should not, is changed
in the copy: a widget without its kernel is left out, a figure gets an alternative
text, each exercise its solution behind a fold.
"""

import base64
import posixpath
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from tools.notebooks import FOLDED, find_lessons, find_notebooks, solutions_of, tags
from tools.site import launch
from tools.site.gallery import write_gallery

MARKDOWN = (
    *("README.md", "CONTRIBUTING.md", "notebooks/README.md", "images/README.md"),
    *("texts/*.md", "models/*.md", "tools/benchmark/*.md"),
)
FOLDERS = {"notebooks/solutions": "notebooks/solutions/index.md"}  # shown by a page
COURSE = "utils/*.py"
NO_MODULE = {"__init__", "start"}  # the package itself, and a program

# Code first: what looks like a link in it is none.
LINK = re.compile(
    r"```.*?```|`[^`\n]*`"
    r"|(?P<text>!?\[(?:[^\[\]]|\[[^\]]*\])*\])\((?P<target>[^)\s]+)\)",
    re.DOTALL,
)
PICTURES = {"image/jpeg", "image/png"}
WIDGET = "application/vnd.jupyter.widget-view+json"
SHORT = 60  # characters; a first sentence below that says too little of a figure

FOLD = """\
<details class="fold"><summary>{title}</summary>

{content}

</details>"""
SOLUTIONS = """\
# Solutions

Every exercise has a check that says what is wrong, so try it first. Below each \
exercise of a lesson one possible answer is folded; these pages have the outputs, too.

```{{toctree}}
:maxdepth: 1

{pages}
```
"""
API = """\
# The helpers of the course

What the lessons call, module by module, with the examples that the tests run. Rings \
around it are described in [CONTRIBUTING](../CONTRIBUTING.md#where-things-live), and \
in the docstrings of their modules.

```{{toctree}}
:maxdepth: 1

{pages}
```
"""
MODULE = """\
# `utils.{name}`

```{{eval-rst}}
.. automodule:: utils.{name}
```
"""


def toctree(caption: str, pages: list[str]) -> str:
    """A part of the table of contents."""
    names = "\n".join(page.rsplit(".", 1)[0] for page in pages)
    return f"```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{names}\n```\n"


def plain(markdown: str) -> str:
    """Markdown without its marks."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", markdown)
    return re.sub(r"[*`]|(?m:^[>#]+ *)", "", text)


def describe_figure(text: str, heading: str) -> str:
    """Alternative text of a figure: its section, and how the text below it begins.

    Examples
    --------
    >>> describe_figure("**Lower right** is better. Read it like a map.", "## Choose")
    'Figure of “Choose”: Lower right is better. Read it like a map.'
    """
    paragraphs = (part for part in text.split("\n\n") if part.strip())
    first = plain(next(paragraphs, "")).replace("\n", " ").strip()
    sentences = re.split(r"(?<=[^.\s]{3}[.?!])\s+", first)
    taken = sentences[0]
    if len(taken) < SHORT and len(sentences) > 1:
        taken += " " + sentences[1]
    return f"Figure of “{plain(heading)}”: {taken}"


def fold(title: str, content: str) -> str:
    """Markdown behind a line that opens it."""
    return FOLD.format(title=title, content=content)


def fence(code: str) -> str:
    """Python code as a block of Markdown."""
    return f"```ipython3\n{code.strip()}\n```"  # knows `!` and `%`


def exercises(cells: list[NotebookNode]) -> Iterator[list[NotebookNode]]:
    """The cells of each exercise, from its heading to the next or the Summary."""
    found: list[NotebookNode] = []
    for cell in cells:
        begins = cell.cell_type == "markdown" and cell.source.startswith("##")
        if found and (begins or "navigation" in tags(cell)):
            yield found
            found = []
        if found or (begins and cell.source.startswith("### Exercise")):
            found.append(cell)
    if found:
        yield found


def first_line(cell: NotebookNode) -> str:
    """First line of a cell: of an exercise its heading."""
    return cell.source.split("\n")[0]


def parts_of(readme: str) -> dict[str, str]:
    """Title of each part of the series, by the number of its first lesson."""
    found, title = {}, ""
    for line in readme.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) > 1 and cells[1].startswith("**"):
            title = cells[1].strip("*")
        elif title and re.fullmatch(r"\d\d", cells[0]):
            found[cells[0]], title = title, ""
    return found


class Sources:
    """Writes the folder of copies.

    Parameters
    ----------
    root : Path
        The repository.
    folder : Path
        Where the copies go; empty.
    repository : str
        Its address; "" leaves the buttons out, and links to files that are no pages
        lead to copies.
    """

    def __init__(self, root: Path, folder: Path, repository: str) -> None:
        self.root, self.folder, self.repository = root, folder, repository
        found = [path for pattern in MARKDOWN for path in sorted(root.glob(pattern))]
        self.markdown = [path.relative_to(root).as_posix() for path in found]
        self.notebooks = [
            path.relative_to(root).as_posix()
            for path in find_notebooks(root / "notebooks")
        ]
        self.pages = {page: page for page in (*self.markdown, *self.notebooks)}
        self.pages |= {"README.md": "index.md"} | FOLDERS

    # ------------------------------------------------------------------- links

    def relink(self, text: str, source: str, page: str = "") -> str:
        """Markdown of a file of the repository, with links that hold on its page.

        Parameters
        ----------
        text : str
        source : str
            The file that the links start from.
        page : str, optional
            Where the text is shown; by default on the page of its file.
        """
        base = posixpath.dirname(page or self.pages[source])

        def place(found: re.Match) -> str:
            target = found["target"]
            if not target or re.match(r"[a-z]+:|#", target):
                return found[0]
            path, hash_, anchor = target.partition("#")
            path = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
            new = self.locate(path, is_shown=found["text"].startswith("!"))
            if not new:
                return found["text"].strip("[]")
            if not new.startswith("https:"):
                new = posixpath.relpath(new, base or ".")
            return f"{found['text']}({new}{hash_}{anchor})"

        return LINK.sub(place, text)

    def locate(self, path: str, *, is_shown: bool) -> str:
        """Where a link to a file of the repository goes; "" if nowhere.

        A file that is no page is on GitHub; a picture that is shown, and every file
        while there is no address, is copied.

        Raises
        ------
        FileNotFoundError
            If the repository has no such file.
        """
        if path in self.pages:
            return self.pages[path]
        file = self.root / path
        if not file.exists():
            raise FileNotFoundError(f"a page links to {path}, which is not there.")
        if self.repository and not is_shown:
            return launch.file_address(self.repository, path, folder=file.is_dir())
        if file.is_dir():
            return ""
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, self.folder / path)
        return path

    # --------------------------------------------------------------- notebooks

    def starts(self, notebook: str) -> str:
        """The line that says how to run a notebook, and Colab's cell."""
        places = launch.buttons(self.repository, notebook)
        links = [f"[{place}]({address})" for place, address in places.items()]
        home = posixpath.relpath("index.md", posixpath.dirname(notebook))
        line = " · ".join(["Run it: " + " · ".join(links)] * bool(links))
        line += " · or " if links else "Run it "
        line += f"[on your computer]({home}#start)"
        if not links:
            return line
        cell = fence(launch.colab_cell(self.repository))
        return f"{line}\n\n{fold('In Colab, run this cell first', cell)}"

    def notebook_page(self, name: str) -> NotebookNode:
        """A notebook as its page shows it."""
        notebook = nbformat.read(self.root / name, as_version=4)
        notebook.metadata["language_info"] = {
            "name": "python",
            "pygments_lexer": "ipython3",  # knows %run
        }
        cells = notebook.cells
        heading = ""
        for position, cell in enumerate(cells):
            if cell.cell_type == "markdown":
                headings = re.findall(r"(?m)^#+ .*", cell.source)
                heading = headings[-1] if headings else heading
                cell.source = self.relink(cell.source, name)
                self.save_attachments(cell, name)
            else:
                below = cells[position + 1] if position + 1 < len(cells) else None
                self.prepare_outputs(cell, below, heading)
        navigation = [cell for cell in cells if "navigation" in tags(cell)]
        for cell in navigation[:1]:
            cell.source += f"\n\n{self.starts(name)}"
        for cell in navigation[1:]:  # the theme has its own arrows
            cells.remove(cell)
        self.add_solutions(cells, name)
        return notebook

    def save_attachments(self, cell: NotebookNode, name: str) -> None:
        """Put pictures that a text brings with it beside the page."""
        for file, data in cell.pop("attachments", {}).items():
            target = f"{Path(name).stem}_{file}"
            path = self.folder / posixpath.dirname(name) / target
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(base64.b64decode(next(iter(data.values()))))
            cell.source = cell.source.replace(f"(attachment:{file})", f"({target})")

    def prepare_outputs(
        self, cell: NotebookNode, below: NotebookNode | None, heading: str
    ) -> None:
        """Fold checks, name figures, and leave out what only a kernel can show."""
        cell.outputs = [
            output for output in cell.outputs if WIDGET not in output.get("data", {})
        ]
        if cell.source.startswith(FOLDED):
            cell.metadata["tags"] = [*cell.metadata.get("tags", []), "hide-input"]
        if any(PICTURES & set(output.get("data", {})) for output in cell.outputs):
            text = below.source if below and below.cell_type == "markdown" else ""
            text = text or plain(cell.source.split("\n")[0])
            cell.metadata["mystnb"] = {"image": {"alt": describe_figure(text, heading)}}

    def add_solutions(self, cells: list[NotebookNode], name: str) -> None:
        """Put each exercise's solution behind a fold below it."""
        file = solutions_of(self.root / name)
        if not file.exists():
            return
        source = file.relative_to(self.root).as_posix()
        solved = {
            first_line(exercise[0]): exercise
            for exercise in exercises(nbformat.read(file, as_version=4).cells)
        }
        link = posixpath.relpath(source, posixpath.dirname(name))
        for exercise in list(exercises(cells)):
            solution = solved.get(first_line(exercise[0]))
            if not solution:
                continue
            shown = [self.relink(text, source, name) for text in answer(solution)]
            shown.append(f"[With its outputs]({link})")
            cell = new_markdown_cell(fold("Solution", "\n\n".join(shown)))
            cells.insert(cells.index(exercise[-1]) + 1, cell)

    # --------------------------------------------------------------- the folder

    def write(self) -> None:
        """Write all sources of the site."""
        shutil.copytree(self.root / "docs", self.folder, dirs_exist_ok=True)
        for name in self.notebooks:
            self.put(name, nbformat.writes(self.notebook_page(name)))
        for name in self.markdown:
            text = (self.root / name).read_text(encoding="utf-8")
            text = self.relink(text, name)
            if name == "README.md":
                text = self.begin(text)
            self.put(self.pages[name], text + self.contents(name))
        solved = [Path(name).stem for name in self.notebooks if "/solutions/" in name]
        self.put(FOLDERS["notebooks/solutions"], page(SOLUTIONS, solved))
        modules = [path.stem for path in sorted(self.root.glob(COURSE))]
        modules = [name for name in modules if name not in NO_MODULE]
        self.put("api/index.md", page(API, modules))
        for name in modules:
            self.put(f"api/{name}.md", MODULE.format(name=name))
        write_gallery(
            self.root / "images",
            self.folder / "gallery",
            self.folder / "_extra" / "gallery" / "thumbnails",
        )

    def begin(self, text: str) -> str:
        """The first page with a way into the first lesson below its first picture."""
        lesson = f"notebooks/{find_lessons(self.root / 'notebooks')[0].name}"
        places = launch.buttons(self.repository, lesson) | {"your computer": "#start"}
        line = f"**[Read the first lesson]({lesson})**, or run it: " + " · ".join(
            f"[{place}]({address})" for place, address in places.items()
        )
        return re.sub(
            r"(?m)^!\[.*$", lambda found: f"{found[0]}\n\n{line}", text, count=1
        )

    def put(self, name: str, text: str) -> None:
        """Write a source."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def contents(self, name: str) -> str:
        """Table of contents of the site, below its first page; "" on others."""
        if name != "README.md":
            return ""
        parts = parts_of((self.root / name).read_text(encoding="utf-8"))
        lessons: dict[str, list[str]] = {}
        title = "Lessons"
        for lesson in find_lessons(self.root / "notebooks"):
            title = parts.get(lesson.name[:2], title)
            lessons.setdefault(title, []).append(f"notebooks/{lesson.name}")
        appendices = [name for name in self.notebooks if re.search(r"/A\d_", name)]
        more = ["notebooks/solutions/index.md", *appendices, "notebooks/README.md"]
        texts = [name for name in self.markdown if name.startswith("texts/")]
        groups = lessons | {
            "Beside the lessons": [
                *more,
                "gallery/index.md",
                "images/README.md",
                *texts,
            ],
            "Measured": [n for n in self.markdown if n.startswith("tools/")],
            "Networks and words": [n for n in self.markdown if n.startswith("models/")],
            "Reference": ["api/index.md", "CONTRIBUTING.md"],
        }
        return "\n\n" + "\n".join(
            toctree(*group) for group in groups.items() if group[1]
        )


def page(template: str, names: list[str]) -> str:
    """A page that lists others."""
    return template.format(pages="\n".join(names))


def answer(exercise: list[NotebookNode]) -> Iterator[str]:
    """What solves an exercise, as Markdown: its code, then the reasoning."""
    for cell in exercise:
        if "# solution\n" in cell.source:
            yield fence(cell.source.split("# solution\n", 1)[1])
        elif "solution" in tags(cell):
            yield cell.source if cell.cell_type == "markdown" else fence(cell.source)
