"""The instructor's guide knows every lesson, and its minutes are the lessons' own."""

import re

import nbformat
import pytest

from tools.notebooks import FOLDER, find_lessons

GUIDE = (FOLDER / "README.md").read_text(encoding="utf-8")
DAY = GUIDE[GUIDE.index("\n## One day") : GUIDE.index("\n## How the exercises")]
LESSONS = {path.name.split("_")[0]: path for path in find_lessons(FOLDER)}
NUMBERED = re.compile(r"^- \*\*(\d+)\. ", flags=re.MULTILINE)


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


@pytest.mark.parametrize("number", LESSONS)
def test_a_section_says_where_learners_stumble_what_to_ask_and_what_to_skip(number):
    for part in ("**Stumbles**", "**Ask**", "**When late**"):
        assert part in parts(number)
    questions = parts(number).split("**Ask**")[1].split("**When late**")[0]
    assert questions.count("\n- *") in (2, 3)


@pytest.mark.parametrize("number", LESSONS)
def test_sections_of_a_lesson_are_named_as_they_are(number):
    """What to skip when late is a heading of the lesson."""
    late = parts(number).split("**When late**")[1]
    named = [name for name in re.findall(r"\*([A-Z][^*]+)\*", late)]
    assert named
    assert set(named) <= set(headings(prose(number)))


@pytest.mark.parametrize("number", LESSONS)
def test_the_day_plans_the_minutes_that_a_lesson_asks_for(number):
    minutes = re.search(r"\*\*Time\*\* (\d+) minutes to read", prose(number))[1]
    planned = re.search(rf"\| (\d+) \+ \d+ \| \*\*{number}\*\*", DAY)
    assert planned is None or planned[1] == minutes


@pytest.mark.parametrize("plan", ["Half a day", "One day"])
def test_each_row_of_a_plan_begins_when_the_one_above_ends(plan):
    rows = GUIDE.split(f"\n## {plan}")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (\d+):(\d\d) \| ([\d +]+) \|", rows, flags=re.MULTILINE)
    starts = [60 * int(hour) + int(minute) for hour, minute, _ in rows]
    lasting = [sum(map(int, minutes.split("+"))) for *_, minutes in rows]
    ends = [start + minutes for start, minutes in zip(starts, lasting, strict=True)]
    assert starts[1:] == ends[:-1]


def test_the_fifteen_stumbles_each_stand_in_one_place():
    assert sorted(map(int, NUMBERED.findall(GUIDE))) == list(range(1, 16))
