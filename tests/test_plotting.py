"""Figures are checked by what they draw, not by how they look."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgba

from utils import plotting

PICTURE = np.zeros((8, 8, 3), dtype="uint8")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def titles():
    return [ax.get_title() for ax in plt.gcf().axes]


def frames():
    return [ax.patches[0] for ax in plt.gcf().axes if ax.patches]


def test_every_picture_has_its_title():
    plotting.show_pictures([PICTURE] * 3, ["a", "b", "c"], columns=2)
    assert titles() == ["a", "b", "c", ""]
    assert [len(ax.images) for ax in plt.gcf().axes] == [1, 1, 1, 0]


def test_pictures_and_titles_must_match():
    with pytest.raises(ValueError, match="2 pictures and 1 titles"):
        plotting.show_pictures([PICTURE] * 2, ["a"])
    with pytest.raises(ValueError, match="0 pictures"):
        plotting.show_pictures([])


def test_wrong_results_differ_by_colour_frame_and_sign():
    plotting.show_results(
        [PICTURE],
        [[PICTURE, PICTURE]],
        titles=[["mug 0.90", "hat 0.80"]],
        right=[[True, False]],
    )
    assert titles() == ["query", "✓ mug 0.90", "✗ hat 0.80"]
    query, right, wrong = frames()
    assert query.get_edgecolor() == to_rgba(plotting.BLUE)
    assert right.get_linestyle() != wrong.get_linestyle()
    assert right.get_edgecolor() != wrong.get_edgecolor()


def test_without_a_label_nothing_is_called_wrong():
    plotting.show_results([PICTURE], [[PICTURE]], titles=[["mug 0.90"]])
    assert titles() == ["query", "mug 0.90"]
    assert len(frames()) == 1


def test_rows_may_have_different_lengths():
    plotting.show_results([PICTURE, PICTURE], [[PICTURE], [PICTURE] * 3])
    assert len(plt.gcf().axes) == 8


def test_queries_and_results_must_match():
    with pytest.raises(ValueError, match="2 queries and 1 lists"):
        plotting.show_results([PICTURE] * 2, [[PICTURE]])


def test_bars_have_the_heights_they_were_given():
    plotting.show_bars({"x": {"a": 0.5, "b": 0.25}, "y": {"a": 1, "b": 0}}, ylabel="P")
    assert [bar.get_height() for bar in plt.gca().patches] == [0.5, 1, 0.25, 0]


def test_a_vector_is_drawn_row_after_row():
    plotting.show_vector(np.arange(64.0), rows=8)
    image = plt.gcf().axes[0].images[0].get_array()
    assert image.shape == (8, 8) and image[1, 0] == 8


def test_histograms_state_how_many_values_they_hold():
    plotting.show_histograms({"same": np.arange(10), "other": np.arange(5)}, xlabel="c")
    labels = [text.get_text() for text in plt.gca().get_legend().get_texts()]
    assert labels == ["same (n = 10)", "other (n = 5)"]


def test_curves_pass_through_the_measured_points():
    plotting.show_curves({"a": ([1, 2], [3, 4])}, xlabel="n", ylabel="ms", log=True)
    line = plt.gca().lines[0]
    assert line.get_xydata().tolist() == [[1, 3], [2, 4]]
    assert plt.gca().get_xscale() == "log"


def test_each_direction_is_named():
    plotting.show_directions({"a": (1, 0), "b": (0, 1)})
    assert {text.get_text() for text in plt.gca().texts} >= {"a", "b"}


def test_folder_names_are_drawn_whatever_they_hold():
    names = ["$_$", "a\udcffb"]
    plotting.show_pictures([PICTURE] * 2, names)
    plt.gcf().canvas.draw()
    assert titles() == ["$_$", "a?b"]
