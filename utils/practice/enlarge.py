"""Make many vectors out of a few real ones: a large collection to practise on.

An index shows its worth on tens of thousands of vectors, and a small gallery has not
that many. Repeating the real ones would give every query exact copies, and uniform
noise has no neighbours worth finding. `enlarge` draws new ones, a *generation* at a
time:

1. Sort the real vectors into groups of about ten that lie close together.
2. In each group, replace every member by a draw from the normal distribution that has
   the group's mean and covariance.
3. Scale to length 1. For the next generation, group anew, by other random cuts.

Every real vector is in one group of each generation, so (before step 3) the new ones
have in expectation exactly the real ones' mean and covariance, and with it their
spectrum; and they lie where groups of real ones lie. The groups of many generations
overlap.

They are synthetic all the same. No picture belongs to them, no new kind of thing is
among them, and some of their numbers are negative, which ResNet50's never are. They are
easier the more of them are drawn, for an index that looks into few cells: the appendix
notebooks/A1_enlarge_a_collection.ipynb measures it, and the benchmark's page
(tools/benchmark/RESULTS.md) compares the two at a larger size.

`vectors` is always a float32 array of shape (m, d); ids are its rows.
"""

from collections.abc import Iterator

import numpy as np

from utils.errors import check_k

GROUP = 10  # members; few, so that a group is a neighbourhood
CUTS = 3  # rounds of improving a cut; more make little difference
LENGTH_TOLERANCE = 1e-3


def enlarge(vectors: np.ndarray, n: int, *, seed: int = 0) -> np.ndarray:
    """Draw n vectors that are spread as the real ones are: float32, shape (n, d).

    The real ones are unit vectors, at least two; some hundreds are needed to know how
    they are spread. All drawn have length 1, and none is a real one. The same seed
    gives the same vectors, and a smaller n the first of them. ValueError if `vectors`
    is something else, or n is below 1.

    >>> real = np.eye(4, dtype="float32")
    >>> np.array_equal(enlarge(real, 5), enlarge(real, 1000)[:5])
    True
    """
    blocks = iterate_enlarged(vectors, n, seed=seed)
    enlarged = np.empty((n, vectors.shape[1]), dtype=np.float32)
    start = 0
    for block in blocks:
        enlarged[start : start + len(block)] = block
        start += len(block)
    return enlarged


def iterate_enlarged(
    vectors: np.ndarray, n: int, *, seed: int = 0
) -> Iterator[np.ndarray]:
    """Draw the same vectors as `enlarge`, in blocks: a million need not fit in memory.

    One generation each, so at most m rows; together they hold n. ValueError at once,
    not at the first block.
    """
    _check(vectors)
    return _generations(vectors, check_k(n, "n"), seed)


def redraw(vectors: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Replace each vector by a draw from the normal distribution of its group.

    Row i of the result lies in the neighbourhood of row i, and may have any length.
    """
    new = np.empty_like(vectors)
    for ids in split_into_groups(vectors, np.arange(len(vectors)), rng):
        mean = vectors[ids].mean(axis=0)
        weights = rng.standard_normal((len(ids), len(ids)), dtype=np.float32)
        new[ids] = mean + weights @ (vectors[ids] - mean) / np.sqrt(len(ids))
    return new


def split_into_groups(
    vectors: np.ndarray, ids: np.ndarray, rng: np.random.Generator
) -> list[np.ndarray]:
    """Cut the rows `ids` in two, and each part again, until the groups are small.

    A cut starts between two members chosen at random and is then improved, as k-means
    with two centres would, except that both sides keep their size. Each id is in one
    group of 10 or 11 or, where there are few ids, of at most 19.
    """
    n_groups = len(ids) // GROUP
    if n_groups < 2:
        return [ids]
    size = len(ids) * (n_groups // 2) // n_groups
    one, other = rng.choice(ids, 2, replace=False)
    direction = vectors[one] - vectors[other]
    for _ in range(CUTS):
        ids = ids[np.argsort(vectors[ids] @ direction, kind="stable")]
        left, right = ids[:size], ids[size:]
        direction = vectors[right].mean(axis=0) - vectors[left].mean(axis=0)
    return [
        *split_into_groups(vectors, left, rng),
        *split_into_groups(vectors, right, rng),
    ]


def _generations(vectors: np.ndarray, n: int, seed: int) -> Iterator[np.ndarray]:
    for start in range(0, n, len(vectors)):
        rng = np.random.default_rng([seed, start])
        new = redraw(vectors, rng)
        new /= np.linalg.norm(new, axis=1, keepdims=True)
        yield rng.permutation(new)[: n - start]


def _check(vectors: np.ndarray) -> None:
    shape, dtype = np.shape(vectors), getattr(vectors, "dtype", type(vectors).__name__)
    if len(shape) != 2 or len(vectors) < 2 or dtype != np.float32:
        raise ValueError(
            "vectors must be a float32 array of shape (m, d) with at least two rows. "
            f"Received: {dtype} of shape {shape}. Embed some hundred pictures first."
        )
    lengths = np.linalg.norm(vectors, axis=1)
    if not (np.abs(lengths - 1) < LENGTH_TOLERANCE).all():  # NaN is not below either
        row = int(np.argmin(np.abs(lengths - 1) < LENGTH_TOLERANCE))
        raise ValueError(
            f"vectors must have length 1. Row {row} has {lengths[row]:.3g}. Divide "
            "each by its length."
        )
