"""Typical wrong answers to the exercises of lesson 10."""

WRONG_ANSWERS = {
    1: {
        "page.mean(axis=1)": "precision@10",
        "(page.cumsum(axis=1) / np.arange(1, 11) * page).sum(axis=1) / 10": (
            "length of the page"
        ),
        "(page.cumsum(axis=1) / np.arange(1, 11) * page).sum(axis=1) / "
        "np.maximum(page.sum(axis=1), 1)": "Too high",
        "page[:, 0] / n_relevant": "at which ranks",
        "average_precision(relevance, k=10).mean()": "Received a float",
        "np.full(len(page), np.nan)": "NaN",
    },
    2: {
        "int((1.96 * deviation / 0.01) ** 2)": "Rounded down",
        "int(np.ceil((1.96 * deviation / 0.02) ** 2))": "± 0.02",
        "int(np.ceil((deviation / 0.01) ** 2))": "one standard error",
        "len(ap)": "With so many",
        "(1.96 * deviation / 0.01) ** 2": "Received a float",
    },
    3: {
        "compare_paired(ap, average_precision(rank_relevance(both @ embeddings.T, "
        "query_labels, labels, ignore=ignore)))": "other way round",
        "compare_paired(average_precision(rank_relevance(both @ embeddings.T, "
        "query_labels, labels)), ap)": "own group",
        "np.mean(ap)": "Received a float",
    },
}
