"""The page of `tools.benchmark.extraction`, from its raw results: nothing is fixed.

A speed is the median of the rounds; a ratio is taken inside each round, as for the
indexes (`tools.benchmark.standing.ratio`).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import LogLocator, NullFormatter

from tools.benchmark.extraction_filters import filter_lines
from tools.benchmark.extraction_peers import (
    BATCH,
    DATASET,
    DEFAULT,
    GENERATOR,
    LOOP,
    OURS,
    PRECISIONS,
)
from tools.benchmark.extraction_words import change, listed, table_row
from tools.benchmark.machine import busy_note, sentence
from tools.benchmark.page import outcome
from tools.benchmark.standing import ratio
from utils.metrics import Interval
from utils.plotting import BLUE, GREEN, RED

Record = dict[str, Any]
KERAS = (LOOP, DATASET, GENERATOR)
TOP10 = {"float32": 0.999, "bfloat16": 0.99, "int8": 0.95}  # the least that is allowed
COLORS = dict(zip(PRECISIONS, (BLUE, GREEN, RED), strict=True))
VERDICTS = {"ours": "faster", "peer": "slower", "none": "even"}
SIGNS = dict(zip(PRECISIONS, "osD", strict=True))


class Duel(NamedTuple):
    """One of our rows against the fastest peer of its precision, at one size."""

    size: int
    title: str
    own: Record
    peer: Record

    @property
    def ratio(self) -> Interval:
        """How many times as fast, from file to vector."""
        return ratio(self.peer["speeds"], self.own["speeds"])

    @property
    def alone(self) -> Interval | None:
        """The same of the networks alone, if both can be had."""
        if not (self.own["network"] and self.peer["network"]):
            return None
        return ratio(self.peer["network"], self.own["network"])

    @property
    def verdict(self) -> str:
        """Who is faster, if the interval tells."""
        return VERDICTS[outcome(self.ratio)]

    @property
    def keeps_neighbours(self) -> bool:
        """Whether enough of the ten nearest stay, on every sample."""
        least = TOP10[self.own["precision"]]
        return all(one["top10"] >= least for one in self.own["quality"].values())


def finished(result: Record) -> dict[str, Record]:
    """Return the rows that raced, by name."""
    return {row["name"]: row for row in result["rows"] if "failed" not in row}


def fastest(rows: Sequence[Record]) -> Record:
    """Return the row with the highest median."""
    return max(rows, key=lambda row: median(row["speeds"]))


def duels(raw: Record) -> Iterator[Duel]:
    """Yield who meets whom: as it comes against Keras, then like for like."""
    for result in raw["results"]:
        rows, size = finished(result), result["size"]
        keras = [rows[name] for name in KERAS if name in rows]
        if DEFAULT in rows and keras:
            yield Duel(size, "as it comes", rows[DEFAULT], fastest(keras))
        for precision in PRECISIONS:
            same = [row for row in rows.values() if row["precision"] == precision]
            own = [
                row
                for row in same
                if row["name"].startswith(OURS) and row["name"] != DEFAULT
            ]
            peers = [row for row in same if not row["name"].startswith(OURS)]
            if own and peers:
                yield Duel(size, precision, fastest(own), fastest(peers))


# ------------------------------------------------------------------------- the head
def page(raw: Record, figure: str) -> list[str]:
    """Return the page's lines; `figure` is the name of its picture."""
    note = busy_note(raw["quiet"])
    lines = [
        "# From picture files to vectors, side by side",
        "",
        *([note, ""] if note else []),
        answer(raw),
        "",
        f"![Pictures a second of every contender, one panel for each input size, "
        f"coloured by precision; ours are filled]({figure})",
        "",
        *_duel_table(raw),
        "",
        *_reading(raw),
    ]
    if raw.get("filters"):
        lines += ["", *filter_lines(raw)]
    for result in raw["results"]:
        lines += ["", *_full_table(result)]
    lines += ["", *_measured(raw), *_memory(raw)]
    return lines


def answer(raw: Record) -> str:
    """Return the paragraph that the page begins with."""
    found = list(duels(raw))
    sentences = []
    for result in raw["results"]:
        size = result["size"]
        here = [duel for duel in found if duel.size == size]
        parts = []
        for duel in here:
            if duel.title == "as it comes":
                speed = median(duel.own["speeds"])
                sentences.append(
                    f"At an input of {size} × {size}{_whose(raw, size)}, Lookalike as "
                    f"it comes turns {speed:.0f} pictures a second into vectors, "
                    f"{duel.ratio} times as many as Keras at its fastest "
                    f"({duel.peer['name']})."
                )
            else:
                parts.append(f"{duel.ratio} in {duel.title} ({duel.peer['name']})")
        if parts:
            sentences.append(
                "Its fast path, as a multiple of the fastest other library in the same "
                f"precision: {listed(parts)}."
            )
    for verdict, words in (
        ("slower", "**A peer is faster**"),
        ("even", "No clear difference"),
    ):
        names = [
            f"{duel.peer['name']} ({duel.title}, {duel.size})"
            for duel in found
            if duel.verdict == verdict
        ]
        if names:
            sentences.append(f"{words}: {listed(names)}.")
    lost = [duel for duel in found if not duel.keeps_neighbours]
    sentences += [
        f"{duel.own['name']} at {duel.size} misses its agreement with float32: see "
        "the table."
        for duel in lost
    ]
    return " ".join(sentences)


def _whose(raw: Record, size: int) -> str:
    return ", the notebooks'" if size == raw["weights"]["input_size"] else ""


def _duel_table(raw: Record) -> list[str]:
    lines = [
        table_row(
            *("input", "ours", "pictures/s", "fastest peer", "pictures/s", "ratio"),
            *("network alone", "top 10", "mAP against float32", "verdict"),
        ),
        table_row("---:", "---", "---:", "---", *["---:"] * 5, "---"),
    ]
    for duel in duels(raw):
        quality = next(iter(duel.own["quality"].values()))
        agrees = "" if duel.keeps_neighbours else "; **top 10 too low**"
        verdict = duel.verdict
        cells = (
            str(duel.size),
            duel.own["name"],
            f"{median(duel.own['speeds']):.1f}",
            duel.peer["name"],
            f"{median(duel.peer['speeds']):.1f}",
            str(duel.ratio),
            str(duel.alone or ""),
            f"{quality['top10']:.3f}",
            change(quality["change"]),
            (f"**{verdict}**" if verdict == "slower" else verdict) + agrees,
        )
        lines.append(table_row(*cells))
    return lines


def _reading(raw: Record) -> list[str]:
    rounds, threads = raw["rounds"], " or ".join(map(str, raw["threads"]))
    least = ", ".join(f"{value} in {name}" for name, value in TOP10.items())
    shapes = ", ".join(
        f"{times} of 16 are {width} × {height}"
        for width, height, times in raw["shapes"]
    )
    samples = listed(
        [
            f"{s['queries']} queries against {s['candidates']} ({s['title']})"
            for s in raw["samples"]
        ]
    )
    return [
        "## How to read this",
        "",
        f"- **pictures/s**: from file to vector, reading and decoding included: the "
        f"median of {rounds} rounds. Each round, every contender embeds the same "
        f"{raw['pictures']} JPEGs ({shapes}) in a process of its own; they take turns.",
        "- **ratio** [interval]: how many times as fast, taken inside each round; the "
        "95 % interval is Student's, of the logarithms. *faster* and *slower* are said "
        "only if it lies on one side of 1.",
        "- **network alone**: the same ratio for one batch of decoded pictures.",
        f"- **peers** run with {threads} threads, and PyTorch, when not compiled, in "
        "both memory layouts: the fastest on a few pictures races. Batches have "
        f"{BATCH} pictures for all. Ours run as they come, with "
        "OMP_WAIT_POLICY=passive, as the README advises. Peers without a decoder of "
        "their own get our decoding threads.",
        "- **as it comes** is `load_embedder()` and `embed_files`: the Keras model in "
        "float32. The other rows of ours are `load_fast_embedder`, which folds the "
        "batch norms; it runs int8 on OpenVINO, bfloat16 on TensorFlow, and float32 on "
        "either.",
        f"- **top 10, mAP**: against Keras in float32 on the same pixels, {samples}. "
        f"Of the ten nearest at least this share has to stay: {least}. mAP has a 95 % "
        "interval over the queries. The table shows the gallery's; *top 10 too low* "
        "counts every sample.",
        "- Every setting that was tried is in the raw results.",
    ]


# -------------------------------------------------------------------- all the rows
def _full_table(result: Record) -> list[str]:
    rows = finished(result)
    titles = list(next(iter(rows.values()))["quality"])
    keras = fastest([rows[name] for name in KERAS if name in rows])
    head = ["", "precision", "setting", "pictures/s", f"× {keras['name']}", "network"]
    for title in titles:
        head += [f"{title}: least cosine", "top 10", "mAP"]
    lines = [
        f"## Every contender, input {result['size']} × {result['size']}",
        "",
        table_row(*head),
        table_row("---", "---", "---", *["---:"] * (len(head) - 3)),
    ]
    for row in rows.values():
        speeds = row["speeds"]
        cells = [
            row["name"],
            row["precision"],
            setting(row["setting"]),
            f"{median(speeds):.1f} ({min(speeds):.1f}–{max(speeds):.1f})",
            str(ratio(keras["speeds"], speeds)),
            f"{median(row['network']):.1f}" if row["network"] else "",
        ]
        for title in titles:
            quality = row["quality"][title]
            cells += [f"{quality['cosine']:.5f}", f"{quality['top10']:.3f}"]
            cells.append(f"{quality['map']:.3f}")
        lines.append(table_row(*cells))
    failed = [row for row in result["rows"] if "failed" in row]
    if failed:
        lines += ["", "Did not run:", ""]
        lines += [f"- {row['name']}: {row['failed'].splitlines()[0]}" for row in failed]
    return lines


def setting(chosen: Record) -> str:
    """Write a setting: 2 threads, channels last."""
    parts = []
    if "threads" in chosen:
        count = chosen["threads"]
        parts.append(f"{count} thread{'s' * (count > 1)}")
    if "channels_last" in chosen:
        parts.append("channels last" if chosen["channels_last"] else "channels first")
    return ", ".join(parts) or "as it comes"


def _measured(raw: Record) -> list[str]:
    return [
        "## Measured on",
        "",
        f"{raw['date']}, {sentence(raw['machine'], raw['threads'])} Load before it "
        f"began: {raw['quiet']['load']:.2f}.",
        "",
        "Written by `python -m tools.benchmark.extraction`; do not edit. The raw "
        "results stand beside it in JSON, and `--redraw` makes the page from them.",
    ]


def _memory(raw: Record) -> list[str]:
    lines = []
    if seconds := raw.get("startup"):
        lines += [
            "",
            "## Warm start",
            "",
            "A new process loads a saved search of the gallery and answers a query "
            f"whose vector is cached, without TensorFlow, in {median(seconds):.2f} s "
            f"({min(seconds):.2f}–{max(seconds):.2f}), Python's own start included.",
        ]
    if raw.get("memory"):
        lines += ["", "## Memory", "", "Peak above the loaded model:", ""]
        for row in raw["memory"]:
            lines.append(
                f"- {row['title']}: {row['rise']:,.0f} MB "
                f"({row['pictures']:,} pictures in {row['seconds']:.0f} s)"
            )
    return lines


def summary(raw: Record) -> str:
    """Return what to print when it is done."""
    return "\n".join(
        f"input {duel.size}, {duel.own['name']}: {duel.ratio} × {duel.peer['name']}"
        for duel in duels(raw)
    )


def draw(raw: Record, path: Path) -> None:
    """Draw every contender's speed, a panel for each size, and save it."""
    results = [result for result in raw["results"] if finished(result)]
    figure, panels = plt.subplots(
        1,
        len(results),
        figsize=(5 * len(results), 6),
        squeeze=False,
        layout="constrained",
    )
    for ax, result in zip(panels[0], results, strict=True):
        rows = sorted(finished(result).values(), key=lambda row: median(row["speeds"]))
        for place, row in enumerate(rows):
            middle, color = median(row["speeds"]), COLORS[row["precision"]]
            ours = row["name"].startswith(OURS)
            ax.errorbar(
                middle,
                place,
                xerr=[[middle - min(row["speeds"])], [max(row["speeds"]) - middle]],
                marker=SIGNS[row["precision"]],
                color=color,
                markerfacecolor=color if ours else "white",
                capsize=2,
            )
            ax.annotate(
                f"{middle:.0f}",
                (middle, place),
                (0, 6),
                fontsize=7,
                textcoords="offset points",
                ha="center",
            )
        keras = [row for row in rows if row["name"] in KERAS]
        if keras:
            ax.axvline(median(fastest(keras)["speeds"]), color="grey", linestyle=":")
        ax.set_yticks(range(len(rows)), [row["name"] for row in rows], fontsize=8)
        ax.set(xscale="log", xlabel="pictures a second (log), from file to vector")
        ax.set_title(f"input {result['size']} × {result['size']}", fontsize=10)
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.grid(axis="x", alpha=0.3)
    for precision in PRECISIONS:
        panels[0][0].plot(
            [], [], SIGNS[precision], color=COLORS[precision], label=precision
        )
    panels[0][0].plot([], [], ":", color="grey", label="Keras's fastest predict")
    panels[0][0].plot([], [], "ok", markerfacecolor="white", label="hollow: peers")
    figure.legend(fontsize=8, loc="outside lower center", ncols=len(PRECISIONS) + 2)
    figure.savefig(path, dpi=110)
    plt.close(figure)
