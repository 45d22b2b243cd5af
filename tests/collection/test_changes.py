"""What is to be done about files that have changed, on two or three of them."""

import os

import pytest
from painted import paint

from utils.collection.catalogue import Catalogue, Item
from utils.collection.changes import (
    Changes,
    compare,
    finder,
    once_each,
    plan_changes,
    plan_update,
)
from utils.images import Refusal, scan_folder, sha256_of


@pytest.fixture
def root(tmp_path):
    for seed in range(3):
        paint(tmp_path / "root" / "ab"[seed % 2] / f"{seed}.png", seed)
    return tmp_path / "root"


@pytest.fixture
def table(root):
    found = scan_folder(root)
    pairs = zip(found.paths, found.labels, strict=True)
    items = {i: Item(p, label, sha256_of(p)) for i, (p, label) in enumerate(pairs)}
    return Catalogue(items, root)  # 0: a/0, 1: a/2, 2: b/1


def test_changes_are_summed_up_in_a_line():
    assert repr(Changes([], [], [], [], [])) == (
        "0 added, 0 changed, 0 removed, 0 unchanged, 0 refused"
    )


def test_a_file_is_the_same_changed_missing_or_unreadable(root, table, monkeypatch):
    item = table.items[0]
    assert compare(item) == ("same", "")
    assert compare(item._replace(sha256="0" * 64))[0] == "changed"
    item.path.write_bytes(b"")
    assert compare(item)[0] == "changed"
    item.path.unlink()
    assert compare(item) == ("missing", "no such file")
    item.path.mkdir()
    assert compare(item)[0] == "changed"

    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.stat", refuse)
    monkeypatch.setattr("builtins.open", refuse)
    assert compare(table.items[1])[0] == "unreadable"


@pytest.mark.skipif(os.name == "nt", reason="links need a right there")
def test_a_file_with_several_names_keeps_the_first_and_its_label(root, tmp_path):
    known = root / "a/0.png"
    (tmp_path / "soft.png").symlink_to(known)
    os.link(known, tmp_path / "hard.png")
    paths = [tmp_path / "hard.png", str(known), tmp_path / "soft.png", root / "b/1.png"]
    assert once_each(paths, ["x", "y", "z", "w"], root) == {
        tmp_path / "hard.png": "x",
        root / "b/1.png": "w",
    }
    assert once_each(paths[1:3], ["y", "z"], root) == {known: "y"}


def test_one_label_may_stand_for_all_and_others_are_counted(root):
    paths = [root / "a", root / "b"]
    assert list(once_each(paths, "cat", root).values()) == ["cat", "cat"]
    assert list(once_each(paths, iter(["x", "y"]), root).values()) == ["x", "y"]
    with pytest.raises(ValueError, match="expected 2 labels.* Received: 1"):
        once_each(paths, ["x"], root)
    with pytest.raises(ValueError, match="b: expected a label.* Received: 3"):
        once_each(paths, ["x", 3], root)


@pytest.mark.skipif(os.name == "nt", reason="links need a right there")
def test_a_finder_knows_hard_links_too(root, table, tmp_path):
    os.link(root / "a/2.png", tmp_path / "hard.png")
    find = finder(table)
    assert table.find(tmp_path / "hard.png") is None
    assert find(tmp_path / "hard.png") == 1
    assert find(root / "b/1.png") == 2
    assert find(tmp_path / "nowhere.png") is None


def test_a_plan_tells_the_new_the_changed_and_the_rest_apart(root, table):
    new = paint(root / "b/new.png", 9)
    changed = paint(root / "a/0.png", 10)
    wanted = dict.fromkeys([new, changed, root / "a/2.png"]) | {root / "b/1.png": "x"}
    plan = plan_changes(wanted, table)
    assert plan.labels == {new: "b", changed: "a"}
    assert plan.outdated == {changed: 0}
    assert plan.relabelled == {2: table.items[2]._replace(label="x")}
    assert (plan.unchanged, plan.refused) == ([root / "a/2.png"], [])


def test_a_plan_refuses_a_known_picture_that_is_gone(root, table):
    (root / "b/1.png").unlink()
    plan = plan_changes({root / "b/1.png": None}, table)
    assert plan.refused == [Refusal(root / "b/1.png", "no such file")]
    assert not plan.labels and not plan.unchanged


def test_labels_that_are_asked_for_win_over_known_ones_and_folders(root, table):
    new, changed = paint(root / "b/new.png", 9), paint(root / "a/0.png", 10)
    plan = plan_changes({new: "mine", changed: ""}, table)
    assert plan.labels == {new: "mine", changed: ""}


def test_an_update_names_what_has_gone_from_a_folder(root, table):
    (root / "a/0.png").unlink()
    new = paint(root / "c/new.png", 9)
    wanted, gone = plan_update(scan_folder(root), root, table)
    assert gone == [0]
    assert wanted == dict.fromkeys([root / "a/2.png", root / "b/1.png", new])
    assert plan_update(scan_folder(root / "b"), root / "b", table)[1] == []


def test_labels_of_a_folder_outside_count_from_that_folder(root, table, tmp_path):
    new = paint(tmp_path / "outside" / "d" / "new.png", 9)
    wanted, gone = plan_update(scan_folder(new.parents[1]), new.parents[1], table)
    assert (wanted, gone) == ({new: "d"}, [])


def test_what_a_scan_could_not_see_has_not_gone(root, table):
    scan = scan_folder(root)
    scan.paths, scan.labels = [root / "b/1.png"], ["b"]
    scan.refused = [Refusal(root / "a", "can't be listed")]
    assert plan_update(scan, root, table)[1] == []
    scan.refused = [Refusal(root / "a/0.png", "may not be read")]
    assert plan_update(scan, root, table)[1] == [1]


def test_an_empty_scan_would_remove_everything_and_is_refused(root, table, tmp_path):
    (tmp_path / "empty").mkdir()
    empty = scan_folder(tmp_path / "empty")
    with pytest.raises(ValueError, match="root: expected .* would remove 3 .* mounted"):
        plan_update(empty, root, table)
    assert plan_update(empty, tmp_path / "empty", table) == ({}, [])
