"""FAISS's file format, read strictly, before FAISS opens anything.

FAISS reads nearly any file: one may name other files, point outside its own tables or
claim sizes that it has not.  So a file is walked beside the file of an empty index that
we make ourselves, from the same factory string: whatever is not data (the types and
their nesting, dimensions, metrics, sizes of codes, links of a graph) must be the same,
and the data must have the lengths that follow, and point nowhere else.

Fields come in the order of FAISS's ``impl/index_write.cpp``.  No type can be read that
has no method here.
"""

import itertools
import mmap
import struct
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from utils.indexes import LARGEST

FOREIGN = {  # what a file from elsewhere may hold, by the name in FAISS
    **{"ilod": "OnDiskInvertedLists (lists in another file)", "IxMp": "IndexIDMap"},
    **{"RmDT": "RemapDimensionsTransform", "Viqt": "ITQTransform"},
    **{"IwPf": "IndexIVFPQFastScan", "IPfs": "IndexPQFastScan"},
}
# Each format of a float: its bits but the sign, and those of the largest that may be
# stored: rotating, or adding a rest, makes some larger than those that came in.
# Compared as whole numbers, infinity and NaN are larger than any.
ROTATED = np.float32(100 * LARGEST).view(np.uint32)
FLOATS = {
    "": ("<u1", 0, 0),  # codes, which may be anything
    "vectors": ("<u4", 0x7FFFFFFF, int(np.float32(LARGEST).view(np.uint32))),
    "learned": ("<u4", 0x7FFFFFFF, int(ROTATED)),
    "fp16": ("<u2", 0x7FFF, 0x7BFF),
    "bf16": ("<u2", 0x7FFF, int(ROTATED) >> 16),
}
# How many numbers a scalar quantiser learns, by FAISS's number for its type: for each
# dimension, and beside that.
LEARNED = {0: (2, 0), 1: (2, 0), 2: (0, 2), 3: (0, 2), 6: (2, 0)}
LEARNED |= dict.fromkeys((4, 5, 7, 8), (0, 0))
HALVES = {4: "fp16", 7: "bf16"}
CHUNK = 1 << 20  # numbers looked at in one go


def check_format(content: bytes | mmap.mmap, empty: bytes, ntotal: int) -> None:
    """Raise a ValueError unless the content is `empty`, trained and filled.

    `empty` is the file of an index without vectors, `ntotal` how many there must be.
    """
    template = _Walk(empty, None)
    template.index(0)
    walk = _Walk(content, template.fixed_values)
    walk.index(ntotal)
    if walk.at != len(walk.data):
        walk.refuse("the end of the file", f"{len(walk.data) - walk.at} bytes more")


class _Fields:
    """One way through a file, from field to field.

    `fixed_values` is what a file of this structure must say, in the order in which it
    stands there; None while the empty index is walked, from which they are learned.
    """

    def __init__(self, content: Any, fixed_values: list[Any] | None) -> None:
        self.content = content
        self.data = np.frombuffer(content, dtype=np.uint8)
        self.at = 0
        self.learning = fixed_values is None
        self.fixed_values: list[Any] = fixed_values or []
        self.passed = 0  # of the fixed values
        self.floats_are = "vectors"

    def refuse(self, expected: object, received: object) -> NoReturn:
        raise ValueError(f"at byte {self.at}, expected {expected}, received {received}")

    def skip(self, size: int) -> int:
        """Pass so many bytes, and return where they begin."""
        begin = self.at
        if not 0 <= size <= len(self.data) - begin:
            self.refuse(f"{size} bytes", f"{len(self.data) - begin}")
        self.at += size
        return begin

    def array(self, kind: str, count: int) -> np.ndarray:
        begin = self.skip(count * np.dtype(kind).itemsize)
        return self.data[begin : self.at].view(kind)

    def number(self, kind: str) -> Any:
        """Read a number by its `struct` letter."""
        begin = self.skip(struct.calcsize(f"<{kind}"))
        return struct.unpack(f"<{kind}", self.data[begin : self.at].tobytes())[0]

    def fixed(self, kind: str, what: str) -> Any:
        """Read a number that must be that of the empty index."""
        return self._compare(self.number(kind), what)

    def given(self, kind: str, value: object, what: str) -> None:
        """Read a number that must be this one in a full index."""
        found = self.number(kind)
        if not self.learning and found != value:
            self.refuse(f"{what} {value}", found)

    def type(self, what: str) -> str:
        """Read a type of four letters that must be that of the empty index."""
        found = bytes(self.array("u1", 4)).decode("ascii", errors="replace")
        if not self.learning and found != self.fixed_values[self.passed]:
            name = FOREIGN.get(found, "another type")
            self.refuse(f"{what} {self.fixed_values[self.passed]}", name)
        return self._compare(found, what)

    def _compare(self, found: Any, what: str) -> Any:
        if self.learning:
            self.fixed_values.append(found)
        elif found != (expected := self.fixed_values[self.passed]):
            self.refuse(f"{what} {expected}", found)
        self.passed += 1
        return found

    def vector(self, kind: str, count: int, what: str) -> np.ndarray:
        """Read an array that stands behind its length, which must be `count`."""
        found = self.number("Q")
        if found != count and not self.learning:
            self.refuse(f"{count} {what}", found)
        return self.array(kind, found)

    def floats(self, count: int, what: str) -> None:
        self.tame(self.vector("<f4", count, what), "learned", what)

    def tame(self, array: np.ndarray, kind: str, what: str) -> None:
        """Refuse NaN, infinity and numbers whose squares leave float32's range."""
        bits, mask, largest = FLOATS[kind]
        array = array.view(bits)
        for begin in range(0, len(array) if mask else 0, CHUNK):
            if (array[begin : begin + CHUNK] & mask).max() > largest:
                self.refuse(f"{what} that are finite and not huge", "others")
            self.let_go()

    def let_go(self) -> None:
        """Give a mapped file's pages back to the system: they were only looked at."""
        if isinstance(self.content, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            self.content.madvise(mmap.MADV_DONTNEED)

    def constants(self, kind: str, what: str) -> np.ndarray:
        """Read a short array that must be that of the empty index."""
        found = self.array(kind, self.number("Q"))
        if self.learning:
            self.fixed_values.append(found)
        expected = self.fixed_values[self.passed]
        # another system's exp() may round the chances otherwise
        if found.shape != expected.shape or not np.allclose(found, expected, atol=0):
            self.refuse(f"the {len(expected)} {what} that FAISS takes", "others")
        self.passed += 1
        return expected


class _Walk(_Fields):
    """What FAISS writes, type by type."""

    def index(self, n: int) -> None:
        """Pass an index of n vectors; none, while learning."""
        n = 0 if self.learning else n
        kind = self.type("the type")
        if kind not in INDEXES:  # the factory made what we cannot check
            raise ValueError("this FAISS makes files of another format")
        d = self.fixed("i", "the dimension")
        self.given("q", n, "the number of vectors")
        for _ in range(2):
            self.fixed("q", "a constant")
        self.given("?", True, "trained")
        self.fixed("i", "the metric")
        INDEXES[kind](self, d, n)

    def flat(self, d: int, n: int) -> None:
        self.tame(self.vector("<f4", n * d, "numbers"), self.floats_are, "vectors")

    def scalar(self, d: int, n: int) -> None:
        size, kind = self.scalar_quantizer(d)
        self.tame(self.vector("u1", n * size, "bytes of codes"), kind, "vectors")

    def product(self, d: int, n: int) -> None:
        size = self.product_quantizer()
        self.vector("u1", n * size, "bytes of codes")
        self.fixed("i", "the way of searching")
        self.fixed("?", "signs")
        self.fixed("i", "the Hamming threshold")

    def mapped(self, d: int, n: int) -> None:
        self.index(n)
        self.vector("<i8", n, "ids")

    def transformed(self, d: int, n: int) -> None:
        self.floats_are = "learned"
        for _ in range(self.fixed("i", "the number of transforms")):
            self.transform()
        self.index(n)

    def inverted_flat(self, d: int, n: int) -> None:
        self.lists(n, self.inverted(), self.floats_are)

    def inverted_scalar(self, d: int, n: int) -> None:
        cells = self.inverted()
        _, kind = self.scalar_quantizer(d)
        self.fixed("Q", "the size of a code")
        self.fixed("?", "residuals")
        self.lists(n, cells, kind)

    def inverted_product(self, d: int, n: int) -> None:
        cells = self.inverted()
        self.fixed("?", "residuals")
        self.fixed("Q", "the size of a code")
        self.product_quantizer()
        self.lists(n, cells, "")

    # --- Parts of indexes --------------------------------------------------------

    def scalar_quantizer(self, d: int) -> tuple[int, str]:
        """Return the size of a code, and what kind of float it is made of, if any."""
        kind = self.fixed("i", "the type of scalar quantiser")
        for letter in "if":
            self.fixed(letter, "how ranges are found")
        self.fixed("Q", "the dimension")
        size = self.fixed("Q", "the size of a code")
        if kind not in LEARNED:
            raise ValueError("this FAISS makes scalar quantisers of another kind")
        each, beside = LEARNED[kind]
        self.floats(each * d + beside, "numbers that the scalar quantiser learned")
        return size, HALVES.get(kind, "")

    def product_quantizer(self) -> int:
        d = self.fixed("Q", "the dimension")
        parts = self.fixed("Q", "the parts of a vector")
        bits = self.fixed("Q", "the bits of a code")
        self.floats(d << bits, "numbers of a codebook")
        return (parts * bits + 7) // 8

    def transform(self) -> None:
        kind, found, have_bias = self.type("the transform"), (0, 0), False
        if kind == "VNrm":
            self.fixed("f", "the norm")
        elif kind in ("LTra", "rrot", "Pcam"):
            if kind == "Pcam":
                self.pca()
            have_bias = self.fixed("?", "bias")
            found = self.weights(), self.weights()
        else:
            raise ValueError("this FAISS makes transforms of another kind")
        d_in = self.fixed("i", "the dimension that comes in")
        d_out = self.fixed("i", "the dimension that goes out")
        self.given("?", True, "trained")
        lengths = (0, 0) if kind == "VNrm" else (d_in * d_out, have_bias * d_out)
        if not self.learning and found != lengths:
            self.refuse(f"a matrix and a bias of {lengths}", found)

    def pca(self) -> None:
        for letter in "ff?i":
            self.fixed(letter, "how components are scaled")
        for _ in range(3):  # mean, eigenvalues and matrix, not used any more
            self.array("<f4", self.number("Q"))

    def weights(self) -> int:
        """Read numbers whose count is only known later, and return it."""
        self.tame(numbers := self.array("<f4", self.number("Q")), "learned", "weights")
        return len(numbers)

    def inverted(self) -> int:
        """Pass what all IVF begin with, and return the number of cells."""
        cells = self.fixed("Q", "the number of cells")
        self.fixed("Q", "nprobe")
        self.index(cells)
        self.given("b", 0, "a direct map of type")
        self.vector("<i8", 0, "entries of a direct map")
        return cells

    def lists(self, n: int, cells: int, kind: str) -> None:
        """Pass the lists of an IVF, of so many vectors, whose floats are of a kind."""
        self.type("the type of lists")
        self.fixed("Q", "the number of cells")
        size = self.fixed("Q", "the size of a code")
        lengths = self.list_lengths(cells)
        if not self.learning and sum(lengths) != n:
            self.refuse(f"lists of {n} vectors", f"lists of {sum(lengths)}")
        for length in lengths:
            self.tame(self.array("u1", length * size), kind, "vectors")
            self.skip(8 * length)  # the ids

    def list_lengths(self, cells: int) -> list[int]:
        """Read the lengths of the lists that are not empty."""
        form = bytes(self.array("u1", 4))
        if form == b"full":
            return self.vector("<u8", cells, "lengths").tolist()
        if form != b"sprs":
            self.refuse("lengths of lists", "another type")
        pairs = self.array("<u8", self.number("Q"))
        if len(pairs) % 2 or len(pairs) > 2 * cells:
            self.refuse(f"lengths of at most {cells} lists", len(pairs))
        which = pairs[::2].tolist()
        if any(a >= b for a, b in itertools.pairwise([*which, cells])):
            self.refuse("the lists in order", "another order")
        return pairs[1::2].tolist()

    # --- Graphs ------------------------------------------------------------------

    def graph(self, d: int, n: int) -> None:
        """Pass an HNSW: for each vector its levels, and its neighbours on each."""
        chances = self.constants("<f8", "chances of levels")
        ends = self.constants("<i4", "numbers of neighbours")
        levels = self.vector("<i4", n, "levels")
        if n and not 1 <= levels.min() <= levels.max() <= len(chances):
            self.refuse(f"levels from 1 to {len(chances)}", "others")
        offsets = self.vector("<u8", n + 1, "offsets").astype(np.int64)
        if (offsets != np.append(0, np.cumsum(ends[levels], dtype=np.int64))).any():
            self.refuse("offsets that follow from the levels", "others")
        neighbours = self.vector("<i4", int(offsets[-1]), "neighbours")
        self.check_neighbours(neighbours, ends, levels)
        entry, top = self.number("i"), self.number("i")
        highest = int(levels.max()) - 1 if n else -1
        good = (-1 < entry < n and levels[entry] == top + 1) if n else entry == -1
        if not self.learning and not (good and top == highest):
            self.refuse("an entry point on the highest level", "another")
        self.fixed("i", "efConstruction")
        self.fixed("i", "efSearch")
        self.fixed("i", "a constant")
        self.index(n)

    def check_neighbours(self, neighbours: Any, ends: Any, levels: Any) -> None:
        """Refuse neighbours that are not there, or not on the level they stand on."""
        for begin in range(0, len(neighbours), CHUNK):
            some = neighbours[begin : begin + CHUNK]
            if some.min() < -1 or some.max() >= len(levels):
                self.refuse(f"neighbours below {len(levels)}", "others")
        offsets = np.append(0, np.cumsum(ends[levels], dtype=np.int64))
        for level in range(1, int(levels.max(initial=1))):
            high = np.flatnonzero(levels > level)
            places = offsets[high][:, None] + np.arange(ends[level], ends[level + 1])
            theirs = neighbours[places]
            if (levels[theirs[theirs >= 0]] <= level).any():
                self.refuse(f"neighbours on level {level}", "others")


INDEXES: dict[str, Callable[[_Walk, int, int], None]] = {
    **dict.fromkeys(("IxFI", "IxF2"), _Walk.flat),
    **{"IxSQ": _Walk.scalar, "IxPq": _Walk.product, "IxM2": _Walk.mapped},
    **{"IwFl": _Walk.inverted_flat, "IwSq": _Walk.inverted_scalar},
    **{"IwPQ": _Walk.inverted_product, "IxPT": _Walk.transformed},
    **dict.fromkeys(("IHNf", "IHNs", "IHNp"), _Walk.graph),
}
