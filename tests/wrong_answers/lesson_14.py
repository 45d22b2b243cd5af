"""Typical wrong answers to the exercises of lesson 14."""

WRONG_ANSWERS = {
    1: {
        "lambda frame: frame": "where the picture ends",
        "lambda f: np.array(f) / [200, 100, 200, 100]": "where the picture ends",
        "lambda f: np.clip(np.array(f) / [200, 100, 200, 100], 0, 1)": "dragged from",
        "lambda f: np.sort(np.reshape(f, (2, 2)) / 200, axis=0).clip(0, 1).ravel()": (
            "half of the height"
        ),
        "lambda f: (0.1, 0.1, 0.6, 0.6)": "not the right place",
        "lambda f: f[:2]": "4 numbers",
        "lambda f: None": "return",
    },
    2: {
        "sum(nearest(nearest(id)) == id for id in range(len(search)))": "all pictures",
        "sum(nearest(id) == id + 1 for id in range(100))": "Take two steps",
        "sum(search.labels[nearest(id)] == search.labels[id] for id in range(100))": (
            "compares labels"
        ),
        "sum(nearest(nearest(id)) != id for id in range(100))": "not mutual",
        "0": "Take two steps",
        "nearest": "a function",
    },
    3: {
        "[hit.id for hit in handler.answer_id(0).hits]": "passes by a nearer",
        "[1, 0, 1, 0, 1]": "twice, or",
        "similarities_to(0)": "type dict",
        "[hit.id for hit in handler.answer_id(0, Question(k=4)).hits]": "4 whole",
    },
}
