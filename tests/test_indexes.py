"""FAISS against NumPy, and files that cannot be trusted."""

import os

import faiss
import numpy as np
import pytest

from utils.errors import IndexFileError
from utils.indexes import (
    build_index,
    check_vectors,
    load_index,
    parse_index,
    save_index,
    search_index,
)


@pytest.fixture
def vectors():
    drawn = np.random.default_rng(seed=0).normal(size=(200, 16)).astype("float32")
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def test_a_flat_index_finds_what_brute_force_finds(vectors):
    similarities, ids = search_index(build_index(vectors), vectors[:20], 5)
    brute = vectors[:20] @ vectors.T
    np.testing.assert_array_equal(ids, np.argsort(-brute, axis=1)[:, :5])
    np.testing.assert_allclose(similarities, np.sort(brute)[:, :-6:-1], atol=1e-6)


def test_distances_name_the_same_neighbours_on_unit_vectors(vectors):
    distances, ids = search_index(build_index(vectors, metric="l2"), vectors[:9], 4)
    similarities, same = search_index(build_index(vectors), vectors[:9], 4)
    np.testing.assert_array_equal(ids, same)
    np.testing.assert_allclose(distances, 2 - 2 * similarities, atol=1e-5)


@pytest.mark.parametrize("factory", ["IVF4,Flat", "HNSW8", "SQ8", "PQ4np"])
def test_other_factory_strings_are_trained_and_filled(vectors, factory):
    index = build_index(np.tile(vectors, (3, 1)), factory)
    assert (index.ntotal, index.is_trained) == (600, True)


def test_more_than_there_is_is_not_padded(vectors):
    similarities, ids = search_index(build_index(vectors[:3]), vectors[:1], 10)
    assert sorted(ids[0].tolist()) == [0, 1, 2]
    assert np.isfinite(similarities).all()


def test_a_numpy_integer_is_a_fine_k(vectors):
    assert search_index(build_index(vectors), vectors, np.int64(2))[1].shape == (200, 2)


@pytest.mark.parametrize("k", [2.5, "2", None, 0, -1, True])
def test_a_count_that_is_no_whole_number_from_1_is_explained(vectors, k):
    message = f"k must be a whole number of at least 1. Received: {k!r}"
    with pytest.raises(ValueError, match=message):
        search_index(build_index(vectors), vectors, k)


def test_a_wrong_dimension_is_explained(vectors):
    with pytest.raises(ValueError, match="dimension, 16. Received: 8"):
        search_index(build_index(vectors), vectors[:, :8], 1)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda v: v[0], r"add a batch axis"),
        (lambda v: v.astype("float64"), r"must be float32. Received: float64"),
        (lambda v: np.where(np.eye(200, 16) > 0, np.nan, v), r"Row 0 holds NaN"),
        (lambda v: np.where(np.eye(200, 16) > 0, 1e20, v), r"Row 0 is not. Normalise"),
        (lambda v: v[:, :0], r"must have shape \(n, d\)"),
    ],
    ids=["one vector", "float64", "NaN", "huge", "empty"],
)
def test_vectors_that_faiss_would_take_in_silence_are_refused(vectors, spoil, message):
    with pytest.raises(ValueError, match=f"(?i){message}"):
        build_index(spoil(vectors))


def test_unknown_factories_and_metrics_are_refused(vectors):
    with pytest.raises(ValueError, match="factory string .* Received: 'Nonsense'"):
        build_index(vectors, "Nonsense")
    with pytest.raises(ValueError, match="factory string .* Received: 'AAA"):
        build_index(vectors, "A" * 20_000)  # FAISS would end the process
    with pytest.raises(ValueError, match="metric must be one of .*'cosine'"):
        build_index(vectors, metric="cosine")
    with pytest.raises(ValueError, match="metric must be one that FAISS has for HNSW"):
        build_index(vectors, "HNSW8_PQ4x4np")  # FAISS would take l2 without a word


def test_a_saved_index_finds_the_same(vectors, tmp_path):
    index = build_index(vectors)
    sha256 = save_index(index, tmp_path / "some.faiss")
    loaded = load_index(tmp_path / "some.faiss", sha256=sha256)
    for found, expected in zip(
        search_index(loaded, vectors, 5), search_index(index, vectors, 5), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


def test_saving_leaves_nothing_beside_the_file(vectors, tmp_path):
    save_index(build_index(vectors), tmp_path / "some.faiss")
    assert [path.name for path in tmp_path.iterdir()] == ["some.faiss"]


def test_a_full_disk_is_an_error_and_the_old_file_stays(vectors, tmp_path, monkeypatch):
    path = tmp_path / "some.faiss"
    save_index(build_index(vectors), path)
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("utils.indexes.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save_index(build_index(vectors[:5]), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_every_flipped_byte_is_noticed(vectors, tmp_path):
    path = tmp_path / "some.faiss"
    sha256 = save_index(build_index(vectors[:4]), path)
    good = path.read_bytes()
    for position in range(0, len(good), 7):
        spoiled = bytearray(good)
        spoiled[position] ^= 1
        path.write_bytes(spoiled)
        with pytest.raises(IndexFileError, match="damaged"):
            load_index(path, sha256=sha256)


def test_a_truncated_or_foreign_file_is_refused_by_name(vectors, tmp_path):
    path = tmp_path / "some.faiss"
    save_index(build_index(vectors), path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(IndexFileError, match=r"some\.faiss: expected a FAISS index"):
        load_index(path)
    path.write_text("hello")
    with pytest.raises(IndexFileError, match=r"some\.faiss: expected a FAISS index"):
        load_index(path)
    with pytest.raises(IndexFileError, match="cannot be read"):
        load_index(tmp_path / "missing.faiss")


def test_a_file_that_is_to_be_mapped_is_checked_too(vectors, tmp_path):
    path = tmp_path / "some.faiss"
    sha256 = save_index(build_index(vectors), path)
    mapped = load_index(path, sha256=sha256, mmap=True)
    assert mapped.ntotal == len(vectors)
    whole = path.read_bytes()
    path.unlink()  # the mapped file must not change: this is another one
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(IndexFileError, match="its sha256 differs"):
        load_index(path, sha256=sha256, mmap=True)
    path.write_bytes(whole[:40])
    with pytest.raises(IndexFileError, match="expected a FAISS index, received 40"):
        load_index(path, mmap=True)
    with pytest.raises(IndexFileError, match="cannot be read"):
        load_index(tmp_path / "missing.faiss", mmap=True)


def test_loading_puts_faiss_own_limits_back_whatever_happens(vectors, tmp_path):
    limits = (
        faiss.get_deserialization_vector_byte_limit,
        faiss.get_deserialization_loop_limit,
    )
    before = [limit() for limit in limits]
    save_index(build_index(vectors), tmp_path / "some.faiss")
    load_index(tmp_path / "some.faiss")
    assert [limit() for limit in limits] == before
    (tmp_path / "some.faiss").write_text("no index")
    with pytest.raises(IndexFileError):
        load_index(tmp_path / "some.faiss")
    assert [limit() for limit in limits] == before


def test_a_small_file_that_claims_gigabytes_is_refused_cheaply(vectors):
    content = bytearray(faiss.serialize_index(build_index(vectors)).tobytes())
    size = vectors.size.to_bytes(8, "little")
    assert content.count(size) == 1
    start = content.index(size)
    content[start : start + 8] = (2**33).to_bytes(8, "little")
    with pytest.raises(IndexFileError, match="expected a FAISS index"):
        parse_index(bytes(content), "some.faiss")


def test_a_path_may_begin_at_home(vectors, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    save_index(build_index(vectors), "~/some.faiss")
    (entry,) = os.scandir(tmp_path)
    assert entry.name == "some.faiss"
    for path in ("~/some.faiss", entry, entry.path):
        assert load_index(path).ntotal == 200
        assert load_index(path, mmap=True).ntotal == 200


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX file system")
@pytest.mark.parametrize("mmap", [False, True])
def test_what_is_no_plain_file_is_refused_at_once(tmp_path, mmap):
    os.mkfifo(tmp_path / "pipe.faiss")
    for path in (tmp_path / "pipe.faiss", tmp_path, "/dev/zero"):
        with pytest.raises(IndexFileError, match="cannot be read .it is no plain file"):
            load_index(path, mmap=mmap)
    with pytest.raises(IndexFileError, match="cannot be read .*null"):
        load_index("null\0character", mmap=mmap)


def test_checked_vectors_are_ready_for_faiss(vectors):
    for view in (vectors[::2], vectors.T, np.asfortranarray(vectors)):
        checked = check_vectors(view, "queries")
        assert checked.flags.c_contiguous and checked.dtype == np.float32
        np.testing.assert_array_equal(checked, view)
    with pytest.raises(ValueError, match="queries must have shape"):
        check_vectors(vectors[0], "queries")
