"""Draw the model card's curves.

    python tools/plot_training.py

Reads the logs of the shipped weights: `models/training.jsonl`, one line a pass, by
`tools/train_resnet50.py`, and `models/distillation.jsonl`, one line every hundred
steps, by `tools/distil_resnet50.py`.  Writes `.png` files beside them.
"""

import json
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

MODELS = Path(__file__).parents[1] / "models"


def read_log(log: Path) -> list[dict]:
    """Return the records of a file of JSON lines."""
    with open(log, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def mark_sizes(
    axes: Sequence[Axes], records: list[dict], places: Sequence[float], after: float = 0
) -> None:
    """Name the size of each stretch of records above, and end it by a line.

    Parameters
    ----------
    axes : sequence of Axes
        All get the lines, the first one the names.
    records : list of dict
        With the key size.
    places : sequence of float
        Where each record stands on the horizontal axis.
    after : float
        How far behind its last record a stretch ends.
    """
    sizes = [record["size"] for record in records]
    for size, stretch in groupby(zip(sizes, places, strict=True), key=lambda x: x[0]):
        run = [place for _, place in stretch]
        for one in axes:
            one.axvline(run[-1] + after, color="0.85", linewidth=1)
        axes[0].annotate(
            f"{size} px",
            ((run[0] + run[-1]) / 2, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
        )


def draw(log: Path, picture: Path) -> None:
    """Draw the log's accuracies and rates, and mark the passes of each size.

    Parameters
    ----------
    log : path
        JSON lines with the keys pass, size, rate, accuracy and average.
    picture : path
        Where to save; the suffix says in which format.
    """
    records = read_log(log)
    passes = [record["pass"] for record in records]
    figure, (upper, lower) = plt.subplots(
        2, sharex=True, figsize=(7, 4.2), height_ratios=[4, 1], layout="constrained"
    )
    for key, name, style in (
        ("average", "moving average of the weights", "-"),
        ("accuracy", "the network itself", "--"),
    ):
        shares = [100 * record[key] for record in records]
        upper.plot(passes, shares, style, marker="o", markersize=3, label=name)
    mark_sizes((upper, lower), records, passes, after=0.5)
    upper.set(ylabel="named right, %", ylim=(0, None))
    upper.legend(loc="upper left", frameon=False)
    rates = [record["rate"] for record in records]
    lower.plot(passes, rates, color="0.4", marker="o", markersize=3)
    lower.set(
        xlabel="pass", ylabel="rate", ylim=(0, None), xlim=(0.5, passes[-1] + 0.5)
    )
    lower.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.savefig(picture, dpi=110)
    plt.close(figure)


def draw_distillation(log: Path, picture: Path) -> None:
    """Draw how far the network is from its teacher, and the rate.

    Parameters
    ----------
    log : path
        JSON lines with the keys pictures, size, rate, cosine and classes.
    picture : path
        Where to save; the suffix says in which format.
    """
    records = read_log(log)
    seen = [record["pictures"] / 1000 for record in records]
    figure, axes = plt.subplots(
        3, sharex=True, figsize=(7, 4.8), height_ratios=[3, 3, 1], layout="constrained"
    )
    for one, key, name in (
        (axes[0], "classes", "class probabilities,\nKL × 4, nats"),
        (axes[1], "cosine", "vectors,\n1 − cosine"),
        (axes[2], "rate", "rate"),
    ):
        one.plot(seen, [record[key] for record in records], color="C0")
        one.set(ylabel=name)
    mark_sizes(axes, records, seen)
    axes[2].set(xlabel="pictures seen, thousands", ylim=(0, None), xlim=(0, seen[-1]))
    figure.savefig(picture, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    draw(MODELS / "training.jsonl", MODELS / "training.png")
    draw_distillation(MODELS / "distillation.jsonl", MODELS / "distillation.png")
