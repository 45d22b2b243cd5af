"""ResNet50 written down with TensorFlow's own operations, to be compiled as a whole.

Preprocessing is part of it, and every batch norm is folded into the convolution before
it.  What comes out is a `Forward`: a function from uint8 pictures of shape
(n, size, size, 3) to float32 features of shape (n, 2048).

The names of layers are those of Keras's ResNet50.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from utils.embeddings import import_tensorflow

Forward = Callable[[np.ndarray], np.ndarray]
Folded = dict[str, tuple[np.ndarray, np.ndarray]]

FIRST = "conv1_conv"
MEANS = (103.939, 116.779, 123.68)  # of ImageNet: blue, green, red
STAGES = ((2, 3), (3, 4), (4, 6), (5, 3))  # conv2 … conv5, and their blocks


def fold_batch_norms(model: Any) -> Folded:
    """Make one convolution of each convolution and the batch norm behind it.

    After training, a batch norm multiplies each channel by a number and adds another.
    So does a convolution whose kernel and bias are multiplied beforehand.  Returns them
    by the convolution's name: float32 arrays of shape (h, w, in, out) and (out,).
    """
    layers = {layer.name: layer for layer in model.layers}
    folded = {}
    for name, layer in layers.items():
        if not name.endswith("_conv"):
            continue
        kernel, bias = (weight.numpy() for weight in layer.weights)
        norm = layers[name.replace("_conv", "_bn")]
        gamma, beta, mean, variance = (weight.numpy() for weight in norm.weights)
        scale = gamma / np.sqrt(variance + norm.epsilon)
        folded[name] = kernel * scale, (bias - mean) * scale + beta
    return folded


def tensorflow_function(folded: Folded, size: int, precision: str = "float32") -> Any:
    """Trace the network for pictures of one size, any number of them.

    `precision` is that of the convolutions: float32, bfloat16 or float16.  The first
    one, which takes 3 % of the time and whose rounding would cost more than that of
    whole stages further on, and the pooling at the end are done in float32.

    References
    ----------
    He et al., Deep residual learning for image recognition, 2016.
    """
    tf = import_tensorflow()
    dtype = tf.dtypes.as_dtype(precision)
    weights = {
        name: [tf.constant(w, tf.float32 if name == FIRST else dtype) for w in both]
        for name, both in folded.items()
    }

    def convolve(x: Any, name: str, *, stride: int = 1, padding: str = "SAME") -> Any:
        kernel, bias = weights[f"{name}_conv"]
        return tf.nn.bias_add(tf.nn.conv2d(x, kernel, stride, padding), bias)

    def pad(x: Any, width: int) -> Any:
        return tf.pad(x, [[0, 0], [width, width], [width, width], [0, 0]])

    def block(x: Any, name: str, *, stride: int, first: bool) -> Any:
        shortcut = convolve(x, f"{name}_0", stride=stride) if first else x
        x = tf.nn.relu(convolve(x, f"{name}_1", stride=stride))
        x = tf.nn.relu(convolve(x, f"{name}_2"))
        return tf.nn.relu(convolve(x, f"{name}_3") + shortcut)

    def network(pictures: Any) -> Any:
        x = tf.cast(pictures[..., ::-1], tf.float32) - tf.constant(MEANS)  # to BGR
        x = convolve(pad(x, 3), "conv1", stride=2, padding="VALID")
        x = tf.nn.max_pool2d(tf.cast(pad(tf.nn.relu(x), 1), dtype), 3, 2, "VALID")
        for stage, blocks in STAGES:
            for number in range(1, blocks + 1):
                first = number == 1
                stride = 2 if first and stage > 2 else 1
                name = f"conv{stage}_block{number}"
                x = block(x, name, stride=stride, first=first)
        return tf.reduce_mean(tf.cast(x, tf.float32), axis=[1, 2])

    pictures = tf.TensorSpec((None, size, size, 3), tf.uint8)
    # Its loop is over layers and ends while it is traced: nothing for AutoGraph
    traced = tf.function(network, input_signature=[pictures], autograph=False)
    return traced.get_concrete_function()


def run_tensorflow(folded: Folded, size: int, precision: str = "float32") -> Forward:
    """Compile the network with TensorFlow; on its GPU, if it sees one."""
    function = tensorflow_function(folded, size, precision)
    return lambda pictures: function(pictures).numpy()


def sees_a_gpu() -> bool:
    """Say whether TensorFlow computes on a GPU here."""
    return bool(import_tensorflow().config.list_physical_devices("GPU"))
