"""Typical wrong answers to the exercises of lesson 22."""

RANKED = """\
sorted({*first, *second}, key=lambda i: sum(
    1 / (61 + x.index(i)) for x in (first, second) if i in x
), reverse=REVERSED)"""

WRONG_ANSWERS = {
    1: {
        RANKED.replace("REVERSED", "False"): "Best first",
        "first + second": "Received 9",
        "[7, 4, 1, 9, 0]": "Expected 6",
        "[7, 4, 9, 1, 0, 0]": "once, and no other",
        "[7, 4, 9, 1, 3, 0]": "votes of 4 and 7",
        "['4', '7', '9', '1', '3', '0']": "whole numbers",
    },
    2: {
        "lambda case: [(s, s + case['seconds']) for s in sorted(case['starts'])]": (
            "still touch"
        ),
        "lambda case: [(min(case['starts']), max(case['starts']))]": "same seconds",
        "lambda case: sorted(case['starts'])": "(None, 2)",
        "lambda case: None": "returns None",
        "[(3.0, 6.0)]": "Expected a function",
    },
}
