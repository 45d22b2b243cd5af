"""Diagrams of what a lesson is about to build: boxes, arrows and a few words.

Each function draws one structure before the reader meets it in code. They show how it
is made, not data; figures of data are in `utils.plotting`. Lengths are in a diagram's
own units, of which a figure has `UNITS` in an inch.
"""

from utils.plotting import BLUE, Axes, Rectangle, plt

UNITS = 1.0  # in an inch
TEXT = 9  # points


def _make_canvas(width: float, height: float) -> Axes:
    """Make an empty figure of width by height units; the origin is below, left."""
    size = (width / UNITS, height / UNITS)
    _, ax = plt.subplots(figsize=size, layout="constrained")
    ax.set(xlim=(0, width), ylim=(0, height), aspect="equal")
    ax.axis("off")
    return ax


def _draw_box(
    ax: Axes,
    corner: tuple[float, float],
    size: tuple[float, float],
    text: str = "",
    *,
    color: str = "white",
    edge: str = "black",
) -> None:
    """Draw a box, its lower left corner given, with a text in its middle."""
    ax.add_patch(Rectangle(corner, *size, facecolor=color, edgecolor=edge, lw=1.2))
    middle = (corner[0] + size[0] / 2, corner[1] + size[1] / 2)
    ax.text(*middle, text, ha="center", va="center", fontsize=TEXT)


def _draw_arrow(
    ax: Axes, start: tuple[float, float], end: tuple[float, float], text: str = ""
) -> None:
    """Draw an arrow, with a text above its middle."""
    ax.annotate(
        "", xy=end, xytext=start, arrowprops={"arrowstyle": "->", "color": BLUE}
    )
    middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2 + 0.08)
    ax.text(*middle, text, ha="center", va="bottom", fontsize=TEXT, color=BLUE)
