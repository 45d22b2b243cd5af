"""CLIP's two towers, built small: every step but the weights."""

import importlib.util

import numpy as np
import pytest

from utils.collection.search import ImageSearch
from utils.errors import TextError, WeightsError
from utils.gallery import load_gallery
from utils.images import Collection, load_pictures

pytestmark = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("keras_hub", "tokenizers"))),
    reason="keras-hub or tokenizers is not installed",
)


@pytest.fixture(scope="module")
def clip():
    from utils.beyond.clip import random_clip

    return random_clip()


@pytest.fixture(scope="module")
def pictures():
    return load_pictures(load_gallery().gallery.paths[::200], 224)[0]


def test_both_towers_end_in_one_space_with_unit_vectors(clip, pictures):
    seen, read = clip.embed(pictures), clip.embed_text(["a mug", "a red umbrella"])
    assert seen.shape == (len(pictures), 32) and read.shape == (2, 32)
    for vectors in (seen, read):
        assert vectors.dtype == np.float32
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    lengths = np.linalg.norm(clip.project_texts(["a mug"]), axis=1)
    assert not np.isclose(lengths[0], 1), "the towers themselves do not normalise"
    assert 0 < clip.temperature < 1


def test_a_text_is_its_pieces_between_a_start_and_an_end(clip):
    ids = clip.ids_of(["a mug", "A  MUG", "x" * 9000])
    assert ids.shape == (3, 77) and ids.dtype == np.int32
    start, end = ids[0, 0], ids[0].max()
    assert ids[0].tolist().index(end) == 5 and not ids[0, 6:].any()
    assert (ids[0] == ids[1]).all(), "capitals and spaces make no difference"
    assert ids[2, 0] == start and ids[2, -1] == end, "cut to what the tower takes"


def test_the_padding_and_the_neighbours_change_nothing(clip):
    alone = clip.project_texts(["a mug"])
    beside = clip.project_texts(["a much longer text", "a mug"])
    assert np.allclose(alone[0], beside[1], atol=1e-4)


def test_pixels_are_brought_to_clips_mean_and_spread(clip):
    black, white = (np.full((1, 224, 224, 3), v, np.uint8) for v in (0, 255))
    low, high = (clip.preprocess(x)[0, 0, 0] for x in (black, white))
    assert np.allclose(low, [-1.7923, -1.7521, -1.4802], atol=1e-3)
    assert np.allclose(high, [1.9303, 2.0749, 2.1459], atol=1e-3)


def test_the_same_seed_builds_the_same_towers(clip, pictures):
    from utils.beyond.clip import random_clip

    again, other = random_clip(), random_clip(seed=1)
    assert np.allclose(clip.embed(pictures), again.embed(pictures), atol=1e-4)
    assert not np.allclose(clip.embed(pictures), other.embed(pictures), atol=1e-2)
    assert clip.pipeline == again.pipeline != other.pipeline


def test_a_collection_takes_clip_from_picture_to_answer(clip):
    gallery = load_gallery().gallery
    some = Collection(gallery.paths[:6], gallery.labels[:6].tolist())
    search = ImageSearch.from_collection(some, embedder=clip)
    hits = search.search_text("a red apple", 3, like=gallery.paths[0], weight=0.2)
    assert len(hits) == 3 and hits[0].id == 0


@pytest.mark.parametrize("text", ["", "\ud800", 7])
def test_what_is_no_text_is_refused(clip, text):
    with pytest.raises(TextError, match="expected"):
        clip.embed_text([text])


def test_without_its_weights_it_says_where_they_are_looked_for(monkeypatch, tmp_path):
    from utils.beyond.clip import load_clip

    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match="clip_vit_base_patch32.*download=True"):
        load_clip()
