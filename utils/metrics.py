"""How good is a ranking?  Plain NumPy, small enough to check by hand.

Every function takes *relevance*: one row a query, one column a result, best result
first, true where the result is of the right kind.

>>> import numpy as np
>>> relevance = np.array([[True, False, True, False, False]])
>>> precision_at_k(relevance, 5)
array([0.4])
"""

from typing import NamedTuple

import numpy as np


class RetrievalScores(NamedTuple):
    """Averages over all queries, each in [0, 1]; `n` is the number of queries."""

    precision_at_1: float
    precision_at_5: float
    mean_average_precision: float
    n: int


def rank_relevance(
    similarities: np.ndarray,
    query_labels: np.ndarray,
    labels: np.ndarray,
    *,
    exclude: np.ndarray | None = None,
) -> np.ndarray:
    """Sort each query's candidates by similarity and mark those of its own label.

    Parameters
    ----------
    similarities : float array of shape (q, n)
        Larger is more similar.
    query_labels : array of shape (q,)
        The label of each query.
    labels : array of shape (n,)
        The label of each candidate.
    exclude : bool array of shape (q, n), optional
        True where a candidate must not count for a query (the query itself, say).
        It is moved to the end of the row and is never relevant.

    Returns
    -------
    relevance : bool array of shape (q, n)
        Best candidate first.

    Raises
    ------
    ValueError
        If the shapes do not fit together.

    Examples
    --------
    >>> similarities = np.array([[0.1, 0.9, 0.5]])
    >>> rank_relevance(similarities, ["mug"], ["mug", "hat", "mug"])
    array([[False,  True,  True]])
    """
    similarities = np.asarray(similarities)
    query_labels, labels = np.asarray(query_labels), np.asarray(labels)
    expected = (len(query_labels), len(labels))
    if similarities.shape != expected:
        raise ValueError(
            f"similarities must have one row a query and one column a candidate: "
            f"{expected}. Received: {similarities.shape}."
        )
    relevant = query_labels[:, None] == labels[None, :]
    if exclude is not None:
        if exclude.shape != expected:
            raise ValueError(
                f"exclude must have the shape of similarities, {expected}. "
                f"Received: {exclude.shape}."
            )
        similarities = np.where(exclude, -np.inf, similarities)
        relevant = relevant & ~exclude
    order = np.argsort(-similarities, axis=1, kind="stable")
    return np.take_along_axis(relevant, order, axis=1)


def precision_at_k(relevance: np.ndarray, k: int) -> np.ndarray:
    """Share of the first k results that are relevant, query by query.

    The denominator is k, also where fewer than k results were found: an empty place
    on the page helps nobody.

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
        If `relevance` is not two-dimensional or k is below 1.

    Examples
    --------
    >>> precision_at_k(np.array([[True, False, True], [False, False, True]]), 2)
    array([0.5, 0. ])
    """
    relevance = _as_rows(relevance)
    if k < 1:
        raise ValueError(f"k must be at least 1. Received: {k}.")
    return relevance[:, :k].sum(axis=1) / k


def average_precision(relevance: np.ndarray) -> np.ndarray:
    """Mean of the precision at each relevant result, query by query.

    The denominator is the number of relevant candidates in the row, so the row must
    hold the whole ranking; a query without any is worth 0.

    Parameters
    ----------
    relevance : bool array of shape (q, n)
        The whole ranking, best result first.

    Returns
    -------
    average_precision : float64 array of shape (q,)
        In [0, 1]; 1 means that every relevant candidate stands before all others.

    Raises
    ------
    ValueError
        If `relevance` is not two-dimensional.

    References
    ----------
    Manning, Raghavan, Schütze, *Introduction to Information Retrieval*, section 8.4.

    Examples
    --------
    Relevant at ranks 1 and 3: (1/1 + 2/3) / 2.

    >>> average_precision(np.array([[True, False, True, False]])).round(3)
    array([0.833])
    """
    relevance = _as_rows(relevance)
    ranks = np.arange(1, relevance.shape[1] + 1)
    precision = relevance.cumsum(axis=1) / ranks
    total = relevance.sum(axis=1)
    return (precision * relevance).sum(axis=1) / np.maximum(total, 1)


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
        Candidates that must not count for a query.

    Returns
    -------
    scores : RetrievalScores
        A query for which `exclude` leaves no relevant candidate is not counted.

    Raises
    ------
    ValueError
        If the shapes do not fit together.

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
        float(precision_at_k(relevance, 1).mean()),
        float(precision_at_k(relevance, 5).mean()),
        float(average_precision(relevance).mean()),
        len(relevance),
    )


def _as_rows(relevance: np.ndarray) -> np.ndarray:
    relevance = np.asarray(relevance, dtype=bool)
    if relevance.ndim != 2:
        raise ValueError(
            f"relevance must have shape (queries, results). "
            f"Received: {relevance.shape}. Add a query axis: relevance[None]."
        )
    return relevance
