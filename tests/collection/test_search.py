"""The whole way from a folder to hits, with an untrained network: quick and exact."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from utils import images
from utils.collection.bundles import read_bundle
from utils.collection.cache import VectorCache
from utils.collection.extraction import embed_files
from utils.collection.search import ImageSearch
from utils.embeddings import load_embedder
from utils.errors import IndexFileError, PictureError

SIZE = 32


@pytest.fixture(scope="module")
def embedder():
    return load_embedder("untrained", input_size=SIZE, verbose=False)


@pytest.fixture
def folder(tmp_path):
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
def search(folder, embedder):
    return ImageSearch.from_folder(folder, embedder=embedder)


def test_folders_become_labels_and_bad_files_are_named(search):
    assert sorted(search.labels) == ["", "cat", "cat", "cat", "dog", "dog"]
    assert [refusal.path.name for refusal in search.refused] == ["broken.jpg"]
    assert search.refused[0].reason


def test_each_picture_is_its_own_nearest_neighbour(search):
    for path, label in zip(search.paths, search.labels, strict=True):
        hit = search.search(path, k=1)[0]
        assert (hit.path, hit.label, hit.rank) == (path, label, 1)
        assert hit.score == pytest.approx(1, abs=1e-4)


def test_every_door_gives_the_same_hits(search):
    path = search.paths[2]
    image = Image.open(path)
    doors = [path, str(path), path.read_bytes(), image, np.asarray(image)]
    found = [[hit.id for hit in search.search(door)] for door in doors]
    assert found == [found[0]] * len(doors)


def test_a_query_is_left_out_by_id(search):
    path = search.paths[3]
    hits = search.search(path, k=3, exclude=[search.id_of(path)])
    assert len(hits) == 3
    assert path not in [hit.path for hit in hits]
    assert [hit.rank for hit in hits] == [1, 2, 3]


def test_asking_for_too_many_gives_all_there_are(search):
    assert len(search.search(search.paths[0], k=100)) == len(search) == 6


def test_scores_fall_from_rank_to_rank(search):
    scores = [hit.score for hit in search.search(search.paths[0], k=6)]
    assert scores == sorted(scores, reverse=True)


def test_a_query_that_is_no_picture_is_named(search, tmp_path):
    with pytest.raises(PictureError, match="nowhere.jpg"):
        search.search(tmp_path / "nowhere.jpg")
    with pytest.raises(ValueError, match="k must be at least 1"):
        search.search(search.paths[0], k=0)
    with pytest.raises(KeyError, match="not in this collection of 6"):
        search.id_of(tmp_path / "nowhere.jpg")


def test_an_empty_folder_is_refused_by_name(tmp_path, embedder):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty: expected pictures .*\.jpg"):
        ImageSearch.from_folder(tmp_path / "empty", embedder=embedder)
    with pytest.raises(FileNotFoundError):
        ImageSearch.from_folder(tmp_path / "nowhere", embedder=embedder)


def test_one_vector_a_file_and_positions_that_fit(folder, embedder):
    paths = [folder / "cat/0.png", folder / "dog/broken.jpg", folder / "dog/1.png"]
    embedded = embed_files(paths, embedder)
    assert embedded.positions == [0, 2]
    assert embedded.refused[0].path == paths[1]
    alone = embed_files(paths[2:], embedder).vectors
    np.testing.assert_allclose(embedded.vectors[1:], alone, atol=1e-5)


def test_the_second_time_nothing_is_computed(folder, embedder, monkeypatch):
    paths = sorted(folder.glob("*/*.png"))
    first = embed_files(paths, embedder).vectors

    def refuse(*args, **kwargs):
        raise RuntimeError("computed again")

    monkeypatch.setattr(type(embedder), "embed", refuse)
    np.testing.assert_array_equal(embed_files(paths, embedder).vectors, first)


def test_a_changed_picture_gets_a_new_vector(folder, embedder):
    path = folder / "cat/0.png"
    before = embed_files([path], embedder).vectors
    shutil.copy(folder / "dog/0.png", path)
    after = embed_files([path], embedder).vectors
    assert not np.allclose(before, after)


def test_two_copies_of_one_picture_are_computed_once(folder, embedder, tmp_path):
    shutil.copy(folder / "cat/0.png", folder / "dog/copy.png")
    with VectorCache(tmp_path / "own.sqlite") as cache:
        paths = [folder / "cat/0.png", folder / "dog/copy.png"]
        vectors = embed_files(paths, embedder, cache=cache).vectors
    np.testing.assert_array_equal(vectors[0], vectors[1])


def test_a_cache_of_ones_own_stays_open(folder, embedder, tmp_path):
    with VectorCache(tmp_path / "own.sqlite") as cache:
        embed_files([folder / "cat/0.png"], embedder, cache=cache)
        embed_files([folder / "cat/1.png"], embedder, cache=cache)
        key = images.sha256_of(folder / "cat/1.png")
        assert key in cache.get(embedder.pipeline, [key])


def test_an_update_without_new_pictures_needs_no_network(search, tmp_path):
    search.save(tmp_path / "saved")
    loaded = ImageSearch.load(tmp_path / "saved")  # would load the bundled weights
    for gone in ("cat/0.png", "dog/broken.jpg"):
        loaded.root.joinpath(gone).unlink()
    changes = loaded.update()
    assert (len(changes.removed), len(changes.unchanged)) == (1, 5)
    assert loaded._embedder is None


# ------------------------------------------------------------------ save and load
def test_a_loaded_search_finds_the_same(search, embedder, tmp_path):
    search.save(tmp_path / "saved")
    loaded = ImageSearch.load(tmp_path / "saved", embedder=embedder)
    for path in search.paths:
        assert loaded.search(path) == search.search(path)


def test_saving_again_replaces_the_old_search(search, embedder, tmp_path, folder):
    search.save(tmp_path / "saved")
    (folder / "cat/0.png").unlink()
    ImageSearch.from_folder(folder, embedder=embedder).save(tmp_path / "saved")
    assert len(ImageSearch.load(tmp_path / "saved", embedder=embedder)) == 5


@pytest.mark.skipif(os.name == "nt", reason="Windows names are always Unicode")
def test_names_that_are_not_valid_utf8_survive(folder, embedder, tmp_path):
    odd = os.path.join(os.fsencode(folder), b"cat", b"\xff\n'\xf0\x9f\x90\xb1.png")
    shutil.copy(os.fsencode(folder / "cat/0.png"), odd)
    search = ImageSearch.from_folder(folder, embedder=embedder)
    search.save(tmp_path / "saved")
    loaded = ImageSearch.load(tmp_path / "saved", embedder=embedder)
    assert os.fsdecode(odd) in [str(path) for path in loaded.paths]
    assert loaded.search(loaded.paths[0], k=1)[0].id == 0
    loaded.remove([os.fsdecode(odd)])
    assert loaded.update().added == [Path(os.fsdecode(odd))]


def test_vectors_of_other_weights_are_refused(search, tmp_path, monkeypatch):
    search.save(tmp_path / "saved")
    other = load_embedder("untrained", input_size=64, verbose=False)
    with pytest.raises(IndexFileError, match="cannot be compared"):
        ImageSearch.load(tmp_path / "saved", embedder=other)
    loaded = ImageSearch.load(tmp_path / "saved")
    monkeypatch.setenv("LOOKALIKE_WEIGHTS", "untrained")  # 224 pixels, not 32
    with pytest.raises(IndexFileError, match="Pass the embedder it was made with"):
        loaded.search(np.zeros((8, 8, 3), dtype="uint8"))


def test_damaged_files_are_refused_by_name(search, embedder, tmp_path):
    search.save(tmp_path / "saved")
    for path in read_bundle(tmp_path / "saved").folder.iterdir():
        good = path.read_bytes()
        for spoiled in (good[:-5], good[:-1] + b"?", b""):
            path.write_bytes(spoiled)
            with pytest.raises(IndexFileError, match=f"{path.name}: expected"):
                ImageSearch.load(tmp_path / "saved", embedder=embedder)
        path.write_bytes(good)
    with pytest.raises(IndexFileError, match="nowhere"):
        ImageSearch.load(tmp_path / "nowhere")


def test_an_older_format_is_refused_with_the_mend(embedder):
    old = Path(__file__).parents[1] / "data" / "bundle_format_1"
    with pytest.raises(IndexFileError, match="Received format 1.*from_folder"):
        ImageSearch.load(old, embedder=embedder)


# --------------------------------------------------------------------- real photos
def test_real_photos_are_found_among_their_own(photos, tmp_path):
    """Bundled weights must beat chance by far on photos that they never saw."""
    labels = [path for path in sorted(photos.iterdir()) if path.is_dir()][:8]
    chosen = tmp_path / "chosen"
    for label in labels:
        (chosen / label.name).mkdir(parents=True)
        for path in sorted(label.iterdir())[:12]:
            shutil.copy(path, chosen / label.name)
    search = ImageSearch.from_folder(chosen)
    assert not search.refused
    right = []
    for path, label in zip(search.paths, search.labels, strict=True):
        hits = search.search(path, k=5, exclude=[search.id_of(path)])
        right += [hit.label == label for hit in hits]
    assert np.mean(right) > 1.3 / len(labels)
