"""What takes part in the benchmark: the one table of families, builds and grids.

A family is one way to search with one library.  It has a few builds, each an index of
its own, and a grid of search parameters; all of them together are the family at its
best.  Annoy has no part: its last release is of 2023, and only its source is offered.
"""

import importlib.util
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from tools.benchmark.engines import ENGINES, Engine
from utils.practice.index_choice import POINTS_PER_CELL

K = 10  # neighbours that are asked for
SAMPLE_A_CELL = 64  # vectors to train on, where the collection comes in blocks

# Search parameters, cheapest first
EFFORTS = [10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384]  # candidates of a graph
PROBES = [1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256]  # cells
FACTORS = [2, 4, 8, 16]  # of a refinement: candidates for each result
EPSILONS = [0, 2, 4, 6, 8, 10, 15, 20]  # hundredths; NGT's own measure

# Builds of a graph: its links and the candidates while it is built. The second costs
# about three times as much; where a library offers several number types, only the
# types that may win have it.
GRAPH = [{"links": 16, "ef": 100}, {"links": 32, "ef": 200}]
GRAPH_LEAN = GRAPH[:1]
SVS_GRAPH = [{"degree": 32, "window": 100}, {"degree": 64, "window": 200}]

# What is stored of each vector; the page gives each its mark
FLOATS, HALVES, BYTES = "float32", "16 bits a number", "8 bits a number or fewer"
REORDERED, REDUCED = "reduced, then reordered", "reduced only"
FORMS = (FLOATS, HALVES, BYTES, REORDERED, REDUCED)


class Library(NamedTuple):
    """What pip calls it, where it is listed, and its name on the page."""

    package: str
    file: str
    name: str


PEERS = "tools/benchmark/requirements.txt"
LIBRARIES = {  # by the name for `import`
    "faiss": Library("faiss-cpu", "requirements.txt", "FAISS"),
    "hnswlib": Library("hnswlib", PEERS, "hnswlib"),
    "usearch": Library("usearch", PEERS, "usearch"),
    "voyager": Library("voyager", PEERS, "voyager"),
    "scann": Library("scann", PEERS, "ScaNN"),
    "svs": Library("scalable-vs", PEERS, "SVS"),
    "ngtpy": Library("ngt", PEERS, "NGT"),
}
PACKAGES = ("numpy", *(library.package for library in LIBRARIES.values()))


@dataclass(frozen=True, eq=False)  # each is itself alone
class Family:
    """A row of the table.

    A build's option that holds ``{cells}`` is filled in for the collection's size;
    `pca`, `rotate` and `reorder` put `ReducedEngine` around the library's own engine.
    A `compact` one is made for a quarter of Flat's memory or less: on real vectors
    these race by themselves.
    """

    name: str
    library: str
    form: str
    builds: list[dict[str, Any]]
    grid: dict[str, list[int]] = field(default_factory=dict)
    compact: bool = False

    @property
    def is_peer(self) -> bool:
        """Whether this is what people might use instead of FAISS."""
        return self.library != "faiss"


@dataclass(frozen=True)
class Contender:
    """One build of a family."""

    family: Family
    number: int

    @property
    def options(self) -> dict[str, Any]:
        """How it is built."""
        return self.family.builds[self.number]

    @property
    def name(self) -> str:
        """The family's name, and what sets this build apart."""
        options = self.options
        if len(self.family.builds) == 1:
            return self.family.name
        others = [b for b in self.family.builds if b != options]
        marks = [
            f"{key} {value}".removeprefix("factory ").format(cells="", more="×2")
            for key, value in options.items()
            if any(other.get(key) != value for other in others)
        ]
        return f"{self.family.name} ({', '.join(marks)})"

    @property
    def folder(self) -> str:
        """The name of the index's folder."""
        return "".join(c if c.isalnum() else "-" for c in self.name) + ".index"

    @property
    def streams(self) -> bool:
        """Whether it can be built from blocks, one after the other."""
        return ENGINES[self.family.library].streams

    def engine(self, threads: int, n: int, unit: bool = True) -> Engine:
        """Import the library and make an engine that uses so many threads."""
        options = {key: _filled(value, n) for key, value in self.options.items()}
        reduction = {key: options.pop(key) for key in REDUCTION if key in options}
        make: Callable[[int, bool], Engine]
        make = partial(ENGINES[self.family.library], **options)
        if not reduction:
            return make(threads, unit)
        from tools.benchmark.reduced import ReducedEngine

        return ReducedEngine(threads, unit, make=make, **reduction)

    def settings(self, n: int) -> list[dict[str, int]]:
        """Return all combinations of the grid that make sense for n vectors."""
        grid = dict(self.family.grid)
        for name in {"nprobe", "leaves"} & set(grid):
            grid[name] = [value for value in grid[name] if value <= cells_for(n)]
        return list(_sensible(grid))


REDUCTION = ("pca", "rotate", "reorder")


def _filled(value: Any, n: int) -> Any:
    if value == "{cells}":  # an option that is a number
        return cells_for(n)
    if isinstance(value, str):
        return value.format(cells=cells_for(n), more=2 * cells_for(n))
    return value


def _sensible(grid: dict[str, list[int]]) -> Iterator[dict[str, int]]:
    """Yield the combinations; a graph must keep what is to be reordered."""
    for values in itertools.product(*grid.values()):
        setting = dict(zip(grid, values, strict=True))
        kept = setting.get("ef", setting.get("efSearch"))
        factor = setting.get("factor", setting.get("k_factor_rf", 1))
        if kept is None or factor == 1 or K * factor <= kept:
            yield setting


def cells_for(n: int) -> int:
    """Choose nlist: a power of two near 2√n that leaves enough to train each cell.

    Examples
    --------
    >>> cells_for(1000), cells_for(100_000), cells_for(1_000_000)
    (16, 512, 2048)
    """
    cells = min(2 * math.sqrt(n), n / POINTS_PER_CELL)
    return 2 ** max(1, round(math.log2(cells) - 0.25))


def _faiss(
    name: str,
    form: str,
    *factories: str,
    ef: int = 0,
    compact: bool = False,
    **grid: Any,
) -> Family:
    builds = [{"factory": code} | ({"ef": ef} if ef else {}) for code in factories]
    return Family(f"FAISS {name}", "faiss", form, builds, grid, compact)


def _graphs(
    name: str,
    library: str,
    form: str,
    builds: list[dict],
    *,
    compact: bool = False,
    **options: Any,
) -> Family:
    grid = {"ef": EFFORTS} | ({"factor": FACTORS} if "reorder" in options else {})
    return Family(name, library, form, [b | options for b in builds], grid, compact)


AGAIN: dict[str, Any] = {"pca": 256, "reorder": "SQ8"}
SIX_BITS: dict[str, Any] = {"reorder": "SQ6"}
# So that all components fit one range of eight bits
EVEN: dict[str, Any] = {"rotate": 1}
FLAT = _faiss("Flat", FLOATS, "Flat")
BASELINE = FLAT.name
CELLS = "FAISS cells, bytes"
FAMILIES = [
    FLAT,
    _faiss("cells, bytes", BYTES, "IVF{cells},SQ8", nprobe=PROBES),
    _faiss(
        "cells, fast-scan, reordered",
        REORDERED,
        "PCA256,IVF{cells},PQ128x4fs,Refine(SQ8)",
        "PCA256,IVF{more},PQ128x4fs,Refine(SQ8)",
        nprobe=PROBES[1::2],
        k_factor_rf=FACTORS,
    ),
    _faiss(
        "cells, fast-scan, reordered by six bits",
        REORDERED,
        "PCA256,IVF{cells},PQ128x4fs,Refine(SQ6)",
        "PCA256,IVF{more},PQ128x4fs,Refine(SQ6)",
        compact=True,
        nprobe=PROBES[1::2],
        k_factor_rf=FACTORS,
    ),
    _faiss(
        "cells, reduced",
        REDUCED,
        "PCA512,IVF{cells},SQ8",
        "PCA768,IVF{cells},SQ8",
        compact=True,
        nprobe=PROBES,
    ),
    _faiss(
        "cells, RaBitQ",
        REDUCED,
        "PCAR1024,IVF{cells},RaBitQ4",
        "PCAR1536,IVF{cells},RaBitQ4",
        compact=True,
        nprobe=PROBES,
    ),
    _faiss("graph", FLOATS, "HNSW16", "HNSW32", ef=100, efSearch=EFFORTS),
    _faiss("graph, bytes", BYTES, "HNSW16_SQ8", "HNSW32_SQ8", ef=100, efSearch=EFFORTS),
    _faiss(
        "graph, six bits",
        BYTES,
        "HNSW16_SQ6",
        ef=100,
        compact=True,
        efSearch=EFFORTS,
    ),
    _faiss(
        "graph, reduced, reordered",
        REORDERED,
        "PCA256,HNSW16_SQ8,Refine(SQ8)",
        "PCA256,HNSW32_SQ8,Refine(SQ8)",
        ef=100,
        efSearch=EFFORTS,
        k_factor_rf=FACTORS,
    ),
    _faiss(
        "graph, reduced",
        REDUCED,
        "PCA512,HNSW16_SQ8",
        "PCA768,HNSW16_SQ8",
        ef=100,
        compact=True,
        efSearch=EFFORTS,
    ),
    # Turned at random, the numbers have like ranges, and few bits lose less
    _faiss(
        "graph, turned, few bits",
        REDUCED,
        "RR,HNSW16_SQ6",
        "PCAR1408,HNSW16_SQ4",
        ef=100,
        compact=True,
        efSearch=EFFORTS,
    ),
    # hnswlib stores float32 alone
    _graphs("hnswlib", "hnswlib", FLOATS, GRAPH),
    _graphs("hnswlib, reordered", "hnswlib", REORDERED, GRAPH, **AGAIN),
    _graphs("usearch f32", "usearch", FLOATS, GRAPH_LEAN, dtype="f32"),
    _graphs("usearch bf16", "usearch", HALVES, GRAPH, dtype="bf16"),
    _graphs("usearch i8", "usearch", BYTES, GRAPH, dtype="i8"),
    _graphs(
        "usearch bf16, reordered", "usearch", REORDERED, GRAPH, dtype="bf16", **AGAIN
    ),
    _graphs(
        "usearch i8, reordered", "usearch", REORDERED, GRAPH, dtype="i8", **AGAIN | EVEN
    ),
    _graphs(
        "usearch i8, reordered by six bits",
        "usearch",
        REORDERED,
        [{"links": 8, "pca": 256}, {"links": 16, "pca": 128}],
        compact=True,
        ef=100,
        dtype="i8",
        **EVEN | SIX_BITS,
    ),
    _graphs(
        "usearch i8, reduced",
        "usearch",
        REDUCED,
        [{"pca": 512}, {"pca": 640}, {"pca": 1536}, {"pca": 1632}],
        compact=True,
        dtype="i8",
        **GRAPH[0] | EVEN,
    ),
    _graphs("voyager", "voyager", FLOATS, GRAPH_LEAN, dtype="Float32"),
    _graphs("voyager E4M3", "voyager", BYTES, GRAPH_LEAN, dtype="E4M3"),
    _graphs("voyager Float8", "voyager", BYTES, GRAPH_LEAN, dtype="Float8"),
    _graphs(
        "voyager, reordered", "voyager", REORDERED, GRAPH_LEAN, dtype="Float32", **AGAIN
    ),
    _graphs(
        "voyager Float8, reordered",
        "voyager",
        REORDERED,
        GRAPH_LEAN,
        dtype="Float8",
        **AGAIN | EVEN,
    ),
    _graphs(
        "voyager E4M3, reduced",
        "voyager",
        REDUCED,
        [{"pca": 512}, {"pca": 640}, {"pca": 1536}],
        compact=True,
        dtype="E4M3",
        **GRAPH[0] | EVEN,
    ),
    Family(
        "ScaNN",
        "scann",
        BYTES,
        [{"leaves": "{cells}", "kept": kind} for kind in ("INT8", "BFLOAT16")],
        {"leaves": PROBES[1::2], "again": [20, 40, 80, 160]},
    ),
    Family(
        "ScaNN, reduced, reordered",
        "scann",
        REORDERED,
        [{"leaves": "{cells}", **AGAIN}],
        {"leaves": PROBES[1::2], "factor": FACTORS},
    ),
    Family(
        "ScaNN, reduced, reordered by six bits",
        "scann",
        REORDERED,
        [{"leaves": "{cells}", **AGAIN | SIX_BITS}],
        {"leaves": PROBES[1::2], "factor": FACTORS},
        compact=True,
    ),
    _graphs("SVS float16", "svs", HALVES, SVS_GRAPH, dtype="float16"),
    _graphs(
        "SVS float16, reordered", "svs", REORDERED, SVS_GRAPH, dtype="float16", **AGAIN
    ),
    _graphs(
        "SVS float16, reordered by six bits",
        "svs",
        REORDERED,
        SVS_GRAPH[:1],
        compact=True,
        dtype="float16",
        **SIX_BITS | {"pca": 128},
    ),
    Family("NGT", "ngtpy", FLOATS, [{"edges": 20}], {"epsilon": EPSILONS}),
    Family(
        "NGT, reordered",
        "ngtpy",
        REORDERED,
        [{"edges": 20, **AGAIN}],
        {"epsilon": EPSILONS, "factor": FACTORS},
    ),
]
EVERYONE = [
    Contender(family, number)
    for family in FAMILIES
    for number in range(len(family.builds))
]
QUICK = (  # families of --quick
    BASELINE,
    "FAISS cells, fast-scan, reordered",
    "FAISS cells, fast-scan, reordered by six bits",
    "FAISS graph, bytes",
    "FAISS graph, reduced",
    "hnswlib",
    "hnswlib, reordered",
    "usearch bf16",
    "usearch i8, reordered",
    "usearch i8, reordered by six bits",
    "usearch i8, reduced",
)


def find(name: str) -> Contender:
    """Return the contender of this name."""
    return next(contender for contender in EVERYONE if contender.name == name)


def missing(library: str) -> str:
    """Say how to install a library that is not there; "" if it is."""
    if importlib.util.find_spec(library):
        return ""
    known = LIBRARIES[library]
    return f"{known.package} is not installed: pip install -r {known.file}"
