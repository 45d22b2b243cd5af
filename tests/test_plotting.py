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
    assert plt.gcf().get_size_inches().tolist() == pytest.approx([2.8, 3.3])


def test_pictures_stand_left_to_right_and_rows_have_their_height():
    plotting.show_pictures([PICTURE] * 3, columns=9, height=2.0)
    assert plt.gcf().get_size_inches().tolist() == [6, 2], "no place stays empty"
    assert not any(ax.axison for ax in plt.gcf().axes)


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
    assert right.get_edgecolor() == to_rgba(plotting.GREEN)
    assert wrong.get_edgecolor() == to_rgba(plotting.RED)
    for frame in (query, right, wrong):  # around all 8 × 8 pixels
        assert frame.get_bbox().extents.tolist() == [-0.5, -0.5, 7.5, 7.5]


def test_what_is_unknown_has_neither_frame_nor_sign():
    plotting.show_results([PICTURE], [[PICTURE]], titles=[["0.9"]], right=[[None]])
    assert titles() == ["query", "0.9"]
    assert len(frames()) == 1, "the query's"


def test_every_query_has_its_title_and_its_results_beside_it():
    first, second = np.full((4, 6, 3), 1), np.full((4, 6, 3), 2)
    plotting.show_results(
        [first, second],
        [[second], [first, first]],
        query_titles=["one", "two"],
        titles=[["a"], ["b", "c"]],
    )
    assert titles() == ["one", "a", "", "two", "b", "c"]
    shown = [ax.images[0].get_array().max() for ax in plt.gcf().axes if ax.images]
    assert shown == [1, 2, 2, 1, 1]
    assert plt.gcf().get_size_inches().tolist() == pytest.approx([4.35, 3.5])
    assert frames()[0].get_width() == 6 and frames()[0].get_height() == 4


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


def middles(bars):
    return [bar.get_x() + bar.get_width() / 2 for bar in bars]


def legend():
    return [text.get_text() for text in plt.gca().get_legend().get_texts()]


def test_bars_have_the_heights_they_were_given():
    plotting.show_bars({"x": {"a": 0.5, "b": 0.25}, "y": {"a": 1, "b": 0}}, ylabel="P")
    assert [bar.get_height() for bar in plt.gca().patches] == [0.5, 1, 0.25, 0]
    numbers = [text.get_text() for text in plt.gca().texts]
    assert numbers == ["0.50", "1.00", "0.25", "0.00"]


def test_bars_stand_in_the_order_of_their_names_about_the_group_s_tick():
    bars = {"a": 1, "b": 2, "c": 3}
    plotting.show_bars({"x": bars, "y": bars}, ylabel="P", title="t")
    ax = plt.gca()
    a, b, c = (middles(ax.patches[i : i + 2]) for i in (0, 2, 4))
    assert ax.get_xticks().tolist() == [0, 1] == pytest.approx(b)
    assert a[0] < b[0] < c[0] < a[1], "the groups don't reach into each other"
    assert b[0] - a[0] == pytest.approx(c[0] - b[0])
    assert all(0 < bar.get_width() <= b[0] - a[0] for bar in ax.patches)
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["x", "y"]
    assert legend() == ["a", "b", "c"]
    assert len({bar.get_facecolor() for bar in ax.patches}) == 3


def test_one_bar_a_group_needs_no_legend():
    plotting.show_bars({"x": {"a": 0.5}, "y": {"a": 1}}, ylabel="P")
    assert middles(plt.gca().patches) == pytest.approx([0, 1])
    assert plt.gca().get_legend() is None


def test_parts_of_a_bar_stand_end_to_end_with_their_sum():
    plotting.show_stacks({"x": {"a": 1, "b": 2}, "y": {"a": 3, "b": 0.5}}, xlabel="ms")
    ax = plt.gca()
    spans = [(bar.get_x(), bar.get_width()) for bar in ax.patches]
    assert spans == [(0, 1), (0, 3), (1, 2), (3, 0.5)]
    rows = [bar.get_y() + bar.get_height() / 2 for bar in ax.patches]
    assert rows == pytest.approx([0, 1, 0, 1])
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["x", "y"]
    assert ax.get_yticks().tolist() == [0, 1] and legend() == ["a", "b"]
    assert [text.get_text() for text in ax.texts] == ["3.0", "3.5"]
    assert len({bar.get_hatch() for bar in ax.patches}) == 2  # not by colour alone
    assert ax.yaxis_inverted()


def test_intervals_reach_from_low_to_high():
    rows = {"a_$": (0.5, -0.4, 0.7), "b": (1, 1, 1)}
    plotting.show_intervals(rows, xlabel="P", digits=1)
    ax = plt.gca()
    ends = [line[:, 0].tolist() for line in ax.collections[0].get_segments()]
    assert ends == [[-0.4, 0.7], [1, 1]]
    assert ax.lines[0].get_xydata().tolist() == [[0.5, 0], [1, 1]]
    assert ax.yaxis_inverted()
    plt.gcf().canvas.draw()
    assert [text.get_text() for text in ax.get_yticklabels()] == ["a_$", "b"]
    numbers = [text.get_text() for text in ax.texts]
    assert numbers == ["0.5 [-0.4, 0.7]", "1.0 [1.0, 1.0]"]
    assert len(ax.lines) == 2, "an interval reaches below 0, so 0 is marked"
    plotting.show_intervals({"b": (1, 1, 1)}, xlabel="P")
    assert len(plt.gca().lines) == 1


def test_confusion_has_a_row_and_a_column_a_label():
    shares = np.array([[0.75, 0.25], [0.0, 1.0]])
    plotting.show_confusion(shares, ["a_$", "b"], xlabel="found", ylabel="asked")
    ax = plt.gcf().axes[0]
    assert ax.images[0].get_array().tolist() == shares.tolist()
    assert ax.images[0].get_clim() == (0, 1), "whatever the largest share is"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("found", "asked")
    plt.gcf().canvas.draw()
    assert [text.get_text() for text in ax.get_yticklabels()] == ["a_$", "b"]
    with pytest.raises(ValueError, match=r"3 labels. Received: shape \(2, 2\)"):
        plotting.show_confusion(shares, ["a", "b", "c"], xlabel="", ylabel="")


def test_a_map_covers_its_picture_and_shares_its_scale():
    small, fine = np.array([[0.1, 0.2]]), np.full((5, 5), 0.4)
    plotting.show_maps([PICTURE] * 2, [small, fine], ["a", "b"], unit="% of it")
    left, right, bar = plt.gcf().axes
    assert bar.get_ylabel() == "% of it"
    for ax in (left, right):
        picture, layer = ax.images
        assert layer.get_extent() == picture.get_extent()
        assert layer.get_clim() == (0.0, 0.4)
    shown = left.images[1]
    assert shown.cmap(0.0)[3] == 0, "where a map is small the picture stays clear"


def test_the_scale_of_maps_goes_below_zero_if_they_do():
    cells = [np.ones((4, 4)), np.array([[-0.5]])]
    plotting.show_maps([PICTURE] * 2, cells, ["a", "b"], unit="")
    assert plt.gcf().axes[0].images[1].get_clim() == (-0.5, 1.0)


def test_maps_pictures_and_titles_must_match():
    with pytest.raises(ValueError, match="2 pictures, 1 maps and 2 titles"):
        plotting.show_maps([PICTURE] * 2, [np.ones((2, 2))], ["a", "b"], unit="")


def test_a_thumbnail_lies_on_its_point():
    points = np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 1.0]])
    plotting.show_scatter(points, {1: PICTURE}, xlabel="x", ylabel="y")
    ax = plt.gca()
    assert ax.collections[0].get_offsets().tolist() == points.tolist()
    assert [tuple(box.xy) for box in ax.artists] == [(1.0, 2.0)]
    with pytest.raises(ValueError, match=r"shape \(n, 2\). Received: \(3,\)"):
        plotting.show_scatter(np.ones(3), {}, xlabel="", ylabel="")


def test_each_label_has_a_colour_and_stands_among_its_points():
    points = np.array([[0.0, 0.0], [0.0, 2.0], [5.0, 5.0]])
    labels = ["mug", "mug", "hat"]
    plotting.show_scatter(points, {}, labels=labels, xlabel="x", ylabel="y")
    ax = plt.gca()
    places = {text.get_text(): text.get_position() for text in ax.texts}
    assert places == {"mug": (0.0, 1.0), "hat": (5.0, 5.0)}
    first, second = (dots.get_facecolor().tolist() for dots in ax.collections)
    assert first != second


def test_histograms_state_how_many_values_they_hold():
    plotting.show_histograms({"same": np.arange(10), "other": np.arange(5)}, xlabel="c")
    assert legend() == ["same (n = 10)", "other (n = 5)"]


def test_histograms_share_edges_that_hold_every_value():
    plotting.show_histograms({"a": [0, 0, 4], "b": [[2, 2]]}, xlabel="c", bins=5)
    heights = [[bar.get_height() for bar in bars] for bars in plt.gca().containers]
    np.testing.assert_allclose(heights, [[2 / 3, 0, 0, 1 / 3], [0, 0, 1, 0]])
    lefts = [[bar.get_x() for bar in bars] for bars in plt.gca().containers]
    np.testing.assert_allclose(lefts, [[0, 1, 2, 3]] * 2)


def test_curves_pass_through_the_measured_points():
    plotting.show_curves({"a": ([1, 2], [3, 4])}, xlabel="n", ylabel="ms", log=True)
    line = plt.gca().lines[0]
    assert line.get_xydata().tolist() == [[1, 3], [2, 4]]
    assert plt.gca().get_xscale() == plt.gca().get_yscale() == "log"


def test_curves_differ_by_marker_and_axes_are_linear_unless_asked():
    curves = {"a": ([1, 2], [3, 4]), "b": ([1, 2], [5, 6])}
    plotting.show_curves(curves, xlabel="n", ylabel="ms")
    assert plt.gca().get_xscale() == plt.gca().get_yscale() == "linear"
    assert len({line.get_marker() for line in plt.gca().lines}) == 2
    assert legend() == ["a", "b"]


def test_each_direction_is_named():
    plotting.show_directions({"a": (1, 0), "b": (0, 1)})
    assert {text.get_text() for text in plt.gca().texts} >= {"a", "b"}


def test_directions_are_arrows_from_the_middle_of_the_unit_circle():
    plotting.show_directions({"a": (1, 0), "b": (0.5, 2)})
    ax = plt.gca()
    (circle,) = ax.patches
    assert (circle.center, circle.radius, circle.get_fill()) == ((0, 0), 1, False)
    notes = [text for text in ax.texts if hasattr(text, "arrow_patch")]
    arrows = [text for text in notes if text.arrow_patch]
    assert [arrow.xy for arrow in arrows] == [(1, 0), (0.5, 2)]
    assert [arrow.get_position() for arrow in arrows] == [(0, 0)] * 2
    named = {text.get_text(): text.xy for text in notes if not text.arrow_patch}
    assert named == {"a": (1, 0), "b": (0.5, 2)}
    low, high = ax.get_xlim()
    assert low < 0 and high > 2 and (low, high) == ax.get_ylim()
    assert ax.get_aspect() == 1


def test_distance_and_angle_to_the_first_direction_are_drawn():
    plotting.show_directions({"a": (1, 0), "b": (0, 1)})
    ax = plt.gca()
    words = [text.get_text().strip() for text in ax.texts]
    assert {"distance 1.41", "90°"} <= set(words)
    line, arc = ax.lines
    assert line.get_xydata().tolist() == [[1, 0], [0, 1]]
    assert np.allclose(np.linalg.norm(arc.get_xydata(), axis=1), 2**0.5 / 2)


def test_short_directions_leave_room_for_the_unit_circle():
    plotting.show_directions({"a": (0.1, 0.2)})
    assert plt.gca().get_xlim()[1] == pytest.approx(1.15)


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
    assert not plt.gca().texts


def test_the_points_of_a_tradeoff_carry_their_names():
    measured = [(0.5, 0.4, 0.7), (0.9, 0.9, 1.0)], [(2, 1, 4), (8, 8, 8)]
    plotting.show_tradeoff({"IVF": (*measured, [1, 4])}, xlabel="", ylabel="")
    named = {text.get_text().strip(): text.xy for text in plt.gca().texts}
    assert named == {"1": (0.5, 2), "4": (0.9, 8)}


def test_a_tradeoff_of_more_curves_than_colours_begins_again():
    point = [(0.5, 0.4, 0.7)], [(2, 1, 4)]
    curves = {f"network {k}": point for k in range(8)}
    plotting.show_tradeoff(curves, xlabel="P@5", ylabel="ms")
    colors = [each.lines[0].get_color() for each in plt.gca().containers]
    assert (colors[6:], len(set(colors))) == (colors[:2], 6)


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


def test_one_view_holds_all_vectors_and_the_other_all_neighbours():
    draw_cells(probed=[0])
    everything, near = plt.gcf().axes
    assert titles() == ["all cells", "around the query"]
    assert everything.get_xlim() == pytest.approx((-2.1, 2.1))  # the middle is 0
    assert everything.get_ylim() == pytest.approx((-2.1, 2.1))
    reach = 2.5 * 0.9  # the farther neighbour is 0.9 away
    assert near.get_xlim() == pytest.approx((-0.4 - reach, -0.4 + reach))
    assert near.get_ylim() == pytest.approx((-reach, reach))
    for ax in (everything, near):
        assert ax.images[0].get_extent() == [*ax.get_xlim(), *ax.get_ylim()]
        assert ax.images[0].origin == "lower"
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("first number", "second number")
    assert plt.gcf().get_size_inches().tolist() == pytest.approx([8.4, 4.2])


def test_the_tint_is_the_right_way_up():
    plotting.show_cells(
        np.array([[0.0, -2], [0, 2]]),
        np.array([[0.0, -1], [0, 1]]),
        np.array([0.0, -1]),
        probed=[0],
        neighbours=[0],
    )
    pixels = plt.gcf().axes[0].images[0].get_array()
    assert tuple(pixels[0, 0]) == (0.80, 0.90, 0.97), "row 0 is at the bottom"
    assert tuple(pixels[-1, 0]) == (1, 1, 1)


def test_a_walk_is_drawn_layer_by_layer_along_its_path():
    points = np.array([[0.0, 0], [1, 0], [2, 0], [3, 1]])
    layers = {"top": ([(0, 2)], [0, 2]), "bottom": ([(0, 1), (1, 2), (2, 3)], [2, 3])}
    plotting.show_walk(points, np.array([3.0, 2]), layers)
    assert titles() == ["top", "bottom"]
    drawn = [{line.get_label(): line for line in ax.lines} for ax in plt.gcf().axes]
    assert [lines["walk"].get_xdata().tolist() for lines in drawn] == [[0, 2], [2, 3]]
    assert [lines["start"].get_xdata().tolist() for lines in drawn] == [[0], [2]]
    assert [lines["query"].get_xdata().tolist() for lines in drawn] == [[3], [3]]
    assert plt.gcf().get_size_inches().tolist() == pytest.approx([6.2, 3.2])
    links = plt.gcf().axes[1].lines[0].get_xdata()
    assert np.array_equal(links, [0, 1, np.nan, 1, 2, np.nan, 2, 3, np.nan], True)


def test_a_product_of_codebooks_is_drawn_as_a_grid():
    points = np.array([[0.0, 0.0], [1.0, 2.0]])
    plotting.show_codebooks({"a": (points, np.array([[0, 1, 3], [2, 4, 5]]))})
    drawn = plt.gca().lines[-1].get_xydata().tolist()
    assert len(drawn) == 9 and [3, 2] in drawn and [0, 5] in drawn
    assert titles() == ["a"] and legend() == ["n = 2", "9 codes"]
    lines = [line.get_xydata().tolist() for line in plt.gca().lines[1:-1]]
    upright = [line[0][0] for line in lines if line[0][0] == line[1][0]]
    level = [line[0][1] for line in lines if line[0][1] == line[1][1]]
    assert (upright, level) == ([0.5, 2], [3, 4.5]), "half way between centroids"


def test_a_title_of_any_length_is_drawn_short():
    plotting.show_pictures([PICTURE], ["x" * 10_000])
    assert titles() == ["x" * (plotting.LONGEST - 1) + "…"]
