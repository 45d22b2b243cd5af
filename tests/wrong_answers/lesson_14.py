"""Typical wrong answers to the exercises of lesson 14."""

WRONG_ANSWERS = {
    1: {
        "lambda hit: f'<p>{hit.rank}. {hit.label}</p>'": "becomes markup",
        "lambda hit: html.escape(f'<p>{hit.rank}. {hit.label}</p>')": "the whole",
        "lambda hit: f'<p>{hit.rank}. {hit.label.replace(chr(60), str())}</p>'": (
            "ampersand"
        ),
        "lambda hit: f'<p>{html.escape(hit.label)}</p>'": "form asked for",
        "lambda hit: hit": "return a string",
        "lambda hit: None": "return",
    },
    2: {
        "1": "some neighbours are missed",
        "handler.cells": "a smaller nprobe",
        "0": "outside these limits",
        "missed": "a function",
    },
    3: {
        "[hit.id for hit in handler.answer_id(0).hits]": "passes by a nearer",
        "[1, 0, 1, 0, 1]": "twice, or",
        "similarities(0)": "type dict",
        "[hit.id for hit in handler.answer_id(0, Question(k=4)).hits]": "4 whole",
    },
}
