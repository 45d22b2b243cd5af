"""utils.beyond.networks: EfficientNet-Lite0 as ready to embed as ResNet50."""

import shutil

import numpy as np
import pytest

from utils.beyond import networks
from utils.beyond.efficientnet import build_efficientnet_lite0
from utils.beyond.networks import load_network
from utils.embeddings import import_keras
from utils.errors import WeightsError
from utils.gallery import load_gallery
from utils.images import load_pictures
from utils.metrics import score_retrieval

KINDS = ("apple", "guitar", "mug", "sneaker")


@pytest.fixture(scope="module")
def network():
    return load_network("efficientnet_lite0", verbose=False)


@pytest.fixture(scope="module")
def pictures(network):
    """Uint8 pictures of four kinds, and their labels."""
    gallery = load_gallery().gallery
    chosen = [i for i, label in enumerate(gallery.labels) if label in KINDS][::6]
    paths = [gallery.paths[i] for i in chosen]
    return load_pictures(paths, network.input_size)[0], gallery.labels[chosen]


def test_it_says_what_it_is(capsys):
    load_network("efficientnet_lite0")
    said = "EfficientNet-Lite0, imagenet weights, 224 × 224 pixels in"
    assert capsys.readouterr().out.strip() == said


def test_vectors_are_unit_and_of_its_own_dimension_and_pipeline(network, pictures):
    vectors = network.embed(pictures[0][:3], batch_size=2)
    assert vectors.shape == (3, network.dimension) == (3, 1280)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    assert network.pipeline.startswith("efficientnet_lite0-")
    smaller = load_network("efficientnet_lite0", input_size=160, verbose=False)
    assert smaller.pipeline != network.pipeline


def test_a_batch_gives_what_its_pictures_give_one_by_one(network, pictures):
    batch = network.embed(pictures[0][:2])
    alone = np.concatenate([network.embed(image[None]) for image in pictures[0][:2]])
    np.testing.assert_allclose(batch, alone, atol=1e-5)


def test_pictures_of_one_kind_find_each_other(network, pictures):
    images, labels = pictures
    vectors, itself = network.embed(images), np.eye(len(images), dtype=bool)
    scores = score_retrieval(vectors, vectors, labels, labels, ignore=itself)
    assert scores.precision_at_1 == 1


def test_scores_are_those_of_the_whole_network(network, pictures):
    images = pictures[0][:2]
    whole = build_efficientnet_lite0()
    whole.load_weights(networks.EFFICIENTNET)
    expected = whole.predict_on_batch((images.astype("float32") - 127) / 128)
    assert expected.shape == (2, 1000)
    np.testing.assert_allclose(network.scores(images), expected, rtol=1e-3, atol=1e-3)


def test_a_banana_is_named(network):
    """Class 954 of ImageNet is the banana."""
    gallery = load_gallery().gallery
    paths = [path for path in gallery.paths if path.parent.name == "banana"][:5]
    images = load_pictures(paths, network.input_size)[0]
    assert 954 in network.scores(images).argmax(axis=1)


def test_regions_pool_to_the_vector(network, pictures):
    regions = network.feature_map(pictures[0][:1])
    assert regions.shape == (1, 7, 7, 1280)
    pooled = regions.mean(axis=(1, 2))[0]
    cosine = pooled / np.linalg.norm(pooled) @ network.embed(pictures[0][:1])[0]
    assert cosine == pytest.approx(1, abs=1e-5)


def test_a_reader_s_settings_of_keras_change_nothing(network, pictures):
    keras = import_keras()
    before = keras.config.floatx()
    keras.config.set_floatx("float16")
    try:
        again = load_network("efficientnet_lite0", verbose=False)
    finally:
        keras.config.set_floatx(before)
    images = pictures[0][:1]
    np.testing.assert_array_equal(again.embed(images), network.embed(images))


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="efficientnet_lite0.*Received: 'vgg99'"):
        load_network("vgg99")


def test_a_damaged_file_is_refused_by_name(tmp_path, monkeypatch):
    weights = tmp_path / networks.EFFICIENTNET.name
    shutil.copy(networks.EFFICIENTNET, weights)
    shutil.copy(networks.EFFICIENTNET.with_name("efficientnet_lite0.json"), tmp_path)
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    monkeypatch.setattr(networks, "EFFICIENTNET", weights)
    with pytest.raises(WeightsError, match=r"efficientnet_lite0.weights.h5.*sha256"):
        load_network("efficientnet_lite0", verbose=False)


def test_missing_weights_are_an_error_with_the_file_s_name(tmp_path, monkeypatch):
    gone = tmp_path / "efficientnet_lite0.weights.h5"
    monkeypatch.setattr(networks, "EFFICIENTNET", gone)
    with pytest.raises(WeightsError, match="efficientnet_lite0"):
        load_network("efficientnet_lite0", input_size=64, verbose=False)
