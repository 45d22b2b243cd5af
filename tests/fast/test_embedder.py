"""The same vectors, whatever runs the network; and a network that is kept."""

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from utils.collection.bundles import read_bundle
from utils.collection.search import ImageSearch
from utils.embeddings import Embedder, load_embedder, normalize, preprocess
from utils.errors import IndexFileError, LookalikeError, PictureError
from utils.fast import runtimes
from utils.fast.embedder import RUNTIMES, load_fast_embedder
from utils.fast.networks import fold_batch_norms
from utils.gallery import load_gallery
from utils.images import Refusal, load_pictures

SIZE = 64
needs_openvino = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in runtimes.PACKAGES),
    reason=f"needs {' and '.join(runtimes.PACKAGES)}",
)


@pytest.fixture(scope="module")
def pictures():
    return load_pictures(load_gallery().gallery.paths[::19], SIZE)[0]


@pytest.fixture(scope="module")
def plain():
    return load_embedder(verbose=False)


@pytest.fixture(scope="module")
def exact(pictures, plain):
    """What plain Keras says."""
    return normalize(plain.model.predict(preprocess(pictures), verbose=0))


@pytest.fixture
def kept(tmp_path, monkeypatch):
    monkeypatch.setattr(runtimes, "kept_networks", lambda: tmp_path)
    return tmp_path


def cosines(vectors, others):
    return (vectors * others).sum(axis=1)


@pytest.mark.parametrize(
    ("precision", "runtime", "least"),
    [
        ("float32", None, 0.99999),
        pytest.param("float32", "openvino", 0.99999, marks=needs_openvino),
        ("bfloat16", None, 0.9998),
        ("float16", "tensorflow", 0.9999),
    ],
)
def test_every_runtime_agrees_with_keras(pictures, exact, precision, runtime, least):
    embedder = load_fast_embedder(precision, runtime=runtime, verbose=False)
    assert cosines(embedder.embed(pictures), exact).min() > least
    assert embedder.runtime == (runtime or "tensorflow")


def test_float32_gives_the_vectors_that_its_pipeline_id_promises(pictures, plain):
    embedder = load_fast_embedder("float32", verbose=False)
    assert embedder.pipeline == plain.pipeline
    np.testing.assert_allclose(
        embedder.embed(pictures), plain.embed(pictures), atol=1e-5
    )


def test_a_fast_embedder_is_an_embedder_like_any_other(plain, pictures, capsys):
    embedder = load_fast_embedder("bfloat16", input_size=SIZE, weights="bundled")
    assert "64 × 64 pixels in, bfloat16 by tensorflow" in capsys.readouterr().out
    public = {name for name in {*dir(plain), *vars(plain)} if name[0] != "_"}
    assert isinstance(embedder, Embedder)
    assert public <= {*dir(embedder), *vars(embedder)}
    assert (embedder.weights, embedder.input_size) == (plain.weights, SIZE)
    assert embedder.dimension == 2048
    regions = embedder.feature_map(pictures[:2])
    np.testing.assert_allclose(regions, plain.feature_map(pictures[:2]), atol=1e-5)
    with pytest.raises(ValueError, match=r"images\[None\]"):
        embedder.embed(pictures[0])


@needs_openvino
def test_whole_numbers_are_near_and_quantised_only_once(
    pictures, exact, plain, kept, monkeypatch, capfd
):
    vectors = load_fast_embedder("int8", verbose=False).embed(pictures)
    assert "━" not in "".join(capfd.readouterr())  # NNCF's bars
    assert cosines(vectors, exact).mean() > 0.98
    folder = kept / f"{plain.pipeline}-int8"
    assert set(read_bundle(folder).files) == {"net.xml", "net.bin"}

    def refuse(*args):
        raise RuntimeError("quantised again")

    with monkeypatch.context() as patch:
        patch.setattr(runtimes, "_quantize", refuse)
        again = load_fast_embedder("int8", verbose=False).embed(pictures)
    np.testing.assert_allclose(again, vectors, atol=1e-5)

    damaged = read_bundle(folder).folder / "net.bin"
    content = bytearray(damaged.read_bytes())
    content[1000] ^= 1
    damaged.write_bytes(content)
    made = []
    quantize = runtimes._quantize
    monkeypatch.setattr(
        runtimes, "_quantize", lambda *a: made.append(1) or quantize(*a)
    )
    fixed = load_fast_embedder("int8", verbose=False).embed(pictures)
    assert made == [1]
    np.testing.assert_allclose(fixed, vectors, atol=1e-5)
    read_bundle(folder)  # whole again


@needs_openvino
def test_a_kept_network_of_other_facts_is_made_anew(kept, monkeypatch):
    made = []
    monkeypatch.setattr(runtimes, "_network", lambda *a: "network")
    monkeypatch.setattr(runtimes, "_quantize", lambda *a: made.append(1) or "int8")
    monkeypatch.setattr(runtimes, "_compile", lambda network: network)

    def keep(network, folder, facts):
        runtimes.bundles.write_bundle(folder, {"net.xml": b"", "net.bin": b""}, facts)

    monkeypatch.setattr(runtimes, "_keep", keep)
    blank = np.zeros((2, 4, 4, 3), "uint8")
    monkeypatch.setattr(runtimes, "_gallery_pictures", lambda size: blank)
    for _ in range(2):
        runtimes.run_int8({}, SIZE, "some")
    assert made == [1, 1]  # what is kept is no network: RuntimeError of OpenVINO
    monkeypatch.setattr(runtimes, "_gallery_pictures", lambda size: blank + 1)
    runtimes.run_int8({}, SIZE, "some")
    assert made == [1, 1, 1]


def test_a_damaged_gallery_cannot_be_observed(monkeypatch):
    refused = [Refusal(Path("mug/mug_0_0.jpg"), "not a picture")]
    found = np.zeros((0, SIZE, SIZE, 3), "uint8"), [], refused
    monkeypatch.setattr(runtimes, "load_pictures", lambda paths, size: found)
    with pytest.raises(PictureError, match=r"mug_0_0\.jpg: .*git checkout -- images"):
        runtimes._gallery_pictures(SIZE)


@needs_openvino
@pytest.mark.parametrize("error", [OSError, RuntimeError])
def test_a_disk_that_cannot_keep_it_costs_only_a_warning(error, kept, monkeypatch):
    def refuse(*args, **kwargs):
        raise error("no space left")

    monkeypatch.setattr(runtimes.bundles, "write_bundle", refuse)
    openvino = runtimes.import_openvino()
    x = openvino.opset13.parameter([1, 2], np.float32)
    network = openvino.Model([openvino.opset13.relu(x)], [x])
    with pytest.warns(RuntimeWarning, match="could not be kept"):
        runtimes._keep(network, kept / "some", {})


@needs_openvino
def test_openvino_reports_nothing_home():
    runtimes.import_openvino()
    assert sys.modules["openvino_telemetry"] is None


@pytest.mark.parametrize("name", runtimes.PACKAGES)
def test_without_a_package_it_says_what_to_install(name, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(LookalikeError, match=f"pip install {name}"):
        runtimes._import(name)


def test_without_openvino_tensorflow_does_what_it_can(pictures, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n: None if n == "openvino" else find(n)
    )
    monkeypatch.setitem(sys.modules, "openvino", None)
    for precision in ("float32", "bfloat16"):
        load_fast_embedder(precision, verbose=False).embed(pictures[:2])
    with pytest.raises(LookalikeError, match="pip install openvino"):
        load_fast_embedder("int8", verbose=False).embed(pictures[:2])


def test_folding_a_batch_norm_changes_no_convolution(pictures, plain):
    import keras

    model = plain.model
    kernel, bias = fold_batch_norms(model)["conv1_conv"]
    x = preprocess(pictures[:2])
    expected = x
    for name in ("conv1_pad", "conv1_conv", "conv1_bn"):
        expected = model.get_layer(name)(expected, training=False)
    padded = model.get_layer("conv1_pad")(x)
    found = keras.ops.conv(padded, kernel, strides=2, padding="valid") + bias
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("precision", "runtime", "match"),
    [
        ("float64", None, r"precision must be one of .*Received: 'float64'"),
        ("int8", "tensorflow", "must be openvino for int8.*Received: 'tensorflow'"),
        ("float16", "openvino", "must be tensorflow for float16"),
        ("bfloat16", "openvino", "must be tensorflow for bfloat16"),
        ("float32", "torch", "must be tensorflow or openvino for float32.*'torch'"),
    ],
)
def test_what_does_not_go_together_is_refused(precision, runtime, match):
    with pytest.raises(ValueError, match=match):
        load_fast_embedder(precision, runtime=runtime)


@pytest.mark.parametrize(
    ("gpu", "able", "limit", "machine", "precision"),
    [
        (False, ["FP32", "BF16"], "", "x86_64", "bfloat16"),
        (False, ["FP32", "BF16"], "", "AMD64", "bfloat16"),
        (False, ["FP32"], "", "x86_64", "float32"),
        (False, ["FP32", "BF16"], "", "arm64", "float32"),
        (False, ["FP32", "BF16"], "AVX2", "x86_64", "float32"),
        (False, None, "", "x86_64", "float32"),
        (True, ["FP32"], "", "x86_64", "float16"),
    ],
)
def test_who_lacks_bfloat16_computes_its_vectors_more_exactly(
    gpu, able, limit, machine, precision, monkeypatch
):
    core = SimpleNamespace(get_property=lambda device, name: able)
    library = SimpleNamespace(Core=lambda: core)
    monkeypatch.setattr(runtimes, "sees_a_gpu", lambda: gpu)
    monkeypatch.setattr(runtimes, "import_openvino", lambda: library)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: able)
    monkeypatch.setattr(runtimes.platform, "machine", lambda: machine)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    assert runtimes.instead_of_bfloat16() == precision


def test_bfloat16_without_its_instructions_is_float32(pictures, exact, monkeypatch):
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    embedder = load_fast_embedder("bfloat16", verbose=False)
    np.testing.assert_allclose(embedder.embed(pictures), exact, atol=1e-5)
    assert embedder.pipeline.endswith("-bfloat16v2")


def test_precisions_have_ids_of_their_own_and_runtimes_share_them(plain):
    ids = {
        precision: {
            load_fast_embedder(precision, runtime=runtime, verbose=False).pipeline
            for runtime in able
        }
        for precision, able in RUNTIMES.items()
    }
    assert ids == {
        "float32": {plain.pipeline},
        "bfloat16": {f"{plain.pipeline}-bfloat16v2"},
        "float16": {f"{plain.pipeline}-float16"},
        "int8": {f"{plain.pipeline}-int8v3"},
    }


def test_a_collection_of_a_fast_embedder_names_the_way_to_open_it(tmp_path):
    embedder = load_fast_embedder("bfloat16", verbose=False)
    folder = load_gallery().gallery.paths[0].parent
    ImageSearch.from_folder(folder, embedder=embedder).save(tmp_path / "saved")
    query = np.full((8, 8, 3), 99, dtype="uint8")
    with pytest.raises(IndexFileError, match=r"embedder=.*load_fast_embedder"):
        ImageSearch.load(tmp_path / "saved").search(query)
    loaded = ImageSearch.load(tmp_path / "saved", embedder=embedder)
    assert len(loaded.search(query, k=3)) == 3
