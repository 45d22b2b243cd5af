"""The simulation against formulas, where there are some, and by its own symmetries."""

import numpy as np
import pytest

from utils.scale.fan_out import sample_answering, sample_waits

HUNDRED = np.arange(100.0)  # one in a hundred is 99


def test_one_shard_waits_as_was_measured():
    times = sample_waits(HUNDRED, 1, n=100_000).times
    np.testing.assert_allclose(times.mean(), HUNDRED.mean(), atol=0.5)
    assert set(times) == set(HUNDRED)


@pytest.mark.parametrize("shards", [2, 10, 100])
def test_the_slowest_of_s_shards_decides(shards):
    """P(all below t) is P(one below t) to the power of S."""
    times = sample_waits(HUNDRED, shards, n=50_000).times
    for t in (50, 90, 99):
        np.testing.assert_allclose((times < t).mean(), (t / 100) ** shards, atol=0.01)


def test_a_hedge_is_the_first_of_two_answers():
    latencies = np.array([1.0] * 9 + [100.0])  # one in ten is slow
    waits = sample_waits(latencies, 1, replicas=2, hedge_after=2.0, n=100_000)
    assert set(waits.times) == {1.0, 3.0, 100.0}
    np.testing.assert_allclose((waits.times == 100).mean(), 0.01, atol=0.002)
    np.testing.assert_allclose(waits.requests, 1.1, atol=0.005)


def test_hedging_is_never_worse_and_costs_requests():
    plain = sample_waits(HUNDRED, 20, replicas=2)
    hedged = sample_waits(HUNDRED, 20, replicas=2, hedge_after=50.0)
    assert plain.requests == 1 and 1 < hedged.requests < 2
    assert hedged.times.mean() < plain.times.mean() - 1


@pytest.mark.parametrize("replicas", [1, 2, 4])
def test_a_slow_machine_slows_those_that_ask_it(replicas):
    times = sample_waits(np.ones(3), 5, replicas=replicas, slow=7, n=40_000).times
    np.testing.assert_allclose((times == 7).mean(), 1 / replicas, atol=0.01)


def test_a_hedge_goes_to_another_machine_than_the_slow_one():
    slow = {"replicas": 2, "slow": 50.0, "hedge_after": 1.5}
    assert set(sample_waits(np.ones(3), 5, **slow).times) == {1.0, 2.5}


def test_the_same_seed_gives_the_same_waits_and_blocks_do_not_show():
    first, again = (sample_waits(HUNDRED, 3000, n=2000).times for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (2000,)
    assert (
        sample_waits(HUNDRED, 2, seed=1).times != sample_waits(HUNDRED, 2).times
    ).any()


def test_replicas_keep_a_shard_answering():
    one = sample_answering(10, down=0.1, n=50_000)
    two = sample_answering(10, replicas=2, down=0.1, n=50_000)
    np.testing.assert_allclose([one.mean(), two.mean()], [0.9, 0.99], atol=0.003)
    assert (sample_answering(10, down=0.0) == 1).all()
    assert (sample_answering(10, down=1.0, replicas=3) == 0).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"latencies": []}, "array of shape"),
        ({"latencies": [[1.0]]}, r"Received: shape \(1, 1\)"),
        ({"latencies": [1.0, float("nan")]}, "finite"),
        ({"latencies": [-1.0]}, "none below 0"),
        ({"shards": 0}, "shards must be a whole number"),
        ({"replicas": 1.5}, "replicas must be a whole number"),
        ({"hedge_after": 1.0}, "with 2 replicas or more"),
        ({"hedge_after": -1.0, "replicas": 2}, "at least 0"),
        ({"hedge_after": float("nan"), "replicas": 2}, "at least 0"),
        ({"slow": 0}, "slow must be a number above 0"),
        ({"n": 0}, "n must be a whole number"),
    ],
)
def test_bad_input_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        sample_waits(**{"latencies": [1.0, 2.0], "shards": 2, **arguments})


@pytest.mark.parametrize("down", [-0.1, 1.1, float("nan")])
def test_a_probability_is_from_0_to_1(down):
    with pytest.raises(ValueError, match="down must be from 0 to 1"):
        sample_answering(3, down=down)
