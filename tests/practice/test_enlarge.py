"""The enlargement is judged by what it promises: spread, neighbours, repeatability."""

import itertools

import numpy as np
import pytest

from utils.indexes import build_index, search_index
from utils.metrics import ann_recall
from utils.practice import enlarge as module
from utils.practice.enlarge import enlarge, iterate_enlarged, split_into_groups


def unit(vectors):
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype("float32")


def collection(n, seed=0):
    """Unit vectors as pictures give: kinds, things of a kind, views of a thing."""
    rng = np.random.default_rng(seed)
    scales = 0.85 ** np.arange(64) * rng.choice([1.0, 0.3], 64)
    kinds = rng.normal(size=(20, 64)) * scales
    things = (
        kinds[rng.integers(20, size=150)] + 0.7 * rng.normal(size=(150, 64)) * scales
    )
    views = things[rng.integers(150, size=n)] + 0.5 * rng.normal(size=(n, 64)) * scales
    return unit(views + [1.5, *[0] * 63])


def spectrum(vectors):
    """Share of the variance along each principal direction, largest first."""
    squared = np.linalg.svd(vectors - vectors.mean(axis=0), compute_uv=False) ** 2
    return squared / squared.sum()


def nearest(base, queries, k=10):
    return search_index(build_index(base), queries, k)


REAL = collection(600)


def test_vectors_are_new_unit_float32_and_as_many_as_asked_for():
    enlarged = enlarge(REAL, 1501)
    assert enlarged.shape == (1501, 64) and enlarged.dtype == np.float32
    assert np.allclose(np.linalg.norm(enlarged, axis=1), 1, atol=1e-5)
    assert nearest(REAL, enlarged, 1)[0].max() < 0.9999
    assert nearest(enlarged, enlarged, 2)[0][:, 1].max() < 0.9999, "two are the same"


def test_a_smaller_number_gives_the_first_ones_and_blocks_the_same():
    enlarged = enlarge(REAL, 1300)
    blocks = list(iterate_enlarged(REAL, 1300))
    assert [len(block) for block in blocks] == [600, 600, 100]
    assert np.array_equal(np.concatenate(blocks), enlarged)
    assert np.array_equal(enlarge(REAL, 700), enlarged[:700])


def test_the_seed_decides():
    assert np.array_equal(enlarge(REAL, 50, seed=3), enlarge(REAL, 50, seed=3))
    assert not np.allclose(enlarge(REAL, 50, seed=3), enlarge(REAL, 50, seed=4))


def test_blocks_come_one_by_one():
    first = next(iterate_enlarged(REAL, 10**12))
    assert first.shape == REAL.shape


def test_every_vector_is_in_one_small_group():
    rng = np.random.default_rng(seed=0)
    for n in (2, 19, 20, 57, 100, 600):
        groups = split_into_groups(REAL, np.arange(n), rng)
        assert sorted(itertools.chain(*groups)) == list(range(n))
        assert max(map(len, groups)) <= (11 if n >= 100 else 19)


def test_groups_are_neighbourhoods():
    rng = np.random.default_rng(seed=0)
    groups = split_into_groups(REAL, np.arange(len(REAL)), rng)
    within = np.mean([REAL[g].var(axis=0).sum() for g in groups])
    shuffled = REAL[rng.permutation(len(REAL))]
    by_chance = np.mean([shuffled[g].var(axis=0).sum() for g in groups])
    assert within < 0.6 * by_chance


def test_groups_change_from_generation_to_generation():
    def grouped(seed):
        rng = np.random.default_rng(seed)
        return {frozenset(g) for g in split_into_groups(REAL, np.arange(600), rng)}

    assert len(grouped(0) & grouped(1)) < 20  # of 60


def test_before_it_is_scaled_a_generation_keeps_mean_and_covariance():
    """In expectation, whatever the groups: the law of total variance."""
    real, rng = REAL[:200], np.random.default_rng(seed=0)
    new = np.concatenate([module.redraw(real, rng) for _ in range(150)])
    assert np.allclose(new.mean(axis=0), real.mean(axis=0), atol=0.005)
    covariance, expected = np.cov(new.T, bias=True), np.cov(real.T, bias=True)
    assert np.abs(covariance - expected).max() < 0.03 * expected.max()


def test_the_spectrum_is_the_real_one():
    assert np.abs(spectrum(enlarge(REAL, 6000)) - spectrum(REAL)).max() < 0.02


def test_neighbours_are_as_near_as_among_as_many_real_vectors():
    real = collection(1400)
    base, queries = real[:1200], real[1200:]
    enlarged = enlarge(base[:600], 1400)
    expected = nearest(base, queries)[0]
    found = nearest(enlarged[:1200], enlarged[1200:])[0]
    for place in (0, 9):  # the nearest, and the tenth
        quantiles = np.quantile(expected[:, place], [0.1, 0.5, 0.9])
        assert (
            np.abs(np.quantile(found[:, place], [0.1, 0.5, 0.9]) - quantiles).max()
            < 0.05
        )


def recall_curve(vectors):
    base, queries = vectors[:1200], vectors[1200:]
    exact = nearest(base, queries)[1]
    index = build_index(base, "IVF16,Flat")
    curve = []
    for index.nprobe in (1, 2, 4, 8):
        curve.append(ann_recall(index.search(queries, 10)[1], exact).mean())
    return np.array(curve)


def test_recall_grows_with_nprobe_as_on_as_many_real_vectors():
    real = collection(1600)
    enlarged = enlarge(real[:600], 1600)
    assert np.abs(recall_curve(real) - recall_curve(enlarged)).max() < 0.05


@pytest.mark.parametrize(
    ("vectors", "n", "message"),
    [
        (REAL[0], 10, r"shape \(m, d\).*Received: float32 of shape \(64,\)"),
        (REAL[:1], 10, "at least two rows"),
        (REAL.astype("float64"), 10, "Received: float64"),
        (REAL.tolist(), 10, "Received: list"),
        (2 * REAL, 10, "Row 0 has 2"),
        (np.zeros((3, 4), "float32"), 10, "length 1. Row 0 has 0"),
        (np.full((3, 4), np.nan, "float32"), 10, "Row 0 has nan"),
        (REAL, 1.5, "n must be a whole number of at least 1. Received: 1.5"),
        (REAL, 0, "n must be a whole number of at least 1. Received: 0"),
    ],
)
def test_what_cannot_be_enlarged_is_refused(vectors, n, message):
    with pytest.raises(ValueError, match=message):
        enlarge(vectors, n)
    with pytest.raises(ValueError, match=message):
        iterate_enlarged(vectors, n)  # at once, not at the first block
