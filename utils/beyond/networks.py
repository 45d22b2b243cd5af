"""Other networks than ResNet50, each with its own preprocessing and pipeline id.

>>> network = load_network("efficientnet_lite0")                   # doctest: +SKIP
>>> network.embed(images).shape                                   # doctest: +SKIP
(8, 1280)

What `load_network` returns can stand wherever an `Embedder` can.
"""

import hashlib
import os
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from utils.beyond import hub
from utils.beyond.efficientnet import build_efficientnet_lite0
from utils.embeddings import (
    BUNDLED,
    Embedder,
    check_size,
    checked_sha256,
    import_keras,
    keras_settings,
    load_embedder,
    load_weights,
    read_card,
)
from utils.errors import WeightsError, expanded, printable

EFFICIENTNET = BUNDLED.with_name("efficientnet_lite0.weights.h5")


class Recipe(NamedTuple):
    """What a network is made of and fed with."""

    title: str  # of keras.applications: the name of the function that builds it
    size: int  # height and width that its ImageNet weights were trained for
    smallest: int  # height and width that the topology can take
    pixels: str  # how they are brought into range; part of the pipeline id
    pooling: str
    module: str = ""  # of keras.applications, whose `preprocess_input` is its own
    file: str = ""  # of its ImageNet weights without the head, as Keras calls it
    published: str = ""  # that file's hash, as Keras checks it
    megabytes: int = 0


# The digit behind `pixels` goes up when the pixels that reach the network change.
NETWORKS = {
    "vgg16": Recipe(
        *("VGG16", 224, 32, "caffe2", "avg", "vgg16"),
        "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "6d6bbae143d832006294945121d1f1fc",
        59,
    ),
    "inception_v3": Recipe(
        *("InceptionV3", 299, 75, "tf1", "avg", "inception_v3"),
        "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "bcbd6486424b2319ff4ef7d526e38f63",
        88,
    ),
    "resnet50": Recipe("ResNet50", 224, 32, "caffe2", "avg"),
    "efficientnet_lite0": Recipe("EfficientNet-Lite0", 224, 32, "tf1", "avg"),
    "mobilenet_v3": Recipe(
        *("MobileNetV3Large", 224, 32, "inside1", "avg", "mobilenet_v3"),
        "weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5",
        "07fb09a5933dd0c8eaafa16978110389",
        13,
    ),
    "convnext_tiny": Recipe(
        *("ConvNeXtTiny", 224, 32, "inside1", "avg", "convnext"),
        "convnext_tiny_notop.h5",
        "d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1",
        112,
    ),
    "vit_b16": Recipe("ViT-B/16", 224, 32, "tf1", "token", megabytes=343),
}


class Network(Embedder):
    """One of `NETWORKS`, as ready to embed as ResNet50."""

    def __init__(
        self, name: str, whole: Any, *, weights: str, size: int, sha256: str
    ) -> None:
        recipe = self._recipe = NETWORKS[name]
        self.network = recipe.title
        ways = f"{size}px-{recipe.pixels}-{recipe.pooling}-l2"
        pipeline = f"{name}-{sha256[:16]}-{ways}"
        super().__init__(self._cut(whole), weights, size, pipeline)

    def preprocess(self, images: np.ndarray) -> np.ndarray:
        """Return uint8 pictures as this network's own `preprocess_input` gives them."""
        module = getattr(import_keras().applications, self._recipe.module)
        # It changes a float array in place: give it a copy of our own.
        floats = images.astype(np.float32)
        return module.preprocess_input(floats, data_format="channels_last")

    def _cut(self, whole: Any) -> Any:
        """Return what of the network leads to the vector."""
        return whole

    @cached_property
    def _regions_model(self) -> Any:
        layers = self.model.layers  # ConvNeXt goes on behind the pooling
        pool = next(x for x in layers[::-1] if "pool" in x.name and x.output.ndim == 2)
        return import_keras().Model(self.model.input, pool.input)


class EfficientNetLite0(Network):
    """EfficientNet-Lite0 with its ImageNet weights: 1,280 numbers per picture.

    `model` ends at the pooling, as ResNet50's does; `scores` goes on to the names.
    """

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

    def _cut(self, whole: Any) -> Any:
        self._head = whole.get_layer("scores")
        return import_keras().Model(whole.input, whole.get_layer("pool").output)


class VisionTransformer(Network):
    """ViT-B/16: the class token's 768 numbers are the vector.

    `feature_map` gives what the network made of each patch.
    """

    def preprocess(self, images: np.ndarray) -> np.ndarray:
        """Bring uint8 pictures to −1 to 1: float32, x / 127.5 − 1."""
        return images.astype(np.float32) / 127.5 - 1

    def _cut(self, whole: Any) -> Any:
        self._tokens = whole.output
        return import_keras().Model(whole.input, whole.output[:, 0])

    @cached_property
    def _regions_model(self) -> Any:
        side = self.input_size // 16
        reshape = import_keras().layers.Reshape((side, side, self.dimension))
        patches = reshape(self._tokens[:, 1:])
        return import_keras().Model(self.model.input, patches)


KINDS = {"efficientnet_lite0": EfficientNetLite0, "vit_b16": VisionTransformer}


def load_network(
    name: str = "efficientnet_lite0",
    *,
    weights: str | os.PathLike | None = "imagenet",
    input_size: int | None = None,
    download: bool = False,
    verbose: bool = True,
) -> Embedder:
    """Load a network by its name: an `Embedder`.

    Parameters
    ----------
    name : str
        One of `NETWORKS`.
    weights : str, path or None
        ``"imagenet"``: what Google or Keras publishes; those of EfficientNet-Lite0 are
        in ``models/``.  None: random numbers, the same each time, to measure what a
        network costs.  For ResNet50 whatever `load_embedder` takes, such as
        ``"bundled"``.  Anything else is the path of a Keras weights file.
    input_size : int, optional
        Height and width of the pictures.  Default: what the weights were made for.
    download : bool
        Fetch the ImageNet weights, through Keras or keras-hub, if they are not here.
    verbose : bool
        Print one line that says what was loaded.

    Raises
    ------
    ValueError
        If there is no network of this name, or it can't take the size.
    WeightsError
        If the weights are missing or damaged.  No file is ever deleted or replaced.
    LookalikeError
        If keras-hub, which ViT-B/16 needs, is not installed.
    """
    if name not in NETWORKS:
        names = ", ".join(f'"{known}"' for known in NETWORKS)
        raise ValueError(f"name must be one of {names}. Received: {name!r}.")
    if name == "resnet50":
        options: dict[str, Any] = {"input_size": input_size, "download": download}
        return load_embedder(weights or "untrained", **options, verbose=verbose)
    size = _check_size(name, input_size, weights)
    if weights is None:
        whole, known, sha256 = _build(name, size), "random", "random"
        _fill(whole)
    else:
        path, known = _weights_file(name, weights, download), os.fspath(weights)
        sha256 = checked_sha256(path, "bundled" if path == EFFICIENTNET else path.name)
        whole = _build(name, size)
        load_weights(whole, path, NETWORKS[name].title)
        known = known if known == "imagenet" else path.name
    facts: dict[str, Any] = {"weights": known, "size": size, "sha256": sha256}
    network = KINDS.get(name, Network)(name, whole, **facts)
    if verbose:
        print(network)
    return network


def _check_size(name: str, size: int | None, weights: Any) -> int:
    """Return the height and width to build for, or say which this network can take."""
    recipe = NETWORKS[name]
    if name == "efficientnet_lite0" and size is None:
        size = read_card(EFFICIENTNET, published=True)["input_size"]
    size = check_size(recipe.size if size is None else size)
    fault = f"at least {recipe.smallest}" if size < recipe.smallest else ""
    if name == "vit_b16":  # cut into patches, whose positions the weights know
        fault = fault or ("a multiple of 16" if size % 16 else "")
        fault = "224 for its ImageNet weights" if weights and size != 224 else fault
    if fault:
        raise ValueError(
            f"input_size of {recipe.title} must be {fault}. Received: {size}."
        )
    return size


def _build(name: str, size: int) -> Any:
    """Build a topology, with random weights."""
    if name == "efficientnet_lite0":
        return build_efficientnet_lite0(size)
    if name == "vit_b16":
        return hub.build_vit_b16(size)
    build = getattr(import_keras().applications, NETWORKS[name].title)
    options = {"weights": None, "include_top": False, "pooling": "avg"}
    with keras_settings("float32"):
        return build(input_shape=(size, size, 3), **options)


def _fill(model: Any) -> None:
    """Draw all kernels from a seed of our own, so that they are the same each time.

    Normal numbers whose spread keeps that of what goes through (He et al., 2015).
    """
    rng = np.random.default_rng(seed=0)
    for weight in model.trainable_weights:
        *inputs, last = weight.shape
        if inputs:
            # The kernels of a depthwise convolution see one channel each
            fan_in = np.prod(inputs[:2] if len(inputs) == 3 and last == 1 else inputs)
            numbers = rng.standard_normal(weight.shape, dtype=np.float32)
            weight.assign(numbers * np.float32(np.sqrt(2 / fan_in)))


def _weights_file(name: str, weights: Any, download: bool) -> Path:
    """Find a file of weights, and have it fetched if that was asked for."""
    recipe = NETWORKS[name]
    if weights != "imagenet":
        path = Path(expanded(weights))
        if path.is_file():
            return path
        raise WeightsError(
            f"{printable(str(path))}: expected a file of Keras weights of "
            f'{recipe.title}. weights must be "imagenet", None for random ones, or '
            f"its path. Received: {weights!r}."
        )
    if name == "efficientnet_lite0":
        return EFFICIENTNET
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    vit = name == "vit_b16"
    path = hub.vit_file() if vit else home / "models" / recipe.file
    if not path.exists():  # a file with another hash Keras would delete
        if not download:
            raise WeightsError(
                f"{path}: the ImageNet weights of {recipe.title} are not on this "
                f"machine. Fetch them once, with a network ({recipe.megabytes} MB): "
                f'load_network("{name}", download=True). To measure what the network '
                "costs, take random weights: weights=None."
            )
        _fetch(name, path)
    _check_published(path, recipe.published)
    return path


def _fetch(name: str, path: Path) -> None:
    """Have the weights fetched by the library that they belong to."""
    title = NETWORKS[name].title
    try:
        # Where the folder is missing or closed Keras takes a temporary one, in silence
        path.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(path.parent, os.W_OK):
            raise PermissionError(f"{path.parent} can't be written to")
        if name == "vit_b16":
            hub.fetch_vit()
        else:
            build = getattr(import_keras().applications, title)
            build(weights="imagenet", include_top=False, pooling="avg")
    except Exception as error:  # Keras raises a bare Exception
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise WeightsError(
            f"{path}: the weights of {title} could not be fetched ({reason}). Check "
            "the network, or put the file there yourself."
        ) from error
    if not path.exists():
        raise WeightsError(
            f"{path}: the weights of {title} were fetched, but not to this place. "
            "Set KERAS_HOME, or KAGGLEHUB_CACHE for ViT-B/16, before Python starts."
        )


def _check_published(path: Path, published: str) -> None:
    """Compare a file with the hash that Keras has for it, if it has one."""
    if not published:
        return
    algorithm = "md5" if len(published) == 32 else "sha256"
    if hashlib.new(algorithm, path.read_bytes()).hexdigest() != published:
        raise WeightsError(
            f"{path}: this is not the file that Keras publishes (the {algorithm} "
            "differs). Move it away and download again; it was left as it is."
        )
