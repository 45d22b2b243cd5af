"""What every test needs: the repository on the path, no screen, no shared files."""

import os
import sys
from pathlib import Path

import matplotlib
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.clones import link_repository  # noqa: E402

# As utils/start.py has it. It counts only where FAISS has not been loaded yet.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# Not MPLBACKEND: the notebooks' kernels would inherit it and draw nothing.
matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def temporary_cache(tmp_path_factory, monkeypatch) -> Path:
    """Give every unit test a vector cache of its own."""
    path = tmp_path_factory.mktemp("cache") / "cache.sqlite"
    monkeypatch.setenv("LOOKALIKE_CACHE", str(path))
    return path


@pytest.fixture
def clone(tmp_path) -> Path:
    """Return a repository of links, in which a notebook can run."""
    return link_repository(tmp_path)


@pytest.fixture(scope="session")
def photos() -> Path:
    """Return a folder of real photos, which the repository doesn't carry."""
    folder = os.environ.get("LOOKALIKE_PHOTOS")
    if not folder:
        pytest.skip("set LOOKALIKE_PHOTOS to a folder of photos to run this test")
    return Path(folder)
