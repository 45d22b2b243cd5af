"""The results page, made wholly from the raw results: answer, figure, tables."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from tools.benchmark.contenders import (
    CELLS,
    EVERYONE,
    GRAPH,
    K,
    find,
)
from tools.benchmark.machine import busy_note, read_raw, sentence
from tools.benchmark.plots import plot_fronts
from tools.benchmark.standing import (
    CLASSES,
    LEVELS,
    LOW_LEVELS,
    MARGIN,
    REPORTING,
    SINGLE,
    Chosen,
    Measure,
    Section,
    mean_recall,
    meets,
    ratio,
    recall,
)
from utils.metrics import Interval

BUILT_UNDER, ANSWERED_UNDER = 6e9, 10.0  # bytes, milliseconds; of a million
Sides = tuple[Chosen | None, Chosen | None]  # FAISS's best, the best peer
MEMORY = {1: "any memory", 4: "1/4 of Flat's memory", 8: "1/8 of Flat's memory"}


def write(path: Path) -> None:
    """Write the page and its figures, from the raw results beside it.

    Raises
    ------
    ValueError
        If there are none.
    """
    raw = read_raw(path)
    sections = [Section(facts, raw["records"], EVERYONE) for facts in raw["sections"]]
    sections = [section for section in sections if section.contenders]
    if not sections:
        raise ValueError(f"{path}: expected results of a collection. Run it first.")
    for stale in path.parent.glob(f"{path.stem.lower()}-*.jpg"):
        stale.unlink()
    text = "\n".join(_parts(raw, sections, path))
    path.write_text(text.rstrip() + "\n", encoding="utf-8")


def _parts(
    raw: dict[str, Any], sections: Sequence[Section], path: Path
) -> Iterator[str]:
    first, threads = sections[0], raw["threads"]
    yield "# FAISS and its peers, side by side\n"
    note = busy_note(raw["quiet"])
    if note:
        yield f"{note}\n"
    yield f"{answer(sections)}\n"
    yield f"![{_alt(first)}]({_figure(first, path)})\n"
    yield from summary(sections, threads)
    yield from _reading(raw)
    yield "## In full\n"
    for section in sections:
        yield from _in_full(section, threads)
        if section is not first:
            yield f"\n![{_alt(section)}]({_figure(section, path)})\n"
    yield from _agreement(sections)
    yield from _absent(raw, sections)
    yield from _table_of_families(twins(first, sections))
    yield (
        f"\nWritten by `{raw['command']}` on {raw['date']}; do not edit. All of it "
        f"comes from [{path.stem}.json]({path.stem}.json): `--redraw` draws it anew."
    )


# The answer


def answer(sections: Sequence[Section]) -> str:
    """Return the paragraph that says who is best at what, and by how much."""
    first = sections[0]
    words = [
        f"{_capital(first.facts['title'])} of {first.facts['d']:,} numbers, one "
        "query after the other, one thread:"
    ]
    for section in twins(first, sections):
        for name, (part, levels) in classes(section, sections).items():
            within = "" if part == 1 else f" within {MEMORY[part]}"
            told = list(duels(section, part, levels))
            if not told:
                asked = f"recall ≥ {levels[-1]:.2f}{within}"
                words.append(f"**{name}** ({asked}): nobody reaches it.")
            for number, (level, sides) in enumerate(told):
                asked = f"recall ≥ {level:.2f}{within}"
                asked = f"At {asked}:" if number else f"**{name}** ({asked}):"
                words.append(f"{asked} {verdict(sides)}")
    return " ".join(words)


def twins(section: Section, sections: Sequence[Section]) -> list[Section]:
    """Return the sections of the same vectors."""
    mark = section.facts["fingerprint"]
    return [other for other in sections if other.facts["fingerprint"] == mark]


def classes(
    section: Section, sections: Sequence[Section]
) -> dict[str, tuple[int, tuple[float, ...]]]:
    """Return what a section decides: all, or its half if the compact race apart."""
    both_here = len(twins(section, sections)) > 1
    return {
        name: (part, levels)
        for name, (part, levels) in CLASSES.items()
        if not both_here or (part > 1) == section.is_small
    }


def duels(
    section: Section, part: int, levels: Sequence[float]
) -> Iterator[tuple[float, Sides]]:
    """Yield the levels that a side reaches, the highest first, until both do."""
    for level in levels:
        sides = both(section, part, level)
        if any(sides):
            yield level, sides
        if all(sides):
            return


def verdict(sides: Sides) -> str:
    """Return a sentence: FAISS's best against the best peer of the same memory."""
    ours, peer = sides
    if ours is None or peer is None:
        if ours:
            return f"{_words(ours)}; no peer reaches it."
        return f"**the peer wins**: {_words(peer)}; no index of FAISS does."
    found = ratio(ours.values("p50", 1), peer.values("p50", 1))
    match outcome(found):
        case "ours":
            text = f"{_words(ours)}, **{_times(found)} times as fast** as the best "
            return f"{text}peer, {_words(peer)}."
        case "peer":
            inverse = ratio(peer.values("p50", 1), ours.values("p50", 1))
            text = f"**the peer wins**: {_words(peer)}, {_times(inverse)} times as fast"
            return f"{text} as FAISS's best, {_words(ours)}."
    text = f"{_words(ours)}, and the best peer, {_words(peer)}"
    return f"**not told apart**: {text}; ratio {_times(found)}."


def both(section: Section, part: int, level: float, by: Measure = SINGLE) -> Sides:
    """Return the best of FAISS and the best peer, where there are such."""
    ours, peer = (
        section.best(peer=side, level=level, part=part, by=by) for side in (False, True)
    )
    return ours, peer


def outcome(found: Interval) -> str:
    """Return who won: "ours", "peer", or "none" where the interval holds 1."""
    if found.low > 1:
        return "ours"
    return "peer" if found.high < 1 else "none"


def _words(chosen: Chosen | None) -> str:
    if chosen is None:
        return "nobody"
    return f"{chosen.contender.name} in {chosen.ms:.3f} ms"


# The short table


def summary(sections: Sequence[Section], threads: Sequence[int]) -> Iterator[str]:
    """Yield the table of about ten rows."""
    yield "## The short table\n"
    yield _row(
        "on", "asked", "FAISS's best", "recall", "cost", "the best peer", "recall",
        "cost", "ratio", "verdict",
    )  # fmt: skip
    yield _row(*["---"] * 3, "---:", "---:", "---", *["---:"] * 3, "---")
    for section in sections:
        for name, (part, levels) in classes(section, sections).items():
            none: Sides = (None, None)
            told = list(duels(section, part, levels)) or [(levels[-1], none)]
            for level, sides in told:
                asked = f"{name}: recall ≥ {level:.2f}, {MEMORY[part]}, one query"
                yield _duel(section, asked, sides, SINGLE)
        if section is sections[0]:
            for number in threads:
                asked = f"recall ≥ 0.95, a batch, {_threads(number)}"
                by = ("per_second", number)
                yield _duel(section, asked, both(section, 1, 0.95, by), by)
        if section.facts["streamed"]:
            yield _large(section)
    yield ""


def _duel(section: Section, asked: str, sides: Sides, by: Measure) -> str:
    """Return a row: the two sides, compared by a measure."""
    title, (ours, peer) = section.facts["title"], sides
    cells = [*_side(ours, by), *_side(peer, by)]
    if ours is None or peer is None:
        winner = "FAISS" if ours else "**the peer**" if peer else "nobody"
        return _row(title, asked, *cells, "–", winner)
    values = [one.values(*by) for one in sides if one]
    if not all(values):
        return _row(title, asked, *cells, "–", "not measured")
    found = ratio(*values) if by[0] == "p50" else ratio(*reversed(values))
    word = {"ours": "FAISS", "peer": "**the peer**", "none": "not told apart"}
    return _row(title, asked, *cells, _times(found), word[outcome(found)])


def _side(chosen: Chosen | None, by: Measure) -> list[str]:
    if chosen is None:
        return ["none reaches it", "", ""]
    cost, values = "–", chosen.values(*by)
    if values:
        single = by[0] == "p50"
        cost = f"{median(values):.3f} ms" if single else f"{median(values):,.0f} /s"
    size = f"{chosen.bytes_a_vector:,.0f} B"
    return [chosen.contender.name, _recall(chosen), f"{cost}, {size}"]


def _large(section: Section) -> str:
    """Return the row of a million vectors, which are never in memory at once."""
    asked = "large: recall ≥ 0.90, built under 6 GB, answered under 10 ms"
    ours = section.best(peer=False, level=0.90)
    if ours is None:
        return _row(section.facts["title"], asked, "none reaches it", *[""] * 6, "no")
    peak = section.builds[ours.contender.name]["peak"]
    met = peak < BUILT_UNDER and ours.ms < ANSWERED_UNDER
    cells = [*_side(ours, SINGLE), "", "", "", f"{peak / 1e9:.1f} GB at the peak"]
    return _row(section.facts["title"], asked, *cells, "met" if met else "**missed**")


# How to read it


def _reading(raw: dict[str, Any]) -> Iterator[str]:
    yield f"""## How to read this

- **{sentence(raw["machine"], raw["threads"])}** Load before the run: {raw["quiet"]["load"]:.2f} (at most {raw["quiet"]["bound"]:.2f} is quiet).
- **recall** is recall@{K}: of the {K} true neighbours, the share that was found; ties count (`utils.metrics.ann_recall`). The 95 % interval is a bootstrap over queries.
- **Chosen on one half of the queries, reported on the other.** Of each family the fastest build and setting is chosen whose interval's lower end is {MARGIN} above the level. On the other half the lower end must reach the level again; otherwise it is not met, and does not count as best.
- **Times** are medians over {raw["rounds"]} rounds. In a round everybody takes one short turn, in changing order; a **ratio** is taken inside a round, and its 95 % interval is Student's, of the logarithms. An interval that holds 1 tells nobody apart.
- **One query** is a call with one vector and one thread, Python's own cost included. **A batch** is all reported queries in one call.
- **B** is the growth of the process's memory when it opens the index, for each vector; Flat's is four times the numbers of a vector.
- **Reduced** are FAISS's principal components, for all libraries; where a library keeps eight bits in one range, turned so that the components' ranges are alike. *Turned* families of FAISS (`RR`, `PCAR`) do the same: a random rotation makes all ranges alike, and few bits lose less. **Reordered**: k·factor candidates compared again by whole vectors in a byte a number, as by `Refine(SQ8)`; for the peers NumPy does that, on codes which FAISS decodes: what a user of those libraries can do in Python.
- **Small indexes**, made for a quarter of Flat's memory or less, race by themselves. Where only one side reaches a level, the next lower one that both reach stands below it.
- Not at their best here: SVS's LVQ and LeanVec run on Intel's processors only; NGT's wheel is compiled for old processors, too, and lacks the program that quantises. Annoy is left out: its last release is of 2023.
- A second set with published neighbours (SIFT1M) would be welcome; no copy was at hand.
"""  # noqa: E501


# The full tables


def _in_full(section: Section, threads: Sequence[int]) -> Iterator[str]:
    facts, flat = section.facts, section.flat()
    queries = facts["queries"]
    yield f"### {_capital(facts['title'])}\n"
    yield (
        f"{_capital(facts['note'])}. d = {facts['d']:,}; {(queries + 1) // 2:,} "
        f"queries to choose on, {queries // 2:,} to report on.\n"
    )
    batches = [f"{_threads(number)}, queries/s" for number in threads]
    yield _row(
        "index", "setting", "recall", "meets", "p50 ms", "p95 ms", "× Flat", *batches,
        "build s", "B", "files, MB",
    )  # fmt: skip
    yield _row("---", "---", *["---:"] * (len(batches) + 8))
    for chosen in section.finalists():
        yield _row(*_figures(section, chosen, flat, threads))
    yield from _failures(section)


def _figures(
    section: Section, chosen: Chosen, flat: Chosen | None, threads: Sequence[int]
) -> list[str]:
    build = section.builds.get(chosen.contender.name, {})
    setting = ", ".join(f"{k} {v}" for k, v in chosen.point["setting"].items())
    times = {p: chosen.values(p, 1) for p in ("p50", "p95")}
    batches = [chosen.values("per_second", number) for number in threads]
    met = [one for one in (*LOW_LEVELS, *LEVELS) if meets(chosen.point, one)]
    reference = flat.values("p50", 1) if flat else []
    return [
        chosen.contender.name,
        setting or "–",
        _recall(chosen),
        f"{max(met):.2f}" if met else "none",
        *(f"{median(values):.3f}" if values else "–" for values in times.values()),
        _times(ratio(times["p50"], reference)) if times["p50"] and reference else "–",
        *(f"{median(values):,.0f}" if values else "–" for values in batches),
        f"{build.get('seconds', float('nan')):.1f}",
        f"{chosen.bytes_a_vector:,.0f}",
        f"{build.get('file', float('nan')) / 1e6:,.1f}",
    ]


def _failures(section: Section) -> Iterator[str]:
    if section.failed:
        yield "\nThese failed:\n"
    for contender in section.failed:
        failure = section.failures[contender.name]
        yield f"- {contender.name}, {failure['stage']}: {failure['error']}"


def _agreement(sections: Sequence[Section]) -> Iterator[str]:
    """Compare the enlargement with real vectors, one build at the same settings."""
    swept = [
        s for s in sections if find(CELLS) in s.contenders and not s.facts["streamed"]
    ]
    if len(swept) < 2:
        return
    curves = [
        {p["setting"]["nprobe"]: mean_recall(p) for p in s.sweeps[CELLS]["points"]}
        for s in swept[:2]
    ]
    probes = [probe for probe in curves[0] if probe in curves[1]]
    yield "\n### Is an enlargement like real vectors?\n"
    yield (
        f"Recall of {CELLS} on both: an enlargement lies around few real vectors, so "
        "that neighbours share a cell more often. Settings are to be looked for on "
        "vectors of one's own.\n"
    )
    yield _row("nprobe", *map(str, probes))
    yield _row("---", *["---:"] * len(probes))
    for section, curve in zip(swept, curves, strict=False):
        yield _row(section.facts["title"], *(f"{curve[p]:.3f}" for p in probes))


def _absent(raw: dict[str, Any], sections: Sequence[Section]) -> Iterator[str]:
    if raw["absent"]:
        yield "\nNot measured: " + "; ".join(raw["absent"]) + "."
    if not sections[0].facts["real"]:
        yield "\nNo real vectors were given: `--photos FOLDER` measures them first."


def _table_of_families(sections: Sequence[Section]) -> Iterator[str]:
    """Yield what each family is, its builds and its grid."""
    yield "\n### The families and their grids\n"
    yield (
        f"A graph has {GRAPH[0]['links']} or {GRAPH[1]['links']} links and "
        f"{GRAPH[0]['ef']} or {GRAPH[1]['ef']} candidates while it is built. An IVF "
        "has about 2√n cells, or twice as many.\n"
    )
    yield _row("family", "of each vector it keeps", "builds", "grid")
    yield _row(*["---"] * 4)
    everyone = dict.fromkeys(c for section in sections for c in section.contenders)
    for family in dict.fromkeys(contender.family for contender in everyone):
        builds = "; ".join(
            ", ".join(f"{k} {v}" for k, v in contender.options.items())
            for contender in everyone
            if contender.family == family
        )
        grid = "; ".join(f"{k} {min(v)}–{max(v)}" for k, v in family.grid.items())
        code = builds.replace("factory ", "").replace("leaves {cells}", "leaves 2√n")
        code = code.format(cells="", more="×2")
        yield _row(family.name, family.form, f"`{code}`", grid or "–")


# Words and figures


def _figure(section: Section, path: Path) -> str:
    small = "-small" if section.is_small else ""
    name = f"{path.stem.lower()}-{section.facts['fingerprint'][:6]}{small}.jpg"
    plot_fronts(section, path.with_name(name))
    return name


def _alt(section: Section) -> str:
    return f"Recall against milliseconds a query, {section.facts['title']}"


def _recall(chosen: Chosen) -> str:
    found = recall(chosen.point, REPORTING)
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


def _times(found: Interval) -> str:
    digits = 2 if found.value < 10 else 0
    if found.high == float("inf"):
        return f"{found.value:.{digits}f} [one round]"
    low, high = (f"{end:.{digits}f}" for end in (found.low, found.high))
    return f"{found.value:.{digits}f} [{low}, {high}]"


def _threads(number: int) -> str:
    return f"{number} thread{'s'[: number > 1]}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"
