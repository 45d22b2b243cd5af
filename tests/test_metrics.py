"""Scores on rankings small enough to check by hand, and against other libraries.

trec_eval (through pytrec_eval) and scikit-learn judge the scores, a few lines of NumPy
the intervals and p-values that SciPy computes.
"""

import itertools
import warnings

import numpy as np
import pytest
import pytrec_eval
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import average_precision_score, ndcg_score

from utils.indexes import build_index
from utils.metrics import (
    Interval,
    PairedComparison,
    ann_recall,
    average_precision,
    bootstrap_mean,
    compare_paired,
    count_relevant,
    drop_self,
    hit_rate_at_k,
    ndcg_at_k,
    precision_at_k,
    r_precision,
    rank_relevance,
    recall_at_k,
    reciprocal_rank,
    same_id,
    score_retrieval,
)

YES, NO = True, False
NEED_R = [
    lambda relevance, **r: recall_at_k(relevance, 3, **r),
    lambda relevance, **r: ndcg_at_k(relevance, 3, **r),
    lambda relevance, **r: average_precision(relevance, k=3, **r),
    average_precision,
    r_precision,
]
SCORES = [
    *NEED_R,
    lambda relevance: precision_at_k(relevance, 3),
    lambda relevance: hit_rate_at_k(relevance, 3),
    reciprocal_rank,
]
every_score = pytest.mark.parametrize("score", SCORES)
rankings = arrays(bool, (4, 9), elements=st.booleans())
missed = arrays(int, (4,), elements=st.integers(0, 6))
unhurried = settings(deadline=None, max_examples=50)  # the machine may be busy
cutoffs = st.integers(1, 12)  # also more than the nine results


# By hand


def test_precision_divides_by_k_even_where_fewer_were_found():
    assert precision_at_k(np.array([[YES, YES]]), 4).tolist() == [0.5]


def test_precision_ignores_what_comes_after_k():
    assert precision_at_k(np.array([[NO, YES, YES]]), 1).tolist() == [0.0]


def test_recall_divides_by_the_relevant_candidates_of_the_collection():
    relevance = np.array([[YES, NO, YES, NO]])
    assert recall_at_k(relevance, 1).tolist() == [1 / 2]
    assert recall_at_k(relevance, 9).tolist() == [1.0]
    assert recall_at_k(relevance, 9, n_relevant=[8]).tolist() == [2 / 8]


def test_hit_rate_asks_for_one_hit_however_many_there_are():
    relevance = np.array([[YES, YES, NO], [NO, NO, YES]])
    assert hit_rate_at_k(relevance, 2).tolist() == [1.0, 0.0]


def test_one_hit_in_ten_is_not_worth_one():
    """The common mistake: dividing by the hits among the first k only."""
    relevance = np.array([[YES] + [NO] * 8 + [YES]])
    assert average_precision(relevance)[0] == pytest.approx((1 / 1 + 2 / 10) / 2)
    page = relevance[:, :5]
    assert average_precision(page, n_relevant=[10]).tolist() == [1 / 10]


def test_average_precision_at_k_divides_by_r_and_not_by_k():
    relevance = np.array([[YES, YES, NO, YES]])
    assert average_precision(relevance, k=2).tolist() == [2 / 3]


def test_a_hit_after_rank_r_is_worth_nothing_at_r():
    relevance = np.array([[YES, NO, YES, NO], [NO, NO, YES, YES]])
    assert r_precision(relevance).tolist() == [0.5, 0.0]


def test_reciprocal_rank_sees_the_first_hit_only():
    relevance = np.array([[NO, NO, YES, YES], [YES, NO, NO, NO]])
    assert reciprocal_rank(relevance).tolist() == [1 / 3, 1.0]


def test_ndcg_of_a_full_page_is_one_although_more_are_relevant():
    assert ndcg_at_k(np.array([[YES, YES]]), 2, n_relevant=[50]).tolist() == [1.0]


def test_a_query_without_hits_stays_in_the_mean():
    """Leaving it out would report what was found among what was found."""
    relevance = np.array([[YES, NO], [NO, NO]])
    assert reciprocal_rank(relevance).mean() == 0.5
    assert average_precision(relevance, n_relevant=[1, 3]).mean() == 0.5


# Edges


@every_score
def test_a_query_without_relevant_candidates_is_worth_nothing(score):
    assert score(np.array([[NO, NO]])).tolist() == [0.0]


@every_score
def test_a_row_without_results_is_worth_nothing(score):
    assert score(np.zeros((2, 0), dtype=bool)).tolist() == [0.0, 0.0]


@every_score
def test_no_queries_have_no_scores(score):
    assert score(np.zeros((0, 5), dtype=bool)).shape == (0,)


@every_score
def test_zeros_and_ones_are_truth_values(score):
    relevance = np.array([[1, 0, 1, 0]])
    assert score(relevance).tolist() == score(relevance.astype(bool)).tolist()


@every_score
def test_a_missing_query_axis_is_explained(score):
    with pytest.raises(ValueError, match=r"Received: .* \(2,\).*relevance\[None\]"):
        score(np.array([YES, NO]))


@every_score
def test_ids_are_not_taken_for_relevance(score):
    with pytest.raises(ValueError, match=r"If these are ids.*labels\[ids\]"):
        score(np.array([[17, 4, 0]]))


@pytest.mark.parametrize("score", [precision_at_k, recall_at_k, hit_rate_at_k])
def test_k_below_one_or_broken_is_refused(score):
    with pytest.raises(ValueError, match="k must .* at least 1. Received: 0"):
        score(np.array([[YES]]), 0)
    for broken in (2.5, "2", YES):
        with pytest.raises(ValueError, match=f"k must be a whole .*: {broken!r}"):
            score(np.array([[YES]]), broken)


def test_k_of_every_kind_of_score_is_checked():
    for score in (ndcg_at_k, lambda relevance, k: average_precision(relevance, k=k)):
        with pytest.raises(ValueError, match="k must .* Received: -1"):
            score(np.array([[YES]]), -1)


@pytest.mark.parametrize("score", NEED_R)
def test_fewer_relevant_candidates_than_hits_are_refused(score):
    """So one picture found twice cannot lift a score above 1."""
    with pytest.raises(ValueError, match="Row 1 has 2 hits, but n_relevant 1"):
        score(np.array([[YES, NO], [YES, YES]]), n_relevant=np.array([1, 1]))


@pytest.mark.parametrize("score", NEED_R)
def test_n_relevant_must_be_one_whole_number_a_query(score):
    for wrong in ([1], 2, [1.0, 1.0]):
        with pytest.raises(ValueError, match=r"per query: \(2,\). Received: .*"):
            score(np.array([[YES, NO], [NO, NO]]), n_relevant=wrong)


# Against other libraries


def trec_eval(relevance, n_missed, k):
    """The scores of trec_eval, by name, one array of shape (q,) each."""
    judged, found = {}, {}
    for q, (row, n) in enumerate(zip(relevance.tolist(), n_missed, strict=True)):
        found[str(q)] = {f"found{i}": float(-i) for i in range(len(row))}
        judged[str(q)] = {f"found{i}": int(hit) for i, hit in enumerate(row)}
        judged[str(q)] |= {f"missed{i}": 1 for i in range(n)}
    names = {"map", "Rprec", "recip_rank"}
    cut = {f"{name}.{k}" for name in "P recall success map_cut ndcg_cut".split()}
    answer = pytrec_eval.RelevanceEvaluator(judged, names | cut).evaluate(found)
    rows = [answer[str(q)] for q in range(len(relevance))]
    return {name.split(f"_{k}")[0]: [row[name] for row in rows] for name in rows[0]}


@given(rankings, missed, cutoffs)
@unhurried
def test_scores_agree_with_trec_eval(relevance, n_missed, k):
    r = {"n_relevant": relevance.sum(axis=1) + n_missed}
    ours = {
        "P": precision_at_k(relevance, k),
        "recall": recall_at_k(relevance, k, **r),
        "success": hit_rate_at_k(relevance, k),
        "Rprec": r_precision(relevance, **r),
        "map": average_precision(relevance, **r),
        "map_cut": average_precision(relevance, k=k, **r),
        "recip_rank": reciprocal_rank(relevance),
        "ndcg_cut": ndcg_at_k(relevance, k, **r),
    }
    theirs = trec_eval(relevance, n_missed, k)
    assert ours.keys() == theirs.keys()
    for name, values in ours.items():
        np.testing.assert_allclose(values, theirs[name], atol=1e-9, err_msg=name)


@given(rankings, cutoffs)
@unhurried
def test_scores_agree_with_scikit_learn(relevance, k):
    relevance[:, 5] = True  # scikit-learn wants at least one
    scores = -np.arange(9.0)
    expected = [average_precision_score(row, scores) for row in relevance]
    np.testing.assert_allclose(average_precision(relevance), expected)
    expected = [ndcg_score(row[None], scores[None], k=k) for row in relevance]
    np.testing.assert_allclose(ndcg_at_k(relevance, k), expected)


# Properties


@given(rankings)
@unhurried
def test_every_score_lies_between_0_and_1(relevance):
    for score in SCORES:
        assert ((score(relevance) >= 0) & (score(relevance) <= 1)).all()


@given(st.integers(1, 9), st.integers(0, 9))
@unhurried
def test_a_perfect_ranking_scores_one(n_relevant, n_others):
    relevance = np.array([[YES] * n_relevant + [NO] * n_others])
    for score in (average_precision, r_precision):
        assert score(relevance).tolist() == [1.0]
    for k in range(1, n_relevant + 1):
        assert ndcg_at_k(relevance, k).tolist() == [1.0]
    assert recall_at_k(relevance, n_relevant).tolist() == [1.0]
    assert reciprocal_rank(relevance).tolist() == [1.0]


@given(rankings, missed)
@unhurried
def test_recall_and_hit_rate_only_rise_with_k(relevance, n_missed):
    total = relevance.sum(axis=1) + n_missed
    for k in range(1, 12):
        further = recall_at_k(relevance, k + 1, n_relevant=total)
        assert (recall_at_k(relevance, k, n_relevant=total) <= further).all()
        assert (hit_rate_at_k(relevance, k) <= hit_rate_at_k(relevance, k + 1)).all()


@given(rankings, st.integers(0, 7))
@unhurried
def test_a_hit_moved_forward_never_costs(relevance, place):
    worse, better = relevance.copy(), relevance.copy()
    worse[:, place], worse[:, place + 1] = NO, YES
    better[:, place], better[:, place + 1] = YES, NO
    for score in SCORES:
        assert (score(better) >= score(worse) - 1e-12).all()


@given(rankings)
@unhurried
def test_more_irrelevant_results_at_the_end_change_nothing(relevance):
    longer = np.hstack([relevance, np.zeros((4, 3), dtype=bool)])
    for score in SCORES:
        np.testing.assert_allclose(score(longer), score(relevance), atol=1e-12)


@given(st.permutations(range(6)))
@unhurried
def test_the_order_of_irrelevant_candidates_does_not_matter(order):
    similarities = np.array([[0.9, 0.8, 0.7, 0.6, 0.5, 0.4]])
    labels = np.array(["mug", "a", "b", "mug", "c", "d"])
    others = [i for i in order if labels[i] != "mug"]
    shuffled = labels.copy()
    shuffled[[1, 2, 4, 5]] = labels[others]
    for names in (labels, shuffled):
        relevance = rank_relevance(similarities, ["mug"], names)
        assert relevance.tolist() == [[YES, NO, NO, YES, NO, NO]]


@given(st.permutations(range(6)))
@unhurried
def test_the_order_of_the_collection_does_not_matter_without_ties(order):
    similarities = np.array([[0.3, 0.8, 0.1, 0.6, 0.2, 0.9]])
    labels = np.array(list("aabbab"))
    expected = rank_relevance(similarities, ["a"], labels)
    moved = rank_relevance(similarities[:, order], ["a"], labels[order])
    assert moved.tolist() == expected.tolist()


# From similarities or ids to relevance


def test_an_excluded_candidate_is_neither_a_hit_nor_in_the_way():
    similarities = np.array([[0.9, 0.8, 0.1]])
    ignore = np.array([[YES, NO, NO]])
    relevance = rank_relevance(similarities, ["a"], ["a", "a", "b"], ignore=ignore)
    assert relevance.tolist() == [[YES, NO, NO]]


def test_equal_similarities_keep_the_order_of_the_ids():
    relevance = rank_relevance(np.zeros((1, 3)), ["b"], ["a", "b", "b"])
    assert relevance.tolist() == [[NO, YES, YES]]


def test_unsigned_similarities_are_ranked_too():
    similarities = np.array([[0, 200, 100]], dtype=np.uint8)
    relevance = rank_relevance(similarities, ["a"], ["a", "b", "b"])
    assert relevance.tolist() == [[NO, NO, YES]]


def test_a_similarity_that_is_no_number_is_refused():
    similarities = np.array([[0.1, 0.2], [0.1, np.nan]])
    with pytest.raises(ValueError, match="Row 1 holds NaN. Look for a vector of zeros"):
        rank_relevance(similarities, ["a", "b"], ["a", "b"])


def test_shapes_that_do_not_fit_are_named():
    with pytest.raises(
        ValueError, match=r"\(1, 2\). Received: float64 of shape \(1, 3\)"
    ):
        rank_relevance(np.zeros((1, 3)), ["a"], ["a", "b"])
    with pytest.raises(ValueError, match=r"ignore must .* Received: .* \(2, 2\)"):
        ignore = np.zeros((2, 2), dtype=bool)
        rank_relevance(np.zeros((1, 2)), ["a"], ["a", "b"], ignore=ignore)
    with pytest.raises(ValueError, match=r"query_labels must have shape \(queries,\)"):
        rank_relevance(np.zeros((1, 2)), [["a"]], ["a", "b"])


def test_numbers_and_text_are_not_compared():
    """NumPy finds all of them different: nothing would be excluded."""
    with pytest.raises(ValueError, match="query_ids and ids must be of one kind"):
        same_id(np.array([1, 2]), np.array(["1", "2"]))
    for labels in (["1"], np.array([], "U1")):
        with pytest.raises(ValueError, match="_labels and labels must be of one kind"):
            count_relevant(labels, [1])
    assert count_relevant(["1"], []).tolist() == [0]


def test_the_relevant_candidates_are_counted_without_the_excluded():
    ignore = same_id([0, 1], [0, 1, 2])
    labels = ["a", "b", "a"]
    assert count_relevant(["a", "b"], labels).tolist() == [2, 1]
    assert count_relevant(["a", "b"], labels, ignore=ignore).tolist() == [1, 0]


def test_the_query_is_excluded_by_id_wherever_it_stands():
    """Candidate 1 is a copy of the query, 2 is the query, and both score 0.9."""
    similarities = np.array([[0.1, 0.9, 0.9]])
    ignore = same_id(["c.jpg"], ["a.jpg", "b.jpg", "c.jpg"])
    relevance = rank_relevance(similarities, ["x"], ["y", "x", "x"], ignore=ignore)
    assert relevance.tolist() == [[YES, NO, NO]]


def test_the_query_is_dropped_by_id_wherever_it_stands():
    similarities = np.array([[0.9, 0.9, 0.1], [0.8, 0.7, 0.6], [0.5, 0.4, 0.3]])
    ids = np.array([[7, 3, 5], [4, 5, 6], [1, 2, 3]])
    similarities, ids = drop_self(similarities, ids, [3, 9, 1])
    assert ids.tolist() == [[7, 5], [4, 5], [2, 3]]
    assert similarities.tolist() == [[0.9, 0.1], [0.8, 0.7], [0.4, 0.3]]


def test_a_query_found_twice_is_dropped_twice():
    similarities = np.array([[1.0, 1.0, 0.2]], dtype="float32")
    similarities, ids = drop_self(similarities, np.array([[3, 3, 5]]), [3])
    assert ids.tolist() == [[5, -1]]
    assert similarities[0, 0] == np.float32(0.2) and np.isnan(similarities[0, 1])
    assert similarities.dtype == np.float32


def test_a_query_outside_the_collection_drops_no_empty_place():
    similarities, ids = np.array([[0.5, 0.0, 0.0]]), np.array([[4, -1, -1]])
    similarities, ids = drop_self(similarities, ids, [-1])
    assert (similarities.tolist(), ids.tolist()) == ([[0.5, 0.0]], [[4, -1]])


def test_what_a_search_found_must_fit_together():
    ids = np.array([[1, 2]])
    with pytest.raises(
        ValueError, match=r"similarities .* \(1, 2\). Received: .* \(1, 3"
    ):
        drop_self(np.zeros((1, 3)), ids, [1])
    with pytest.raises(ValueError, match=r"query_ids .* \(1,\). Received: .* \(2,\)"):
        drop_self(np.zeros((1, 2)), ids, [1, 2])


def test_the_parts_give_what_the_full_ranking_gives():
    """Search, drop the query, compare labels: as from all similarities."""
    rng = np.random.default_rng(seed=0)
    similarities = rng.normal(size=(20, 20))
    labels, everyone = rng.choice(list("abc"), 20), np.arange(20)
    ignore = same_id(everyone, everyone)
    whole = rank_relevance(similarities, labels, labels, ignore=ignore)
    total = count_relevant(labels, labels, ignore=ignore)
    ids = np.argsort(-similarities, axis=1)[:, :6]
    found = np.take_along_axis(similarities, ids, axis=1)
    _, ids = drop_self(found, ids, everyone)
    page = labels[ids] == labels[:, None]
    assert page.tolist() == whole[:, :5].tolist()
    expected = recall_at_k(whole, 5)
    assert recall_at_k(page, 5, n_relevant=total).tolist() == expected.tolist()


def test_scores_leave_out_queries_that_have_nothing_to_find():
    vectors = np.eye(3, dtype="float32")
    scores = score_retrieval(vectors, vectors[:2], ["a", "b", "c"], ["a", "b"])
    assert (scores.n, scores.precision_at_1) == (2, 1.0)


def test_scores_of_unrelated_labels_are_refused():
    with pytest.raises(ValueError, match="No query has a relevant candidate"):
        score_retrieval(np.eye(2), np.eye(2), ["a", "b"], ["c", "d"])


# Approximate against exact search


def test_ann_recall_counts_the_ids_in_any_order():
    ids = np.array([[3, 2, 1], [1, 2, 9], [7, 8, 9]])
    exact_ids = np.array([[1, 2, 3], [1, 2, 3], [1, 2, 3]])
    assert ann_recall(ids, exact_ids).tolist() == [1.0, 2 / 3, 0.0]


def test_ann_recall_agrees_with_faiss_own_evaluation():
    evaluation = pytest.importorskip("faiss.contrib.evaluation")
    vectors = np.random.default_rng(0).normal(size=(2_000, 32)).astype("float32")
    exact = build_index(vectors, metric="l2")
    index = build_index(vectors, "IVF32,Flat", metric="l2")
    for index.nprobe in (1, 2, 4, 8, 32):
        for k in (1, 10, 100):
            _, true_ids = exact.search(vectors[:200], k)
            _, ids = index.search(vectors[:200], k)
            expected = evaluation.knn_intersection_measure(true_ids, ids)
            assert ann_recall(ids, true_ids).mean() == pytest.approx(expected)


def test_ann_recall_divides_by_k_where_fewer_were_found():
    assert ann_recall(np.array([[1]]), np.array([[1, 2]])).tolist() == [0.5]
    assert ann_recall(np.array([[1, -1]]), np.array([[1, 2]])).tolist() == [0.5]


def test_ann_recall_counts_an_id_once_and_an_empty_place_never():
    assert ann_recall(np.array([[1, 1]]), np.array([[1, 2]])).tolist() == [0.5]
    assert ann_recall(np.array([[-1, -1]]), np.array([[1, -1]])).tolist() == [0.0]


def test_ann_recall_of_a_collection_smaller_than_k_can_reach_one():
    assert ann_recall(np.array([[2, 1, -1]]), np.array([[1, 2, -1]])).tolist() == [1.0]


def test_ann_recall_asks_whether_the_nearest_is_among_many():
    ids = np.array([[5, 1, 7], [5, 6, 7]])
    assert ann_recall(ids, np.array([[1], [1]])).tolist() == [1.0, 0.0]


def test_ann_recall_forgives_a_tie_at_the_boundary():
    ids, exact_ids = np.array([[1, 3]]), np.array([[1, 2]])
    exact = np.array([[0.9, 0.5]])
    for last, expected in ((0.5, 1.0), (0.499999, 1.0), (0.49, 0.5)):
        found = np.array([[0.9, last]])
        recall = ann_recall(
            ids, exact_ids, similarities=found, exact_similarities=exact
        )
        assert recall.tolist() == [expected]
        assert ann_recall(ids, exact_ids).tolist() == [0.5]


def test_ann_recall_of_ties_counts_repeats_once_and_never_exceeds_one():
    same, exact_ids = np.full((1, 4), 0.5), np.array([[1, 2]])
    for ids, expected in (([[3, 3, -1, 3]], 0.5), ([[3, 4, 5, 6]], 1.0)):
        recall = ann_recall(
            np.array(ids),
            exact_ids,
            similarities=same,
            exact_similarities=same[:, :2],
        )
        assert recall.tolist() == [expected]


def test_ann_recall_ignores_the_similarity_of_an_empty_place():
    """FAISS writes −1 and the lowest float32 there."""
    lowest = np.finfo("float32").min
    found = np.array([[0.5, lowest]], dtype="float32")
    recall = ann_recall(
        np.array([[1, -1]]),
        np.array([[2, -1]]),
        similarities=found,
        exact_similarities=np.array([[0.9, lowest]], dtype="float32"),
    )
    assert recall.tolist() == [0.0]


def test_ann_recall_takes_negative_distances():
    ids, exact_ids = np.array([[1, 3, 4]]), np.array([[1, 2, 5]])
    distances, exact = np.array([[0.0, 2.0, 2.5]]), np.array([[0.0, 1.0, 2.0]])
    recall = ann_recall(
        ids, exact_ids, similarities=-distances, exact_similarities=-exact
    )
    assert recall.tolist() == [2 / 3]
    late = np.array([[0.9, 0.5, 0.6]])  # rises after it fell
    for rising in (exact, late):
        with pytest.raises(ValueError, match="must fall .* negative: -distances"):
            ann_recall(ids, exact_ids, similarities=late, exact_similarities=rising)


@given(
    arrays(int, (3, 6), elements=st.integers(-1, 9)),
    arrays(int, (3, 4), elements=st.integers(0, 9)),
)
@unhurried
def test_ann_recall_is_the_size_of_an_intersection(ids, exact_ids):
    expected = [
        len(set(row) & set(exact) - {-1}) / len(set(exact))
        for row, exact in zip(ids.tolist(), exact_ids.tolist(), strict=True)
    ]
    np.testing.assert_allclose(ann_recall(ids, exact_ids), expected)


@given(st.integers(0, 1000))
@unhurried
def test_ann_recall_does_not_depend_on_how_ties_were_broken(seed):
    """Coarse similarities tie often; two exact rankings break the ties differently."""
    rng = np.random.default_rng(seed)
    similarities = np.sort(rng.integers(0, 4, size=(1, 12)) / 4)[:, ::-1]
    order = rng.permutation(12)
    other = order[np.argsort(-similarities[0, order], kind="stable")][None, :5]
    recall = ann_recall(
        other,
        np.arange(5)[None],
        similarities=np.take_along_axis(similarities, other, axis=1),
        exact_similarities=similarities[:, :5],
    )
    assert recall.tolist() == [1.0]


def test_ann_recall_refuses_what_does_not_fit():
    ids = np.array([[1, 2]])
    with pytest.raises(
        ValueError, match=r"exact_ids must .* \(1, results\). Received: .* \(2, 1\)"
    ):
        ann_recall(ids, np.array([[1], [2]]))
    with pytest.raises(ValueError, match="Row 0 holds none"):
        ann_recall(ids, np.array([[-1, -1]]))
    with pytest.raises(ValueError, match=r"exact_similarities must .* Received: None"):
        ann_recall(ids, ids, similarities=np.zeros((1, 2)))
    with pytest.raises(ValueError, match=r"similarities must .* Received: None"):
        ann_recall(ids, ids, exact_similarities=np.zeros((1, 2)))
    with pytest.raises(ValueError, match="exact_ids must be whole numbers"):
        ann_recall(ids, np.array([[0.9, 0.8]]))


# Intervals and the paired test


def test_an_interval_reads_as_in_a_paper():
    interval = Interval(0.7111, 0.649, 0.7702)
    assert str(interval) == "0.71 [0.65, 0.77]"
    comparison = PairedComparison(interval, 0.0314, 168)
    assert str(comparison) == "+0.711 [+0.649, +0.770], p = 0.03, n = 168"
    assert "p = 0.01," in str(PairedComparison(interval, 0.01, 9))
    assert "p < 0.01," in str(PairedComparison(interval, 0.0099, 9))
    comparison = PairedComparison(Interval(-0.0001, -0.02, 0.004), 0.0001, 9)
    assert str(comparison) == "+0.000 [-0.020, +0.004], p < 0.01, n = 9"


def test_the_bootstrap_interval_is_that_of_means_of_resampled_values():
    values = np.random.default_rng(seed=1).beta(2, 1, size=80)
    ours = bootstrap_mean(values, confidence=0.9)
    draws = np.random.default_rng(seed=12).integers(80, size=(20_000, 80))
    expected = np.quantile(values[draws].mean(axis=1), [0.05, 0.95])
    assert ours.value == pytest.approx(values.mean())
    assert ours[1:] == pytest.approx(expected, abs=0.003)


def test_the_bootstrap_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(seed=2)
    samples = rng.random((200, 100)) < 0.7
    intervals = [bootstrap_mean(sample, n_resamples=300) for sample in samples]
    covered = np.mean([low <= 0.7 <= high for _, low, high in intervals])
    assert 0.9 < covered < 0.99


def test_the_same_seed_gives_the_same_interval():
    values = np.random.default_rng(seed=3).random(30)
    assert bootstrap_mean(values, seed=4) == bootstrap_mean(values, seed=4)
    assert bootstrap_mean(values, seed=4) != bootstrap_mean(values, seed=5)


def test_random_numbers_are_drawn_in_batches_that_fit_in_memory(monkeypatch):
    batches = {}

    def watch(name):
        function = getattr(scipy.stats, name)

        def watched(*arguments, batch, **options):
            batches[name] = batch
            return function(*arguments, batch=batch, **options)

        monkeypatch.setattr(scipy.stats, name, watched)

    watch("bootstrap")
    watch("monte_carlo_test")
    for n, batch in ((1_000, 1_000), (400_000, 2), (2_000_000, 1)):
        values = np.tile([0.0, 1.0], n // 2)
        comparison = compare_paired(values, np.zeros(n), n_resamples=5)
        assert batches == {"bootstrap": batch, "monte_carlo_test": batch}
        assert 0.4 < comparison.difference.low < comparison.difference.high < 0.6


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, 1.0])
def test_equal_values_have_an_interval_without_width(value):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mean, low, high = bootstrap_mean(np.full(7, value))
    assert low == mean == high == pytest.approx(value)


@pytest.mark.parametrize("values", [[0.5], [], [0.5, np.nan], [[0.5, 0.5]]])
def test_an_interval_needs_finite_scores_of_two_queries(values):
    with pytest.raises(ValueError, match="values must hold one finite score per query"):
        bootstrap_mean(np.array(values))


def test_options_of_the_bootstrap_are_checked():
    with pytest.raises(ValueError, match="Received: 95. Write 95 % as 0.95"):
        bootstrap_mean(np.ones(3), confidence=95)
    for confidence in (0, 1):
        with pytest.raises(ValueError, match="confidence must be between 0 and 1"):
            bootstrap_mean(np.ones(3), confidence=confidence)
    for function in (bootstrap_mean, lambda v, **o: compare_paired(v, v, **o)):
        for broken in (0, 2.5, "9"):
            with pytest.raises(ValueError, match="n_resamples must be a whole"):
                function(np.ones(3), n_resamples=broken)
        with pytest.raises(
            ValueError, match="n_resamples must be a whole number of at least 2"
        ):
            function(np.ones(3), n_resamples=1)


@pytest.mark.parametrize("gain", [0.0, 0.1, 0.3])
def test_the_paired_test_agrees_with_all_choices_of_signs(gain):
    rng = np.random.default_rng(seed=6)
    a, b = rng.random(10) + gain, rng.random(10)
    signs = np.array(list(itertools.product([-1, 1], repeat=10)))
    as_far = np.abs(signs @ (a - b)) >= abs((a - b).sum()) - 1e-12
    ours = compare_paired(a, b)
    assert ours.p_value == pytest.approx(as_far.mean(), abs=0.02)
    assert ours.difference == bootstrap_mean(a - b)


def test_the_p_value_counts_what_was_measured_among_the_draws():
    """So it is never 0: (1 + times as far) / (1 + n)."""
    sure = compare_paired(np.full(60, 1.0), np.zeros(60), n_resamples=99)
    assert sure.p_value == pytest.approx(1 / 100)


def test_swapping_a_and_b_changes_the_sign_only():
    rng = np.random.default_rng(seed=7)
    a, b = rng.random(40), rng.random(40)
    there, back = compare_paired(a, b), compare_paired(b, a)
    assert there.difference.value == -back.difference.value
    assert there.p_value == back.p_value


def test_what_is_alike_is_not_found_different():
    """Ties: every choice of signs gives a difference as far off as the measured one."""
    scores = np.linspace(0, 1, 20)
    assert compare_paired(scores, scores).p_value == 1.0
    assert compare_paired(np.array([0.1, 0.4]), np.array([0.3, 0.2])).p_value == 1.0


def test_a_small_but_steady_gain_is_found_by_pairs():
    """Two separate intervals overlap; the differences tell."""
    scores = np.random.default_rng(seed=8).random(60)
    better = scores + np.random.default_rng(seed=9).normal(0.02, 0.01, size=60)
    assert bootstrap_mean(better).low < bootstrap_mean(scores).high
    comparison = compare_paired(better, scores)
    assert comparison.difference.low > 0 and comparison.p_value < 0.001
    assert comparison.n == 60


def test_the_paired_test_errs_as_often_as_it_says():
    rng = np.random.default_rng(seed=10)
    pairs = rng.random((200, 2, 30))
    p_values = np.array([compare_paired(*pair, n_resamples=200)[1] for pair in pairs])
    assert 0.01 < (p_values <= 0.05).mean() < 0.1


def test_the_paired_test_wants_the_same_queries():
    with pytest.raises(ValueError, match=r"scores_a: \(3,\). Received: .* \(2,\).$"):
        compare_paired(np.ones(3), np.ones(2))
    with pytest.raises(ValueError, match="scores_b must hold one finite score"):
        compare_paired(np.ones(2), np.array([1.0, np.inf]))
