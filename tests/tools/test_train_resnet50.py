"""tools.train_resnet50, where PyTorch is installed."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tools.convert_weights import fill
from utils.embeddings import build_resnet50

pytest.importorskip(
    "torch", reason="needs PyTorch: pip install -r tools/requirements-train.txt"
)
ROOT = Path(__file__).parents[2]


def test_training_stops_goes_on_and_exports(tmp_path):
    """Two classes that differ by colour: a few steps must tell them apart."""
    rng = np.random.default_rng(seed=0)
    photos = tmp_path / "photos"
    photos.mkdir()
    with zipfile.ZipFile(photos / "photos.zip", "w") as archive:
        for number in range(64):
            for label, channel in (("red", 0), ("blue", 2)):
                pixels = rng.integers(0, 60, size=(64, 64, 3)).astype("uint8")
                pixels[..., channel] += 150
                Image.fromarray(pixels).save(tmp_path / "one.png")
                archive.write(tmp_path / "one.png", f"{label}/{number}.png")
    program = [sys.executable, ROOT / "tools" / "train_resnet50.py", photos]
    options = ["--batch", "8", "--aside", "32", "--warmup", "0.5", "--rate", "0.05"]

    def train(plan, cooldown):
        plan = ["--plan", plan, "--cooldown", cooldown]
        command = [*program, tmp_path / "out", *options, *plan]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        return subprocess.run(
            command, check=True, capture_output=True, text=True, env=environment
        ).stdout

    train("32x1", "0.5")
    assert "going on after step 12" in train("32x3", "1")
    lines = (tmp_path / "out" / "log.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [record["pass"] for record in records] == [1, 2, 3]
    assert max(record["average"] for record in records) > 0.9
    with np.load(tmp_path / "out" / "weights.npz") as arrays:
        fill(build_resnet50(32), dict(arrays))
