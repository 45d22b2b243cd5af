"""Turn pictures into unit vectors with Keras's ResNet50.

`Embedder.embed` runs the cells of notebook 02: preprocess, one forward pass of the
Keras model per batch, divide by the norm.  Keras and TensorFlow are imported only when
a network is needed: importing this module is cheap.

In every function, ``images`` are a uint8 array of shape (n, size, size, 3): RGB, 0–255.
"""

import errno
import hashlib
import json
import logging
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from utils.errors import LFS_POINTER, WeightsError, check_k, expanded, printable

DIMENSION = 2048
BUNDLED = Path(__file__).parents[1] / "models" / "resnet50_notop.weights.h5"
IMAGENET_FILE = "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
IMAGENET_MD5 = "4d473c1dd8becc155b73f8504c6f6626"  # as keras.applications checks it
IMAGENET_SIZE = 224
SMALLEST, LARGEST = 32, 2048  # height and width; Keras wants 32, larger takes gigabytes
# Part of every pipeline id. Raise it when the pixels that reach the network change.
PREPROCESSING = "caffe2"
RESTORE = "Bring it back with `git checkout -- models`."


class Embedder:
    """ResNet50 without its head, ready to turn pictures into unit vectors.

    Made by `load_embedder`.  Several threads may share it.

    - `model`: preprocessed float32 pictures in, (n, 2048) pooled features out
    - `weights`: ``"bundled"``, ``"imagenet"``, ``"untrained"`` or a file's name
    - `input_size`: height and width, in pixels, that `embed` expects
    - `pipeline` names everything that decides a vector: vectors of one pipeline id may
      be compared and cached together, others may not
    - `dimension`: numbers in a vector
    """

    network = "ResNet50"

    def __init__(
        self, model: Any, weights: str, input_size: int, pipeline: str
    ) -> None:
        self.model = model
        model.jit_compile = False  # or a GPU compiles anew for each size of a batch
        self.weights = weights
        self.input_size = input_size
        self.pipeline = pipeline
        self.dimension = int(model.output_shape[-1])
        # One batch at a time: Keras builds its graph at the first, which two threads
        # must not do at once, and each batch keeps every core busy.
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        size = self.input_size
        return f"{self.network}, {self.weights} weights, {size} × {size} pixels in"

    def embed(self, images: np.ndarray, *, batch_size: int = 32) -> np.ndarray:
        """Return one unit vector per picture: float32 of shape (n, 2048).

        The pictures are not preprocessed, their height and width is `input_size`;
        `batch_size` of them go through the network together.  ValueError for another
        shape or dtype, or if a vector is not finite.
        """
        features = [self.forward(batch) for batch in self._batches(images, batch_size)]
        empty = np.empty((0, self.dimension), dtype=np.float32)
        return normalize(np.concatenate([empty, *features]))

    def preprocess(self, images: np.ndarray) -> np.ndarray:
        """Return uint8 pictures as this network expects them: see `preprocess`."""
        return preprocess(images)

    def forward(self, images: np.ndarray) -> np.ndarray:
        """Send one batch through the network: (n, size, size, 3) -> (n, 2048)."""
        return self._predict(self.model, images)

    def feature_map(self, images: np.ndarray, *, batch_size: int = 32) -> np.ndarray:
        """Return the features of each region of each picture, before they are pooled.

        float32 of shape (n, h, w, 2048), none negative; h and w are size / 32, rounded
        up.  Their mean over h and w, brought to length 1, is what `embed` returns.
        """
        model, batches = self._regions_model, self._batches(images, batch_size)
        empty = np.empty((0, *model.output_shape[1:]), dtype=np.float32)
        return np.concatenate([empty, *(self._predict(model, b) for b in batches)])

    @cached_property
    def _regions_model(self) -> Any:
        last = self.model.layers[-2].output  # the last layer is the pooling
        return import_keras().Model(self.model.input, last)

    def _predict(self, model: Any, images: np.ndarray) -> np.ndarray:
        # Like `predict`, but without the data pipeline that it prepares at each call.
        with self._lock:
            return model.predict_on_batch(self.preprocess(images))

    def _batches(self, images: np.ndarray, batch_size: int) -> list[np.ndarray]:
        """Check the pictures and cut them into batches."""
        images, size = np.asarray(images), self.input_size
        if images.shape[1:] != (size, size, 3):
            raise ValueError(
                f"images must have shape (n, {size}, {size}, 3) for {self.weights} "
                f"weights. Received: {images.shape}. Load them with utils.images."
                f"load_pictures(paths, {size}); for one picture add a batch axis: "
                "images[None]."
            )
        if images.dtype != np.uint8:
            raise ValueError(
                "images must be uint8, RGB from 0 to 255, because embed does the "
                f"preprocessing itself. Received: {images.dtype}."
            )
        step = check_k(batch_size, "batch_size")
        return [images[start : start + step] for start in range(0, len(images), step)]


def load_embedder(
    weights: str | os.PathLike | None = None,
    *,
    input_size: int | None = None,
    download: bool = False,
    verbose: bool = True,
) -> Embedder:
    """Build ResNet50 without its head and load its weights.

    - `weights`: ``"bundled"``, the file in ``models/``, is the default unless the
      environment variable ``LOOKALIKE_WEIGHTS`` names another.  ``"imagenet"`` is what
      Keras publishes, ``"untrained"`` random numbers, for comparison.  Anything else is
      the path of a Keras weights file for this topology.
    - `input_size`: height and width of the pictures.  Default: what the JSON file
      beside the weights states (``mine.json`` beside ``mine.weights.h5``), or else 224.
    - `download` lets Keras fetch ``"imagenet"`` weights if this machine lacks them.
    - `verbose` prints one line that says which weights were taken.

    WeightsError if they are missing, damaged or of another topology; no file is ever
    deleted or replaced.
    """
    chosen = os.fspath(weights or os.environ.get("LOOKALIKE_WEIGHTS") or "bundled")
    if chosen == "untrained":
        name, sha256 = chosen, "untrained-glorot"
        size = check_size(IMAGENET_SIZE if input_size is None else input_size)
        model = _untrained(size)
    else:
        path = BUNDLED if chosen == "bundled" else Path(expanded(chosen))
        if chosen == "imagenet":
            path = _imagenet_file(download)
        name = chosen if chosen in ("bundled", "imagenet") else path.name
        card = read_card(path, published=name == "bundled")
        size = check_size(card["input_size"] if input_size is None else input_size)
        sha256 = checked_sha256(path, name)
        model = build_resnet50(size)
        head_off = 'ResNet50 without its head (include_top=False, pooling="avg")'
        load_weights(model, path, head_off)
    pipeline = f"resnet50-{sha256[:16]}-{size}px-{PREPROCESSING}-avg-l2"
    embedder = Embedder(model, name, size, pipeline)
    if verbose:
        print(embedder)
    return embedder


def preprocess(images: np.ndarray) -> np.ndarray:
    """Return pictures as Keras's ResNet50 expects them, in a new float32 array.

    BGR minus the ImageNet means: ``keras.applications.resnet50.preprocess_input``.
    """
    prepare = import_keras().applications.resnet50.preprocess_input
    # It changes a float array in place: give it a copy of our own.
    return prepare(images.astype(np.float32), data_format="channels_last")


def normalize(vectors: np.ndarray) -> np.ndarray:
    """Scale each row to length 1, so that an inner product is a cosine.

    Takes a float array of shape (n, d), returns float32.  A row of zeros stays zero: it
    has no direction.  ValueError for another shape, and for NaN or infinity.

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

    Each channel is cut into `bins` steps, so there are bins³ colours.  Returns square
    roots of the colours' shares of pixels, float32 of shape (n, bins³): rows have
    length 1, and their inner product is the Bhattacharyya coefficient.

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

    They go to file descriptor 2 before its own log level is read, and a notebook would
    store them: the descriptor points to a temporary file until the import is done.
    """
    # Advice against batches of many sizes: a last one is smaller, and when it speaks
    # is chance
    logging.getLogger("tensorflow").addFilter(_is_not_about_retracing)
    if "keras" in sys.modules and "tensorflow" in sys.modules:
        return sys.modules["keras"]
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with messages_aside():
        import keras
        import tensorflow

        tensorflow.config.list_logical_devices()  # looks for a GPU, and says so
    return keras


@contextmanager
def messages_aside() -> Iterator[None]:
    """Keep what libraries write to file descriptor 2 to show it only with an error."""
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as messages:
        os.dup2(messages.fileno(), 2)
        try:
            yield
        except BaseException:
            messages.seek(0)  # now they are wanted
            os.write(saved, messages.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def import_tensorflow() -> ModuleType:
    """Import TensorFlow, as quietly as `import_keras`."""
    import_keras()
    return sys.modules["tensorflow"]


def _is_not_about_retracing(record: logging.LogRecord) -> bool:
    return "triggered tf.function retracing" not in record.getMessage()


def build_resnet50(input_size: int | None = None, *, dtype: str = "float32") -> Any:
    """Build Keras's ResNet50 without its head, with random weights.

    `input_size` None leaves height and width open.  `dtype` is what it stores and
    computes in, whatever Keras is set to.
    """
    build, shape = import_keras().applications.ResNet50, (input_size, input_size, 3)
    with keras_settings(dtype):
        return build(weights=None, include_top=False, pooling="avg", input_shape=shape)


@contextmanager
def keras_settings(dtype: str) -> Iterator[None]:
    """Build a model as ours are, whatever a reader has set for all of Keras."""
    config = import_keras().config
    before = config.floatx(), config.dtype_policy(), config.image_data_format()

    def configure(floatx: str, policy: Any, layout: str) -> None:
        config.set_floatx(floatx)
        config.set_dtype_policy(policy)
        config.set_image_data_format(layout)

    configure(dtype, dtype, "channels_last")
    try:
        yield
    finally:
        configure(*before)


def _untrained(input_size: int) -> Any:
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
    return model


def load_weights(model: Any, path: Path, expected: str) -> None:
    """Fill a Keras model from a weights file, or say what was expected in it."""
    try:
        model.load_weights(path)
    except Exception as error:  # h5py and Keras raise many kinds
        raise WeightsError(
            f"{path.name}: expected Keras weights of {expected}. "
            f"Keras said: {_first_line(error)}"
        ) from error


def checked_sha256(path: Path, name: str) -> str:
    """Return a weights file's sha256, after comparing it with the card's, if any.

    `name` is what was asked for: "bundled" stands for a file in ``models/``.
    """
    try:
        if not path.is_file():  # a pipe would hang
            raise FileNotFoundError(errno.ENOENT, "No such file")
        content = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a null character
        raise WeightsError(
            f"{printable(str(path))}: expected a weights file that can be read "
            f"({getattr(error, 'strerror', error)}). "
            'weights must be "bundled", "imagenet", "untrained" or its path. '
            f"Received: {name!r}."
        ) from error
    sha256 = hashlib.sha256(content).hexdigest()
    if content.startswith(LFS_POINTER):
        raise WeightsError(f"{path.name}: a Git LFS pointer. Run `git lfs pull`.")
    published = name == "bundled"
    expected = read_card(path, published=published)["sha256"]
    if sha256 != expected and (expected or published):
        fix = RESTORE if published else f"Or {card_of(path).name} is of another file."
        raise WeightsError(
            f"{path.name}: the file is damaged or was changed: its sha256 is "
            f"{sha256[:12]}…, expected {expected[:12]}…. {fix}"
        )
    if name == "imagenet" and hashlib.md5(content).hexdigest() != IMAGENET_MD5:  # noqa: S324
        raise WeightsError(
            f"{path}: this is not the file that Keras publishes (the MD5 differs). "
            "Move it away and download again; it was left as it is."
        )
    return sha256


def check_size(size: Any) -> int:
    """Return a height and width that a network takes, or raise a ValueError."""
    if not SMALLEST <= check_k(size, "input_size") <= LARGEST:
        raise ValueError(
            f"input_size must be from {SMALLEST} to {LARGEST} pixels. Received: {size}."
        )
    return int(size)


def card_of(path: Path) -> Path:
    """Return the JSON file beside a weights file: its input size and sha256."""
    stem = path.name.removesuffix(".h5").removesuffix(".weights")
    return path.with_name(f"{stem}.json")


def read_card(path: Path, *, published: bool = False) -> dict[str, Any]:
    """Return what the JSON file beside a weights file states, or else its defaults."""
    card = card_of(path)
    if not published and not os.path.exists(card):
        return {"input_size": IMAGENET_SIZE, "sha256": ""}
    try:
        facts = json.loads(card.read_text(encoding="utf-8"))
        size = check_size(facts["input_size"])
        return {"input_size": size, "sha256": str(facts["sha256"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        own = "Fix it, or remove it."
        raise WeightsError(
            f'{card}: expected the weights\' "input_size" and "sha256" '
            f"({_first_line(error)}). {RESTORE if published else own}"
        ) from error


def _imagenet_file(download: bool) -> Path:
    """Find Keras's own download, or fetch it if that was asked for."""
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    path = home / "models" / IMAGENET_FILE
    if path.exists():  # Keras would delete it if its hash were wrong
        return path
    if not download:
        raise WeightsError(
            f"{path}: Keras's ImageNet weights are not on this machine. Fetch them "
            'once (94 MB): load_embedder("imagenet", download=True).'
        )
    try:
        import_keras().applications.ResNet50(weights="imagenet", include_top=False)
    except Exception as error:  # Keras raises a bare Exception
        raise WeightsError(
            f"{IMAGENET_FILE}: the download failed ({_first_line(error)}). Check the "
            f"network, or put the file at {path} yourself."
        ) from error
    return path


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
