"""Waiting for many machines at once, simulated from the times of one.

Each of S shards is on R machines, its *replicas*. A query goes to one replica of every
shard, and is answered when the slowest of them has answered. `latencies` are measured
times of one shard, in any unit; every machine draws its times from them, independently.
Real machines are not independent (one switch or one collection of garbage slows many),
so read the results as the best case.

References
----------
Dean and Barroso, The tail at scale, 2013.
"""

from typing import NamedTuple

import numpy as np

from utils.errors import check_k

BLOCK = 2_000_000  # draws at a time


class Waits(NamedTuple):
    """The times of n queries, shape (n,), and how many requests each shard got."""

    times: np.ndarray
    requests: float  # per query and shard: 1 without hedging


def sample_waits(
    latencies: np.ndarray,
    shards: int,
    *,
    replicas: int = 1,
    hedge_after: float | None = None,
    slow: float = 1.0,
    n: int = 10_000,
    seed: int = 0,
) -> Waits:
    """Draw how long n queries wait for all shards.

    Parameters
    ----------
    latencies : float array of shape (m,)
        Measured times of one shard, none below 0.
    shards, replicas : int
        S and R. Which replica is asked is chosen at random.
    hedge_after : float, optional
        A shard that has not answered by then is asked again, at another replica; the
        first answer counts.
    slow : float
        One machine, a replica of the first shard, takes this many times as long.
    """
    latencies = _checked(latencies)
    shards, replicas = check_k(shards, "shards"), check_k(replicas, "replicas")
    if hedge_after is not None and (replicas < 2 or not hedge_after >= 0):
        raise ValueError(
            "hedge_after must be at least 0, with 2 replicas or more to ask. Received: "
            f"{hedge_after} with {replicas}."
        )
    if not 0 < slow < np.inf:
        raise ValueError(f"slow must be a number above 0. Received: {slow}.")
    n, rng, parts = check_k(n, "n"), np.random.default_rng(seed), []
    requests = 0
    while n > 0:
        rows = min(n, max(1, BLOCK // shards))
        first = rng.choice(latencies, (rows, shards))
        asked = rng.integers(replicas, size=rows)  # of shard 0: the slow one is 0
        first[:, 0] *= np.where(asked == 0, slow, 1)
        requests += first.size
        if hedge_after is not None:
            again = rng.choice(latencies, (rows, shards))
            other = (asked + rng.integers(1, replicas, size=rows)) % replicas
            again[:, 0] *= np.where(other == 0, slow, 1)
            requests += int(np.count_nonzero(first > hedge_after))
            first = np.minimum(first, hedge_after + again)
        parts.append(first.max(axis=1))
        n -= rows
    times = np.concatenate(parts)
    return Waits(times, requests / (len(times) * shards))


def sample_answering(
    shards: int, *, replicas: int = 1, down: float, n: int = 10_000, seed: int = 0
) -> np.ndarray:
    """Draw the share of shards that can answer, n times: float array of shape (n,).

    Each machine is down with the probability `down`; a shard answers while one replica
    of it is up. Where neighbours are spread evenly over the shards, the share is also
    the recall that is left.
    """
    if not 0 <= down <= 1:
        raise ValueError(f"down must be from 0 to 1. Received: {down}.")
    rng = np.random.default_rng(seed)
    gone = down ** check_k(replicas, "replicas")  # all replicas of a shard at once
    shards = check_k(shards, "shards")
    return 1 - rng.binomial(shards, gone, size=check_k(n, "n")) / shards


def _checked(latencies: np.ndarray) -> np.ndarray:
    latencies = np.asarray(latencies, dtype=np.float64)
    sound = np.isfinite(latencies).all() and (latencies >= 0).all()
    if latencies.ndim != 1 or not latencies.size or not sound:
        raise ValueError(
            "latencies must be measured times, finite and none below 0, in an array of "
            f"shape (m,). Received: shape {latencies.shape}. Time one shard some "
            "hundred times."
        )
    return latencies
