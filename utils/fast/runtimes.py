"""Run ResNet50 fast: by TensorFlow or OpenVINO, in one of four precisions.

A runtime is a function, uint8 pictures of shape (n, size, size, 3) to float32 features
of shape (n, 2048).  Preprocessing is part of it, and every batch norm is folded into
the convolution before it.  Only `utils.embeddings` imports this module.

The names of layers are those of Keras's ResNet50.
"""

import hashlib
import importlib.metadata
import importlib.util
import io
import logging
import os
import platform
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import platformdirs

from utils.collection import bundles
from utils.errors import LookalikeError

Runtime = Callable[[np.ndarray], np.ndarray]
Folded = dict[str, tuple[np.ndarray, np.ndarray]]

PRECISIONS = {  # what can compute in it
    "float32": ("tensorflow", "openvino"),
    "bfloat16": ("tensorflow",),  # OpenVINO would round the first layer too
    "float16": ("tensorflow",),
    "int8": ("openvino",),
}
PACKAGES = ("openvino", "nncf")
TOLERANCE = 0.99999  # the least cosine between two runtimes of one precision
FIRST = "conv1_conv"
MEANS = (103.939, 116.779, 123.68)  # of ImageNet: blue, green, red
STAGES = ((2, 3), (3, 4), (4, 6), (5, 3))  # conv2 … conv5, and their blocks
# Pixels that the network has seen: 600 pictures of 224 × 224, or 7,300 of 64 × 64.
# Below that a trial does not pay; and whatever is small comes out the same every time.
TRIAL_AFTER = 30_000_000
TRIAL_BATCH = 16  # pictures, at least
TRIAL_SECONDS = 1.0
RECIPE = "3"  # part of a kept network's facts: raise it when it is made another way


def fold_batch_norms(model: Any) -> Folded:
    """Make one convolution of each convolution and the batch norm behind it.

    After training, a batch norm multiplies each channel by a number and adds another.
    So does a convolution whose kernel and bias are multiplied beforehand.

    Parameters
    ----------
    model : keras.Model
        Keras's ResNet50.

    Returns
    -------
    folded : dict of str to (kernel, bias)
        By the convolution's name: float32 arrays of shape (h, w, in, out) and (out,).
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
    """Write ResNet50 down with TensorFlow's own operations, to be compiled.

    Parameters
    ----------
    folded : dict
        From `fold_batch_norms`.
    size : int
        Height and width of the pictures.
    precision : {"float32", "bfloat16", "float16"}
        Of the convolutions.  The first one, which takes 3 % of the time and whose
        rounding would cost more than that of whole stages further on, and the pooling
        at the end are done in float32.

    Returns
    -------
    function : tf.function
        uint8 of shape (n, size, size, 3) in, float32 of shape (n, 2048) out.

    References
    ----------
    He et al., Deep residual learning for image recognition, 2016.
    """
    import tensorflow as tf

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

    def run(pictures: Any) -> Any:
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
    return tf.function(run, input_signature=[pictures], autograph=False)


def run_tensorflow(folded: Folded, size: int, precision: str = "float32") -> Runtime:
    """Compile the network with TensorFlow; on its GPU, if it sees one."""
    function = tensorflow_function(folded, size, precision).get_concrete_function()
    return lambda pictures: function(pictures).numpy()


def run_openvino(folded: Folded, size: int) -> Runtime:
    """Compile the network with OpenVINO for this processor, in float32."""
    return _compile(_openvino_network(folded, size))


def run_int8(
    folded: Folded, size: int, identity: str, pictures: Callable[[], np.ndarray]
) -> Runtime:
    """Compile a network of 8-bit whole numbers with OpenVINO, quantised only once.

    Post-training quantisation: the range of every layer's output is observed on
    pictures, and cut into 256 steps; the first layer stays in float32, as in
    `tensorflow_function`.  The outcome is kept in the user's cache folder,
    with the facts it came from; a damaged file, or one of other facts, is made anew.

    Parameters
    ----------
    folded : dict
        From `fold_batch_norms`.
    size : int
        Height and width of the pictures.
    identity : str
        The pipeline id of the float32 network.
    pictures : function
        Returns uint8 pictures of shape (n, size, size, 3) to observe.

    Returns
    -------
    runtime : Runtime

    References
    ----------
    Jacob et al., Quantization and training of neural networks for efficient
    integer-arithmetic-only inference, 2018; computed by NNCF.
    """
    openvino = import_openvino()
    folder = kept_networks() / f"{identity}-int8"
    observed = pictures()
    facts = {
        "recipe": RECIPE,
        "identity": identity,
        "observed": hashlib.sha256(observed.tobytes()).hexdigest(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
    }
    try:
        bundle = bundles.read_bundle(folder)
        if bundle.facts == facts:
            files = bundle.files
            network = openvino.Core().read_model(files["net.xml"], files["net.bin"])
            return _compile(network)
    except (LookalikeError, RuntimeError, KeyError):
        pass  # not there, damaged, or of another kind: made anew
    network = _quantize(_openvino_network(folded, size), observed)
    _keep(network, folder, facts)
    return _compile(network)


def check_runtime(precision: str, runtime: str) -> None:
    """Raise a ValueError unless this runtime can compute in this precision."""
    if precision not in PRECISIONS:
        raise ValueError(
            f"precision must be one of {list(PRECISIONS)}. Received: {precision!r}."
        )
    able = PRECISIONS[precision]
    if runtime not in ("auto", *able):
        raise ValueError(
            f"{precision} is computed by {' or '.join(able)}: runtime must be one of "
            f"them, or auto. Received: {runtime!r}."
        )


def make_runtime(
    folded: Folded,
    size: int,
    *,
    precision: str,
    runtime: str,
    identity: str,
    pictures: Callable[[], np.ndarray],
) -> "Fastest":
    """Make what `utils.embeddings.load_embedder` describes.

    Parameters
    ----------
    folded : dict
        From `fold_batch_norms`.
    size : int
        Height and width of the pictures.
    precision, runtime : str
        See `check_runtime`.
    identity, pictures
        For `run_int8`.

    Returns
    -------
    runtime : Fastest
    """
    if precision == "int8":
        return Fastest(
            {"openvino": partial(run_int8, folded, size, identity, pictures)}
        )
    if precision == "bfloat16":
        precision = instead_of_bfloat16()
    makers = {
        "tensorflow": partial(run_tensorflow, folded, size, precision),
        "openvino": partial(run_openvino, folded, size),
    }
    names = [runtime] if runtime != "auto" else list(PRECISIONS[precision])
    if len(names) > 1 and (_sees_a_gpu() or not importlib.util.find_spec("openvino")):
        names = ["tensorflow"]
    return Fastest({name: makers[name] for name in names})


def instead_of_bfloat16() -> str:
    """Return the precision in which this machine computes the vectors of bfloat16.

    bfloat16 itself on a processor with instructions for it.  Others take one that is
    nearer to float32: their vectors may be compared and cached with those of bfloat16.
    """
    if _sees_a_gpu():
        return "float16"
    # OpenVINO tells what the processor can do, but not of a limit that was set, nor
    # whether TensorFlow makes use of it: on other families that was not measured.
    if not (
        importlib.util.find_spec("openvino")
        and platform.machine().lower() in ("x86_64", "amd64")
        and not os.environ.get("ONEDNN_MAX_CPU_ISA")
    ):
        return "float32"
    able = import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "bfloat16" if "BF16" in able else "float32"


class Fastest:
    """TensorFlow at first, and after many pictures what a trial shows to be faster.

    The trial costs seconds, most of them to build the network a second time: a few
    queries do not pay for it, a collection does.

    Parameters
    ----------
    makers : mapping of str to function
        Each makes a runtime; the first is in use until the trial.
    trial_after : int
        Pixels until the trial.
    tolerance : float
        The least cosine with the first runtime's features: a runtime that computes
        something else is never taken.

    Attributes
    ----------
    name : str
        The runtime in use.
    speeds : dict of str to float
        Pictures a second in the trial; empty before it.
    """

    def __init__(
        self,
        makers: Mapping[str, Callable[[], Runtime]],
        *,
        trial_after: int = TRIAL_AFTER,
        tolerance: float = TOLERANCE,
    ) -> None:
        self.name, *others = makers
        self.speeds: dict[str, float] = {}
        self._run = makers[self.name]()
        self._others = {name: makers[name] for name in others}  # they hold the weights
        self._tolerance, self._left = tolerance, trial_after
        self._lock = threading.Lock()

    @property
    def is_undecided(self) -> bool:
        """Whether a trial is still to come."""
        return bool(self._others)

    def __call__(self, pictures: np.ndarray) -> np.ndarray:
        """Run the network."""
        features = self._run(pictures)
        with self._lock:
            self._left -= pictures[..., 0].size
            if self._left <= 0 and self._others and len(pictures) >= TRIAL_BATCH:
                self._try_others(pictures, features)
                self._others = {}
        return features

    def _try_others(self, pictures: np.ndarray, features: np.ndarray) -> None:
        runs = {self.name: self._run}
        for name, make in self._others.items():
            try:
                run = make()
                if _least_cosine(run(pictures), features) >= self._tolerance:
                    runs[name] = run
            except Exception as error:  # the work goes on with what works
                message = f"{name} cannot run this network: {error}"
                warnings.warn(message, RuntimeWarning, stacklevel=2)
        self.speeds = race(runs, pictures)
        self.name = max(self.speeds, key=self.speeds.__getitem__)
        self._run = runs[self.name]


def race(runs: Mapping[str, Runtime], pictures: np.ndarray) -> dict[str, float]:
    """Let runtimes take turns for about a second; return pictures a second of each."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    end = perf_counter() + TRIAL_SECONDS
    while perf_counter() < end or not all(times.values()):
        for name, run in runs.items():
            start = perf_counter()
            run(pictures)
            times[name].append(perf_counter() - start)
    return {name: len(pictures) / median(seconds) for name, seconds in times.items()}


def import_openvino() -> Any:
    """Import OpenVINO without the reports that it sends home unless told not to.

    It has to be the first import of OpenVINO in the process.

    Raises
    ------
    LookalikeError
        If it is not installed.
    """
    # Where this package is missing, OpenVINO and NNCF do without it.
    sys.modules.setdefault("openvino_telemetry", None)
    return _import("openvino")


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise LookalikeError(
            f"{name}: expected it to be installed, to run the network in another way "
            f"than by TensorFlow. Received: {error}. Install it: pip install {name}."
        ) from error


def kept_networks() -> Path:
    """Return the folder of quantised networks, in the user's cache folder."""
    return platformdirs.user_cache_path("lookalike") / "networks"


def _openvino_network(folded: Folded, size: int) -> Any:
    function = tensorflow_function(folded, size).get_concrete_function()
    return import_openvino().convert_model(function)


def _compile(network: Any) -> Runtime:
    hints = {
        "PERFORMANCE_HINT": "LATENCY",  # all cores for one batch
        "INFERENCE_PRECISION_HINT": "f32",  # it takes bfloat16 unless told not to
    }
    compiled = import_openvino().Core().compile_model(network, "CPU", hints)
    lock = threading.Lock()  # a request holds one batch at a time

    def run(pictures: np.ndarray) -> np.ndarray:
        with lock:
            return np.array(compiled(np.ascontiguousarray(pictures))[0])

    return run


def _quantize(network: Any, observed: np.ndarray) -> Any:
    nncf = _import("nncf")
    from nncf.quantization import advanced_parameters, range_estimator

    nncf.set_log_level(logging.ERROR)
    # From the very smallest to the very largest: NNCF's default, a mean over pictures,
    # cuts the rare large features off, and they decide who is near.
    ranges = range_estimator.RangeEstimatorParametersSet.MINMAX
    advanced = advanced_parameters.AdvancedQuantizationParameters(
        activations_range_estimator_params=ranges
    )
    dataset = nncf.Dataset([picture[None] for picture in observed])
    operations = network.get_ordered_ops()
    first = next(op for op in operations if op.get_type_name() == "Convolution")
    with _no_progress_bars():
        return nncf.quantize(
            network,
            dataset,
            subset_size=len(observed),
            advanced_parameters=advanced,
            ignored_scope=nncf.IgnoredScope(names=[first.get_friendly_name()]),
        )


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    """Let NNCF draw its bars, which in a notebook are widgets, where nobody looks."""
    import rich

    console = rich.get_console()
    before = vars(console).copy()
    rich.reconfigure(file=io.StringIO(), force_jupyter=False)
    try:
        yield
    finally:
        vars(console).update(before)


def _keep(network: Any, folder: Path, facts: Mapping[str, Any]) -> None:
    """Write the network; a disk that is full or read-only costs time, not the work."""
    openvino = import_openvino()
    try:
        with tempfile.TemporaryDirectory() as temporary:
            path = Path(temporary) / "net.xml"
            openvino.save_model(network, path, compress_to_fp16=False)
            files = {p.name: p.read_bytes() for p in (path, path.with_suffix(".bin"))}
        bundles.write_bundle(folder, files, facts)
    except (OSError, RuntimeError) as error:  # OpenVINO's writing raises the latter
        message = f"the network of 8-bit numbers could not be kept in {folder}: {error}"
        warnings.warn(message, RuntimeWarning, stacklevel=2)


def _sees_a_gpu() -> bool:
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


def _least_cosine(features: np.ndarray, expected: np.ndarray) -> float:
    products = (features * expected).sum(axis=1)
    lengths = np.linalg.norm(features, axis=1) * np.linalg.norm(expected, axis=1)
    blind = ~features.any(axis=1) & ~expected.any(
        axis=1
    )  # both see nothing: they agree
    return float(np.where(blind, 1, products / np.maximum(lengths, 1e-9)).min())
