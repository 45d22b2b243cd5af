"""The results as Markdown and plots.  Every figure comes from the kept results.

A time is the median over all rounds of the race, a ratio the median of the ratios
inside each round, with the lowest and the highest of them.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from tools.benchmark.contenders import (
    BASELINE,
    CELLS,
    EVERYONE,
    GRAPH,
    PACKAGES,
    Contender,
    cells_for,
    missing,
)
from tools.benchmark.data import Facts, K, load_facts
from tools.benchmark.race import LEVELS, Results, cheapest
from utils.plotting import MARKERS, PALETTE

BUSY = 0.5  # processes a core that wanted to run before we began
AGREEMENT = 0.05


class Standing:
    """What the results say of one contender on one collection."""

    def __init__(self, results: Results, facts: Facts, contender: Contender) -> None:
        key = {"data": facts.fingerprint, "contender": contender.name}
        self.contender, self.facts = contender, facts
        self.build = results.newest(**key, kind="build") or {}
        self.sweep = results.newest(**key, kind="sweep") or {}
        self.failure = results.newest(**key, kind="failure") or {}
        rounds = results.of(data=facts.fingerprint, kind="round")
        # A ratio is taken among those who raced together.  The widest race counts (the
        # same vectors may serve two sections), and of such races the newest.
        widest = max((len(r["contenders"]) for r in rounds), default=0)
        rounds = [r for r in rounds if len(r["contenders"]) == widest]
        self.racers = rounds[-1]["contenders"] if rounds else []
        self.rounds = [r for r in rounds if r["contenders"] == self.racers]

    @property
    def is_shown(self) -> bool:
        """Whether it took part, or failed where others did."""
        return self.contender.name in self.racers and bool(self.sweep or self.failure)

    @property
    def points(self) -> list[dict[str, Any]]:
        """The sweep: recall and cost of each setting."""
        return self.sweep["points"] if self.sweep else []

    @property
    def best_recall(self) -> float:
        """The highest recall of any setting."""
        return max((point["recall"] for point in self.points), default=0.0)

    @property
    def bytes_a_vector(self) -> float:
        """Memory that opening the index took, for each vector."""
        return self.sweep["memory"] / self.facts.n if self.sweep else float("nan")

    def point(self, level: float) -> dict[str, Any]:
        """The cheapest setting that reaches a recall; empty if none does."""
        return cheapest(self.points, level) or {}

    def turns(self, level: float, threads: int) -> list[dict[str, Any]]:
        """What that setting did in each round."""
        point = self.point(level)
        if not point:
            return []
        return [
            turn
            for record in self.rounds
            if record["threads"] == threads
            for turn in record["turns"]
            if turn["contender"] == self.contender.name
            and turn["setting"] == point["setting"]
        ]

    def singles(self, level: float) -> list[list[float]]:
        """Milliseconds one by one with one thread, a list for each round."""
        return [turn["ms"] for turn in self.turns(level, 1)]

    def p50(self, level: float) -> float:
        """The median milliseconds of a query alone, one thread; 0 if not measured."""
        times = self.singles(level)
        return float(np.median(np.concatenate(times))) if times else 0.0


def ratios(one: Standing, other: Standing, level: float) -> list[float]:
    """How often faster `one` is than `other` at a recall, in each round."""
    pairs = zip(one.singles(level), other.singles(level), strict=False)
    return [median(theirs) / median(ours) for ours, theirs in pairs]


def write(path: Path, results: Results, work: Path) -> None:
    """Write the page and its plots beside it.

    Raises
    ------
    ValueError
        If nothing was measured yet on this machine.
    """
    run = results.newest(kind="run")
    if run is None:
        raise ValueError(
            f"{results.path}: no results of this machine and these versions. "
            "Run: python -m tools.benchmark"
        )
    tables: dict[str, list[list[Standing]]] = {}
    for kind, folder in run["sections"]:
        facts = load_facts(work / folder)
        standings = [Standing(results, facts, contender) for contender in EVERYONE]
        present = [s for s in standings if s.is_shown]
        if present:
            tables.setdefault(kind, []).append(present)
    text = "\n".join(_parts(run, tables, path))
    path.write_text(text.rstrip() + "\n", encoding="utf-8")


def _parts(run: dict, tables: dict[str, list], path: Path) -> Iterator[str]:
    yield "# FAISS and its peers, side by side\n"
    yield "Written by `python -m tools.benchmark`; do not edit.\n"
    yield from _setting(run)
    yield from _targets(tables)
    for standings in [*tables.get("main", []), *tables.get("collection", [])]:
        yield from _collection(standings, path)
    yield from _million(tables)
    yield from _growth(tables, path)
    yield from _agreement(tables)
    yield from _reading(run)


def _setting(run: dict) -> Iterator[str]:
    machine = run["machine"]
    yield (
        f"{run['date']}, {machine['processor']}, {machine['cores']} cores, "
        f"{machine['memory_gb']} GB of memory, {machine['system']}. "
        + ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
        + f". Command: `{run['command'].strip()}`.\n"
    )
    if run["load"] > BUSY * machine["cores"]:
        yield (
            f"**The machine was not quiet**: {run['load']:.1f} processes wanted to run "
            "before the benchmark began. Ratios are taken inside a round, which a busy "
            "machine slows as a whole; single times may be too long.\n"
        )
    absent = [missing(library) for library in PACKAGES if missing(library)]
    if absent:
        yield "Not measured: " + "; ".join(absent) + ".\n"


def _targets(tables: dict[str, list]) -> Iterator[str]:
    yield "## Targets\n"
    for standings in tables.get("main", []):
        facts = standings[0].facts
        yield f"On {facts.title.lower()} ({facts.note}):\n"
        yield from (f"- {line}" for line in _fast(standings))
        yield f"- {_compact(standings, 'small', part=4, level=0.95, times=20)}"
        yield f"- {_compact(standings, 'tiny', part=8, level=0.90, times=0)}\n"
    for standings in tables.get("million", []):
        yield f"On {standings[0].facts.title.lower()}:\n"
        yield f"- {_large(standings)}\n"


def _fast(standings: list[Standing]) -> Iterator[str]:
    ours = _quickest(s for s in standings if not s.contender.is_peer)
    peer = _quickest(s for s in standings if s.contender.is_peer)
    aim = "**fast** (recall ≥ 0.95, no slower than the best peer)"
    if ours is None or peer is None:
        yield f"{aim}: not decided; no contender on one of the sides reaches 0.95."
        return
    found = ratios(ours, peer, 0.95)
    yield (
        f"{aim}: {_verdict(median(found) >= 1)}. {_words(ours, 0.95)}; the best peer "
        f"is {_words(peer, 0.95)}. Ratio {_spread(found)}."
    )
    yield from _limit(ours, 0.95, met=median(found) >= 1)


def _compact(
    standings: list[Standing], name: str, *, part: int, level: float, times: float
) -> str:
    aim = f"**{name}** (1/{part} of Flat's memory or less, recall ≥ {level:.2f}"
    aim += f", {times} times as fast as Flat)" if times else ")"
    flat = _named(standings, BASELINE)
    if flat is None:
        return f"{aim}: not decided; {BASELINE} is missing."
    small = [s for s in standings if s.bytes_a_vector * part <= flat.bytes_a_vector]
    ours = _quickest((s for s in small if not s.contender.is_peer), level)
    if ours is None:
        best = max(small, key=lambda s: s.best_recall, default=None)
        words = f"; {best.contender.name} finds {best.best_recall:.3f}" if best else ""
        return f"{aim}: **missed**. No index so small reaches it{words}."
    found = ratios(ours, flat, level)
    share = flat.bytes_a_vector / ours.bytes_a_vector
    text = (
        f"{aim}: {_verdict(median(found) >= times)}. {_words(ours, level)}, "
        f"{ours.bytes_a_vector:.0f} bytes a vector, 1/{share:.1f} of Flat's; "
        f"{_spread(found)} times as fast as Flat."
    )
    return " ".join([text, *_limit(ours, level, met=median(found) >= times)])


def _large(standings: list[Standing]) -> str:
    aim = "**large** (built under 6 GB, recall ≥ 0.90, p50 under 10 ms, one thread)"
    ours = _quickest((s for s in standings if s.build), 0.90)
    if ours is None:
        return f"{aim}: **missed**. No index reaches a recall of 0.90."
    peak = ours.build["peak"] / 1e9
    met = peak < 6 and ours.p50(0.90) < 10
    return f"{aim}: {_verdict(met)}. {_words(ours, 0.90)}; {peak:.1f} GB at the peak."


def _limit(standing: Standing, level: float, *, met: bool) -> Iterator[str]:
    """Say what a search that was too slow does, for the reader to judge."""
    distances = standing.point(level).get("distances", 0)
    if not met and distances:
        milliseconds = standing.p50(level)
        yield (
            f"What bounds it: {distances:,.0f} vectors are compared a query, "
            f"{1e6 * milliseconds / distances:.0f} ns each."
        )


def _collection(standings: list[Standing], path: Path) -> Iterator[str]:
    facts = standings[0].facts
    yield f"## {facts.title}: n = {facts.n:,}, d = {facts.d:,}\n"
    yield f"{facts.queries} queries. {facts.note[0].upper()}{facts.note[1:]}.\n"
    yield from _table(standings)
    picture = path.with_name(f"{path.stem.lower()}-{facts.fingerprint[:6]}.jpg")
    plot_sweeps(standings, picture)
    yield f"\n![Recall against time, {facts.title}]({picture.name})\n"


def _table(standings: list[Standing]) -> Iterator[str]:
    """A row for each contender and recall; one for a contender that reaches none."""
    threads = sorted({r["threads"] for s in standings for r in s.rounds})
    batches = [f"{t} thread{'s'[: t > 1]}, queries/s" for t in threads]
    flat = _named(standings, BASELINE)
    yield _row(
        "index", "asked", "recall@10", "setting", "p50 ms", "p95 ms", "× Flat",
        *batches, "build s", "bytes/vector", "file MB",
    )  # fmt: skip
    yield _row("---", *["---:"] * (8 + len(batches) + 1))
    for standing in standings:
        if not standing.sweep:
            reason = f"failed: {standing.failure['error']}"
            yield _row(standing.contender.name, reason, *[""] * (8 + len(batches)))
            continue
        levels = [level for level in LEVELS if standing.point(level)]
        if not levels:
            yield _row(
                standing.contender.name,
                "none",
                f"{standing.best_recall:.3f}",
                *[""] * (4 + len(batches)),
                *_costs(standing),
            )
        for level in _distinct(standing, levels):
            yield _row(*_figures(standing, level, flat, threads), *_costs(standing))


def _distinct(standing: Standing, levels: list[float]) -> list[float]:
    """Of levels reached by one and the same setting keep the highest."""
    setting = {str(standing.point(level)["setting"]): level for level in levels}
    return list(setting.values())


def _figures(
    standing: Standing, level: float, flat: Standing | None, threads: list[int]
) -> list[str]:
    point = standing.point(level)
    setting = ", ".join(f"{key} {value}" for key, value in point["setting"].items())
    times = np.concatenate([*standing.singles(level), np.empty(0)])
    found = ratios(standing, flat, level) if flat else []
    batches = [
        [turn["per_second"] for turn in standing.turns(level, t)] for t in threads
    ]
    return [
        standing.contender.name,
        f"{level:.2f}",
        f"{point['recall']:.3f}",
        setting or "–",
        *([f"{np.percentile(times, p):.3f}" for p in (50, 95)] if len(times) else "––"),
        _spread(found) if found else "–",
        *(f"{median(batch):,.0f}" if batch else "–" for batch in batches),
    ]


def _costs(standing: Standing) -> list[str]:
    build = standing.build or {"seconds": float("nan"), "file": float("nan")}
    return [
        f"{build['seconds']:.1f}",
        f"{standing.bytes_a_vector:,.0f}",
        f"{build['file'] / 1e6:,.1f}",
    ]


def _million(tables: dict[str, list]) -> Iterator[str]:
    for standings in tables.get("million", []):
        facts = standings[0].facts
        yield f"## {facts.title}: n = {facts.n:,}, d = {facts.d:,}\n"
        whole = 4 * facts.n * facts.d / 1e9
        yield (
            f"{facts.queries} queries; {facts.note}. As float32 the vectors would take "
            f"{whole:.1f} GB; each process draws them in blocks.\n"
        )
        yield from _table(standings)
        yield (
            "\nPeak of memory while building: "
            + "; ".join(
                f"{s.contender.name} {s.build['peak'] / 1e9:.1f} GB"
                for s in standings
                if s.build
            )
            + ".\n"
        )


def _growth(tables: dict[str, list], path: Path) -> Iterator[str]:
    sizes = [*tables.get("growth", []), *tables.get("main", [])[:1]]
    sizes += tables.get("million", [])
    if len(sizes) < 2:
        return
    picture = path.with_name(f"{path.stem.lower()}-growth.jpg")
    plot_growth(sizes, picture)
    yield "## Cost against n\n"
    yield (
        "Milliseconds a query (p50, one thread) of the cheapest setting with a recall "
        "of at least 0.95, on enlargements of different size.\n"
    )
    names = [c.name for c in EVERYONE if _named(sizes[0], c.name)]
    yield _row("index", *(f"n = {standings[0].facts.n:,}" for standings in sizes))
    yield _row("---", *["---:"] * len(sizes))
    for name in names:
        standings = [_named(size, name) for size in sizes]
        times = [standing and standing.p50(0.95) for standing in standings]
        yield _row(name, *(f"{ms:.3f}" if ms else "–" for ms in times))
    yield f"\n![Milliseconds a query against n]({picture.name})\n"


def _agreement(tables: dict[str, list]) -> Iterator[str]:
    """Compare the enlargement's recall–nprobe curve with that of real vectors."""
    sections = tables.get("agreement", [])
    pair = [s for standings in sections if (s := _named(standings, CELLS))]
    if len(pair) < 2:
        return
    real, drawn = (
        {p["setting"]["nprobe"]: p["recall"] for p in standing.points}
        for standing in pair
    )
    probes = [probe for probe in real if probe in drawn]
    largest = max(abs(real[probe] - drawn[probe]) for probe in probes)
    n = pair[0].facts.n
    yield "## Is an enlargement like real vectors?\n"
    yield (
        f"{n:,} real vectors against {n:,} {pair[1].facts.note}. {CELLS} with "
        f"{cells_for(n)} cells on both. The recalls differ by at most "
        f"{largest:.3f}: {'within' if largest <= AGREEMENT else 'beyond'} "
        f"{AGREEMENT}.\n"
    )
    yield _row("nprobe", *map(str, probes))
    yield _row("---", *["---:"] * len(probes))
    for name, curve in (("real", real), ("enlargement", drawn)):
        yield _row(name, *(f"{curve[probe]:.3f}" for probe in probes))
    yield ""
    if largest > AGREEMENT:
        worst = max(probes, key=lambda probe: abs(real[probe] - drawn[probe]))
        yield (
            f"At nprobe {worst} the real vectors reach {real[worst]:.3f}, the "
            f"enlargement {drawn[worst]:.3f}. This is what an enlargement hides: it "
            "lies around few real vectors, so that neighbours share a cell more often "
            "than among as many real ones. Look for your own settings on your own "
            "vectors.\n"
        )


def _reading(run: dict) -> Iterator[str]:
    yield f"""## How to read this

- **recall@10**: of the {K} true neighbours, how many were found; the mean over the queries. Ties count (`utils.metrics.ann_recall`).
- **asked**: each contender's own parameters are swept, and the cheapest setting that reaches a recall of 0.90, 0.95 and 0.99 races. Where one setting reaches several, it has one row.
- **p50, p95**: milliseconds of one query alone, one thread. **queries/s**: all queries in one call.
- **× Flat**: how often faster than {BASELINE}, one by one, with the lowest and highest round in brackets. In a round every contender takes one short turn, in changing order.
- **bytes/vector**: growth of the process's memory when it opens the index, divided by n. **build s**: with {max(run["threads"])} threads, training included.
- Every contender has a process of its own. Every graph is built with M = {GRAPH["links"]} and efConstruction = {GRAPH["effort"]}. An IVF has about 2√n cells.
- hnswlib comes as source and is compiled for this very processor; the others are wheels.
- Of a PCA only the components in use are kept (`PCAMat.clear()` after training); FAISS would store all.
- Behind PCA the squared distance is searched, which ranks unit vectors as the inner product does: PCA moves the origin, and inner products change with it.

| index | what it is |
|---|---|
""" + "\n".join(f"| {c.name} | {c.about} |" for c in EVERYONE)  # noqa: E501


def plot_sweeps(standings: Iterable[Standing], path: Path) -> None:
    """Draw recall against time of every setting that nothing beats in both."""
    figure, ax = plt.subplots(figsize=(9, 5.5), layout="constrained")
    for number, standing in enumerate(s for s in standings if s.points):
        points = _front(standing.points)
        ax.plot(
            [point["recall"] for point in points],
            [1e3 / point["ms"] for point in points],
            marker=MARKERS[(number + number // len(PALETTE)) % len(MARKERS)],
            color=PALETTE[number % len(PALETTE)],
            linestyle="--" if standing.contender.is_peer else "-",
            alpha=0.9 if number < len(PALETTE) else 0.6,
            label=standing.contender.name,
        )
    ax.set(yscale="log", xlabel="recall@10", ylabel="queries a second, one by one")
    ax.set_xlim(0.6, 1.005)
    ax.set_title(f"{standing.facts.title}, n = {standing.facts.n:,}, one thread")
    ax.grid(alpha=0.3)
    ax.legend(fontsize=7, ncols=2)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def plot_growth(sizes: list[list[Standing]], path: Path) -> None:
    """Draw milliseconds a query against n."""
    figure, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
    names = [c.name for c in EVERYONE if _named(sizes[0], c.name)]
    for number, name in enumerate(names):
        standings = [s for size in sizes if (s := _named(size, name))]
        points = [(s.facts.n, s.p50(0.95)) for s in standings if s.p50(0.95)]
        if points:
            ax.plot(
                *zip(*points, strict=True),
                marker=MARKERS[number],
                color=PALETTE[number],
                label=name,
            )
    ax.set(xscale="log", yscale="log", xlabel="vectors", ylabel="ms a query (p50)")
    ax.grid(alpha=0.3)
    ax.legend(fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _front(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the points that no other beats in recall and time."""
    front: list[dict[str, Any]] = []
    for point in sorted(points, key=lambda p: (p["ms"], -p["recall"])):
        if not front or point["recall"] > front[-1]["recall"]:
            front.append(point)
    return front


def _quickest(standings: Iterable[Standing], level: float = 0.95) -> Standing | None:
    fit = [standing for standing in standings if standing.p50(level)]
    return min(fit, key=lambda s: s.p50(level), default=None)


def _named(standings: Iterable[Standing], name: str) -> Standing | None:
    return next((s for s in standings if s.contender.name == name), None)


def _words(standing: Standing, level: float) -> str:
    recall = standing.point(level)["recall"]
    return (
        f"{standing.contender.name}: recall {recall:.3f}, "
        f"p50 {standing.p50(level):.3f} ms"
    )


def _verdict(met: bool) -> str:
    return "**met**" if met else "**missed**"


def _spread(values: list[float]) -> str:
    digits = 2 if median(values) < 10 else 0
    low, middle, high = (
        f"{value:.{digits}f}" for value in (min(values), median(values), max(values))
    )
    return f"{middle} ({low}–{high})"


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"
