"""The instructor's guide knows every lesson, and its minutes are the lessons' own."""

import re

import nbformat
import pytest

from tools.notebooks import FOLDER, find_lessons, number_of

GUIDE = (FOLDER / "README.md").read_text(encoding="utf-8")
LESSONS = {number_of(path): path for path in find_lessons(FOLDER)}
PLANS = GUIDE[GUIDE.index("\n## Half a day") : GUIDE.index("\n## How the exercises")]


def headings(text):
    return re.findall(r"^## (.+)$", text, flags=re.MULTILINE)


def parts(number):
    """The guide's section on a lesson."""
    start = GUIDE.index(f"\n## {number} ")
    return (GUIDE[start:] + "\n## ").split("\n## ")[1]


def prose(number):
    cells = nbformat.read(LESSONS[number], as_version=4).cells
    return "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def test_every_lesson_has_a_section_in_its_place():
    found = [heading.split()[0] for heading in headings(GUIDE)]
    assert [number for number in found if number in LESSONS] == list(LESSONS)


def minutes_of(number):
    """Minutes that a lesson asks for."""
    return int(re.search(r"\*\*Time\*\* (\d+) minutes to read", prose(number))[1])


@pytest.mark.parametrize("number", LESSONS)
def test_a_section_says_where_learners_stumble_what_to_ask_and_what_to_skip(number):
    for part in ("**Minutes**", "**Stumbles**", "**Ask**", "**When late**"):
        assert part in parts(number)
    assert parts(number).count("*Sign:*") >= 3


@pytest.mark.parametrize("number", LESSONS)
def test_the_minutes_of_the_sections_add_up_to_the_lessons(number):
    line = re.search(r"\*\*Minutes\*\* \((\d+)\): (.*?)\. Exercises", parts(number))
    planned = [int(part.split()[-1]) for part in line[2].split(" · ")]
    assert sum(planned) == int(line[1]) == minutes_of(number)


@pytest.mark.parametrize("number", LESSONS)
def test_there_is_a_question_every_ten_minutes(number):
    questions = parts(number).split("**Ask**")[1].split("**When late**")[0]
    asked = [int(m) for m in re.findall(r"^- \(minute (\d+)", questions, re.MULTILINE)]
    assert asked == sorted(asked)
    ends = [0, *asked, minutes_of(number)]
    assert (
        max(after - before for before, after in zip(ends, ends[1:], strict=False)) <= 12
    )


@pytest.mark.parametrize("number", LESSONS)
def test_sections_of_a_lesson_are_named_as_they_are(number):
    """What to skip when late is a heading of the lesson."""
    late = parts(number).split("**When late**")[1]
    named = [name for name in re.findall(r"\*([A-Z][^*]+)\*", late)]
    assert named
    assert set(named) <= set(headings(prose(number)))


@pytest.mark.parametrize("number", LESSONS)
def test_the_plans_give_a_lesson_the_minutes_that_it_asks_for(number):
    planned = re.findall(rf"\| (\d+) \+ \d+ \| \*\*{number}\*\*", PLANS)
    assert set(planned) <= {str(minutes_of(number))}


def test_each_evening_is_as_long_as_it_says():
    rows = GUIDE.split("\n## Five evenings")[1].split("\n## ")[0]
    lasting, current = {}, ""
    for evening, minutes in re.findall(r"^\| ?(\d?) ?\| ([\d +]+) \|", rows, re.M):
        current = evening or current
        spent = sum(map(int, minutes.split("+")))
        lasting[current] = lasting.get(current, 0) + spent
    assert lasting == dict.fromkeys("12345", 135)


@pytest.mark.parametrize("plan", ["Half a day", "One day"])
def test_each_row_of_a_plan_begins_when_the_one_above_ends(plan):
    rows = GUIDE.split(f"\n## {plan}")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (\d+):(\d\d) \| ([\d +]+) \|", rows, flags=re.MULTILINE)
    starts = [60 * int(hour) + int(minute) for hour, minute, _ in rows]
    lasting = [sum(map(int, minutes.split("+"))) for *_, minutes in rows]
    ends = [start + minutes for start, minutes in zip(starts, lasting, strict=True)]
    assert starts[1:] == ends[:-1]
