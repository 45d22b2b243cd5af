"""Typical wrong answers to the exercises of lesson 17."""

SERVED = (
    "(lambda app: (app.get({path!r})(lambda start: {result}), app)[1])(FastAPI())"
).format

WRONG_ANSWERS = {
    1: {
        "0.01": "one request",
        "10 * 0.01": "counts twice",
        "0.99 ** 10": "without a slow",
        "0.5": "Not this share",
        "9.56": "outside these limits",
    },
    2: {
        "FastAPI()": "refused",
        SERVED(path="/label/{start}", result="{'pictures': count(start)}"): "refused",
        SERVED(path="/labels/{start}", result="count(start)"): "one key",
        SERVED(path="/labels/{start}", result="{'n': count(start)}"): "one key",
        SERVED(path="/labels/{start}", result="{'pictures': count('m')}"): (
            "start in the address"
        ),
        SERVED(path="/labels/{start}", result="{'pictures': count(start)}"): "404",
        SERVED(path="/labels/{start}", result="1 / 0"): "raises an error",
        "count": "a function",
    },
    3: {
        "lambda arrivals: [len(arrivals)]": "at most",
        "lambda arrivals: [1] * len(arrivals)": "shares the next",
        "lambda arrivals: len(arrivals)": "add up",
        "lambda arrivals: [min(4, len(arrivals))] + [1] * (len(arrivals) - 4)": (
            "waits for no others"
        ),
        "lambda arrivals: sizes": "NameError",
    },
}
