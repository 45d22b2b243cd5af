"""Words and HTML: what comes from outside is shortened and escaped."""

from pathlib import Path

import pytest
from PIL import Image

from utils.app import page
from utils.app.query import Answer
from utils.collection.hits import Hit
from utils.gallery import ROOT

MARKUP = '<b onclick="x">'


@pytest.fixture
def picture(tmp_path):
    Image.new("RGB", (40, 30), "red").save(tmp_path / "red.png")
    return tmp_path / "red.png"


def answer(hits=0, missed=0, *, seconds=0.25, itself=None, note=""):
    hit = Hit(1, 0, Path("a.png"), "", 1.0)
    return Answer([hit] * hits, [hit] * missed, seconds, 0.0015, itself, note)


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
    assert page.summary("a", answer(1), is_upload=True) == (
        "1 picture like a: 250 ms to describe the picture, 1.50 ms to search."
    )
    said = page.summary("a", answer(2, 1, seconds=0), is_upload=True)
    assert said.startswith("2 pictures like a: its description was known, ")
    assert said.endswith("1 nearer one was missed by this index.")
    assert "2 nearer ones were" in page.summary("a", answer(2, 2), is_upload=True)
    assert page.summary("a", answer(note="Few."), is_upload=True).endswith(" Few.")


def test_only_an_upload_is_said_to_be_in_the_collection():
    words = "This very file is in the collection"
    assert words in page.summary("a", answer(1, itself=0), is_upload=True)
    assert words not in page.summary("a", answer(1, itself=0), is_upload=False)
    assert words not in page.summary("a", answer(1), is_upload=True)


def test_names_labels_and_messages_are_no_markup(picture):
    hit = Hit(1, 0, picture, MARKUP, 0.987)
    for html in (
        page.picture_html(picture, MARKUP),
        page.picture_html(b"no picture", MARKUP),
        page.query_html(picture, MARKUP),
        page.result_html(hit, "cosine"),
        page.status_html(MARKUP),
    ):
        assert "<b onclick" not in html
        assert '"x"' not in html


def test_a_result_has_label_score_and_rank_in_its_words_and_in_its_picture(picture):
    hit = Hit(3, 0, picture, "mug", 0.987)
    html = page.result_html(hit, "cosine")
    assert 'alt="mug, cosine 0.99"' in html
    assert "<b>mug</b> 0.99<br><small>rank 3</small>" in html
    assert 'alt="mug, distance 0.99"' in page.result_html(hit, "Euclidean")
    assert "missed, true rank 3" in page.result_html(hit, "cosine", missed=True)
    assert "<b>no label</b>" in page.result_html(hit._replace(label=""), "cosine")


def test_a_picture_that_cannot_be_read_is_a_box_with_its_words(picture):
    assert page.picture_html(picture, "red").startswith("<img ")
    for html in (
        page.picture_html(b"no picture", "red"),
        page.picture_html(picture, "red", max_pixels=10),
    ):
        assert html.startswith("<div ") and "red<br>(can't be shown)" in html


def test_screen_readers_announce_a_failure_as_an_alert():
    assert 'role="status"' in page.status_html("Done.")
    assert 'role="alert"' in page.status_html("Not done.", is_error=True)
    assert 'aria-hidden="true"' in page.status_html("Working …", is_busy=True)
