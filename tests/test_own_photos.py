"""Notebook 10 measures any folder of class folders: only its path cell is replaced."""

import os
import shutil
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell
from sklearn.metrics import average_precision_score

from tools.notebooks import FOLDER, run

ROOT = Path(__file__).parents[1]
LESSON = FOLDER / "10_measure_search_quality.ipynb"
SAVE = """\
np.savez(
    "../measured.npz", ap=ap, queries=queries, embeddings=embeddings,
    query_labels=query_labels, labels=labels,
    query_groups=groups[asked], groups=groups[candidates],
)"""

pytestmark = pytest.mark.skipif(os.name == "nt", reason="links need a right on Windows")


def copy_pictures(source: Path, target: Path, classes: int, count: int) -> Path:
    """Copy the first pictures of the first class folders."""
    for label in sorted(path for path in source.iterdir() if path.is_dir())[:classes]:
        (target / label.name).mkdir(parents=True)
        for path in sorted(label.iterdir())[:count]:
            shutil.copy(path, target / label.name)
    return target


def measure(clone: Path, folder: str, table: str | None, group: list[str]):
    """Run the notebook on a folder; return its variables and all that it printed."""
    notebook = nbformat.read(LESSON, as_version=4)
    (cell,) = [c for c in notebook.cells if c.source.startswith("folder = ")]
    cell.source = f"folder = {folder!r}\ntable = {table!r}\ngroup = {group}"
    notebook.cells.append(new_code_cell(SAVE))
    copy = clone / "notebooks" / LESSON.name
    nbformat.write(notebook, copy)
    run(copy)
    outputs = [o for c in nbformat.read(copy, 4).cells for o in c.get("outputs", [])]
    printed = "".join(output.get("text", "") for output in outputs)
    return np.load(clone / "measured.npz"), printed


def average_precisions_of_other_groups(measured) -> list[float]:
    """What scikit-learn says, with the query's own group taken out beforehand."""
    values = []
    for query, label, own in zip(
        *(measured[name] for name in ("queries", "query_labels", "query_groups")),
        strict=True,
    ):
        others = measured["groups"] != own
        relevant = measured["labels"][others] == label
        similarities = measured["embeddings"][others] @ query
        values.append(average_precision_score(relevant, similarities))
    return values


def test_any_folder_of_class_folders_can_be_measured(clone, monkeypatch):
    folder = copy_pictures(ROOT / "images", clone / "my photos", classes=4, count=10)
    (folder / "apple" / "broken.jpg").write_bytes(b"no picture")
    for path in sorted((folder / "apple").glob("*_0_*.jpg"))[:4]:
        shutil.copy(path, folder / f"loose_{path.name}")  # the same bytes, no label
    monkeypatch.setenv("HOME", str(clone))
    measured, printed = measure(clone, "~/my photos", None, ["nothing"])
    assert "44 pictures, 1 files refused" in printed
    assert "40 with a label, 44 groups" in printed
    assert "The table has no grounds" in printed
    assert len(measured["queries"]) + len(measured["embeddings"]) == 40
    assert set(measured["labels"]) == {path.name for path in folder.glob("[!l]*")}
    expected = average_precisions_of_other_groups(measured)
    np.testing.assert_allclose(measured["ap"], expected, atol=1e-3)


def test_real_photos_are_measured_against_other_senders_only(photos, clone):
    folder = copy_pictures(photos, clone / "photos", classes=8, count=30)
    table = photos / "images.csv"
    listed = str(table) if table.exists() else None
    measured, _ = measure(clone, str(folder), listed, ["sender_id"])
    both = np.concatenate([measured["query_groups"], measured["groups"]])
    if listed:
        assert len(set(both)) < len(both), "some senders sent several"
    expected = average_precisions_of_other_groups(measured)
    np.testing.assert_allclose(measured["ap"], expected, atol=1e-3)
    n_labels = len(set(measured["labels"]))
    assert measured["ap"].mean() > 1 / n_labels
