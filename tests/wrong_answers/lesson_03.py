"""Typical wrong answers to the exercises of lesson 03."""

WRONG_ANSWERS = {
    1: {
        "np.argsort(-np.linalg.norm(embeddings - queries[3], axis=1))[:k]": (
            "farthest"
        ),
        "np.argsort(np.linalg.norm(embeddings - queries[0], axis=1))[:k]": (
            "not among"
        ),
        "np.argsort(np.linalg.norm(embeddings - queries[3], axis=1))[:k][::-1]": (
            "not nearest first"
        ),
        "np.sort(np.linalg.norm(embeddings - queries[3], axis=1))[:k]": "5 floats",
        "np.argsort(np.linalg.norm(embeddings - queries[3], axis=1))": "Received",
        "[0, 1, 2, 3, -1]": "outside these limits",
        "5 * [np.argmax(embeddings @ queries[3])]": "occurs twice",
    },
    2: {
        "pair.mean(axis=0)": "length",
        "pair[0]": "equally near",
        "pair.mean(axis=1)": "Received 2 floats",
        "-pair.mean(axis=0) / np.linalg.norm(pair.mean(axis=0))": "nearer to each",
        "pair": "shape (2, 2048)",
    },
    3: {
        "np.argmax(queries @ embeddings.T, axis=1)": "own thing",
        "np.argmax(np.where(query_labels[:, None] == labels, -1, "
        "queries @ embeddings.T), axis=1)": "Only its own thing",
        "np.argsort(np.where(query_things[:, None] == things, -1, "
        "queries @ embeddings.T), axis=1)[:, -2]": "is nearer",
        "np.max(queries @ embeddings.T, axis=1)": "floats",
        "np.argmax(queries @ embeddings.T, axis=0)": "Received 910",
    },
}
