"""The whole way from a folder to hits, and the life of a collection."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from painted import FakeEmbedder, forge, paint
from PIL import Image

from utils import images
from utils.collection import kept
from utils.collection.bundles import read_bundle
from utils.collection.catalogue import Item
from utils.collection.extraction import embed_files
from utils.collection.search import ImageSearch
from utils.embeddings import load_embedder
from utils.errors import IndexFileError, LookalikeError, PictureError
from utils.images import Collection, Refusal

ROOT = Path(__file__).parents[2]
FACTORIES = ["Flat", "IVF4,Flat", "IVF4,PQ4x4np", "HNSW8"]
SIZE = 32
every_factory = pytest.mark.parametrize("factory", FACTORIES)


pytestmark = pytest.mark.usefixtures("one_thread")


# ------------------------------------------------- a folder, an untrained network
@pytest.fixture(scope="module")
def network():
    return load_embedder("untrained", input_size=SIZE, verbose=False)


@pytest.fixture
def noise(tmp_path):
    """Six pictures of noise in two class folders, one loose, one broken."""
    rng = np.random.default_rng(seed=0)
    root = tmp_path / "pictures"
    names = ["cat/0", "cat/1", "cat/2", "dog/0", "dog/1", "loose"]
    for name in names:
        path = root / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = rng.integers(0, 256, size=(40, 30, 3)).astype("uint8")
        Image.fromarray(noise).save(path)
    (root / "dog" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    return root


@pytest.fixture
def found(noise, network):
    return ImageSearch.from_folder(noise, embedder=network)


def test_folders_become_labels_and_bad_files_are_named(found):
    assert sorted(found.labels) == ["", "cat", "cat", "cat", "dog", "dog"]
    assert [refusal.path.name for refusal in found.refused] == ["broken.jpg"]
    assert found.refused[0].reason


def test_each_picture_is_its_own_nearest_neighbour(found):
    for path, label in zip(found.paths, found.labels, strict=True):
        hit = found.search(path, k=1)[0]
        assert (hit.path, hit.label, hit.rank) == (path, label, 1)
        assert hit.score == pytest.approx(1, abs=1e-4)


def test_every_door_gives_the_same_hits(found):
    path = found.paths[2]
    image = Image.open(path)
    doors = [path, str(path), path.read_bytes(), image, np.asarray(image)]
    ids = [[hit.id for hit in found.search(door)] for door in doors]
    assert ids == [ids[0]] * len(doors)


def test_a_query_is_left_out_by_id(found):
    path = found.paths[3]
    hits = found.search(path, k=3, exclude=[found.id_of(path)])
    assert len(hits) == 3
    assert path not in [hit.path for hit in hits]
    assert [hit.rank for hit in hits] == [1, 2, 3]


def test_asking_for_too_many_gives_all_there_are(found):
    assert len(found.search(found.paths[0], k=100)) == len(found) == 6


def test_scores_fall_from_rank_to_rank(found):
    scores = [hit.score for hit in found.search(found.paths[0], k=6)]
    assert scores == sorted(scores, reverse=True)


def test_a_query_that_is_no_picture_is_named(found, tmp_path):
    with pytest.raises(PictureError, match="nowhere.jpg"):
        found.search(tmp_path / "nowhere.jpg")
    with pytest.raises(ValueError, match="k must be a whole number of at least 1"):
        found.search(found.paths[0], k=0)
    with pytest.raises(KeyError, match="not in this collection of 6"):
        found.id_of(tmp_path / "nowhere.jpg")


def test_ids_count_the_pictures_that_could_be_read(tmp_path, embedder):
    paths = [tmp_path / "a.png", tmp_path / "none.png", tmp_path / "b.png"]
    for seed, path in enumerate(paths[::2]):
        paint(path, seed)
    before = Refusal(tmp_path / "c.jpg", "no picture")
    collection = Collection(paths, ["x", "y", "z"], [before])
    search = ImageSearch.from_collection(collection, embedder=embedder)
    assert search.root == tmp_path
    assert search.items == {
        0: Item(paths[0], "x", images.sha256_of(paths[0])),
        1: Item(paths[2], "z", images.sha256_of(paths[2])),
    }
    assert search.index.ids.tolist() == [0, 1]
    assert search.refused == [before, Refusal(paths[1], "no such file")]
    vectors = embed_files(paths[::2], embedder).vectors
    np.testing.assert_array_equal(search.index.reconstruct([0, 1]), vectors)


def test_a_collection_of_nothing_that_can_be_read_says_why(tmp_path, embedder):
    nothing = Collection([tmp_path / "none.png"], [""])
    with pytest.raises(ValueError, match=r"Received 1, .*none\.png: no such file"):
        ImageSearch.from_collection(nothing, embedder=embedder)
    with pytest.raises(ValueError, match="Received 0, .* there is none"):
        ImageSearch.from_collection(Collection(), embedder=embedder)


def test_an_empty_folder_is_refused_by_name(tmp_path, network):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty: expected pictures .*\.jpg"):
        ImageSearch.from_folder(tmp_path / "empty", embedder=network)
    with pytest.raises(FileNotFoundError):
        ImageSearch.from_folder(tmp_path / "nowhere", embedder=network)


def test_an_update_without_new_pictures_needs_no_network(found, tmp_path):
    found.save(tmp_path / "saved")
    loaded = ImageSearch.load(tmp_path / "saved")  # would load the bundled weights
    for gone in ("cat/0.png", "dog/broken.jpg"):
        loaded.root.joinpath(gone).unlink()
    changes = loaded.update()
    assert (len(changes.removed), len(changes.unchanged)) == (1, 5)
    assert loaded._embedder is None


def test_a_loaded_search_finds_the_same(found, network, tmp_path):
    found.save(tmp_path / "saved")
    loaded = ImageSearch.load(tmp_path / "saved", embedder=network)
    for path in found.paths:
        assert loaded.search(path) == found.search(path)


def test_saving_again_replaces_the_old_search(found, network, tmp_path, noise):
    found.save(tmp_path / "saved")
    (noise / "cat/0.png").unlink()
    ImageSearch.from_folder(noise, embedder=network).save(tmp_path / "saved")
    assert len(ImageSearch.load(tmp_path / "saved", embedder=network)) == 5


@pytest.mark.skipif(os.name == "nt", reason="Windows names are always Unicode")
def test_names_that_are_not_valid_utf8_survive(noise, network, tmp_path):
    odd = os.path.join(os.fsencode(noise), b"cat", b"\xff\n'\xf0\x9f\x90\xb1.png")
    shutil.copy(os.fsencode(noise / "cat/0.png"), odd)
    found = ImageSearch.from_folder(noise, embedder=network)
    found.save(tmp_path / "saved")
    loaded = ImageSearch.load(tmp_path / "saved", embedder=network)
    assert os.fsdecode(odd) in [str(path) for path in loaded.paths]
    assert loaded.search(loaded.paths[0], k=1)[0].id == 0
    loaded.remove([os.fsdecode(odd)])
    assert loaded.update().added == [Path(os.fsdecode(odd))]


def test_vectors_of_other_weights_are_refused(found, tmp_path, monkeypatch):
    found.save(tmp_path / "saved")
    other = load_embedder("untrained", input_size=64, verbose=False)
    with pytest.raises(IndexFileError, match="cannot be compared"):
        ImageSearch.load(tmp_path / "saved", embedder=other)
    loaded = ImageSearch.load(tmp_path / "saved")
    monkeypatch.setenv("LOOKALIKE_WEIGHTS", "untrained")  # 224 pixels, not 32
    with pytest.raises(IndexFileError, match="embedder=.*load_network"):
        loaded.search(np.zeros((8, 8, 3), dtype="uint8"))


def test_damaged_files_are_refused_by_name(found, network, tmp_path):
    found.save(tmp_path / "saved")
    for path in read_bundle(tmp_path / "saved").folder.iterdir():
        good = path.read_bytes()
        for spoiled in (good[:-5], good[:-1] + b"?", b""):
            path.write_bytes(spoiled)
            with pytest.raises(IndexFileError, match=f"{path.name}: expected"):
                ImageSearch.load(tmp_path / "saved", embedder=network)
        path.write_bytes(good)
    with pytest.raises(IndexFileError, match="nowhere"):
        ImageSearch.load(tmp_path / "nowhere")


def test_an_older_format_is_refused_with_advice(network):
    old = Path(__file__).parents[1] / "data" / "bundle_format_1"
    with pytest.raises(IndexFileError, match="Received format 1.*from_folder"):
        ImageSearch.load(old, embedder=network)


# ----------------------------------------------------- a collection that changes
def names(paths) -> list[str]:
    return sorted(path.name for path in paths)


def assert_true(living: ImageSearch, where: Path) -> None:
    """What the search says of each picture is what a fresh one would say."""
    assert living.index.ids.tolist() == list(living.items)
    for key, item in living.items.items():
        assert living.id_of(item.path) == key
        hits = living.search(item.path, k=3)
        same = [hit for hit in hits if hit.id == key]
        if living.index.keeps_vectors:
            assert same and same[0].score == pytest.approx(1, abs=1e-4)
        assert all(living.path_of(hit.id) == hit.path for hit in hits)
        assert len(hits) == min(3, len(living))
    assert not living.check()


@every_factory
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.filterwarnings("ignore:.*Flat index is used instead")
def test_a_folder_and_its_search_live_through_random_changes(
    factory, seed, tmp_path, embedder
):
    rng, pictures, saved = random.Random(seed), tmp_path / "pictures", tmp_path / "s"
    disk = {paint(pictures / "abc"[i % 3] / f"{i}.png", i): i for i in range(40)}
    living = ImageSearch.from_folder(pictures, factory=factory, embedder=embedder)
    living.retrain()
    used, next_seed = set(living.items), 100
    for step in range(40):
        act = rng.choice(["new", "change", "vanish", "remove", "add", "load", "update"])
        chosen = rng.sample(sorted(disk), min(len(disk) - 1, rng.randrange(1, 4)))
        if act == "new":
            for _ in range(rng.randrange(4)):
                next_seed += 1
                path = pictures / rng.choice("abcd") / f"{next_seed}.png"
                disk[paint(path, next_seed)] = next_seed
        elif act == "change":
            for path in chosen:
                next_seed += 1
                disk[paint(path, next_seed)] = next_seed
        elif act == "vanish":
            for path in chosen:
                path.unlink()
                del disk[path]
        elif act == "remove":
            known = [path for path in chosen if path in living.paths]
            gone = [living.id_of(path) for path in known]
            assert names(living.remove(gone).removed) == names(known)
            assert not set(gone) & set(living.items)
        elif act == "add":
            changes = living.add(chosen)
            assert len(changes.added + changes.changed + changes.unchanged) == len(
                chosen
            )
            assert not changes.refused
        elif act == "load":
            living.save(saved)
            living = ImageSearch.load(saved, embedder=embedder)
        else:
            before = dict(living.items)
            changes = living.update()
            assert sorted(living.paths) == sorted(disk)
            assert_true(living, pictures)
            for key, item in living.items.items():  # the same picture, the same id
                assert before.get(key, item) == item
        new = set(living.items) - used
        assert not new or min(new) > max(used)  # never an id again
        used |= new
        if step % 10 == 9:
            living.index.compact()


def test_an_update_finds_what_is_new_changed_and_gone(living, folder, embedder):
    embedder.embedded = 0
    assert living.update() == ([], [], [], living.paths, [])
    assert embedder.embedded == 0
    changed = living.id_of(folder / "a" / "0.png")
    paint(folder / "a" / "0.png", 77)
    paint(folder / "d" / "new.png", 78)
    (folder / "b" / "1.png").unlink()
    (folder / "c" / "broken.jpg").write_bytes(b"no picture")
    assert names(refusal.path for refusal in living.check()) == ["0.png", "1.png"]
    changes = living.update()
    assert [names(paths) for paths in changes[:3]] == [
        ["new.png"],
        ["0.png"],
        ["1.png"],
    ]
    assert len(changes.unchanged) == 10
    assert [refusal.path.name for refusal in changes.refused] == ["broken.jpg"]
    assert repr(changes) == "1 added, 1 changed, 1 removed, 10 unchanged, 1 refused"
    assert embedder.embedded == 2
    assert changed not in living.items
    assert living.items[living.id_of(folder / "d" / "new.png")].label == "d"
    assert living.items[living.id_of(folder / "a" / "0.png")].label == "a"
    assert_true(living, folder)


def test_a_known_picture_is_never_there_twice(living, folder, tmp_path):
    known = folder / "a" / "0.png"
    (tmp_path / "link.png").symlink_to(known)
    for again in (known, str(known), folder / "b" / ".." / "a" / "0.png"):
        assert living.add([again]).unchanged == [known]
    assert living.add([tmp_path / "link.png", known, known]).unchanged == [known]
    assert len(living) == 12
    paint(known, 99)
    assert living.add(known).changed == [known]
    assert (len(living), living.id_of(known)) == (12, 12)


def test_labels_are_given_kept_and_changed(living, folder):
    new, known = paint(folder / "b" / "x.png", 50), folder / "a" / "0.png"
    changes = living.add([new, known], labels=["bee", "ant"])
    assert (changes.added, changes.changed) == ([new], [known])
    assert living.items[living.id_of(known)].label == "ant"
    assert living.id_of(known) == 0
    paint(known, 51)
    living.update()
    assert living.items[living.id_of(known)].label == "ant"
    assert living.items[living.id_of(new)].label == "bee"
    with pytest.raises(ValueError, match="expected 1 labels.* Received: 2"):
        living.add([new], labels=["x", "y"])


def test_one_label_may_be_given_for_all(living, folder):
    new = [paint(folder / f"{i}.png", 200 + i) for i in range(3)]
    living.add(new, labels="cat")
    assert [living.items[living.id_of(path)].label for path in new] == ["cat"] * 3
    living.add(new[:2], labels=np.array(["x", "y"]))
    assert [living.items[living.id_of(path)].label for path in new] == ["x", "y", "cat"]


def test_labels_that_could_not_be_loaded_again_are_refused(living, folder, embedder):
    new = paint(folder / "n.png", 53)
    with pytest.raises(ValueError, match=r"n\.png: expected a label of type str. .* 3"):
        living.add([new], labels=[3])
    for labels, message in (([], "expected 1 labels"), ([None], "type str")):
        with pytest.raises(ValueError, match=message):
            ImageSearch.from_collection(Collection([new], labels), embedder=embedder)
    assert len(living) == 12


def test_a_picture_from_outside_does_not_widen_the_collection(
    living, folder, tmp_path, embedder
):
    outside = paint(tmp_path / "elsewhere" / "y.png", 52)
    paint(tmp_path / "elsewhere" / "private.png", 53)
    paint(tmp_path / "private.png", 54)
    living.add([outside])
    for turn in range(3):  # before a save, after it, and after a second one
        assert living.root == folder
        assert living.items[living.id_of(outside)].label == ""
        new = paint(folder / "b" / f"new{turn}.png", 55 + turn)
        assert living.update().added == [new]
        assert living.items[living.id_of(new)].label == "b"
        living.save(tmp_path / "saved")
        living = ImageSearch.load(tmp_path / "saved", embedder=embedder)
        assert_true(living, folder)
    assert len(living) == 12 + 1 + 3
    outside.unlink()
    assert living.update().removed == []  # it is none of the folder's business
    assert [refusal.path for refusal in living.check()] == [outside]
    assert living.update(outside.parent).removed == [outside]


def test_with_a_root_given_nothing_outside_of_it_is_let_in(
    living, folder, tmp_path, embedder
):
    living.add([paint(tmp_path / "elsewhere" / "y.png", 52)])
    living.save(tmp_path / "saved")
    moved = folder.rename(tmp_path / "moved")
    with pytest.warns(RuntimeWarning, match=r"1 of 13 pictures were left.*y\.png"):
        loaded = ImageSearch.load(tmp_path / "saved", embedder=embedder, root=moved)
    assert (loaded.root, len(loaded), loaded.check()) == (moved, 12, [])
    assert [refusal.path.name for refusal in loaded.refused] == ["y.png"]
    assert len(loaded.update().unchanged) == 12


def test_a_collection_may_name_its_folder(folder, tmp_path, embedder):
    class_a = sorted((folder / "a").iterdir())
    chosen = Collection(class_a, ["a"] * len(class_a))
    assert ImageSearch.from_collection(chosen, embedder=embedder).root == folder / "a"
    living = ImageSearch.from_collection(chosen, embedder=embedder, root=folder)
    assert living.root == folder
    assert {path.parent.name for path in living.update().added} == {"b", "c"}
    assert set(living.labels) == {"a", "b", "c"}
    living = ImageSearch.from_collection(chosen, embedder=embedder, root=folder / "b")
    assert len(living.update().added) == 4
    living.save(tmp_path / "saved")
    assert len(ImageSearch.load(tmp_path / "saved", embedder=embedder)) == 8


needs_links = pytest.mark.skipif(os.name == "nt", reason="links need a right there")


@needs_links
def test_folders_are_the_same_however_they_are_spelled(living, folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    other_way = tmp_path / "link" / "a" / ".." / "a"
    (folder / "a" / "0.png").unlink()
    new = paint(folder / "a" / "new.png", 80)
    changes = living.update(other_way)
    assert (names(changes.removed), changes.added) == (["0.png"], [new])
    assert living.items[living.id_of(new)].label == "a"
    assert len(living.update(tmp_path / "link").unchanged) == 12
    assert living.root == folder
    newer = paint(folder / "b" / "newer.png", 81)
    assert living.add([tmp_path / "link" / "b" / "newer.png"]).added == [newer]
    assert living.items[living.id_of(newer)].label == "b"
    living.save(tmp_path / "saved")
    assert (
        f'"root": "{folder}"'.encode()
        in read_bundle(tmp_path / "saved").files["items.json"]
    )


@needs_links
def test_a_hard_link_is_another_name_not_another_picture(living, folder, tmp_path):
    known, link = folder / "b" / "1.png", folder / "a" / "00.png"  # scanned first
    os.link(known, link)
    os.link(known, tmp_path / "far.png")
    assert living.add([link, tmp_path / "far.png"]).unchanged == [known]
    changes = living.update()
    assert (changes.added, changes.removed, len(living)) == ([], [], 12)
    assert living.items[living.id_of(known)].label == "b"
    os.link(paint(tmp_path / "x.png", 82), tmp_path / "y.png")
    assert len(living.add([tmp_path / "x.png", tmp_path / "y.png"]).added) == 1
    known.unlink()
    changes = living.update()
    assert (changes.removed, changes.added) == ([known], [link])


def test_two_leading_slashes_are_one(living, folder, tmp_path, embedder):
    living.add([f"/{paint(tmp_path / 'y.png', 52)}"])
    living.save(tmp_path / "saved")
    assert len(ImageSearch.load(tmp_path / "saved", embedder=embedder)) == 13


def test_removing_takes_ids_and_paths_and_all_or_none(living, folder):
    known = folder / "a" / "0.png"
    for wrong in ([known, folder / "nowhere.png"], [3, 99], [known, -1], [2.7], [None]):
        with pytest.raises(KeyError):
            living.remove(wrong)
    assert len(living) == 12
    assert len(living.remove([known, 5, np.int64(5)]).removed) == 2
    with pytest.raises(KeyError, match="has the id 0"):
        living.path_of(0)
    with pytest.raises(KeyError, match=r"0\.png is not in this collection of 10"):
        living.id_of(known)
    living.remove(living.paths)
    assert (len(living), living.search(paint(known, 1))) == (0, [])
    assert living.add([known]).added == [known]


def test_bad_files_are_refused_and_the_rest_goes_in(living, folder):
    good = paint(folder / "a" / "good.png", 60)
    bad = folder / "a" / "bad.png"
    bad.write_bytes(good.read_bytes()[:-9])
    null = folder / "null\0character" / "a.png"
    changes = living.add([bad, good, folder / "none.png", null])
    assert changes.added == [good]
    refused = {refusal.path: refusal.reason for refusal in changes.refused}
    assert refused.keys() == {bad, folder / "none.png", null}
    assert "not a possible name" in refused[null]
    assert "no such file" in refused[folder / "none.png"]


def test_a_known_picture_that_is_damaged_leaves_the_index(living, folder):
    broken = folder / "a" / "0.png"
    broken.write_bytes(broken.read_bytes()[:-9])
    changes = living.update()
    assert changes.removed == [broken]
    assert [refusal.path for refusal in changes.refused] == [broken]
    assert broken not in living.paths


def test_a_picture_without_a_direction_is_refused_by_name(living, folder, embedder):
    class Blind(FakeEmbedder):
        pipeline = "blind"

        def embed(self, images, **options):
            vectors = super().embed(images)
            vectors[1], vectors[2] = 0, np.nan
            return vectors

    search = ImageSearch.from_folder(folder, embedder=Blind())
    assert len(search) == 10
    assert all("sees nothing" in refusal.reason for refusal in search.refused)


def test_a_query_without_a_direction_is_refused_by_name(living, tmp_path):
    living._embedder.embed = lambda images: np.zeros((1, 16), "float32")
    query = paint(tmp_path / "new.png", seed=99)
    with pytest.raises(PictureError, match=r"new\.png: the network sees nothing in it"):
        living.search(query)
    with pytest.raises(PictureError, match=r"\(bytes\): the network sees nothing"):
        living.search(query.read_bytes())


def test_a_known_query_needs_no_network(living, folder, tmp_path, monkeypatch):
    new = paint(tmp_path / "new.png", seed=99)
    expected = {path: living.search(path) for path in (folder / "a" / "0.png", new)}
    living.save(tmp_path / "saved")

    def refuse(*args, **kwargs):
        raise RuntimeError("a network was loaded")

    monkeypatch.setattr(kept, "load_embedder", refuse)
    loaded = ImageSearch.load(tmp_path / "saved")
    for path, hits in expected.items():
        assert [hit.id for hit in loaded.search(path)] == [hit.id for hit in hits]
        assert loaded.search(path.read_bytes()) == loaded.search(path)
    with pytest.raises(RuntimeError, match="a network was loaded"):
        loaded.search(paint(tmp_path / "newer.png", seed=100))


def test_a_mapped_search_finds_the_same_and_grows(living, folder, embedder, tmp_path):
    living.save(tmp_path / "saved")
    mapped = ImageSearch.load(tmp_path / "saved", embedder=embedder, mmap=True)
    query = folder / "a" / "0.png"
    assert mapped.search(query) == living.search(query)
    mapped.add([paint(tmp_path / "new.png", seed=99)])
    assert len(mapped) == len(living) + 1
    mapped.save(tmp_path / "saved")  # over the file that it was mapped from
    again = ImageSearch.load(tmp_path / "saved", embedder=embedder, mmap=True)
    assert again.search(query) == mapped.search(query)
    file = read_bundle(tmp_path / "saved").folder / "index.faiss"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(IndexFileError, match="damaged"):
        ImageSearch.load(tmp_path / "saved", embedder=embedder, mmap=True)


def test_an_empty_folder_does_not_empty_the_collection(living, folder, tmp_path):
    folder.rename(tmp_path / "unmounted")
    folder.mkdir()
    with pytest.raises(ValueError, match="would remove 12 .* mounted"):
        living.update()
    folder.rmdir()
    with pytest.raises(FileNotFoundError):
        living.update()
    assert len(living) == 12
    assert len(living.check()) == 12


def test_an_update_of_one_folder_leaves_the_others_alone(living, folder):
    shutil.rmtree(folder / "b")
    (folder / "a" / "0.png").unlink()
    new = paint(folder / "a" / "deep" / "n.png", 61)
    changes = living.update(folder / "a")
    assert names(changes.removed) == ["0.png"]
    assert living.items[living.id_of(new)].label == "a"
    assert len(living) == 12


def test_what_cannot_be_looked_at_is_kept(living, folder, monkeypatch):
    if os.geteuid() == 0:  # root sees everything: let the scan say so instead
        scan = images.scan_folder

        def blind(where):
            found = scan(where)
            left = [i for i, path in enumerate(found.paths) if "b" not in path.parts]
            found.paths = [found.paths[i] for i in left]
            found.labels = [found.labels[i] for i in left]
            found.refused.append(Refusal(folder / "b", "can't be listed"))
            return found

        monkeypatch.setattr(images, "scan_folder", blind)
    else:
        (folder / "b").chmod(0)
    try:
        changes = living.update()
    finally:
        (folder / "b").chmod(0o755)
    assert (changes.removed, len(living)) == ([], 12)
    assert [refusal.path for refusal in changes.refused] == [folder / "b"]


@every_factory
@pytest.mark.filterwarnings("ignore:.*Flat index is used instead")
def test_an_embedder_that_fails_half_way_changes_nothing(factory, tmp_path, embedder):
    for i in range(200):
        paint(tmp_path / "p" / f"{i}.png", i)
    living = ImageSearch.from_folder(tmp_path / "p", factory=factory, embedder=embedder)
    before = dict(living.items)
    for i in range(100, 180):  # three groups, of which the second fails
        paint(tmp_path / "p" / f"{i}.png", 1000 + i)
    (tmp_path / "p" / "3.png").unlink()
    calls = []

    def failing(images, **options):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return FakeEmbedder.embed(embedder, images)

    embedder.embed = failing
    with pytest.raises(KeyboardInterrupt):
        living.update()
    assert dict(living.items) == before
    assert living.index.ids.tolist() == list(before)
    changes = living.update()
    assert [len(paths) for paths in changes[:4]] == [0, 80, 1, 119]


def test_codes_are_retrained_on_vectors_from_the_cache_or_the_pictures(
    tmp_path, embedder, monkeypatch
):
    for i in range(200):
        paint(tmp_path / "p" / f"{i}.png", i)
    kind = "IVF4,PQ4x4np"
    living = ImageSearch.from_folder(tmp_path / "p", factory=kind, embedder=embedder)
    embedder.embedded = 0
    living.retrain()
    assert (embedder.embedded, living.index.age().trained_on) == (0, 200)
    monkeypatch.setenv("LOOKALIKE_CACHE", str(tmp_path / "another.sqlite"))
    living.retrain()
    assert embedder.embedded == 200
    monkeypatch.setenv("LOOKALIKE_CACHE", str(tmp_path / "third.sqlite"))
    (tmp_path / "p" / "7.png").unlink()
    with pytest.raises(LookalikeError, match=r"1 have neither; the first: .*7\.png"):
        living.retrain()
    living.update()
    living.retrain(factory="Flat")
    assert living.index.keeps_vectors and len(living) == 199


# ---------------------------------------------------------------- saved and moved
def test_a_bundle_moves_without_its_pictures(living, folder, tmp_path, embedder):
    living.save(tmp_path / "saved")
    (tmp_path / "far").mkdir()
    (tmp_path / "saved").rename(tmp_path / "far" / "away")
    folder.rename(tmp_path / "moved")
    loaded = ImageSearch.load(tmp_path / "far" / "away", embedder=embedder)
    query = tmp_path / "moved" / "a" / "0.png"
    hits = loaded.search(query, k=3)
    assert hits[0].path == folder / "a" / "0.png"
    with pytest.warns(RuntimeWarning, match=r"3 pictures can't be shown.*root="):
        loaded.show(query, hits)
    titles = [ax.get_title() for ax in plt.gcf().axes]
    assert ["can't be shown" in title for title in titles] == [False, True, True, True]
    plt.close("all")
    assert len(loaded.check()) == 12
    found = ImageSearch.load(
        tmp_path / "far" / "away", embedder=embedder, root=tmp_path / "moved"
    )
    assert found.search(query, k=3)[0].path == query
    assert not found.check()
    assert found.update() == ([], [], [], found.paths, [])


@pytest.mark.parametrize(
    "path",
    ["../secret.png", "a/../../secret.png", "/etc/passwd", "a//0.png", "./a/0.png"]
    + ["", "..", "a\\u0000.png"],
)
def test_paths_that_leave_the_root_are_refused(living, tmp_path, embedder, path):
    living.save(tmp_path / "saved")

    def change(files):
        files["items.json"] = files["items.json"].replace(b"a/0.png", path.encode(), 1)

    forge(tmp_path / "saved", change)
    with pytest.raises(IndexFileError, match=r"items\.json.*leaves the root"):
        ImageSearch.load(tmp_path / "saved", embedder=embedder)


def test_a_link_out_of_the_root_is_left_out_and_named(
    living, folder, tmp_path, embedder
):
    living.save(tmp_path / "saved")
    secret = paint(tmp_path / "secret.png", 66)
    (folder / "a" / "0.png").unlink()
    (folder / "a" / "0.png").symlink_to(secret)
    (folder / "b").rename(tmp_path / "b")
    (folder / "b").symlink_to(tmp_path / "b")
    with pytest.warns(RuntimeWarning, match=r"5 of 12 pictures were left out.*0\.png"):
        loaded = ImageSearch.load(tmp_path / "saved", embedder=embedder)
    assert len(loaded) == 12 - 1 - 4
    assert len(loaded.refused) == 5
    assert all("a link leads there" in why for _, why in loaded.refused)
    assert all(folder / "c" in p.parents or "a" in p.parts for p in loaded.paths)
    assert len(loaded.search(secret, k=20)) == 7


@needs_links
def test_pictures_taken_in_through_a_link_survive_a_save(folder, tmp_path, embedder):
    there = paint(tmp_path / "disk" / "x.png", 67)
    (folder / "vase").symlink_to(tmp_path / "disk")
    single = paint(tmp_path / "other disk" / "y.png", 68)
    (folder / "a" / "y.png").symlink_to(single)
    living = ImageSearch.from_folder(folder, embedder=embedder)
    assert (len(living), living.labels.count("vase")) == (14, 1)
    assert len(living.update().unchanged) == 14
    living.save(tmp_path / "saved")
    loaded = ImageSearch.load(tmp_path / "saved", embedder=embedder)
    assert (len(loaded), loaded.refused) == (14, [])
    assert loaded.items[loaded.id_of(there)].label == "vase"
    assert loaded.items[loaded.id_of(single)].label == "a"
    assert len(loaded.update().unchanged) == 14


@needs_links
def test_a_picture_from_outside_is_opened_by_its_real_name_only(
    living, tmp_path, embedder
):
    secret = paint(tmp_path / "secret.png", 68)
    outside = paint(tmp_path / "elsewhere" / "y.png", 52)
    living.add([outside])
    living.save(tmp_path / "saved")
    outside.unlink()
    outside.symlink_to(secret)
    with pytest.warns(RuntimeWarning, match=r"1 of 13 pictures were left out.*y\.png"):
        assert len(ImageSearch.load(tmp_path / "saved", embedder=embedder)) == 12


def test_a_bundle_of_before_collections_had_a_folder_is_read(
    living, folder, tmp_path, embedder
):
    living.save(tmp_path / "saved")

    def change(files):
        table = json.loads(files["items.json"])
        assert table.pop("folder") == "."
        files["items.json"] = json.dumps(table).encode()

    forge(tmp_path / "saved", change)
    loaded = ImageSearch.load(tmp_path / "saved", embedder=embedder)
    assert (loaded.root, len(loaded)) == (folder, 12)


@pytest.mark.parametrize("wrong", ["..", "/etc", "a/../..", 3, None, ""])
def test_a_folder_that_leaves_the_root_is_refused(living, tmp_path, embedder, wrong):
    living.save(tmp_path / "saved")

    def change(files):
        table = json.loads(files["items.json"]) | {"folder": wrong}
        files["items.json"] = json.dumps(table).encode()

    forge(tmp_path / "saved", change)
    with pytest.raises(IndexFileError, match=r"items\.json: expected the table"):
        ImageSearch.load(tmp_path / "saved", embedder=embedder)


@every_factory
def test_flipped_bits_and_truncations_of_a_search_are_refused(
    factory, folder, tmp_path, embedder
):
    for i in range(12, 200):
        paint(folder / "a" / f"{i}.png", i)
    living = ImageSearch.from_folder(folder, factory=factory, embedder=embedder)
    living.remove([1])
    living.save(tmp_path / "saved")
    rng = random.Random(0)
    for path in read_bundle(tmp_path / "saved").folder.iterdir():
        good = path.read_bytes()
        for _ in range(15):
            place = rng.randrange(len(good))
            flipped = bytearray(good)
            flipped[place] ^= 1 << rng.randrange(8)
            for spoiled in (flipped, good[:place]):
                path.write_bytes(spoiled)
                with pytest.raises(IndexFileError, match=path.name):
                    ImageSearch.load(tmp_path / "saved", embedder=embedder)
        path.write_bytes(good)
    assert len(ImageSearch.load(tmp_path / "saved", embedder=embedder)) == 199


FORKED = """
    import os, sys, time
    from types import SimpleNamespace
    from utils.collection.search import ImageSearch

    saved, *states = sys.argv[1:]
    embedder = SimpleNamespace(pipeline="fake-4px", input_size=4)
    searches = [ImageSearch.load(state, embedder=embedder) for state in states]
    print("ready", flush=True)
    for line in sys.stdin:  # each line is a child: importing takes longer than saving
        child = os.fork()
        if child == 0:
            try:
                start = time.perf_counter()
                searches[0].save(saved, replace=True)
                seconds = time.perf_counter() - start
                os.write(1, f"{os.getpid()} {seconds}\\n".encode())
                while True:
                    searches.reverse()
                    searches[0].save(saved, replace=True)
            finally:
                os._exit(1)  # a save that fails must not pass for a killed one
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        searches.reverse()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")
@pytest.mark.parametrize("factory", ["Flat", "HNSW8"])
def test_a_killed_save_leaves_the_old_search_or_the_new_one(
    factory, tmp_path, embedder
):
    """Two searches differ in all that is saved, and take turns under one name."""
    states, wholes, rng = [], [], random.Random(0)
    for number in range(2):
        where = tmp_path / f"pictures{number}"
        for i in range(200):
            paint(where / f"{'ab'[number]}{i % 3}" / f"{i}.png", 1000 * number + i)
        living = ImageSearch.from_folder(where, factory=factory, embedder=embedder)
        living.remove(range(number, 20))
        states.append(tmp_path / f"state{number}")
        living.save(states[-1])
        wholes.append(everything_in(living))
    saved, killed, halves = tmp_path / "saved", [], 0
    living.save(saved)
    command = [sys.executable, "-c", textwrap.dedent(FORKED), saved, *states]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, **pipes) as forker:
        assert forker.stdout.readline() == "ready\n"
        for _ in range(20):
            print(file=forker.stdin, flush=True)
            child, seconds = forker.stdout.readline().split()  # one save is done
            time.sleep(rng.random() * 2 * float(seconds))
            os.kill(int(child), signal.SIGKILL)
            assert int(forker.stdout.readline()) == -signal.SIGKILL
            halves += len(list(saved.glob("generation-*"))) == 2
            killed.append(everything_in(ImageSearch.load(saved, embedder=embedder)))
        forker.stdin.close()
    assert all(state in wholes for state in killed)
    assert all(state in killed for state in wholes)  # both have been met
    assert halves > 3  # the others were killed while nothing was half written


def everything_in(search: ImageSearch) -> tuple:
    vectors = search.index.reconstruct(search.items).tobytes()
    return list(search.items.items()), search.root, vectors, search.index.age()


# ------------------------------------------------------------------------- threads
@every_factory
def test_four_threads_search_and_change_at_once(factory, tmp_path, embedder):
    pictures = [paint(tmp_path / "p" / f"{i}.png", i) for i in range(200)]
    living = ImageSearch.from_folder(tmp_path / "p", factory=factory, embedder=embedder)
    errors, rounds, end = [], [0] * 4, time.monotonic() + 1.5
    stay, come_and_go = pictures[:100], pictures[100:]

    def searching(rng):
        hits = living.search(rng.choice(stay), k=7)
        assert len(hits) == 7
        assert all(hit.path in pictures for hit in hits)

    def changing(rng):
        chosen = rng.sample(come_and_go, 10)
        living.remove(
            [p for p in chosen if living._state.catalogue.find(p) is not None]
        )
        living.add(chosen)
        living.index.compact()

    def changing_folders(rng):
        living.update(tmp_path / "p")
        living.save(tmp_path / "saved")
        assert len(ImageSearch.load(tmp_path / "saved")) >= 180

    def work(number, step):
        rng = random.Random(number)
        try:
            while time.monotonic() < end:
                step(rng)
                rounds[number] += 1
        except Exception as error:
            errors.append(error)

    steps = [searching, searching, changing, changing_folders]
    threads = [threading.Thread(target=work, args=pair) for pair in enumerate(steps)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert min(rounds) > 0
    living.update()
    assert len(living) == 200
    assert_true(living, tmp_path)


# --------------------------------------------------------------------- real photos
def test_real_photos_are_found_among_their_own(photos, tmp_path):
    """Bundled weights must beat chance by far on photos that they never saw."""
    labels = [path for path in sorted(photos.iterdir()) if path.is_dir()][:8]
    chosen = tmp_path / "chosen"
    for label in labels:
        (chosen / label.name).mkdir(parents=True)
        for path in sorted(label.iterdir())[:12]:
            shutil.copy(path, chosen / label.name)
    found = ImageSearch.from_folder(chosen)
    assert not found.refused
    right = []
    for path, label in zip(found.paths, found.labels, strict=True):
        hits = found.search(path, k=5, exclude=[found.id_of(path)])
        right += [hit.label == label for hit in hits]
    assert np.mean(right) > 1.3 / len(labels)
