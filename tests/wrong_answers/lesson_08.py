"""Typical wrong answers to the exercises of lesson 08."""

WRONG_ANSWERS = {
    1: {
        "5_000_000 * 48": "the codes alone",
        "5_000_000 * (48 + 256 * 768 * 4)": "once, not with every vector",
        "5_000_000 * 48 + 48 * 256 * 768 * 4": "a piece of a vector",
        "5_000_000 * 48 + 256 * 768": "takes 4 bytes",
        "5_000_000 * 48 * 8": "Count the bytes of one code",
        "240.8": "Received a float",
    },
    2: {
        "decoded @ queries[7]": "inner products",
        "2 - 2 * decoded @ queries[7]": "length 1",
        "np.linalg.norm(decoded - queries[7], axis=1)": "Leave the root out",
        "((embeddings - queries[7]) ** 2).sum(axis=1)": "exact distances",
        "codes.sum(axis=1)": "look up and add",
        "((codebooks - queries[7].reshape(16, 1, 128)) ** 2).sum(axis=2)": (
            "shape (16, 256)"
        ),
    },
    3: {
        "embeddings": "the vectors themselves",
        "decoded": "first codes alone",
        "(embeddings + decoded) / 2": "codebook of 256 entries",
        "1.05 * decoded": "No nearer",
        "embeddings - decoded": "codebook of 256 entries",
        "codes": "Received whole numbers of shape (910, 16)",
    },
}
