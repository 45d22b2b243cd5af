"""Requests that come at the same time share a forward pass, and nothing else."""

import threading

import numpy as np
import pytest

from tests.pictures_for_queries import SIZE, PixelEmbedder
from utils.service.batching import BatchingEmbedder


class SlowEmbedder(PixelEmbedder):
    """Begins each pass only when it is let; refuses all-white pictures."""

    def __init__(self):
        self.go, self.begun = threading.Event(), threading.Event()
        self.sizes = []

    def embed(self, pictures, *, batch_size=32):
        self.begun.set()
        assert self.go.wait(10)
        self.sizes.append(len(pictures))
        if (pictures == 255).all(axis=(1, 2, 3)).any():
            raise ValueError("all white")
        return super().embed(pictures)


def pictures(n, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 250, (n, SIZE, SIZE, 3)).astype("uint8")


@pytest.fixture
def slow():
    return SlowEmbedder()


def ask(embedder, images):
    """Ask in a thread of its own; the answer, or the error, arrives in a list."""
    answer = []

    def run():
        try:
            answer.append(embedder.embed(images))
        except ValueError as error:
            answer.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, answer


def ask_while_busy(embedder, slow, asked):
    """Let questions gather while the network is busy with a first one."""
    first = ask(embedder, pictures(1))
    assert slow.begun.wait(10)
    others = []
    for images in asked:
        before = embedder._waiting.qsize()
        others.append(ask(embedder, images))
        while embedder._waiting.qsize() == before:
            pass
    slow.go.set()
    for thread, _ in [first, *others]:
        thread.join(10)
    return [answer[0] for _, answer in others]


def test_what_gathers_while_the_network_is_busy_shares_the_next_pass(slow):
    embedder = BatchingEmbedder(slow, batch_size=8)
    asked = [pictures(n, seed=n) for n in (1, 3, 2)]
    answers = ask_while_busy(embedder, slow, asked)
    assert slow.sizes == [1, 6]
    for images, vectors in zip(asked, answers, strict=True):
        assert np.allclose(vectors, PixelEmbedder().embed(images))
    embedder.close()


def test_a_full_batch_does_not_wait_for_more(slow):
    embedder = BatchingEmbedder(slow, batch_size=2)
    ask_while_busy(embedder, slow, [pictures(1, seed=n) for n in range(4)])
    assert slow.sizes == [1, 2, 2]
    embedder.close()


def test_one_bad_picture_stops_no_other_in_its_batch(slow):
    embedder = BatchingEmbedder(slow, batch_size=8)
    white = np.full((1, SIZE, SIZE, 3), 255, np.uint8)
    good, bad, last = ask_while_busy(
        embedder, slow, [pictures(1), white, pictures(1, 5)]
    )
    assert np.allclose(good, PixelEmbedder().embed(pictures(1)))
    assert np.allclose(last, PixelEmbedder().embed(pictures(1, 5)))
    assert str(bad) == "all white"
    embedder.close()


def test_closing_answers_what_waits(slow):
    embedder = BatchingEmbedder(slow, batch_size=8)
    thread, answer = ask(embedder, pictures(2))
    assert slow.begun.wait(10)
    closing = threading.Thread(target=embedder.close)
    closing.start()
    slow.go.set()
    closing.join(10)
    thread.join(10)
    assert not closing.is_alive()
    assert answer[0].shape == (2, SIZE * SIZE * 3)


def test_the_metrics_are_told_how_many_shared_a_pass(slow):
    told = []
    embedder = BatchingEmbedder(slow, batch_size=8, on_batch=told.append)
    ask_while_busy(embedder, slow, [pictures(1), pictures(2)])
    assert told == [1, 3]
    embedder.close()
