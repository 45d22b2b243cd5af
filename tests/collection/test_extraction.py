"""Files to vectors: each computed once, in the files' order, in little memory."""

import shutil
import threading
import tracemalloc

import numpy as np
import pytest
from painted import FakeEmbedder, paint
from PIL import Image

from utils.collection import extraction
from utils.collection.cache import VectorCache
from utils.collection.catalogue import Item
from utils.collection.extraction import (
    BATCH,
    NO_DIRECTION,
    embed_files,
    exact_vectors,
)
from utils.errors import LookalikeError
from utils.images import load_picture, sha256_of


def test_an_interrupted_extraction_keeps_what_is_done(tmp_path, embedder, monkeypatch):
    paths = [paint(tmp_path / f"{i}.png", seed=i) for i in range(200)]
    whole = embedder.embed

    def interrupted(images, **options):
        if embedder.embedded >= 64:
            raise KeyboardInterrupt
        return whole(images, **options)

    embedder.embed = interrupted
    with pytest.raises(KeyboardInterrupt):
        embed_files(paths, embedder)
    embedder.embed = whole
    before = embedder.embedded
    embedded = embed_files(paths, embedder)
    assert embedder.embedded - before == 200 - 64
    assert embedded.positions == list(range(200))
    assert threading.active_count() < 20  # its threads have gone


def test_a_blind_picture_takes_no_other_vector_with_it(tmp_path, embedder):
    paths = [paint(tmp_path / f"{i}.png", seed=i) for i in range(6)]
    whole = embedder.embed
    blind = load_picture(paths[2], 4)

    def embed(images, **options):
        vectors = whole(images, **options)
        vectors[(images == blind).all(axis=(1, 2, 3))] = 0
        return vectors

    embedder.embed = embed
    paths[4].write_bytes(b"no picture")
    embedded = embed_files(paths, embedder)
    assert embedded.positions == [0, 1, 3, 5]
    assert [r.path for r in embedded.refused] == [paths[2], paths[4]]
    for vector, key, position in zip(
        embedded.vectors, embedded.sha256s, embedded.positions, strict=True
    ):
        alone = FakeEmbedder().embed(load_picture(paths[position], 4)[None])[0]
        np.testing.assert_allclose(vector, alone, atol=1e-6)
        assert key == sha256_of(paths[position])


def test_each_vector_belongs_to_its_file_however_fast_it_is_read(tmp_path, embedder):
    paths = []
    for i in range(150):
        side = 400 if i % 10 == 0 else 4  # some take far longer than others
        noise = np.random.default_rng(i).integers(0, 256, (side, side, 3), np.uint8)
        paths.append(tmp_path / f"{i:03}.png")
        Image.fromarray(noise).save(paths[-1])
    paths[40].write_bytes(b"no picture")
    shutil.copy(paths[3], paths[120])
    embedded = embed_files(paths, embedder)
    assert [refusal.path for refusal in embedded.refused] == [paths[40]]
    assert embedded.positions == [i for i in range(150) if i != 40]
    assert embedder.embedded == 148  # a picture that is there twice is embedded once
    for vector, position in zip(embedded.vectors, embedded.positions, strict=True):
        alone = FakeEmbedder().embed(load_picture(paths[position], 4)[None])[0]
        np.testing.assert_allclose(vector, alone, atol=1e-6)


def test_memory_holds_one_file_at_a_time(tmp_path, embedder):
    for i in range(40):
        noise = np.random.default_rng(i).integers(0, 256, (600, 600, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{i}.bmp")  # 1.1 MB each
    paths = sorted(tmp_path.glob("*.bmp"))
    tracemalloc.start()
    assert len(embed_files(paths, embedder).positions) == 40
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10e6


def test_one_vector_per_file_and_positions_that_fit(folder, embedder):
    (folder / "b/broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    paths = [folder / "a/0.png", folder / "b/broken.jpg", folder / "b/1.png"]
    embedded = embed_files(paths, embedder)
    assert embedded.positions == [0, 2]
    assert embedded.refused[0].path == paths[1]
    alone = embed_files(paths[2:], embedder).vectors
    np.testing.assert_allclose(embedded.vectors[1:], alone, atol=1e-5)


def test_the_second_time_nothing_is_computed(folder, embedder):
    paths = sorted(folder.glob("*/*.png"))
    first = embed_files(paths, embedder).vectors
    assert embedder.embedded == 12
    np.testing.assert_array_equal(embed_files(paths, embedder).vectors, first)
    assert embedder.embedded == 12


def test_a_changed_picture_gets_a_new_vector(folder, embedder):
    path = folder / "a/0.png"
    before = embed_files([path], embedder).vectors
    shutil.copy(folder / "b/1.png", path)
    after = embed_files([path], embedder).vectors
    assert not np.allclose(before, after)


def test_two_copies_of_one_picture_are_computed_once(folder, embedder, tmp_path):
    shutil.copy(folder / "a/0.png", folder / "b/copy.png")
    paths = [folder / "a/0.png", folder / "b/copy.png", folder / "c/2.png"]
    vectors = embed_files(paths, embedder).vectors
    assert embedder.embedded == 2
    np.testing.assert_array_equal(vectors[0], vectors[1])


def test_a_cache_of_ones_own_stays_open(folder, embedder, tmp_path):
    with VectorCache(tmp_path / "own.sqlite") as cache:
        embed_files([folder / "a/0.png"], embedder, cache=cache)
        embed_files([folder / "b/1.png"], embedder, cache=cache)
        sha256 = sha256_of(folder / "b/1.png")
        assert sha256 in cache.get(embedder.pipeline, [sha256])


def test_a_copy_in_a_later_batch_is_computed_once(tmp_path, embedder):
    paths = [paint(tmp_path / f"{i}.png", seed=i) for i in range(BATCH + 8)]
    paths.append(tmp_path / "copy.png")
    shutil.copy(paths[0], paths[-1])
    vectors = embed_files(paths, embedder).vectors
    assert embedder.embedded == BATCH + 8
    np.testing.assert_array_equal(vectors[-1], vectors[0])


def test_the_dimension_is_that_of_the_vectors(tmp_path, embedder):
    paths = [paint(tmp_path / f"{i}.png", seed=i) for i in range(3)]
    whole = embedder.embed
    embedder.embed = lambda images: whole(images)[:, :5]
    assert embed_files(paths, embedder).vectors.shape == (3, 5)


def test_without_a_vector_the_dimension_is_that_of_the_embedder(tmp_path, embedder):
    embedder.dimension = 7
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    assert embed_files([], embedder).vectors.shape == (0, 7)
    assert embed_files([broken], embedder).vectors.shape == (0, 7)


def test_nothing_to_do_needs_no_network(monkeypatch):
    monkeypatch.setattr(extraction, "load_embedder", lambda: pytest.fail("loaded"))
    vectors, *others = embed_files([])
    assert (vectors.shape, vectors.dtype) == ((0, 2048), np.float32)
    assert others == [[], [], []]


def test_copies_of_a_blind_picture_are_all_refused(tmp_path, embedder):
    paths = [paint(tmp_path / f"{i}.png", seed=i) for i in range(BATCH + 8)]
    paths.append(tmp_path / "copy.png")
    shutil.copy(paths[0], paths[-1])
    whole, blind = embedder.embed, load_picture(paths[0], 4)

    def embed(images):
        return whole(images) * ~(images == blind).all(axis=(1, 2, 3))[:, None]

    embedder.embed = embed
    embedded = embed_files(paths, embedder)
    assert [refusal.path for refusal in embedded.refused] == [paths[0], paths[-1]]
    assert all(NO_DIRECTION == refusal.reason for refusal in embedded.refused)
    assert len(embedded.vectors) == BATCH + 7


def test_a_bar_is_shown_only_if_it_was_asked_for(
    tmp_path, embedder, capfd, monkeypatch
):
    path = paint(tmp_path / "0.png", seed=0)
    embed_files([path], embedder)
    monkeypatch.setenv("TQDM_DISABLE", "1")
    embed_files([path], embedder, progress=True)
    assert capfd.readouterr().err == ""
    monkeypatch.delenv("TQDM_DISABLE")
    embed_files([path], embedder, progress=True)
    assert "pictures" in capfd.readouterr().err


def test_exact_vectors_come_from_the_cache_or_the_picture_or_not_at_all(
    tmp_path, embedder
):
    paths = [paint(tmp_path / f"{seed}.png", seed) for seed in range(3)]
    embedded = embed_files(paths[:2], embedder)
    items = [Item(path, "", sha256_of(path)) for path in paths]
    vectors = exact_vectors(items[:2], embedder.pipeline, lambda: pytest.fail("loaded"))
    np.testing.assert_array_equal(vectors, embedded.vectors)
    assert exact_vectors(items, embedder.pipeline, lambda: embedder).shape == (3, 16)
    assert embedder.embedded == 3
    items[2] = items[2]._replace(sha256="0" * 64)
    with pytest.raises(LookalikeError, match=r"1 have neither; the first: .*2\.png"):
        exact_vectors(items, embedder.pipeline, lambda: embedder)
