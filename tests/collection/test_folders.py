"""A path means what was pasted, and a folder's level becomes the label."""

import os
from pathlib import Path

import pytest

from tests.collection.painted import paint
from utils.collection.folders import clean_path, find_photos

HOME = Path.home()
not_on_windows = pytest.mark.skipif(os.name == "nt", reason="paths of other systems")


@not_on_windows
@pytest.mark.parametrize(
    ("pasted", "meant"),
    [
        ("/data/My Photos", "/data/My Photos"),
        ('  "/data/My Photos" ', "/data/My Photos"),
        ("'/data/My Photos'", "/data/My Photos"),
        ("“/data/My Photos”", "/data/My Photos"),
        (r"/data/My\ Photos\ \(2024\)", "/data/My Photos (2024)"),
        ("file:///data/My%20Photos", "/data/My Photos"),
        ("file://localhost/data/a%23b", "/data/a#b"),
        ("file:/data/photos", "/data/photos"),
        ("'file:///data/100%25'", "/data/100%"),
        ("~/photos", f"{HOME}/photos"),
        ('"~/photos"', f"{HOME}/photos"),
        ("$HOME/photos", f"{HOME}/photos"),
        ("${HOME}/photos", f"{HOME}/photos"),
        (r"C:\Users\Ann\My Pictures", "/mnt/c/Users/Ann/My Pictures"),
        ("D:/photos", "/mnt/d/photos"),
        ("file:///C:/My%20Photos", "/mnt/c/My Photos"),
        (r"photos\summer", "photos/summer"),
        ("photos/summer/", "photos/summer"),
        ("'", "'"),
    ],
)
def test_a_path_means_what_was_pasted(pasted, meant, monkeypatch):
    monkeypatch.setenv("HOME", str(HOME))
    assert clean_path(pasted) == Path(meant)


@not_on_windows
@pytest.mark.parametrize("name", ["'quoted'", "file:x", "a\\b", "~", "$HOME", " a "])
def test_what_exists_stays_as_it_is(tmp_path, monkeypatch, name):
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    assert clean_path(name) == Path(name)
    assert clean_path(str(tmp_path / name)) == tmp_path / name
    assert clean_path(tmp_path / name) == tmp_path / name


@pytest.fixture
def nested(tmp_path):
    """Pictures at three depths, and a file that is none."""
    for place in ("loose.png", "Fruit/some.png", "Fruit/Apple/one.png"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        paint(tmp_path / place, seed=len(place))
    (tmp_path / "broken.jpg").write_text("no picture")
    return tmp_path


@pytest.mark.parametrize(
    ("level", "labels"),
    [
        (1, ["Fruit", "Fruit", ""]),
        (2, ["Apple", "", ""]),
        (-1, ["Apple", "Fruit", ""]),
        (-2, ["Fruit", "", ""]),
        (9, ["", "", ""]),
    ],
)
def test_the_level_says_which_folder_names_a_picture(nested, level, labels):
    found = find_photos(f"'{nested}'", level=level)
    assert [path.name for path in found.paths] == ["one.png", "some.png", "loose.png"]
    assert found.labels == labels
    assert [path.name for path, _ in found.refused] == ["broken.jpg"]


@pytest.mark.parametrize("folder", ["", "  "])
def test_no_path_is_not_this_folder(folder):
    with pytest.raises(ValueError, match="expected the path of a folder"):
        find_photos(folder)


def test_level_0_is_refused(nested):
    with pytest.raises(ValueError, match="from 1 or from -1"):
        find_photos(nested, level=0)


def test_a_wrong_path_says_how_far_it_is_right(nested):
    with pytest.raises(FileNotFoundError, match="Vegetables.*Fruit exists.*again"):
        find_photos(nested / "Fruit" / "Vegetables")
    with pytest.raises(FileNotFoundError, match="no such folder: nowhere. Write"):
        find_photos("nowhere")
    with pytest.raises(NotADirectoryError, match="expected a folder"):
        find_photos(nested / "loose.png")


@not_on_windows
def test_a_path_of_windows_is_recognised_elsewhere():
    with pytest.raises(FileNotFoundError, match="a path of Windows"):
        find_photos(r"Q:\photos")


def test_a_folder_without_a_picture_says_why(tmp_path):
    with pytest.raises(ValueError, match="Received 0 that can't"):
        find_photos(tmp_path)
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(ValueError, match="Received 1 .* empty.jpg: the file is empty"):
        find_photos(tmp_path)
