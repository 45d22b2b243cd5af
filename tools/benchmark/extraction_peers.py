"""Who takes part in `tools.benchmark.extraction`, and how each library is spoken to.

A peer gets what its own documentation recommends: PyTorch its channels-last memory
layout, its compiler with frozen weights and bfloat16 autocast, ONNX Runtime a graph
with the batch norms folded and static quantisation, Keras one call of `predict`.
Weights, pictures, and the precision of the rows that are compared are the same.
"""

import importlib.util
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tools.benchmark.extraction_export import onnx_file
from utils import images
from utils.collection import extraction
from utils.collection.cache import VectorCache
from utils.embeddings import (
    Embedder,
    import_keras,
    import_tensorflow,
    load_embedder,
    normalize,
    preprocess,
)
from utils.fast.embedder import load_fast_embedder
from utils.fast.runtimes import _gallery_pictures, import_openvino

BATCH = extraction.BATCH  # pictures that go through a network together, for all
PRECISIONS = ("float32", "bfloat16", "int8")

Files = Sequence[Path]
Forward = Callable[[np.ndarray], np.ndarray]
Setting = dict[str, Any]


class Way(NamedTuple):
    """From files to unit vectors; and, if it can be had alone, the network."""

    embed: Callable[[Files], np.ndarray]
    forward: Forward | None = None  # uint8 (n, size, size, 3) -> features (n, 2048)


class Job(NamedTuple):
    """What a contender is made for."""

    folder: Path  # where `prepare` put the peers' networks
    size: int
    precision: str
    setting: Setting


def thread_counts() -> list[int]:
    """Return the numbers of threads that are tried: powers of two, and all cores."""
    available = getattr(os, "sched_getaffinity", None)
    cores = len(available(0)) if available else os.cpu_count() or 1
    return [2**k for k in range(cores.bit_length()) if 2**k < cores] + [cores]


# --------------------------------------------------------------------------- Keras
def keras_loop(job: Job) -> Way:
    """Do what most tutorials do: Keras's own loader, `predict` on each picture."""
    keras, embedder = import_keras(), load_embedder(input_size=job.size, verbose=False)

    def embed(files: Files) -> np.ndarray:
        vectors = []
        for path in files:
            image = keras.utils.load_img(path, target_size=(job.size, job.size))
            batch = preprocess(keras.utils.img_to_array(image)[None])
            vectors.append(embedder.model.predict(batch, verbose=0)[0])
        return normalize(np.array(vectors))

    return Way(embed)


def keras_dataset(job: Job) -> Way:
    """Let tf.data read, decode, resize, batch and prefetch, and `predict` once."""
    tf, model = import_tensorflow(), keras_model(job)
    prepare = import_keras().applications.resnet50.preprocess_input

    def decode(path: Any) -> Any:
        picture = tf.io.decode_image(
            tf.io.read_file(path), channels=3, expand_animations=False
        )
        picture = tf.image.resize(picture, (job.size, job.size), antialias=True)
        return prepare(picture)

    def embed(files: Files) -> np.ndarray:
        paths = tf.data.Dataset.from_tensor_slices([str(path) for path in files])
        batches = paths.map(decode, num_parallel_calls=tf.data.AUTOTUNE).batch(BATCH)
        return normalize(model.predict(batches.prefetch(tf.data.AUTOTUNE), verbose=0))

    return Way(embed, lambda pixels: model.predict(preprocess(pixels), verbose=0))


def keras_generator(job: Job) -> Way:
    """Hand `predict` the batches of our decoding threads."""
    model = keras_model(job)

    def embed(files: Files) -> np.ndarray:
        batches = ((preprocess(pixels),) for pixels in decoded_batches(files, job.size))
        return normalize(model.predict(batches, verbose=0))

    return Way(embed, lambda pixels: model.predict(preprocess(pixels), verbose=0))


def keras_model(job: Job) -> Any:
    """Return our network as Keras computes it: in float32 or mixed precision."""
    model = load_embedder(input_size=job.size, verbose=False).model
    if job.precision == "float32":
        return model
    config, shape = import_keras().config, model.input.shape[1:]
    before = config.dtype_policy()
    config.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = import_keras().applications.ResNet50(
            weights=None, include_top=False, pooling="avg", input_shape=shape
        )
    finally:
        config.set_dtype_policy(before)
    mixed.set_weights(model.get_weights())
    return mixed


# ------------------------------------------------------------------------- PyTorch
def torch_network(folder: Path) -> Any:
    """Return the training program's ResNet50 with our weights, up to the features."""
    import torch

    from tools.train_resnet50 import ResNet50

    class Features(ResNet50):
        def forward(self, x: Any) -> Any:
            return self.features(x)

    network = Features(1)
    with np.load(folder / "weights.npz") as arrays:
        state = {key: torch.from_numpy(arrays[key]) for key in arrays}
    network.load_state_dict(network.state_dict() | state)
    return network.eval().to(memory_format=torch.channels_last)


def from_pixels(network: Any, *, channels_last: bool = True) -> Any:
    """Put the preprocessing before a network of PyTorch: it takes uint8 pictures."""
    import torch

    from tools.train_resnet50 import preprocess

    class Whole(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, pixels: Any) -> Any:
            batch = pixels.permute(0, 3, 1, 2).float()  # a view: channels stay last
            if not channels_last:
                batch = batch.contiguous()
            return self.network(preprocess(batch))

    return Whole()


def torch_eager(job: Job) -> Way:
    """Run PyTorch's network as libraries like timm do, in either memory layout."""
    import torch

    network, last = torch_network(job.folder), job.setting["channels_last"]
    if not last:
        network.to(memory_format=torch.contiguous_format)
    whole = from_pixels(network, channels_last=last)
    return through(_torch_forward(whole, job.precision), job.size)


def torch_int8(job: Job) -> Way:
    """Quantise with PyTorch's own tool and its defaults for x86 processors.

    Observed on the pictures that ours is observed on; the first layer stays in
    float32, as in ours.
    """
    import torch
    from torch.ao.quantization import get_default_qconfig_mapping
    from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

    settings = get_default_qconfig_mapping("x86").set_module_name("stem", None)
    settings.set_object_type("mean", None)  # its 8-bit form fails, channels last
    example = torch.zeros(1, 3, job.size, job.size)
    prepared = prepare_fx(torch_network(job.folder), settings, (example,))
    observe = _torch_forward(from_pixels(prepared), "float32")
    pictures = _gallery_pictures(job.size)
    for start in range(0, len(pictures), BATCH):
        observe(pictures[start : start + BATCH])
    whole = from_pixels(convert_fx(prepared))
    return through(_torch_forward(whole, "float32"), job.size)


def torch_compiled(job: Job) -> Way:
    """Compile PyTorch's network, its weights frozen, for full batches."""
    import torch
    import torch._inductor.config

    torch._inductor.config.freezing = True
    whole = torch.compile(from_pixels(torch_network(job.folder)), dynamic=False)
    forward = _torch_forward(whole, job.precision)

    def padded(pixels: np.ndarray) -> np.ndarray:
        """Fill the last batch, or the network would be compiled again for it."""
        full = np.zeros((BATCH, *pixels.shape[1:]), np.uint8)
        full[: len(pixels)] = pixels
        return forward(full)[: len(pixels)]

    return through(padded, job.size)


def _torch_forward(network: Any, precision: str) -> Forward:
    import torch

    half = precision == "bfloat16"

    def forward(pixels: np.ndarray) -> np.ndarray:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=half):
            return network(torch.from_numpy(pixels)).float().numpy()

    return forward


# ------------------------------------------------------- ONNX Runtime and OpenVINO
def onnx_runtime(job: Job) -> Way:
    """Run the exported network of the job's precision with ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = job.setting["threads"]
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        str(onnx_file(job.folder, job.precision, job.size)),
        options,
        providers=["CPUExecutionProvider"],
    )
    return through(lambda pixels: session.run(None, {"x": pixels})[0], job.size)


def openvino_direct(job: Job) -> Way:
    """Run the exported network with OpenVINO, in bfloat16 throughout."""
    core = import_openvino().Core()
    able = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if "BF16" not in able:
        raise RuntimeError("this processor has no instructions for bfloat16")
    hints = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "bf16",
        "INFERENCE_NUM_THREADS": job.setting["threads"],
    }
    file = onnx_file(job.folder, "float32", job.size)
    network = core.read_model(file)
    network.reshape([-1, job.size, job.size, 3])
    compiled = core.compile_model(network, "CPU", hints)
    return through(lambda pixels: np.array(compiled(pixels)[0]), job.size)


# ------------------------------------------------------------------------ Lookalike
def ours(job: Job) -> Way:
    """Use `embed_files` as it comes, with a cache that knows nothing yet."""
    size, runtime = job.size, job.setting.get("runtime")
    embedder: Embedder = (
        load_fast_embedder(
            job.precision, runtime=runtime, input_size=size, verbose=False
        )
        if job.setting["fast"]
        else load_embedder(input_size=size, verbose=False)
    )

    def embed(files: Files) -> np.ndarray:
        with tempfile.TemporaryDirectory() as folder:
            with VectorCache(Path(folder) / "cache.sqlite") as cache:
                return extraction.embed_files(files, embedder, cache=cache).vectors

    return Way(embed, embedder.forward)


def through(forward: Forward, size: int) -> Way:
    """Decode in the same threads as ours, and run a network of somebody else's."""

    def embed(files: Files) -> np.ndarray:
        found = [forward(pixels) for pixels in decoded_batches(files, size)]
        return normalize(np.concatenate(found))

    return Way(embed, forward)


def decoded_batches(files: Files, size: int) -> Iterator[np.ndarray]:
    """Yield batches of pictures, decoded ahead by threads."""
    batch = []
    for pixels in extraction.map_ahead(lambda p: images.load_picture(p, size), files):
        batch.append(pixels)
        if len(batch) == BATCH:
            yield np.stack(batch)
            batch = []
    if batch:
        yield np.stack(batch)


# ------------------------------------------------------------------- who takes part
@dataclass(frozen=True)
class Contender:
    """A row: who makes the way, in which precision, and the settings to try."""

    name: str
    precision: str
    make: Callable[[Job], Way]
    grid: tuple[Setting, ...]
    needs: tuple[str, ...] = ("tensorflow",)

    @property
    def missing(self) -> list[str]:
        """Libraries that it needs and that are not installed."""
        return [name for name in self.needs if not importlib.util.find_spec(name)]


def _grid(**more: Sequence[Any]) -> tuple[Setting, ...]:
    settings: list[Setting] = [{"threads": count} for count in thread_counts()]
    for key, values in more.items():
        settings = [{**one, key: value} for one in settings for value in values]
    return tuple(settings)


LOOP, DEFAULT = "Keras, one by one", "Lookalike as it comes"
DATASET, GENERATOR = "Keras, tf.data", "Keras, our decoding"
OURS = "Lookalike"  # what our rows begin with
TORCH, ONNX = ("torch",), ("onnxruntime", "onnx", "torch")  # torch exports
EITHER = _grid(channels_last=(True, False))
AS_IT_COMES, FAST = ({"fast": False},), ({"fast": True},)
CONTENDERS = [
    Contender(LOOP, "float32", keras_loop, _grid()),
    Contender(DATASET, "float32", keras_dataset, _grid()),
    Contender(GENERATOR, "float32", keras_generator, _grid()),
    Contender("PyTorch, eager", "float32", torch_eager, EITHER, TORCH),
    Contender("PyTorch, compiled", "float32", torch_compiled, _grid(), TORCH),
    Contender("ONNX Runtime", "float32", onnx_runtime, _grid(), ONNX),
    Contender(DEFAULT, "float32", ours, AS_IT_COMES),
    Contender("Lookalike, TensorFlow", "float32", ours, FAST),
    Contender(
        "Lookalike, OpenVINO",
        "float32",
        ours,
        ({"fast": True, "runtime": "openvino"},),
        ("openvino",),
    ),
    Contender("Keras, mixed bfloat16", "bfloat16", keras_generator, _grid()),
    Contender("PyTorch, eager autocast", "bfloat16", torch_eager, EITHER, TORCH),
    Contender("PyTorch, compiled autocast", "bfloat16", torch_compiled, _grid(), TORCH),
    Contender("ONNX Runtime, bfloat16", "bfloat16", onnx_runtime, _grid(), ONNX),
    Contender(
        "OpenVINO itself",
        "bfloat16",
        openvino_direct,
        _grid(),
        ("openvino", "onnx", "torch"),
    ),
    Contender("Lookalike, bfloat16", "bfloat16", ours, FAST),
    Contender("ONNX Runtime, int8", "int8", onnx_runtime, _grid(), ONNX),
    Contender("PyTorch, int8", "int8", torch_int8, _grid(), TORCH),
    Contender("Lookalike, int8", "int8", ours, FAST, ("openvino", "nncf")),
]
