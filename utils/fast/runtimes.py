"""The network run by OpenVINO, in float32 and in 8-bit whole numbers (by NNCF)."""

import hashlib
import importlib
import importlib.metadata
import importlib.util
import logging
import os
import platform
import sys
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

from utils.collection import bundles
from utils.errors import LookalikeError, PictureError, import_optional
from utils.fast.networks import Folded, Forward, sees_a_gpu, tensorflow_function
from utils.gallery import load_gallery
from utils.images import load_pictures

PACKAGES = ("openvino", "nncf")
RECIPE = "3"  # part of a kept network's facts: raise it when it is made another way


def run_openvino(folded: Folded, size: int) -> Forward:
    """Compile the network with OpenVINO for this processor, in float32."""
    return _compile(_network(folded, size))


def run_int8(folded: Folded, size: int, identity: str) -> Forward:
    """Compile a network of 8-bit whole numbers with OpenVINO, quantised only once.

    Post-training quantisation: the range of every layer's output is observed on
    pictures of the gallery, and cut into 256 steps; the first layer stays in float32.
    The outcome is kept in the user's cache folder, with the facts it came from; a
    damaged file, or one of other facts, is made anew.  `identity` is the pipeline id
    of the float32 network.

    References
    ----------
    Jacob et al., Quantization and training of neural networks for efficient
    integer-arithmetic-only inference, 2018; computed by NNCF.
    """
    openvino = import_openvino()
    folder = kept_networks() / f"{identity}-int8"
    observed = _gallery_pictures(size)
    facts = {
        "recipe": RECIPE,
        "identity": identity,
        "observed": hashlib.sha256(observed.tobytes()).hexdigest(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
    }
    try:
        bundle = bundles.read_bundle(folder)
        if bundle.facts == facts:
            parts = bundle.files["net.xml"], bundle.files["net.bin"]
            return _compile(openvino.Core().read_model(*parts))
    except (LookalikeError, RuntimeError, KeyError):
        pass  # not there, damaged, or of another kind: made anew
    network = _quantize(_network(folded, size), observed)
    _keep(network, folder, facts)
    return _compile(network)


def instead_of_bfloat16() -> str:
    """Return the precision in which this machine computes the vectors of bfloat16.

    bfloat16 itself on a processor with instructions for it.  Others take one that is
    nearer to float32: their vectors may be compared and cached with those of bfloat16.
    """
    if sees_a_gpu():
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


def import_openvino() -> Any:
    """Import OpenVINO without the reports that it sends home unless told not to.

    It has to be the first import of OpenVINO in the process.
    """
    # Where this package is missing, OpenVINO and NNCF do without it.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return _import("openvino")


def _import(name: str) -> Any:
    purpose = ", to run the network in another way than by TensorFlow"
    return import_optional(name, name, purpose)


def kept_networks() -> Path:
    """Return the folder of quantised networks, in the user's cache folder."""
    return platformdirs.user_cache_path("lookalike") / "networks"


def _gallery_pictures(size: int) -> np.ndarray:
    """Return pictures to observe a network on: views of every thing in the gallery."""
    pictures, _, refused = load_pictures(load_gallery().gallery.paths[::3], size)
    for path, reason in refused:
        advice = "The network is observed on it: bring it back, git checkout -- images."
        raise PictureError(str(path), f"{reason}. {advice}")
    return pictures


def _network(folded: Folded, size: int) -> Any:
    return import_openvino().convert_model(tensorflow_function(folded, size))


def _compile(network: Any) -> Forward:
    hints = {
        "PERFORMANCE_HINT": "LATENCY",  # all cores for one batch
        "INFERENCE_PRECISION_HINT": "f32",  # it takes bfloat16 unless told not to
    }
    compiled = import_openvino().Core().compile_model(network, "CPU", hints)
    # One batch at a time: its caller's lock sees to that
    return lambda pictures: np.array(compiled(np.ascontiguousarray(pictures))[0])


def _quantize(network: Any, observed: np.ndarray) -> Any:
    nncf = _import("nncf")
    import rich
    from nncf.quantization import advanced_parameters, range_estimator

    nncf.set_log_level(logging.ERROR)
    # From the very smallest to the very largest: NNCF's default, a mean over pictures,
    # cuts the rare large features off, and they decide who is near.
    ranges = range_estimator.RangeEstimatorParametersSet.MINMAX
    advanced = advanced_parameters.AdvancedQuantizationParameters(
        activations_range_estimator_params=ranges
    )
    operations = network.get_ordered_ops()
    first = next(op for op in operations if op.get_type_name() == "Convolution")
    console = rich.get_console()
    before = console.is_jupyter, console.quiet
    console.is_jupyter, console.quiet = False, True  # or NNCF draws bars, as widgets
    try:
        return nncf.quantize(
            network,
            nncf.Dataset([picture[None] for picture in observed]),
            subset_size=len(observed),
            advanced_parameters=advanced,
            ignored_scope=nncf.IgnoredScope(names=[first.get_friendly_name()]),
        )
    finally:
        console.is_jupyter, console.quiet = before


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
