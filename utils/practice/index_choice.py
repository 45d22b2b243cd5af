"""Which index for n vectors? FAISS's guidelines, written as a function.

FAISS publishes them in words, with few numbers: *do you need exact results?*, *is
memory a concern?*, *how big is the dataset?* `choose_index` asks the same questions in
the same order and says why it answers as it does. Two things are ours: up to which size
everything may as well be compared (`SMALL`), and which code stands for which amount of
memory.

No rule knows which ``nprobe`` or ``efSearch`` gives the recall you need: it depends on
the vectors. So there are values to *try*, upwards, until the recall measured on queries
of your own is enough.

https://github.com/facebookresearch/faiss/wiki/Guidelines-to-choose-an-index
"""

import math
from typing import NamedTuple

from utils.errors import check_k
from utils.indexes import POINTS_PER_CELL

SMALL = 10_000_000  # numbers, n times d: one core compares them in a few milliseconds
LINKS = 32  # M of HNSW; the bottom layer keeps twice as many
LARGE = ((10**8, 2**20), (10**7, 2**18), (10**6, 2**16))  # from n vectors on: cells
ID = 8  # bytes; IVF stores one with each vector


class IndexChoice(NamedTuple):
    """A string for ``faiss.index_factory``, how to tune the index, and why this one.

    `parameters` maps a search parameter to the values worth trying, fastest first.
    """

    factory: str
    parameters: dict[str, list[int]]
    why: str


def choose_index(n: int, d: int, *, memory: float, recall: float) -> IndexChoice:
    """Choose an index for n vectors of d numbers, and say why.

    `memory` is the bytes that it may take, `recall` the share of the true neighbours
    that must be found, in (0, 1]; 1 means exact. ValueError if n or d is below 1, the
    recall is outside, or no index is small enough.

    >>> choice = choose_index(100_000, 2048, memory=500e6, recall=0.9)
    >>> choice.factory, choice.parameters["nprobe"][:5]
    ('IVF1264,SQ8', [1, 2, 4, 8, 16])
    >>> choose_index(900, 2048, memory=1e9, recall=0.9).factory
    'Flat'
    """
    n, d = check_k(n, "n"), check_k(d, "d")
    if not 0 < recall <= 1:
        raise ValueError(
            f"recall must be above 0 and at most 1. Received: {recall}. Write 95 % as "
            "0.95."
        )
    room = memory / n  # bytes per vector
    if recall == 1 or (n * d <= SMALL and room >= 4 * d):
        _check_room(room, 4 * d, "uncompressed")
        why = "Exact" if recall == 1 else f"Only {n * d:,} numbers"
        return IndexChoice("Flat", {}, f"{why}: compare with every vector.")
    tune = f"Raise {{}} until the recall you measure is {recall:g}."
    if room >= 4 * d + 8 * LINKS:
        why = f"Memory is no concern: the vectors fit, with {2 * LINKS} links each. "
        efforts = {"efSearch": [2**i for i in range(4, 10)]}
        return IndexChoice(f"HNSW{LINKS}", efforts, why + tune.format("efSearch"))
    code, why = choose_code(d, room)
    cells = choose_cells(n)
    if not cells:
        why += f" {n:,} vectors are too few to train cells on: compare with all."
        return IndexChoice(code.format(""), {}, why)
    graph = "_HNSW32" if cells >= LARGE[-1][1] else ""
    why += f" {cells:,} cells suit {n:,} vectors. " + tune.format("nprobe")
    probes = {"nprobe": [2**i for i in range(13) if 2**i < cells]}
    return IndexChoice(code.format(f"IVF{cells}{graph},"), probes, why)


def choose_code(d: int, room: float) -> tuple[str, str]:
    """Choose how to store a vector of d numbers in `room` bytes, its id included.

    Returns the least compression that fits, as part of a factory string with ``{}``
    where the cells go, and why. ValueError if the shortest code is too long.
    """
    if room >= 4 * d + ID:
        return "{}Flat", "The vectors fit as they are, but not with a graph."
    if room >= d + ID:
        return "{}SQ8", "One byte per number fits, four do not."
    sizes = [size for size in (64, 32, 16, 8, 4) if 4 * size <= d]
    _check_room(room, min([d, *sizes]) + ID, "in the shortest code")
    size = next(size for size in sizes if room >= size + ID)
    code = f"OPQ{size}_{4 * size},{{}}PQ{size}np"
    return code, f"Only codes of {size} bytes fit; they lose neighbours, so measure."


def choose_cells(n: int) -> int:
    """Choose how many cells an IVF of n vectors should have; 0 if n is too small.

    Below a million, FAISS advises 4 to 16 times the square root of n, above it fixed
    numbers; always with enough vectors to train each cell.
    """
    for least, cells in LARGE:
        if n >= max(least, POINTS_PER_CELL * cells):
            return cells
    cells = int(4 * math.sqrt(n))
    return cells if n >= POINTS_PER_CELL * cells else 0


def _check_room(room: float, needed: int, how: str) -> None:
    if room < needed:
        raise ValueError(
            f"memory must allow {needed} bytes per vector, {how}. "
            f"Received: {room:.0f}. Allow more memory, accept a lower recall, or split "
            "the collection."
        )
