import re
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.pictures_for_queries import make_collection
from utils import plotting
from utils.app import explore
from utils.app.explore import Explore, plot_map
from utils.app.places import Places, color_labels, find_places, name_islands, project
from utils.app.query import QueryHandler
from utils.errors import LookalikeError

ARABIC = "كوب قهوة أزرق"


class Item:
    def __init__(self, label, path=Path("no such picture.jpg")):
        self.label, self.path = label, path


class Pictures:
    """A collection of vectors alone; ids count in tens, as after many changes."""

    def __init__(self, vectors, labels):
        self.vectors = dict(zip(range(0, 10 * len(vectors), 10), vectors, strict=True))
        self.items = {
            id: Item(label) for id, label in zip(self.vectors, labels, strict=True)
        }
        self.index = self

    def reconstruct(self, ids):
        return np.array([self.vectors[int(id)] for id in ids])

    def remove(self, id):
        del self.items[id], self.vectors[id]


def clusters(labels, each=8, seed=0):
    """Return a collection whose labels are islands in 16 dimensions."""
    rng = np.random.default_rng(seed)
    centres = np.repeat(rng.normal(size=(len(labels), 16)), each, axis=0)
    vectors = centres + 0.05 * rng.normal(size=centres.shape)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Pictures(vectors.astype("float32"), np.repeat(labels, each).tolist())


@pytest.fixture
def search(tmp_path):
    return make_collection(tmp_path / "pictures")


# --- Places ----------------------------------------------------------------------


def test_similar_pictures_stand_together_and_the_same_seed_gives_the_same_map():
    places = find_places(clusters(["mug", "boat", "key", "hat"]))
    apart = np.linalg.norm(places.points[:, None] - places.points[None], axis=-1)
    np.fill_diagonal(apart, np.inf)
    labels = np.array(places.labels)
    assert (labels[apart.argmin(axis=1)] == labels).all()
    again = find_places(clusters(["mug", "boat", "key", "hat"]))
    np.testing.assert_array_equal(places.points, again.points)


@pytest.mark.parametrize("n", [1, 2, 3, 11, 12, 13, 40])
def test_any_number_of_pictures_has_places_in_the_square(n):
    vectors = np.random.default_rng(0).normal(size=(n, 8)).astype("float32")
    points = project(vectors)
    assert points.shape == (n, 2)
    assert ((points >= 0) & (points <= 1)).all()
    assert len(np.unique(points, axis=0)) == n


@pytest.mark.parametrize("n", [2, 30])
def test_equal_vectors_stand_side_by_side(n):
    points = project(np.ones((n, 8), dtype="float32"))
    assert len(np.unique(points.round(6), axis=0)) == n
    assert np.abs(points - 0.5).max() < 0.05


def test_duplicates_among_others_stay_beside_each_other():
    vectors = np.random.default_rng(0).normal(size=(30, 8)).astype("float32")
    vectors[17] = vectors[3]
    points = project(vectors)
    assert 0 < np.linalg.norm(points[17] - points[3]) < 0.01


def test_an_empty_collection_has_no_places():
    places = find_places(Pictures([], []))
    assert places.points.shape == (0, 2) and places.total == 0


def test_of_too_many_pictures_a_sample_is_drawn_and_said(monkeypatch):
    monkeypatch.setattr("utils.app.places.MOST", 20)
    many = clusters(["mug", "boat", "key"], each=20)
    places = find_places(many)
    assert len(places.ids) == len(set(places.ids.tolist())) == 20
    assert places.total == 60
    np.testing.assert_array_equal(places.ids, find_places(many).ids)
    assert Explore(many).message.startswith("20 of 60 pictures chosen at random.")


# --- Colours and names -----------------------------------------------------------


def test_labels_that_stand_beside_each_other_differ_in_colour():
    grid = np.array([(x, y) for x in range(6) for y in range(6)]) / 5
    labels = [f"label {i:02}" for i in range(36)]
    places = Places(np.arange(36), grid, labels, 36)
    colors = np.array(color_labels(places))
    assert set(colors) <= set(range(len(plotting.PALETTE)))
    apart = np.linalg.norm(grid[:, None] - grid[None], axis=-1)
    beside = np.argwhere((apart > 0) & (apart < 0.21))
    same = sum(colors[a] == colors[b] for a, b in beside)
    assert same <= 0.05 * len(beside)


def test_a_name_stands_on_the_larger_island_and_not_between_two():
    points = np.array([(0.1, 0.1)] * 3 + [(0.9, 0.9)] * 5)
    places = Places(np.arange(8), points, ["mug"] * 8, 8)
    assert name_islands(places)["mug"] == pytest.approx((0.9, 0.9))


def test_pictures_without_a_label_are_grey_and_have_no_name():
    places = Places(np.arange(2), np.eye(2), ["", "mug"], 2)
    assert color_labels(places)[0] == -1
    assert list(name_islands(places)) == ["mug"]


# --- The widget ------------------------------------------------------------------


def test_a_click_shows_the_picture_and_asks_with_its_id(search):
    asked = []
    shown = Explore(QueryHandler(search), on_click=asked.append)
    shown._plot.widget.selection = [5]
    assert asked == [int(shown.places.ids[5])]
    assert shown.message == f"Searched with {search.path_of(asked[0]).name}."
    assert "<img" in shown.picture.value


def test_points_are_drawn_in_full_strength(search):
    widget = Explore(search)._plot.widget
    assert widget.opacity == 0.9 and widget.opacity_by is None


def test_pointing_shows_and_does_not_ask(search):
    asked = []
    shown = Explore(search, on_click=asked.append)
    shown._plot.widget.hovering = 3
    assert shown.shown == shown.places.ids[3] and asked == []
    shown.ask_button.click()
    assert asked == [shown.shown]


def test_a_lasso_fills_the_list_and_the_list_leads_to_pictures(search):
    shown = Explore(search)
    shown._plot.widget.selection = [1, 4, 6]
    assert len(shown.pictures.options) == 3
    shown.pictures.index = 2
    assert shown.shown == shown.places.ids[6]
    assert shown.ask_button.disabled  # nobody to ask


def test_more_pictures_than_the_list_takes_are_said(monkeypatch, search):
    shown = Explore(search)
    assert shown.cut.value == ""
    monkeypatch.setattr(explore, "LISTED", 3)
    shown._plot.widget.selection = [1, 4, 6, 7]
    assert len(shown.pictures.options) == 3
    assert shown.cut.value == "The first 3 of 4."


def test_what_is_pointed_at_is_seen_at_the_pointer_too(search, monkeypatch):
    shown, sent = Explore(search), []
    monkeypatch.setattr(shown._plot.widget, "send", sent.append)
    shown._plot.widget.hovering = 3
    (answer,) = sent  # for a map that asked before it was pointed at, to us
    assert answer["index"] == 3 and answer["preview"].startswith("data:image/jpeg")
    assert shown._plot.widget.data.picture[3].startswith("data:image/jpeg;base64,")
    search.path_of(int(shown.places.ids[4])).unlink()
    shown._plot.widget.hovering = 4
    assert shown._plot.widget.data.picture[4] == explore.NOTHING


def test_the_map_follows_the_page_into_the_dark_and_fits_into_it(search):
    shown = Explore(search)
    widget = shown._plot.widget
    light = set(widget.labels.fontColor)
    shown.around.dark = True
    assert light.isdisjoint(widget.labels.fontColor)
    assert widget.tooltip_color[0] < 0.5
    assert not widget.axes and not widget.legend
    shown.around.width = 300
    shown.update()  # a new map, as dark and as wide
    assert set(shown._plot.widget.labels.fontColor).isdisjoint(light)
    dark = shown._plot.widget.height
    assert dark == pytest.approx(300 - explore.TOOLBAR, abs=1)
    shown.around.dark = False
    assert shown._plot.widget.height != dark  # so that the page measures the map again


@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize("others", [[""], []])
def test_names_stand_on_the_map_and_those_without_have_none(others):
    labels = Explore(clusters(["mug", ARABIC, *others], each=5))._plot.widget.labels
    assert set(labels.label) == {"mug", ARABIC}


def test_a_chosen_label_and_those_around_it_keep_their_colours():
    names = [f"label {i:02}" for i in range(26)]
    shown = Explore(clusters(names, each=4))
    shown.highlight("label 07")
    tints = explore._tints(shown.places, "label 07")
    coloured = {
        label
        for label, tint in zip(shown.places.labels, tints, strict=True)
        if tint != len(plotting.PALETTE)
    }
    assert "label 07" in coloured and len(coloured) == 1 + explore.NEIGHBOURS
    assert len(shown.pictures.options) == 4
    with pytest.raises(ValueError, match="label must be on the map"):
        shown.highlight("no such label")


def test_a_picture_removed_after_the_map_was_made_gets_a_sentence():
    pictures, asked = clusters(["mug", "boat", "key"]), []
    shown = Explore(pictures, on_click=asked.append)
    pictures.remove(30)
    shown._plot.widget.selection = [3]
    assert "no longer in the collection" in shown.message and asked == []
    shown.update()
    assert shown.message.startswith("0 new, 1 gone. 23 pictures.")
    assert 30 not in shown.places.ids


def test_new_pictures_find_places_beside_those_they_are_like_and_nothing_moves():
    pictures = clusters(["mug", "boat", "key"])
    shown = Explore(pictures)
    before = dict(zip(shown.places.ids.tolist(), shown.places.points, strict=True))
    pictures.vectors[999], pictures.items[999] = pictures.vectors[0], Item("mug")
    shown.update()
    after = dict(zip(shown.places.ids.tolist(), shown.places.points, strict=True))
    assert all((after[id] == before[id]).all() for id in before)
    nearest = min(before, key=lambda id: np.linalg.norm(after[999] - before[id]))
    assert pictures.items[nearest].label == "mug"
    assert shown.message.startswith("1 new, 0 gone.")


def test_an_empty_collection_says_so_and_can_fill():
    pictures = Pictures([], [])
    shown = Explore(pictures)
    assert shown.message.startswith("The collection is empty")
    pictures.vectors[0], pictures.items[0] = np.eye(8)[0], Item("mug")
    shown.update()
    assert shown.message.startswith("1 new, 0 gone. 1 picture")


def test_labels_of_any_script_and_length_are_shown_as_text():
    labels = [ARABIC, "x" * 60 + "1", "x" * 60 + "2", "<b>bold", ""]
    shown = Explore(clusters(labels, each=3))
    names = [name for name in shown.label.options if "all" not in name]
    assert len(names) == 5 and max(map(len, names)) <= 66
    for label in labels:
        shown.highlight(label)
        assert len(shown.pictures.options) == 3
    shown.show(90)
    assert "&lt;b&gt;bold" in shown.picture.value
    assert "can't be shown" in shown.picture.value  # there is no such file


def test_what_fails_in_the_callback_becomes_a_sentence(search):
    def fail(id):
        raise LookalikeError("the disk is full.")

    shown = Explore(search, on_click=fail)
    shown.choose(int(shown.places.ids[0]))
    assert shown.message == "Not done: the disk is full."


def test_without_the_library_it_says_what_to_install(monkeypatch, search):
    monkeypatch.setitem(sys.modules, "jscatter", None)
    with pytest.raises(LookalikeError, match="pip install jupyter-scatter"):
        Explore(search)


# --- The figure ------------------------------------------------------------------


def test_the_figure_covers_no_picture_by_another(search):
    plot_map(search)
    (ax,) = plotting.plt.gcf().axes
    boxes = [box for box in ax.get_children() if hasattr(box, "xybox")]
    width, height = explore.THUMBNAIL / np.array(explore.FIGURE)
    for i, box in enumerate(boxes):
        for other in boxes[:i]:
            across, up = np.abs(np.subtract(box.xybox, other.xybox))
            assert across >= width or up >= height
    assert boxes
    assert {text.get_text() for text in ax.texts} >= set(search.labels) - {""}


def test_the_figure_takes_places_and_draws_what_can_be_read(search):
    places = find_places(search)
    search.path_of(0).unlink()
    plot_map(search, places=places)


@pytest.mark.parametrize("label", [ARABIC, "$x_2$", "x" * 60])
def test_the_figure_writes_any_label(label):
    plot_map(clusters([label, "mug"], each=3))
    plotting.plt.gcf().canvas.draw()


def test_an_empty_figure_is_refused():
    with pytest.raises(LookalikeError, match=re.escape("an empty collection")):
        plot_map(Pictures([], []))
