"""Other networks than ResNet50, each with its own preprocessing and pipeline id.

>>> network = load_network("efficientnet_lite0")                   # doctest: +SKIP
>>> network.embed(images).shape                                   # doctest: +SKIP
(8, 1280)

What `load_network` returns can stand wherever an `Embedder` can.
"""

from pathlib import Path
from typing import Any

import numpy as np

from utils.embeddings import (
    BUNDLED,
    Embedder,
    check_size,
    checked_sha256,
    import_keras,
    keras_settings,
    load_weights,
    read_card,
)

EFFICIENTNET = BUNDLED.with_name("efficientnet_lite0.weights.h5")
STAGES = (  # blocks, side of the depthwise kernel, stride, expansion, channels
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class EfficientNetLite0(Embedder):
    """EfficientNet-Lite0 with its ImageNet weights: 1,280 numbers per picture.

    `model` ends at the pooling, as ResNet50's does; `scores` goes on to the names.
    """

    network = "EfficientNet-Lite0"

    def __init__(self, weights: Path, input_size: int, *, verbose: bool = True) -> None:
        sha256 = checked_sha256(weights, "bundled")
        whole = build_efficientnet_lite0(input_size)
        load_weights(whole, weights, "EfficientNet-Lite0 with its head")
        pipeline = f"efficientnet_lite0-{sha256[:16]}-{input_size}px-tf1-avg-l2"
        body = import_keras().Model(whole.input, whole.get_layer("pool").output)
        super().__init__(body, "imagenet", input_size, pipeline)
        self._head = whole.get_layer("scores")
        if verbose:
            print(self)

    def preprocess(self, images: np.ndarray) -> np.ndarray:
        """Bring uint8 pictures to about −1 to 1: float32, (x − 127) / 128."""
        return (images.astype(np.float32) - 127) / 128

    def scores(self, images: np.ndarray, *, batch_size: int = 32) -> np.ndarray:
        """Return how much each picture looks like each of ImageNet's 1,000 classes.

        Float32 of shape (n, 1000): logits, whose softmax is a probability; `images` and
        `batch_size` as for `embed`.
        """
        kernel, bias = (weight.numpy() for weight in self._head.weights)
        batches = self._batches(images, batch_size)
        features = [np.empty((0, self.dimension), np.float32)]
        features += [self.forward(batch) for batch in batches]
        return np.concatenate(features) @ kernel + bias


def load_network(
    name: str = "efficientnet_lite0",
    *,
    input_size: int | None = None,
    verbose: bool = True,
) -> EfficientNetLite0:
    """Load a network by its name, with the weights in ``models/``.

    Parameters
    ----------
    name : {"efficientnet_lite0"}
    input_size : int, optional
        Height and width of the pictures.  Default: what the weights were made for.
    verbose : bool
        Print one line that says what was loaded.

    Raises
    ------
    ValueError
        If there is no network of this name.
    WeightsError
        If the weights are missing or damaged.
    """
    if name != "efficientnet_lite0":
        raise ValueError(f'name must be "efficientnet_lite0". Received: {name!r}.')
    card = read_card(EFFICIENTNET, published=True)
    size = check_size(card["input_size"] if input_size is None else input_size)
    return EfficientNetLite0(EFFICIENTNET, size, verbose=verbose)


def build_efficientnet_lite0(input_size: int = 224, *, dtype: str = "float32") -> Any:
    """Build EfficientNet-Lite0 with its head, with random weights.

    A batch norm behind a convolution is part of the convolution, as it is in every
    trained network once it is folded (notebook 16).  The layer ``pool`` gives the 1,280
    features, ``scores`` the 1,000 logits.

    References
    ----------
    Tan, Le, *EfficientNet: rethinking model scaling for convolutional neural networks*,
    2019; its "Lite" form (2020) does without squeeze-and-excite and swish.
    """
    keras = import_keras()
    layers = keras.layers

    def relu6(x: Any, name: str) -> Any:
        return layers.ReLU(6, name=f"{name}_relu")(x)

    def convolve(x: Any, channels: int, name: str, **options: int) -> Any:
        options = {"kernel_size": 1, **options}
        return layers.Conv2D(channels, **options, padding="same", name=name)(x)

    def block(x: Any, name: str, stage: tuple[int, ...], stride: int) -> Any:
        _, side, _, expansion, channels = stage
        wide, deep = x, f"{name}_depthwise"
        if expansion > 1:
            wide = convolve(x, expansion * x.shape[-1], f"{name}_expand")
            wide = relu6(wide, f"{name}_expand")
        wide = layers.DepthwiseConv2D(side, stride, "same", name=deep)(wide)
        narrow = convolve(relu6(wide, deep), channels, f"{name}_project")
        if stride > 1 or x.shape[-1] != channels:
            return narrow
        return layers.Add(name=f"{name}_add")([x, narrow])

    with keras_settings(dtype):
        x = pictures = keras.Input((input_size, input_size, 3))
        x = relu6(convolve(x, 32, "stem", kernel_size=3, strides=2), "stem")
        for number, (stage, stride) in enumerate(_blocks(), start=1):
            x = block(x, f"block{number}", stage, stride)
        x = relu6(convolve(x, 1280, "head"), "head")
        x = layers.GlobalAveragePooling2D(name="pool")(x)
        return keras.Model(pictures, layers.Dense(1000, name="scores")(x))


def _blocks() -> list[tuple[tuple[int, ...], int]]:
    """Return each block's stage and stride: only the first of a stage may shrink."""
    return [
        (stage, stage[2] if i == 0 else 1) for stage in STAGES for i in range(stage[0])
    ]
