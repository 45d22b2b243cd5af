"""A map of a collection: similar pictures stand together, and a click asks.

`Explore` is the map in a notebook, with lists that lead to the same pictures by
keyboard; `plot_map` draws it once, for a page without Python.

The widget is jupyter-scatter's: 910 points appeared in 2.2 s in JupyterLab and 4.9 s in
Voilà, where plotly's FigureWidget took 5.6 and 7.0 s and sent 6.3 MB instead of 2.4.
It costs 283 MB on the disk with pandas and pyarrow, plotly 69: so only `Explore` asks
for it, and all else works without.

>>> app = QueryApp(QueryHandler(search))                          # doctest: +SKIP
>>> explore = Explore(search, on_click=app.ask_id)                # doctest: +SKIP
>>> plot_map(search, places=explore.places)                       # doctest: +SKIP
"""

import base64
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import ipywidgets as w
import numpy as np

from utils import images, plotting
from utils.app.page import NO_LABEL, picture, shorten, why_not
from utils.app.places import (
    ISLAND,
    Places,
    color_labels,
    find_places,
    name_islands,
    search_of,
    updated,
)
from utils.app.query import QueryHandler
from utils.app.widgets import anywidget, traitlets
from utils.collection.search import ImageSearch
from utils.errors import LookalikeError, PictureError, import_optional, printable

FIGURE = (9.0, 7.2)  # inches
THUMBNAIL = 0.36  # inches
SIDE = 160  # pixels of the picture beside the map
SMALL_SIDE = 96  # and of the one at the pointer
HEIGHT, TOOLBAR = 480, 40  # pixels of the map and of what stands beside it
MARGIN = 0.06  # around the points, in shares of the map's side
# One clear pixel, for the pointer: with no picture at all the last one would stay.
NOTHING = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="
# By whether the page is dark: for names, behind them, and behind what is pointed at.
INKS = {
    False: ("#1a1a1a", "#ffffff", [1.0, 1.0, 1.0, 1.0]),
    True: ("#f2f2f2", "#111111", [0.2, 0.2, 0.2, 1.0]),
}
LISTED = 1_000  # pictures in the list: a browser draws more of them slowly
NEIGHBOURS = 4  # other labels that keep their colour when one is chosen
GREY = "#9a9a9a"
NORM = (0, len(plotting.PALETTE))  # numbers of the colours; the last one is grey
LETTER = 0.085  # inches: the width of one on the map


def plot_map(
    search: ImageSearch | QueryHandler, *, places: Places | None = None, seed: int = 0
) -> None:
    """Draw the map with pictures where there is room, and dots for the others.

    `places` are those of a map that is there already, as `Explore.places`.
    LookalikeError if the collection is empty.
    """
    search = search_of(search)
    places = find_places(search, seed=seed) if places is None else places
    if not len(places.ids):
        raise LookalikeError(
            "expected pictures to draw. Received: an empty collection. "
            "Add some first: search.add(paths)."
        )
    items, thumbnails = search.items, {}
    # Above the middle: a name must not hide a small island.
    names = {k: (x, y + 0.04) for k, (x, y) in name_islands(places).items()}
    for row in _with_room(places, names, seed):
        try:
            item = items[int(places.ids[row])]
            small = images.thumbnail(item.path, 72)
        except (KeyError, PictureError):  # gone since: a dot stays
            continue
        thumbnails[row] = np.array(images.open_picture(small))
    title = f"{len(places.ids):,} of {places.total:,} pictures, chosen at random"
    plotting.show_map(
        places.points,
        thumbnails,
        colors=color_labels(places),
        names=names,
        size=FIGURE,
        title=title if len(places.ids) < places.total else "",
    )


class Explore(w.VBox):
    """A map to pan, zoom and point at; what is clicked goes to `on_click`, as an id.

    Choose a label to colour it and its neighbours alone.  The list of pictures holds
    what the label, or a lasso around points, has chosen.
    """

    def __init__(
        self,
        source: ImageSearch | QueryHandler,
        on_click: Callable[[int], Any] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.search, self.on_click = search_of(source), on_click
        self.places = find_places(self.search, seed=seed)
        self.message = ""  # the status line as plain text
        self.shown: int | None = None  # the id of the picture beside the map
        self._labels: list[str | None] = []  # of the list: None is all
        self._listed: list[int] = []  # ids

        self.status, self.picture = w.HTML(), w.HTML()
        self.label, self.pictures = _listbox("Label"), _listbox("Pictures")
        self.ask_button = _button("Search with this picture", self._on_ask)
        self.ask_button.disabled = True
        self.update_button = _button("Bring the map up to date", self.update)
        flex = f"3 1 {HEIGHT + TOOLBAR}px"
        self.map = w.VBox(layout=w.Layout(flex=flex, min_width="0"))
        self.map.layout.border = "1px solid #9a9a9a"
        self.cut = w.HTML()  # how much of the list is shown
        beside = [self.picture, self.ask_button, self.label, self.pictures, self.cut]
        aside = w.VBox([*beside, self.update_button])
        aside.layout = w.Layout(
            flex="1 1 220px", max_width="320px", padding="0 0 0 12px"
        )
        row = w.HBox([self.map, aside], layout=w.Layout(flex_flow="row wrap"))
        self.around = Surroundings()
        self.children = [self.status, row, self.around]
        self.around.observe(lambda _: self._fit(), ["dark", "width"])
        self.label.observe(self._on_label, "index")
        self.pictures.observe(self._on_list, "index")
        self._draw()

    def __repr__(self) -> str:
        return f"Explore: {len(self.places.ids)} pictures of {self.search!r}"

    # --- What can be done: by a click, or by a program ---------------------------

    def choose(self, id: int) -> None:
        """Show a picture and hand it to `on_click`, as a click on its point does."""
        if not self.show(id) or self.on_click is None:
            return
        name = shorten(self.search.items[id].path.name)
        try:
            self.on_click(id)
        except (LookalikeError, ValueError, KeyError, OSError) as error:
            self._say(why_not(error))
        else:
            self._say(f"Searched with {name}.")

    def show(self, id: int) -> bool:
        """Show a picture beside the map; False if it is not in the collection (now)."""
        item = self.search.items.get(id)
        self.shown = None if item is None else id
        self.ask_button.disabled = item is None or self.on_click is None
        if item is None:
            self.picture.value = ""
            self._say("That picture is no longer in the collection. Update the map.")
            return False
        self.picture.value = _picture_html(item.path, item.label)
        return True

    def highlight(self, label: str | None) -> None:
        """Colour one label and those around it, the others grey; None colours all."""
        if label not in self._labels:
            raise ValueError(f"label must be on the map. Received: {label!r}.")
        self.label.index = self._labels.index(label)

    def update(self) -> None:
        """Take removed pictures off the map, and find places for new ones.

        All others stay where they are.  Make a new map when much has changed.
        """
        before = set(self.places.ids.tolist())
        self.places = updated(self.places, self.search)
        after = set(self.places.ids.tolist())
        self._draw()
        self._say(
            f"{len(after - before)} new, {len(before - after)} gone. {self.message}"
        )

    # --- Callbacks ---------------------------------------------------------------

    def _on_hover(self, change: dict[str, Any]) -> None:
        if change["new"] is None:
            return
        row = int(change["new"])
        if self.show(int(self.places.ids[row])):
            path = self.search.items[int(self.places.ids[row])].path
            url = _data_url(path, SMALL_SIDE) or NOTHING
            # Half a second later the map asks for what to show at the pointer.
            self._frame.at[row, "picture"] = url
            # If we are slow, it has asked; of a point that was left it takes nothing.
            kind = self._plot.widget.event_types["TOOLTIP"]
            answer = {"type": kind, "index": row, "preview": url, "properties": {}}
            self._plot.widget.send(answer)

    def _on_selection(self, change: dict[str, Any]) -> None:
        ids = [int(self.places.ids[int(row)]) for row in change["new"]]
        if len(ids) == 1:
            self.choose(ids[0])
        elif ids:
            self._list(ids)
            self._say(f"{len(ids)} pictures chosen, in the list.")

    def _on_label(self, change: dict[str, Any]) -> None:
        if change["new"] is None or not self._labels:
            return
        label, places = self._labels[change["new"]], self.places
        self._list(
            [
                int(id)
                for id, own in zip(places.ids, places.labels, strict=True)
                if label is None or own == label
            ]
        )
        self._color(label)

    def _on_list(self, change: dict[str, Any]) -> None:
        if change["new"] is not None and change["new"] < len(self._listed):
            self.show(self._listed[change["new"]])

    def _on_ask(self) -> None:
        if self.shown is not None:
            self.choose(self.shown)

    # --- Drawing -----------------------------------------------------------------

    def _draw(self) -> None:
        """Put a new map in place, and new lists beside it."""
        places = self.places
        old, self.map.children = self.map.children, ()
        for widget in old:
            widget.close()
        counts = dict(zip(*np.unique(places.labels, return_counts=True), strict=True))
        self._labels = []  # whatever the lists do meanwhile is nobody's choice
        names = [f"{shorten(k) if k else NO_LABEL} ({n})" for k, n in counts.items()]
        self.label.options = [f"all labels ({len(places.ids)})", *names]
        if len(places.ids):
            self._frame = _frame(places)
            self._plot = _scatter(places, self._frame)
            self._fit()
            self._plot.widget.observe(self._on_hover, "hovering")
            self._plot.widget.observe(self._on_selection, "selection")
            self.map.children = [self._plot.show(["pan_zoom", "lasso", "reset"])]
        self.label.index = None
        self._labels = [None, *(str(label) for label in counts)]
        self.label.index = 0
        self._say(_about(places))

    def _fit(self) -> None:
        """Draw so that all fits in, and can be read on a light or a dark page."""
        if not len(self.places.ids):
            return
        # The map's scale comes from its height: it must not be less wide.
        height = min(HEIGHT, max(self.around.width - TOOLBAR, 100))
        # JupyterLab folds the page up while it changes the theme, and the map may keep
        # that width for its names: it measures again when its height changes.
        height -= self.around.dark
        self._plot.height(height)  # of the frame alone
        self._plot.options(regl_scatterplot_options={"height": height})
        ink, ground, box = INKS[self.around.dark]
        unnamed = [f"label:{NO_LABEL}"] * ("" in self.places.labels)
        self._plot.label(
            "label", color=ink, shadow_color=ground, exclude=unnamed, align="top"
        )
        # Not by the plot's `background`: it would bring the axes back.
        self._plot.widget.background_color = f"{ground}00"  # the page's own is seen
        self._plot.widget.tooltip_color = box

    def _list(self, ids: Sequence[int]) -> None:
        items = self.search.items
        there = [id for id in ids if id in items]
        self._listed = there[:LISTED]
        names = [shorten(items[id].path.name) for id in self._listed]
        self.pictures.options, self.pictures.index = names, None
        is_cut = len(there) > LISTED
        self.cut.value = f"The first {LISTED:,} of {len(there):,}." if is_cut else ""

    def _color(self, label: str | None) -> None:
        if len(self.places.ids):
            self._plot.color(by=_tints(self.places, label), map=_palette(), norm=NORM)

    def _say(self, text: str) -> None:
        self.message = printable(text)
        self.status.value = f'<div role="status">{escape(self.message)}</div>'


# --- The figure ------------------------------------------------------------------


def _with_room(
    places: Places, names: dict[str, tuple[float, float]], seed: int
) -> list[int]:
    """Choose pictures, in random order, that cover neither a name nor each other.

    Those beside their own label come first: a name should stand among what it names.
    """
    points = places.points
    side = THUMBNAIL / np.array(FIGURE)
    centres = [np.array(place) for place in names.values()]
    sizes = [LETTER * np.array([len(name) + 1, 2]) / FIGURE for name in names]
    home = np.array([names.get(label, (2, 2)) for label in places.labels])
    order = np.random.default_rng(seed).permutation(len(points))
    is_away = np.linalg.norm(points - home, axis=1)[order] > ISLAND
    chosen: list[int] = []
    for row in order[np.argsort(is_away, kind="stable")].tolist():
        needed = (np.array([*sizes, *[side] * len(chosen)]).reshape(-1, 2) + side) / 2
        apart = np.abs(np.array(centres).reshape(-1, 2) - points[row])
        if not (apart < 1.06 * needed).all(axis=1).any():
            chosen.append(row)
            centres.append(points[row])
    return chosen


# --- Parts of the interactive map --------------------------------------------------


class Surroundings(anywidget.AnyWidget):
    """Knows what only the page can know; shows nothing."""

    _esm = Path(__file__).with_name("surroundings.js")
    dark = traitlets.Bool(False).tag(sync=True)
    width = traitlets.Int(2 * HEIGHT).tag(sync=True)  # pixels


def _frame(places: Places) -> Any:
    """Return a pandas frame of what the map says of each picture."""
    pandas = import_optional("pandas", "pandas", " for the map")
    frame = pandas.DataFrame(places.points, columns=["x", "y"])
    frame["label"] = [shorten(label) if label else NO_LABEL for label in places.labels]
    frame["picture"] = NOTHING  # until it is pointed at
    return frame


def _scatter(places: Places, frame: Any) -> Any:
    """Return jupyter-scatter's plot of the places, in their colours."""
    jscatter = import_optional("jscatter", "jupyter-scatter", " for the map")
    edges = {"x_scale": (-MARGIN, 1 + MARGIN), "y_scale": (-MARGIN, 1 + MARGIN)}
    plot = jscatter.Scatter(data=frame, x="x", y="y", **edges)
    plot.axes(False).reticle(False).size(8).opacity(0.9, unselected=0.6)
    plot.color(by=_tints(places, None), map=_palette(), norm=NORM)
    plot.tooltip(
        True,
        properties=["label"],
        histograms=False,
        preview="picture",
        preview_type="image",
        preview_image_size="contain",
    )
    plot.widget.opacity = 0.9  # its map for densities would make all points faint
    return plot


def _palette() -> list[str]:
    return [*plotting.PALETTE, GREY]


def _tints(places: Places, label: str | None) -> list[int]:
    """Return a number in the palette for each picture; the last one is grey."""
    colors, grey = np.array(color_labels(places)), len(plotting.PALETTE)
    colors[colors < 0] = grey
    if label is not None:
        centres = name_islands(places, most=len(places.labels))
        here = np.array(centres.get(label, (0.5, 0.5)))
        near = sorted(centres, key=lambda name: np.linalg.norm(centres[name] - here))
        kept = {label, *near[: NEIGHBOURS + 1]} if label else {label}
        colors[[own not in kept for own in places.labels]] = grey
    return colors.tolist()


def _about(places: Places) -> str:
    if not len(places.ids):
        return "The collection is empty. Add pictures to it, then update the map."
    sample = " chosen at random" if len(places.ids) < places.total else ""
    of = f" of {places.total:,}" if sample else ""
    return (
        f"{len(places.ids):,}{of} pictures{sample}. Point at one to see it, click to "
        "search with it. The lists lead to the same pictures by keyboard."
    )


def _data_url(path: Path, side: int) -> str | None:
    if (jpeg := picture(path, side)) is None:
        return None
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


def _picture_html(path: Any, label: str) -> str:
    """Return a picture with its label and name, or why it can't be shown."""
    name, what = escape(shorten(path.name)), escape(shorten(label or NO_LABEL))
    shown = "(can't be shown)<br>"
    if source := _data_url(path, SIDE):
        shown = f'<img src="{source}" alt="{what}, {name}" style="display:block">'
    return f'<div style="overflow-wrap:anywhere">{shown}<b>{what}</b> {name}</div>'


def _listbox(name: str) -> w.Select:
    box = w.Select(description=name, rows=7, options=[])
    box.layout, box.style = w.Layout(width="auto"), {"description_width": "initial"}
    return box


def _button(name: str, on_click: Callable[[], None]) -> w.Button:
    button = w.Button(description=name, layout=w.Layout(width="auto"))
    button.on_click(lambda _: on_click())
    return button
