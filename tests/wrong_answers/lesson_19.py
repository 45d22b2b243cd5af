"""Typical wrong answers to the exercises of lesson 19."""

BEST_OF = (
    "lambda case: max([n for n, (p, ms, d) in case['offers'].items() if {rule}], "
    "key=lambda n: case['offers'][n][0], default='none')"
)
IN_TIME = "case['pictures'] * ms / 3.6e6 <= case['hours']"
IN_MEMORY = "case['pictures'] * d * 4e-9 <= case['gigabytes']"

WRONG_ANSWERS = {
    1: {
        "24**4": "one token more",
        "24**2 + 1": "counts tokens",
        "24**2": "counts tokens",
        "12 * 577**2": "all 12 heads",
        "197**2": "224 pixels",
        "(384 * 384 + 1) ** 2": "how many tokens",
        "577.5": "whole number",
    },
    2: {
        BEST_OF.format(rule=IN_MEMORY): "more hours than",
        BEST_OF.format(rule=IN_TIME): "more gigabytes than",
        BEST_OF.format(rule=f"{IN_TIME} and {IN_MEMORY.replace('4e-9', '1e-9')}"): (
            "four bytes"
        ),
        BEST_OF.format(rule=f"{IN_TIME.replace('3.6e6', '3600')} and {IN_MEMORY}"): (
            "units"
        ),
        f"lambda case: min([n for n, (p, ms, d) in case['offers'].items() if {IN_TIME} "
        f"and {IN_MEMORY}], key=lambda n: case['offers'][n][1], default='none')": (
            "best?"
        ),
        "lambda case: 'large'": "limits?",
        "lambda case: case['budget']": "KeyError",
        "lambda case: 1": "string",
        "'middle'": "Expected a function",
    },
}
