"""What an id means, on tables of two or three pictures."""

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from utils.collection import catalogue as module
from utils.collection.catalogue import Catalogue, Item, absolute, common_folder, spell
from utils.errors import IndexFileError

needs_links = pytest.mark.skipif(os.name == "nt", reason="links need a right there")


def item(path: Path, label: str = "", sha256: str = "0" * 64) -> Item:
    return Item(path, label, sha256)


@pytest.fixture
def root(tmp_path):
    for name in ("a/0.png", "a/1.png", "b/deep/2.png", "outside/x.png"):
        path = tmp_path / name if name[0] == "o" else tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return tmp_path / "root"


@pytest.fixture
def table(root):
    paths = [root / "b/deep/2.png", root / "a/1.png", root / "a/0.png"]
    return Catalogue(dict(zip((7, 4, 2), map(item, paths), strict=True)), root)


def test_items_come_in_the_order_of_their_ids_and_cannot_be_written_to(table):
    assert (list(table.items), len(table)) == ([2, 4, 7], 3)
    with pytest.raises(TypeError):
        table.items[2] = None


def test_a_picture_is_found_by_each_of_its_spellings(table, root, monkeypatch):
    assert table.find(root / "a/0.png") == 2
    assert table.find(str(root / "b" / ".." / "a" / "0.png")) == 2
    assert table.find(root / "a/9.png") is None
    monkeypatch.chdir(root / "a")
    assert table.find("1.png") == 4
    monkeypatch.setenv("HOME", str(root))
    monkeypatch.setenv("USERPROFILE", str(root))
    assert table.find("~/a/1.png") == 4


def test_a_file_whose_own_name_begins_with_a_tilde_is_no_home(root, monkeypatch):
    (root / "~").touch()
    monkeypatch.chdir(root)
    assert absolute("~") == root / "~"
    assert absolute("~nobody-of-this-name") == root / "~nobody-of-this-name"


def test_a_change_makes_another_table_and_leaves_the_first(table, root):
    add = {2: item(root / "a/0.png", "cat"), 9: item(root / "n.png")}
    new = table.changed([4], add)
    assert (list(new.items), new.items[2].label) == ([2, 7, 9], "cat")
    assert [new.find(root / name) for name in ("a/1.png", "n.png")] == [None, 9]
    assert (list(table.items), table.find(root / "a/1.png")) == ([2, 4, 7], 4)
    assert table.find(root / "n.png") is None
    assert new.changed([9], {10: item(root / "n.png")}).find(root / "n.png") == 10


def test_real_names_are_asked_of_the_disk_for_new_pictures_only(
    table, root, monkeypatch
):
    asked = []
    real_path = module.real_path
    monkeypatch.setattr(
        module, "real_path", lambda p, f: (asked.append(p), real_path(p, f))[1]
    )
    table.changed([2], {9: item(root / "n.png")})
    assert asked == [root / "n.png"]


def test_a_folder_holds_what_is_in_it_and_below(table, root):
    assert table.below(root / "a") == [2, 4]
    assert table.below(root / "b") == [7]
    assert table.below(str(root)) == [2, 4, 7]
    assert table.below(root / "a/0.png") == [2]
    assert table.below(root.parent / "outside") == []


@needs_links
def test_a_picture_behind_a_link_is_in_both_folders(root):
    (root / "link").symlink_to(root.parent / "outside")
    table = Catalogue({0: item(root / "link/x.png")}, root)
    assert table.below(root) == table.below(root.parent / "outside") == [0]
    assert table.find(root.parent / "outside/x.png") == 0


@needs_links
def test_strays_are_pictures_that_a_link_takes_elsewhere(root):
    outside = root.parent / "outside/x.png"
    (root / "link.png").symlink_to(outside)
    (root / "same.png").symlink_to(root / "a/0.png")
    (root.parent / "other.png").symlink_to(outside)
    paths = [root / "link.png", root / "same.png", outside, root.parent / "other.png"]
    table = Catalogue(dict(enumerate(map(item, paths))), root)
    assert table.strays() == [0, 3]
    assert table.strays(only_root=True) == [0, 2, 3]


@needs_links
def test_a_stray_is_one_whatever_other_name_the_same_file_has(root):
    outside = root.parent / "outside/x.png"
    (root / "link.png").symlink_to(outside)
    table = Catalogue({0: item(root / "link.png"), 1: item(outside)}, root)
    assert table.strays() == [0]


def test_the_first_folder_below_the_root_is_the_label(table, root):
    assert table.folder_label(root / "b/deep/2.png") == "b"
    assert table.folder_label(root / "loose.png") == ""
    assert table.folder_label(root.parent / "outside/x.png") == ""


def test_a_table_comes_back_from_its_dump(table, root):
    content = table.changed([], {8: item(root.parent / "outside/x.png", "é")}).dump(
        {"build": "b"}
    )
    again, header = Catalogue.parse(content, "items.json")
    assert (header, again.root) == ({"build": "b"}, root)
    assert again.items[8] == item(root.parent / "outside/x.png", "é")
    assert [again.items[id] for id in (2, 4, 7)] == [*table.items.values()]


def test_a_table_that_has_moved_takes_its_own_pictures_along(table, root, tmp_path):
    content = table.changed([], {8: item(root.parent / "outside/x.png")}).dump({})
    moved, _ = Catalogue.parse(content, "items.json", root=tmp_path / "new")
    assert moved.root == tmp_path / "new"
    assert moved.items[2].path == tmp_path / "new" / "a/0.png"
    assert moved.items[8].path == root.parent / "outside/x.png"


ROW = [0, "a.png", "cat", "0" * 64]


@pytest.mark.parametrize(
    "rows",
    [
        3,
        [ROW[:3]],
        [["0", *ROW[1:]]],
        [[True, *ROW[1:]]],
        [[-1, *ROW[1:]]],
        [[0, "a.png", None, ""]],
        [ROW, ROW],
        [[1, *ROW[1:]], ROW],
        [[0, "../a.png", "", ""]],
        [[0, "/etc/passwd", "", ""]],
        [[0, "a\0.png", "", ""]],
    ],
    ids=str,
)
def test_tables_of_another_kind_are_refused_by_name(rows):
    content = json.dumps({"root": "/p", "folder": ".", "items": rows}).encode()
    with pytest.raises(IndexFileError, match=r"some\.json: expected the table"):
        Catalogue.parse(content, "some.json")


def test_a_name_that_windows_cannot_have_is_told_from_a_trick(monkeypatch):
    monkeypatch.setattr(module, "os", SimpleNamespace(name="nt", path=os.path))
    with pytest.raises(ValueError, match="no file of Windows can have the path"):
        module._checked_path("a/12:30.png")
    with pytest.raises(ValueError, match="leaves the root"):
        module._checked_path("../a.png")


@needs_links
def test_a_picture_is_spelled_by_way_of_the_root_or_by_its_real_name(root, tmp_path):
    (tmp_path / "way").symlink_to(root)
    (tmp_path / "x.png").symlink_to(tmp_path / "outside/x.png")
    assert spell(tmp_path / "way/a/0.png", root) == root / "a/0.png"
    assert spell(root / "a/../b/1.png", root) == root / "b/1.png"
    assert spell(tmp_path / "x.png", root) == tmp_path / "outside/x.png"


def test_a_common_folder_holds_the_root_and_all_pictures(monkeypatch):
    paths = [Path("/p/a/1.png"), Path("/p/b/2.png")]
    assert common_folder(None, paths) == Path("/p")
    assert common_folder(Path("/p/a"), paths[:1]) == Path("/p/a")
    assert common_folder(Path("/q"), paths) == Path("/")

    def two_drives(folders):
        raise ValueError("Paths don't have the same drive")

    monkeypatch.setattr(module.os.path, "commonpath", two_drives)
    table = Catalogue({}, "/p")
    with pytest.raises(ValueError, match="expected pictures that lie in one folder"):
        table.changed([], {0: item(Path("/q/1.png"))})
