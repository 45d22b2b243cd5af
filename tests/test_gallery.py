"""The bundled gallery, and tables that look like its own."""

import csv
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from utils import gallery
from utils.gallery import IMAGES, load_gallery, read_metadata

HEADER = "file,label,instance,view,split,yaw,elevation,caption\n"


def number_them(paths, *, start=0):
    """Stand in for `embed_files`: the vector of picture i is (start + i, 1)."""
    numbers = np.arange(start, start + len(paths), dtype=np.float32)
    vectors = np.stack([numbers, np.ones_like(numbers)], axis=1)
    positions = list(range(len(paths)))
    return SimpleNamespace(vectors=vectors, positions=positions, refused=[])


# --- The splits ------------------------------------------------------------------


def test_every_picture_of_the_table_is_in_the_split_that_it_names():
    with open(IMAGES / "metadata.csv", newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    names = {"gallery": "gallery", "held_out": "query", "unseen": "unseen"}
    for field, split in load_gallery()._asdict().items():
        expected = [row for row in table if row["split"] == names[field]]
        assert split.paths == [IMAGES / row["file"] for row in expected]
        assert split.labels.tolist() == [row["label"] for row in expected]
        assert [row["caption"] for row in split.rows] == [
            row["caption"] for row in expected
        ]
        assert split.vectors is None
    assert sum(len(split.paths) for split in load_gallery()) == len(table)


def test_the_pictures_are_there_and_the_queries_are_no_gallery_pictures():
    searched, held_out, unseen = load_gallery()
    every = [*searched.paths, *held_out.paths, *unseen.paths]
    assert all(path.is_file() for path in every)
    assert max(Counter(every).values()) == 1
    assert set(held_out.things) <= set(searched.things)
    assert set(unseen.things).isdisjoint(searched.things)
    assert set(unseen.labels) <= set(searched.labels)
    assert searched.things[0] == f"{searched.labels[0]} {searched.rows[0]['instance']}"


def test_each_split_gets_the_vectors_of_its_own_pictures():
    calls = []

    def embed(paths, **options):
        calls.append(options)
        return number_them(paths, **options)

    found = load_gallery(embed, start=5)
    assert calls == [{"start": 5}], "embedded once, with the options"
    order = [IMAGES / row["file"] for row in read_metadata()]
    for split in found:
        assert split.vectors.shape == (len(split.paths), 2)
        rows = (split.vectors[:, 0] - 5).astype(int)
        assert [order[row] for row in rows] == split.paths


def test_a_picture_that_is_refused_is_named_with_the_way_to_get_it_back():
    def refuse(paths):
        return SimpleNamespace(vectors=None, refused=[(paths[0], "cut short")])

    with pytest.raises(ValueError, match=r"0\.jpg: .*cut short.*git checkout"):
        load_gallery(refuse)


# --- The table -------------------------------------------------------------------


def test_metadata_numbers_become_numbers(tmp_path):
    path = tmp_path / "metadata.csv"
    line = 'mug/mug_0_1.jpg,mug,0,1,gallery,-30.5,20,"a red, glossy mug"\n'
    path.write_text(HEADER + line, encoding="utf-8")
    (row,) = read_metadata(path)
    assert (row["instance"], row["view"]) == (0, 1)
    assert (row["yaw"], row["elevation"]) == (-30.5, 20.0)
    assert isinstance(row["elevation"], float)
    assert row["caption"] == "a red, glossy mug"


def test_a_broken_table_is_named_with_its_line(tmp_path):
    path = tmp_path / "metadata.csv"
    path.write_text(HEADER + "a.jpg,mug,one,1,gallery,0,0,x\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"metadata\.csv, line 2: .*'one'"):
        read_metadata(path)
    path.write_text(HEADER + "a.jpg,mug,1\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"metadata\.csv, line 2"):
        read_metadata(path)
    path.write_text("file,label\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"expected the columns \['elevation'"):
        read_metadata(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"metadata\.csv: expected CSV in UTF-8"):
        read_metadata(path)


def test_a_table_that_is_missing_is_missed(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.csv"):
        read_metadata(tmp_path / "nowhere.csv")


def test_a_table_at_home_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "mine.csv").write_text(HEADER, encoding="utf-8")
    assert read_metadata("~/mine.csv") == read_metadata(Path("~/mine.csv")) == []


def test_the_places_are_those_of_the_repository():
    root = Path(__file__).parents[1]
    assert (gallery.ROOT, gallery.IMAGES) == (root, root / "images")
    assert gallery.OUTPUT == root / "output"
