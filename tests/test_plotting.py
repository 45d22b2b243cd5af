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


def test_parts_of_a_bar_stand_end_to_end_with_their_sum():
    plotting.show_stacks({"x": {"a": 1, "b": 2}, "y": {"a": 3, "b": 0.5}}, xlabel="ms")
    ax = plt.gca()
    spans = [(bar.get_x(), bar.get_width()) for bar in ax.patches]
    assert spans == [(0, 1), (0, 3), (1, 2), (3, 0.5)]
    assert [text.get_text() for text in ax.texts] == ["3.0", "3.5"]
    assert len({bar.get_hatch() for bar in ax.patches}) == 2  # not by colour alone
    assert ax.yaxis_inverted()


def test_intervals_reach_from_low_to_high():
    plotting.show_intervals({"a": (0.5, 0.4, 0.7), "b": (1, 1, 1)}, ylabel="P")
    ax = plt.gca()
    assert [bar.get_height() for bar in ax.patches] == [0.5, 1]
    ends = [line[:, 1].tolist() for line in ax.collections[0].get_segments()]
    np.testing.assert_allclose(ends, [[0.4, 0.7], [1, 1]])
    names = [text.get_text() for text in ax.get_xticklabels()]
    assert names == ["a\n0.50 [0.40, 0.70]", "b\n1.00 [1.00, 1.00]"]


def test_confusion_has_a_row_and_a_column_a_label():
    shares = np.array([[0.75, 0.25], [0.0, 1.0]])
    plotting.show_confusion(shares, ["a_$", "b"], xlabel="found", ylabel="asked")
    ax = plt.gcf().axes[0]
    assert ax.images[0].get_array().tolist() == shares.tolist()
    plt.gcf().canvas.draw()
    assert [text.get_text() for text in ax.get_yticklabels()] == ["a_$", "b"]
    with pytest.raises(ValueError, match=r"3 labels. Received: shape \(2, 2\)"):
        plotting.show_confusion(shares, ["a", "b", "c"], xlabel="", ylabel="")


def test_a_map_covers_its_picture_and_shares_its_scale():
    small, fine = np.array([[0.1, 0.2]]), np.full((5, 5), 0.4)
    plotting.show_maps([PICTURE] * 2, [small, fine], ["a", "b"])
    left, right = plt.gcf().axes[:2]
    assert [text.get_text() for text in left.texts] == ["0.10", "0.20"]
    assert not right.texts  # too many to read
    for ax in (left, right):
        picture, layer = ax.images
        assert layer.get_extent() == picture.get_extent()
        assert layer.get_clim() == (0.0, 0.4)


def test_maps_pictures_and_titles_must_match():
    with pytest.raises(ValueError, match="2 pictures, 1 maps and 2 titles"):
        plotting.show_maps([PICTURE] * 2, [np.ones((2, 2))], ["a", "b"])


def test_a_thumbnail_lies_on_its_point():
    points = np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 1.0]])
    plotting.show_scatter(points, {1: PICTURE}, xlabel="x", ylabel="y")
    ax = plt.gca()
    assert ax.collections[0].get_offsets().tolist() == points.tolist()
    assert [tuple(box.xy) for box in ax.artists] == [(1.0, 2.0)]
    with pytest.raises(ValueError, match=r"shape \(n, 2\). Received: \(3,\)"):
        plotting.show_scatter(np.ones(3), {}, xlabel="", ylabel="")


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


def test_a_tradeoff_carries_both_intervals():
    measured = [(0.5, 0.4, 0.7), (0.9, 0.9, 1.0)], [(2, 1, 4, 7), (8, 8, 8, 7)]
    plotting.show_tradeoff({"IVF": measured}, xlabel="recall", ylabel="ms")
    container = plt.gca().containers[0]
    line, _, (across, upwards) = container.lines
    assert line.get_xdata().tolist() == [0.5, 0.9]
    assert line.get_ydata().tolist() == [2, 8]
    assert np.allclose(
        across.get_segments(), [[(0.4, 2), (0.7, 2)], [(0.9, 8), (1, 8)]]
    )
    assert np.allclose(
        upwards.get_segments(), [[(0.5, 1), (0.5, 4)], [(0.9, 8), (0.9, 8)]]
    )
    assert plt.gca().get_yscale() == "log"


def draw_cells(probed):
    """Two cells, left and right of 0; the query is left, one neighbour right."""
    plotting.show_cells(
        np.array([[-2.0, 0], [-1, 0], [0.5, 0], [2, 0]]),
        np.array([[-1.0, 0], [1, 0]]),
        np.array([-0.4, 0]),
        probed=probed,
        neighbours=[1, 2],
    )
    ax = plt.gcf().axes[0]
    return ax, {line.get_label(): line.get_xdata().tolist() for line in ax.lines}


def test_a_neighbour_in_a_cell_that_is_not_probed_is_marked_as_missed():
    _, drawn = draw_cells(probed=[0])
    assert drawn["found (1)"] == [-1] and drawn["missed (1)"] == [0.5]
    assert drawn["query"] == [-0.4] and drawn["centroids"] == [-1, 1]
    assert len(drawn["4 vectors"]) == 4


def test_nothing_is_missed_where_all_cells_are_probed():
    _, drawn = draw_cells(probed=[0, 1])
    assert drawn["found (2)"] == [-1, 0.5] and drawn["missed (0)"] == []


def test_probed_cells_are_tinted_and_others_white():
    ax, _ = draw_cells(probed=[0])
    pixels = ax.images[0].get_array()
    middle = pixels[len(pixels) // 2]
    assert tuple(middle[0]) == (0.80, 0.90, 0.97) and tuple(middle[-1]) == (1, 1, 1)
    changes = np.flatnonzero((middle == 0.6).all(axis=-1))
    assert abs(changes[0] - len(middle) / 2) < 2, "the border lies at 0"


def test_a_walk_is_drawn_layer_by_layer_along_its_path():
    points = np.array([[0.0, 0], [1, 0], [2, 0], [3, 1]])
    layers = {"top": ([(0, 2)], [0, 2]), "bottom": ([(0, 1), (1, 2), (2, 3)], [2, 3])}
    plotting.show_walk(points, np.array([3.0, 2]), layers)
    assert titles() == ["top", "bottom"]
    drawn = [{line.get_label(): line for line in ax.lines} for ax in plt.gcf().axes]
    assert [lines["walk"].get_xdata().tolist() for lines in drawn] == [[0, 2], [2, 3]]
    assert [lines["start"].get_xdata().tolist() for lines in drawn] == [[0], [2]]
    links = plt.gcf().axes[1].lines[0].get_xdata()
    assert np.array_equal(links, [0, 1, np.nan, 1, 2, np.nan, 2, 3, np.nan], True)


def test_a_product_of_codebooks_is_drawn_as_a_grid():
    points = np.array([[0.0, 0.0], [1.0, 2.0]])
    plotting.show_codebooks({"a": (points, np.array([[0, 1, 3], [2, 4, 5]]))})
    drawn = plt.gca().lines[-1].get_xydata().tolist()
    assert len(drawn) == 9 and [3, 2] in drawn and [0, 5] in drawn
    assert titles() == ["a"]
