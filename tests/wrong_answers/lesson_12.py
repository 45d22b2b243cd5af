"""Typical wrong answers to the exercises of lesson 12."""

WRONG_ANSWERS = {
    1: {
        "np.quantile(highest, 0.9)": "nine of ten",
        "np.quantile(highest, 0.01)": "could be higher",
        "np.median(highest)": "should be 10 %",
        "highest": "Received 91 floats",
        "10": "outside these limits",
    },
    2: {
        "np.mean(new[:, None] > of_gallery)": "new thing is ahead",
        "np.sum(of_gallery[:, None] > new)": "counts the pairs",
        "np.mean(of_gallery > new.mean())": "not with their middle",
        "np.mean(of_gallery[:156] > new)": "use broadcasting",
        "of_gallery[:, None] > new": "truth values",
    },
    3: {
        "lambda s: s.max(axis=1)": "no more",
        "lambda s: -s.max(axis=1)": "turn its sign",
        "lambda s: s.max()": "Received a float",
        "lambda s: s.mean(axis=1)": "NaN or infinity",
        "similarities.max(axis=1)": "Expected a function",
    },
}
