"""Lesson 05 takes any folder: only its cell `folder = ...` is replaced."""

import os
import re
import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError

from tools.notebooks import FOLDER, run

ROOT = Path(__file__).parents[1]
LESSON = FOLDER / "05_search_your_own_photos.ipynb"

pytestmark = pytest.mark.skipif(os.name == "nt", reason="links need a right on Windows")


def search(clone, folder):
    """Run the lesson on a folder, pasted in quotes; return what it printed."""
    notebook = nbformat.read(LESSON, as_version=4)
    (cell,) = [c for c in notebook.cells if c.source.startswith("folder = ")]
    pasted = f' "{folder}" '
    cell.source = "\n".join([f"folder = {pasted!r}", *cell.source.splitlines()[1:]])
    copy = clone / "notebooks" / LESSON.name
    nbformat.write(notebook, copy)
    run(copy)
    cells = nbformat.read(copy, 4).cells
    outputs = [o for c in cells for o in c.get("outputs", [])]
    assert not any(o.get("name") == "stderr" for o in outputs)
    return "".join(output.get("text", "") for output in outputs)


def page_of(clone):
    return (clone / "output" / "similar photos.html").read_text(encoding="utf-8")


def copy_pictures(target, count, *, label=""):
    target = target / label
    target.mkdir(parents=True)
    for number, path in enumerate(sorted((ROOT / "images" / "mug").iterdir())[:count]):
        shutil.copy(path, target / f"a photo of mine, <{number}>.jpg")


@pytest.mark.parametrize("count", [1, 3])
def test_a_few_loose_pictures_are_enough_and_never_called_right(clone, count):
    copy_pictures(clone / "my photos", count)
    printed = search(clone, clone / "my photos")
    assert f"ImageSearch: {count} pictures" in printed
    assert "EfficientNet-Lite0: 0 of 0 nearest are right" in printed
    assert "known labels only: 0 of 0 right" in printed
    assert not re.search("[✓✗]", page_of(clone))
    assert page_of(clone).count("data:image/") == count**2


def test_labels_come_from_the_innermost_folder_and_k_may_exceed_the_rest(clone):
    copy_pictures(clone / "my photos", 2, label="Home/Mugs")
    (clone / "my photos" / "broken.jpg").write_bytes(b"no picture")
    printed = search(clone, clone / "my photos")
    assert "2 pictures, 1 files refused" in printed
    assert "'Mugs': 2" in printed and "'Home': 2" in printed
    assert "EfficientNet-Lite0: 2 of 2 nearest are right" in printed
    page = page_of(clone)
    assert page.count("✓") == 2 and str(clone) not in page
    assert "&lt;0&gt;" in page and "<0>" not in page


@pytest.mark.parametrize(
    ("folder", "why"),
    [
        ("no such folder", "no such folder: .*no such folder. .*run this cell again"),
        ("empty", "Received 0 that can't"),
        ("refused", "Received 1 that can't.* empty.jpg: the file is empty"),
    ],
)
def test_a_folder_that_will_not_do_stops_the_lesson_with_one_sentence(
    clone, folder, why
):
    (clone / "empty").mkdir()
    (clone / "refused").mkdir()
    (clone / "refused" / "empty.jpg").touch()
    with pytest.raises(CellExecutionError, match=why):
        search(clone, clone / folder)


def test_real_photos_are_searched(photos, clone):
    printed = search(clone, photos)
    found, right, known = map(
        int,
        re.search(
            r"ImageSearch: (\d+) pictures.*EfficientNet-Lite0: (\d+) of (\d+)",
            printed,
            flags=re.DOTALL,
        ).groups(),
    )
    assert 0 < right <= known <= found
    assert str(photos) not in page_of(clone)
