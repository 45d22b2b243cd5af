"""The page can be mailed: it needs nothing, and says nothing of the reader's disk."""

import io
import re
from base64 import b64decode
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.collection.painted import paint
from utils.collection.hits import Hit
from utils.collection.report import write_report


class Page(HTMLParser):
    """A page's tags, sources and text."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.sources, self.text = [], [], ""
        self.html = path.read_text(encoding="utf-8")
        self.feed(self.html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [value for key, value in attrs if key in ("src", "href")]

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def picture(tmp_path):
    return paint(tmp_path / "private folder" / "<b>bold & bad.png", seed=1)


def hit(path, label="cat", score=0.5):
    return Hit(1, 0, Path(path), label, score)


def test_pictures_are_inside_and_nothing_else_is_asked_for(tmp_path, picture):
    out = tmp_path / "page.html"
    size = write_report(out, [picture], [[hit(picture), hit(picture)]], side=32)
    page = Page(out)
    assert size == out.stat().st_size
    assert len(page.sources) == page.tags.count("img") == 3
    for source in page.sources:
        data = b64decode(source.removeprefix("data:image/jpeg;base64,"))
        assert max(Image.open(io.BytesIO(data)).size) <= 32
    assert "http:" not in page.html and "https:" not in page.html
    assert "script" not in page.tags
    assert "width=device-width" in page.html and "light dark" in page.html


def test_no_folder_of_the_reader_s_is_on_the_page(tmp_path, picture):
    out = tmp_path / "page.html"
    write_report(out, [picture, r"C:\Users\Ann\gone.jpg"], [[hit(picture)], []])
    page = Page(out)
    assert "private folder" not in page.html and str(tmp_path) not in page.html
    assert "Ann" not in page.html and "gone.jpg" in page.text
    assert "can't be shown" in page.text


def test_names_and_labels_are_text(tmp_path, picture):
    out = tmp_path / "page.html"
    label = "<script>alert(1)</script>{title}\udcff"
    write_report(out, [picture], [[hit(picture, label)]], title="<i>Mine</i>")
    page = Page(out)
    assert "script" not in page.tags and "i" not in page.tags
    assert "<b>bold & bad.png" in page.text and "<i>Mine</i>" in page.text
    assert "<script>alert(1)</script>{title}" in page.text


def test_no_place_of_a_photo_goes_along(tmp_path):
    exif = Image.Exif()
    exif[0x010F] = "Camera of mine"
    path = tmp_path / "photo.jpg"
    Image.new("RGB", (8, 8)).save(path, exif=exif)
    write_report(tmp_path / "page.html", [path], [[]])
    (source,) = Page(tmp_path / "page.html").sources
    assert b"Camera" not in b64decode(source.partition(",")[2])


@pytest.mark.parametrize(
    ("label", "other", "sign"),
    [("cat", "cat", "✓"), ("cat", "dog", "✗"), ("", "cat", ""), ("", "", "")],
)
def test_only_known_labels_are_right_or_wrong(tmp_path, picture, label, other, sign):
    out = tmp_path / "page.html"
    write_report(out, [picture], [[hit(picture, other)]], labels=[label])
    assert "".join(re.findall("[✓✗]", Page(out).text)) == sign


def test_an_array_can_be_a_query(tmp_path, picture):
    grey = np.zeros((4, 4), np.uint8)
    write_report(tmp_path / "page.html", [grey], [[hit(picture)]])
    assert "(ndarray)" in Page(tmp_path / "page.html").text


def test_lists_must_fit_together(tmp_path, picture):
    with pytest.raises(ValueError, match="1 queries, 0 lists"):
        write_report(tmp_path / "page.html", [picture], [])
    with pytest.raises(ValueError, match="2 labels"):
        write_report(tmp_path / "page.html", [picture], [[]], labels=["a", "b"])
