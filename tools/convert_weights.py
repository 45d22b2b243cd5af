"""Copy trained weights into Keras's ResNet50 and store them in half the bytes.

    python tools/convert_weights.py OUT/weights.npz --input-size 96

Reads what `tools/train_resnet50.py` exported and writes, into `models/`, the weights
file and the small JSON file that states its input size and sha256.

The file is float16.  Rounding blindly would ruin the network: the first batch norm's
moving variance is about 1e5 on inputs of 0-255 and float16 ends at 65,504.  So each
convolution is first divided by its batch norm's standard deviation and that variance
set to one: the same function, in numbers that float16 holds.
"""

import argparse
import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from utils.embeddings import BUNDLED, build_resnet50, card_of  # noqa: E402

BLOCKS = ((2, 3), (3, 4), (4, 6), (5, 3))  # Keras's stage number, blocks in it


def layer_names() -> dict[str, str]:
    """Return Keras's layer prefix for each module name of the training program."""
    names = {"stem": "conv1"}
    number = 0
    for stage, blocks in BLOCKS:
        for block in range(1, blocks + 1):
            prefix = f"conv{stage}_block{block}"
            for module, layer in (("c1", 1), ("c2", 2), ("c3", 3)):
                names[f"blocks.{number}.{module}"] = f"{prefix}_{layer}"
            if block == 1:
                names[f"blocks.{number}.p"] = f"{prefix}_0"
            number += 1
    return names


def fill(model: Any, arrays: dict[str, np.ndarray]) -> None:
    """Copy every convolution and batch norm, the norm's scale folded into the kernel.

    Parameters
    ----------
    model : keras.Model
        What `utils.embeddings.build_resnet50` returns; changed in place.
    arrays : mapping of str to float32 array
        The training program's names; kernels of shape (out, in, height, width).
    """
    for module, layer in layer_names().items():
        norm = model.get_layer(f"{layer}_bn")
        keys = ("weight", "bias", "running_mean", "running_var")
        gamma, beta, mean, variance = (arrays[f"{module}.1.{key}"] for key in keys)
        scale = np.sqrt(variance + norm.epsilon)
        kernel = arrays[f"{module}.0.weight"].transpose(2, 3, 1, 0) / scale
        bias = np.zeros(len(scale), dtype=np.float32)
        model.get_layer(f"{layer}_conv").set_weights([kernel, bias])
        one = np.full_like(variance, 1 - norm.epsilon)
        norm.set_weights([gamma, beta, mean / scale, one])


def save_half(model: Any, half: Any, path: Path) -> str:
    """Write a model's weights as float16 and return the file's sha256.

    Parameters
    ----------
    model, half : keras.Model
        The same network twice, the second built with the dtype float16.
    path : Path

    Raises
    ------
    ValueError
        If a weight does not fit into float16.
    """
    weights = model.get_weights()
    if not all(np.abs(w).max() <= np.finfo(np.float16).max for w in weights):  # or NaN
        raise ValueError("a weight is too large for float16: was the norm folded?")
    half.set_weights(weights)
    temporary = path.with_name("part." + path.name)  # Keras insists on the ending
    half.save_weights(temporary)
    os.replace(temporary, path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_card(path: Path, input_size: int, sha256: str) -> None:
    """Write the JSON file beside a weights file."""
    card = {"input_size": input_size, "sha256": sha256}
    card_of(path).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Read the arguments, convert, say what was written."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("arrays", type=Path, help="weights.npz of the training program")
    parser.add_argument(
        "--input-size", type=int, required=True, help="best size, pixels"
    )
    parser.add_argument("--out", type=Path, default=BUNDLED)
    options = parser.parse_args()
    model = build_resnet50()
    with np.load(options.arrays) as arrays:
        fill(model, dict(arrays))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    sha256 = save_half(model, build_resnet50(dtype="float16"), options.out)
    write_card(options.out, options.input_size, sha256)
    print(f"{options.out.name}: {options.out.stat().st_size / 1e6:.1f} MB, {sha256}")


if __name__ == "__main__":
    main()
