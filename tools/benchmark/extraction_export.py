"""Our weights in the files of the peers: PyTorch's arrays, ONNX in three precisions.

python -m tools.benchmark.extraction_export FOLDER SIZE [SIZE ...]

A process of its own, so that no peer has TensorFlow in its memory.  What cannot be made
because a library is missing is left out, and so is the peer that would need it.
"""

import importlib.util
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from utils.embeddings import Embedder, load_embedder

OPSET = 20  # of the exported network
OPSET_BFLOAT16 = 22  # the first whose convolution and pooling may be bfloat16


def onnx_file(folder: Path, precision: str, size: int) -> Path:
    """Return where the network stands; quantised ones differ from size to size."""
    suffix = f"-{size}" if precision == "int8" else ""
    return folder / f"resnet50-{precision}{suffix}.onnx"


def export(folder: Path, sizes: Sequence[int]) -> None:
    """Write what the peers need for pictures of these sizes."""
    embedder = load_embedder(input_size=sizes[0], verbose=False)
    np.savez(folder / "weights.npz", allow_pickle=False, **torch_arrays(embedder))
    if not (importlib.util.find_spec("torch") and importlib.util.find_spec("onnx")):
        return
    exact = onnx_file(folder, "float32", sizes[0])
    save_onnx(folder, exact, sizes[0])
    save_bfloat16(exact, onnx_file(folder, "bfloat16", sizes[0]))
    if importlib.util.find_spec("onnxruntime"):
        from utils.fast.runtimes import _gallery_pictures  # what ours is observed on

        for size in sizes:
            target = onnx_file(folder, "int8", size)
            save_int8(exact, target, _gallery_pictures(size))


def torch_arrays(embedder: Embedder) -> dict[str, np.ndarray]:
    """Return Keras's weights under the training program's names.

    A bias of Keras's convolutions goes into the mean that the batch norm subtracts.
    """
    from tools.convert_weights import layer_names

    arrays: dict[str, np.ndarray] = {}
    for module, layer in layer_names().items():
        kernel, bias = embedder.model.get_layer(f"{layer}_conv").get_weights()
        norm = embedder.model.get_layer(f"{layer}_bn").get_weights()
        gamma, beta, mean, variance = norm
        arrays |= {
            f"{module}.0.weight": np.ascontiguousarray(kernel.transpose(3, 2, 0, 1)),
            f"{module}.1.weight": gamma,
            f"{module}.1.bias": beta,
            f"{module}.1.running_mean": mean - bias,
            f"{module}.1.running_var": variance,
        }
    return arrays


def save_onnx(folder: Path, path: Path, size: int) -> None:
    """Export PyTorch's network, preprocessing included; its batch norms are folded."""
    import torch

    from tools.benchmark.extraction_peers import from_pixels, torch_network

    example = torch.zeros(1, size, size, 3, dtype=torch.uint8)
    torch.onnx.export(
        from_pixels(torch_network(folder)),
        (example,),
        str(path),
        dynamo=False,
        opset_version=OPSET,
        input_names=["x"],
        dynamic_axes={"x": {0: "n", 1: "height", 2: "width"}},
    )


def save_bfloat16(source: Path, target: Path) -> None:
    """Let everything from the first convolution on be bfloat16, but for the result."""
    import ml_dtypes
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(source)
    model.opset_import[0].version = OPSET_BFLOAT16
    nodes, result = list(model.graph.node), model.graph.output[0].name
    start = next(i for i, node in enumerate(nodes) if node.op_type == "Conv")
    used = {name for node in nodes[start:] for name in node.input}
    for tensor in model.graph.initializer:
        if tensor.name in used and tensor.data_type == TensorProto.FLOAT:
            array = numpy_helper.to_array(tensor).astype(ml_dtypes.bfloat16)
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    pixels = nodes[start].input[0]
    nodes[start].input[0] = "pixels_half"
    for node in nodes:
        node.output[:] = ["result_half" if x == result else x for x in node.output]
    make = helper.make_node
    half = make("Cast", [pixels], ["pixels_half"], to=TensorProto.BFLOAT16)
    whole = make("Cast", ["result_half"], [result], to=TensorProto.FLOAT)
    del model.graph.node[:], model.graph.value_info[:]
    model.graph.node.extend([*nodes[:start], half, *nodes[start:], whole])
    onnx.save(model, target)


def save_int8(source: Path, target: Path, observed: np.ndarray) -> None:
    """Quantise as ONNX Runtime's documentation advises for x86 processors.

    Static, in QDQ format, a scale for each channel of the weights; ranges from the
    smallest to the largest value that occurred.  The first convolution stays in
    float32, as in ours: rounding it would cost the vectors most.
    """
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    batches = iter(np.array_split(observed, max(1, len(observed) // 16)))

    class Reader(quantization.CalibrationDataReader):
        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(batches, None)
            return None if batch is None else {"x": batch}

    prepared = target.with_suffix(".prepared.onnx")
    quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
    nodes = onnx.load(prepared).graph.node
    first = next(node.name for node in nodes if node.op_type == "Conv")
    quantization.quantize_static(
        str(prepared),
        str(target),
        Reader(),
        quant_format=quantization.QuantFormat.QDQ,
        per_channel=True,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
        nodes_to_exclude=[first],
    )
    prepared.unlink()


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # of constants in the trace, of the older exporter
    export(Path(sys.argv[1]), [int(size) for size in sys.argv[2:]])
