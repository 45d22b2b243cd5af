"""Typical wrong answers to the exercises of lesson 21."""

EACH = "[sentences.embed([w.format(k) for k in kinds]) for w in wordings]"

WRONG_ANSWERS = {
    1: {
        f"np.mean({EACH}, axis=0)": "shorter than 1",
        f"np.sum({EACH}, axis=0)": "were added",
        "sentences.embed([' '.join(w.format(k) for w in wordings) for k in kinds])": (
            "not the texts"
        ),
        f"{EACH}[0]": "wording 0 alone",
        "sentences.embed(kinds.tolist())": "Take one kind",
        f"np.concatenate({EACH})": "shape (78, 384)",
    },
    2: {
        "lambda case: normalize((case['wanted'] - case['unwanted'])[None])[0]": (
            "How much of it"
        ),
        "lambda case: normalize((case['unwanted'] - case['wanted'] @ case['unwanted'] "
        "* case['wanted'])[None])[0]": "off the unwanted",
        "lambda case: case['wanted']": "should be 0",
        "lambda case: case['wanted'] - (case['wanted'] @ case['unwanted']) "
        "* case['unwanted']": "unit vector",
        "lambda case: -normalize((case['wanted'] - (case['wanted'] @ case['unwanted']) "
        "* case['unwanted'])[None])[0]": "nearer to the wanted",
        "lambda case: case['without']": "KeyError",
        "normalize": "function",
    },
}
