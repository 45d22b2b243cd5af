"""Files to vectors: each computed once, in the files' order, in little memory."""

import shutil
import threading
import tracemalloc

import numpy as np
import pytest
from painted import FakeEmbedder, paint
from PIL import Image

from utils.collection.cache import VectorCache
from utils.collection.extraction import embed_files
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
