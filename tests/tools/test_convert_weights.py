"""tools.convert_weights: what PyTorch exported becomes Keras's weights."""

import numpy as np
import pytest

from tools.convert_weights import fill, layer_names, save_half
from utils.embeddings import build_resnet50, load_embedder, normalize, preprocess

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
    sha256 = save_half(model, build_resnet50(dtype="float16"), path)
    assert path.stat().st_size < 48e6
    loaded = load_embedder(path, input_size=SIZE, verbose=False)
    assert sha256[:16] in loaded.pipeline
    before = normalize(model.predict_on_batch(batch))
    after = normalize(loaded.model.predict_on_batch(batch))
    assert (before * after).sum(axis=1).min() > 0.9999


def test_a_norm_that_was_not_folded_is_refused(trained, tmp_path):
    model = build_resnet50(SIZE)
    zero, large = np.zeros(64), np.full(64, 1e5)
    model.get_layer("conv1_bn").set_weights([zero, zero, zero, large])
    with pytest.raises(ValueError, match="too large for float16"):
        save_half(model, model, tmp_path / "half.weights.h5")
    assert not list(tmp_path.iterdir())
