"""Every exercise can be solved, and a wrong answer gets a sentence that helps.

The solutions notebooks run here without a kernel, cell by cell in one process, which
imports TensorFlow once and not once a notebook. nbval runs them in kernels.
"""

import contextlib
import io
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import faiss
import nbformat
import numpy as np
import pytest

from tests.wrong_answers import ANYTHING, WRONG_ANSWERS
from tools.notebooks import (
    FOLDER,
    find_heading,
    find_lessons,
    number_of,
    solutions_of,
    tags,
)
from utils.collection.hits import Hit
from utils.exercises import NOT_ANSWERED, find_fault, find_fault_in_function

GRADES = ["warm-up", "practice", "challenge"]
ONE = "np.array(1)"  # a number, as some would hand it in; right in no exercise
HEADING = re.compile(r"### Exercise (\d+)(?:, (\S+))?: ")


class Exercise(NamedTuple):
    """An exercise, as the solutions notebook has it."""

    number: int
    grade: str | None
    given: str
    solution: str
    check: str


def read_exercises(path: Path) -> list[Exercise]:
    """Return the exercises of a solutions notebook."""
    cells = nbformat.read(path, as_version=4).cells
    cells = cells[find_heading(cells, "## On your own") + 1 :]
    cells = [cell for cell in cells if "solution" not in tags(cell)]
    found = []
    for text, code, check in zip(cells, cells[1:], cells[2:], strict=False):
        if heading := HEADING.match(text.source):
            given, solution = re.split(r"(?m)^# solution$", code.source)
            number, grade = int(heading[1]), heading[2]
            found.append(Exercise(number, grade, given, solution, check.source))
    return found


LESSONS = {number_of(path): solutions_of(path) for path in find_lessons(FOLDER)}
EXERCISES = {name: read_exercises(path) for name, path in LESSONS.items()}
ALL = [(name, e.number) for name, found in EXERCISES.items() for e in found]


def mistakes_in(notebook: str, number: int) -> dict[str, str]:
    """Return the wrong answers to an exercise, with what the check should say."""
    return WRONG_ANSWERS.get(notebook, {}).get(number, {})


every_exercise = pytest.mark.parametrize(("notebook", "number"), ALL)
every_mistake = pytest.mark.parametrize(
    ("notebook", "number", "code"),
    [(*which, code) for which in ALL for code in mistakes_in(*which)],
)


# ---------------------------------------------------------- running the checks


def filled(index: faiss.Index, vectors: np.ndarray) -> faiss.Index:
    """Return an index with vectors in it: `add` itself returns nothing."""
    index.add(vectors)
    return index


def listen(check: str, variables: dict[str, Any], answer: Any) -> str:
    """Return what a check prints about an answer."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(check, variables | {"answer": answer})
    return printed.getvalue().strip()


class Heard(NamedTuple):
    """What a check printed: about the solution, and about every expression."""

    answer: Any
    right: str
    wrong: dict[str, str]


def hear(exercise: Exercise, mistakes: dict[str, str], variables: dict) -> Heard:
    """Run the set-up, try the wrong answers, then the solution."""
    exec(exercise.given, variables)
    wrong = {}
    for code in ["...", ONE, *ANYTHING, *mistakes]:
        answer = eval(code, {"np": np, "filled": filled} | variables)
        wrong[code] = listen(exercise.check, variables, answer)
    exec(exercise.solution, variables)
    answer = variables["answer"]
    return Heard(answer, listen(exercise.check, variables, answer), wrong)


@pytest.fixture(scope="module")
def play(tmp_path_factory) -> Iterator[Callable[[str], dict[int, Heard]]]:
    """Return a function that runs a solutions notebook, once."""
    vectors = tmp_path_factory.mktemp("exercises") / "cache.sqlite"
    threads = faiss.omp_get_max_threads()

    @cache
    def run(notebook: str) -> dict[int, Heard]:
        cells = nbformat.read(LESSONS[notebook], as_version=4).cells
        cells = cells[: find_heading(cells, "## On your own")]
        variables: dict[str, Any] = {}
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("LOOKALIKE_CACHE", str(vectors))
            for cell in cells:
                if cell.cell_type == "code" and "setup" not in tags(cell):
                    exec(cell.source, variables)
            return {
                e.number: hear(e, mistakes_in(notebook, e.number), variables)
                for e in EXERCISES[notebook]
            }

    yield run
    faiss.omp_set_num_threads(threads)  # some notebooks set it to one


def give_away(answer: Any) -> list[str]:
    """Return the ways to write the right answer down."""
    if isinstance(answer, Hit):
        return [answer.label, answer.path.name]
    if isinstance(answer, float):
        return [f"{answer:.2f}", f"{answer:.3f}", str(answer)]
    if isinstance(answer, int):
        return [f"{answer}", f"{answer:,}"]
    return [str(answer), repr(answer)]


def assert_helps(printed: str, answer: Any) -> None:
    """A sentence was printed that neither praises nor tells the answer."""
    assert re.match(r"[A-Z0-9].*\w.*[.?)]$", printed, flags=re.DOTALL), printed
    assert not printed.startswith("Right"), printed
    assert NOT_ANSWERED not in printed
    for told in give_away(answer):
        whole = rf"(?<![\w@.,]){re.escape(told)}(?![\w]|[.,]\d)"
        assert not re.search(whole, printed), f"gives the answer away: {printed}"


@pytest.mark.parametrize(
    ("printed", "answer"),
    [
        ("Enough, but efSearch 40 would do.", 40),
        ("Not 0.80.", 0.7979),
        ("Not this many: 1,250.", 1250),
        ("Right: it is.", 3),
        ("Not answered yet.", 3),
        ("Traceback", 3),
        ("", 3),
    ],
)
def test_what_helps_too_much_or_too_little_is_noticed(printed, answer):
    with pytest.raises(AssertionError):
        assert_helps(printed, answer)


# ------------------------------------------------------------------- exercises


@pytest.mark.parametrize("notebook", LESSONS)
def test_exercises_get_harder(notebook):
    grades = [exercise.grade for exercise in EXERCISES[notebook]]
    assert set(grades) <= set(GRADES), "expected `### Exercise 1, warm-up: ...`"
    assert grades == sorted(set(grades), key=GRADES.index)
    numbers = [exercise.number for exercise in EXERCISES[notebook]]
    assert numbers == list(range(1, len(numbers) + 1))


@every_exercise
def test_there_are_two_wrong_answers_to_try(notebook, number):
    assert len(mistakes_in(notebook, number)) >= 2, "add some to tests/wrong_answers.py"


def test_no_wrong_answer_lacks_its_exercise():
    written = {(name, n) for name, found in WRONG_ANSWERS.items() for n in found}
    assert written <= set(ALL)


@every_exercise
def test_the_solution_is_right(notebook, number, play):
    assert play(notebook)[number].right.startswith("Right")


@every_exercise
def test_dots_are_no_answer_yet(notebook, number, play):
    assert play(notebook)[number].wrong["..."] == NOT_ANSWERED


@every_mistake
def test_a_typical_mistake_is_explained(notebook, number, code, play):
    heard = play(notebook)[number]
    assert_helps(heard.wrong[code], heard.answer)
    assert mistakes_in(notebook, number)[code] in heard.wrong[code]


@every_exercise
def test_anything_at_all_gets_a_sentence(notebook, number, play):
    heard = play(notebook)[number]
    for code in [ONE, *ANYTHING]:
        assert_helps(heard.wrong[code], heard.answer)


# ------------------------------------------------- the first half of every check


@pytest.mark.parametrize(("code", "part"), ANYTHING.items())
def test_what_was_received_is_named(code, part):
    answer = eval(code)
    for kind in (int, float):
        fault = find_fault(answer, kind)
        assert fault.startswith("Expected a ")
        assert part in fault


@pytest.mark.parametrize("answer", [3, np.int64(3), np.array(3), True + 2])
def test_a_whole_number_may_come_from_numpy(answer):
    assert find_fault(answer, int, between=(3, 3)) == ""


@pytest.mark.parametrize("answer", [[1, 2], (1, 2), np.array([1, 2]), range(1, 3)])
def test_a_list_may_be_anything_that_is_like_one(answer):
    assert find_fault(answer, int, shape=(2,), between=(1, 2)) == ""
    assert find_fault(answer, float, shape=(None,)) == ""


def test_limits_belong_to_what_is_allowed():
    assert find_fault([1, 9], int, shape=(2,), between=(1, 9)) == ""
    for outside in ([1, 10], [0, 9]):
        fault = find_fault(outside, int, shape=(2,), between=(1, 9))
        assert fault.startswith("Expected 2 whole numbers from 1 to 9. Received one")


def test_an_empty_list_is_a_list_of_anything():
    assert find_fault([], str, shape=(None,)) == ""
    assert "Received 0 floats" in find_fault([], int, shape=(2,))


@pytest.mark.parametrize("dtype", [str, object, int])
def test_an_empty_array_of_any_dtype_stops_nothing(dtype):
    assert find_fault(np.array([], dtype=dtype), int, shape=(None,)) == ""


@pytest.mark.parametrize(
    ("answer", "kind", "received"),
    [
        (True, int, "a truth value"),
        (1.0, int, "a float"),
        (1 + 1j, float, "an object of type complex"),
        ([[1, 2]], int, "whole numbers of shape (1, 2)"),
        ([1], int, "a list or array of a whole number"),
        ({1, 2}, int, "an object of type set"),
        (3, Hit, "a whole number"),
    ],
)
def test_the_wrong_kind_is_named(answer, kind, received):
    assert find_fault(answer, kind).endswith(f"Received {received}.")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_no_numbers(value):
    assert "NaN or infinity" in find_fault([1.0, value], float, shape=(2,))
    assert "NaN or infinity" in find_fault(value, float)


def test_a_function_is_tried_on_every_input():
    assert find_fault_in_function(abs, [1, -1]) == ""
    assert find_fault_in_function(..., [1]) == NOT_ANSWERED
    assert "ZeroDivisionError" in find_fault_in_function(lambda x: 1 / x, [1, 0])
    assert "`return`" in find_fault_in_function(lambda x: None, [1])
    assert "Received a string" in find_fault_in_function("abs", [1])
