"""EfficientNet-Lite0 written out in Keras."""

from typing import Any

from utils.embeddings import import_keras, keras_settings

STAGES = (  # blocks, side of the depthwise kernel, stride, expansion, channels
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


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
