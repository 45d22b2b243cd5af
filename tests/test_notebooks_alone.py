"""Each lesson runs alone in a fresh clone: nothing of another notebook is needed."""

import os
import shutil
from pathlib import Path

import pytest

from tools.notebooks import FOLDER, find_lessons, run

ROOT = Path(__file__).parents[1]


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A repository of links, with an output folder of its own and no cache."""
    for name in ("utils", "images", "models"):
        os.symlink(ROOT / name, tmp_path / name)
    (tmp_path / "notebooks").mkdir()
    monkeypatch.setenv("LOOKALIKE_CACHE", str(tmp_path / "output" / "cache.sqlite"))
    return tmp_path


@pytest.mark.skipif(os.name == "nt", reason="links need a right on Windows")
# 01 embeds nothing and 02 makes what the others need: both run alone in the suite.
@pytest.mark.parametrize("lesson", find_lessons(FOLDER)[2:], ids=lambda path: path.stem)
def test_a_lesson_runs_alone_in_a_fresh_clone(lesson, clone):
    copy = clone / "notebooks" / lesson.name
    shutil.copy(lesson, copy)
    run(copy)
