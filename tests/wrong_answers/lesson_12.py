"""Typical wrong answers to the exercises of lesson 12."""

WRONG_ANSWERS = {
    1: {
        "np.quantile(best, 0.9)": "nine of ten",
        "np.quantile(best, 0.01)": "could be higher",
        "np.median(best)": "should be 10 %",
        "best": "Received 91 floats",
        "10": "outside these limits",
    },
    2: {
        "np.mean(new[:, None] > known)": "new thing is ahead",
        "np.sum(known[:, None] > new)": "counts the pairs",
        "np.mean(known > new.mean())": "not with their middle",
        "np.mean(known[:156] > new)": "every new one",
        "known[:, None] > new": "truth values",
    },
    3: {
        "lambda s: s.max(axis=1)": "no more",
        "lambda s: -s.max(axis=1)": "turn its sign",
        "lambda s: s.max()": "Received a float",
        "lambda s: s.mean(axis=1)": "NaN or infinity",
        "similarities.max(axis=1)": "Expected a function",
    },
}
