"""Typical wrong answers to the exercises of lesson 14."""

WRONG_ANSWERS = {
    1: {
        "lambda hit: f'<p>{hit.rank}. {hit.label}</p>'": "becomes markup",
        "lambda hit: html.escape(f'<p>{hit.rank}. {hit.label}</p>')": "the whole",
        "lambda hit: f'<p>{hit.rank}. {hit.label.replace(chr(60), str())}</p>'": (
            "ampersand"
        ),
        "lambda hit: f'<p>{hit.rank}. {html.escape(html.escape(hit.label))}</p>'": (
            "only once"
        ),
        "lambda hit: f'<p>{html.escape(hit.label)}</p>'": "form asked for",
        "lambda hit: hit": "return a string",
        "lambda hit: None": "return",
    },
    2: {
        "sum(nearest(nearest(id)) == id for id in range(len(search)))": "all pictures",
        "sum(nearest(id) < 100 for id in range(100))": "Take two steps",
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
