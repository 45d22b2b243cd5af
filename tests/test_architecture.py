"""The helper package is a star: every dependency has one owner."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "utils").glob("*.py"))
SIBLINGS = {f"utils.{module.stem}" for module in MODULES}

# What a module may import besides the standard library and `utils.errors`.
MAY_IMPORT = {
    "__init__": set(),
    "bundles": set(),
    "cache": {"numpy", "sqlite3"},
    "catalogue": set(),
    "changes": {"utils.collection.catalogue", "utils.images"},
    "check": {"packaging"},
    "embeddings": {
        "numpy",
        "keras",
        "tensorflow",
        "utils.images",
        "utils.fast.runtimes",
    },
    "enlarge": {"numpy"},
    "errors": set(),
    "exercises": {"numpy"},
    "extraction": {
        "numpy",
        "tqdm",
        "utils.collection.cache",
        "utils.embeddings",
        "utils.images",
    },
    "images": {"numpy", "PIL"},
    "index_choice": set(),
    "indexes": {"numpy", "faiss"},
    "metrics": {"numpy"},
    "plotting": {"numpy", "matplotlib"},
    "query": {"numpy", "utils.images", "utils.indexes", "utils.collection.search"},
    "runtimes": {"numpy", "nncf", "openvino", "platformdirs", "rich", "tensorflow"}
    | {"utils.collection.bundles"},
    "search": {"numpy"} | SIBLINGS - {"utils.app.query", "utils.app.widgets"},
    "timing": set(),
    "widgets": {"numpy", "ipywidgets"} | SIBLINGS,
}
EVERYONE = sys.stdlib_module_names - {"sqlite3"} | {"utils.errors"}
MAX_LINES, MAX_ARGUMENTS = 40, 4

every_module = pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)


def parse(module: Path) -> ast.Module:
    return ast.parse(module.read_text(encoding="utf-8"))


def imported(tree: ast.Module) -> set[str]:
    """Packages that a module imports; modules, where the package is ours."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = "utils" if node.level else node.module
            if package == "utils":  # from utils import images
                names |= {f"utils.{alias.name}" for alias in node.names}
            else:
                names.add(package)
    return {
        name if name.split(".")[0] == "utils" else name.split(".")[0] for name in names
    }


def functions(tree: ast.Module) -> Iterator[tuple[ast.FunctionDef, bool]]:
    """Every function and method, and whether the public may call it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef):
            inside_private = getattr(node, "name", "a")[0] == "_"
            for child in node.body:
                if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield child, child.name[0] != "_" and not inside_private


def code_lines(function: ast.FunctionDef) -> int:
    """Lines of a function's body, without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return function.end_lineno - body[0].lineno + 1 if body else 0


@every_module
def test_each_dependency_has_one_owner(module):
    assert module.stem in MAY_IMPORT, f"enter {module.stem} in MAY_IMPORT"
    foreign = imported(parse(module)) - EVERYONE - MAY_IMPORT[module.stem]
    assert not foreign, f"utils/{module.name} must not import {foreign}"


def test_the_package_itself_imports_nothing():
    assert imported(parse(ROOT / "utils" / "__init__.py")) == set()


def test_metrics_load_neither_tensorflow_nor_anything_else_of_ours():
    program = "import sys, utils.metrics; print(*sys.modules)"
    python = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    heavy = {"tensorflow", "keras", "faiss", "matplotlib", "PIL"}
    ours = {name for name in python.stdout.split() if name.startswith("utils.")}
    assert heavy.isdisjoint(python.stdout.split())
    assert ours == {"utils.metrics"}


@every_module
def test_every_public_name_is_documented(module):
    tree = parse(module)
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    public = [node for node in classes if node.name[0] != "_"]
    public += [node for node, is_public in functions(tree) if is_public]
    assert ast.get_docstring(tree), f"{module.name} needs a docstring"
    for node in public:
        docstring = ast.get_docstring(node)
        assert docstring, f"{node.name} (line {node.lineno}) needs a docstring"
        first = docstring.split("\n")[0]
        assert not first.startswith("This "), f"{node.name}: answer, don't introduce"


@every_module
def test_public_functions_have_full_type_hints(module):
    for function, is_public in functions(parse(module)):
        if not is_public and function.name != "__init__":
            continue
        a = function.args
        arguments = [*a.posonlyargs, *a.args, *a.kwonlyargs, a.vararg, a.kwarg]
        for argument in filter(None, arguments):
            if argument.arg not in ("self", "cls"):
                assert argument.annotation, f"{function.name}({argument.arg}: ?)"
        assert function.returns, f"{function.name}() -> ?"


@every_module
def test_functions_are_short_and_take_few_arguments(module):
    for function, _ in functions(parse(module)):
        lines = code_lines(function)
        assert lines <= MAX_LINES, f"{function.name} has {lines} lines"
        names = [a.arg for a in function.args.posonlyargs + function.args.args]
        positional = [name for name in names if name not in ("self", "cls")]
        assert len(positional) <= MAX_ARGUMENTS, f"{function.name}: {positional}"


@every_module
def test_nothing_is_validated_by_assert(module):
    """An `assert` vanishes under `python -O`."""
    lines = [n.lineno for n in ast.walk(parse(module)) if isinstance(n, ast.Assert)]
    assert lines == [], f"raise an error instead, {module.name} lines {lines}"


@every_module
def test_nothing_is_pickled(module):
    """Whoever hands you a pickle runs a program of theirs on your machine."""
    tree = parse(module)
    assert imported(tree).isdisjoint({"pickle", "dill", "joblib", "shelve", "marshal"})
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            assert getattr(node.value, "value", None) is False, node.value.lineno
