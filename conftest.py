"""For unit tests and notebooks alike: the bundled weights, whatever the shell says."""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

os.environ["LOOKALIKE_WEIGHTS"] = "bundled"
os.environ["TQDM_DISABLE"] = "1"  # a bar would be compared with what is stored

# Doctests are collected by importing. These are not modules to import: a program that
# a notebook's first cell runs, and makers' programs whose libraries are seldom here.
collect_ignore = ["utils/start.py"]
collect_ignore_glob = ["tests/*conftest.py"]  # of one name: no two can be imported so
if find_spec("torch") is None:
    collect_ignore += ["tools/train_resnet50.py", "tools/distil_resnet50.py"]
if find_spec("bpy") is None:
    plain = {"catalogue", "colours", "plan"}
    gallery = Path(__file__).parent / "tools" / "render_gallery"
    collect_ignore += [str(p) for p in gallery.glob("*.py") if p.stem not in plain]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `pytest -n 2`, say which tests one process runs, one after the other.

    A lesson's cells build on each other, and its solutions use its folders.  Lessons
    that run in clones need nothing of each other; other tests may, within a file.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            path = nodeid.partition("::")[0]
            if path.endswith(".ipynb"):
                return Path(path).name[:2]
            return nodeid if path.endswith("test_notebooks_alone.py") else path

    return Scheduling(config, log)
