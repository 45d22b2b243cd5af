"""Typical wrong answers to the exercises of lesson 10."""

WRONG_ANSWERS = {
    1: {
        "np.mean(page.any(axis=1))": "at least one",
        "float(np.sum(~page.any(axis=1)))": "at most 1",
        "1 - page.mean()": "share of wrong results",
        "np.mean(~page[:, 0])": "ten results each",
        "~page.any(axis=1)": "truth values",
    },
    2: {
        "relevance[:, :30].sum(axis=1) / 30": "its own R",
        "relevance.sum(axis=1) / R": "whole row",
        "np.array([row[:r].mean() / r for row, r in zip(relevance, R)])": "twice",
        "relevance[:, :5].mean(axis=1)": "first R results",
        "np.mean([row[:r].mean() for row, r in zip(relevance, R)])": "Received a float",
    },
    3: {
        "shortlist.mean()": "all 20",
        "shortlist.sum(axis=1).mean() / 5": "more hits than fit",
        "relevance[:, :5].mean()": "as it is",
        "shortlist.any(axis=1).mean()": "one hit only",
        "np.minimum(shortlist.sum(axis=1), 5) / 5": "182 floats",
    },
}
