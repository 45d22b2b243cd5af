"""An index and a table of pictures belong together, or they are refused."""

import shutil
from dataclasses import replace

import pytest
from hostile import HOSTILE
from painted import forge, forge_index, paint

from utils.collection.bundles import read_bundle, write_bundle
from utils.collection.search import ImageSearch
from utils.errors import IndexFileError


def test_parts_of_two_saves_are_told_apart_even_when_hashes_fit(
    living, folder, tmp_path, embedder
):
    living.save(tmp_path / "one")
    paint(folder / "a" / "0.png", 70)
    again = ImageSearch.from_folder(folder, embedder=embedder)  # the same ids
    again.save(tmp_path / "two")
    two = read_bundle(tmp_path / "two")
    for name in two.files:
        spoiled = tmp_path / f"spoiled-{name}"
        shutil.copytree(tmp_path / "one", spoiled)
        one = read_bundle(spoiled)
        files = one.files | {name: two.files[name]}
        shutil.rmtree(one.folder)
        write_bundle(spoiled, files, one.facts, build=one.build)
        with pytest.raises(IndexFileError, match=r"items\.json.*different saves"):
            ImageSearch.load(spoiled, embedder=embedder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.pop("items.json"), "expected index.faiss, items.json"),
        (lambda f: f.pop("index.faiss"), "expected index.faiss, items.json"),
        (lambda f: f.update({"items.json": b"[]"}), "expected the table of pictures"),
        (lambda f: f.update({"items.json": b"{}"}), "expected the table of pictures"),
        (lambda f: f.update({"items.json": b"[" * 9**5}), "expected the table of pict"),
        (
            lambda f: f.update({"items.json": f["items.json"][:-9]}),
            "expected the table",
        ),
        (lambda f: f.update({"index.faiss": b"x"}), "different saves"),
    ],
)
def test_parts_of_another_kind_are_refused(living, tmp_path, embedder, change, message):
    living.save(tmp_path / "saved")
    forge(tmp_path / "saved", change)
    with pytest.raises(IndexFileError, match=f"saved.*{message}"):
        ImageSearch.load(tmp_path / "saved", embedder=embedder)


def test_an_index_of_other_ids_than_the_tables_is_refused(living, tmp_path, embedder):
    state = living._state
    index = state.index.copy()
    index.remove([0])
    living._state = replace(state, index=index)
    living.save(tmp_path / "saved")
    with pytest.raises(IndexFileError, match="expected the 12 ids .* Received 11 ids"):
        ImageSearch.load(tmp_path / "saved", embedder=embedder)


@pytest.mark.parametrize("mmap", [False, True], ids=["read", "mapped"])
def test_a_foreign_bundle_can_name_no_other_file(living, tmp_path, embedder, mmap):
    """FAISS would write the next pictures' vectors into it."""
    victim = tmp_path / "victim"
    victim.write_bytes(bytes(20_000))
    living.remove(list(living.items))
    living.save(tmp_path / "saved")
    index = HOSTILE["an empty list on disk"](victim)
    forge_index(read_bundle(tmp_path / "saved"), tmp_path / "saved", *index)
    with pytest.raises(IndexFileError, match=r"index\.faiss: .* OnDiskInvertedLists"):
        ImageSearch.load(tmp_path / "saved", embedder=embedder, mmap=mmap)
    assert victim.read_bytes() == bytes(20_000)
