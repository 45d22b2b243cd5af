"""`utils` is built in rings, and no part of it may grow past its budget.

Nothing is listed here but the rings, in their order. Modules, who imports whom and
which library belongs to which module are read from the source, wherever an import
stands and however it is written.
"""

import ast
import graphlib
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]

# From the inside out: a ring may import from rings before it, and, but for the course,
# from itself. The course is `utils/*.py`, every other ring a folder.
# Each has a budget of lines: to grow, let something go first, or argue.
BUDGETS = {
    "pixels": 400,
    "course": 2450,
    # most of it draws one structure for each lesson
    "practice": 750,
    # 190 for a reader's photos: their folder, a page to mail; 890 so that two writers,
    # or one that is killed, lose nothing: locks, a journal, differences that merge
    "collection": 4210,
    "fast": 400,
    # four lessons' worth: seven networks, learned heads, three ways to words, sound;
    # and who made a collection, found by its pipeline's name
    "beyond": 1630,
    # a killed worker, a full disk, damage and going on are most of the extraction;
    # beside it a calculator, shards, a database and a simulation
    "scale": 1880,
    # 570 for the map of a collection, which follows the page and names its labels; 170
    # for sentences; the page itself is JavaScript
    "app": 1680,
    # most of it is what strangers and many at once make necessary: limits of bytes,
    # time and places, problems, tokens, batches, newer saves
    "service": 1010,
}
RINGS = tuple(BUDGETS)
SHARED = "utils.errors"  # which all may import; of the course, its modules no other
PROGRAMS = {"utils.start"}  # run by a notebook's first cell, imported by nobody

# A database is a dependency like any other; NumPy belongs to everybody.
STANDARD = set(sys.stdlib_module_names) - {"sqlite3"} | {"numpy"}

LINES = {"module": 520, "function": 40}
TOOL_LINES = 60  # of a function in tools: what builds an object has long lists
PUBLIC_METHODS = 20


class Module(NamedTuple):
    """One module: where it stands, and its syntax tree."""

    name: str  # "utils.collection.search"
    ring: str
    lines: int
    tree: ast.Module


def read(package: Path) -> dict[str, Module]:
    """Every module of a package named utils, by its name."""
    modules = {}
    for path in sorted(package.rglob("*.py")):
        *folders, stem = path.relative_to(package).with_suffix("").parts
        parts = ["utils", *folders] + [stem] * (stem != "__init__")
        text = path.read_text(encoding="utf-8")
        ring = folders[0] if folders else "course"
        name, lines = ".".join(parts), len(text.splitlines())
        modules[name] = Module(name, ring, lines, ast.parse(text))
    return modules


# ---------------------------------------------------------------- who imports whom


def _string_imported(node: ast.AST) -> Iterator[str]:
    """Module that a string names: to import it, or to ask whether it is there."""
    asked: list[ast.expr] = []
    match node:
        case (
            ast.Call(func=ast.Name(id=called))
            | ast.Call(func=ast.Attribute(attr=called))
        ) if called in ("import_module", "__import__", "find_spec", "import_optional"):
            asked = node.args[:1]
        case ast.Call(func=ast.Attribute(value=ast.Attribute(attr="modules"))):
            asked = node.args[:1]  # sys.modules.get("…")
        case ast.Subscript(value=ast.Attribute(attr="modules"), slice=key):
            asked = [key]
        case ast.Compare(left=left, comparators=[ast.Attribute(attr="modules")]):
            asked = [left]
    for argument in asked:
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
            yield argument.value


def imported(module: Module, modules: dict[str, Module]) -> set[str]:
    """Names of ours as far as the module, of others the library's name alone."""
    names = set()
    for node in ast.walk(module.tree):
        names.update(_string_imported(node))
        if isinstance(node, ast.Constant) and node.value in modules:
            names.add(node.value)  # whoever writes our module's name out uses it
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = node.module or ""
            if node.level:  # `from . import x`: a package is its own first level
                parts = module.name.split(".")
                level = node.level - any(
                    m.startswith(f"{module.name}.") for m in modules
                )
                source = ".".join(parts[: len(parts) - level] + source.split()).strip(
                    "."
                )
            names.update(f"{source}.{alias.name}" for alias in node.names)
    found = set()
    for name in names:
        top = name.split(".")[0]
        if top != "utils":
            found.add(top)
            continue
        while name not in modules and "." in name:  # a function: the module it is in
            name = name.rpartition(".")[0]
        found.add(name)
    return found - {module.name}


def graph(modules: dict[str, Module]) -> dict[str, set[str]]:
    """Who imports which of our modules."""
    return {
        name: {other for other in imported(module, modules) if other in modules}
        for name, module in modules.items()
    }


def wrong_directions(modules: dict[str, Module]) -> Iterator[str]:
    for name, others in graph(modules).items():
        ring = modules[name].ring
        if ring not in RINGS:
            yield f"{name}: {ring} is no ring"
            continue
        for other in others:
            if other == "utils" or modules[other].ring not in RINGS:
                yield f"{name} imports {other}, which is no module"
            elif other in PROGRAMS:
                yield f"{name} imports {other}, which is a program"
            elif other == SHARED:
                continue
            elif RINGS.index(modules[other].ring) > RINGS.index(ring):
                yield f"{name} imports {other}, of a later ring"
            elif ring == modules[other].ring == "course":
                yield f"{name} imports {other}: a course module, only {SHARED}"


def cycles(modules: dict[str, Module]) -> Iterator[str]:
    try:
        graphlib.TopologicalSorter(graph(modules)).prepare()
    except graphlib.CycleError as error:
        yield "a cycle: " + " <- ".join(error.args[1])


def shared_libraries(modules: dict[str, Module]) -> Iterator[str]:
    owners = defaultdict(set)
    for name, module in modules.items():
        for library in imported(module, modules) - STANDARD - set(modules) - {"utils"}:
            owners[library].add(name)
    for library, names in owners.items():
        if len(names) > 1:
            yield f"{library} is imported by {', '.join(sorted(names))}: by one only"


def full_packages(modules: dict[str, Module]) -> Iterator[str]:
    for name, module in modules.items():
        is_package = any(other.startswith(f"{name}.") for other in modules)
        if is_package and (
            len(module.tree.body),
            bool(ast.get_docstring(module.tree)),
        ) != (
            1,
            True,
        ):
            yield f"{name}: a package holds a docstring and nothing else"


# ------------------------------------------------------------------------- budgets


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = function.body[bool(ast.get_docstring(function)) :]
    return (function.end_lineno or 0) - body[0].lineno + 1 if body else 0


def over_budget(modules: dict[str, Module]) -> Iterator[str]:
    for ring, most in BUDGETS.items():
        lines = sum(m.lines for m in modules.values() if m.ring == ring)
        if lines > most:
            yield f"the ring {ring} has {lines} lines, at most {most}"
    for name, module in modules.items():
        if module.lines > LINES["module"]:
            yield f"{name} has {module.lines} lines, at most {LINES['module']}"
        for function in _functions(module.tree):
            lines = _body_lines(function)
            if lines > LINES["function"]:
                yield f"{name}.{function.name} has {lines} lines"
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef):
                methods = {
                    f.name for f in node.body if isinstance(f, ast.FunctionDef)
                } - {"__init__"}
                public = [method for method in methods if method[0] != "_"]
                if len(public) > PUBLIC_METHODS:
                    yield f"{name}.{node.name} has {len(public)} public methods"


# ------------------------------------------------------------------- side effects

# Run with the names of modules. The libraries come first: what they do is their affair.
WATCH = """
import ast, importlib, os, sys, warnings
sys.path.insert(0, "")
names, package = sys.argv[2:], sys.argv[1]
for path in sorted(__import__("pathlib").Path(package).rglob("*.py")):
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            wanted = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            wanted = [node.module] + [f"{node.module}.{a.name}" for a in node.names]
        else:
            continue
        for name in wanted:
            if not name.startswith("utils"):
                try:
                    importlib.import_module(name)
                except ImportError:
                    pass
state = lambda: (dict(os.environ), list(warnings.filters), list(sys.path))
before = state()
for name in names:
    importlib.import_module(name)
    after = state()
    for what, was, became in zip(("os.environ", "filters", "sys.path"), before, after):
        if was != became:
            print(f"importing {name} changes {what}")
    before = after
"""


def side_effects(package: Path) -> list[str]:
    names = [name for name in read(package) if name not in PROGRAMS]
    python = subprocess.run(
        [sys.executable, "-c", WATCH, str(package), *names],
        cwd=package.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    return python.stdout.splitlines()


# --------------------------------------------------------------------------- tests

# The app, its map and the service's page in a browser, its container. No two test files
# may have one name, and there is a test_extraction.
FROM_OUTSIDE = {
    *("browser", "explore_in_browser", "web_page", "container", "ray_extraction")
}
RULES = [wrong_directions, cycles, shared_libraries, full_packages, over_budget]


@pytest.fixture(scope="module")
def ours():
    return read(ROOT / "utils")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_utils_keeps_the_rule(ours, rule):
    problems = list(rule(ours))
    assert not problems, "\n".join(problems)


def test_functions_of_the_tools_are_not_too_long_either():
    for path in (ROOT / "tools").rglob("*.py"):
        for function in _functions(ast.parse(path.read_text(encoding="utf-8"))):
            assert _body_lines(function) <= TOOL_LINES, f"{path}: {function.name}"


@pytest.mark.parametrize("ring", sorted({*RINGS, "tools"} - {"course"}))
def test_test_files_are_named_after_what_they_test(ring):
    """But for those that use a ring from outside; the course's stand among others."""
    source = ROOT / "tools" if ring == "tools" else ROOT / "utils" / ring
    tested = {path.stem for path in source.glob("*")} | FROM_OUTSIDE
    files = {path.stem for path in (ROOT / "tests" / ring).glob("test_*.py")}
    strays = {name.removeprefix("test_") for name in files} - tested
    assert strays <= {f"benchmark_{path.stem}" for path in source.glob("benchmark/*")}


def test_importing_changes_nothing_for_others():
    assert side_effects(ROOT / "utils") == []


def test_metrics_load_nothing_heavy():
    program = "import sys, utils.metrics; print(*sys.modules)"
    python = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(python.stdout.split())
    assert loaded.isdisjoint({"tensorflow", "keras", "faiss", "matplotlib", "PIL"})
    own = {name for name in loaded if name.startswith("utils.")}
    assert own <= {"utils.metrics", SHARED}


def test_the_source_is_really_read(ours):
    assert {"utils", "utils.errors", "utils.collection.search"} <= set(ours)
    assert "utils.collection.vector_index" in graph(ours)["utils.collection.search"]
    assert "faiss" in imported(ours["utils.indexes"], ours)


BODY = "\n".join(f"    x = {i}" for i in range(41))
METHODS = "\n".join(f"    def m{i}(self): ..." for i in range(21))
BROKEN = {
    "of a later ring": {
        "images.py": "from utils.app.query import x",
        "app/query.py": "",
    },
    "images imports utils.metrics": {
        "images.py": "def f():\n    import utils.metrics",
        "metrics.py": "",
    },
    "imports utils.gallery": {
        "images.py": "from importlib import import_module as load\n"
        "load('utils.gallery')",
        "gallery.py": "",
    },
    "imports utils.timing": {
        "images.py": "import sys\nsys.modules.get('utils.timing')",
        "timing.py": "",
    },
    "imports utils.indexes": {"images.py": "from . import indexes", "indexes.py": ""},
    "misc is no ring": {"misc/odd.py": ""},
    "which is a program": {"app/page.py": "import utils.start", "start.py": ""},
    "a cycle": {
        "app/one.py": "from utils.app import two",
        "app/two.py": "from .one import x",
    },
    "faiss is imported by": {
        "images.py": "__import__('faiss')",
        "metrics.py": "import faiss.contrib",
    },
    "keras is imported by": {
        "images.py": "import sys\nsys.modules['keras']",
        "metrics.py": "from keras import ops",
    },
    "torch is imported by": {
        "images.py": "import sys\n'torch' in sys.modules",
        "metrics.py": "from importlib.util import find_spec\nfind_spec('torch')",
    },
    "holds a docstring and nothing else": {
        "app/__init__.py": '"""Map."""\nx = 1',
        "app/query.py": "",
    },
    "the ring app has": {f"app/m{i}.py": "x = 1\n" * 500 for i in range(4)},
    "the ring course has": {f"m{i}.py": "x = 1\n" * 500 for i in range(5)},
    "images has 521 lines": {"images.py": "x = 1\n" * 521},
    "images.long has 41 lines": {"images.py": f"def long():\n{BODY}"},
    "images.Big has 21 public methods": {"images.py": f"class Big:\n{METHODS}"},
}


def write(folder, files):
    package = folder / "utils"
    for name, source in {"__init__.py": '"""Map."""', **files}.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
    for path in [package, *filter(Path.is_dir, package.iterdir())]:
        if not (path / "__init__.py").exists():
            (path / "__init__.py").write_text('"""Map."""')
    return package


def test_the_map_of_each_ring_names_all_its_modules():
    for path in (ROOT / "utils").rglob("*.py"):
        if path.stem != "__init__":
            packaged = path.with_name("__init__.py").read_text(encoding="utf-8")
            assert f"`{path.stem}`" in packaged, path


@pytest.mark.parametrize(("problem", "files"), BROKEN.items(), ids=list(BROKEN))
def test_a_package_that_breaks_a_rule_is_noticed(tmp_path, problem, files):
    modules = read(write(tmp_path, files))
    problems = [text for rule in RULES for text in rule(modules)]
    assert [text for text in problems if problem in text], problems


def test_a_package_in_order_is_let_through(tmp_path):
    files = {
        "errors.py": "import os",
        "images.py": "import numpy\nfrom utils.errors import x\nfrom PIL import Image",
        "app/query.py": "from utils import images\nfrom utils.app.page import x",
        "app/page.py": "from .. import errors",
    }
    modules = read(write(tmp_path, files))
    assert [text for rule in RULES for text in rule(modules)] == []
    assert graph(modules)["utils.app.page"] == {"utils.errors"}


@pytest.mark.parametrize(
    ("source", "changed"),
    [
        ("import os\nos.environ['X_OF_A_TEST'] = '1'", "os.environ"),
        ("import warnings\nwarnings.simplefilter('ignore')", "filters"),
        ("import sys\nsys.path.append('x')", "sys.path"),
    ],
)
def test_an_import_that_changes_something_is_noticed(tmp_path, source, changed):
    package = write(tmp_path, {"errors.py": "x = 1", "images.py": source})
    assert side_effects(package) == [f"importing utils.images changes {changed}"]
