"""Scores on rankings small enough to check by hand, and against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import average_precision_score

from utils.metrics import (
    average_precision,
    precision_at_k,
    rank_relevance,
    score_retrieval,
)

YES, NO = True, False


def test_precision_divides_by_k_even_where_fewer_were_found():
    assert precision_at_k(np.array([[YES, YES]]), 4).tolist() == [0.5]


def test_precision_ignores_what_comes_after_k():
    assert precision_at_k(np.array([[NO, YES, YES]]), 1).tolist() == [0.0]


def test_one_hit_in_ten_is_not_worth_one():
    """The common mistake: dividing by the hits among the first k only."""
    relevance = np.array([[YES] + [NO] * 8 + [YES]])
    assert average_precision(relevance)[0] == pytest.approx((1 / 1 + 2 / 10) / 2)


def test_a_query_without_relevant_candidates_is_worth_nothing():
    assert average_precision(np.array([[NO, NO]])).tolist() == [0.0]


@given(arrays(bool, (3, 12), elements=st.booleans()))
def test_average_precision_agrees_with_scikit_learn(relevance):
    relevance[:, 5] = True  # scikit-learn wants at least one
    scores = -np.arange(12)
    expected = [average_precision_score(row, scores) for row in relevance]
    np.testing.assert_allclose(average_precision(relevance), expected)


def test_an_excluded_candidate_is_neither_a_hit_nor_in_the_way():
    similarities = np.array([[0.9, 0.8, 0.1]])
    exclude = np.array([[YES, NO, NO]])
    relevance = rank_relevance(similarities, ["a"], ["a", "a", "b"], exclude=exclude)
    assert relevance.tolist() == [[YES, NO, NO]]


def test_equal_similarities_keep_the_order_of_the_ids():
    relevance = rank_relevance(np.zeros((1, 3)), ["b"], ["a", "b", "b"])
    assert relevance.tolist() == [[NO, YES, YES]]


def test_scores_leave_out_queries_that_have_nothing_to_find():
    vectors = np.eye(3, dtype="float32")
    scores = score_retrieval(vectors, vectors[:2], ["a", "b", "c"], ["a", "b"])
    assert (scores.n, scores.precision_at_1) == (2, 1.0)


def test_scores_of_unrelated_labels_are_refused():
    with pytest.raises(ValueError, match="No query has a relevant candidate"):
        score_retrieval(np.eye(2), np.eye(2), ["a", "b"], ["c", "d"])


def test_a_missing_query_axis_is_explained():
    with pytest.raises(ValueError, match=r"relevance\[None\]"):
        precision_at_k(np.array([YES, NO]), 1)


def test_k_below_one_is_refused():
    with pytest.raises(ValueError, match="at least 1. Received: 0"):
        precision_at_k(np.array([[YES]]), 0)


def test_shapes_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"\(1, 2\). Received: \(1, 3\)"):
        rank_relevance(np.zeros((1, 3)), ["a"], ["a", "b"])
    with pytest.raises(ValueError, match=r"exclude must .* Received: \(2, 2\)"):
        exclude = np.zeros((2, 2), dtype=bool)
        rank_relevance(np.zeros((1, 2)), ["a"], ["a", "b"], exclude=exclude)
