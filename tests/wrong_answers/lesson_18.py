"""Typical wrong answers to the exercises of lesson 18."""

FLAT = "np.argsort(np.ravel(case['distances']))"
IDS = "np.ravel(case['ids'])"

WRONG_ANSWERS = {
    1: {
        f"lambda case: list({IDS}[{FLAT}][:case['k']])": "padding",
        f"lambda case: list({IDS}[{FLAT}[::-1]][-3:][::-1])": "How many",
        "lambda case: [int(id) for d, id in sorted(zip(np.ravel(case['distances']), "
        "np.ravel(case['ids'])), reverse=True) if id >= 0][:case['k']]": "Smaller is",
        f"lambda case: sorted(id for id in {IDS}[{FLAT}][:case['k']] if id >= 0)": (
            "The order"
        ),
        "lambda case: [ids[0] for ids in case['ids'] if ids[0] >= 0][:case['k']]": (
            "Compare all"
        ),
        f"lambda case: [id for id in {IDS}[{FLAT}] if id >= 0]": "How many",
        "lambda case: case['distances'][0]": "Received 2 floats",
        "lambda case: case['ids']": "Received whole numbers of shape (3, 2)",
        "lambda case: case['id']": "KeyError",
        "[4, 77, 30]": "Expected a function",
    },
    2: {
        "lambda case: 1 - case['down'] ** case['replicas']": "one shard",
        "lambda case: (1 - case['down']) ** case['shards']": "One replica",
        "lambda case: (1 - case['down']) ** (case['shards'] * case['replicas'])": (
            "all its replicas"
        ),
        "lambda case: 1 - (1 - case['down'] ** case['replicas']) ** case['shards']": (
            "something is missing"
        ),
        "lambda case: 1 - case['shards'] * case['down'] ** case['replicas']": "add up",
        "lambda case: 1 - case['down']": "First: when",
        "lambda case: '99 %'": "Received a string",
        "lambda case: case['machines']": "KeyError",
        "0.99": "Expected a function",
    },
}
