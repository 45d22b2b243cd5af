"""How good is a ranking?  Plain NumPy, small enough to check by hand.

>>> import numpy as np
>>> relevance = np.array([[True, False, True, False, False]])
>>> precision_at_k(relevance, 5)
array([0.4])

Every score takes *relevance*: one row a query, one column a result, best result
first, true where the result is of the right kind.  It gives one value a query; the
mean of those is the figure that tables print, and `bootstrap_mean` its interval.

- *R* (`n_relevant`) is the number of relevant candidates in the whole collection.
  Without it a row is taken for the whole ranking, and R is the number of its trues.
  If the rows are only the first k of a search, pass `n_relevant=count_relevant(...)`,
  or recall, average precision and nDCG come out too high.
- A query with R = 0 can only fail: it is worth 0, and every mean here counts it, as
  trec_eval's does.  `score_retrieval` alone sees the labels and leaves it out; do the
  same by `relevance[n_relevant > 0]`, and say how many remain.
- A place beyond the row's end, one with id −1 (FAISS found nothing) and the second
  appearance of an id are not relevant, and no denominator shrinks for their sake.
- `ann_recall` is another thing: does an approximate index find what an exact one
  finds?  It knows no labels, and says nothing about the quality of the pictures found.
"""

from typing import NamedTuple

import numpy as np


class RetrievalScores(NamedTuple):
    """Averages over all queries, each in [0, 1]; `n` is the number of queries."""

    precision_at_1: float
    precision_at_5: float
    mean_average_precision: float
    n: int


class Interval(NamedTuple):
    """A figure and the ends of its confidence interval.

    Examples
    --------
    >>> print(Interval(0.714, 0.652, 0.768))
    0.71 [0.65, 0.77]
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        # z: no -0.00
        return f"{self.value:z.2f} [{self.low:z.2f}, {self.high:z.2f}]"


class PairedComparison(NamedTuple):
    """How much better A is than B on the same `n` queries, and whether that is luck.

    Examples
    --------
    >>> print(PairedComparison(Interval(0.031, 0.012, 0.049), 0.0021, 168))
    0.03 [0.01, 0.05], p < 0.01, n = 168
    """

    difference: Interval
    p_value: float
    n: int

    def __str__(self) -> str:
        p = "< 0.01" if self.p_value < 0.01 else f"= {self.p_value:.2f}"
        return f"{self.difference}, p {p}, n = {self.n}"


# From similarities or ids to relevance


def rank_relevance(
    similarities: np.ndarray,
    query_labels: np.ndarray,
    labels: np.ndarray,
    *,
    exclude: np.ndarray | None = None,
) -> np.ndarray:
    """Sort each query's candidates by similarity and mark those of its own label.

    Equal similarities keep the order of the candidates.

    Parameters
    ----------
    similarities : float array of shape (q, n)
        Larger is more similar.
    query_labels : array of shape (q,)
        The label of each query.
    labels : array of shape (n,)
        The label of each candidate.
    exclude : bool array of shape (q, n), optional
        True where a candidate must not count for a query: see `same_id`.
        It is moved to the end of the row and is never relevant.

    Returns
    -------
    relevance : bool array of shape (q, n)
        Best candidate first: the whole ranking.

    Raises
    ------
    ValueError
        If the shapes do not fit together, a similarity is NaN, or numbers would be
        compared with text.

    Examples
    --------
    >>> similarities = np.array([[0.1, 0.9, 0.5]])
    >>> rank_relevance(similarities, ["mug"], ["mug", "hat", "mug"])
    array([[False,  True,  True]])
    """
    similarities = np.asarray(similarities)
    relevant = _relevant_candidates(query_labels, labels, exclude)
    if similarities.shape != relevant.shape:
        raise ValueError(
            f"similarities must have one row a query and one column a candidate: "
            f"{relevant.shape}. Received: {similarities.shape}."
        )
    if np.isnan(similarities).any():
        row = int(np.flatnonzero(np.isnan(similarities).any(axis=1))[0])
        raise ValueError(
            f"similarities must be numbers. Row {row} holds NaN. Look for a vector of "
            "zeros that was divided by its length."
        )
    if exclude is not None:
        similarities = np.where(exclude, -np.inf, similarities)
    if similarities.dtype.kind != "f":
        similarities = similarities.astype(float)  # unsigned numbers have no negative
    order = np.argsort(-similarities, axis=1, kind="stable")
    return np.take_along_axis(relevant, order, axis=1)


def mark_relevant(
    ids: np.ndarray, query_labels: np.ndarray, labels: np.ndarray
) -> np.ndarray:
    """Mark the results of a search that have their query's label.

    An id counts where it first appears; a repeat and an empty place (−1) keep their
    place and are not relevant.

    Parameters
    ----------
    ids : int array of shape (q, k)
        What ``index.search`` found, best first.
    query_labels : array of shape (q,)
        The label of each query.
    labels : array of shape (n,)
        ``labels[i]`` is the label of the candidate with id i.

    Returns
    -------
    relevance : bool array of shape (q, k)
        Best result first: the top of the ranking only, so pass `n_relevant` along.

    Raises
    ------
    ValueError
        If the shapes do not fit together, or an id is no position in `labels`.

    Examples
    --------
    >>> mark_relevant(np.array([[2, 1, 2, -1]]), ["mug"], ["mug", "hat", "mug"])
    array([[ True, False, False, False]])
    """
    ids = _as_ids(ids, "ids")
    query_labels, labels = _as_comparable(query_labels, labels, "labels")
    if len(query_labels) != len(ids):
        raise ValueError(
            f"query_labels must hold one label for each of the {len(ids)} rows of ids. "
            f"Received: {len(query_labels)}."
        )
    if ids.size and not -1 <= ids.min() <= ids.max() < len(labels):
        raise ValueError(
            f"ids must be positions in labels, 0 to {len(labels) - 1}, or -1 for an "
            f"empty place. Received: {ids.min()} to {ids.max()}. Is each label of the "
            "collection there?"
        )
    relevance = np.zeros(ids.shape, dtype=bool)
    rows, places = np.nonzero(_first_appearance(ids))
    relevance[rows, places] = labels[ids[rows, places]] == query_labels[rows]
    return relevance


def count_relevant(
    query_labels: np.ndarray,
    labels: np.ndarray,
    *,
    exclude: np.ndarray | None = None,
) -> np.ndarray:
    """Number of candidates in the collection that have the query's label: its R.

    Parameters
    ----------
    query_labels : array of shape (q,)
        The label of each query.
    labels : array of shape (n,)
        The label of each candidate.
    exclude : bool array of shape (q, n), optional
        True where a candidate must not count for a query: see `same_id`.

    Returns
    -------
    n_relevant : int64 array of shape (q,)
        In 0 … n.

    Raises
    ------
    ValueError
        If the shapes do not fit together, or numbers would be compared with text.

    Examples
    --------
    >>> count_relevant(["mug", "cap"], ["mug", "hat", "mug"])
    array([2, 0])
    """
    return _relevant_candidates(query_labels, labels, exclude).sum(axis=1)


def same_id(query_ids: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Mark the candidates that a query must not find, because they are the query.

    Pass it as `exclude`.  With the ids of things or photographers, it sets apart all
    pictures of the same thing or photographer.

    Parameters
    ----------
    query_ids : array of shape (q,)
        The id of each query: numbers or text.
    ids : array of shape (n,)
        The id of each candidate.

    Returns
    -------
    exclude : bool array of shape (q, n)
        True where the ids are equal.

    Raises
    ------
    ValueError
        If an array is not one-dimensional, or numbers would be compared with text.

    Examples
    --------
    >>> same_id([7, 9], [5, 7, 8])
    array([[False,  True, False],
           [False, False, False]])
    """
    query_ids, ids = _as_comparable(query_ids, ids, "ids")
    return query_ids[:, None] == ids[None, :]


def drop_self(
    similarities: np.ndarray, ids: np.ndarray, query_ids: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Take the query itself out of what a search found, wherever it stands.

    Search for one more than you need.  Cutting the first column instead is wrong: a
    duplicate can stand before the query, and an approximate index can miss it.

    Parameters
    ----------
    similarities : float array of shape (q, k + 1)
        Best first; distances are welcome too.
    ids : int array of shape (q, k + 1)
        The id of each result; −1 where there is none.
    query_ids : int array of shape (q,)
        The id of each query; −1 for one that is not in the collection.

    Returns
    -------
    similarities : float array of shape (q, k)
    ids : int array of shape (q, k)
        The last result goes where the query was not found.  Where an id was found
        twice, −1 (similarity NaN) fills the end.

    Raises
    ------
    ValueError
        If the shapes do not fit together.

    Examples
    --------
    >>> found = np.array([[0.9, 0.9, 0.4]]), np.array([[3, 0, 5]])
    >>> drop_self(*found, query_ids=[0])
    (array([[0.9, 0.4]]), array([[3, 5]]))
    """
    ids = _as_ids(ids, "ids")
    similarities = _as_companion(similarities, ids, "similarities")
    query_ids = np.asarray(query_ids)
    if query_ids.shape != ids.shape[:1] or query_ids.dtype.kind not in "iu":
        raise ValueError(
            f"query_ids must hold one whole number a row of ids: {ids.shape[:1]}. "
            f"Received: {query_ids.dtype} of shape {query_ids.shape}."
        )
    own = (ids == query_ids[:, None]) & (ids != -1)
    order = np.argsort(own, axis=1, kind="stable")[:, :-1]  # itself last
    similarities, ids = np.where(own, np.nan, similarities), np.where(own, -1, ids)
    return (
        np.take_along_axis(similarities, order, axis=1),
        np.take_along_axis(ids, order, axis=1),
    )


# Scores, query by query


def precision_at_k(relevance: np.ndarray, k: int) -> np.ndarray:
    """Share of the first k results that are relevant, query by query.

    ``hits among the first k / k``.  The denominator is k, also where fewer than k
    results were found: an empty place on the page helps nobody.

    Parameters
    ----------
    relevance : bool array of shape (q, n)
        Best result first.
    k : int
        How many results count.

    Returns
    -------
    precision : float64 array of shape (q,)
        In [0, 1].

    Raises
    ------
    ValueError
        If `relevance` is no (q, n) array of truth values, or k is below 1.

    References
    ----------
    Manning, Raghavan, Schütze, *Introduction to Information Retrieval*, section 8.4;
    trec_eval's ``P``.

    Examples
    --------
    >>> precision_at_k(np.array([[True, False, True], [False, False, True]]), 2)
    array([0.5, 0. ])
    """
    return _hits(relevance, k) / k


def recall_at_k(
    relevance: np.ndarray, k: int, *, n_relevant: np.ndarray | None = None
) -> np.ndarray:
    """Share of the relevant candidates that the first k results hold.

    ``hits among the first k / R``.  The denominator is the number of relevant
    candidates in the collection, so a query with R > k cannot reach 1.

    Parameters
    ----------
    relevance : bool array of shape (q, n)
        Best result first.
    k : int
        How many results count.
    n_relevant : int array of shape (q,), optional
        R of each query; without it, the row is the whole ranking.

    Returns
    -------
    recall : float64 array of shape (q,)
        In [0, 1]; 0 where R is 0.

    Raises
    ------
    ValueError
        If `relevance` is no (q, n) array of truth values, k is below 1, or R is
        smaller than the hits in the row.

    References
    ----------
    Manning, Raghavan, Schütze, section 8.3; trec_eval's ``recall``.

    Examples
    --------
    One of two relevant ones, then one of four.

    >>> relevance = np.array([[True, False, True]])
    >>> recall_at_k(relevance, 2), recall_at_k(relevance, 2, n_relevant=[4])
    (array([0.5]), array([0.25]))
    """
    return _share(_hits(relevance, k), _count(relevance, n_relevant))


def hit_rate_at_k(relevance: np.ndarray, k: int) -> np.ndarray:
    """1 where at least one of the first k results is relevant, else 0.

    ``min(1, hits among the first k)``.  There is no denominator; the mean over
    queries is the hit rate, whose denominator is the number of queries.  Papers on
    metric learning call it Recall@K.

    Parameters
    ----------
    relevance : bool array of shape (q, n)
        Best result first.
    k : int
        How many results count.

    Returns
    -------
    hit : float64 array of shape (q,)
        0 or 1.

    Raises
    ------
    ValueError
        If `relevance` is no (q, n) array of truth values, or k is below 1.

    References
    ----------
    trec_eval's ``success``.

    Examples
    --------
    >>> hit_rate_at_k(np.array([[False, True, True], [False, False, True]]), 2)
    array([1., 0.])
    """
    return np.minimum(_hits(relevance, k), 1.0)


def r_precision(
    relevance: np.ndarray, *, n_relevant: np.ndarray | None = None
) -> np.ndarray:
    """Share of the first R results that are relevant, R being each query's own.

    ``hits among the first R / R``.  The denominator is the number of relevant
    candidates, also where the row is shorter; at rank R, precision is recall.

    Parameters
    ----------
    relevance : bool array of shape (q, n)
        Best result first; at least R of them.
    n_relevant : int array of shape (q,), optional
        R of each query; without it, the row is the whole ranking.

    Returns
    -------
    r_precision : float64 array of shape (q,)
        In [0, 1]; 0 where R is 0.

    Raises
    ------
    ValueError
        If `relevance` is no (q, n) array of truth values, or R is smaller than the
        hits in the row.

    References
    ----------
    Manning, Raghavan, Schütze, section 8.4; trec_eval's ``Rprec``.

    Examples
    --------
    R is 2, and one of the first two is right.

    >>> r_precision(np.array([[True, False, True, False]]))
    array([0.5])
    """
    relevance, total = _as_rows(relevance), _count(relevance, n_relevant)
    among_first = _ranks(relevance) <= total[:, None]
    return _share((relevance & among_first).sum(axis=1), total)


def average_precision(
    relevance: np.ndarray,
    *,
    k: int | None = None,
    n_relevant: np.ndarray | None = None,
) -> np.ndarray:
    """Mean of the precision at each relevant result, query by query.

    ``sum of precision@i over the ranks i ≤ k that hold a hit / R``.  The denominator
    is the number of relevant candidates in the collection, for AP@k too: never the
    hits found (one hit at rank 1 of ten would score 1), nor min(k, R) (another
    AP@k).  So AP@k cannot reach 1 where R > k.

    Parameters
    ----------
    relevance : bool array of shape (q, n)
        Best result first.
    k : int, optional
        How many results count; without it, all.
    n_relevant : int array of shape (q,), optional
        R of each query; without it, the row is the whole ranking.

    Returns
    -------
    average_precision : float64 array of shape (q,)
        In [0, 1]; 1 means that every relevant candidate stands before all others; 0
        where R is 0.

    Raises
    ------
    ValueError
        If `relevance` is no (q, n) array of truth values, k is below 1, or R is
        smaller than the hits in the row.

    References
    ----------
    Manning, Raghavan, Schütze, *Introduction to Information Retrieval*, section 8.4;
    trec_eval's ``map`` and ``map_cut``.

    Examples
    --------
    Relevant at ranks 1 and 3: (1/1 + 2/3) / 2, and (1/1) / 2 for the first two.

    >>> relevance = np.array([[True, False, True, False]])
    >>> average_precision(relevance).round(3), average_precision(relevance, k=2)
    (array([0.833]), array([0.5]))
    """
    last = np.inf if k is None else _as_whole(k, "k")
    return _average_precision(relevance, last, _count(relevance, n_relevant))


def average_precision_at_r(
    relevance: np.ndarray, *, n_relevant: np.ndarray | None = None
) -> np.ndarray:
    """Average precision over the first R results, R being each query's own.

    ``sum of precision@i over the ranks i ≤ R that hold a hit / R``.  The denominator
    is the number of relevant candidates.  Stricter than average precision: a hit
    after rank R is worth nothing.

    Parameters
    ----------
    relevance : bool array of shape (q, n)
        Best result first; at least R of them.
    n_relevant : int array of shape (q,), optional
        R of each query; without it, the row is the whole ranking.

    Returns
    -------
    average_precision : float64 array of shape (q,)
        In [0, 1], never above `average_precision` or `r_precision`; 0 where R is 0.

    Raises
    ------
    ValueError
        If `relevance` is no (q, n) array of truth values, or R is smaller than the
        hits in the row.

    References
    ----------
    Musgrave, Belongie, Lim, *A Metric Learning Reality Check*, ECCV 2020.

    Examples
    --------
    R is 2; relevant at ranks 1 and 3, of which only the first counts: (1/1) / 2.

    >>> average_precision_at_r(np.array([[True, False, True, False]]))
    array([0.5])
    """
    total = _count(relevance, n_relevant)
    return _average_precision(relevance, total[:, None], total)


def reciprocal_rank(relevance: np.ndarray) -> np.ndarray:
    """One divided by the rank of the first relevant result.

    ``1 / rank of the first hit``.  The denominator is that rank, counted from 1; no
    hit is worth 0.  Nothing after the first hit matters.

    Parameters
    ----------
    relevance : bool array of shape (q, n)
        Best result first; ``relevance[:, :k]`` for RR@k.

    Returns
    -------
    reciprocal_rank : float64 array of shape (q,)
        In [0, 1].

    Raises
    ------
    ValueError
        If `relevance` is no (q, n) array of truth values.

    References
    ----------
    Voorhees, *The TREC-8 Question Answering Track Report*, 1999; trec_eval's
    ``recip_rank``.

    Examples
    --------
    >>> reciprocal_rank(np.array([[False, True, True], [False, False, False]]))
    array([0.5, 0. ])
    """
    relevance = _as_rows(relevance)
    return (relevance / _ranks(relevance)).max(axis=1, initial=0.0)


def ndcg_at_k(
    relevance: np.ndarray, k: int, *, n_relevant: np.ndarray | None = None
) -> np.ndarray:
    """Gain of the first k results, discounted by rank, relative to the best possible.

    ``DCG / ideal DCG``, where DCG is the sum of 1 / log2(1 + i) over the ranks i ≤ k
    that hold a hit.  The denominator is the DCG of a page that begins with min(k, R)
    hits, so a perfect page scores 1 also where R > k.

    Parameters
    ----------
    relevance : bool array of shape (q, n)
        Best result first.
    k : int
        How many results count.
    n_relevant : int array of shape (q,), optional
        R of each query; without it, the row is the whole ranking.

    Returns
    -------
    ndcg : float64 array of shape (q,)
        In [0, 1]; 0 where R is 0.

    Raises
    ------
    ValueError
        If `relevance` is no (q, n) array of truth values, k is below 1, or R is
        smaller than the hits in the row.

    References
    ----------
    Järvelin, Kekäläinen, *Cumulated gain-based evaluation of IR techniques*, ACM TOIS
    20(4), 2002, with the log2(1 + rank) discount of trec_eval's ``ndcg_cut``.

    Examples
    --------
    Relevant at ranks 1 and 3: (1 + 1/2) / (1 + 1/log2(3)).

    >>> ndcg_at_k(np.array([[True, False, True, False]]), 4).round(3)
    array([0.92])
    """
    relevance, total = _as_rows(relevance), _count(relevance, n_relevant)
    k = _as_whole(k, "k")
    gains = relevance / np.log2(1 + _ranks(relevance))  # (q, n)
    best = np.minimum(total, k)  # hits on a perfect page
    discounts = 1 / np.log2(1 + np.arange(1, best.max(initial=0) + 1))
    # Both sums add one by one, so that a perfect page is worth 1 to the last digit.
    ideal = np.concatenate([[0.0], discounts.cumsum()])[best]
    total_gain = gains[:, :k].cumsum(axis=1).max(axis=1, initial=0.0)
    return total_gain / np.where(best > 0, ideal, 1.0)


# Means over queries


def mean_average_precision(
    relevance: np.ndarray,
    *,
    k: int | None = None,
    n_relevant: np.ndarray | None = None,
) -> float:
    """mAP: the mean of `average_precision` over all queries.

    ``sum of AP / q``.  The denominator is the number of queries, those with R = 0
    included; within a query it is R.

    Parameters
    ----------
    relevance : bool array of shape (q, n)
        Best result first.
    k : int, optional
        How many results count (mAP@k); without it, all.
    n_relevant : int array of shape (q,), optional
        R of each query; without it, the row is the whole ranking.

    Returns
    -------
    mean_average_precision : float
        In [0, 1].

    Raises
    ------
    ValueError
        As `average_precision`, and if there is no query.

    References
    ----------
    Manning, Raghavan, Schütze, *Introduction to Information Retrieval*, section 8.4.

    Examples
    --------
    >>> mean_average_precision(np.array([[True, False], [False, True]]))
    0.75
    """
    return _mean(average_precision(relevance, k=k, n_relevant=n_relevant))


def mean_average_precision_at_r(
    relevance: np.ndarray, *, n_relevant: np.ndarray | None = None
) -> float:
    """MAP@R: the mean of `average_precision_at_r` over all queries.

    ``sum of AP@R / q``.  The denominator is the number of queries, those with R = 0
    included; within a query it is R.

    Parameters
    ----------
    relevance : bool array of shape (q, n)
        Best result first; at least R of them.
    n_relevant : int array of shape (q,), optional
        R of each query; without it, the row is the whole ranking.

    Returns
    -------
    map_at_r : float
        In [0, 1].

    Raises
    ------
    ValueError
        As `average_precision_at_r`, and if there is no query.

    References
    ----------
    Musgrave, Belongie, Lim, *A Metric Learning Reality Check*, ECCV 2020.

    Examples
    --------
    >>> mean_average_precision_at_r(np.array([[True, False], [False, True]]))
    0.5
    """
    return _mean(average_precision_at_r(relevance, n_relevant=n_relevant))


def mean_reciprocal_rank(relevance: np.ndarray) -> float:
    """MRR: the mean of `reciprocal_rank` over all queries.

    ``sum of 1 / rank of the first hit / q``.  The denominator is the number of
    queries, those without a hit included.

    Parameters
    ----------
    relevance : bool array of shape (q, n)
        Best result first; ``relevance[:, :k]`` for MRR@k.

    Returns
    -------
    mean_reciprocal_rank : float
        In [0, 1].

    Raises
    ------
    ValueError
        If `relevance` is no (q, n) array of truth values, or there is no query.

    References
    ----------
    Voorhees, *The TREC-8 Question Answering Track Report*, 1999.

    Examples
    --------
    >>> mean_reciprocal_rank(np.array([[True, False], [False, True], [False, False]]))
    0.5
    """
    return _mean(reciprocal_rank(relevance))


def score_retrieval(
    queries: np.ndarray,
    embeddings: np.ndarray,
    query_labels: np.ndarray,
    labels: np.ndarray,
    *,
    exclude: np.ndarray | None = None,
) -> RetrievalScores:
    """Rank by cosine similarity and average the scores over all queries.

    Parameters
    ----------
    queries : float array of shape (q, d)
        Unit vectors.
    embeddings : float array of shape (n, d)
        Unit vectors of the candidates.
    query_labels, labels : arrays of shape (q,) and (n,)
        What is in each picture.
    exclude : bool array of shape (q, n), optional
        Candidates that must not count for a query: see `same_id`.

    Returns
    -------
    scores : RetrievalScores
        A query for which `exclude` leaves no relevant candidate is not counted.

    Raises
    ------
    ValueError
        If the shapes do not fit together, or no query has a relevant candidate.

    Examples
    --------
    >>> scores = score_retrieval(np.eye(2), np.eye(2), ["a", "b"], ["a", "b"])
    >>> scores.precision_at_1, scores.mean_average_precision
    (1.0, 1.0)
    """
    relevance = rank_relevance(
        queries @ embeddings.T, query_labels, labels, exclude=exclude
    )
    relevance = relevance[relevance.any(axis=1)]
    if not len(relevance):
        raise ValueError(
            "No query has a relevant candidate: query_labels and labels share nothing "
            "that exclude leaves. Check that both name things the same way."
        )
    return RetrievalScores(
        _mean(precision_at_k(relevance, 1)),
        _mean(precision_at_k(relevance, 5)),
        mean_average_precision(relevance),
        len(relevance),
    )


# Approximate against exact search


def ann_recall(
    ids: np.ndarray,
    exact_ids: np.ndarray,
    *,
    similarities: np.ndarray | None = None,
    exact_similarities: np.ndarray | None = None,
    tolerance: float = 1e-5,
) -> np.ndarray:
    """Share of the true k nearest neighbours that an approximate search found.

    ``size of (ids found ∩ exact ids) / k``.  The denominator is k, the number of
    exact neighbours, also where fewer were found.  Order does not matter; an id found
    twice counts once, −1 never.  With ``exact_ids[:, :1]`` it is FAISS's R@n.

    With similarities, a result also counts that is as near as the k-th neighbour:
    where several stand equally far, which of them comes last is chance.

    Parameters
    ----------
    ids : int array of shape (q, m)
        What the approximate index found; m is usually k.
    exact_ids : int array of shape (q, k)
        What an exact index found; −1 if the collection is smaller than k, and then
        the denominator is what it holds.
    similarities : float array of shape (q, m), optional
        True similarity of each of `ids`; for distances pass ``-distances``.  A
        compressed index (PQ, SQ) reports estimates: compute them from the vectors.
    exact_similarities : float array of shape (q, k), optional
        Similarity of each of `exact_ids`, best first; ``-distances`` for distances.
    tolerance : float
        How much less similar than the k-th neighbour still is equally near.

    Returns
    -------
    recall : float64 array of shape (q,)
        In [0, 1].

    Raises
    ------
    ValueError
        If the shapes do not fit together, only one of the two similarities is given,
        those rise from left to right, or a row of `exact_ids` holds no neighbour.

    References
    ----------
    Aumüller, Bernhardsson, Faithfull, *ANN-Benchmarks*, Information Systems 87, 2020,
    whose recall compares distances.

    Examples
    --------
    Two of three; but 9 is exactly as near as 4.

    >>> ids, exact_ids = np.array([[1, 2, 9]]), np.array([[2, 1, 4]])
    >>> ann_recall(ids, exact_ids).round(2)
    array([0.67])
    >>> ann_recall(
    ...     ids,
    ...     exact_ids,
    ...     similarities=np.array([[0.8, 0.9, 0.5]]),
    ...     exact_similarities=np.array([[0.9, 0.8, 0.5]]),
    ... )
    array([1.])
    """
    ids, exact_ids = _as_ids(ids, "ids"), _as_ids(exact_ids, "exact_ids")
    if len(ids) != len(exact_ids):
        raise ValueError(
            f"ids and exact_ids must hold the same queries. "
            f"Received: {len(ids)} and {len(exact_ids)} rows."
        )
    n_neighbours = _first_appearance(exact_ids).sum(axis=1)
    if not n_neighbours.all():
        row = int(np.flatnonzero(n_neighbours == 0)[0])
        raise ValueError(
            f"exact_ids must hold at least one neighbour a query. Row {row} holds "
            "none. Was anything added to the exact index?"
        )
    pairs = zip(ids, exact_ids, strict=True)
    near = np.array([np.isin(*pair) for pair in pairs]).reshape(ids.shape)
    if similarities is not None or exact_similarities is not None:
        similarities = _as_companion(similarities, ids, "similarities")
        near |= similarities >= _last_similarity(
            exact_ids, exact_similarities, tolerance
        )
    hits = (near & _first_appearance(ids)).sum(axis=1)
    return np.minimum(hits, n_neighbours) / n_neighbours


# How sure


def bootstrap_mean(
    values: np.ndarray,
    *,
    confidence: float = 0.95,
    n_resamples: int = 10_000,
    seed: int | np.random.Generator = 0,
) -> Interval:
    """Mean over queries, and how far other queries might have moved it.

    Draws q of the q values with replacement, takes their mean, and again; the
    interval is what the middle 95 % of those means span (percentile bootstrap).  It
    knows only the luck in choosing queries, and takes them for independent: of five
    views of one thing, pass the mean.  It is too narrow for few queries, and of no
    width where all values are equal.

    Parameters
    ----------
    values : float array of shape (q,)
        One score a query; at least two.
    confidence : float
        Share of the resampled means inside the interval.
    n_resamples : int
        How often to draw.
    seed : int or numpy.random.Generator
        The same seed gives the same interval.

    Returns
    -------
    interval : Interval
        The mean and the ends of its interval, in the units of `values`.

    Raises
    ------
    ValueError
        If `values` is no (q,) array of at least two finite numbers, `confidence` is
        not between 0 and 1, or `n_resamples` is below 1.

    References
    ----------
    Efron, Tibshirani, *An Introduction to the Bootstrap*, 1993, chapter 13.

    Examples
    --------
    >>> print(bootstrap_mean(np.array([0.0, 1.0] * 50)))
    0.50 [0.40, 0.60]
    """
    values = _as_values(values, "values")
    if not 0 < confidence < 1:
        raise ValueError(
            f"confidence must be between 0 and 1. Received: {confidence}. "
            "Write 95 % as 0.95."
        )
    rng = np.random.default_rng(seed)
    blocks = _blocks(n_resamples, len(values))
    means = [rng.choice(values, block).mean(axis=1) for block in blocks]
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
    return Interval(float(values.mean()), float(low), float(high))


def compare_paired(
    scores_a: np.ndarray,
    scores_b: np.ndarray,
    *,
    confidence: float = 0.95,
    n_resamples: int = 10_000,
    seed: int | np.random.Generator = 0,
) -> PairedComparison:
    """Mean difference of A over B on the same queries, its interval and p-value.

    The interval is `bootstrap_mean` of ``scores_a - scores_b``.  The p-value is a
    sign-flip permutation test, two-sided: were A and B alike, each difference might
    as well have had the other sign; p is how often random signs give a mean as far
    from 0 as the one measured.  ``(1 + times as far) / (1 + n_resamples)``, never 0.

    Parameters
    ----------
    scores_a, scores_b : float arrays of shape (q,)
        One score a query, the same query at the same position.
    confidence : float
        Share of the resampled means inside the interval.
    n_resamples : int
        How often to draw, for the interval and for the test.
    seed : int or numpy.random.Generator
        The same seed gives the same answer.

    Returns
    -------
    comparison : PairedComparison
        `difference` is positive where A is better; `p_value` in (0, 1].

    Raises
    ------
    ValueError
        As `bootstrap_mean`, and if the two do not have the same length.

    References
    ----------
    Smucker, Allan, Carterette, *A Comparison of Statistical Significance Tests for
    Information Retrieval Evaluation*, CIKM 2007.

    Examples
    --------
    Better on all ten queries: only 2 of the 1024 ways to choose signs are as far off.

    >>> comparison = compare_paired(np.full(10, 0.7), np.full(10, 0.5))
    >>> round(comparison.difference.value, 2), comparison.p_value < 0.01
    (0.2, True)
    """
    scores_a = _as_values(scores_a, "scores_a")
    scores_b = _as_values(scores_b, "scores_b")
    if scores_a.shape != scores_b.shape:
        raise ValueError(
            f"scores_a and scores_b must be of the same queries. "
            f"Received: {len(scores_a)} and {len(scores_b)}."
        )
    rng = np.random.default_rng(seed)
    differences = scores_a - scores_b
    interval = bootstrap_mean(
        differences, confidence=confidence, n_resamples=n_resamples, seed=rng
    )
    p_value = _sign_flip_p_value(differences, n_resamples, rng)
    return PairedComparison(interval, p_value, len(differences))


# What the functions above share


def _as_rows(relevance: np.ndarray) -> np.ndarray:
    relevance = np.asarray(relevance)
    if relevance.ndim != 2:
        raise ValueError(
            f"relevance must have shape (queries, results). "
            f"Received: {relevance.shape}. Add a query axis: relevance[None]."
        )
    if relevance.dtype != bool and not np.isin(relevance, (0, 1)).all():
        raise ValueError(
            f"relevance must be true or false. Received: {relevance.dtype} values "
            "other than 0 and 1. Are these ids? mark_relevant(ids, query_labels, "
            "labels) makes relevance of them."
        )
    return relevance.astype(bool)


def _as_whole(number: int, name: str) -> int:
    if not isinstance(number, int | np.integer) or number < 1:
        raise ValueError(
            f"{name} must be a whole number of at least 1. Received: {number}."
        )
    return int(number)


def _as_ids(ids: np.ndarray, name: str) -> np.ndarray:
    ids = np.asarray(ids)
    if ids.ndim != 2 or ids.dtype.kind not in "iu":
        raise ValueError(
            f"{name} must be whole numbers of shape (queries, results). Received: "
            f"{ids.dtype} of shape {ids.shape}. index.search returns the similarities "
            "first and the ids second."
        )
    return ids.astype(np.int64)


def _as_companion(values: np.ndarray | None, ids: np.ndarray, name: str) -> np.ndarray:
    """Check that there is one number for each id."""
    shape = None if values is None else np.shape(values)
    if shape != ids.shape:
        raise ValueError(
            f"{name} must hold one number for each id: {ids.shape}. Received: {shape}. "
            "Pass both results of the same search."
        )
    return np.asarray(values)


def _as_values(values: np.ndarray, name: str) -> np.ndarray:
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise ValueError(
            f"{name} must hold one finite score a query, for at least 2 queries. "
            f"Received: shape {values.shape}, {np.isfinite(values).sum()} finite."
        )
    return values


def _as_comparable(
    of_queries: np.ndarray, of_candidates: np.ndarray, name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Check that equality between the two can mean something."""
    pair = np.asarray(of_queries), np.asarray(of_candidates)
    if any(array.ndim != 1 for array in pair):
        raise ValueError(
            f"query_{name} and {name} must be one-dimensional. "
            f"Received: shapes {pair[0].shape} and {pair[1].shape}."
        )
    text = [array.dtype.kind in "US" for array in pair]
    numbers = [array.dtype.kind in "biuf" and array.size > 0 for array in pair]
    if any(text) and any(numbers):  # NumPy calls all of them different
        raise ValueError(
            f"query_{name} and {name} must be of one kind. "
            f"Received: {pair[0].dtype} and {pair[1].dtype}. Convert one: .astype(str)."
        )
    return pair


def _relevant_candidates(
    query_labels: np.ndarray, labels: np.ndarray, exclude: np.ndarray | None
) -> np.ndarray:
    query_labels, labels = _as_comparable(query_labels, labels, "labels")
    relevant = query_labels[:, None] == labels[None, :]  # (q, n)
    if exclude is None:
        return relevant
    if np.shape(exclude) != relevant.shape:
        raise ValueError(
            f"exclude must have one row a query and one column a candidate: "
            f"{relevant.shape}. Received: {np.shape(exclude)}."
        )
    return relevant & ~np.asarray(exclude, dtype=bool)


def _count(relevance: np.ndarray, n_relevant: np.ndarray | None) -> np.ndarray:
    """R of each query: what the caller says, or else the trues of the row."""
    hits = _as_rows(relevance).sum(axis=1)
    if n_relevant is None:
        return hits
    n_relevant = np.asarray(n_relevant)
    if n_relevant.shape != hits.shape or n_relevant.dtype.kind not in "iu":
        raise ValueError(
            f"n_relevant must hold one whole number a query: {hits.shape}. "
            f"Received: {n_relevant.dtype} of shape {n_relevant.shape}."
        )
    if (n_relevant < hits).any():
        row = int(np.flatnonzero(n_relevant < hits)[0])
        raise ValueError(
            f"n_relevant must be at least the number of hits. Row {row} has "
            f"{hits[row]} hits, but n_relevant {n_relevant[row]}. Count in the whole "
            "collection (count_relevant), and each id once (mark_relevant)."
        )
    return n_relevant.astype(np.int64)


def _hits(relevance: np.ndarray, k: int) -> np.ndarray:
    return _as_rows(relevance)[:, : _as_whole(k, "k")].sum(axis=1)


def _ranks(relevance: np.ndarray) -> np.ndarray:
    return np.arange(1, relevance.shape[1] + 1)


def _share(part: np.ndarray, total: np.ndarray) -> np.ndarray:
    return part / np.maximum(total, 1)  # 0 of 0 is 0


def _average_precision(
    relevance: np.ndarray, last: np.ndarray | float, total: np.ndarray
) -> np.ndarray:
    relevance = _as_rows(relevance)
    ranks = _ranks(relevance)
    precision = relevance.cumsum(axis=1) / ranks  # (q, n)
    counts = relevance & (ranks <= last)
    return _share((precision * counts).sum(axis=1), total)


def _mean(values: np.ndarray) -> float:
    if not len(values):
        raise ValueError(
            "relevance must hold at least one query. Received: none. Does the filter "
            "before it leave any?"
        )
    return float(values.mean())


def _first_appearance(ids: np.ndarray) -> np.ndarray:
    """True where a row holds an id for the first time; never for −1."""
    order = np.argsort(ids, axis=1, kind="stable")
    ordered = np.take_along_axis(ids, order, axis=1)
    new = ordered != -1
    new[:, 1:] &= ordered[:, 1:] != ordered[:, :-1]
    first = np.empty_like(new)
    np.put_along_axis(first, order, new, axis=1)
    return first


def _last_similarity(
    exact_ids: np.ndarray, exact_similarities: np.ndarray | None, tolerance: float
) -> np.ndarray:
    """Similarity from which on a result is as near as the k-th neighbour: (q, 1)."""
    exact = _as_companion(exact_similarities, exact_ids, "exact_similarities")
    there = exact_ids != -1
    if (exact[:, 1:] > exact[:, :-1] + tolerance).any():
        raise ValueError(
            "exact_similarities must fall from left to right, best first. Received: "
            "rising ones. If these are distances, pass them negative: -distances."
        )
    return np.where(there, exact, np.inf).min(axis=1, keepdims=True) - tolerance


def _blocks(n_resamples: int, width: int) -> list[tuple[int, int]]:
    """Shapes of the random draws: as many rows as fit into about 8 MB at once."""
    rows = max(1, 1_000_000 // width)
    whole, rest = divmod(_as_whole(n_resamples, "n_resamples"), rows)
    return [(rows, width)] * whole + [(rest, width)] * (rest > 0)


def _sign_flip_p_value(
    differences: np.ndarray, n_resamples: int, rng: np.random.Generator
) -> float:
    rounding = 1e-9 * np.abs(differences).sum()  # ties are as far
    enough = abs(differences.sum()) - rounding
    as_far = 0
    for block in _blocks(n_resamples, len(differences)):
        sums = rng.choice((-1.0, 1.0), block) @ differences
        as_far += np.count_nonzero(np.abs(sums) >= enough)
    return float((1 + as_far) / (1 + n_resamples))
