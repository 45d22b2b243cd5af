"""Ids are for ever: random changes against a plain dictionary, and hostile input."""

import io
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
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from PIL import Image

from utils import indexes
from utils.collection import catalogue, search
from utils.collection.bundles import read_bundle, write_bundle
from utils.collection.search import ImageSearch
from utils.collection.vector_index import VectorIndex
from utils.errors import IndexFileError, LookalikeError, PictureError
from utils.images import Collection, load_picture, sha256_of

ROOT = Path(__file__).parents[2]
FACTORIES = ["Flat", "IVF4,Flat", "IVF4,PQ4x4np", "HNSW8"]
D = 8
every_factory = pytest.mark.parametrize("factory", FACTORIES)


def draw(n: int, seed: int = 0, d: int = D) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(size=(n, d)).astype("float32")
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """These indexes are tiny."""
    before = indexes.faiss.omp_get_max_threads()
    indexes.faiss.omp_set_num_threads(1)
    yield
    indexes.faiss.omp_set_num_threads(before)


def stored(index: VectorIndex) -> tuple[dict, bytes]:
    facts, write = index.snapshot()
    file = io.BytesIO()
    write(file)
    return facts, file.getvalue()


def python(program: str, *arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


# ------------------------------------------------- vectors against a dictionary
class Machine(RuleBasedStateMachine):
    """A `VectorIndex` and a dictionary live through the same changes."""

    factory = "Flat"

    @initialize(seed=st.integers(0, 10**6))
    def build(self, seed):
        vectors = draw(40, seed)
        self.index = VectorIndex(vectors, self.factory, points_per_cell=1)
        self.model = dict(enumerate(vectors))
        self.last = 39

    def pick(self, data) -> list[int]:
        if not self.model:
            return []
        return data.draw(st.lists(st.sampled_from(sorted(self.model)), max_size=12))

    def enter(self, ids, vectors):
        assert ids.tolist() == list(range(self.last + 1, self.last + 1 + len(vectors)))
        self.last += len(vectors)
        self.model |= dict(zip(ids.tolist(), vectors, strict=True))

    @rule(n=st.integers(0, 20), seed=st.integers(0, 10**6))
    def add(self, n, seed):
        vectors = draw(n, seed)
        self.enter(self.index.add(vectors), vectors)

    @rule(data=st.data())
    def remove(self, data):
        gone = self.pick(data)
        self.index.remove(gone)
        for key in gone:
            self.model.pop(key, None)

    @rule(data=st.data(), n=st.integers(0, 5), seed=st.integers(0, 10**6))
    def replace(self, data, n, seed):
        gone, vectors = self.pick(data), draw(n, seed)
        ids = self.index.replace(gone, vectors)
        for key in gone:
            self.model.pop(key, None)
        self.enter(ids, vectors)

    @rule(row=st.integers(0, 4))
    def fail(self, row):
        spoiled = draw(5)
        spoiled[row, 3] = np.nan
        with pytest.raises(ValueError, match=f"Row {row}"):
            self.index.add(spoiled)
        with pytest.raises(KeyError, match="Nothing was changed"):
            self.index.replace([*self.model, self.last + 1], draw(3))

    @rule()
    def rebuild(self):
        self.index.compact()
        assert self.index.age().tombstones == 0

    @rule()
    def retrain(self):
        exact = [self.model[key] for key in sorted(self.model)]
        if len(exact) >= 16:  # fewer cannot train the product quantiser
            self.index.retrain(None if self.index.keeps_vectors else np.stack(exact))

    @rule()
    def save_and_load(self):
        facts, content = stored(self.index)
        self.index = VectorIndex.restore(content, facts, "index.faiss")

    @rule(k=st.integers(1, 70), seed=st.integers(0, 10**6))
    def search(self, k, seed):
        queries = draw(3, seed)
        similarities, ids = self.index.search(queries, k)
        assert similarities.shape == ids.shape == (3, min(k, len(self.model)))
        for row, scores, query in zip(ids.tolist(), similarities, queries, strict=True):
            assert len(set(row)) == len(row)
            assert set(row) <= self.model.keys()
            assert (np.diff(scores) <= 1e-5).all()
            vectors = self.index.reconstruct(row)
            np.testing.assert_allclose(vectors @ query, scores, atol=1e-4)
        if self.factory == "Flat" and self.model:
            exact = np.stack([*self.model.values()]) @ queries.T
            best = -np.sort(-exact.T, axis=1)[:, :k]
            np.testing.assert_allclose(similarities, best, atol=1e-5)

    @invariant()
    def the_ids_are_those_of_the_dictionary(self):
        assert self.index.ids.tolist() == sorted(self.model)
        if self.index.keeps_vectors and self.model:
            mine = self.index.reconstruct(sorted(self.model))
            yours = np.stack([self.model[key] for key in sorted(self.model)])
            np.testing.assert_array_equal(mine, yours)


for _factory in FACTORIES:
    _name = f"TestVectorsIn{_factory.replace(',', '')}"
    _machine = type(_name, (Machine,), {"factory": _factory})
    _machine.TestCase.settings = settings(
        max_examples=10,
        stateful_step_count=25,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    globals()[_name] = _machine.TestCase


# ---------------------------------------------------------------- one thing each
@pytest.mark.parametrize(
    "factory", [*FACTORIES, "SQ8", "PQ4x4np", "PCA4,Flat", "PCA4,IVF4,SQ8", "HNSW8_SQ8"]
)
@pytest.mark.parametrize("metric", ["inner_product", "l2"])
def test_every_kind_keeps_ids_and_gives_k_results(factory, metric):
    vectors = draw(300)
    index = VectorIndex(vectors[:200], factory, metric=metric)
    assert index.add(vectors[200:]).tolist() == list(range(200, 300))
    index.remove(range(0, 300, 2))
    facts, content = stored(index)
    for living in (index, VectorIndex.restore(content, facts, "index.faiss")):
        scores, ids = living.search(vectors[:4], np.int64(10_000))
        assert ids.shape == (4, 150)
        assert (np.sort(ids) == np.arange(1, 300, 2)).all()
        assert np.isfinite(scores).all() and np.abs(scores).max() < 10
    similar = index.search(vectors[1::2], 1)[1][:, 0] == np.arange(1, 300, 2)
    assert similar.mean() > (0.95 if index.keeps_vectors else 0.1)


@pytest.mark.parametrize(
    "factory", [*FACTORIES, "SQ8", "PQ4x4np", "PCA4,Flat", "PCA4,IVF4,SQ8", "HNSW8_SQ8"]
)
@pytest.mark.parametrize("metric", ["inner_product", "l2"])
def test_a_search_among_some_ids_finds_the_best_of_them(factory, metric):
    index = VectorIndex(draw(300), factory, metric=metric)
    index.remove(range(0, 300, 2))
    queries, among = draw(4, seed=1), range(1, 120, 3)
    wanted = [key for key in among if key % 2]
    if index.nprobe:
        index.nprobe = 4
    (every_score,), (every_id,) = index.search(queries[:1], 150)
    everything = dict(zip(every_id.tolist(), every_score.tolist(), strict=True))
    scores, ids = index.search(queries, 10_000, among=wanted)
    assert ids.shape == (4, len(wanted))
    assert (np.sort(ids) == wanted).all()
    best = [everything[key] for key in ids[0].tolist()]
    np.testing.assert_allclose(scores[0], best, atol=1e-5)
    assert best == sorted(best, reverse=metric == "inner_product")


def test_a_search_among_few_is_exact_where_cells_and_graph_find_none():
    """All but two vectors are masked: a graph's walk may end before it meets them."""
    vectors = draw(700)
    for factory in ("IVF16,Flat", "HNSW8"):
        index = VectorIndex(vectors, factory)
        for query in draw(20, seed=1):
            (found,) = index.search(query[None], 5, among=[7, 650])[1]
            exact = sorted([7, 650], key=lambda i: -float(vectors[i] @ query))
            assert found.tolist() == exact


def test_a_search_among_none_finds_none_and_strangers_are_refused():
    index = VectorIndex(draw(10), "Flat")
    assert index.search(draw(2), 3, among=[])[1].shape == (2, 0)
    index.remove([4])
    with pytest.raises(KeyError, match="not in this index"):
        index.search(draw(2), 3, among=[3, 4])


def test_ids_of_removed_vectors_never_come_back_even_after_a_load():
    index = VectorIndex(draw(5), "Flat")
    index.remove([3, 4])
    facts, content = stored(index)
    assert VectorIndex.restore(content, facts, "x").add(draw(2)).tolist() == [5, 6]
    index.remove(index.ids)
    assert (len(index), index.search(draw(2), 3)[1].shape) == (0, (2, 0))
    assert index.add(draw(1)).tolist() == [5]


def test_hnsw_masks_what_it_cannot_remove_until_it_is_compacted():
    vectors = draw(100)
    index = VectorIndex(vectors, "HNSW8")
    index.remove(range(98))
    assert (index.age().tombstones, len(index)) == (98, 2)
    assert np.sort(index.search(vectors[:5], 9)[1]).tolist() == [[98, 99]] * 5
    assert (index.compact(), index.age().tombstones) == (98, 0)
    assert np.sort(index.search(vectors[:5], 9)[1]).tolist() == [[98, 99]] * 5
    assert index.compact() == 0


@every_factory
def test_a_change_that_fails_in_faiss_changes_nothing(factory, monkeypatch):
    vectors = draw(200)
    index = VectorIndex(vectors, factory)
    before = index.search(vectors[:9], 5)[1]
    copy_index = indexes._copy_index

    class Broken:
        """A FAISS index whose `add` fails when half of the work is done."""

        def __init__(self, copied):
            self.copied = copied

        def __getattr__(self, name):
            return getattr(self.copied, name)

        def add_with_ids(self, vectors, ids):
            self.copied.add_with_ids(vectors[:2], ids[:2])
            raise MemoryError

    chain = indexes._chain
    monkeypatch.setattr(indexes, "_copy_index", lambda i: Broken(copy_index(i)))
    monkeypatch.setattr(indexes, "_chain", lambda i: chain(getattr(i, "copied", i)))
    with pytest.raises(MemoryError):
        index.replace([0, 1, 2], draw(4))
    monkeypatch.undo()
    assert index.ids.tolist() == list(range(200))
    np.testing.assert_array_equal(index.search(vectors[:9], 5)[1], before)
    assert index.add(draw(1)).tolist() == [200]


def test_an_ivf_with_too_few_points_is_flat_and_says_so_until_there_are_enough():
    vectors = draw(200)
    with pytest.warns(RuntimeWarning, match="needs 156 vectors to train; there are 9"):
        index = VectorIndex(vectors[:9], "IVF4,Flat")
    assert "Flat instead of IVF4,Flat" in repr(index)
    assert (index.nprobe, len(index.cell_sizes)) == (0, 0)
    index.add(vectors[9:150])
    assert not index.needs_retraining()
    index.add(vectors[150:])
    assert index.needs_retraining()
    index.retrain()
    assert (index.fallback, index.needs_retraining()) == ("", False)
    assert index.cell_sizes.sum() == 200
    assert index.ids.tolist() == list(range(200))


def test_strange_vectors_and_growth_call_for_training_more_of_the_same_does_not():
    vectors = draw(1000)
    index = VectorIndex(vectors[:400], "IVF8,Flat")
    index.add(vectors[400:780])
    assert not index.needs_retraining()
    index.add(vectors[780:])
    assert index.needs_retraining()  # more than twice as many
    index.retrain()
    assert not index.needs_retraining()
    strange = draw(1, seed=7) + 0.05 * draw(500, seed=8)
    index.add(strange / np.linalg.norm(strange, axis=1, keepdims=True))
    assert index.age().imbalance > 1.5 * index.age().imbalance_at_training
    assert index.needs_retraining()
    index.retrain()
    assert not index.needs_retraining()


def test_a_kind_that_is_not_trained_never_needs_it():
    index = VectorIndex(draw(10), "HNSW8")
    index.add(draw(100))
    assert not index.needs_retraining()


@pytest.mark.parametrize("factory", ["SQfp16", "SQbf16", "HNSW8_SQfp16", "Flat"])
def test_codes_that_only_round_are_not_a_trained_kind(factory):
    index = VectorIndex(draw(10), factory)
    index.add(draw(100))
    assert not index.needs_retraining()


@pytest.mark.parametrize("factory", ["SQ8", "HNSW8_SQ8", "PCA4,Flat", "IVF1,SQfp16"])
def test_codes_cells_and_rotations_are_trained_kinds(factory):
    index = VectorIndex(draw(50), factory)
    index.add(draw(100))
    assert index.needs_retraining()


def test_retraining_codes_asks_for_the_vectors():
    vectors = draw(200)
    index = VectorIndex(vectors, "IVF4,PQ4x4np")
    index.remove([7])
    with pytest.raises(ValueError, match="keeps codes, not vectors: pass the 199"):
        index.retrain()
    with pytest.raises(ValueError, match="expected 199 vectors.*Received: 3"):
        index.retrain(draw(3))
    index.retrain(np.delete(vectors, 7, axis=0), factory="Flat")
    np.testing.assert_array_equal(index.reconstruct([8]), vectors[8:9])
    assert index.add(draw(1)).tolist() == [200]


def test_nprobe_is_kept_and_checked():
    index = VectorIndex(draw(200), "IVF5,Flat")
    assert index.nprobe == 3  # the square root, rounded up
    index.nprobe = np.int64(4)
    facts, content = stored(index)
    assert VectorIndex.restore(content, facts, "x").nprobe == 4
    index.retrain()
    assert index.nprobe == 4
    index.retrain(factory="IVF4,Flat")
    assert index.nprobe == 2  # other cells, so the square root again
    index.retrain(factory="IVF5,Flat")
    for wrong in (0, 6):
        with pytest.raises(ValueError, match=f"number of cells, 5. Received: {wrong}"):
            index.nprobe = wrong
    with pytest.raises(ValueError, match="number of cells, 0"):
        VectorIndex(draw(2)).nprobe = 1


# ------------------------------------------------------------------ wrong arguments
def spoiled(row: int, value: float) -> np.ndarray:
    vectors = draw(5)
    vectors[row] = value
    return vectors


WRONG_VECTORS = {
    "one vector": (draw(1)[0], "must have shape"),
    "nothing at all": (np.empty((3, 0), "float32"), "must have shape"),
    "float64": (draw(2).astype("float64"), "must be float32. Received: float64"),
    "integers": (np.ones((2, D), int), "must be float32. Received: int64"),
    "a list of words": ([["a"] * D], "must be float32"),
    "another dimension": (draw(2, d=5), "dimension, 8. Received: 5"),
    "NaN": (spoiled(3, np.nan), "Row 3 holds NaN"),
    "infinity": (spoiled(2, np.inf), "Row 2 holds NaN or inf"),
    "minus infinity": (spoiled(1, -np.inf), "Row 1 holds NaN or inf"),
    "huge": (spoiled(4, 1e30), "Row 4 is not. Normalise"),
    "zero": (spoiled(2, 0), "Row 2 is zero"),
}
WRONG_K = {
    0: "at least 1. Received: 0",
    -3: "at least 1. Received: -3",
    2.5: "whole number. Received: 2.5",
    "3": "whole number",
    None: "whole number",
}


def is_refused(call, error, message) -> bool:
    """Like pytest.raises, but without an assert: `python -O` drops those."""
    with pytest.raises(error, match=message):
        call()
    return True


@pytest.mark.parametrize("factory", FACTORIES)
@pytest.mark.parametrize("case", WRONG_VECTORS)
def test_wrong_vectors_are_explained_and_nothing_is_added(case, factory):
    index = VectorIndex(draw(200), factory)
    vectors, message = WRONG_VECTORS[case]
    is_refused(lambda: index.add(vectors), ValueError, message)
    is_refused(lambda: index.search(vectors, 1), ValueError, message)
    is_refused(lambda: index.retrain(vectors), ValueError, message)
    if len(index) != 200:
        pytest.fail("something was added")


@pytest.mark.parametrize("k", WRONG_K)
def test_wrong_counts_are_explained(k):
    index = VectorIndex(draw(9))
    is_refused(lambda: index.search(draw(1), k), ValueError, WRONG_K[k])


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        ([99], KeyError, r"1 of 1 ids are not in this index of 9 vectors: \[99\]"),
        ([0, 1, -1], KeyError, r"1 of 3 ids .*\[-1\]"),
        ([1.0], ValueError, "ids must be whole numbers"),
        (["1"], ValueError, "ids must be whole numbers"),
        (3, ValueError, "ids must be whole numbers"),
        ([2**70], ValueError, "ids must be whole numbers"),
    ],
)
def test_wrong_ids_are_explained_and_nothing_is_removed(ids, error, message):
    index = VectorIndex(draw(9))
    is_refused(lambda: index.remove(ids), error, message)
    is_refused(lambda: index.reconstruct(ids), error, message)
    if len(index) != 9:
        pytest.fail("something was removed")


@pytest.mark.parametrize(
    "factory",
    ["", "Nonsense", "IVF4,PQ5", "IVF0,Flat", "IDMap,Flat", "NSG8", "Flat,RFlat"],
)
def test_kinds_of_index_that_cannot_live_are_refused(factory):
    is_refused(lambda: VectorIndex(draw(50), factory), ValueError, "factory must")


def test_metrics_that_faiss_would_drop_in_silence_are_refused():
    is_refused(
        lambda: VectorIndex(draw(50), metric="cosine"), ValueError, "metric must"
    )
    wrong = "metric must be one that FAISS has for HNSW8_PQ4x4np"
    is_refused(lambda: VectorIndex(draw(50), "HNSW8_PQ4x4np"), ValueError, wrong)


def test_a_zero_vector_is_a_fine_point_by_distance():
    index = VectorIndex(np.zeros((1, D), "float32"), metric="l2")
    assert index.search(draw(1), 1)[0][0, 0] == pytest.approx(1)


def test_arguments_are_checked_under_python_o_too():
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:nbval", "-o", "addopts="]
    done = subprocess.run(
        [sys.executable, "-O", "-m", "pytest", *options, "-k", "wrong", __file__],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert int(done.stdout.split(" passed")[0].split()[-1]) > 50, done.stdout


# ---------------------------------------------------------------- hostile content
@every_factory
def test_facts_that_do_not_fit_the_index_are_refused(factory):
    index = VectorIndex(draw(200), factory)
    index.remove([5])
    facts, content = stored(index)
    for wrong in (
        {"d": 9},
        {"metric": "l2"},
        {"metric": "cosine"},
        {"ntotal": 5},
        {"ntotal": "200"},
        {"next_id": 100},
        {"next_id": -1},
        {"next_id": 2**63 - 5},
        {"next_id": 2**70},
        {"tombstones": [500]},
        {"tombstones": [2**80]},
        {"tombstones": ["x"]},
        {"tombstones": None},
        {"nprobe": None},
    ):
        with pytest.raises(IndexFileError, match=r"some\.faiss: expected"):
            VectorIndex.restore(content, facts | wrong, "some.faiss")
    with pytest.raises(IndexFileError, match=r"some\.faiss: expected"):
        VectorIndex.restore(content, {}, "some.faiss")


def test_ids_that_are_missing_or_there_twice_are_refused():
    vectors = draw(3)
    for factory in ("Flat", "IVF1,Flat"):
        index = indexes._new_index(D, factory, "inner_product")
        index.train(vectors)
        index.add_with_ids(vectors, np.array([0, 2, 2]))
        facts, _ = stored(VectorIndex(vectors, factory, points_per_cell=1))
        content = bytes(indexes.faiss.serialize_index(index))
        with pytest.raises(IndexFileError, match="missing or there twice"):
            VectorIndex.restore(content, facts, "some.faiss")
    plain = bytes(indexes.faiss.serialize_index(indexes.build_index(vectors)))
    with pytest.raises(IndexFileError, match="it has no ids"):
        VectorIndex.restore(plain, facts, "some.faiss")


def test_a_graph_on_vectors_that_are_not_ready_is_refused():
    vectors = draw(9)
    facts, _ = stored(VectorIndex(vectors, "HNSW8"))
    index = indexes._copy_index(VectorIndex(vectors, "HNSW8")._state)
    indexes._codes(index).is_trained = False
    content = bytes(indexes.faiss.serialize_index(index))
    with pytest.raises(IndexFileError, match="its layers are untrained"):
        VectorIndex.restore(content, facts, "some.faiss")


@pytest.mark.parametrize("factory", [*FACTORIES, "PCA4,Flat", "SQ8", "IVF4,SQ8"])
def test_a_mapped_index_finds_the_same_and_can_be_changed(factory, tmp_path):
    vectors = draw(200)
    index = VectorIndex(vectors, factory)
    index.remove([3])
    facts, content = stored(index)
    file = tmp_path / "some.faiss"
    file.write_bytes(content)
    mapped = VectorIndex.restore(indexes.load_index(file, mmap=True), facts, "some")
    for found, expected in zip(
        mapped.search(vectors, 5), index.search(vectors, 5), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
    for changed in mapped, index:
        changed.remove([7])
        assert changed.add(draw(2, seed=1)).tolist() == [200, 201]
        changed.compact()
    found, expected = mapped.search(vectors, 5), index.search(vectors, 5)
    np.testing.assert_array_equal(found[1], expected[1])
    assert file.read_bytes() == content


MAPPED = """
    import sys
    import numpy as np
    from utils.indexes import load_index

    def resident():
        lines = open("/proc/self/status", encoding="ascii")
        return next(int(x.split()[1]) / 1024 for x in lines if x.startswith("VmRSS:"))

    before = resident()
    index = load_index(sys.argv[1], mmap=sys.argv[2] == "map")
    index.search(np.ones((1, 64), dtype="float32"), 3)
    print(resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads memory from /proc")
def test_a_mapped_index_takes_only_the_cells_that_a_search_touches(tmp_path):
    vectors = draw(64_000, d=64)
    index = indexes.faiss.index_factory(64, "IVF64,Flat")
    index.cp.niter = 2
    index.train(vectors[:4_000])
    index.add(vectors)  # 16 MB
    indexes.save_index(index, tmp_path / "some.faiss")
    taken = {}
    for how in "map", "read":
        done = python(MAPPED, tmp_path / "some.faiss", how)
        assert done.returncode == 0, done.stderr
        taken[how] = float(done.stdout)
    assert taken["read"] > 15
    assert taken["map"] < taken["read"] / 2


HOSTILE = """
    import random, resource, struct, sys, io
    import numpy as np
    from utils.errors import IndexFileError
    from utils.collection.vector_index import VectorIndex
from utils.indexes import faiss

    faiss.omp_set_num_threads(1)
    vectors = np.random.default_rng(0).normal(size=(200, 8)).astype("float32")
    index = VectorIndex(vectors, sys.argv[1])
    facts, write = index.snapshot()
    file = io.BytesIO()
    write(file)
    good, rng = file.getvalue(), random.Random(0)
    VectorIndex.restore(good, facts, "x").search(vectors, 3)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused = 0
    for turn in range(1000):
        # Counts are eight bytes long, or four; most of them come first.
        place = turn // 3 if turn < 900 else rng.randrange(len(good) - 8)
        kind, number = [("<q", 1 << 31), ("<q", 1 << 24), ("<i", -1)][turn % 3]
        bad = bytearray(good)
        struct.pack_into(kind, bad, place, number)
        try:
            found = VectorIndex.restore(bytes(bad), facts, "x").search(vectors[:9], 3)
            assert ((0 <= found[1]) & (found[1] < 200)).all()
        except IndexFileError:
            refused += 1
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(refused, (after - before) // 1024)
"""


@pytest.mark.skipif(os.name == "nt", reason="measures memory by `resource`")
@every_factory
def test_an_index_that_claims_gigabytes_costs_no_memory_and_does_no_harm(factory):
    done = python(HOSTILE, factory)
    assert done.returncode == 0, done.stderr
    refused, megabytes = map(int, done.stdout.split())
    assert refused > 100
    assert megabytes < 100


# ------------------------------------------------------------------------- pictures
class FakeEmbedder:
    """Sixteen grey values in, a unit vector out: quick, and different for each."""

    pipeline, input_size = "fake-4px", 4

    def __init__(self):
        self.embedded = 0

    def embed(self, images, *, batch_size=32):
        self.embedded += len(images)
        rows = images[..., 0].reshape(len(images), -1).astype("float32") - 127.3
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def paint(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (4, 4, 3)).astype("uint8")
    Image.fromarray(noise).save(path)
    return path


@pytest.fixture
def embedder():
    return FakeEmbedder()


@pytest.fixture
def folder(tmp_path):
    """Twelve pictures in three class folders."""
    for i in range(12):
        paint(tmp_path / "pictures" / "abc"[i % 3] / f"{i}.png", i)
    return tmp_path / "pictures"


@pytest.fixture
def living(folder, embedder):
    return ImageSearch.from_folder(folder, embedder=embedder)


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
            living.compact()


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
    with pytest.raises(ValueError, match="expected 1 labels, one a path. Received: 2"):
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
    for wrong in ([known, folder / "nowhere.png"], [3, 99], [known, -1]):
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

    monkeypatch.setattr(search, "load_embedder", refuse)
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
    file = read_bundle(tmp_path / "saved").folder / search.INDEX_FILE
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(IndexFileError, match="damaged"):
        ImageSearch.load(tmp_path / "saved", embedder=embedder, mmap=True)


def test_an_interrupted_extraction_keeps_what_is_done(tmp_path, embedder, monkeypatch):
    paths = [paint(tmp_path / f"{i}.png", seed=i) for i in range(200)]
    whole = embedder.embed

    def interrupted(images, **options):
        if embedder.embedded >= 64:
            raise KeyboardInterrupt
        return whole(images, **options)

    embedder.embed = interrupted
    with pytest.raises(KeyboardInterrupt):
        search.embed_files(paths, embedder)
    embedder.embed = whole
    before = embedder.embedded
    embedded = search.embed_files(paths, embedder)
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
    embedded = search.embed_files(paths, embedder)
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
    embedded = search.embed_files(paths, embedder)
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
    assert len(search.embed_files(paths, embedder).positions) == 40
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10e6


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
        scan = search.images.scan_folder

        def blind(where):
            found = scan(where)
            left = [i for i, path in enumerate(found.paths) if "b" not in path.parts]
            found.paths = [found.paths[i] for i in left]
            found.labels = [found.labels[i] for i in left]
            found.refused.append(search.Refusal(folder / "b", "can't be listed"))
            return found

        monkeypatch.setattr(search.images, "scan_folder", blind)
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


def forge(folder: Path, change) -> None:
    """Change the table of pictures and make all hashes fit again."""
    bundle = read_bundle(folder)
    files, build = dict(bundle.files), bundle.build[::-1]
    change(files)
    if table := files.get("items.json"):
        files["items.json"] = table.replace(bundle.build.encode(), build.encode())
    write_bundle(folder, files, bundle.facts, build=build)


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
def test_pictures_taken_in_through_a_link_are_missed_aloud(folder, tmp_path, embedder):
    paint(tmp_path / "disk" / "x.png", 67)
    (folder / "vase").symlink_to(tmp_path / "disk")
    living = ImageSearch.from_folder(folder, embedder=embedder)
    assert (len(living), living.labels.count("vase")) == (13, 1)
    assert len(living.update().unchanged) == 13
    living.save(tmp_path / "saved")
    with pytest.warns(RuntimeWarning, match="1 of 13 pictures.*x.png.*add takes it in"):
        loaded = ImageSearch.load(tmp_path / "saved", embedder=embedder)
    stray = loaded.refused[0].path
    assert loaded.add([stray]).added == [stray]
    assert loaded.items[loaded.id_of(stray)].label == "vase"


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


def test_a_name_that_windows_cannot_have_is_told_from_a_trick(monkeypatch):
    monkeypatch.setattr(catalogue, "os", SimpleNamespace(name="nt", path=os.path))
    with pytest.raises(ValueError, match="no file of Windows can have the path"):
        catalogue._checked_path("a/12:30.png")
    with pytest.raises(ValueError, match="leaves the root"):
        catalogue._checked_path("../a.png")


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
    living._state = state._replace(index=index)
    living.save(tmp_path / "saved")
    with pytest.raises(IndexFileError, match="expected the 12 ids .* Received 11 ids"):
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
                searches[0].save(saved)
                seconds = time.perf_counter() - start
                os.write(1, f"{os.getpid()} {seconds}\\n".encode())
                while True:
                    searches.reverse()
                    searches[0].save(saved)
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
        living.compact()

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


@every_factory
def test_four_threads_share_one_vector_index(factory):
    index = VectorIndex(draw(200), factory)
    errors, end = [], time.monotonic() + 0.7

    def work(seed):
        rng = np.random.default_rng(seed)
        try:
            while time.monotonic() < end:
                if seed < 2:
                    ids = index.search(draw(5, seed), 9)[1]
                    assert (ids >= 0).all() and ids.shape == (5, 9)
                    index.reconstruct(index.ids[:3] * 0 + 199)
                elif seed == 2:
                    index.remove(index.add(draw(3, int(rng.integers(99)))))
                else:
                    stored(index)
                    index.compact()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert index.ids.tolist() == list(range(200))


@pytest.mark.parametrize("metric", ["inner_product", "l2"])
def test_an_emptied_index_of_codes_is_read_again(metric):
    """Its file is far smaller than the tables that FAISS makes when it reads it."""
    vectors = np.random.default_rng(seed=0).normal(size=(200, 32)).astype("float32")
    index = VectorIndex(vectors, "IVF4,PQ4x4np", metric=metric)
    index.remove(index.ids)
    facts, write = index.snapshot()
    file = io.BytesIO()
    write(file)
    again = VectorIndex.restore(file.getvalue(), facts, "index.faiss")
    assert (len(again), again.add(vectors[:1]).tolist()) == (0, [200])
