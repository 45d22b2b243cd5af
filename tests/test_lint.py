"""Ruff and mypy find nothing to say, and no example in a docstring goes untried."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(*arguments):
    """Run a module of this Python's from the repository's root."""
    return subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True
    )


@pytest.mark.parametrize(
    "command", ["ruff check .", "ruff format --check .", "mypy"], ids=str
)
def test_the_checker_has_no_complaints(command):
    done = run(*command.split())
    assert done.returncode == 0, done.stdout + done.stderr


def names_with_examples(path):
    """Names of a file whose docstrings hold examples, as pytest calls them."""
    module = path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
    found = []

    def look(node, name):
        if ">>> " in (ast.get_docstring(node) or ""):
            found.append(f"{path.relative_to(ROOT).as_posix()}::{name}")
        for child in node.body:
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                look(child, f"{name}.{child.name}")

    look(ast.parse(path.read_text(encoding="utf-8")), module)
    return found


def test_every_example_in_utils_and_tools_is_collected():
    written = {
        name
        for folder in ("utils", "tools")
        for path in (ROOT / folder).rglob("*.py")
        for name in names_with_examples(path)
    }
    done = run("pytest", "--collect-only", "-q", "utils", "tools")
    assert {"utils.timing", "utils.indexes", "tools.doctor"} <= {
        name.split("::")[1].rsplit(".", 1)[0] for name in written
    }
    assert written == {line for line in done.stdout.split("\n") if "::" in line}
