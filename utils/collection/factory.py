"""Which factory strings a `VectorIndex` takes: a grammar with bounds.

FAISS reads such strings by recursion and allocates whatever they name, so one from a
bundle is looked at here first.  And it makes kinds of index that cannot do what is
promised of all: give vectors back, search among some, and be read again.
"""

import re

NUMBER = "[1-9][0-9]{0,6}"
STEP = rf"(?:PCAR?({NUMBER})|RR({NUMBER})|OPQ{NUMBER}(?:_({NUMBER}))?|L2[nN]orm),"
SQ = "SQ(?:4|6|8|fp16|bf16|8_direct|8_direct_signed)"
PQ = rf"PQ(?P<parts>{NUMBER})(?:x(?P<bits>{NUMBER}))?(?:np)?"
INNER = re.compile(
    rf"(?:IVF(?P<cells>{NUMBER})(?P<times>[kM])?(?P<coarse>_HNSW(?P<coarse_links>"
    rf"{NUMBER})?)?,|(?P<graph>HNSW)(?P<links>{NUMBER})?(?:[,_]|$))?"
    rf"(?P<codes>Flat|{SQ}|{PQ})?"
)
LONGEST, MOST_STEPS = 100, 3
MOST_CELLS, MOST_LINKS, MOST_BITS = 1 << 20, 512, 12
MOST_NUMBERS = 1 << 25  # in one table: 128 MB
# What FAISS makes and we cannot keep, and the nearest that we can.
NEAREST = (
    (r"(PQ\d+x4)fsr?(_\d+)?", r"\1np"),  # crashes after it was read again
    (r"\b(RQ|LSQ|PRQ|PLSQ|RaBitQ|EDEN|LSH|SQtq|SQ0)\w*$", "SQ4"),  # nothing `among`
    (r"FlatDedup|FlatPanorama\w*", "Flat"),  # gives no vectors back
    (r"(ITQ|PCAW)R?(\d+)", r"PCA\2"),  # nor do these
    (r"\(HNSW(\d*)\)", r"_HNSW\1"),
    (r"\(Flat\)|,RFlat$|,Refine.*|(Pad\d+|HR\d*),|IDMap2?,", ""),
    (r"\bNSG(\d+)", r"HNSW\1"),
)


def check_factory(factory: str, d: int) -> int:
    """Raise a ValueError, if `VectorIndex` cannot keep an index of this kind.

    Returns the bytes that the file of such an index, once trained, has at the least.
    """
    try:
        return _least_bytes(factory, d)
    except ValueError as error:
        near = factory if isinstance(factory, str) and len(factory) <= LONGEST else ""
        for pattern, replacement in NEAREST:
            near = re.sub(pattern, replacement, near, flags=re.ASCII)
        try:
            _least_bytes(near, d)
            advice = f"Nearest that can: {near!r}."
        except ValueError:
            advice = "Other kinds can be had from build_index."
        raise ValueError(
            "factory must name a Flat, SQ, PQ, HNSW or IVF index, with or without "
            "PCA or OPQ in front, that can give vectors back, search among some and "
            f"be read again. Received: {_shown(factory)} ({error}). {advice}"
        ) from None


def _shown(factory: object) -> str:
    """Return a string if it is short and plain: others may come from anywhere."""
    if isinstance(factory, str) and re.fullmatch(r"[A-Za-z0-9_,()+]{0,40}", factory):
        return repr(factory)
    return f"a {type(factory).__name__} of another kind"


def _least_bytes(factory: str, d: int) -> int:
    if not isinstance(factory, str) or len(factory) > LONGEST:
        raise ValueError(f"a string of at most {LONGEST} characters is expected")
    inner, steps = factory, 0
    while step := re.match(STEP, inner):
        d_out = int(next(filter(None, step.groups()), d))
        if d_out > d:
            raise ValueError(f"a transform to {d_out} dimensions, of {d}")
        d, inner, steps = d_out, inner[step.end() :], steps + 1
    found = INNER.fullmatch(inner)
    if not found or not (found["codes"] or found["graph"]) or steps > MOST_STEPS:
        raise ValueError("another kind")
    return 4 * (_cells(found) * d + _table(found, d))


def _cells(found: re.Match) -> int:
    times = {None: 1, "k": 1 << 10, "M": 1 << 20}[found["times"]]
    cells = int(found["cells"] or 0) * times
    if cells > MOST_CELLS:
        raise ValueError(f"more than {MOST_CELLS:,} cells")
    for links in found["links"], found["coarse_links"]:
        if links and not 2 <= int(links) <= MOST_LINKS:
            raise ValueError(f"a graph of other than 2 to {MOST_LINKS} links")
    return cells


def _table(found: re.Match, d: int) -> int:
    """Return how many numbers the codebook of a PQ has."""
    if not found["parts"]:
        return 0
    parts, bits = int(found["parts"]), int(found["bits"] or 8)
    if parts > d or bits > MOST_BITS:
        raise ValueError(f"PQ of more than {d} parts or {MOST_BITS} bits")
    # an HNSW keeps the distances of all pairs of codes
    if max(d << bits, (parts << 2 * bits) * bool(found["graph"])) > MOST_NUMBERS:
        raise ValueError(f"a PQ with a table of more than {MOST_NUMBERS:,} numbers")
    return d << bits
