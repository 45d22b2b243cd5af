"""The figure of the results page: each family's Pareto front."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from tools.benchmark.contenders import BASELINE, FORMS, LIBRARIES, K
from tools.benchmark.standing import LEVELS, Section, front, mean_recall
from utils.plotting import PALETTE

# A library has a colour, a form of storage has a mark: no two families of one library
# share a mark and a line at once.
COLOURS = dict(zip(LIBRARIES, (*PALETTE, "#000000"), strict=True))
MARKS = dict(zip(FORMS, "osDv^", strict=True))
LINES = ("-", "--", ":", "-.")
LOWEST = 0.8  # recall; what finds less serves nobody
Style = tuple[str, str, str]  # colour, mark, line


def styles(section: Section) -> dict[str, Style]:
    """Return a style for each family's name; no two are the same."""
    found: dict[str, Style] = {}
    for family in section.families:
        pair = COLOURS[family.library], MARKS[family.form]
        line = next(line for line in LINES if (*pair, line) not in found.values())
        found[family.name] = (*pair, line)
    return found


def plot_fronts(section: Section, path: Path) -> None:
    """Draw recall against milliseconds of every setting that nothing else beats.

    The times are the sweep's: one query after the other, one thread.
    """
    figure, ax = plt.subplots(figsize=(11, 6.5), layout="constrained")
    for level in LEVELS:
        ax.axhline(level, color="grey", linewidth=0.8, linestyle=(0, (1, 3)))
    for family in section.families:
        points = front(section.points(family))
        colour, mark, line = styles(section)[family.name]
        if family.name == BASELINE:
            ax.axvline(points[0]["ms"], color=colour, lw=3, alpha=0.4, label=BASELINE)
            continue
        ax.plot(
            [point["ms"] for point in points],
            [mean_recall(point) for point in points],
            color=colour,
            marker=mark,
            linestyle=line,
            markersize=5,
            linewidth=1.2,
            label=family.name,
        )
    ax.set(xscale="log", xlabel="milliseconds a query, one thread (log)")
    ax.set(ylabel=f"recall@{K}", ylim=(LOWEST, 1.005))
    ax.set_title(f"{section.facts['title']}: up and to the left is better")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.grid(alpha=0.3)
    forms = [
        Line2D([], [], color="grey", marker=mark, linestyle="", label=form)
        for form, mark in MARKS.items()
    ]
    figure.legend(fontsize=7, loc="outside right upper")
    figure.legend(handles=forms, fontsize=7, loc="outside right lower")
    figure.savefig(path, dpi=110, pil_kwargs={"quality": 85})
    plt.close(figure)
