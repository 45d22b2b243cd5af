"""utils.beyond.restore: a pipeline id brings back its embedder, or names another."""

import numpy as np
import pytest

from utils.beyond import restore
from utils.beyond.heads import Head
from utils.beyond.networks import NETWORKS, load_network
from utils.beyond.restore import restore_embedder
from utils.collection.search import ImageSearch
from utils.embeddings import load_embedder
from utils.errors import IndexFileError, WeightsError
from utils.fast.embedder import load_fast_embedder
from utils.gallery import load_gallery
from utils.images import Collection

SMALL = {"inception_v3": 75, "vgg16": 32, "convnext_tiny": 32, "mobilenet_v3": 32}
UNKNOWN = "0123456789abcdef"


@pytest.fixture(scope="module")
def tiny():
    """EfficientNet-Lite0 without trained weights, and the smallest pictures."""
    return load_network(weights=None, input_size=32, verbose=False)


def head_of(base, seed=0):
    rng = np.random.default_rng(seed)
    return Head(base, rng.normal(size=(base.dimension, 4)).astype("float32"))


def pictures(size):
    return np.random.default_rng(0).integers(0, 256, (2, size, size, 3), np.uint8)


@pytest.mark.parametrize("name", NETWORKS)
def test_each_network_comes_back_with_its_size(name):
    if name == "vit_b16":
        pytest.importorskip("keras_hub")
    size = SMALL.get(name, 32)
    network = load_network(name, weights=None, input_size=size, verbose=False)
    again = restore_embedder(network.pipeline)
    assert again.pipeline == network.pipeline
    vectors = network.embed(pictures(size))
    np.testing.assert_allclose(again.embed(pictures(size)), vectors, atol=1e-5)


@pytest.mark.parametrize("size", [64, 32])
def test_bundled_weights_are_found(size, monkeypatch):
    ours = load_embedder("bundled", input_size=size, verbose=False)
    monkeypatch.setenv("LOOKALIKE_WEIGHTS", "gone.weights.h5")
    assert restore_embedder(ours.pipeline).weights == "bundled"
    lite = load_network(input_size=size, verbose=False)
    assert restore_embedder(lite.pipeline).weights == "imagenet"


def test_a_precision_is_part_of_it():
    fast = load_fast_embedder("bfloat16", input_size=32, verbose=False)
    assert restore_embedder(fast.pipeline).precision == "bfloat16"
    older = fast.pipeline.replace("bfloat16v2", "bfloat16v1")
    with pytest.raises(WeightsError, match="v1: what can be loaded here is .*v2"):
        restore_embedder(older)


def test_weights_of_a_file_are_asked_for_and_compared(tiny, tmp_path):
    network = load_network("mobilenet_v3", weights=None, input_size=32, verbose=False)
    mine, other = tmp_path / "mine.weights.h5", tmp_path / "other.weights.h5"
    network.model.save_weights(mine)
    options = {"input_size": 32, "verbose": False}
    pipeline = load_network("mobilenet_v3", weights=mine, **options).pipeline
    with pytest.raises(WeightsError, match=r"not on this machine.*weights=\.\.\."):
        restore_embedder(pipeline)
    assert restore_embedder(pipeline, weights=mine).weights == mine.name
    network.model.set_weights([weight / 2 for weight in network.model.get_weights()])
    network.model.save_weights(other)
    with pytest.raises(WeightsError, match="Those of 'other.weights.h5' have another"):
        restore_embedder(pipeline, weights=other)


@pytest.mark.parametrize("name", ["vgg16", "inception_v3", "convnext_tiny"])
def test_weights_that_must_be_fetched_are_named(name, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    pixels = NETWORKS[name].pixels
    with pytest.raises(WeightsError, match=rf'load_network\("{name}", download=True'):
        restore_embedder(f"{name}-{UNKNOWN}-224px-{pixels}-avg-l2")


def test_a_taught_head_comes_back_from_its_file(tiny, tmp_path):
    head, file = head_of(tiny), tmp_path / "head.npz"
    head.save(file)
    again = restore_embedder(head.pipeline, head=file)
    np.testing.assert_array_equal(again.embed(pictures(32)), head.embed(pictures(32)))
    with pytest.raises(WeightsError, match=r"taught head.*head=\.\.\."):
        restore_embedder(head.pipeline)
    with pytest.raises(WeightsError, match="what can be loaded here is"):
        restore_embedder(head_of(tiny, seed=1).pipeline, head=file)
    elsewhere = head_of(load_network(weights=None, input_size=64, verbose=False))
    with pytest.raises(WeightsError, match="taught on vectors of .*-32px-"):
        restore_embedder(elsewhere.pipeline, head=file)


def test_a_collection_described_by_names_comes_back_with_as_many(tiny, monkeypatch):
    made = []
    monkeypatch.setattr(restore, "load_sentences", lambda verbose: "sentences")
    monkeypatch.setattr(
        restore, "WordEmbedder", lambda *parts: made.append(parts) or tiny
    )
    with pytest.raises(WeightsError, match="what can be loaded here"):
        restore_embedder(f"conse10-{tiny.pipeline}-minilm-y-v1")
    [(network, sentences, most)] = made
    assert (network.pipeline, sentences, most) == (tiny.pipeline, "sentences", 10)


@pytest.mark.parametrize(
    ("pipeline", "words"),
    [
        ("pixels-8px", "expected a pipeline of vgg16.*embedder="),
        ("", "expected a pipeline of"),
        ("two\nlines", r"two\\nlines: expected"),
        (f"resnet50-{UNKNOWN}-64px-caffe2-avg-l2", f"begins with {UNKNOWN}"),
        ("efficientnet_lite0-random-9px-tf1-avg-l2", "input_size must be"),
        ("efficientnet_lite0-random-32px-tf9-avg-l2", "loaded here is .*-tf1-"),
    ],
)
def test_what_cannot_be_found_is_said(pipeline, words, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match=words):
        restore_embedder(pipeline)


def test_a_search_that_was_loaded_takes_the_network_that_is_found(tiny, tmp_path):
    gallery = load_gallery().gallery
    some = Collection(gallery.paths[:3], gallery.labels[:3].tolist())
    ImageSearch.from_collection(some, embedder=tiny).save(tmp_path / "saved")
    search = ImageSearch.load(tmp_path / "saved")
    image = pictures(50)[0]
    with pytest.raises(IndexFileError, match="by efficientnet.*load_network"):
        search.search(image)
    search.use(restore_embedder(search.pipeline))
    assert len(search.search(image, k=3)) == 3
