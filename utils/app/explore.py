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
from typing import Any, NamedTuple

import ipywidgets as w
import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from utils import images, plotting
from utils.app.page import NO_LABEL, picture, shorten, why_not
from utils.app.query import QueryHandler
from utils.collection.search import ImageSearch
from utils.errors import LookalikeError, PictureError, import_optional, printable

MOST = 10_000  # pictures on a map; t-SNE takes about a minute for them
FEW = 12  # t-SNE needs neighbours: with fewer pictures PCA draws the map
AXES = 50  # main directions that t-SNE looks at
PERPLEXITY = 30  # how many neighbours each point holds on to, roughly
SAME = 1e-4  # vectors nearer than this are one place
ISLAND = 0.08  # how far its pictures are from its middle, in shares of the side
APART = 0.004  # between pictures at one place, in shares of the map's side
FIGURE = (9.0, 7.2)  # inches
THUMBNAIL = 0.36  # inches
SIDE = 160  # pixels of the picture beside the map
LISTED = 1_000  # pictures in the list: a browser draws more of them slowly
NEIGHBOURS = 4  # other labels that keep their colour when one is chosen
GREY = "#9a9a9a"
NORM = (0, len(plotting.PALETTE))  # numbers of the colours; the last one is grey
LETTER = 0.085  # inches: the width of one on the map


class Places(NamedTuple):
    """Where pictures stand on a map; position i of each is one picture."""

    ids: np.ndarray  # int64, shape (n,)
    points: np.ndarray  # float64, shape (n, 2), from 0 to 1
    labels: list[str]
    total: int  # pictures in the collection: more than n if only a sample is drawn


def find_places(search: ImageSearch | QueryHandler, *, seed: int = 0) -> Places:
    """Find a place for each picture of a collection, or for a sample of `MOST`.

    The same pictures and seed give the same map.
    """
    search = _search_of(search)
    items = search.items
    ids = np.array(list(items), dtype=np.int64)
    if len(ids) > MOST:
        chosen = np.random.default_rng(seed).choice(len(ids), MOST, replace=False)
        ids = ids[np.sort(chosen)]
    labels = [items[id].label for id in ids.tolist()]
    points = project(search.index.reconstruct(ids), seed=seed) if len(ids) else None
    return Places(
        ids, np.empty((0, 2)) if points is None else points, labels, len(items)
    )


def project(vectors: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Return a point for each vector, near to those of similar vectors.

    By t-SNE, or by PCA for fewer than `FEW`.  Equal vectors stand in a small spiral.

    Parameters
    ----------
    vectors
        float32 array of shape (n, d), n ≥ 1.

    Returns
    -------
    ndarray
        float64 array of shape (n, 2), from 0 to 1.
    """
    _, first, which = np.unique(
        np.round(vectors / SAME), axis=0, return_index=True, return_inverse=True
    )
    order = np.argsort(np.argsort(first))  # as they came, not as NumPy sorts them
    which, distinct = order[which.ravel()], vectors[np.sort(first)]
    n = len(distinct)
    if n == 1:
        points = np.zeros((1, 2))
    elif n < FEW:
        points = PCA(min(2, n - 1), svd_solver="full").fit_transform(distinct)
    else:
        axes = PCA(min(AXES, n - 1, vectors.shape[1]), random_state=seed)
        perplexity = min(PERPLEXITY, (n - 1) / 3)
        tsne = TSNE(perplexity=perplexity, init="pca", random_state=seed)
        points = tsne.fit_transform(axes.fit_transform(distinct))
    points = np.pad(points, ((0, 0), (0, 2 - points.shape[1]))).astype(float)
    return _spread(_scaled(points)[which], which)


def plot_map(
    search: ImageSearch | QueryHandler, *, places: Places | None = None, seed: int = 0
) -> None:
    """Draw the map with pictures where there is room, and dots for the others.

    `places` are those of a map that is there already, as `Explore.places`.
    LookalikeError if the collection is empty.
    """
    search = _search_of(search)
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
    what the label, or a lasso around points, has chosen.  `dark` suits a dark page: the
    map is drawn on a canvas, which does not follow Jupyter's theme.
    """

    def __init__(
        self,
        source: ImageSearch | QueryHandler,
        on_click: Callable[[int], Any] | None = None,
        seed: int = 0,
        *,
        dark: bool = False,
    ) -> None:
        super().__init__()
        self._dark = dark
        self.search, self.on_click = _search_of(source), on_click
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
        self.map = w.VBox(
            layout=w.Layout(flex="3 1 340px", min_width="0", border="1px solid #9a9a9a")
        )
        beside = [self.picture, self.ask_button, self.label, self.pictures]
        aside = w.VBox([*beside, self.update_button])
        aside.layout = w.Layout(
            flex="1 1 220px", max_width="320px", padding="0 0 0 12px"
        )
        row = w.HBox([self.map, aside], layout=w.Layout(flex_flow="row wrap"))
        self.children = [self.status, row]
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
        if change["new"] is not None:
            self.show(int(self.places.ids[int(change["new"])]))

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
            self._plot = _scatter(places, dark=self._dark)
            self._plot.widget.observe(self._on_hover, "hovering")
            self._plot.widget.observe(self._on_selection, "selection")
            self.map.children = [self._plot.show(["pan_zoom", "lasso", "reset"])]
        self.label.index = None
        self._labels = [None, *(str(label) for label in counts)]
        self.label.index = 0
        self._say(_about(places))

    def _list(self, ids: Sequence[int]) -> None:
        items = self.search.items
        self._listed = [id for id in ids if id in items][:LISTED]
        self.pictures.options = [shorten(items[id].path.name) for id in self._listed]
        self.pictures.index = None

    def _color(self, label: str | None) -> None:
        if len(self.places.ids):
            self._plot.color(by=_tints(self.places, label), map=_palette(), norm=NORM)

    def _say(self, text: str) -> None:
        self.message = printable(text)
        self.status.value = f'<div role="status">{escape(self.message)}</div>'


# --- What both maps share --------------------------------------------------------


def name_islands(places: Places, most: int = 40) -> dict[str, tuple[float, float]]:
    """Return where to write the labels: in the middle of most of their pictures.

    Only the `most` frequent ones; a map of hundreds of names shows nothing.
    """
    names, counts = np.unique([*filter(None, places.labels)], return_counts=True)
    kinds, found = np.array(places.labels), {}
    for name in names[np.argsort(-counts, kind="stable")][:most].tolist():
        own = places.points[kinds == name]
        # Not the mean, which lies between the islands of a label in two pieces.
        apart = np.linalg.norm(own[:, None] - own[None, :500], axis=-1)
        near = apart[:, np.argmax((apart < ISLAND).sum(axis=0))] < ISLAND
        found[name] = tuple(np.median(own[near], axis=0).tolist())
    return found


def color_labels(places: Places) -> list[int]:
    """Return a number below the palette's length for each picture, by its label.

    Six colours cannot tell 26 labels apart, but they can tell each from the labels
    around it, as on a political map; the names do the rest.  -1: no label.
    """
    centres = name_islands(places, most=len(places.labels))
    names, points = list(centres), np.array([*centres.values()]).reshape(-1, 2)
    n, colors = len(plotting.PALETTE), dict[str, int]()
    for i, name in enumerate(names):
        apart = np.linalg.norm(points - points[i], axis=1)
        near = [names[j] for j in np.argsort(apart, kind="stable")[1:] if j < i]
        taken = [colors[other] for other in near]
        # The colour that is farthest away.
        colors[name] = max(
            range(n), key=lambda c: taken.index(c) if c in taken else len(names) - c / n
        )
    return [colors.get(label, -1) for label in places.labels]


def updated(places: Places, search: ImageSearch) -> Places:
    """Return places without the pictures that have gone, and with those that came.

    A new picture stands in the middle of the three on the map that it is most like.
    """
    items = search.items
    stay = [row for row, id in enumerate(places.ids.tolist()) if id in items]
    known = set(places.ids.tolist())
    new = [id for id in items if id not in known][: max(0, MOST - len(stay))]
    if not stay:
        return find_places(search)
    points = places.points[stay]
    if new:
        there = search.index.reconstruct(places.ids[stay])
        similar = search.index.reconstruct(new) @ there.T
        near = np.argsort(-similar, axis=1, kind="stable")[:, :3]
        points = np.vstack([points, points[near].mean(axis=1)])
    ids = np.array([*places.ids[stay].tolist(), *new], dtype=np.int64)
    labels = [items[id].label for id in ids.tolist()]
    return Places(ids, points, labels, len(items))


def _search_of(source: ImageSearch | QueryHandler) -> ImageSearch:
    return source.search if isinstance(source, QueryHandler) else source


def _scaled(points: np.ndarray) -> np.ndarray:
    """Fit points into the unit square, each axis by itself: neither has a unit."""
    low, extent = points.min(axis=0), np.ptp(points, axis=0)
    flat = extent < 1e-12
    return np.where(flat, 0.5, (points - low) / np.where(flat, 1, extent))


def _spread(points: np.ndarray, which: np.ndarray) -> np.ndarray:
    """Move pictures at one place apart, as the seeds of a sunflower are."""
    seen, spread = dict[int, int](), points.copy()
    for row, place in enumerate(which.tolist()):
        k = seen[place] = seen.get(place, -1) + 1
        angle = 2.4 * k  # radians: the golden angle
        spread[row] += APART * np.sqrt(k) * np.array([np.cos(angle), np.sin(angle)])
    return np.clip(spread, 0, 1)


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


def _scatter(places: Places, *, dark: bool) -> Any:
    """Return jupyter-scatter's plot of the places, in their colours."""
    jscatter = import_optional("jscatter", "jupyter-scatter", " for the map")
    pandas = import_optional("pandas", "pandas", " for the map")
    frame = pandas.DataFrame(places.points, columns=["x", "y"])
    plot = jscatter.Scatter(data=frame, x="x", y="y", height=480)
    plot.background("#161616" if dark else "white").axes(False).size(8).opacity(
        0.9, unselected=0.6
    )
    plot.color(by=_tints(places, None), map=_palette(), norm=NORM)
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


def _picture_html(path: Any, label: str) -> str:
    """Return a picture with its label and name, or why it can't be shown."""
    name, what = escape(shorten(path.name)), escape(shorten(label or NO_LABEL))
    shown = "(can't be shown)<br>"
    if jpeg := picture(path, SIDE):
        source = f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
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
