"""Hits, by hand: five pictures, of which one is gone and one is excluded."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from painted import paint

from utils.collection.catalogue import Item
from utils.collection.hits import Hit, make_hits, show_hits

ITEMS = {id: Item(Path(f"/p/{id}.png"), "abcd"[id], "") for id in (0, 1, 3)}
IDS = np.array([3, 2, 1, 0, -1])
SCORES = np.array([0.9, 0.8, 0.5, 0.25, -1], "float32")


def test_hits_are_ranked_without_the_excluded_and_the_gone():
    hits = make_hits(SCORES, IDS, ITEMS, exclude=[1])
    assert hits == [
        Hit(1, 3, Path("/p/3.png"), "d", pytest.approx(0.9)),
        Hit(2, 0, Path("/p/0.png"), "a", 0.25),
    ]
    assert type(hits[0].id) is int and type(hits[0].score) is float


@pytest.mark.parametrize(("k", "found"), [(0, []), (2, [3, 1]), (9, [3, 1, 0])])
def test_at_most_k_are_returned_after_the_others_have_gone(k, found):
    assert [hit.id for hit in make_hits(SCORES, IDS, ITEMS, k=k)] == found
    twice = iter([1, 1])
    assert [hit.id for hit in make_hits(SCORES, IDS, ITEMS, exclude=twice, k=1)] == [3]


def test_wrong_labels_are_marked_and_missing_pictures_named(tmp_path):
    query, there = paint(tmp_path / "q.png", 1), paint(tmp_path / "a.png", 2)
    hits = [Hit(1, 0, there, "cat", 0.9), Hit(2, 1, tmp_path / "gone.png", "dog", 0.5)]
    with pytest.warns(RuntimeWarning, match=r"1 pictures can't be shown.*gone\.png"):
        show_hits([query], [hits], labels=["cat"], size=8)
    titles = [ax.get_title() for ax in plt.gcf().axes]
    plt.close("all")
    assert "query: cat" in titles[0]
    assert "cat 0.90" in titles[1]
    assert "dog 0.50" in titles[2] and "can't be shown" in titles[2]


def test_a_picture_without_a_label_is_neither_right_nor_wrong(tmp_path):
    query, there = paint(tmp_path / "q.png", 1), paint(tmp_path / "a.png", 2)
    hits = [Hit(1, 0, there, "cat", 0.9), Hit(2, 1, there, "", 0.5)]
    show_hits([query, query], [hits, hits], labels=["", "cat"], size=8)
    titles = [ax.get_title() for ax in plt.gcf().axes]
    plt.close("all")
    assert titles[:3] == ["query", "cat 0.90", "0.50"]
    assert titles[3:] == ["query: cat", "✓ cat 0.90", "0.50"]
