"""Typical wrong answers to the exercises of lesson 08."""

WRONG_ANSWERS = {
    1: {
        "128": "does not fit",
        "32": "more pieces would fit",
        "99": "cannot be cut",
        "64.0": "Received a float",
        "0": "outside these limits",
    },
    2: {
        "1": "Too few candidates",
        "91": "fewer candidates would do",
        "92": "outside these limits",
        "refined_recall(4)": "Received a float",
    },
    3: {
        "embeddings @ queries[7]": "exact inner products",
        "codes.sum(axis=1)": "look up",
        "small.reconstruct_n(0, n) @ queries[7] / 16": "average over the pieces",
        "[book[m] @ queries[7].reshape(16, -1)[m] for m in range(16)]": (
            "shape (16, 16)"
        ),
    },
}
