"""The wrapper that gives every library FAISS's reduction and refinement."""

from functools import partial

import numpy as np
import pytest

pytest.importorskip("faiss")

from tools.benchmark.engines import Engine, FaissEngine
from tools.benchmark.reduced import ReducedEngine

N, D, K = 600, 96, 10


def unit_vectors(n: int, seed: int) -> np.ndarray:
    scale = 1 / np.sqrt(1 + np.arange(D))
    vectors = np.random.default_rng(seed).normal(size=(n, D)) * scale
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype("float32")


VECTORS, QUERIES = unit_vectors(N, 0), unit_vectors(30, 1)
FLAT = partial(FaissEngine, factory="Flat")


def opened(engine: Engine, folder) -> Engine:
    """Build in two blocks, save and load."""
    engine.start(VECTORS, N)
    engine.add(VECTORS[:400])
    engine.add(VECTORS[400:])
    folder.mkdir()
    engine.save(folder)
    engine.load(folder, N, D)
    return engine


def recall(found: np.ndarray) -> float:
    exact = np.argsort(-(QUERIES @ VECTORS.T), axis=1)[:, :K]
    pairs = zip(found, exact, strict=True)
    return float(np.mean([len({*one} & {*other}) / K for one, other in pairs]))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("unit", [True, False])
def test_it_finds_what_faiss_finds_by_refine(tmp_path, threads, unit):
    wrapped = ReducedEngine(threads, unit, make=FLAT, pca=12, reorder="SQ8")
    ours = opened(wrapped, tmp_path / "ours")
    whole = FaissEngine(threads, unit, factory="PCA12,Flat,Refine(SQ8)")
    theirs = opened(whole, tmp_path / "theirs")
    ours.tune(factor=4)
    theirs.tune(k_factor_rf=4)
    found, expected = ours.search(QUERIES, K), theirs.search(QUERIES, K)
    same = [len({*one} & {*two}) for one, two in zip(found, expected, strict=True)]
    assert np.mean(same) > 0.98 * K
    alone = np.vstack([ours.search(query[None], K) for query in QUERIES])
    np.testing.assert_array_equal(alone, found)


def test_more_candidates_find_more_and_six_bits_are_smaller(tmp_path):
    recalls = []
    engine = ReducedEngine(1, True, make=FLAT, pca=12, reorder="SQ6")
    opened(engine, tmp_path / "six")
    for factor in (1, 2, 8):
        engine.tune(factor=factor)
        recalls.append(recall(engine.search(QUERIES, K)))
    assert recalls == sorted(recalls)
    assert recalls[0] + 0.1 < recalls[-1] > 0.9
    assert (tmp_path / "six" / "codes").stat().st_size < 0.8 * N * D


def test_turned_components_have_like_ranges_and_the_same_neighbours(tmp_path):
    straight = ReducedEngine(1, True, make=FLAT, pca=48)
    turned = ReducedEngine(1, True, make=FLAT, pca=48, rotate=1)
    for name, engine in (("straight", straight), ("turned", turned)):
        opened(engine, tmp_path / name)
    spread = [
        np.ptp(np.log(engine.matrix.apply(VECTORS).std(axis=0)))
        for engine in (straight, turned)
    ]
    assert spread[1] < spread[0] / 2
    ids = [np.sort(e.search(QUERIES, K), axis=1) for e in (straight, turned)]
    assert (ids[0] == ids[1]).mean() > 0.99


class Poor(FaissEngine):
    """Finds three, and then nothing."""

    def search(self, queries: np.ndarray, k: int) -> np.ndarray:
        found = super().search(queries, k)
        found[:, 3:] = -1
        return found


def test_too_few_candidates_are_filled_up(tmp_path):
    make = partial(Poor, factory="Flat")
    engine = ReducedEngine(1, True, make=make, pca=12, reorder="SQ8")
    opened(engine, tmp_path / "poor").tune(factor=2)
    found = engine.search(QUERIES, K)
    assert found.shape == (30, K)
    assert (found[:, :3] >= 0).all() and (found[:, 3:] == -1).all()
