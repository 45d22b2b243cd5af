"""Typical wrong answers to every exercise, and what the check should say of each.

Each lesson has a module, ``lesson_NN``. Its ``WRONG_ANSWERS[exercise]`` maps an
expression for ``answer``, evaluated after the exercise's set-up cell, to a part of the
sentence that the check prints. A new exercise needs two of them at least.
"""

from importlib import import_module
from pathlib import Path

ANYTHING = {  # tried on every exercise: not at all what is asked for
    "None": "Received None",
    "'a string'": "Received a string",
    "'a string'.upper": "function",
    "float('nan')": "Received",
    "True": "Received a truth value",
    "[]": "Received 0 floats",
    "[[1, 2], [3]]": "differ in length",
    "{'a': 1}": "type dict",
    "object()": "type object",
    "np.zeros((2, 3))": "Received floats of shape (2, 3)",
    "[None, None]": "list of other objects",
    "dict": "class",
}

WRONG_ANSWERS = {
    path.stem.removeprefix("lesson_"): import_module(
        f"{__name__}.{path.stem}"
    ).WRONG_ANSWERS
    for path in sorted(Path(__file__).parent.glob("lesson_*.py"))
}
