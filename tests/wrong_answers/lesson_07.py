"""Typical wrong answers to the exercises of lesson 07."""

COST = (
    "(lambda value: (work.reset(), sparse.search(queries, k, "
    "params=faiss.SearchParametersHNSW(efSearch=value)), work.ndis)[-1])"
)

WRONG_ANSWERS = {
    1: {
        "32 * 4 / (32 * 4 + 512)": "not M",
        "256 / 512": "both together",
        "512 / 768": "share of the vectors",
        "256": "outside these limits",
        "0.11": "Not this share",
    },
    2: {
        f"{COST}(10) / len(queries)": "below 0.9",
        f"{COST}(320) / len(queries)": "smaller efSearch",
        f"{COST}(20)": "all queries together",
        "20": "Not this many",
        "'20'": "Received a string",
    },
    3: {
        "'HNSW32'": "8 x 32",
        "'IVF5656,Flat'": "Uncompressed",
        "'IVF5656,PQ64np'": "So short a code",
        "'IVF65536,SQ8'": "39 vectors each",
        "'IVF5657,SQ8'": "The code fits",
        "'5656 cells, one byte'": "cells and code",
        "5656": "Received a whole number",
    },
}
