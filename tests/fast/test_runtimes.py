"""The same vectors, whatever runs the network; trials, and a network that is kept."""

import importlib.util
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from utils.collection import search
from utils.collection.bundles import read_bundle
from utils.collection.search import ImageSearch
from utils.embeddings import load_embedder, normalize, precision_of, preprocess
from utils.errors import LookalikeError
from utils.fast import runtimes
from utils.fast.runtimes import Fastest, check_runtime, fold_batch_norms, race
from utils.gallery import read_metadata
from utils.images import load_pictures

ROOT = Path(__file__).parents[2]
SIZE = 64
needs_openvino = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in runtimes.PACKAGES),
    reason=f"needs {' and '.join(runtimes.PACKAGES)}",
)


@pytest.fixture(scope="module")
def pictures():
    rows = read_metadata(ROOT / "images" / "metadata.csv")[::26]
    paths = [ROOT / "images" / row["file"] for row in rows]
    return load_pictures(paths, SIZE)[0]


@pytest.fixture(scope="module")
def exact(pictures):
    """What plain Keras says."""
    model = load_embedder(verbose=False).model
    return normalize(model.predict(preprocess(pictures), verbose=0))


@pytest.fixture
def kept(tmp_path, monkeypatch):
    monkeypatch.setattr(runtimes, "kept_networks", lambda: tmp_path)
    return tmp_path


def cosines(vectors, others):
    return (vectors * others).sum(axis=1)


@pytest.mark.parametrize(
    ("precision", "runtime", "least"),
    [
        ("float32", "tensorflow", 0.99999),
        pytest.param("float32", "openvino", 0.99999, marks=needs_openvino),
        ("bfloat16", "tensorflow", 0.9998),
        ("float16", "tensorflow", 0.9999),
    ],
)
def test_every_runtime_agrees_with_keras(pictures, exact, precision, runtime, least):
    embedder = load_embedder(precision=precision, runtime=runtime, verbose=False)
    assert cosines(embedder.embed(pictures), exact).min() > least
    assert embedder.run.name == runtime


@needs_openvino
def test_whole_numbers_are_near_and_quantised_only_once(
    pictures, exact, kept, monkeypatch
):
    embedder = load_embedder(precision="int8", verbose=False)
    vectors = embedder.embed(pictures)
    assert cosines(vectors, exact).mean() > 0.98
    folder = kept / f"{load_embedder(verbose=False).pipeline}-int8"
    assert set(read_bundle(folder).files) == {"net.xml", "net.bin"}

    def refuse(*args):
        raise RuntimeError("quantised again")

    with monkeypatch.context() as patch:
        patch.setattr(runtimes, "_quantize", refuse)
        again = load_embedder(precision="int8", verbose=False).embed(pictures)
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
    mended = load_embedder(precision="int8", verbose=False).embed(pictures)
    assert made == [1]
    np.testing.assert_allclose(mended, vectors, atol=1e-5)
    read_bundle(folder)  # whole again


@needs_openvino
def test_a_kept_network_of_other_facts_is_made_anew(kept, monkeypatch):
    made = []
    monkeypatch.setattr(runtimes, "_openvino_network", lambda *a: "network")
    monkeypatch.setattr(runtimes, "_quantize", lambda *a: made.append(1) or "int8")
    monkeypatch.setattr(runtimes, "_compile", lambda network: network)

    def keep(network, folder, facts):
        runtimes.bundles.write_bundle(folder, {"net.xml": b"", "net.bin": b""}, facts)

    monkeypatch.setattr(runtimes, "_keep", keep)
    for _ in range(2):
        runtimes.run_int8({}, SIZE, "some", lambda: np.zeros((2, 4, 4, 3), "uint8"))
    assert made == [1, 1]  # what is kept is no network: RuntimeError of OpenVINO
    runtimes.run_int8({}, SIZE, "some", lambda: np.ones((2, 4, 4, 3), "uint8"))
    assert made == [1, 1, 1]


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


def test_without_openvino_tensorflow_goes_on_alone(pictures, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n: None if n == "openvino" else find(n)
    )
    embedder = load_embedder(verbose=False)
    embedder.embed(pictures[:2])
    assert (embedder.run.name, embedder.run.is_undecided) == ("tensorflow", False)


def test_pictures_without_features_are_no_disagreement():
    some, none = np.ones((1, 4)), np.zeros((1, 4))
    assert runtimes._least_cosine(np.vstack([some, none]), np.vstack([some, none])) == 1
    assert runtimes._least_cosine(none, some) == 0


def test_folding_a_batch_norm_changes_no_convolution(pictures):
    import keras

    model = load_embedder(verbose=False).model
    kernel, bias = fold_batch_norms(model)["conv1_conv"]
    x = preprocess(pictures[:2])
    expected = x
    for name in ("conv1_pad", "conv1_conv", "conv1_bn"):
        expected = model.get_layer(name)(expected, training=False)
    padded = model.get_layer("conv1_pad")(x)
    found = keras.ops.conv(padded, kernel, strides=2, padding="valid") + bias
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def constant(value, seconds=0.0):
    def run(pictures):
        time.sleep(seconds)
        return np.full((len(pictures), 4), value, dtype="float32")

    return run


BATCH = np.zeros((16, 2, 2, 3), dtype="uint8")


@pytest.fixture
def short_trials(monkeypatch):
    monkeypatch.setattr(runtimes, "TRIAL_SECONDS", 0.05)


def test_after_many_pictures_the_faster_one_goes_on(short_trials):
    fastest = Fastest(
        {"slow": lambda: constant(1, 0.02), "quick": lambda: constant(1)},
        trial_after=2 * BATCH[..., 0].size,
    )
    fastest(BATCH)
    assert (fastest.name, fastest.speeds, fastest.is_undecided) == ("slow", {}, True)
    fastest(BATCH)
    assert fastest.name == "quick"
    assert fastest.speeds["quick"] > fastest.speeds["slow"]
    assert not fastest.is_undecided


def test_a_slower_or_a_wrong_or_a_broken_runtime_is_not_taken(short_trials):
    def wrong():
        return lambda pictures: np.eye(16, 4, dtype="float32")

    def broken():
        raise RuntimeError("no such instruction")

    for name, maker in {
        "slower": lambda: constant(1, 0.02),
        "wrong": wrong,
        "broken": broken,
    }.items():
        fastest = Fastest({"first": lambda: constant(1), name: maker}, trial_after=1)
        if name == "broken":
            with pytest.warns(RuntimeWarning, match="broken cannot run this network"):
                fastest(BATCH)
        else:
            fastest(BATCH)
        assert fastest.name == "first"


def test_small_batches_make_no_trial(short_trials):
    fastest = Fastest(
        {"slow": lambda: constant(1, 0.01), "quick": lambda: constant(1)},
        trial_after=1,
    )
    fastest(BATCH[:1])
    assert fastest.name == "slow"


def test_two_threads_make_one_trial(short_trials):
    made = []
    makers = {
        "slow": lambda: constant(1, 0.01),
        "quick": lambda: made.append(1) or constant(1),
    }
    fastest = Fastest(makers, trial_after=1)
    threads = [threading.Thread(target=fastest, args=(BATCH,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (made, fastest.name) == ([1], "quick")


def test_a_race_gives_each_at_least_one_turn(short_trials):
    speeds = race({"a": constant(1, 0.2), "b": constant(1, 0.1)}, BATCH)
    assert speeds["b"] > speeds["a"] > 0


@pytest.mark.parametrize(
    ("precision", "runtime", "match"),
    [
        ("float64", "auto", r"precision must be one of .*Received: 'float64'"),
        ("int8", "tensorflow", "int8 is computed by openvino"),
        ("float16", "openvino", "float16 is computed by tensorflow"),
        ("bfloat16", "openvino", "bfloat16 is computed by tensorflow"),
        ("float32", "torch", "computed by tensorflow or openvino.*'torch'"),
    ],
)
def test_what_does_not_go_together_is_refused(precision, runtime, match):
    with pytest.raises(ValueError, match=match):
        check_runtime(precision, runtime)
    with pytest.raises(ValueError, match=match):
        load_embedder(precision=precision, runtime=runtime)


@pytest.mark.parametrize(
    ("size", "options", "precision"),
    [
        (SIZE, {}, "float32"),
        (224, {}, "bfloat16"),
        (224, {"runtime": "tensorflow"}, "bfloat16"),
        (224, {"runtime": "openvino"}, "float32"),
        (224, {"precision": "float32"}, "float32"),
        (SIZE, {"precision": "bfloat16"}, "bfloat16"),
    ],
)
def test_the_fast_precision_is_the_default_where_it_pays(size, options, precision):
    embedder = load_embedder(input_size=size, verbose=False, **options)
    assert embedder.precision == precision_of(embedder.pipeline) == precision


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
    monkeypatch.setattr(runtimes, "_sees_a_gpu", lambda: gpu)
    monkeypatch.setattr(runtimes, "import_openvino", lambda: library)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: able)
    monkeypatch.setattr(runtimes.platform, "machine", lambda: machine)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    assert runtimes.instead_of_bfloat16() == precision


def test_bfloat16_without_its_instructions_is_float32(pictures, exact, monkeypatch):
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    embedder = load_embedder(precision="bfloat16", verbose=False)
    np.testing.assert_allclose(embedder.embed(pictures), exact, atol=1e-5)
    assert precision_of(embedder.pipeline) == "bfloat16"


def test_precisions_have_ids_of_their_own_and_runtimes_share_them():
    ids = {
        load_embedder(precision=precision, verbose=False).pipeline
        for precision in runtimes.PRECISIONS
    }
    assert len(ids) == len(runtimes.PRECISIONS)
    runs = {
        load_embedder(runtime=r, verbose=False).pipeline for r in ("auto", "tensorflow")
    }
    assert len(runs) == 1
    assert runs < ids


def test_a_collection_asks_for_the_precision_it_was_made_with(monkeypatch):
    asked = []

    def load(**options):
        asked.append(options)
        raise RuntimeError("far enough")

    monkeypatch.setattr(search, "load_embedder", load)
    for precision in runtimes.PRECISIONS:
        pipeline = load_embedder(precision=precision, verbose=False).pipeline
        collection = SimpleNamespace(
            _embedding=threading.Lock(), _embedder=None, pipeline=pipeline
        )
        with pytest.raises(RuntimeError, match="far enough"):
            ImageSearch.embedder.fget(collection)
        assert asked.pop() == {"precision": precision}
