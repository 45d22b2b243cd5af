"""Typical wrong answers to the exercises of lesson 20."""

LOGITS = "case['vectors'] @ normalize(case['proxies']).T / 0.1"
OWN = "[np.arange(len(case['kinds'])), case['kinds']]"


def loss(logits=LOGITS, axis=1, total="mean"):
    """An answer to exercise 1, from how it gets its logits and what it sums."""
    norm = f"np.log(np.exp({logits}).sum(axis={axis}, keepdims=True))"
    return f"lambda case: ({norm} - {logits}){OWN}.{total}()"


WRONG_ANSWERS = {
    1: {
        loss(LOGITS.replace("normalize", "np.asarray")): "length 1",
        loss(axis=0): "not the reverse",
        loss(LOGITS.replace("/ 0.1", "/ 1")): "temperature is missing",
        loss(total="sum"): "not the sum",
        f"lambda case: ({LOGITS}){OWN}.mean()": "own proxy",
        "lambda case: case['vectors'] @ case['proxies']": "ValueError",
        "lambda case: case['vectors'] @ case['proxies'].T": "shape (5, 3)",
        "0.7": "Expected a function",
    },
    2: {
        "(first @ second).T": "shape (3, 12)",
        "first": "shape (12, 6)",
        "-(first @ second)": "about a direction",
        "normalize(first) @ second": "about a direction",
        "normalize(first @ second)": "about a direction",
        "first[:, :3]": "about a direction",
        "[first, second]": "differ in length",
    },
}
