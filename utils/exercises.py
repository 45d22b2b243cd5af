"""What keeps an answer from being right, in a sentence: how every check begins.

A check must neither stop with a traceback, whatever a learner hands in, nor give the
answer away. So the sentences name kinds, shapes and limits, and never a value. Both
functions return such a sentence, or "" if the answer may be right. ``...`` is none.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

NOT_ANSWERED = "Not answered yet."
NAMES = {  # kinds of NumPy dtype: one, several
    "b": ("a truth value", "truth values"),
    "iu": ("a whole number", "whole numbers"),
    "f": ("a float", "floats"),
    "iuf": ("a number", "numbers"),
    "U": ("a string", "strings"),
}
WANTED = {int: "iu", float: "iuf", str: "U"}  # kind asked for: what will do


def find_fault(
    answer: Any,
    kind: type,
    *,
    shape: tuple[int | None, ...] = (),
    between: tuple[float, float] | None = None,
) -> str:
    """Why a value can't be right, from its kind, shape and limits.

    `kind` is int, float (whole numbers will do), str, or a class (without options).
    `shape` is ``()`` for a single value, ``(5,)`` for a list or array of five,
    ``(None,)`` for one of any length; `between` holds the limits that make sense.

    >>> find_fault(3, int, between=(1, 9))
    ''
    >>> find_fault(30, int, between=(1, 9))
    'Expected a whole number from 1 to 9. Received one outside these limits.'
    >>> find_fault([0.5, 1.0], int, shape=(5,))
    'Expected 5 whole numbers. Received 2 floats.'
    """
    if answer is ...:
        return NOT_ANSWERED
    if kind not in WANTED:
        expected = f"Expected an object of type {kind.__name__}."
        fault = f"{expected} Received {_describe(answer)}."
        return "" if isinstance(answer, kind) else fault
    dtypes = WANTED[kind]
    limits = f" from {between[0]:,} to {between[1]:,}" if between else ""
    expected = f"Expected {_count(*NAMES[dtypes], shape)}{limits}."
    values = _to_array(answer)
    if values is None or not _fits(values, shape, dtypes):
        return f"{expected} Received {_describe(answer)}."
    if not values.size:  # of any dtype: an empty list of numbers may be one of text
        between, kind = None, str
    if kind is not str and not np.isfinite(values).all():
        return f"{expected} Received NaN or infinity: was something divided by zero?"
    if between and ((values < between[0]) | (values > between[1])).any():
        return f"{expected} Received one outside these limits."
    return ""


def find_fault_in_function(answer: Any, inputs: Iterable) -> str:
    """Why a function can't be right: on one of the inputs it stops or returns None.

    >>> find_fault_in_function(len, ["abc"])
    ''
    >>> find_fault_in_function(4, ["abc"])
    'Expected a function. Received a whole number.'
    """
    if answer is ...:
        return NOT_ANSWERED
    if not callable(answer):
        return f"Expected a function. Received {_describe(answer)}."
    for value in inputs:
        try:
            result = answer(value)
        except Exception as error:  # whatever a learner's function may do
            return f"The function stops with {type(error).__name__}: {error}."
        if result is None:
            return "The function returns None: does it end in `return`?"
    return ""


def _to_array(answer: Any) -> np.ndarray | None:
    """The answer as an array; None if it isn't a rectangle of values."""
    try:
        return np.asarray(answer)
    except (TypeError, ValueError):
        return None


def _fits(values: np.ndarray, shape: tuple[int | None, ...], dtypes: str) -> bool:
    """Whether shape and dtype are the wanted ones; an empty list may be of any kind."""
    pairs = zip(shape, values.shape, strict=False)
    same = values.ndim == len(shape) and all(w in (None, size) for w, size in pairs)
    return same and (not values.size or values.dtype.kind in dtypes)


def _count(one: str, several: str, shape: tuple[int | None, ...]) -> str:
    """How many there are, in words: a string, 5 strings, strings of shape (2, 3)."""
    if not shape:
        return one
    if len(shape) > 1:
        return f"{several} of shape {shape}"
    if shape[0] is None:
        return f"a list or array of {several}"
    return f"a list or array of {one}" if shape[0] == 1 else f"{shape[0]:,} {several}"


def _describe(answer: Any) -> str:
    """What was received, in words, without its value."""
    if answer is None:
        return "None (the last call returned nothing)"
    if callable(answer):
        kind = "class" if isinstance(answer, type) else "function"
        return f"a {kind} (it still has to be called)"
    values = _to_array(answer)
    if values is None:
        return f"a {type(answer).__name__} whose members differ in length or kind"
    for kinds, names in NAMES.items():
        if values.dtype.kind in kinds:
            return _count(*names, values.shape)
    name = type(answer).__name__
    return f"a {name} of other objects" if values.shape else f"an object of type {name}"
