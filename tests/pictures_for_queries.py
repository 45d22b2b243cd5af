"""A small collection whose vectors can be foreseen, for the query's tests."""

from pathlib import Path

import numpy as np
from PIL import Image

from utils.collection.search import ImageSearch
from utils.errors import TextError

COLOURS = {"red": (200, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 200)}
SIZE = 8


class PixelEmbedder:
    """Describes a picture by its pixels: no network, and equal ones are nearest."""

    network, weights = "a fake", "pixels"
    input_size, pipeline = SIZE, "pixels-8px"
    calls = 0

    def embed(self, pictures, *, batch_size=32):
        self.calls += 1
        vectors = pictures.reshape(len(pictures), -1).astype("float32")
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors / np.maximum(lengths, 1)  # all black stays zero


class TalkingEmbedder(PixelEmbedder):
    """Knows the names of the three colours, too."""

    def embed_text(self, texts):
        for text in texts:
            if text not in COLOURS:
                raise TextError(f"expected one of {list(COLOURS)}. Received: {text!r}.")
        plain = [np.full((SIZE, SIZE, 3), COLOURS[text], "uint8") for text in texts]
        return self.embed(np.stack(plain))


def make_collection(root: Path, *, each: int = 16, noise: int = 25) -> ImageSearch:
    """Pictures of one colour and some noise; each colour is a label."""
    rng = np.random.default_rng(seed=0)
    for label, colour in COLOURS.items():
        (root / label).mkdir(parents=True)
        for number in range(each):
            change = rng.integers(-noise, noise + 1, size=(SIZE, SIZE, 3))
            pixels = np.clip(np.array(colour) + change, 0, 255).astype("uint8")
            Image.fromarray(pixels).save(root / label / f"{label}_{number}.png")
    return ImageSearch.from_folder(root, embedder=PixelEmbedder())
