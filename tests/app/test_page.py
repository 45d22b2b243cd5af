"""Words and plain values: what comes from outside is shortened, and stays text."""

import json
from pathlib import Path

import pytest
from PIL import Image

from utils.app import page
from utils.app.query import Answer, Question
from utils.collection.hits import Hit
from utils.errors import PictureError
from utils.gallery import ROOT

MARKUP = '<b onclick="x">'


@pytest.fixture
def picture(tmp_path):
    Image.new("RGB", (40, 30), "red").save(tmp_path / "red.png")
    return tmp_path / "red.png"


def answer(hits=0, missed=0, *, folded=0, seconds=0.25, itself=None, note=""):
    hit = Hit(1, 0, Path("a.png"), "", 1.0)
    behind = {0: [hit] * folded} if folded else {}
    return Answer([hit] * hits, behind, [hit] * missed, seconds, 0.0015, itself, note)


def summary(*counts, is_upload=True, is_picture=True, **options):
    found = answer(*counts, **options)
    return page.summary("a", found, is_upload=is_upload, is_picture=is_picture)


def test_a_long_name_is_cut_and_an_empty_one_said():
    assert page.shorten("x" * 60) == "x" * 60
    assert page.shorten("x" * 61) == "x" * 59 + "…"
    assert page.shorten("two\nlines") == r"two\nlines"
    assert page.shorten("") == "(no name)"


def test_a_file_is_found_here_at_home_or_in_the_repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert page.find_file("images/metadata.csv") == ROOT / "images" / "metadata.csv"
    assert page.find_file("~/a.png") == tmp_path / "a.png"
    assert page.find_file(' "~/a.png" ') == tmp_path / "a.png"
    assert page.find_file("nowhere.png") == Path("nowhere.png")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "metadata.csv").touch()
    assert page.find_file("images/metadata.csv") == Path("images/metadata.csv")


def test_the_summary_counts_and_says_what_it_took():
    assert summary(1) == (
        "1 picture like a. 250 ms to describe the picture, 1.50 ms to search."
    )
    said = summary(2, 1, seconds=0)
    assert said.startswith("2 pictures like a. 1 nearer one was missed by this index.")
    assert said.endswith("Its description was known, 1.50 ms to search.")
    assert "2 nearer ones were" in summary(2, 2)
    assert summary(note="Few.").endswith(" Few.")
    assert summary(1, folded=1).startswith(
        "1 picture like a. 1 more is folded behind its near-duplicate."
    )
    words = summary(3, is_upload=False, is_picture=False)
    assert words.startswith("3 pictures for a. 250 ms to read the words")


def test_only_an_upload_is_said_to_be_in_the_collection():
    words = "This very file is in the collection"
    assert words in summary(1, itself=0)
    assert words not in summary(1, itself=0, is_upload=False)
    assert words not in summary(1)


def test_what_is_asked_is_said_with_its_part_its_words_and_its_refinement():
    said = page.asked("mug.jpg", Question(), is_picture=True)
    assert said == "mug.jpg"
    question = Question(
        box=(0, 0, 1, 0.5), words="red", weight=0.3, liked=(1, 2), disliked=(3,)
    )
    assert page.asked("mug.jpg", question, is_picture=True) == (
        "mug.jpg, a part of it, mixed with “red” (30 %), refined by 2 like and 1 unlike"
    )
    assert page.asked("", Question(words="red"), is_picture=False) == "“red”"


def test_the_formula_has_the_numbers_of_the_question():
    assert page.formula(Question()) == ""
    said = page.formula(Question(liked=(1, 2), disliked=(3,)))
    assert said.startswith("q′ = 1 · query + 0.75 · mean of 2 like − 0.25 · mean of 1")
    assert "unlike" not in page.formula(Question(liked=(1,)))


def test_an_error_names_no_limit_of_a_function():
    error = PictureError(
        "a.jpg", "larger than 20 MB. Make the picture smaller or raise max_bytes."
    )
    said = page.why_not(error)
    assert said == "Not done: a.jpg: larger than 20 MB. Make the picture smaller."
    assert page.why_not(KeyError("No such id.")) == "Not done: No such id."


@pytest.mark.parametrize(("score", "share"), [(1.2, 1), (0.987, 0.987), (-0.3, 0)])
def test_a_bar_shows_a_cosine_from_0_to_1(picture, score, share):
    assert page.card(Hit(1, 0, picture, "", score), Question())["share"] == share


def test_a_bar_shows_a_distance_from_0_to_right_angles(picture):
    question = Question(metric="Euclidean")
    card = page.card(Hit(1, 0, picture, "mug", 2**0.5 / 2), question)
    assert card["share"] == 0.5
    assert card["alt"] == "mug, distance 0.71"
    assert "Shorter is nearer" in page.SCALES["Euclidean"]


def test_a_result_has_label_score_and_mark_in_plain_values(picture):
    hit, other = Hit(3, 7, picture, MARKUP, 0.987), Hit(4, 8, picture, "", 0.9)
    card = page.card(hit, Question(liked=(7,), disliked=(8,)), [other])
    assert card["alt"] == f"{MARKUP}, 0.99 similar"  # the page shows it as text
    assert (card["rank"], card["score"], card["mark"]) == (3, "0.99", 1)
    (folded,) = card["folded"]
    assert (folded["label"], folded["mark"]) == ("no label", -1)
    assert page.card(hit, Question())["mark"] == 0
    del card["picture"], folded["picture"]
    assert json.loads(json.dumps(card)) == card


def test_a_picture_is_a_small_jpeg_and_none_where_it_cannot_be_read(picture):
    assert page.picture(picture, 20)[:2] == b"\xff\xd8"
    assert page.picture(b"no picture", 20) is None
    assert page.picture(picture.read_bytes(), 20, max_pixels=10) is None
    picture.unlink()
    assert page.picture(picture, 20) is None, "a file that has gone is not remembered"
