"""How good is a ranking? Plain NumPy, small enough to check by hand.

One ranking with hits at ranks 1 and 3, by every score:

>>> ranking = np.array([[True, False, True, False]])  # R is 2
>>> precision_at_k(ranking, 4), recall_at_k(ranking, 2), hit_rate_at_k(ranking, 1)
(array([0.5]), array([0.5]), array([1.]))
>>> r_precision(ranking), reciprocal_rank(ranking)
(array([0.5]), array([1.]))
>>> average_precision(ranking).round(2), ndcg_at_k(ranking, 4).round(2)
(array([0.83]), array([0.92]))

What the functions share:

- `relevance`: bool array of shape (q, n), one row per query, best result first, true
  where the result is relevant. A score is a float64 array of shape (q,), in [0, 1];
  tables print its mean, and `bootstrap_mean` gives the interval of that.
- `k`: how many results count, from 1. A denominator k stays k where fewer were found.
- `n_relevant`: int array of shape (q,), the *R* of each query: how many candidates of
  the whole collection are relevant. Without it, R is the number of trues in the row.
  If rows are only the first k of a search, pass `count_relevant(...)`, or recall,
  average precision and nDCG come out too high.
- A query with R = 0 cannot succeed: it scores 0, and means count it, as trec_eval's
  do. `score_retrieval` alone leaves it out; do the same by `relevance[n_relevant > 0]`.
- `query_labels`, `labels`: arrays of shape (q,) and (n,), what queries and candidates
  show. `ignore`: bool array of shape (q, n), true where a candidate must not count.
- `ids`: int array of shape (q, k), best first, −1 for an empty place.
- ValueError: shapes that don't fit together, ids where truth values belong, k below 1,
  R below the hits in the row, numbers compared with text, NaN.

*IIR*: Manning, Raghavan, Schütze, *Introduction to Information Retrieval*, 2008. Names
such as ``map_cut`` are trec_eval's.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from utils.errors import check_k

Shape = tuple[int | str, ...]
Counts = ndarray | None  # R of each query; None where a row is the whole ranking
TABLE = "have one row per query and one column per candidate:"
BATCH = 1_000_000  # random numbers at once: some 8 MB, however many queries


class RetrievalScores(NamedTuple):
    """Means over all queries, each in [0, 1]; `n` is the number of queries."""

    precision_at_1: float
    precision_at_5: float
    mean_average_precision: float
    n: int


class Interval(NamedTuple):
    """A figure and its confidence interval; prints as ``0.71 [0.65, 0.77]``."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:z.2f} [{self.low:z.2f}, {self.high:z.2f}]"  # z: no -0.00


class PairedComparison(NamedTuple):
    """How far A is above B: ``+0.031 [+0.012, +0.050], p < 0.01, n = 168``."""

    difference: Interval
    p_value: float
    n: int

    def __str__(self) -> str:
        p = "< 0.01" if self.p_value < 0.01 else f"= {self.p_value:.2f}"
        value, low, high = (f"{number:+z.3f}" for number in self.difference)
        return f"{value} [{low}, {high}], p {p}, n = {self.n}"


# From similarities or ids to relevance


def rank_relevance(
    similarities: ndarray,
    query_labels: ndarray,
    labels: ndarray,
    *,
    ignore: ndarray | None = None,
) -> ndarray:
    """Sort each query's candidates by similarity, shape (q, n), and mark its own label.

    Equal ones keep their order; the ignored go to the end and are never relevant.

    >>> rank_relevance(np.array([[0.1, 0.9, 0.5]]), ["mug"], ["mug", "hat", "mug"])
    array([[False,  True,  True]])
    """
    relevant = _relevant_candidates(query_labels, labels, ignore)
    similarities = _as_array(similarities, "similarities", TABLE, relevant.shape)
    similarities = similarities.astype(float)  # unsigned numbers have no negative
    unknown = np.isnan(similarities).any(axis=1)
    if unknown.any():
        raise ValueError(
            f"similarities must be numbers. Row {unknown.argmax()} holds NaN. Look for "
            "a vector of zeros that was divided by its length."
        )
    if ignore is not None:
        similarities[np.asarray(ignore, dtype=bool)] = -np.inf
    order = np.argsort(-similarities, axis=1, kind="stable")
    return np.take_along_axis(relevant, order, axis=1)


def count_relevant(
    query_labels: ndarray, labels: ndarray, *, ignore: ndarray | None = None
) -> ndarray:
    """R of each query: how many candidates have its label; int64 of shape (q,)."""
    return _relevant_candidates(query_labels, labels, ignore).sum(axis=1)


def same_id(query_ids: ndarray, ids: ndarray) -> ndarray:
    """Mark the candidates that are the query itself, to `ignore` them: shape (q, n).

    Ids are numbers or text; those of things or photographers set apart all of a kind.
    """
    return _equal(query_ids, ids, "ids")


def drop_self(
    similarities: ndarray, ids: ndarray, query_ids: ndarray
) -> tuple[ndarray, ndarray]:
    """Take the query itself out of what a search found, wherever it stands.

    Search for one more than you need: (q, k + 1) become (q, k). Cutting the first
    column instead is wrong: a duplicate can stand before the query, and an approximate
    index can miss it (then the last result goes). An id found twice leaves −1 and NaN
    at the end. `query_ids`: int array of shape (q,), −1 for none of the collection.

    >>> drop_self(np.array([[0.9, 0.9, 0.4]]), np.array([[3, 0, 5]]), query_ids=[0])
    (array([[0.9, 0.4]]), array([[3, 5]]))
    """
    ids = _as_ids(ids, "ids")
    similarities = _beside(similarities, ids, "similarities")
    query_ids = _per_query(query_ids, ids, "query_ids")
    own = (ids == query_ids[:, None]) & (ids != -1)
    order = np.argsort(own, axis=1, kind="stable")[:, :-1]  # itself last
    similarities = np.take_along_axis(np.where(own, np.nan, similarities), order, 1)
    return similarities, np.take_along_axis(np.where(own, -1, ids), order, 1)


# Scores, query by query


def precision_at_k(relevance: ndarray, k: int) -> ndarray:
    """Relevant share of the results: ``hits among the first k / k``. IIR 8.4; ``P``."""
    return _hits(relevance, k) / k


def recall_at_k(relevance: ndarray, k: int, *, n_relevant: Counts = None) -> ndarray:
    """Share of the relevant candidates that are found: ``hits among the first k / R``.

    A query with R > k cannot reach 1. IIR 8.3; ``recall``.
    """
    relevance, total = _rows_and_r(relevance, n_relevant)
    return _hits(relevance, k) / np.maximum(total, 1)


def hit_rate_at_k(relevance: ndarray, k: int) -> ndarray:
    """``min(1, hits among the first k)``: 1 where at least one is relevant, else 0.

    Papers on metric learning call its mean over queries Recall@K. ``success``.
    """
    return np.minimum(_hits(relevance, k), 1.0)


def r_precision(relevance: ndarray, *, n_relevant: Counts = None) -> ndarray:
    """Precision at each query's own R: ``hits among the first R / R``.

    Needs rows of at least R results. IIR 8.4; ``Rprec``.
    """
    relevance, total = _rows_and_r(relevance, n_relevant)
    among_first = _ranks(relevance) <= total[:, None]  # (q, n)
    return (relevance & among_first).sum(axis=1) / np.maximum(total, 1)


def average_precision(
    relevance: ndarray, *, k: int | None = None, n_relevant: Counts = None
) -> ndarray:
    """Mean of the precision at each relevant result; its mean over queries is mAP.

    ``sum of precision@i over the ranks i ≤ k that hold a hit / R``; without k, all
    ranks. The denominator is R for AP@k, too: never the hits found (one hit at rank 1
    would score 1), nor min(k, R) (another AP@k). IIR 8.4; ``map``, ``map_cut``.
    """
    relevance, total = _rows_and_r(relevance, n_relevant)
    if k is not None:
        relevance = relevance[:, : check_k(k)]
    precision = relevance.cumsum(axis=1) / _ranks(relevance)  # (q, n)
    return (precision * relevance).sum(axis=1) / np.maximum(total, 1)


def reciprocal_rank(relevance: ndarray) -> ndarray:
    """``1 / rank of the first hit``, 0 without one; its mean over queries is MRR.

    Voorhees, *The TREC-8 Question Answering Track Report*, 1999; ``recip_rank``.
    """
    relevance = _as_rows(relevance)
    return (relevance / _ranks(relevance)).max(axis=1, initial=0.0)


def ndcg_at_k(relevance: ndarray, k: int, *, n_relevant: Counts = None) -> ndarray:
    """Gain of the first k results, discounted by rank: ``DCG / ideal DCG``.

    DCG is the sum of 1 / log2(1 + i) over the ranks i ≤ k that hold a hit; the ideal
    page begins with min(k, R) hits, so it scores 1 also where R > k. Järvelin,
    Kekäläinen, *Cumulated gain-based evaluation of IR techniques*, 2002; ``ndcg_cut``.
    """
    (relevance, total), k = _rows_and_r(relevance, n_relevant), check_k(k)
    gains = relevance / np.log2(1 + _ranks(relevance))  # (q, n)
    best = np.minimum(total, k)  # hits on a perfect page
    discounts = 1 / np.log2(1 + np.arange(1, best.max(initial=0) + 1))
    # Both sums add one by one, so that a perfect page is worth 1 to the last digit.
    ideal = np.concatenate([[0.0], discounts.cumsum()])[best]
    total_gain = gains[:, :k].cumsum(axis=1).max(axis=1, initial=0.0)
    return total_gain / np.where(best > 0, ideal, 1.0)


def score_retrieval(
    queries: ndarray,
    embeddings: ndarray,
    query_labels: ndarray,
    labels: ndarray,
    *,
    ignore: ndarray | None = None,
) -> RetrievalScores:
    """Rank unit vectors of shapes (q, d) and (n, d) by cosine, and average the scores.

    A query that has no relevant candidate is not counted; ValueError if none has one.
    """
    similarities = queries @ embeddings.T
    relevance = rank_relevance(similarities, query_labels, labels, ignore=ignore)
    relevance = relevance[relevance.any(axis=1)]
    if not len(relevance):
        raise ValueError(
            "No query has a relevant candidate: query_labels and labels share nothing "
            "that ignore leaves. Check that both name things the same way."
        )
    return RetrievalScores(
        precision_at_1=float(precision_at_k(relevance, 1).mean()),
        precision_at_5=float(precision_at_k(relevance, 5).mean()),
        mean_average_precision=float(average_precision(relevance).mean()),
        n=len(relevance),
    )


# Approximate against exact search


def ann_recall(
    ids: ndarray,
    exact_ids: ndarray,
    *,
    similarities: ndarray | None = None,
    exact_similarities: ndarray | None = None,
    tolerance: float = 1e-5,
) -> ndarray:
    """Share of the true k nearest neighbours that an approximate search found.

    ``size of (ids found ∩ exact ids) / k``: no labels, so no word about the quality of
    what was found. Order does not matter; an id found twice counts once, −1 never, and
    a collection smaller than k counts as it is. With ``exact_ids[:, :1]``: FAISS's R@n.

    With similarities (true ones, not a compressed index's estimates; distances as
    ``-distances``), a result as near as the k-th neighbour counts, too: which of those
    at one distance comes last is chance. Aumüller et al., *ANN-Benchmarks*, 2020.

    >>> ann_recall(np.array([[1, 2, 9, 8]]), np.array([[2, 1, 4, 3]]))
    array([0.5])
    """
    ids = _as_ids(ids, "ids")
    exact_ids = _as_ids(exact_ids, "exact_ids", queries=len(ids))
    empty = (exact_ids == -1).all(axis=1)
    if empty.any():
        raise ValueError(
            "exact_ids must hold at least one neighbour per query. "
            f"Row {empty.argmax()} holds none. Was anything added to the exact index?"
        )
    near = np.zeros(ids.shape, dtype=bool)
    if similarities is not None or exact_similarities is not None:
        similarities = _beside(similarities, ids, "similarities")
        exact = _beside(exact_similarities, exact_ids, "exact_similarities")
        if (exact[:, 1:] > exact[:, :-1] + tolerance).any():
            raise ValueError(
                "exact_similarities must fall from left to right. Received: rising "
                "ones. If these are distances, pass them negative: -distances."
            )
        last = np.where(exact_ids == -1, np.inf, exact).min(axis=1, keepdims=True)
        near = similarities >= last - tolerance
    recalls = np.zeros(len(ids))
    for row, exact_row in enumerate(exact_ids.tolist()):
        neighbours, found = set(exact_row) - {-1}, set(ids[row].tolist()) - {-1}
        hits = found & (neighbours | set(ids[row, near[row]].tolist()))
        recalls[row] = min(len(hits), len(neighbours)) / len(neighbours)
    return recalls


# How sure (SciPy's statistics take a second to import: only callers wait for them)


def bootstrap_mean(
    values: ndarray,
    *,
    confidence: float = 0.95,
    n_resamples: int = 10_000,
    seed: int | np.random.Generator = 0,
) -> Interval:
    """Mean over queries, and how far other queries might have moved it.

    Draws q of the q `values` (at least two, shape (q,)) with replacement, takes their
    mean, and again; the interval is what the middle 95 % of those means span. It
    reflects only which queries were sampled, and takes them for independent: of five
    views of one thing, pass the mean. It is too narrow for few queries, and has no
    width where all values are equal. Efron, Tibshirani, 1993, chapter 13.

    >>> print(bootstrap_mean(np.array([0.0, 1.0] * 50)))
    0.50 [0.40, 0.60]
    """
    from scipy.stats import bootstrap

    values = _as_values(values, "values")
    if not 0 < confidence < 1:
        raise ValueError(
            f"confidence must be between 0 and 1. Received: {confidence}. "
            "Write 95 % as 0.95."
        )
    ends = bootstrap(
        (values,),
        np.mean,
        n_resamples=check_k(n_resamples, "n_resamples", least=2),
        batch=max(1, BATCH // len(values)),
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(float(values.mean()), float(ends.low), float(ends.high))


def compare_paired(
    scores_a: ndarray,
    scores_b: ndarray,
    *,
    confidence: float = 0.95,
    n_resamples: int = 10_000,
    seed: int | np.random.Generator = 0,
) -> PairedComparison:
    """Mean difference of A over B on the same queries, its interval and p-value.

    The interval is `bootstrap_mean` of ``scores_a - scores_b``, arrays of shape (q,).
    The p-value is a sign-flip permutation test, two-sided: were A and B alike, each
    difference might as well have had the other sign; p is how often random signs give a
    mean as far from 0 as the one measured: ``(1 + times as far) / (1 + n_resamples)``.
    Smucker, Allan, Carterette, *A Comparison of Statistical Significance Tests*, 2007.

    >>> compare_paired(np.full(10, 0.7), np.full(10, 0.5)).p_value < 0.01
    True
    """
    from scipy.stats import monte_carlo_test

    scores_a = _as_values(scores_a, "scores_a")
    scores_b = _as_values(scores_b, "scores_b")
    _as_array(scores_b, "scores_b", "hold the queries of scores_a:", scores_a.shape)
    rng = np.random.default_rng(seed)
    differences = scores_a - scores_b
    interval = bootstrap_mean(
        differences, confidence=confidence, n_resamples=n_resamples, seed=rng
    )
    # A tie counts as far, whatever rounding made of it: SciPy's own margin is relative
    # to the mean, which may be tiny beside the differences that were added up.
    enough = abs(differences.sum()) - 1e-9 * np.abs(differences).sum()
    # Not SciPy's permutation_test: its time grows with the square of the queries.
    test = monte_carlo_test(
        differences,
        lambda size: rng.choice((-1.0, 1.0), size) * differences,
        lambda flipped, axis: (np.abs(flipped.sum(axis)) >= enough).astype(float),
        vectorized=True,
        n_resamples=check_k(n_resamples, "n_resamples"),
        batch=max(1, BATCH // len(differences)),
        alternative="greater",
    )
    return PairedComparison(interval, float(test.pvalue), len(differences))


# What the functions above share


def _as_array(
    values: Any, name: str, rule: str, shape: Shape, *, kinds: str = "", fix: str = ""
) -> ndarray:
    """Check shape (a word in it fits any length) and, if given, the kinds of dtype."""
    array = np.asarray(values)
    pairs = zip(shape, array.shape, strict=False)
    fits = all(isinstance(wanted, str) or wanted == size for wanted, size in pairs)
    right = array.ndim == len(shape) and (not kinds or array.dtype.kind in kinds)
    if not (fits and right):
        wanted = str(shape).replace("'", "")
        received = None if values is None else f"{array.dtype} of shape {array.shape}"
        message = f"{name} must {rule} {wanted}. Received: {received}. {fix}"
        raise ValueError(message.rstrip())
    return array


def _as_rows(relevance: ndarray) -> ndarray:
    fix = "Add a query axis: relevance[None]."
    shape = ("queries", "results")
    relevance = _as_array(relevance, "relevance", "have shape", shape, fix=fix)
    if relevance.dtype != bool and not np.isin(relevance, (0, 1)).all():
        raise ValueError(
            f"relevance must be true or false. Received: {relevance.dtype} values "
            "other than 0 and 1. If these are ids, compare the labels they stand for: "
            "labels[ids] == query_labels[:, None]."
        )
    return relevance.astype(bool)


def _as_ids(ids: ndarray, name: str, *, queries: int | str = "queries") -> ndarray:
    rule, fix = "be whole numbers of shape", "index.search returns the ids second."
    shape = (queries, "results")
    return _as_array(ids, name, rule, shape, kinds="iu", fix=fix).astype(np.int64)


def _beside(values: ndarray | None, ids: ndarray, name: str) -> ndarray:
    rule, fix = "hold one number for each id:", "Pass both results of the same search."
    return _as_array(values, name, rule, ids.shape, kinds="iuf", fix=fix)


def _per_query(values: ndarray, rows: ndarray, name: str) -> ndarray:
    rule = "hold one whole number per query:"
    return _as_array(values, name, rule, rows.shape[:1], kinds="iu").astype(np.int64)


def _as_values(values: ndarray, name: str) -> ndarray:
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise ValueError(
            f"{name} must hold one finite score per query, for at least 2 queries. "
            f"Received: shape {values.shape}, {np.isfinite(values).sum()} finite."
        )
    return values


def _equal(of_queries: ndarray, of_candidates: ndarray, name: str) -> ndarray:
    """Compare each with each, shape (q, n), if equality can mean something."""
    of_queries = _as_array(of_queries, f"query_{name}", "have shape", ("queries",))
    of_candidates = _as_array(of_candidates, name, "have shape", ("candidates",))
    pair = of_queries, of_candidates
    # An empty list is an array of floats, and may stand for anything.
    kinds = {a.dtype.kind for a in pair if a.size or a.dtype.kind in "US"}
    if kinds & set("US") and kinds & set("biuf"):  # NumPy calls all of them different
        raise ValueError(
            f"query_{name} and {name} must be of one kind. "
            f"Received: {pair[0].dtype} and {pair[1].dtype}. Convert one: .astype(str)."
        )
    return of_queries[:, None] == of_candidates[None, :]


def _relevant_candidates(
    query_labels: ndarray, labels: ndarray, ignore: ndarray | None
) -> ndarray:
    relevant = _equal(query_labels, labels, "labels")
    if ignore is None:
        return relevant
    return relevant & ~_as_array(ignore, "ignore", TABLE, relevant.shape).astype(bool)


def _rows_and_r(relevance: ndarray, n_relevant: Counts) -> tuple[ndarray, ndarray]:
    """Relevance and R of each query: what the caller says, or the trues of the row."""
    relevance = _as_rows(relevance)
    hits = relevance.sum(axis=1)
    if n_relevant is None:
        return relevance, hits
    n_relevant = _per_query(n_relevant, relevance, "n_relevant")
    short = n_relevant < hits
    if short.any():
        row = int(short.argmax())
        raise ValueError(
            f"n_relevant must be at least the number of hits. Row {row} has "
            f"{hits[row]} hits, but n_relevant {n_relevant[row]}. Count in the whole "
            "collection (count_relevant), and each id once."
        )
    return relevance, n_relevant


def _hits(relevance: ndarray, k: int) -> ndarray:
    return _as_rows(relevance)[:, : check_k(k)].sum(axis=1)


def _ranks(relevance: ndarray) -> ndarray:
    return np.arange(1, relevance.shape[1] + 1)
