"""Index files that somebody might make to do harm, by hand: each has one fault.

`HOSTILE` names them; each takes the path of a file that nothing may touch, and returns
facts and content as `VectorIndex.restore` takes them.
"""

import io
import struct
import tempfile
from pathlib import Path

import numpy as np

from utils.collection.vector_index import VectorIndex
from utils.indexes import faiss

D, N = 16, 300
HUGE_FACTORIES = ["PCA16," * 3000 + "Flat", "A" * 20000, "IVF100000000,Flat"]
HUGE_FACTORIES += ["((" * 40, "IVF4(IVF4(IVF4(Flat),Flat),Flat),Flat", "HNSW1000000"]
HUGE_FACTORIES += ["PQ16x24", "HNSW8_PQ16x16", "PCA9999999,Flat", "RR1000000,Flat"]


def draw(n: int = N, seed: int = 0) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(size=(n, D)).astype("float32")
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def stored(index: VectorIndex) -> tuple[dict, bytes]:
    facts, write = index.snapshot()
    file = io.BytesIO()
    write(file)
    return facts, file.getvalue()


def changed(factory: str, change, *, empty: bool = False) -> tuple[dict, bytes]:
    """Make an index, and let `change` spoil its innermost layer."""
    index = VectorIndex(draw(), factory)
    if empty:
        index.remove(index.ids)
    facts, content = stored(index)
    outer = faiss.deserialize_index(np.frombuffer(content, np.uint8))
    kept = change(innermost(outer))
    content = faiss.serialize_index(outer).tobytes()
    del kept
    return facts, content


def innermost(index):
    index = faiss.downcast_index(index)
    return innermost(index.index) if hasattr(index, "index") else index


def patched(factory: str, kind: str, old, new, which: int = 0) -> tuple[dict, bytes]:
    """Put one number in another's place: in the `which` place where it stands."""
    facts, content = stored(VectorIndex(draw(), factory))
    old, new, at = struct.pack(f"<{kind}", old), struct.pack(f"<{kind}", new), -1
    for _ in range(which + 1):
        at = content.index(old, at + 1)
    return facts, content[:at] + new + content[at + len(old) :]


def empty_lists_elsewhere(victim: Path) -> tuple[dict, bytes]:
    def change(ivf):
        lists = faiss.OnDiskInvertedLists(ivf.nlist, ivf.code_size, str(victim))
        ivf.own_invlists, ivf.invlists = False, lists
        return lists

    return changed("IVF4,Flat", change, empty=True)


def full_lists_elsewhere(victim: Path) -> tuple[dict, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "lists")

        def change(ivf):
            lists = faiss.OnDiskInvertedLists(ivf.nlist, ivf.code_size, path)
            ivf.own_invlists, old, ivf.invlists = False, ivf.invlists, lists
            for i in range(ivf.nlist):
                size = old.list_size(i)
                lists.add_entries(i, size, old.get_ids(i), old.get_codes(i))
            return lists

        facts, content = changed("IVF4,Flat", change)
    name, other = path.encode(), str(victim).encode()
    at = content.index(name) - 8
    behind = content[at + 8 + len(name) :]
    return facts, content[:at] + struct.pack("<Q", len(other)) + other + behind


def chances(values):
    return lambda _: changed(
        "HNSW8",
        lambda graph: faiss.copy_array_to_vector(values, graph.hnsw.assign_probas),
    )


def table(name: str, where, value):
    """Change a number in a table of an HNSW; `where` may be a function of the HNSW."""

    def change(graph):
        numbers = faiss.vector_to_array(getattr(graph.hnsw, name))
        numbers[where(graph.hnsw) if callable(where) else where] = value
        faiss.copy_array_to_vector(numbers, getattr(graph.hnsw, name))

    return lambda _: changed("HNSW8", change)


def upstairs(hnsw) -> int:
    """Where the first neighbour on level 1 stands, of a vector that has that level."""
    levels = faiss.vector_to_array(hnsw.levels)
    offsets = faiss.vector_to_array(hnsw.offsets)
    ends = faiss.vector_to_array(hnsw.cum_nneighbor_per_level)
    return int(offsets[np.argmax(levels > 1)]) + int(ends[1])


def downstairs_neighbour(_: Path) -> tuple[dict, bytes]:
    def change(graph):
        levels = faiss.vector_to_array(graph.hnsw.levels)
        numbers = faiss.vector_to_array(graph.hnsw.neighbors)
        numbers[upstairs(graph.hnsw)] = np.flatnonzero(levels == 1)[-1]
        faiss.copy_array_to_vector(numbers, graph.hnsw.neighbors)

    return changed("HNSW8", change)


def remapped(number: int, d_out: int):
    """Make an IDMap2 over a transform that takes dimensions that are not there."""

    def make(_: Path) -> tuple[dict, bytes]:
        facts, _ = stored(VectorIndex(draw(), "Flat"))
        step = faiss.RemapDimensionsTransform(D, d_out, False)
        faiss.copy_array_to_vector(np.full(d_out, number, np.int32), step.map)
        inner = faiss.IndexFlatIP(d_out)
        chain = faiss.IndexPreTransform(step, inner)
        outer = faiss.IndexIDMap2(chain)
        inner.add(np.ones((N, d_out), np.float32))
        for index in chain, outer:
            index.ntotal, index.metric_type = N, faiss.METRIC_INNER_PRODUCT
        faiss.copy_array_to_vector(np.arange(N), outer.id_map)
        return facts, faiss.serialize_index(outer).tobytes()

    return make


def crowded_quantizer(_: Path) -> tuple[dict, bytes]:
    def change(ivf):
        faiss.downcast_index(ivf.quantizer).add(draw(396, seed=1))

    return changed("IVF4,Flat", change)


def wide_quantizer(_: Path) -> tuple[dict, bytes]:
    def change(ivf):
        faiss.downcast_index(ivf.quantizer).d = 10**6

    return changed("IVF4,Flat", change)


def direct_map(_: Path) -> tuple[dict, bytes]:
    return changed("IVF4,Flat", lambda ivf: ivf.make_direct_map())


def factory(text: str, fallback: str = ""):
    def make(_: Path) -> tuple[dict, bytes]:
        facts, content = stored(VectorIndex(draw(), "Flat"))
        return facts | {"factory": text, "fallback": fallback}, content

    return make


def spoiled(kind: str, value: float):
    """Put a number among the vectors, codebooks or means of an index."""

    def make(_: Path) -> tuple[dict, bytes]:
        facts, content = stored(VectorIndex(draw(), kind))
        at = {
            "Flat": 82 + 4 * D,  # behind two headers and a length
            "PQ4x4np": 106 + 4 * D,
            "HNSW8": len(content) - 8 * N - 8 - 4 * D,
            "IVF4,Flat": content.index(b"full") + 44 if kind == "IVF4,Flat" else 0,
        }[kind]
        return facts, content[:at] + struct.pack("<f", value) + content[at + 4 :]

    return make


def nested(_: Path) -> tuple[dict, bytes]:
    facts, content = stored(VectorIndex(draw(), "Flat"))
    return facts, content[:37] * 100_000 + content


def longer(_: Path) -> tuple[dict, bytes]:
    facts, content = stored(VectorIndex(draw(), "Flat"))
    return facts, content + b"more"


def another(made: str, told: str):
    """Make an index of one kind, and facts that tell of another."""

    def make(_: Path) -> tuple[dict, bytes]:
        facts, _ = stored(VectorIndex(draw(), told))
        return facts, stored(VectorIndex(draw(), made))[1]

    return make


HOSTILE = {
    "an empty list on disk": empty_lists_elsewhere,
    "full lists on disk": full_lists_elsewhere,
    "no chances of levels": chances(np.empty(0)),
    "5,000 levels": chances(np.full(5000, 1e-9)),
    "a neighbour far out": table("neighbors", 0, 10**9),
    "a neighbour before the first": table("neighbors", 3, -7),
    "a neighbour on a lower level": downstairs_neighbour,
    "a level too high": table("levels", 5, 100),
    "no level": table("levels", 5, 0),
    "offsets that jump": table("offsets", 9, 2**40),
    "an end of neighbours elsewhere": table("cum_nneighbor_per_level", 1, 10**8),
    "an entry point elsewhere": lambda _: changed(
        "HNSW8", lambda graph: setattr(graph.hnsw, "entry_point", N + 5)
    ),
    "a top level that is none": lambda _: changed(
        "HNSW8", lambda graph: setattr(graph.hnsw, "max_level", 50)
    ),
    "an effort without end": lambda _: changed(
        "HNSW8", lambda graph: setattr(graph.hnsw, "efSearch", 2**31 - 1)
    ),
    "a map of 10^9": remapped(10**9, D),
    "a map beyond the last dimension": remapped(70, D),
    "a quantizer of 400 for 4 lists": crowded_quantizer,
    "a quantizer of 10^6 dimensions": wide_quantizer,
    "a direct map": direct_map,
    "100,000 nested indexes": nested,
    "bytes behind the end": longer,
    "an IVF told as Flat": another("IVF4,Flat", "Flat"),
    "a Flat told as IVF": another("Flat", "IVF4,Flat"),
    "a PQ of other sizes": another("PQ8x4np", "PQ4x4np"),
    "another metric": lambda _: changed(
        "Flat", lambda flat: setattr(flat, "metric_type", faiss.METRIC_L2)
    ),
    "a vector count of 2^40": lambda _: patched("Flat", "q", N * D, 2**40),
    **{
        f"{value} in {kind}": spoiled(kind, value)
        for kind in ("Flat", "HNSW8", "IVF4,Flat", "PQ4x4np")
        for value in (float("nan"), float("inf"), 1e30)
    },
    **{f"factory {text[:12]}…{len(text)}": factory(text) for text in HUGE_FACTORIES},
    **{
        f"instead of {text[:12]}…{len(text)}": factory(text, "too few")
        for text in HUGE_FACTORIES
    },
}
