"""`load_fast_embedder`: ResNet50 in a runtime and a precision that you name.

What it returns is an `Embedder`, and every function that takes one takes it.  float32
gives the vectors of `utils.embeddings.load_embedder`, whichever runtime computes them
(cosine at least 0.99999), under the same pipeline id.  Each other precision rounds, and
has an id of its own.  Notebook 11 measures what each costs and gains.
"""

import os
from functools import cached_property

import numpy as np

from utils.embeddings import Embedder, load_embedder
from utils.fast.networks import Forward, fold_batch_norms, run_tensorflow
from utils.fast.runtimes import (
    RECIPE,
    instead_of_bfloat16,
    run_int8,
    run_openvino,
)

RUNTIMES = {  # what can compute in a precision; the first is the default
    "float32": ("tensorflow", "openvino"),
    "bfloat16": ("tensorflow",),  # OpenVINO would round the first layer too
    "float16": ("tensorflow",),
    "int8": ("openvino",),
}
ENDINGS = {  # of a pipeline id
    "float32": "",
    "bfloat16": "-bfloat16v2",  # 1 rounded the first layer, too
    "float16": "-float16",
    "int8": f"-int8v{RECIPE}",
}


class FastEmbedder(Embedder):
    """An `Embedder` that runs the network compiled, in a `precision`, by a `runtime`.

    Made by `load_fast_embedder`.  `feature_map` is that of the Keras model, in float32.
    """

    def __init__(self, exact: Embedder, precision: str, runtime: str) -> None:
        pipeline = exact.pipeline + ENDINGS[precision]
        super().__init__(exact.model, exact.weights, exact.input_size, pipeline)
        self.precision, self.runtime = precision, runtime
        self._identity = exact.pipeline

    def __repr__(self) -> str:
        return f"{super().__repr__()}, {self.precision} by {self.runtime}"

    def forward(self, images: np.ndarray) -> np.ndarray:
        """Send one batch through the compiled network: -> (n, 2048)."""
        with self._lock:
            return self._compiled(images)

    @cached_property
    def _compiled(self) -> Forward:
        folded, size = fold_batch_norms(self.model), self.input_size
        if self.precision == "int8":
            return run_int8(folded, size, self._identity)
        if self.runtime == "openvino":
            return run_openvino(folded, size)
        if self.precision == "bfloat16":
            return run_tensorflow(folded, size, instead_of_bfloat16())
        return run_tensorflow(folded, size, self.precision)


def load_fast_embedder(
    precision: str = "bfloat16",
    *,
    runtime: str | None = None,
    weights: str | os.PathLike | None = None,
    input_size: int | None = None,
    download: bool = False,
    verbose: bool = True,
) -> FastEmbedder:
    """Load ResNet50 to be run compiled, which it is at the first batch.

    ValueError if there is no such precision or runtime, or they do not go together;
    WeightsError as `load_embedder`.

    Parameters
    ----------
    precision : {"bfloat16", "float32", "float16", "int8"}
        bfloat16 is twice as fast at 224 pixels on processors with instructions for
        it; on others its vectors are computed in float32, on GPUs in float16, under
        the same pipeline id.  int8 is fastest on processors and least exact.
    runtime : {"tensorflow", "openvino"}, optional
        Default: OpenVINO for int8, and TensorFlow, on its GPU if it sees one.
    weights, input_size, download, verbose
        As `utils.embeddings.load_embedder` takes them.
    """
    if precision not in RUNTIMES:
        raise ValueError(
            f"precision must be one of {list(RUNTIMES)}. Received: {precision!r}."
        )
    able = RUNTIMES[precision]
    if runtime not in (None, *able):
        raise ValueError(
            f"runtime must be {' or '.join(able)} for {precision}. "
            f"Received: {runtime!r}."
        )
    exact = load_embedder(
        weights, input_size=input_size, download=download, verbose=False
    )
    embedder = FastEmbedder(exact, precision, runtime or able[0])
    if verbose:
        print(embedder)
    return embedder
