"""Typical wrong answers to the exercises of lesson 13."""

WRONG_ANSWERS = {
    1: {
        "np.quantile(alone, 0.05)": "95 % of them",
        "alone.max()": "of them reach it",
        "np.quantile(similarities.max(axis=1), 0.95)": "of them reach it",
        "np.sort(alone)[-10:]": "10 floats",
    },
    2: {
        "(regions @ query).argmax()": "Received a whole number",
        "np.unravel_index((regions @ query).argmin(), regions.shape[:2])": (
            "smallest part"
        ),
        "(2, 2)": "outside these limits",
        "np.unravel_index((regions @ query).argmax(), regions.shape[:2])[::-1]": (
            "Another region"
        ),
    },
    3: {
        "np.searchsorted(np.cumsum(strengths**2) / np.sum(strengths**2), 0.9)": (
            "Too few"
        ),
        "np.searchsorted(np.cumsum(strengths) / strengths.sum(), 0.9) + 1": (
            "Too many"
        ),
        "0": "outside these limits",
        "0.9 * 2048": "Received a float",
    },
}
