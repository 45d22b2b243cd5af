"""A diagram says in its texts what it shows."""

import matplotlib.pyplot as plt
import pytest

from utils.practice import diagrams


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def texts():
    """What is written in the figure drawn last."""
    return [text.get_text() for ax in plt.gcf().axes for text in ax.texts]


def test_a_flat_index_compares_with_all_and_returns_the_best_ids():
    diagrams.show_flat_index()
    assert {f"vector {id}" for id in range(5)} <= set(texts())
    assert "similarities\n0.87   0.64   0.55" in texts()
    assert "ids\n3      1      4" in texts()
