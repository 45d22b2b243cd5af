"""Typical wrong answers to the exercises of lesson 16."""

WRONG_ANSWERS = {
    1: {
        "(beta - mean * gamma / np.sqrt(variance + epsilon)) @ matrix": "own bias",
        "beta @ matrix + bias": "take off first",
        "-mean * gamma / np.sqrt(variance + epsilon) @ matrix + bias": "in the end",
        "(beta - mean * gamma / (variance + epsilon)) @ matrix + bias": "divide by",
        "(beta - mean * gamma / np.sqrt(variance)) @ matrix + bias": "Epsilon",
        "bias": "picture of zeros",
        "beta - mean * gamma / np.sqrt(variance + epsilon)": "Received 3",
        "matrix": "shape (3, 4)",
    },
    2: {
        "lambda case: 1000 / (sum(case.values()) - case['threads'])": "wait for",
        "lambda case: 1000 / ((case['read'] + case['decode'] + case['resize']) "
        "/ case['threads'] + case['network'])": "take turns",
        "lambda case: 1000 / max(case['read'] + case['decode'] + case['resize'], "
        "case['network'])": "more threads",
        "lambda case: 1000 / min((case['read'] + case['decode'] + case['resize']) "
        "/ case['threads'], case['network'])": "The faster",
        "lambda case: 1 / max((case['read'] + case['decode'] + case['resize']) "
        "/ case['threads'], case['network'])": "from milliseconds",
        "lambda case: max((case['read'] + case['decode'] + case['resize']) "
        "/ case['threads'], case['network'])": "Turn it round",
        "lambda case: 1000 / case['network']": "Which of the two",
        "lambda read: read['decoding']": "KeyError",
        "[200, 100]": "Expected a function",
    },
}
