"""Shards together answer as one index would; a shard in a folder is old or new."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest

from utils.errors import IndexFileError, LookalikeError
from utils.indexes import faiss
from utils.scale import shards

FACTORIES = ["Flat", "SQ8", "IVF8,Flat", "IVF8,SQ8", "IVF8,PQ4x4np", "PCA8,IVF8,SQ8"]
K = 5


@pytest.fixture
def vectors(rng):
    vectors = rng.standard_normal((400, 16)).astype("float32")
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def rng():
    return np.random.default_rng(seed=0)


def split(trained, vectors, n=4):
    parts = np.array_split(np.arange(len(vectors)), n)
    return [shards.fill(trained, vectors[part], part) for part in parts]


def exact(queries, vectors, k=K):
    return np.argsort(-(queries @ vectors.T), axis=1, kind="stable")[:, :k]


@pytest.mark.parametrize("factory", FACTORIES)
def test_shards_answer_as_one_index_however_many_they_are(factory, vectors):
    trained = shards.train_empty(vectors, factory)
    one = shards.fill(trained, vectors, range(len(vectors)))
    similarities, ids = one.search(vectors[:20], K)
    for n in (1, 2, 4, 7):
        found = shards.search_shards(split(trained, vectors, n), vectors[:20], K)
        np.testing.assert_allclose(found[0], similarities, atol=1e-6)
        if "PQ" not in factory:  # equal codes tie
            np.testing.assert_array_equal(found[1], ids)


@pytest.mark.parametrize("factory", FACTORIES)
def test_merged_shards_are_one_index_and_stay_as_they_were(factory, vectors):
    trained = shards.train_empty(vectors, factory)
    parts = split(trained, vectors)
    merged = shards.merge_shards(parts)
    assert merged.ntotal == 400 and [part.ntotal for part in parts] == [100] * 4
    found = shards.search_shards(parts, vectors[:20], K)
    np.testing.assert_allclose(merged.search(vectors[:20], K)[0], found[0], atol=1e-6)


def test_flat_shards_are_exact(vectors):
    trained = shards.train_empty(vectors, "Flat")
    ids = shards.search_shards(split(trained, vectors), vectors[:9], K)[1]
    np.testing.assert_array_equal(ids, exact(vectors[:9], vectors))


@pytest.mark.parametrize("metric", ["inner_product", "l2"])
def test_best_lists_are_merged_as_numpy_sorts_them(metric, rng):
    numbers = rng.random((3, 7, 40)).astype("float32")
    ids = rng.permutation(3 * 7 * 40).reshape(3, 7, 40)
    sign = -1 if metric == "inner_product" else 1
    lists = []
    for values, names in zip(numbers, ids, strict=True):
        best = np.argsort(sign * values, axis=1)[:, :K]
        lists.append([np.take_along_axis(x, best, 1) for x in (values, names)])
    found = shards.merge_best(lists, K, metric)
    everything = np.concatenate(numbers, axis=1)
    np.testing.assert_array_equal(
        found[0], sign * np.sort(sign * everything, axis=1)[:, :K]
    )


def test_shards_smaller_than_k_are_padded_last(vectors):
    trained = shards.train_empty(vectors, "IVF8,Flat", nprobe=8)
    parts = [shards.fill(trained, vectors[i : i + 2], [i, i + 1]) for i in (0, 2)]
    ids = shards.search_shards(parts, vectors[:1], 9)[1]
    assert sorted(ids[0]) == [0, 1, 2, 3]
    empty = shards.fill(trained, vectors[:0], [])
    assert shards.search_shards([empty, *parts], vectors[:1], 1)[1] == [[0]]
    with pytest.raises(ValueError, match="must hold vectors"):
        shards.search_shards([empty], vectors[:1], 1)


def test_shards_of_two_metrics_are_never_searched_together(vectors):
    pair = [
        shards.fill(shards.train_empty(vectors, "Flat", metric=metric), vectors, ids)
        for metric, ids in (("l2", range(400)), ("inner_product", range(400, 800)))
    ]
    with pytest.raises(ValueError, match="inner_product in 16 .*, l2 in 16"):
        shards.search_shards(pair, vectors[:1], K)


@pytest.mark.parametrize("factory", ["SQ8", "IVF8,SQ8", "PCA8,Flat", "PQ4x4np"])
def test_shards_trained_apart_are_not_merged(factory, vectors):
    halves = [vectors[:200], vectors[200:]]
    apart = [
        shards.fill(shards.train_empty(half, factory), half, ids)
        for half, ids in zip(halves, (range(200), range(200, 400)), strict=True)
    ]
    with pytest.raises(ValueError, match=r"other cells or codes in shards \[1\]"):
        shards.merge_shards(apart)
    assert shards.search_shards(apart, vectors[:3], K)[1].shape == (3, K)


def test_an_id_in_two_shards_is_named(vectors):
    trained = shards.train_empty(vectors, "Flat")
    parts = [shards.fill(trained, vectors[:9], range(i, i + 9)) for i in (0, 8)]
    with pytest.raises(ValueError, match=r"such as 8 in shards \[0, 1\]"):
        shards.merge_shards(parts)


def test_bad_input_is_refused(vectors):
    trained = shards.train_empty(vectors, "Flat")
    with pytest.raises(ValueError, match="all different. Received: 3 ids, 2"):
        shards.fill(trained, vectors[:3], [1, 1, 2])
    with pytest.raises(ValueError, match="one for each of 3 vectors"):
        shards.fill(trained, vectors[:3], [1, 2])
    with pytest.raises(ValueError, match="dimension, 16"):
        shards.fill(trained, vectors[:3, :4], [1, 2, 3])
    with pytest.raises(ValueError, match="Row 0 holds NaN"):
        shards.fill(trained, vectors[:1] * np.float32("nan"), [1])
    with pytest.raises(ValueError, match="nprobe needs an index with cells"):
        shards.train_empty(vectors, "Flat", nprobe=3)
    with pytest.raises(ValueError, match="one index or more"):
        shards.search_shards([], vectors, K)


# ------------------------------------------------------------------------- on disk


def test_an_index_merged_on_disk_answers_as_in_memory(vectors, tmp_path, capfd):
    trained = shards.train_empty(vectors, "IVF8,SQ8", nprobe=4)
    parts = split(trained, vectors)
    for _ in range(2):  # the second replaces the first
        merged = shards.merge_on_disk(trained, parts, tmp_path / "new")
    assert merged.ntotal == 400 and trained.ntotal == 0
    moved = (tmp_path / "new").rename(tmp_path / "moved")
    opened = shards.open_on_disk(moved)
    for index in (merged, opened):
        found = index.search(vectors[:9], K)
        np.testing.assert_array_equal(
            found[1], shards.search_shards(parts, vectors[:9], K)[1]
        )
    assert sorted(p.name for p in moved.iterdir()) == ["cells.ivfdata", "header.faiss"]
    assert capfd.readouterr().out == ""


def test_on_disk_only_with_cells_and_only_what_is_there(vectors, tmp_path):
    trained = shards.train_empty(vectors, "Flat")
    with pytest.raises(ValueError, match="empty index with cells"):
        shards.merge_on_disk(trained, [trained], tmp_path)
    with pytest.raises(IndexFileError, match="Merge the shards again"):
        shards.open_on_disk(tmp_path)


def test_a_shard_is_taken_over_when_the_reader_refreshes(vectors, tmp_path):
    trained = shards.train_empty(vectors, "Flat")
    for number, shard in enumerate(split(trained, vectors)):
        shards.publish(tmp_path, f"shard_{number}", shard)
    reader = shards.ShardSet(tmp_path)
    np.testing.assert_array_equal(
        reader.search(vectors[:9], K)[1], exact(vectors[:9], vectors)
    )
    assert reader.refresh() == []
    shards.publish(tmp_path, "shard_3", shards.fill(trained, vectors[:1], [999]))
    assert reader.search(vectors[399:], 1)[1] == [[399]], "not yet"
    assert reader.refresh() == ["shard_3"]
    assert 999 in reader.search(vectors[:1], 2)[1]
    assert reader.search(vectors[399:], 1)[1] != [[399]]


def test_readers_see_the_old_shard_or_the_new_one_never_a_mixture(vectors, tmp_path):
    """Version v of a shard holds one vector ten times, with ids that belong to v."""
    trained = shards.train_empty(vectors, "Flat")

    def version(v):
        ids = range(100 * v, 100 * v + 10)
        return shards.fill(trained, np.repeat(vectors[:1], 10, axis=0), ids)

    shards.publish(tmp_path, "moving", version(1))
    stop, seen, errors = threading.Event(), set(), []

    def read():
        try:
            reader = shards.ShardSet(tmp_path)
            while not stop.is_set():
                reader.refresh()
                versions = set((reader.search(vectors[:1], 10)[1] // 100).ravel())
                assert len(versions) == 1, versions
                seen.update(versions)
        except BaseException as error:
            errors.append(error)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for v in range(2, 12):
        shards.publish(tmp_path, "moving", version(v))
    stop.set()
    for reader in readers:
        reader.join()
    assert not errors, errors
    assert seen <= set(range(1, 12)) and seen


def test_a_shard_that_does_not_fit_is_not_published(vectors, tmp_path):
    trained = shards.train_empty(vectors, "Flat")
    shards.publish(tmp_path, "a", shards.fill(trained, vectors[:5], range(5)))
    with pytest.raises(ValueError, match=r"such as 4 in shards"):
        shards.publish(tmp_path, "b", shards.fill(trained, vectors[:5], range(4, 9)))
    other = shards.train_empty(vectors[:, :8].copy(), "Flat")
    with pytest.raises(ValueError, match="one dimension"):
        shards.publish(
            tmp_path, "b", shards.fill(other, vectors[:5, :8].copy(), range(9, 14))
        )
    with pytest.raises(ValueError, match="name must be letters"):
        shards.publish(tmp_path, "../a", trained)
    assert shards.shard_names(tmp_path) == ["a"]


def test_a_damaged_or_missing_shard_is_named(vectors, tmp_path):
    with pytest.raises(IndexFileError, match="expected shards"):
        shards.ShardSet(tmp_path)
    trained = shards.train_empty(vectors, "Flat")
    shards.publish(tmp_path, "a", shards.fill(trained, vectors[:5], range(5)))
    path = next(tmp_path.glob("a/generation-*/index.faiss"))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(IndexFileError, match="index.faiss"):
        shards.ShardSet(tmp_path)


# ----------------------------------------------------------------------------- gpu


def test_a_gpu_is_used_when_it_is_named(vectors, monkeypatch):
    """By a stand-in: the faiss of most machines has no GPU."""
    called = []
    gpu = SimpleNamespace(
        StandardGpuResources=lambda: "resources",
        get_num_gpus=lambda: 2,
        index_cpu_to_gpu=lambda *what: called.append(what) or "on the GPU",
    )
    monkeypatch.setattr(shards, "faiss", gpu)
    index = faiss.IndexFlatIP(4)
    assert shards.place(index, "cpu") is index and not called
    assert shards.place(index, "gpu") == "on the GPU"
    assert shards.place(index, "gpu:1") == "on the GPU"
    assert called == [("resources", 0, index), ("resources", 1, index)]
    with pytest.raises(LookalikeError, match="gpu:2: expected that GPU. Received: 2"):
        shards.place(index, "gpu:2")


@pytest.mark.parametrize("where", ["GPU", "cuda", "gpu:x", "cpu:1", ""])
def test_other_places_are_refused(where):
    with pytest.raises(ValueError, match="where must be"):
        shards.place(faiss.IndexFlatIP(4), where)


@pytest.mark.skipif(
    hasattr(faiss, "StandardGpuResources"), reason="this FAISS is built for GPUs"
)
def test_without_a_gpu_it_says_so():
    with pytest.raises(LookalikeError, match="Install faiss-gpu"):
        shards.place(faiss.IndexFlatIP(4), "gpu")


@pytest.mark.skipif(
    not hasattr(faiss, "StandardGpuResources") or not faiss.get_num_gpus(),
    reason="needs faiss-gpu and a GPU",
)
def test_a_gpu_answers_as_the_processor(vectors):
    one = shards.fill(shards.train_empty(vectors, "IVF8,Flat"), vectors, range(400))
    found = shards.place(one, "gpu").search(vectors[:9], K)
    np.testing.assert_array_equal(found[1], one.search(vectors[:9], K)[1])
