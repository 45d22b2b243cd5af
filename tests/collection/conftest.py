"""A small collection that may be changed."""

import pytest
from painted import FakeEmbedder, paint

from utils.collection.search import ImageSearch
from utils.indexes import faiss


@pytest.fixture
def embedder():
    return FakeEmbedder()


@pytest.fixture(scope="module")
def one_thread():
    """These indexes are tiny."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    yield
    faiss.omp_set_num_threads(before)


@pytest.fixture
def folder(tmp_path):
    """Twelve pictures in three class folders."""
    for i in range(12):
        paint(tmp_path / "pictures" / "abc"[i % 3] / f"{i}.png", i)
    return tmp_path / "pictures"


@pytest.fixture
def living(folder, embedder):
    return ImageSearch.from_folder(folder, embedder=embedder)
