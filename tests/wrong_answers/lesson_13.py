"""Typical wrong answers to the exercises of lesson 13."""

WRONG_ANSWERS = {
    1: {
        "(map_40 @ vector_40).argmax()": "Received a whole number",
        "np.unravel_index((map_40 @ vector_40).argmin(), (7, 7))": "smallest part",
        "(7, 7)": "outside these limits",
        "(0, 3)": "Another region",
    },
    2: {
        "(map_40 @ vector_40)[1:-1, 1:-1].sum() / (map_40 @ vector_40).sum()": (
            "share inside"
        ),
        "sum((map_40 @ vector_40)[i].sum() + (map_40 @ vector_40)[:, i].sum() "
        "for i in (0, 6)) / (map_40 @ vector_40).sum()": "counted twice",
        "24 / 49": "of the area",
        "(map_40 @ vector_40)[0].sum() / (map_40 @ vector_40).sum()": "24?",
        "map_40 @ vector_40": "shape (7, 7)",
    },
    3: {
        "int(((labels[nearest] != labels[:, None]).mean(axis=1) > 0.5).sum())": (
            "exactly half"
        ),
        "int(((labels[nearest] != labels[:, None]).mean(axis=1) < 0.5).sum())": (
            "own kind"
        ),
        "int((labels[nearest] != labels[:, None]).sum())": "counts strangers",
        "int((labels[nearest] != labels[:, None]).any(axis=1).sum())": (
            "single stranger"
        ),
        "np.flatnonzero(labels[nearest[:, 0]] != labels)": "whole number",
    },
}
