"""Every figure of the series.

Functions draw with pyplot and return nothing: in a notebook the figure appears under
the cell.  They take pixels, words and numbers only.  A wrong result is marked three
times, by colour, by a dashed frame and by a sign, so that no reader depends on colour.
"""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

# Okabe and Ito's palette: told apart with any kind of colour vision.
BLUE, GREEN, RED = "#0072B2", "#009E73", "#D55E00"
PALETTE = (BLUE, "#E69F00", GREEN, "#CC79A7", RED, "#56B4E9")
MARKERS = "osD^vP"


def show_pictures(
    pictures: Sequence[np.ndarray],
    titles: Sequence[str] = (),
    *,
    columns: int = 6,
    size: float = 1.4,
) -> None:
    """Draw pictures in a grid, left to right, top to bottom.

    Parameters
    ----------
    pictures : sequence of arrays of shape (height, width, 3) or (height, width)
        uint8 RGB or grey; float arrays must lie in [0, 1].
    titles : sequence of str
        One a picture, or none.
    columns : int
        Pictures a row.
    size : float
        Height of a row in inches.

    Raises
    ------
    ValueError
        If there are no pictures, or titles of another number.
    """
    if not len(pictures) or len(titles) not in (0, len(pictures)):
        raise ValueError(
            "show_pictures needs pictures, and one title for each or none. "
            f"Received: {len(pictures)} pictures and {len(titles)} titles."
        )
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    height = (size + (0.25 if len(titles) else 0)) * rows
    _, axes = plt.subplots(
        rows, columns, figsize=(size * columns, height), layout="constrained"
    )
    for ax in np.ravel(axes):
        ax.axis("off")
    for ax, picture in zip(np.ravel(axes), pictures, strict=False):
        ax.imshow(picture, cmap="gray")
    for ax, title in zip(np.ravel(axes), titles, strict=False):
        _write_title(ax, title)


def show_results(
    queries: Sequence[np.ndarray],
    results: Sequence[Sequence[np.ndarray]],
    *,
    query_titles: Sequence[str] = (),
    titles: Sequence[Sequence[str]] = (),
    right: Sequence[Sequence[bool]] = (),
) -> None:
    """Draw one row a query: the query first, in a blue frame, then what was found.

    Parameters
    ----------
    queries : sequence of arrays of shape (height, width, 3)
        uint8 RGB.
    results : one sequence of pictures a query
        Best first.
    query_titles : sequence of str
        Written over each query.
    titles : one sequence of str a query
        Written over each result.
    right : one sequence of bool a query
        Whether each result is of the right kind.  Left out: no frames.

    Raises
    ------
    ValueError
        If there are no queries, or not one list of results for each.
    """
    if not len(queries) or len(queries) != len(results):
        raise ValueError(
            "show_results needs at least one query and a list of results for each. "
            f"Received: {len(queries)} queries and {len(results)} lists."
        )
    rows, columns = len(queries), 1 + max(len(found) for found in results)
    _, axes = plt.subplots(
        rows,
        columns,
        figsize=(1.45 * columns, 1.75 * rows),
        layout="constrained",
        squeeze=False,
    )
    for ax in axes.flat:
        ax.axis("off")
    for row, query in enumerate(queries):
        title = query_titles[row] if len(query_titles) else "query"
        _draw_picture(axes[row, 0], query, title, color=BLUE)
        for column, picture in enumerate(results[row]):
            title = titles[row][column] if len(titles) else ""
            color, style, sign = None, "-", ""
            if len(right):
                good = right[row][column]
                color, style, sign = (GREEN, "-", "✓ ") if good else (RED, "--", "✗ ")
            ax = axes[row, column + 1]
            _draw_picture(ax, picture, sign + title, color=color, style=style)


def show_vector(vector: np.ndarray, *, rows: int = 32) -> None:
    """Draw a long vector as a rectangle of cells, row after row.

    Parameters
    ----------
    vector : float array of shape (d,)
        d must be a multiple of `rows`.
    rows : int
        Rows of the rectangle.
    """
    _, ax = plt.subplots(figsize=(7, 7 * rows**2 / len(vector) + 0.6))
    image = ax.imshow(vector.reshape(rows, -1), cmap="viridis")
    ax.set(xticks=[], yticks=[], xlabel=f"{len(vector):,} numbers, row by row")
    plt.colorbar(image, ax=ax, label="value", pad=0.02)


def show_bars(
    groups: Mapping[str, Mapping[str, float]], *, ylabel: str, title: str = ""
) -> None:
    """Draw grouped bars with their values: one group a key, one bar an inner key.

    Parameters
    ----------
    groups : mapping from a group's name to a mapping from a bar's name to its height
        Every group has the same bars.
    ylabel, title : str
        What the heights are, and of what.
    """
    names = list(next(iter(groups.values())))
    width = 0.8 / len(names)
    _, ax = plt.subplots(figsize=(7, 3), layout="constrained")
    for k, name in enumerate(names):
        places = np.arange(len(groups)) + (k - (len(names) - 1) / 2) * width
        heights = [group[name] for group in groups.values()]
        bars = ax.bar(places, heights, width * 0.92, label=name, color=PALETTE[k])
        ax.bar_label(bars, fmt="%.2f", fontsize=8)
    ax.set_xticks(range(len(groups)), list(groups))
    ax.set(ylabel=ylabel, title=title)
    ax.margins(y=0.12)
    if len(names) > 1:
        ax.legend(fontsize=8)


def show_histograms(
    samples: Mapping[str, np.ndarray], *, xlabel: str, bins: int = 50
) -> None:
    """Draw the distribution of several samples over one axis.

    Parameters
    ----------
    samples : mapping from a name to a float array of any shape
    xlabel : str
        What is measured.
    bins : int
        Steps over the common range.
    """
    values = [np.ravel(sample) for sample in samples.values()]
    edges = np.linspace(
        min(v.min() for v in values), max(v.max() for v in values), bins
    )
    _, ax = plt.subplots(figsize=(7, 2.6), layout="constrained")
    for (name, _), sample, color in zip(samples.items(), values, PALETTE, strict=False):
        label = f"{name} (n = {len(sample):,})"
        ax.hist(sample, edges, density=True, alpha=0.6, label=label, color=color)
    ax.set(xlabel=xlabel, ylabel="density")
    ax.legend(fontsize=8)


def show_directions(vectors: Mapping[str, Sequence[float]]) -> None:
    """Draw vectors of two numbers as arrows from the origin, with the unit circle.

    Parameters
    ----------
    vectors : mapping from a name to two numbers
    """
    _, ax = plt.subplots(figsize=(3.6, 3.6), layout="constrained")
    ax.add_patch(plt.Circle((0, 0), 1, fill=False, linestyle=":", color="gray"))
    for (name, (x, y)), color in zip(vectors.items(), PALETTE, strict=False):
        ax.annotate("", (x, y), (0, 0), arrowprops={"arrowstyle": "->", "color": color})
        ax.annotate(name, (x, y), fontsize=10, color=color, ha="left", va="bottom")
    reach = 1.15 * max(1.0, *(abs(v) for pair in vectors.values() for v in pair))
    ax.set(xlim=(-0.1 * reach, reach), ylim=(-0.1 * reach, reach), aspect="equal")
    ax.set(xlabel="first number", ylabel="second number")


def show_curves(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    xlabel: str,
    ylabel: str,
    log: bool = False,
) -> None:
    """Draw lines with a marker at each measured point.

    Parameters
    ----------
    curves : mapping from a name to (x values, y values)
    xlabel, ylabel : str
        What is measured, with its unit.
    log : bool
        Logarithmic axes.
    """
    _, ax = plt.subplots(figsize=(6, 3), layout="constrained")
    for k, (name, (x, y)) in enumerate(curves.items()):
        ax.plot(x, y, marker=MARKERS[k], color=PALETTE[k], label=name)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    if log:
        ax.set(xscale="log", yscale="log")
    ax.grid(alpha=0.3)
    ax.legend(fontsize=8)


def _write_title(ax: Axes, title: str, *, color: str = "black") -> None:
    """Write folder names as they are: no mathematics in $, no half characters."""
    text = title.encode(errors="replace").decode()
    ax.set_title(text, fontsize=8, color=color, parse_math=False)


def _draw_picture(
    ax: Axes, picture: np.ndarray, title: str, *, color: str | None, style: str = "-"
) -> None:
    ax.imshow(picture)
    _write_title(ax, title, color=color or "black")
    if color:
        height, width = picture.shape[:2]
        frame = Rectangle(
            (-0.5, -0.5), width, height, fill=False, ec=color, lw=3, ls=style
        )
        frame.set_clip_on(False)
        ax.add_patch(frame)
