"""A small collection, saved, and a service for it."""

import io
from contextlib import contextmanager

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from tests.pictures_for_queries import PixelEmbedder, make_collection
from utils.service.application import create_application
from utils.service.settings import Settings

TOKEN = "a secret that only the tests know"  # noqa: S105


@pytest.fixture
def saved(tmp_path):
    """Forty-eight pictures in three colours, saved."""
    folder = tmp_path / "saved"
    make_collection(tmp_path / "pictures").save(folder)
    return folder


@pytest.fixture
def serve(saved):
    """Return a context that serves the collection with the settings it is given."""

    @contextmanager
    def start(**settings):
        application = create_application(
            saved, Settings(**settings), embedder=PixelEmbedder()
        )
        with TestClient(application, raise_server_exceptions=False) as client:
            yield client

    return start


@pytest.fixture
def client(serve):
    """A service that lets nobody change anything."""
    with serve() as client:
        yield client


@pytest.fixture
def writer(serve):
    """A service that lets those who know the token add and remove."""
    with serve(token=TOKEN) as client:
        yield client


@pytest.fixture
def authorized():
    return {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def red():
    """A picture that is not in the collection."""
    return draw((220, 20, 20))


def draw(colour, size=(30, 20), seed=0):
    noise = np.random.default_rng(seed).integers(-9, 10, (*size[::-1], 3))
    pixels = np.clip(np.array(colour) + noise, 0, 255).astype("uint8")
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
