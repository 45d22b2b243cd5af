"""For unit tests and notebooks alike: the bundled weights, whatever the shell says."""

import os
from pathlib import Path

import pytest

os.environ["LOOKALIKE_WEIGHTS"] = "bundled"

# The bundled weights are still in training: what needs them waits. The commit that
# brings `models/resnet50_notop.weights.h5` removes all that follows.
MISSING = not (Path(__file__).parent / "models/resnet50_notop.weights.h5").exists()
NEED_WEIGHTS = ("bundled", "real_photos", "fresh_clone")

if MISSING:
    collect_ignore_glob = ["notebooks/*.ipynb"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests that load the weights or look at stored outputs."""
    for item in items:
        waits = "test_notebook_style" in item.nodeid
        waits = waits or any(word in item.name for word in NEED_WEIGHTS)
        if MISSING and waits:
            item.add_marker(pytest.mark.skip(reason="weights are still in training"))
