"""Two writers in one folder; changes that are on the disk before they are answered."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from painted import paint

from utils.collection import kept
from utils.collection.bundles import read_bundle, write_bundle
from utils.collection.journal import Journal
from utils.collection.locks import SaveConflictError
from utils.collection.search import ImageSearch
from utils.errors import IndexFileError, LookalikeError

ROOT = Path(__file__).parents[2]
CROWDS, DAMAGE = "writers_at_once.py", "kills_and_damage.py"
FACTORIES = ["Flat", "IVF4,Flat", "IVF4,PQ4x4np", "HNSW8", "SQ8"]
every_factory = pytest.mark.parametrize("factory", FACTORIES)
posix = pytest.mark.skipif(os.name == "nt", reason="needs fork and SIGKILL")

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.*Flat index is used instead"),
]


@pytest.fixture
def saved(living, tmp_path):
    living.save(tmp_path / "saved")
    return tmp_path / "saved"


@pytest.fixture
def load(saved, embedder):
    return lambda **options: ImageSearch.load(saved, embedder=embedder, **options)


def whole(search: ImageSearch) -> dict:
    """All that a collection holds, after seeing that its parts agree."""
    ids = list(search.items)
    assert search.index.ids.tolist() == ids
    rows = search.index.reconstruct(ids).tolist()
    return {id: (*search.items[id], row) for id, row in zip(ids, rows, strict=True)}


# ---------------------------------------------------------------------- two writers
def test_a_save_over_somebody_elses_is_refused_and_says_what_to_do(load, saved, folder):
    one, two = load(), load()
    one.add(paint(folder / "a" / "one.png", 50))
    two.add(paint(folder / "a" / "two.png", 51))
    before = (saved / "CURRENT").read_text().split()[2]
    one.save(saved)
    now = (saved / "CURRENT").read_text().split()[2]
    with pytest.raises(SaveConflictError) as refused:
        two.save(saved)
    for part in (
        str(saved),
        before,
        now,
        "merge=True",
        "load it again",
        "replace=True",
    ):
        assert part in str(refused.value)
    assert whole(load()) == whole(one)
    one.remove([0])
    one.save(saved)  # it may go on: the last save is its own
    two.save(saved, replace=True)
    assert whole(load()) == whole(two)


@every_factory
def test_a_merge_has_what_both_have_done_and_ids_stay(
    factory, load, saved, folder, embedder
):
    for i in range(12, 400):
        paint(folder / "a" / f"{i}.png", i)
    ImageSearch.from_folder(folder, factory=factory, embedder=embedder).save(saved)
    one, two = load(), load()
    two.add([paint(folder / "c" / f"two{i}.png", 510 + i) for i in range(3)])
    one.add([paint(folder / "b" / f"one{i}.png", 500 + i) for i in range(3)])
    one.remove([0, 1])
    two.remove([1, 2])
    paint(one.path_of(3), 520)
    one.add(one.path_of(3))
    one.add(one.path_of(4), "seen")
    two.add(two.path_of(5), "known")
    mine = {path: two.id_of(path) for path in two.paths}
    one.save(saved)
    two.save(saved, merge=True)
    assert whole(load()) == whole(two)
    for id in one.items.keys() - {2}:
        assert two.path_of(id) == one.path_of(id)
    assert two.items[4].label == "seen"
    assert two.items[5].label == "known"
    for path in (p for p in mine if "two" in p.name):
        assert two.id_of(path) == mine[path]
    assert not {0, 1, 2} & set(two.items)
    found = two.search(folder / "b" / "one1.png", k=1)[0]
    assert found.path.name == "one1.png"
    one.save(saved, merge=True)  # nothing of its own: it becomes what is there
    assert whole(one) == whole(two)


def test_a_picture_that_both_have_added_is_there_once(load, saved, folder):
    one, two = load(), load()
    path = paint(folder / "a" / "both.png", 50)
    one.add(path)
    two.add(path, "other")
    changed = two.path_of(0)
    paint(changed, 60)
    one.add(changed)
    paint(changed, 61)
    two.add(changed)
    theirs, mine = one.id_of(path), two.id_of(path)
    assert theirs != mine
    one.save(saved)
    with pytest.warns(RuntimeWarning, match=f"{mine} is {theirs}"):
        two.save(saved, merge=True)
    assert (two.id_of(path), two.items[theirs].label) == (theirs, "other")
    assert len(two) == len(one) == 13
    assert two.check() == []  # the later content counts
    assert whole(load()) == whole(two)


def test_what_was_removed_there_is_not_brought_back_by_a_label(load, saved):
    one, two = load(), load()
    one.remove([0])
    two.add([two.path_of(0), two.path_of(1)], "mine")
    one.save(saved)
    two.save(saved, merge=True)
    assert 0 not in two.items
    assert two.items[1].label == "mine"


def test_one_writer_counts_on_without_gaps(load, saved, folder):
    one = load()
    for i in range(3):
        one.add(paint(folder / "a" / f"new{i}.png", 50 + i))
        one.save(saved)
    assert list(one.items) == list(range(15))
    two = load()
    two.add(paint(folder / "a" / "x.png", 60))
    assert 15 in two.items
    again = load()  # 15 was given, and is not given to another picture
    again.add(paint(folder / "a" / "y.png", 61))
    assert 16 in again.items
    assert 15 not in again.items


def test_another_collection_in_the_folder_is_no_later_one(
    load, saved, folder, embedder, living
):
    one = load()
    one.add(paint(folder / "a" / "x.png", 60))
    fresh = ImageSearch.from_folder(folder / "b", embedder=embedder)
    with pytest.raises(SaveConflictError, match="was not loaded from"):
        fresh.save(saved, merge=True)
    fresh.save(saved)  # as before: a first save replaces what is there
    assert whole(load()) == whole(fresh)
    for collection in (one, living):
        with pytest.raises(SaveConflictError, match="merge=True"):
            collection.save(saved)
        with pytest.raises(SaveConflictError, match="another collection has taken"):
            collection.save(saved, merge=True)
    assert whole(load()) == whole(fresh)
    with pytest.raises(ValueError, match="merge or replace"):
        one.save(saved, merge=True, replace=True)
    shutil.rmtree(saved)
    one.save(saved)  # nothing is lost in a folder that has gone
    assert whole(load()) == whole(one)


def test_ids_that_could_not_be_reserved_are_never_mixed_up(
    load, saved, folder, monkeypatch
):
    one, two, three = load(), load(), load()
    monkeypatch.setattr(kept, "reserve_ids", lambda *_: None)
    for number, search in enumerate((one, two)):
        search.add(paint(folder / "a" / f"new{number}.png", 50 + number))
    three.remove([3])
    one.save(saved)
    with pytest.raises(SaveConflictError, match="both have given the id 12"):
        two.save(saved, merge=True)
    three.save(saved, merge=True)
    assert whole(load()).keys() == set(range(13)) - {3}


def test_two_folders_are_two_histories(load, saved, folder, tmp_path, embedder):
    one, two = load(), load()
    one.save(tmp_path / "copy")
    two.remove([0])
    two.save(saved)
    one.remove([1])
    one.save(tmp_path / "copy")
    with pytest.raises(SaveConflictError, match="saved: expected the save"):
        one.save(saved)
    one.save(f"{saved}/../saved", merge=True)
    assert set(load().items) == set(range(2, 12))


def test_a_picture_that_a_link_has_replaced_is_left_out_here_and_kept_there(
    load, saved, tmp_path
):
    elsewhere = paint(tmp_path / "elsewhere" / "x.png", 70)
    one, two, three = load(), load(), load()
    one.add(elsewhere)
    id = one.id_of(elsewhere)
    two.remove([0])
    three.remove([1])
    one.save(saved)
    elsewhere.rename(tmp_path / "moved.png")
    elsewhere.symlink_to(tmp_path / "moved.png")
    for other in (two, three):
        with pytest.warns(RuntimeWarning, match="left out"):
            other.save(saved, merge=True)
        assert id not in other.items
        assert b"x.png" in read_bundle(saved).files["items.json"]


def test_a_picture_that_somebody_else_took_in_through_a_link_is_merged(
    load, saved, folder, tmp_path
):
    elsewhere = paint(tmp_path / "elsewhere" / "x.png", 70)
    (folder / "linked").symlink_to(elsewhere.parent)
    one, two = load(), load()
    one.add(folder / "linked" / "x.png")
    two.remove([0])
    one.save(saved)
    two.save(saved, merge=True)
    assert two.items[two.id_of(elsewhere)].path == elsewhere


def test_an_error_after_the_last_step_of_a_save_does_not_undo_it(
    load, saved, folder, monkeypatch
):
    search = load()
    search.add(paint(folder / "a" / "x.png", 60))
    before = read_bundle(saved).build

    def interrupted(path):
        if path == saved and read_bundle(saved).build != before:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("utils.collection.bundles.sync_folder", interrupted)
        with pytest.raises(KeyboardInterrupt):
            search.save(saved)
    assert whole(load()) == whole(search)
    search.remove([0])
    search.save(saved)
    assert whole(load()) == whole(search)


# ------------------------------------------------------------------ durable changes
@pytest.fixture
def durable(saved, embedder):
    with ImageSearch.open(saved, durable=True, embedder=embedder) as search:
        yield search


def test_a_change_is_on_the_disk_before_it_is_answered(durable, load, folder):
    new = [paint(folder / "d" / f"new{i}.png", 50 + i) for i in range(3)]
    for change in (
        lambda: durable.add(new),
        lambda: durable.remove([0, new[1]]),
        lambda: durable.add(new[0], "seen"),
        lambda: paint(folder / "a" / "0.png", 77) and durable.update(),
        lambda: durable.remove(new[2]),
    ):
        change()
        assert whole(load()) == whole(durable)
        assert whole(load(mmap=True)) == whole(durable)
    durable.close()
    again = load()
    assert whole(again) == whole(durable)
    again.add(paint(folder / "d" / "last.png", 59))
    assert max(again.items) == max(durable.index._state.next_id, 16)  # never reused


def test_a_save_empties_the_journal_in_the_same_step(durable, load, saved, folder):
    durable.add(paint(folder / "d" / "x.png", 50))
    old = read_bundle(saved)
    assert old.journal
    shutil.copytree(old.folder, saved.parent / "old")
    durable.save(saved)
    assert read_bundle(saved).journal == b""
    durable.remove([0])
    assert whole(load()) == whole(durable)
    journal = read_bundle(saved).folder / "JOURNAL"
    journal.write_bytes(old.journal)  # that of another save says nothing here
    with pytest.raises(IndexFileError, match=r"JOURNAL: .*another save.*delete it"):
        load()


def test_only_one_may_write_durably_and_others_may_read(
    durable, saved, load, living, embedder
):
    reader = load(mmap=True)
    with pytest.raises(SaveConflictError, match="open for durable changes"):
        ImageSearch.open(saved, durable=True)
    reader.remove([1])
    for options in ({}, {"merge": True}, {"replace": True}):
        with pytest.raises(SaveConflictError, match="open for durable changes"):
            reader.save(saved, **options)
    durable.remove([2])
    durable.close()
    with pytest.raises(LookalikeError, match="has been closed. Open it again"):
        durable.remove([3])
    assert len(durable) == 11
    with pytest.raises(SaveConflictError, match="and 1 changes after it"):
        reader.save(saved)
    reader.save(saved, merge=True)
    assert set(load().items) == set(range(12)) - {1, 2}
    with ImageSearch.open(saved, durable=True, embedder=embedder) as again:
        again.remove([5])
    again.close()
    ImageSearch.open(saved, embedder=embedder).save(saved)
    assert 5 not in load().items


def test_a_first_save_does_not_lose_durable_changes(durable, saved, living, embedder):
    durable.remove([2])
    durable.close()
    fresh = ImageSearch.from_folder(living.root, embedder=embedder)
    with pytest.raises(SaveConflictError, match="which no save contains"):
        fresh.save(saved)
    fresh.save(saved, replace=True)
    assert len(ImageSearch.load(saved)) == 12


def test_a_change_that_cannot_be_written_has_not_happened(durable, load, monkeypatch):
    durable.remove([0])
    before = whole(durable)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("utils.collection.journal.os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            durable.remove([1])
    assert whole(durable) == whole(load()) == before
    durable.remove([1])
    assert whole(durable) == whole(load())


@posix
def test_a_disk_without_locks_is_no_place_for_durable_changes(saved, monkeypatch):
    def refuse(*_):
        raise OSError(38, "no locks on this disk")

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(SaveConflictError, match="a disk that can lock files"):
        ImageSearch.open(saved, durable=True)
    with pytest.raises(IndexFileError, match="expected a saved bundle"):
        ImageSearch.open(saved / "nowhere", durable=True)
    ImageSearch.load(saved).save(saved)


def test_pictures_from_outside_come_back_from_the_journal_by_their_real_names(
    durable, load, tmp_path, folder
):
    durable.add(paint(tmp_path / "outside" / "x.png", 50), "out")
    durable.add(paint(folder / "a" / "in.png", 51))
    assert whole(load()) == whole(durable)
    shutil.copytree(folder, tmp_path / "moved")
    with pytest.warns(RuntimeWarning, match="1 of 14 pictures were left out"):
        moved = load(root=tmp_path / "moved")
    assert moved.path_of(13) == tmp_path / "moved" / "a" / "in.png"


def test_a_bundle_without_a_lineage_is_one_of_its_own(load, saved, folder):
    """That of before two writers were told apart."""
    bundle = read_bundle(saved)
    facts = {k: v for k, v in bundle.facts.items() if k != "lineage"}
    files = bundle.files
    forged = bundle.build[::-1]
    files["items.json"] = files["items.json"].replace(
        bundle.build.encode(), forged.encode()
    )
    write_bundle(saved, files, facts, build=forged)
    one, two = load(), load()
    one.remove([0])
    two.remove([1])
    one.save(saved)
    two.save(saved, merge=True)
    assert set(load().items) == set(range(2, 12))


def test_an_interruption_after_the_change_was_written_does_not_undo_it(
    durable, load, monkeypatch
):
    append = Journal.append

    def interrupted(self, payload):
        append(self, payload)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "append", interrupted)
        with pytest.raises(KeyboardInterrupt):
            durable.remove([0])
    assert whole(load()) == whole(durable)
    durable.remove([1])
    assert whole(load()) == whole(durable)
    assert set(durable.items) == set(range(2, 12))


# ------------------------------------------------------------- crowds, and kills
def run(program: str, *arguments: object) -> dict:
    command = [sys.executable, ROOT / "tests" / program, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@posix
@pytest.mark.parametrize("processes", [2, 4])
@pytest.mark.parametrize("way", [[], ["--refused"]], ids=["merged", "refused"])
def test_what_a_crowd_adds_is_all_there(processes, way):
    times = 16 // processes
    said = run(CROWDS, "crowd", "--processes", processes, "--times", times, *way)
    assert (said["added"], said["bad"]) == (16, 0)


@posix
@pytest.mark.parametrize("factory", ["Flat", "HNSW8"])
def test_what_was_acknowledged_before_a_kill_is_there(factory):
    said = run(CROWDS, "kills", "--times", 5, "--factory", factory)
    assert said["bad"] == 0
    assert said["added"] >= 5


@posix
@pytest.mark.parametrize("what", "save cache update bits steps beside disk".split())
def test_what_kills_and_damage_leave_is_whole(what):
    said = run(DAMAGE, what, "--times", 20 if what in ("bits", "steps") else 4)
    assert said["bad"] == 0


@posix
def test_odd_files_are_read_or_refused(tmp_path):
    (tmp_path / "none.png").write_bytes(b"no picture")
    paint(tmp_path / "one.png", 1)
    said = run(DAMAGE, "pictures", "--folder", tmp_path)["pictures"]
    assert (said["files"], said["read"], said["refused"]) == (2, 1, 1)
