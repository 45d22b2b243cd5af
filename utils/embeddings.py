"""Turn pictures into unit vectors with Keras's ResNet50.

Keras and TensorFlow are imported only when a network is needed: importing
`utils.embeddings` is cheap.  How the network runs is the business of `utils.fast.runtimes`.

>>> embedder = load_embedder()                                    # doctest: +SKIP
>>> embedder.embed(images).shape                                  # doctest: +SKIP
(8, 2048)
"""

import hashlib
import json
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from utils import images as pictures_of  # `images` are arrays here
from utils.errors import WeightsError
from utils.fast import runtimes
from utils.fast.runtimes import check_runtime
from utils.gallery import read_metadata

DIMENSION = 2048
BUNDLED = Path(__file__).parents[1] / "models" / "resnet50_notop.weights.h5"
GALLERY = Path(__file__).parents[1] / "images" / "metadata.csv"
IMAGENET_FILE = "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
IMAGENET_MD5 = "4d473c1dd8becc155b73f8504c6f6626"  # as keras.applications checks it
IMAGENET_SIZE = 224
# From this input size on, the network takes nearly all of the time and bfloat16 halves
# it; at 64 pixels it would gain a tenth (tools/benchmark/EXTRACTION.md).
BFLOAT16_FROM = 128
# Part of every pipeline id. Raise it when the pixels that reach the network change.
PREPROCESSING = "caffe2"
SUFFIXES = {  # of a pipeline id: float32 is what an id without one stands for
    "float32": "",
    "bfloat16": "-bfloat16v2",  # 1 rounded the first layer, too
    "float16": "-float16",
    "int8": f"-int8v{runtimes.RECIPE}",
}


class Embedder:
    """ResNet50 without its head, ready to turn pictures into unit vectors.

    Made by `load_embedder`.

    Attributes
    ----------
    model : keras.Model
        Preprocessed float32 pictures in, (n, 2048) pooled features out.  `embed` runs
        the same network compiled, with preprocessing inside.
    weights : str
        Which weights these are: ``"bundled"``, ``"imagenet"``, ``"untrained"`` or a
        file's name.
    input_size : int
        Height and width, in pixels, that `embed` expects.
    precision : str
        ``"float32"``, ``"bfloat16"``, ``"float16"`` or ``"int8"``.
    pipeline : str
        Names everything that decides a vector: vectors of one pipeline id may be
        compared and cached together, others may not.  TensorFlow and OpenVINO share an
        id (their vectors have a cosine of 0.99999 in float32), precisions do not.
    """

    def __init__(
        self,
        model: Any,
        weights: str,
        input_size: int,
        digest: str,
        *,
        precision: str = "auto",
        runtime: str = "auto",
    ) -> None:
        if precision == "auto":
            is_large = input_size >= BFLOAT16_FROM and runtime != "openvino"
            precision = "bfloat16" if is_large else "float32"
        check_runtime(precision, runtime)
        self.model = model
        self.weights = weights
        self.input_size = input_size
        self.precision = precision
        self._wanted = runtime
        self._exact = f"resnet50-{digest[:16]}-{input_size}px-{PREPROCESSING}-avg-l2"
        self.pipeline = self._exact + SUFFIXES[precision]

    def __repr__(self) -> str:
        size = self.input_size
        return f"ResNet50, {self.weights} weights, {size} × {size} pixels in"

    def embed(self, images: np.ndarray, *, batch_size: int = 32) -> np.ndarray:
        """Return one unit vector a picture.

        Parameters
        ----------
        images : uint8 array of shape (n, size, size, 3)
            RGB, 0–255, not preprocessed; size is `input_size`.
        batch_size : int
            Pictures that go through the network together.

        Returns
        -------
        embeddings : float32 array of shape (n, 2048)
            Rows of length 1.

        Raises
        ------
        ValueError
            If the shape or the dtype is another, or a vector is not finite.
        """
        images = self._check(images, batch_size)
        features = np.empty((len(images), DIMENSION), dtype=np.float32)
        for start in range(0, len(images), batch_size):
            rows = slice(start, start + batch_size)
            features[rows] = self.run(images[rows])
        return normalize(features)

    @cached_property
    def run(self) -> Callable[[np.ndarray], np.ndarray]:
        """The compiled network: uint8 pictures in, (n, 2048) features out.

        Its `name` tells which runtime is in use, its `speeds` what a trial measured.
        """
        return runtimes.make_runtime(
            runtimes.fold_batch_norms(self.model),
            self.input_size,
            precision=self.precision,
            runtime=self._wanted,
            identity=self._exact,
            pictures=partial(_gallery_pictures, self.input_size),
        )

    def feature_map(self, images: np.ndarray, *, batch_size: int = 32) -> np.ndarray:
        """Return the features of each region of each picture, before they are pooled.

        Their mean over the regions, brought to length 1, is what `embed` returns (in
        float32: regions are always computed in it).

        Parameters
        ----------
        images : uint8 array of shape (n, size, size, 3)
            As for `embed`.
        batch_size : int
            Pictures that go through the network together.

        Returns
        -------
        regions : float32 array of shape (n, h, w, 2048)
            One vector a region, none of its numbers negative; h and w are size / 32,
            rounded up.

        Raises
        ------
        ValueError
            If the shape or the dtype is another.
        """
        images, model = self._check(images, batch_size), self._regions_model
        shape = (len(images), *model.output_shape[1:])
        regions = np.empty(shape, dtype=np.float32)
        for batch, rows in _batches(images, batch_size):
            regions[rows] = model(batch, training=False)
        return regions

    @cached_property
    def _regions_model(self) -> Any:
        last = self.model.layers[-2].output  # the last layer is the pooling
        return import_keras().Model(self.model.input, last)

    def _check(self, images: np.ndarray, batch_size: int) -> np.ndarray:
        images = np.asarray(images)
        expected = (self.input_size, self.input_size, 3)
        if images.ndim != 4 or images.shape[1:] != expected:
            raise ValueError(
                f"images must have shape (n, {expected[0]}, {expected[1]}, 3) for "
                f"{self.weights} weights. Received: {images.shape}. Load them with "
                f"utils.images.load_pictures(paths, {expected[0]}); for one picture "
                "add a batch axis: images[None]."
            )
        if images.dtype != np.uint8:
            raise ValueError(
                "images must be uint8, RGB from 0 to 255, because embed does the "
                f"preprocessing itself. Received: {images.dtype}."
            )
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1. Received: {batch_size}.")
        return images


def load_embedder(
    weights: str | os.PathLike | None = None,
    *,
    input_size: int | None = None,
    download: bool = False,
    verbose: bool = True,
    precision: str = "auto",
    runtime: str = "auto",
) -> Embedder:
    """Build ResNet50 without its head and load its weights.

    Parameters
    ----------
    weights : str or path, optional
        ``"bundled"``: the file in ``models/`` (the default).  ``"imagenet"``: the
        weights that Keras publishes.  ``"untrained"``: random numbers, for
        comparison.  Anything else is the path of a Keras weights file for this
        topology.  The environment variable ``LOOKALIKE_WEIGHTS`` changes the
        default; nothing else does.
    input_size : int, optional
        Height and width of the pictures.  Belongs to the weights: it is read from
        the JSON file beside them (``mine.json`` beside ``mine.weights.h5``); without
        one it is 224.
    download : bool
        Allow Keras to fetch ``"imagenet"`` weights if this machine lacks them.
    verbose : bool
        Print one line that says which weights were taken.
    precision : {"auto", "float32", "bfloat16", "float16", "int8"}
        Of the numbers that the network computes with.  ``"auto"`` is bfloat16 from an
        input of 128 pixels on, where it is twice as fast on processors with
        instructions for it (on others, and on GPUs, its vectors are computed in
        float32 or float16), and float32 below, where it would hardly be faster.
        float32 gives the same vectors everywhere; int8 (with OpenVINO) is fastest on
        processors and least exact.  Each has a pipeline id of its own; notebook 11
        measures what each costs.
    runtime : {"auto", "tensorflow", "openvino"}
        What runs it.  ``"auto"`` is TensorFlow, on its GPU if it sees one; without
        one, in float32, a trial after 30 million pixels (600 pictures of 224 × 224)
        shows whether OpenVINO is faster here.

    Returns
    -------
    embedder : Embedder

    Raises
    ------
    ValueError
        If there is no such precision or runtime, or they do not go together.
    WeightsError
        If the weights are missing, damaged or of another topology.  No file is ever
        deleted or replaced.
    """
    chosen = os.fspath(weights or os.environ.get("LOOKALIKE_WEIGHTS") or "bundled")
    if precision != "auto":
        check_runtime(precision, runtime)
    options = {"precision": precision, "runtime": runtime}
    if chosen == "untrained":
        embedder = _untrained(input_size or 224, options)
    elif chosen == "imagenet":
        path = _imagenet_file(download)
        embedder = _from_file(path, chosen, input_size or IMAGENET_SIZE, options)
    elif chosen == "bundled":
        size = input_size or _stated_size(BUNDLED)
        embedder = _from_file(BUNDLED, chosen, size, options)
    else:
        path = Path(chosen)
        size = input_size or _stated_size(path)
        embedder = _from_file(path, path.name, size, options)
    if verbose:
        print(embedder)
    return embedder


def precision_of(pipeline: str) -> str:
    """Return the precision that a pipeline id stands for.

    Examples
    --------
    >>> precision_of("resnet50-813d-64px-caffe2-avg-l2-bfloat16v2")
    'bfloat16'
    >>> precision_of("resnet50-813d-64px-caffe2-avg-l2")
    'float32'
    """
    endings = {name: ending for name, ending in SUFFIXES.items() if ending}
    return next((p for p, end in endings.items() if pipeline.endswith(end)), "float32")


def preprocess(images: np.ndarray) -> np.ndarray:
    """Prepare pictures as Keras's ResNet50 expects them: BGR minus the ImageNet means.

    Parameters
    ----------
    images : uint8 array of shape (n, size, size, 3)
        RGB, 0–255.

    Returns
    -------
    batch : float32 array of shape (n, size, size, 3)
        A new array; `images` is left as it was.

    References
    ----------
    ``keras.applications.resnet50.preprocess_input`` (mode "caffe").
    """
    keras = import_keras()
    # Keras's function changes a float array in place: give it a copy of our own.
    return keras.applications.resnet50.preprocess_input(images.astype(np.float32))


def normalize(vectors: np.ndarray) -> np.ndarray:
    """Scale each row to length 1, so that an inner product is a cosine.

    Parameters
    ----------
    vectors : float array of shape (n, d)

    Returns
    -------
    unit : float32 array of shape (n, d)
        A row of zeros stays zero: it has no direction.

    Raises
    ------
    ValueError
        If `vectors` is not two-dimensional or holds NaN or infinity.

    Examples
    --------
    >>> normalize(np.array([[3.0, 4.0]]))
    array([[0.6, 0.8]], dtype=float32)
    """
    vectors = np.asarray(vectors, dtype=np.float32)
    if vectors.ndim != 2:
        raise ValueError(
            f"vectors must have shape (n, d). Received: {vectors.shape}. "
            "Add a batch axis: vectors[None]."
        )
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not np.isfinite(lengths).all():
        row = int(np.flatnonzero(~np.isfinite(lengths[:, 0]))[0])
        raise ValueError(
            f"vectors must be finite. Row {row} holds NaN or infinity: look at the "
            "picture it came from and at its preprocessing."
        )
    return vectors / np.where(lengths == 0, 1, lengths)


def color_histogram(images: np.ndarray, *, bins: int = 8) -> np.ndarray:
    """Describe each picture by its colours alone: the baseline to beat.

    Parameters
    ----------
    images : uint8 array of shape (n, height, width, 3)
        RGB, 0–255.
    bins : int
        Steps a channel; there are bins³ colours.

    Returns
    -------
    histograms : float32 array of shape (n, bins³)
        Square roots of the shares of pixels, so rows have length 1 and their inner
        product is the Bhattacharyya coefficient.

    Examples
    --------
    >>> black = np.zeros((1, 4, 4, 3), dtype=np.uint8)
    >>> color_histogram(black, bins=2)
    array([[1., 0., 0., 0., 0., 0., 0., 0.]], dtype=float32)
    """
    levels = np.asarray(images).astype(np.int64) * bins // 256  # 0 .. bins - 1
    codes = (levels[..., 0] * bins + levels[..., 1]) * bins + levels[..., 2]
    rows = codes.reshape(len(codes), -1)
    counts = np.stack([np.bincount(row, minlength=bins**3) for row in rows])
    return np.sqrt(counts / rows.shape[1]).astype(np.float32)


def import_keras() -> ModuleType:
    """Import Keras on TensorFlow without TensorFlow's messages about itself.

    TensorFlow writes to file descriptor 2 before its own log level is read, and a
    notebook would store that.  The descriptor points to a temporary file meanwhile;
    if the import fails, what it wrote is printed.  Its advice against batches of many
    sizes is dropped, too: a last batch is smaller, and when it speaks is chance.

    Returns
    -------
    keras : module
    """
    logging.getLogger("tensorflow").addFilter(_is_not_about_retracing)
    if "keras" in sys.modules and "tensorflow" in sys.modules:
        return sys.modules["keras"]
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as messages:
        os.dup2(messages.fileno(), 2)
        try:
            import keras
            import tensorflow

            tensorflow.config.list_logical_devices()  # looks for a GPU, and says so
        except BaseException:
            messages.seek(0)
            os.write(saved, messages.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)
    return keras


def _is_not_about_retracing(record: logging.LogRecord) -> bool:
    return "triggered tf.function retracing" not in record.getMessage()


def build_resnet50(input_size: int | None = None, *, dtype: str = "float32") -> Any:
    """Build Keras's ResNet50 without its head, with random weights.

    Parameters
    ----------
    input_size : int, optional
        Height and width of the pictures; None leaves them open.
    dtype : str
        What it stores and computes in, whatever Keras is set to.

    Returns
    -------
    model : keras.Model
        (n, size, size, 3) in, (n, 2048) out.
    """
    keras = import_keras()
    policy, layout = keras.config.dtype_policy(), keras.config.image_data_format()
    # A notebook may have changed these for all of Keras: our vectors stay the same.
    keras.config.set_dtype_policy(dtype)
    keras.config.set_image_data_format("channels_last")
    try:
        return keras.applications.ResNet50(
            weights=None,
            include_top=False,
            pooling="avg",
            input_shape=(input_size, input_size, 3),
        )
    finally:
        keras.config.set_dtype_policy(policy)
        keras.config.set_image_data_format(layout)


def _batches(images: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, slice]]:
    """Yield preprocessed pictures, `size` at a time, and the rows they came from."""
    for start in range(0, len(images), size):
        rows = slice(start, start + size)
        yield preprocess(images[rows]), rows


def _untrained(input_size: int, options: dict[str, str]) -> Embedder:
    """Fill the kernels as Keras does (Glorot, uniform), but from a seed of our own.

    Keras's seed is global: setting it would change the reader's random numbers too.
    """
    model = build_resnet50(input_size)
    rng = np.random.default_rng(seed=0)
    for weight in model.trainable_weights:
        if weight.name == "kernel":
            height, width, channels, filters = weight.shape
            limit = np.sqrt(6 / (height * width * (channels + filters)))
            weight.assign(rng.uniform(-limit, limit, weight.shape).astype("float32"))
    return Embedder(model, "untrained", input_size, "untrained-glorot-0", **options)


def _from_file(
    path: Path, name: str, input_size: int, options: dict[str, str]
) -> Embedder:
    digest = _checked_digest(path, name)
    model = build_resnet50(input_size)
    try:
        model.load_weights(path)
    except Exception as error:  # h5py and Keras raise many kinds
        raise WeightsError(
            f"{path.name}: expected Keras weights of ResNet50 without its head "
            f'(include_top=False, pooling="avg"). Keras said: {_first_line(error)}'
        ) from error
    return Embedder(model, name, input_size, digest, **options)


def _gallery_pictures(size: int) -> np.ndarray:
    """Return pictures to observe a network on: views of every thing in the gallery."""
    rows = read_metadata(GALLERY)
    chosen = [row for row in rows if row["split"] == "gallery"][::3]
    folder = GALLERY.parent
    pictures, _, refused = pictures_of.load_pictures(
        [folder / row["file"] for row in chosen], size
    )
    if refused:
        raise WeightsError(
            f"{refused[0].path}: expected a picture of the gallery, on which the "
            f"network is observed ({refused[0].reason}). Bring it back with `git "
            "checkout -- images`."
        )
    return pictures


def _checked_digest(path: Path, name: str) -> str:
    """Return the file's sha256, after comparing it with the published one."""
    if not path.is_file():
        raise WeightsError(
            f"{path}: no such weights file. Received weights={name!r}; expected "
            '"bundled", "imagenet", "untrained" or the path of a Keras weights file.'
        )
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(
            f"{path}: expected a weights file that can be read ({error.strerror}). "
            "Check its permissions."
        ) from error
    digest = hashlib.sha256(content).hexdigest()
    if content.startswith(b"version https://git-lfs"):
        raise WeightsError(f"{path.name}: a Git LFS pointer. Run `git lfs pull`.")
    if name == "bundled" and digest != (expected := _read_card(path)["sha256"]):
        raise WeightsError(
            f"{path.name}: the file is damaged or was changed: its sha256 is "
            f"{digest[:12]}…, expected {expected[:12]}…. "
            "Bring it back with `git checkout -- models`."
        )
    if name == "imagenet" and hashlib.md5(content).hexdigest() != IMAGENET_MD5:
        raise WeightsError(
            f"{path}: this is not the file that Keras publishes (the MD5 differs). "
            "Move it away and download again; it was left as it is."
        )
    return digest


def card_of(path: Path) -> Path:
    """Return the JSON file beside a weights file: its input size and sha256."""
    return path.with_name(
        path.name.removesuffix(".h5").removesuffix(".weights") + ".json"
    )


def _read_card(path: Path) -> dict:
    card = card_of(path)
    try:
        facts = json.loads(card.read_text(encoding="utf-8"))
        return {"input_size": int(facts["input_size"]), "sha256": str(facts["sha256"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        mend = "Bring it back with `git checkout -- models`."
        raise WeightsError(
            f'{card}: expected the weights\' "input_size" and "sha256" '
            f"({_first_line(error)}). "
            + (mend if path == BUNDLED else "Mend it, or state input_size yourself.")
        ) from error


def _stated_size(path: Path) -> int:
    """Return the input size that the file beside the weights states, or 224."""
    if path != BUNDLED and not card_of(path).exists():
        return IMAGENET_SIZE
    return _read_card(path)["input_size"]


def _imagenet_file(download: bool) -> Path:
    """Find Keras's own download, or fetch it if that was asked for."""
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    path = home / "models" / IMAGENET_FILE
    if path.exists():
        return path
    if not download:
        raise WeightsError(
            f"{path}: Keras's ImageNet weights are not on this machine. With a "
            "network, fetch them once (94 MB): "
            'load_embedder("imagenet", download=True).'
        )
    try:
        # Existing files never reach this line: on a wrong hash Keras deletes them.
        import_keras().applications.ResNet50(
            weights="imagenet", include_top=False, pooling="avg"
        )
    except Exception as error:  # Keras raises a bare Exception
        raise WeightsError(
            f"{IMAGENET_FILE}: the download failed ({_first_line(error)}). Check the "
            f"network, or put the file at {path} yourself."
        ) from error
    return path


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
