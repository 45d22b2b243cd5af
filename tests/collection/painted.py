"""Pictures of a few pixels, and an embedder that needs no network."""

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image

from utils.collection.bundles import Bundle, new_build, read_bundle, write_bundle


class FakeEmbedder:
    """Sixteen grey values in, a unit vector out: quick, and different for each."""

    pipeline, input_size = "fake-4px", 4

    def __init__(self):
        self.embedded = 0

    def embed(self, images, *, batch_size=32):
        self.embedded += len(images)
        rows = images[..., 0].reshape(len(images), -1).astype("float32") - 127.3
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def paint(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (4, 4, 3)).astype("uint8")
    Image.fromarray(noise).save(path)
    return path


def forge(folder: Path, change) -> None:
    """Change the table of pictures and make all hashes fit again."""
    bundle = read_bundle(folder)
    files, build = dict(bundle.files), bundle.build[::-1]
    change(files)
    if table := files.get("items.json"):
        files["items.json"] = table.replace(bundle.build.encode(), build.encode())
    write_bundle(folder, files, bundle.facts, build=build)


def forge_index(old: Bundle, folder: Path, facts: dict, content: bytes) -> None:
    """Write a bundle with another index and facts on it, whose hashes all fit."""
    build, items = new_build(), old.files["items.json"]
    for before, now in (
        (old.build, build),
        (old.sha256s["index.faiss"], hashlib.sha256(content).hexdigest()),
    ):
        items = items.replace(before.encode(), now.encode())
    files = {"index.faiss": content, "items.json": items}
    write_bundle(folder, files, {**old.facts, "index": facts}, build=build)
