"""Typical wrong answers to the exercises of lesson 06."""

WRONG_ANSWERS = {
    1: {
        "sum(ivf16.invlists.list_size(c) for c in own_cells)": "centroids are not",
        "3 + sum(ivf16.invlists.list_size(c) for c in own_cells)": "far away",
        "16 + round(3 * n / 16)": "equally full",
        "n": "other cells",
        "16": "Not this many",
        "200.5": "Received a float",
    },
    2: {
        "ann_recall(found_ids, true_ids).mean()": "recall@10, over ten",
        "np.mean(found_ids == true_ids)": "Not this share",
        "(ann_recall(found_ids, true_ids) > 0).mean()": "any of its ten",
        "np.mean(found_ids[:, 0] != true_ids[:, 0])": "that miss it",
        "np.sum(found_ids[:, 0] == true_ids[:, 0])": "outside these limits",
        "found_ids[:, 0] == true_ids[:, 0]": "Expected a number",
    },
    3: {
        "lambda query: ivf_100.search(query[None], 100)[1][0]": "Some ids are -1",
        "lambda query: np.argsort(-embeddings @ query)[:100]": "does not need",
        "lambda query: ivf_100.search(query, 100)[1]": "The function stops with",
        "lambda query: ivf_100.search(query[None], 100)[1]": "shape (1, 100)",
        "lambda query: ivf_100.search(query[None], 50)[1][0]": "Received 50",
        "lambda query: np.repeat(np.argmax(embeddings @ query), 100)": "not their",
        "lambda query: None": "`return`",
    },
}
