"""The page of `tools.benchmark.capacity`: what was planned beside what was measured."""

from collections.abc import Callable, Sequence
from typing import Any

from utils.scale.capacity import FEW, Constants, Plan
from utils.timing import size_of

Row = dict[str, Any]  # "point", "times" and "plan"
NEAR_MEMORY, NEAR_TIME = 1.2, 1.5  # what the calculator must keep to
SHORT = 0.5  # s; what is built faster is mostly chance
COMPARED: dict[str, tuple[Callable[[Row], float], Callable[[Plan], float]]] = {
    "memory": (lambda row: row["times"]["memory"], lambda plan: plan.memory),
    "disk": (lambda row: row["times"]["disk"], lambda plan: plan.disk),
    "build": (
        lambda row: sum(row["times"][step] for step in ("coarse", "train", "add")),
        lambda plan: plan.build_seconds,
    ),
    "query": (lambda row: row["times"]["query"], lambda plan: plan.query_seconds),
}


def page(rows: Sequence[Row], known: Constants, busy: float) -> list[str]:
    """Return the page's lines."""
    lines = [
        "# What the capacity calculator plans, and what was measured",
        "",
        "Written by `python -m tools.benchmark.capacity`; do not edit.",
        "",
        f"{known.date}, {known.machine}. Processes that wanted to run before it began: "
        f"{busy:.1f}.",
        "",
        "## Targets",
        "",
        *_targets(rows),
    ]
    titles = {
        False: "The sizes that the constants come from",
        True: "Other dimensions, `nprobe`, `efSearch` and kinds of index",
    }
    for check, title in titles.items():
        chosen = [row for row in rows if row["point"]["check"] == check]
        if chosen:
            lines += ["", f"## {title}", "", *_table(chosen)]
    return [*lines, "", *READING, "", *_constants(known)]


def ratio(row: Row, what: str) -> float:
    """Return planned / measured."""
    measured, planned = COMPARED[what]
    return planned(row["plan"]) / measured(row)


def _targets(rows: Sequence[Row]) -> list[str]:
    lines = []
    for what, near in zip(
        COMPARED, (NEAR_MEMORY, NEAR_MEMORY, NEAR_TIME, NEAR_TIME), strict=True
    ):
        counted = [
            row for row in rows if what != "build" or COMPARED["build"][0](row) >= SHORT
        ]
        for check, which in ((False, "sizes of the constants"), (True, "others")):
            ratios = [
                ratio(row, what) for row in counted if row["point"]["check"] == check
            ]
            good = sum(1 / near <= r <= near for r in ratios)
            if ratios:
                lines.append(
                    f"- {what}, {which}: {good} of {len(ratios)} within a factor of "
                    f"{near:g}; planned / measured from {min(ratios):.2f} to "
                    f"{max(ratios):.2f}"
                )
    return lines


def _table(rows: Sequence[Row]) -> list[str]:
    head = ["index", "n", "d", "nprobe or efSearch", *COMPARED]
    lines = [
        "| " + " | ".join(head) + " |",
        "| --- | " + " | ".join(["---:"] * (len(head) - 1)) + " |",
    ]
    for row in rows:
        point, plan = row["point"], row["plan"]
        searched = ""
        if "IVF" in plan.index:
            searched = str(point["nprobe"] or "√nlist")
        elif "HNSW" in plan.index:
            searched = str(point["ef"])
        cells = [plan.index, f"{plan.n:,}", f"{plan.dimension:,}", searched]
        for what, (measured, _) in COMPARED.items():
            cells.append(f"{_shown(what, measured(row))} × {ratio(row, what):.2f}")
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _shown(what: str, value: float) -> str:
    if what == "build":
        return f"{value:,.2f} s"
    return f"{1e3 * value:,.3f} ms" if what == "query" else size_of(round(value))


READING = [
    "## How to read this",
    "",
    "Each cell has what was measured and, behind ×, planned / measured. **memory** is "
    "the growth of a process that loads a second copy of the index, **disk** its file. "
    "**build** is training and filling; **query** is one of 200, one by one with one "
    "thread: seconds of the processor, the best of three turns. Vectors are drawn by "
    "`utils.practice.enlarge` from the gallery's, reduced by PCA. Cells are trained "
    "once for all indexes that have the same, and their seconds counted in each. What "
    f"is built in less than {SHORT:g} s is left out of the targets.",
]


def _constants(known: Constants) -> list[str]:
    lines = [
        "## Constants",
        "",
        "Nanoseconds of a unit of work, at bytes of the index:",
    ]
    lines.append("")
    for kind, pairs in known.units.items():
        if kind != "HNSW visits":
            shown = (f"{1e9 * s:.3g} at {size_of(round(b))}" for b, s in pairs)
            lines.append(f"- {kind}: " + ", ".join(shown))
    single = {"call": "a call", "train": "a multiplication to find cells"}
    single |= {"codebook": "a distance to a codebook", "encode": "a number's code"}
    single["few"] = f"the same, if fewer than {FEW:,} vectors train it"
    for name, what in single.items():
        lines.append(f"- {what}: {1e9 * getattr(known, name):.3g}")
    lines.append(f"- an addition to a graph, in searches: {known.insert:.2f}")
    return lines
