"""Conversion to Keras, and (where PyTorch is installed) the training program."""

import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tools.convert_weights import fill, layer_names, save_half
from tools.plot_training import draw
from utils.embeddings import build_resnet50, load_embedder, normalize, preprocess

ROOT = Path(__file__).parents[2]
SIZE = 32


@pytest.fixture(scope="module")
def trained():
    """Arrays as the training program exports them, statistics far from 0 and 1."""
    rng = np.random.default_rng(seed=0)
    model = build_resnet50(SIZE)
    arrays = {}
    for module, layer in layer_names().items():
        kernel = model.get_layer(f"{layer}_conv").get_weights()[0]
        outputs = kernel.shape[-1]
        arrays[f"{module}.0.weight"] = kernel.transpose(3, 2, 0, 1)
        arrays[f"{module}.1.weight"] = rng.uniform(0.5, 1, outputs).astype("float32")
        arrays[f"{module}.1.bias"] = rng.normal(size=outputs).astype("float32")
        arrays[f"{module}.1.running_mean"] = rng.normal(size=outputs).astype("float32")
        scale = 1e5 if module == "stem" else 1  # as on inputs of 0-255
        variance = scale * rng.uniform(0.5, 2, outputs)
        arrays[f"{module}.1.running_var"] = variance.astype("float32")
    return arrays


@pytest.fixture(scope="module")
def batch():
    drawn = np.random.default_rng(seed=1).integers(0, 256, size=(3, SIZE, SIZE, 3))
    return preprocess(drawn.astype("uint8"))


def test_every_convolution_of_keras_model_has_a_name():
    layers = {layer.name for layer in build_resnet50(SIZE).layers}
    convolutions = {name for name in layers if name.endswith("_conv")}
    assert {f"{name}_conv" for name in layer_names().values()} == convolutions


def test_folding_the_norms_changes_nothing(trained, batch):
    plain, folded = build_resnet50(SIZE), build_resnet50(SIZE)
    for module, layer in layer_names().items():
        kernel = trained[f"{module}.0.weight"].transpose(2, 3, 1, 0)
        bias = np.zeros(kernel.shape[-1])
        plain.get_layer(f"{layer}_conv").set_weights([kernel, bias])
        keys = ("weight", "bias", "running_mean", "running_var")
        norm = [trained[f"{module}.1.{key}"] for key in keys]
        plain.get_layer(f"{layer}_bn").set_weights(norm)
    fill(folded, trained)
    expected, received = (m.predict_on_batch(batch) for m in (plain, folded))
    np.testing.assert_allclose(received, expected, rtol=1e-3, atol=1e-3)


def test_half_the_bytes_keep_the_direction(trained, batch, tmp_path):
    model = build_resnet50(SIZE)
    fill(model, trained)
    path = tmp_path / "half.weights.h5"
    digest = save_half(model, path)
    assert path.stat().st_size < 48e6
    loaded = load_embedder(path, input_size=SIZE, verbose=False)
    assert digest[:16] in loaded.pipeline
    before = normalize(model.predict_on_batch(batch))
    after = normalize(loaded.model.predict_on_batch(batch))
    assert (before * after).sum(axis=1).min() > 0.9999


def test_a_norm_that_was_not_folded_is_refused(trained, tmp_path):
    model = build_resnet50(SIZE)
    zero, large = np.zeros(64), np.full(64, 1e5)
    model.get_layer("conv1_bn").set_weights([zero, zero, zero, large])
    with pytest.raises(ValueError, match="too large for float16"):
        save_half(model, tmp_path / "half.weights.h5")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(
    importlib.util.find_spec("torch") is None,
    reason="PyTorch is not installed (pip install -r tools/requirements-train.txt)",
)
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
        fill(build_resnet50(SIZE), dict(arrays))


def test_the_curve_is_drawn_from_the_log_of_the_shipped_weights(tmp_path):
    draw(ROOT / "models" / "training.jsonl", tmp_path / "curve.png")
    with Image.open(tmp_path / "curve.png") as drawn:
        shipped = Image.open(ROOT / "models" / "training.png")
        assert drawn.size == shipped.size
        assert drawn.convert("L").getextrema() == (0, 255)
