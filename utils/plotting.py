"""Every figure of the series.

Functions draw with pyplot and return nothing: in a notebook the figure appears under
the cell. They take pixels, words and numbers only:

- a picture is an array of shape (height, width, 3) or (height, width), uint8 or float
  in [0, 1]; a PIL image will do;
- points are a float array of shape (n, 2);
- a mapping's keys are names, and appear in the legend or on an axis in its order; up to
  six colours and markers tell them apart. Mappings in a mapping have the same keys;
- `xlabel`, `ylabel` and `title` say what is drawn, with its unit;
- ValueError: nothing to draw, or sequences whose lengths don't fit together.

A wrong result is marked three times, by colour, by a dashed frame and by a sign, so
that no reader depends on colour.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_rgba
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.patches import Rectangle
from numpy import ndarray

# Okabe and Ito's palette: told apart with any kind of colour vision.
BLUE, GREEN, RED = "#0072B2", "#009E73", "#D55E00"
PALETTE = (BLUE, "#E69F00", GREEN, "#CC79A7", RED, "#56B4E9")
MARKERS = "osD^vP"
HATCHES = ("", "///", "...", "xxx", "---", "\\\\\\")
TWO_NUMBERS = {"xlabel": "first number", "ylabel": "second number"}
LONGEST = 200  # characters of a title; thousands would take seconds to draw
SMALL = 8  # points: titles, legends, numbers on bars

Options = dict[str, Any]
Pictures = Sequence[ndarray]
Titles = Sequence[str]
Ids = Sequence[int]
Numbers = Sequence[float]
Curves = Mapping[str, tuple[Numbers, Numbers]]
Tradeoffs = Mapping[str, Sequence[Any]]  # x and y values, and names of the points
Layers = Mapping[str, tuple[Sequence[tuple[int, int]], Ids]]
Bars = Mapping[str, Mapping[str, float]]


# Pictures


def show_pictures(
    pictures: Pictures, titles: Titles = (), *, columns: int = 6, height: float = 1.4
) -> None:
    """Draw pictures in a grid, row by row; a row is `height` inches high."""
    if not len(pictures) or len(titles) not in (0, len(pictures)):
        raise ValueError(
            "show_pictures needs pictures, and one title for each or none. "
            f"Received: {len(pictures)} pictures and {len(titles)} titles."
        )
    cell = height, height + (0.25 if len(titles) else 0)
    _, axes = _make_grid(len(pictures), columns, cell)
    for ax, picture in zip(axes.flat, pictures, strict=False):
        ax.imshow(picture, cmap="gray")
    for ax, title in zip(axes.flat, titles, strict=False):
        _write_title(ax, title)


def show_results(
    queries: Pictures,
    results: Sequence[Pictures],
    *,
    query_titles: Titles = (),
    titles: Sequence[Titles] = (),
    right: Sequence[Sequence[bool | None]] = (),
) -> None:
    """Draw one row per query: the query in a blue frame, then what was found.

    Each query has its `results`, best first, as many as were found, and their `titles`.
    `right` tells which of them are of the right kind; None is unknown: no frame.
    """
    if not len(queries) or len(queries) != len(results):
        raise ValueError(
            "show_results needs at least one query and a list of results for each. "
            f"Received: {len(queries)} queries and {len(results)} lists."
        )
    columns = 1 + max(len(found) for found in results)
    _, axes = _make_grid(columns * len(queries), columns, (1.45, 1.75))
    for row, query in enumerate(queries):
        title = query_titles[row] if len(query_titles) else "query"
        _draw_picture(axes[row, 0], query, title, color=BLUE)
        for column, picture in enumerate(results[row]):
            good = right[row][column] if len(right) else None
            sign, color, style = "", None, "-"
            if good is not None:
                sign, color, style = ("✓ ", GREEN, "-") if good else ("✗ ", RED, "--")
            title = sign + (titles[row][column] if len(titles) else "")
            ax = axes[row, column + 1]
            _draw_picture(ax, picture, title, color=color, style=style)


def show_maps(
    pictures: Pictures, maps: Pictures, titles: Titles, *, unit: str, columns: int = 4
) -> None:
    """Lay a coarse map over each RGB picture, drawn in grey: the redder, the larger.

    `maps` are float arrays of shape (rows, columns), of any size: each cell covers its
    part of the picture. All share one scale; `unit` says what it measures.
    """
    if not len(pictures) or not len(pictures) == len(maps) == len(titles):
        raise ValueError(
            "show_maps needs pictures, and one map and one title for each. Received: "
            f"{len(pictures)} pictures, {len(maps)} maps and {len(titles)} titles."
        )
    figure, axes = _make_grid(len(pictures), columns, (2.0, 2.3), beside=0.8)
    low = min(0.0, *(float(np.min(values)) for values in maps))
    scale = Normalize(low, max(float(np.max(values)) for values in maps))
    ends = [to_rgba(RED, alpha) for alpha in (0.0, 0.85)]  # what is small stays clear
    look: Options = {"cmap": LinearSegmentedColormap.from_list("", ends), "norm": scale}
    for ax, picture, values, title in zip(
        axes.flat, pictures, maps, titles, strict=False
    ):
        _write_title(ax, title)
        grey = ax.imshow(np.mean(picture, axis=2), cmap="gray", vmin=0, vmax=255)
        layer = ax.imshow(values, extent=grey.get_extent(), **look)
    figure.colorbar(layer, ax=axes, shrink=0.8, label=unit)


# Numbers


def show_bars(groups: Bars, *, ylabel: str, title: str = "") -> None:
    """Draw grouped bars with their values: groups by key, the bars by inner key."""
    names = list(next(iter(groups.values())))
    width = 0.8 / len(names)
    ax = _make_axes(7, 3, ylabel=ylabel, title=title)
    for k, name in enumerate(names):
        places = np.arange(len(groups)) + (k - (len(names) - 1) / 2) * width
        heights = [group[name] for group in groups.values()]
        bars = ax.bar(places, heights, width * 0.92, label=name, color=PALETTE[k])
        ax.bar_label(bars, fmt="%.2f", fontsize=SMALL)
    ax.set_xticks(range(len(groups)), list(groups))
    ax.margins(y=0.12)
    if len(names) > 1:
        ax.legend(fontsize=SMALL)


def show_stacks(stacks: Bars, *, xlabel: str) -> None:
    """Draw one bar per key, of parts that add up, with the sum at its end."""
    places, ends = range(len(stacks)), np.zeros(len(stacks))
    ax = _make_axes(7, 0.9 + 0.6 * len(stacks), xlabel=xlabel)
    for k, name in enumerate(next(iter(stacks.values()))):
        lengths = [parts[name] for parts in stacks.values()]
        look: Options = {"color": PALETTE[k], "hatch": HATCHES[k], "edgecolor": "white"}
        bars = ax.barh(places, lengths, 0.6, ends, label=name, **look)
        ends = ends + lengths
    ax.bar_label(bars, [f"{end:.1f}" for end in ends], fontsize=SMALL, padding=3)
    ax.set_yticks(places, list(stacks))
    ax.invert_yaxis()  # the first bar on top
    ax.margins(x=0.1)
    ax.legend(fontsize=SMALL)


def show_intervals(
    estimates: Mapping[str, Numbers], *, xlabel: str, title: str = "", digits: int = 2
) -> None:
    """Draw one row per estimate (value, low, high): a dot on its interval, numbers."""
    values, lows, highs = np.array(list(estimates.values()), dtype=float).T
    rows = range(len(values))
    ax = _make_axes(7, 0.9 + 0.24 * len(rows), xlabel=xlabel, title=title)
    ax.hlines(rows, lows, highs, color=BLUE, lw=2)
    ax.plot(values, rows, "o", color=BLUE)
    if lows.min() < 0:
        ax.axvline(0, color="gray", linestyle="--")
    for row, three in zip(rows, estimates.values(), strict=True):
        text = "{:z.{d}f} [{:z.{d}f}, {:z.{d}f}]".format(*three, d=digits)
        ax.text(1.02, row, text, va="center", transform=ax.get_yaxis_transform())
    ax.set_yticks(rows, list(estimates), parse_math=False)
    ax.set_ylim(len(rows) - 0.4, -0.6)  # the first on top
    ax.grid(axis="x", alpha=0.3)


def show_histograms(
    samples: Mapping[str, ndarray], *, xlabel: str, bins: int = 50
) -> None:
    """Draw the distributions of float arrays of any shape, over `bins` common edges."""
    values = [np.ravel(sample) for sample in samples.values()]
    low, high = min(v.min() for v in values), max(v.max() for v in values)
    edges = np.linspace(low, high, bins).tolist()
    ax = _make_axes(7, 2.6, xlabel=xlabel, ylabel="density")
    for name, sample, color in zip(samples, values, PALETTE, strict=False):
        label = f"{name} (n = {len(sample):,})"
        ax.hist(sample, edges, density=True, alpha=0.6, label=label, color=color)
    ax.legend(fontsize=SMALL, loc="upper right")  # looking for the best takes seconds


def show_curves(curves: Curves, *, xlabel: str, ylabel: str, log: bool = False) -> None:
    """Draw lines (x values, y values) with a marker at each measured point."""
    ax = _make_axes(6, 3, xlabel=xlabel, ylabel=ylabel)
    for k, (name, (x, y)) in enumerate(curves.items()):
        ax.plot(x, y, marker=MARKERS[k], color=PALETTE[k], label=name)
    if log:
        ax.set(xscale="log", yscale="log")
    ax.grid(alpha=0.3)
    ax.legend(fontsize=SMALL)


def show_tradeoff(curves: Tradeoffs, *, xlabel: str, ylabel: str) -> None:
    """Draw what is gained (x) against what it costs (y, logarithmic), with intervals.

    A curve is x values, y values and, if wanted, the names of its points. A value is
    three numbers, itself and the ends of its interval; more (of a `Timing`) are cut.
    """
    ax = _make_axes(7, 3.9, xlabel=xlabel, ylabel=ylabel, yscale="log", ymargin=0.12)
    for k, (curve, (xs, ys, *named)) in enumerate(curves.items()):
        k %= len(PALETTE)  # beyond six, names tell the points apart
        x, y = (np.array([three[:3] for three in values]).T for values in (xs, ys))
        x_error, y_error = (abs(three[1:] - three[0]) for three in (x, y))
        look: Options = {"marker": MARKERS[k], "color": PALETTE[k], "label": curve}
        ax.errorbar(x[0], y[0], y_error, x_error, capsize=2, elinewidth=0.8, **look)
        below: Options = {"xytext": (4, -11), "textcoords": "offset points"}
        for text, px, py in zip(*named, x[0], y[0], strict=True) if named else ():
            ax.annotate(text, (px, py), fontsize=SMALL, color=PALETTE[k], **below)
    ax.grid(alpha=0.3, which="both")
    ax.legend(fontsize=SMALL)


def show_confusion(
    shares: ndarray, labels: Sequence[str], *, xlabel: str, ylabel: str
) -> None:
    """Draw shares in [0, 1] as a table of shape (c, c): a row per true label."""
    if np.shape(shares) != (len(labels), len(labels)):
        raise ValueError(
            f"shares must have one row and one column for each of the {len(labels)} "
            f"labels. Received: shape {np.shape(shares)}."
        )
    side = min(9.0, 2.5 + 0.2 * len(labels))
    ax = _make_axes(side + 0.8, side, xlabel=xlabel, ylabel=ylabel)
    image = ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    ax.set_xticks(range(len(labels)), labels, rotation=90, fontsize=7, parse_math=False)
    ax.set_yticks(range(len(labels)), labels, fontsize=7, parse_math=False)
    plt.colorbar(image, ax=ax, label="share", shrink=0.7)


# The plane


def show_directions(vectors: Mapping[str, tuple[float, float]]) -> None:
    """Draw vectors of two numbers as arrows, with distance and angle from the first."""
    ax = _make_axes(4.4, 4.4, aspect="equal", **TWO_NUMBERS)
    ax.add_patch(plt.Circle((0, 0), 1, fill=False, linestyle=":", color="gray"))
    ax.text(0.03, 1.02, "length 1", color="gray")
    x0, y0 = next(iter(vectors.values()))
    start = np.arctan2(y0, x0)
    for (name, (x, y)), color in zip(vectors.items(), PALETTE, strict=False):
        ax.annotate("", (x, y), (0, 0), arrowprops={"arrowstyle": "->", "color": color})
        ax.annotate(name, (x, y), (4, 3), textcoords="offset points", color=color)
        if far := np.hypot(x - x0, y - y0):
            ax.plot([x0, x], [y0, y], "--", color=color, lw=1)
            ax.text((x0 + x) / 2, (y0 + y) / 2, f" distance {far:.2f}", color=color)
            turn = np.arctan2(y, x) - start
            arc = far / 2 * np.exp(1j * (start + turn * np.linspace(0, 1)))
            ax.plot(arc.real, arc.imag, color=color, lw=1)
            x, y, angle = arc[25].real, arc[25].imag, np.degrees(abs(turn))
            ax.text(x, y, f" {angle:.0f}°", color=color)
    reach = 1.15 * max(1.0, *(abs(v) for pair in vectors.values() for v in pair))
    ax.set(xlim=(-0.1 * reach, reach), ylim=(-0.1 * reach, reach))


def show_scatter(
    points: ndarray,
    thumbnails: Mapping[int, ndarray],
    *,
    labels: Titles = (),
    xlabel: str,
    ylabel: str,
    title: str = "",
) -> None:
    """Draw a collection in two dimensions: a dot per picture, and some pictures.

    `thumbnails` maps rows of `points` to pictures about 48 pixels wide, drawn there.
    Each of the `labels` has its colour, and stands at the median of its points.
    """
    shape = np.shape(points)
    if len(shape) != 2 or shape[1] != 2:
        raise ValueError(f"points must have shape (n, 2). Received: {shape}.")
    ax = _make_axes(7, 5.6, xlabel=xlabel, ylabel=ylabel, title=title)
    names, kinds = list(dict.fromkeys(labels)) or [""], np.array(labels)
    for k, name in enumerate(names):
        own = points[kinds == name] if name else points
        ax.scatter(
            own[:, 0], own[:, 1], s=8, color=PALETTE[k % len(PALETTE)], alpha=0.6
        )
        look: Options = {"ha": "center", "fontsize": SMALL, "zorder": 9}
        look["bbox"] = {"fc": "white", "ec": "none", "alpha": 0.7, "pad": 0.5}
        x, y = np.median(own, axis=0)
        ax.text(x, y, name, **look)
    for row, picture in thumbnails.items():
        image = OffsetImage(picture, zoom=0.4)
        ax.add_artist(AnnotationBbox(image, points[row], frameon=False))


def show_map(
    points: ndarray,
    thumbnails: Mapping[int, ndarray],
    *,
    colors: Ids,
    names: Mapping[str, tuple[float, float]],
    size: tuple[float, float],
    title: str = "",
) -> None:
    """Draw a map of pictures: points from 0 to 1 on a figure of `size` inches.

    `thumbnails` maps rows of `points` to pictures about 72 pixels wide, drawn there in
    a frame of the point's colour; `colors` count in the palette, and -1 is grey.
    `names` are written where they say.
    """
    ax = _make_axes(*size, xlim=(-0.03, 1.03), ylim=(-0.04, 1.04))
    ax.axis("off")
    _write_title(ax, title)
    tints = ["#999999" if c < 0 else PALETTE[c % len(PALETTE)] for c in colors]
    ax.scatter(points[:, 0], points[:, 1], s=9, c=tints, linewidths=0)
    for row, picture in thumbnails.items():
        frame: Options = {"ec": tints[row], "lw": 1.2, "fc": "white"}
        image = OffsetImage(picture, zoom=1 / 3)
        box = AnnotationBbox(image, points[row], pad=0.06, bboxprops=frame)
        ax.add_artist(box)
    look: Options = {"ha": "center", "va": "center", "fontsize": SMALL + 1, "zorder": 9}
    look["bbox"] = {"fc": "white", "ec": "none", "alpha": 0.85, "boxstyle": "round"}
    for name, place in names.items():
        ax.text(*place, name, weight="bold", parse_math=False, **look)


def show_cells(
    points: ndarray, centroids: ndarray, query: ndarray, *, probed: Ids, neighbours: Ids
) -> None:
    """Draw the cells of an inverted file, and which true neighbours a search misses.

    A cell is all that is nearest to one of the `centroids`, shape (cells, 2); those
    `probed` are tinted. `neighbours` are the rows of `points` truly nearest to `query`.
    """
    seen = np.isin(_nearest(points[neighbours], centroids), probed)
    found, missed = points[neighbours][seen], points[neighbours][~seen]
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    half = 1.05 * np.abs(points - middle).max()
    reach = 2.5 * np.abs(points[neighbours] - query).max()
    views = {"all cells": (middle, half), "around the query": (query, reach)}
    axes = _make_panels(len(views), 4.2, 4.2)
    for ax, (title, ((x, y), half)) in zip(axes, views.items(), strict=True):
        ax.set(xlim=(x - half, x + half), ylim=(y - half, y + half), title=title)
        _tint_cells(ax, centroids, probed)
        ax.plot(*points.T, ".", color="gray", ms=3, label=f"{len(points):,} vectors")
        ax.plot(*centroids.T, "+", color="black", ms=7, label="centroids")
        ax.plot(*found.T, "o", color=GREEN, ms=7, label=f"found ({len(found)})")
        ax.plot(*missed.T, "X", color=RED, ms=9, label=f"missed ({len(missed)})")
        ax.plot(*query, "*", color=BLUE, ms=14, mec="white", label="query")
        ax.set(**TWO_NUMBERS)
    axes[0].legend(fontsize=7)


def show_codebooks(panels: Mapping[str, tuple[ndarray, ndarray]]) -> None:
    """Draw what a product quantiser of two numbers can express: a grid of points.

    A panel is (points, codebooks): codebooks of shape (2, c) are the centroids of the
    first and of the second number, sorted. Every pair of them is a code; lines separate
    what goes to one code from what goes to the next.
    """
    places = zip(_make_panels(len(panels), 4, 3.9), panels.items(), strict=True)
    for ax, (title, (points, (first, second))) in places:
        ax.plot(*points.T, ".", color="gray", ms=3, label=f"n = {len(points):,}")
        for x in (first[1:] + first[:-1]) / 2:
            ax.axvline(x, color=BLUE, lw=0.6, alpha=0.6)
        for y in (second[1:] + second[:-1]) / 2:
            ax.axhline(y, color=BLUE, lw=0.6, alpha=0.6)
        grid = np.array(np.meshgrid(first, second)).reshape(2, -1)
        ax.plot(*grid, "+", color=RED, ms=9, mew=2, label=f"{grid.shape[1]} codes")
        ax.set(title=title, **TWO_NUMBERS)
        ax.set_aspect("equal", adjustable="datalim")
        ax.legend(fontsize=7)


def show_walk(points: ndarray, query: ndarray, layers: Layers) -> None:
    """Draw a walk through the layers of a graph over `points`, one panel per layer.

    A layer is (links, path): pairs of ids, and the ids that were visited, in order.
    """
    axes = _make_panels(len(layers), 3.1, 3.2, share=True)
    for ax, (title, (links, path)) in zip(axes, layers.items(), strict=True):
        ends = points[np.asarray(links, dtype=int).reshape(-1, 2)]  # (links, 2, 2)
        x, y = np.pad(ends, ((0, 0), (0, 1), (0, 0)), constant_values=np.nan).T
        ax.plot(x.T.ravel(), y.T.ravel(), "-", color="lightgray", lw=0.6, zorder=1)
        ax.plot(*points[np.unique(links)].T, ".", color="gray", ms=3)
        steps = points[np.asarray(path, dtype=int)]
        ax.plot(*query, "*", color=BLUE, ms=13, mec="white", label="query")
        ax.plot(*steps.T, "-o", color=RED, ms=4, lw=1.8, label="walk")
        ax.plot(*steps[0], "s", color=RED, ms=9, mfc="none", mew=1.8, label="start")
        ax.set(xticks=[], yticks=[])
        _write_title(ax, title)
    axes[0].legend(fontsize=SMALL)


# What the functions above share; sizes are in inches


def _make_axes(width: float, height: float, **properties: Any) -> Axes:
    _, ax = plt.subplots(figsize=(width, height), layout="constrained")
    ax.set(**properties)
    return ax


def _make_panels(
    n: int, width: float, height: float, *, share: bool = False
) -> Sequence[Axes]:
    """Make n panels side by side, each of this size."""
    size: Options = {"figsize": (width * n, height), "layout": "constrained"}
    return plt.subplots(1, n, squeeze=False, sharex=share, sharey=share, **size)[1][0]


def _make_grid(
    n: int, columns: int, cell: tuple[float, float], *, beside: float = 0.0
) -> tuple[Figure, ndarray]:
    """Make places for n pictures, without axes; `beside` is room for a colour bar."""
    columns = min(columns, n)
    rows, (width, height) = -(-n // columns), cell
    size = (width * columns + beside, height * rows)
    options: Options = {"figsize": size, "layout": "constrained"}
    figure, axes = plt.subplots(rows, columns, squeeze=False, **options)
    for ax in axes.flat:
        ax.axis("off")
    return figure, axes


def _write_title(ax: Axes, title: str, *, color: str = "black") -> None:
    """Write folder names as they are: no mathematics in $, no half characters."""
    text = title.encode(errors="replace").decode()
    text = text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
    ax.set_title(text, fontsize=SMALL, color=color, parse_math=False)


def _draw_picture(
    ax: Axes, picture: ndarray, title: str, *, color: str | None, style: str = "-"
) -> None:
    ax.imshow(picture)
    _write_title(ax, title, color=color or "black")
    if color:
        height, width = picture.shape[:2]
        edge: Options = {"ec": color, "lw": 3, "ls": style, "clip_on": False}
        ax.add_patch(Rectangle((-0.5, -0.5), width, height, fill=False, **edge))


def _tint_cells(ax: Axes, centroids: ndarray, probed: Ids) -> None:
    """Colour what is in sight of the plane by cell, with the borders in grey."""
    limits = ax.get_xlim(), ax.get_ylim()
    grid = np.meshgrid(*(np.linspace(low, high, 400) for low, high in limits))
    cells = _nearest(np.stack(grid, axis=-1), centroids)
    image = np.where(np.isin(cells, probed)[..., None], (0.80, 0.90, 0.97), 1.0)
    border = np.zeros(cells.shape, dtype=bool)
    border[:-1] |= cells[:-1] != cells[1:]
    border[:, :-1] |= cells[:, :-1] != cells[:, 1:]
    image[border] = 0.6
    ax.imshow(image, extent=(*limits[0], *limits[1]), origin="lower")


def _nearest(points: ndarray, centroids: ndarray) -> ndarray:
    """Return the nearest centroid of each point."""
    return ((points[..., None, :] - centroids) ** 2).sum(axis=-1).argmin(axis=-1)
