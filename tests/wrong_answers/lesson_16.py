"""Typical wrong answers to the exercises of lesson 16."""

WRONG_ANSWERS = {
    1: {
        "beta - mean * gamma / np.sqrt(variance + epsilon)": "own bias",
        "bias * gamma / np.sqrt(variance + epsilon) + beta": "take off first",
        "(bias - mean) * gamma / np.sqrt(variance + epsilon)": "in the end",
        "(bias - mean) * gamma / (variance + epsilon) + beta": "divide by",
        "(bias - mean) * gamma / np.sqrt(variance) + beta": "Epsilon",
        "gamma / np.sqrt(variance + epsilon)": "what the kernel",
        "bias + beta": "picture of zeros",
        "numbers": "shape (5, 4)",
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
