"""A small collection that may be changed."""

import pytest
from painted import FakeEmbedder, paint

from utils.collection.search import ImageSearch


@pytest.fixture
def embedder():
    return FakeEmbedder()


@pytest.fixture
def folder(tmp_path):
    """Twelve pictures in three class folders."""
    for i in range(12):
        paint(tmp_path / "pictures" / "abc"[i % 3] / f"{i}.png", i)
    return tmp_path / "pictures"


@pytest.fixture
def living(folder, embedder):
    return ImageSearch.from_folder(folder, embedder=embedder)
