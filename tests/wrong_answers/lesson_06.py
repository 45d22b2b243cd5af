"""Typical wrong answers to the exercises of lesson 06."""

WRONG_ANSWERS = {
    1: {
        "sum(ivf.invlists.list_size(c) for c in own_cells)": "centroids are not",
        "3 + sum(ivf.invlists.list_size(c) for c in own_cells)": "far away",
        "16 + round(3 * n / 16)": "equally full",
        "n": "other cells",
        "16": "Not this many",
        "200.5": "Received a float",
    },
    2: {
        "10": "Too small",
        "320": "smaller value would do",
        "50": "six values",
        "recall(40)": "Received a float",
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
