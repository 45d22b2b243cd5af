"""What a collection costs before it is bought: memory, disk, time, machines.

Bytes are counted from what an index stores.  Times are the work of a search (numbers
compared, vertices of a graph visited) times what a unit of it takes, which
``python -m tools.benchmark.capacity`` measures and keeps in ``capacity.json``.  A unit
takes longer in an index that is too large for the processor's cache, so it was measured
at three sizes; between them `plan` interpolates, and beyond them it takes the nearest.

Recall is not planned: measure it on queries of your own, with `nprobe` or `ef_search`
at the values that you plan with.

>>> plan(10**6, 2048, "IVF,SQ8").index
'IVF4000,SQ8'
"""

import json
import math
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from utils.errors import LookalikeError, check_k
from utils.indexes import POINTS_PER_CELL
from utils.practice.index_choice import choose_cells
from utils.timing import size_of

SIZES = tuple(10**exponent for exponent in range(3, 11))
MEASURED = Path(__file__).with_name("capacity.json")
USED = 0.8  # of a machine's memory: the rest is for the system, and for growing
BITS = {"Flat": 32, "SQ4": 4, "SQ6": 6, "SQ8": 8, "SQfp16": 16, "SQbf16": 16}
WALK, SPREAD = 0.62, 0.74  # visits grow as efSearch to this power, and M to this one
SAMPLE, ROUNDS = 256, 10  # of k-means: vectors per cell at the most, and iterations
CODEBOOK = 65_536  # vectors that train a product quantiser, at the most
FEW = 31_700  # vectors; with fewer, FAISS finds codebooks ten times as slowly
VERTEX = 640  # what a visit in a graph costs beside the vector, in bytes of one
PAIR = 48  # what a vector and a cell cost beside their numbers, in numbers
LINKS, EFFORT = 32, 40  # FAISS's own M and efConstruction
LIST = 120  # bytes of memory that a cell takes when it is empty
KIND = re.compile(
    r"(?:PCA(?P<reduced>\d+),)?"
    r"(?:IVF(?P<cells>\d*)(?P<coarse>_HNSW(?P<coarse_links>\d*))?,"
    r"|HNSW(?P<links>\d+)(?:[,_]|$))?"
    r"(?P<code>Flat|SQ4|SQ6|SQ8|SQfp16|SQbf16|PQ(?P<parts>\d+)(?:x(?P<bits>\d+))?(?:np)?)?"
)

GROUPS = ("reduced", "cells", "coarse_links", "links", "parts", "bits")


class Machine(NamedTuple):
    """A machine that you would rent: bytes of memory, and cores."""

    memory: float = 64e9
    cores: int = 16


MACHINE = Machine()


@dataclass(frozen=True)
class Plan:
    """What `plan` returns.  Bytes and `build_seconds` are of one copy."""

    n: int
    dimension: int
    index: str  # with its number of cells
    bytes_per_vector: float
    memory: float  # bytes, of the index as it is loaded from its file
    disk: float  # bytes of the file
    build_seconds: float  # to train and fill it, on one core
    query_seconds: float  # of one query in one shard, on one core
    shards: int  # machines that one copy is split over, because of their memory
    queries_per_second: float  # that one copy answers
    machines: int

    def __str__(self) -> str:
        hours = self.build_seconds / 3600
        lines = {
            "index": f"{self.index}, {self.n:,} vectors of {self.dimension:,} numbers",
            "memory": f"{size_of(round(self.memory))}, {self.bytes_per_vector:,.0f} "
            "bytes per vector",
            "disk": size_of(round(self.disk)),
            "build": f"{hours:,.1f} hours of a core"
            if hours >= 1
            else f"{self.build_seconds:,.1f} s of a core",
            "query": f"{1e3 * self.query_seconds:,.3f} ms of a core in each shard",
            "machines": f"{self.machines:,} ({self.shards:,} for one copy, which "
            f"answers {self.queries_per_second:,.0f} queries/s)",
        }
        return "\n".join(f"{name:9} {line}" for name, line in lines.items())


@dataclass(frozen=True)
class Constants:
    """Seconds of a unit of work, on the machine and the day they were measured.

    `units` maps a kind of work to (bytes of the index, seconds) at each size measured:

    - ``Flat``, ``SQ8``, ``PQ``: to compare one number, or look one part's distance up,
      all vectors one after the other
    - ``IVF,Flat`` …: the same in the cells that are visited
    - ``HNSW``: to read a byte of a vertex that is visited
    - ``HNSW visits`` has (n, vertices visited by a search with efSearch = 1) instead
    """

    units: dict[str, list[tuple[float, float]]]
    call: float  # of a search, whatever is in the index
    train: float  # of one multiplication where vectors find their cells
    codebook: float  # of one distance of a part to one of its codebook
    few: float  # the same where fewer than FEW vectors train it
    encode: float  # of one number, to a byte
    insert: float  # of an addition to a graph, in searches with efSearch = EFFORT
    machine: str
    date: str

    def unit(self, kind: str, size: float) -> float:
        """Return the seconds of a unit of work in an index of `size` bytes."""
        sizes, seconds = zip(*sorted(self.units[kind]), strict=True)
        at = np.log(max(size, 1))
        return float(np.exp(np.interp(at, np.log(sizes), np.log(seconds))))

    def visits(self, n: int, ef: int, links: int) -> float:
        """Return how many vertices a search visits; it grows with log n."""
        (n0, first), *_, (n1, last) = 2 * sorted(self.units["HNSW visits"])
        slope = (last - first) / math.log(n1 / n0) if n1 > n0 else 0.0
        ours = max(1.0, first + slope * math.log(n / n0))
        return min(n, ours * ef**WALK * (links / LINKS) ** SPREAD)


FIELDS = [field.name for field in fields(Constants)]
UNITS = ["Flat", "SQ8", "PQ", "IVF,Flat", "IVF,SQ8", "IVF,PQ", "HNSW"]


@dataclass(frozen=True)
class Kind:
    """An index factory string, taken apart; `d` is what vectors are reduced to."""

    n: int
    dimension: int
    d: int
    cells: int  # 0: none
    coarse_links: int  # of the graph over the centroids; 0: none
    links: int  # M of a graph over the vectors; 0: none
    code: str  # "Flat", "SQ8" …, or "PQ"
    parts: int  # of a PQ
    bits: int

    @property
    def numbers(self) -> int:
        """What is compared of a vector: its numbers, or the parts of its code."""
        return self.parts or self.d

    @property
    def code_bytes(self) -> int:
        """Return the bytes of one vector's code."""
        return math.ceil(self.numbers * self.bits / 8)

    @property
    def vector_bytes(self) -> float:
        """Return the bytes of one vector: its code, and its id or its links."""
        return self.code_bytes + 8 * bool(self.cells) + link_bytes(self.links)

    @property
    def shared_bytes(self) -> float:
        """Return the bytes that all vectors share: centroids, codebooks, rotation."""
        centroids = self.cells * (4 * self.d + link_bytes(self.coarse_links))
        codebook = 4 * self.d * (1 << self.bits) if self.parts else 0
        codebook += 8 * self.d * self.code.startswith("SQ")  # each number's range
        rotated = self.d != self.dimension
        rotation = 4 * self.dimension * (self.d + self.dimension) if rotated else 0
        return centroids + codebook + rotation

    @property
    def memory(self) -> float:
        """Return the bytes of the index as it is served."""
        return self.n * self.vector_bytes + self.shared_bytes + self.cells * LIST

    @property
    def disk(self) -> float:
        """Return the bytes of its file."""
        return self.n * self.vector_bytes + self.shared_bytes + 8 * self.cells

    @property
    def distances(self) -> int:
        """Return how many distances there are from a vector's parts to a codebook."""
        return self.parts << self.bits

    @property
    def compared(self) -> str:
        """Return whose unit of work it is: all scalar codes are decoded alike."""
        return self.code if self.code in ("Flat", "PQ") else "SQ8"

    def query_seconds(self, known: Constants, nprobe: int, ef: int) -> float:
        """Return the seconds of one query, on one core."""
        cached = known.unit("Flat", 0)
        seconds = known.call
        if self.d != self.dimension:  # the query is rotated
            seconds += self.dimension * self.d * cached
        if self.parts:  # its distances to the whole codebook
            seconds += (self.d << self.bits) * cached
        codes = self.n * self.code_bytes
        if self.links:
            return seconds + self._walk(known, self.n, ef)
        if not self.cells:
            return seconds + self.n * self.numbers * known.unit(self.compared, codes)
        seconds += self.coarse_seconds(known, nprobe)
        visited = self.n * nprobe / self.cells * self.numbers
        return seconds + visited * known.unit(f"IVF,{self.compared}", codes)

    def coarse_seconds(self, known: Constants, nprobe: int) -> float:
        """Return the seconds until the nearest cells are known."""
        if self.coarse_links:
            graph = replace(
                self, code="Flat", bits=32, parts=0, links=self.coarse_links
            )
            return graph._walk(known, self.cells, max(16, nprobe))
        return self.cells * self.d * known.unit("Flat", self.cells * 4 * self.d)

    def _walk(self, known: Constants, n: int, ef: int, *, decoded: int = 1) -> float:
        """Return the seconds of a walk in a graph: vertices visited, times each."""
        size = n * (self.code_bytes + link_bytes(self.links))
        near = decoded * self.numbers * known.unit(self.compared, 0)
        read = (VERTEX + self.code_bytes) * known.unit("HNSW", size)
        return known.visits(n, ef, self.links) * (read + near)

    def build_seconds(self, known: Constants) -> float:
        """Return the seconds of training and adding, on one core."""
        seconds = self.n * self.d * known.encode
        if self.d != self.dimension:
            sample = min(self.n, 1000 * self.dimension)
            products = (sample * self.dimension + self.n * self.d) * self.dimension
            seconds += products * known.train
        if self.parts:
            each = known.few if self.n < FEW else known.codebook
            seconds += 25 * min(self.n, CODEBOOK) * self.distances * each
            seconds += self.n * self.distances * known.codebook
        if self.cells:
            vectors = ROUNDS * min(self.n, SAMPLE * self.cells) + self.n
            each = self.cells * (PAIR + self.d) * known.train
            if self.coarse_links:
                each = min(each, self.coarse_seconds(known, 1))
            seconds += (vectors - self.n) * self.cells * (PAIR + self.d) * known.train
            seconds += self.n * each
        if self.links:  # each is searched for among those before it
            before = [
                max(2, int(self.n * share)) for share in (0.1, 0.3, 0.5, 0.7, 0.9)
            ]
            coded = 1 + (self.code != "Flat")  # then both vectors are decoded
            walks = [self._walk(known, n, EFFORT, decoded=coded) for n in before]
            seconds += self.n * sum(walks) / len(walks) * known.insert
        return seconds


def link_bytes(links: int) -> float:
    """Return the bytes of a vertex's links in an HNSW of M = `links`; 0 for no graph.

    The bottom layer has room for 2 M of them, of 4 bytes, and each layer above it,
    where one vertex in M of the layer below is found again, for M.  An offset and a
    level come with them.
    """
    return 4 * (2 * links + links / (links - 1)) + 8 + 4 if links > 1 else 0.0


def take_apart(index: str, n: int, dimension: int) -> Kind:
    """Read an index factory string; ValueError if `plan` doesn't know its kind."""
    found = KIND.fullmatch(index) if isinstance(index, str) and index else None
    if not found or not (found["code"] or found["links"]):
        raise ValueError(
            "index must be Flat, a code (SQ8, SQ6, SQ4, SQfp16, PQ64 …), HNSW32, "
            "HNSW32_SQ8, IVF1024,Flat or IVF1024 with a code, or one of them behind "
            f"PCA256. Received: {index!r:.60}."
        )
    number = {name: int(found[name] or 0) for name in GROUPS}
    d = number["reduced"] or dimension
    cells = 0
    if found["cells"] is not None:
        cells = number["cells"] or choose_cells(n) or max(1, n // POINTS_PER_CELL)
    coarse_links = (number["coarse_links"] or LINKS) * bool(found["coarse"])
    code = "PQ" if number["parts"] else found["code"] or "Flat"
    bits = BITS.get(code) or number["bits"] or 8
    kind = Kind(
        *(n, dimension, d, cells, coarse_links),
        *(number["links"], code, number["parts"], bits),
    )
    _check(kind, index)
    return kind


def _check(kind: Kind, index: str) -> None:
    if kind.d > kind.dimension or kind.parts > kind.d or kind.d % (kind.parts or 1):
        raise ValueError(
            f"index must fit vectors of {kind.dimension} numbers: PCA to no more, and "
            f"PQ with parts that share them equally. Received: {index!r}."
        )
    if kind.cells > kind.n:
        raise ValueError(
            f"index must have at most one cell per vector, {kind.n:,}. Received: "
            f"{index!r}. IVF without a number chooses it."
        )
    numbers = [part for part in re.findall(r"\d+", index) if not int(part)]
    if numbers:
        raise ValueError(
            "index must have at least one cell, part, bit and number, and graphs of at "
            f"least 2 links. Received: {index!r}."
        )
    if kind.bits > 16 and kind.parts or kind.links == 1 or kind.coarse_links == 1:
        raise ValueError(
            "index must have PQ of at most 16 bits and graphs of at least 2 links. "
            f"Received: {index!r}."
        )


def plan(  # noqa: PLR0913 - a calculator has that many keys
    n: int,
    dimension: int,
    index: str = "Flat",
    *,
    copies: int = 1,
    queries_per_second: float = 0,
    k: int = 10,
    nprobe: int | None = None,
    ef_search: int = 64,
    machine: Machine = MACHINE,
    constants: Constants | None = None,
) -> Plan:
    """Work out what n vectors cost in an index, and how many machines they take.

    A query asks every shard, with one core in each; `copies` are at least so many that
    the machines answer `queries_per_second`, if memory and disks keep up with all
    cores at once.  ValueError if a number is out of range or the index unknown.

    Parameters
    ----------
    n, dimension : int
    index : str
        A FAISS index factory string; ``"IVF,…"`` without a number chooses its cells.
    copies : int
        Of the whole collection, at the least.
    queries_per_second : float
    k, nprobe, ef_search : int
        Of a search.  `nprobe` is the square root of the number of cells by default.
    machine : Machine
        What you would rent.
    constants : Constants, optional
        What `load_constants` returns.
    """
    n, dimension = check_k(n, "n"), check_k(dimension, "dimension")
    copies, k, ef = (
        check_k(copies, "copies"),
        check_k(k),
        check_k(ef_search, "ef_search"),
    )
    if k > n:
        raise ValueError(f"k must be at most n, {n:,}. Received: {k}.")
    if not (0 <= queries_per_second < math.inf and 0 < machine.memory < math.inf):
        raise ValueError(
            "queries_per_second must be at least 0, and a machine's memory above 0. "
            f"Received: {queries_per_second} and {machine.memory}."
        )
    cores = check_k(machine.cores, "machine.cores")
    kind = take_apart(index, n, dimension)
    usual = max(1, math.ceil(math.sqrt(kind.cells)))
    probed = check_k(usual if nprobe is None else nprobe, "nprobe")
    if probed > max(1, kind.cells):
        raise ValueError(
            f"nprobe must be at most the number of cells, {kind.cells}. "
            f"Received: {probed}."
        )
    known = constants or load_constants()
    shards = _shards(kind, USED * machine.memory)
    shard = replace(kind, n=math.ceil(n / shards))
    seconds = shard.query_seconds(known, probed, max(ef, k))
    rate = cores / seconds
    return Plan(
        n=n,
        dimension=dimension,
        index=re.sub(r"IVF(?=[,_])", f"IVF{kind.cells}", index),
        bytes_per_vector=kind.memory / n,
        memory=kind.memory,
        disk=kind.disk,
        build_seconds=kind.build_seconds(known),
        query_seconds=seconds,
        shards=shards,
        queries_per_second=rate,
        machines=shards * max(copies, math.ceil(queries_per_second / rate)),
    )


def _shards(kind: Kind, room: float) -> int:
    """Return how many machines with so many bytes one copy is split over."""
    left = room - (kind.memory - kind.n * kind.vector_bytes)  # all have the centroids
    if left < kind.vector_bytes:
        raise ValueError(
            f"machine.memory must hold the centroids and codebooks of {kind.cells:,} "
            f"cells, {size_of(round(room - left))}. Received: room for "
            f"{size_of(round(room))}. Take larger machines or fewer cells."
        )
    return math.ceil(kind.n / (left // kind.vector_bytes))


def chart(
    indexes: Iterable[str],
    dimension: int,
    sizes: Iterable[int] = SIZES,
    **options: Any,
) -> dict[str, list[Plan]]:
    """Plan each index at each size, to be drawn; `options` are those of `plan`."""
    known = options.pop("constants", None) or load_constants()
    sizes = list(sizes)
    return {
        index: [plan(n, dimension, index, constants=known, **options) for n in sizes]
        for index in indexes
    }


def load_constants(path: str | os.PathLike | None = None) -> Constants:
    """Read what the benchmark measured; LookalikeError if the file is no such one."""
    path = Path(path or MEASURED)
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        known = Constants(**{name: stored[name] for name in FIELDS})
        known.visits(1000, 64, LINKS)
        for kind in UNITS:
            known.unit(kind, 0)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LookalikeError(
            f"{path}: expected times that were measured. Received: {error!r}. Measure "
            "them: python -m tools.benchmark.capacity."
        ) from error
    return known
