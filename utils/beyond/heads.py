"""A taught head: a linear map behind a frozen network, learned from labels.

>>> base = load_embedder()                                        # doctest: +SKIP
>>> head = train_head(base, vectors, labels)                      # doctest: +SKIP
>>> search = ImageSearch.from_folder("images", embedder=head)      # doctest: +SKIP

A `Head` can stand wherever an `Embedder` can. Its pipeline id is its base's and a hash
of its own numbers: vectors of two heads are never mixed. Notebook 20 writes it out.
"""

import hashlib
import io
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from utils.embeddings import Embedder, import_keras, keras_settings, normalize
from utils.errors import WeightsError, check_k, expanded, printable

TEMPERATURE = 0.1
BATCH = 128
MAX_ROWS = 2000  # that decide the directions from which the training begins


class Head(Embedder):
    """A base network and a linear map: ``normalize(vectors @ kernel)``.

    `base` makes the vectors, `kernel` is float32 of shape (base.dimension, dimension).
    """

    def __init__(self, base: Embedder, kernel: np.ndarray) -> None:
        kernel = _checked_kernel(kernel, base.dimension)
        sha256 = _sha256(base.pipeline, kernel)
        pipeline = f"{base.pipeline}-head-{sha256[:16]}"
        super().__init__(base.model, base.weights, base.input_size, pipeline)
        self.base, self.kernel, self.dimension = base, kernel, kernel.shape[1]

    def __repr__(self) -> str:
        return f"{self.base!r}, then a head of {self.dimension} numbers"

    def apply(self, vectors: np.ndarray) -> np.ndarray:
        """Turn vectors of the base into the head's: unit, of shape (n, dimension)."""
        vectors = normalize(vectors)
        _check_dimension(vectors, self.base)
        return normalize(vectors @ self.kernel)

    def embed(self, images: np.ndarray, *, batch_size: int = 32) -> np.ndarray:
        """Return one unit vector per picture, of shape (n, dimension)."""
        return self.apply(self.base.embed(images, batch_size=batch_size))

    def preprocess(self, images: np.ndarray) -> np.ndarray:
        """Return uint8 pictures as the base expects them."""
        return self.base.preprocess(images)

    def forward(self, images: np.ndarray) -> np.ndarray:
        """Send one batch through base and head: -> (n, dimension)."""
        return self.base.forward(images) @ self.kernel

    def feature_map(self, images: np.ndarray, *, batch_size: int = 32) -> np.ndarray:
        """Return each region's features behind the head: some are negative."""
        return self.base.feature_map(images, batch_size=batch_size) @ self.kernel

    def save(self, path: str | os.PathLike) -> None:
        """Write kernel, base's id and a sha256 as ``.npz``, or leave the old file.

        OSError if the disk is full or not writable, or there is no such folder.
        """
        path = Path(expanded(path))
        content, base = io.BytesIO(), self.base.pipeline
        sha256 = _sha256(base, self.kernel)
        np.savez(content, base=base, kernel=self.kernel, sha256=sha256)
        temporary = path.with_name(f"{path.name}.part-{os.getpid()}")
        try:
            with open(temporary, "wb") as file:
                file.write(content.getvalue())
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def load_head(path: str | os.PathLike, base: Embedder) -> Head:
    """Read what `Head.save` wrote, for the network that it was taught on.

    WeightsError if the file is missing, damaged or no head, or of another base.
    """
    path = Path(expanded(path))
    name = printable(str(path))
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"{name}: expected a head that can be read. ({error}) Teach one: "
            "train_head(base, vectors, labels), and head.save(path)."
        ) from error
    try:
        pipeline, kernel, sha256 = _read(content)
    except Exception as error:  # zipfile and NumPy raise many kinds
        raise WeightsError(
            f"{name}: expected a head as Head.save writes it. ({error}) The file is "
            "damaged, or something else. Save the head again."
        ) from error
    if sha256 != _sha256(pipeline, kernel):
        raise WeightsError(
            f"{name}: the file is damaged or was changed: its numbers do not fit its "
            f"sha256, {sha256[:12]}…. Save the head again."
        )
    if pipeline != base.pipeline:
        raise WeightsError(
            f"{name}: taught on vectors of {printable(pipeline)}. Received: "
            f"{base.pipeline}. Pass the network that it was taught on."
        )
    try:
        return Head(base, kernel)
    except ValueError as error:  # NaN that was saved as such
        raise WeightsError(f"{name}: {error}") from error


def train_head(
    base: Embedder,
    vectors: np.ndarray,
    labels: Any,
    *,
    dimension: int = 128,
    steps: int = 50,
    seed: int = 0,
) -> Head:
    """Teach a head: pictures of one label move together, all others apart.

    The kernel begins as the `dimension` main directions of the vectors (PCA) and takes
    `steps` steps of Adam on batches of 128, drawn from `seed`.  More steps fit the
    labels better, and kinds that are not among them worse: measure on such kinds.

    `vectors` are those of `base`, of shape (n, base.dimension); `labels` n strings or
    whole numbers, at least two different ones, and one of them twice; `dimension` is at
    most n, and 1,000.  ValueError for what nothing can be learned from.
    """
    vectors = normalize(vectors)
    _check_dimension(vectors, base)
    names = _checked_labels(labels, len(vectors))
    model = build_head(main_directions(vectors, dimension))
    rng = np.random.default_rng(seed)
    for _ in range(check_k(steps, "steps")):
        batch = rng.permutation(len(vectors))[:BATCH]
        model.train_on_batch(vectors[batch], names[batch])
    return Head(base, model.get_weights()[0])


def build_head(kernel: np.ndarray, learning_rate: float = 1e-3) -> Any:
    """Build the Keras model that `train_head` trains: a linear map, then length 1."""
    keras = import_keras()
    start, adam = keras.initializers.Constant(kernel), keras.optimizers.Adam
    with keras_settings("float32"):
        dense = keras.layers.Dense(
            kernel.shape[1], use_bias=False, kernel_initializer=start
        )
        unit = keras.layers.UnitNormalization()
        model = keras.Sequential([keras.Input(kernel.shape[:1]), dense, unit])
        model.compile(adam(learning_rate), contrastive_loss, jit_compile=False)
    return model


def contrastive_loss(labels: Any, vectors: Any) -> Any:
    """Return how badly each unit vector tells its own kind from others: (b,).

    Each chooses among all others by a softmax of similarity / 0.1; the loss is minus
    the log of the share that each of its own kind gets, on average.  Keras tensors of
    shapes (b,) and (b, d).  Khosla et al., *Supervised contrastive learning*, 2020.
    """
    ops = import_keras().ops
    labels = ops.reshape(labels, (-1, 1))
    others = 1 - ops.eye(ops.shape(vectors)[0])
    same = ops.cast(labels == ops.transpose(labels), "float32") * others
    similarities = vectors @ ops.transpose(vectors) / TEMPERATURE
    chosen_from = similarities - 1e9 * (1 - others)  # never itself
    log_shares = similarities - ops.logsumexp(chosen_from, axis=1, keepdims=True)
    return -ops.sum(log_shares * same, axis=1) / ops.maximum(ops.sum(same, axis=1), 1)


def main_directions(vectors: np.ndarray, dimension: int) -> np.ndarray:
    """Return the directions in which vectors spread most: float32, (d, dimension)."""
    sample = vectors[:: -(-len(vectors) // MAX_ROWS)]
    if check_k(dimension, "dimension") > min(sample.shape):
        raise ValueError(
            f"dimension must be at most {min(sample.shape)}: there are {len(vectors)} "
            f"vectors of {vectors.shape[1]} numbers. Received: {dimension}."
        )
    _, _, directions = np.linalg.svd(sample - sample.mean(axis=0), full_matrices=False)
    return directions[:dimension].T.astype(np.float32)


def _checked_labels(labels: Any, n: int) -> np.ndarray:
    """Return the labels as whole numbers from 0, float32 as Keras wants them."""
    labels = np.asarray(labels)
    if labels.shape != (n,) or (n and labels.dtype.kind not in "iuU"):
        raise ValueError(
            f"labels must be {n} strings or whole numbers, one per vector. Received: "
            f"{labels.dtype} of shape {labels.shape}."
        )
    found, names, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if len(found) < 2 or counts.max() < 2:
        raise ValueError(
            "labels must name at least two kinds, and one of them twice: a head learns "
            f"by comparing. Received: {len(found)} kinds for {n} vectors."
        )
    return names.astype(np.float32)


def _check_dimension(vectors: np.ndarray, base: Embedder) -> None:
    if vectors.shape[1] != base.dimension:
        raise ValueError(
            f"vectors must have shape (n, {base.dimension}), as {base.pipeline} makes "
            f"them. Received: {vectors.shape}."
        )


def _checked_kernel(kernel: Any, rows: int) -> np.ndarray:
    kernel = np.ascontiguousarray(kernel)
    if kernel.ndim != 2 or kernel.shape[0] != rows or not kernel.shape[1]:
        raise ValueError(
            f"kernel must have shape ({rows}, dimension). Received: {kernel.shape}."
        )
    if kernel.dtype != np.float32 or not np.isfinite(kernel).all():
        raise ValueError(
            f"kernel must be float32 and finite. Received: {kernel.dtype}, "
            f"{np.isfinite(kernel).mean():.0%} finite."
        )
    return kernel


def _sha256(pipeline: str, kernel: np.ndarray) -> str:
    """Hash what decides a head's vectors: its base and its numbers."""
    numbers = np.ascontiguousarray(kernel, dtype="<f4")
    named = f"{pipeline}\n{numbers.shape}\n".encode()
    return hashlib.sha256(named + numbers.tobytes()).hexdigest()


def _read(content: bytes) -> tuple[str, np.ndarray, str]:
    """Read base, kernel and sha256 from a file's bytes, and nothing that is pickled."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if sum(member.file_size for member in archive.infolist()) > len(content):
            raise ValueError("it claims to hold more than there is")
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        base, kernel, sha256 = (stored[name] for name in ("base", "kernel", "sha256"))
    if kernel.ndim != 2 or kernel.dtype != np.float32:
        raise ValueError(f"its kernel is {kernel.dtype} of shape {kernel.shape}")
    return str(base), kernel, str(sha256)
