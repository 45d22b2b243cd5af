"""Vectors from a network: shapes, preprocessing, weights that cannot be trusted."""

import hashlib
import json
import logging
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from utils import embeddings
from utils.embeddings import (
    BUNDLED,
    build_resnet50,
    card_of,
    color_histogram,
    import_keras,
    load_embedder,
    normalize,
    preprocess,
)
from utils.errors import WeightsError

SIZE = 32  # the smallest that ResNet50 takes: quick


@pytest.fixture(scope="module")
def embedder():
    return load_embedder("untrained", input_size=SIZE, verbose=False)


@pytest.fixture
def pictures():
    drawn = np.random.default_rng(seed=0).integers(0, 256, size=(5, SIZE, SIZE, 3))
    return drawn.astype("uint8")


def test_one_unit_vector_a_picture(embedder, pictures):
    vectors = embedder.embed(pictures)
    assert (vectors.shape, vectors.dtype) == ((5, 2048), np.float32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_the_batch_does_not_matter(embedder, pictures):
    together = embedder.embed(pictures)
    by_two = embedder.embed(pictures, batch_size=2)
    alone = np.concatenate([embedder.embed(one[None]) for one in pictures])
    np.testing.assert_allclose(together, by_two, atol=1e-5)
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_no_pictures_give_no_vectors(embedder, pictures):
    assert embedder.embed(pictures[:0]).shape == (0, 2048)


def test_keras_alone_gives_the_same_features(embedder, pictures):
    keras = import_keras()
    batch = keras.applications.resnet50.preprocess_input(pictures.astype("float32"))
    features = embedder.model.predict(batch, verbose=0)
    expected = features / np.linalg.norm(features, axis=1, keepdims=True)
    np.testing.assert_allclose(embedder.embed(pictures), expected, atol=1e-5)


def test_regions_pooled_and_normalised_are_the_embedding(pictures):
    embedder = load_embedder("untrained", input_size=96, verbose=False)
    pictures = pictures.repeat(3, axis=1).repeat(3, axis=2)
    regions = embedder.feature_map(pictures, batch_size=2)
    assert (regions.shape, regions.dtype) == ((5, 3, 3, 2048), np.float32)
    assert (regions >= 0).all() and len(np.unique(regions[0, :, :, 0])) > 1
    pooled = normalize(regions.mean(axis=(1, 2)))
    np.testing.assert_allclose(pooled, embedder.embed(pictures), atol=1e-5)


def test_one_forward_pass_of_the_keras_model_per_batch(pictures, monkeypatch):
    embedder = load_embedder("untrained", input_size=SIZE, verbose=False)
    sizes, predict = [], embedder.model.predict_on_batch

    def count(batch):
        sizes.append(len(batch))
        return predict(batch)

    monkeypatch.setattr(embedder.model, "predict_on_batch", count)
    embedder.embed(pictures, batch_size=2)
    assert sizes == [2, 2, 1]


def test_batches_of_many_sizes_do_not_compile_the_network_anew(pictures):
    embedder = load_embedder("untrained", input_size=SIZE, verbose=False)
    for size in (1, 2, 3, 4, 5):
        embedder.embed(pictures, batch_size=size)
    assert embedder.model.predict_function.experimental_get_tracing_count() <= 2


def test_threads_share_one_embedder(pictures):
    embedder = load_embedder("untrained", input_size=SIZE, verbose=False)
    with ThreadPoolExecutor(5) as threads:  # the first batch builds the graph
        found = list(threads.map(lambda i: embedder.embed(pictures[i:]), range(5)))
    expected = embedder.embed(pictures)
    for i, vectors in enumerate(found):
        np.testing.assert_allclose(vectors, expected[i:], atol=1e-5)


@pytest.mark.parametrize("batch_size", [0, -1, 1.5, "2", True])
def test_a_batch_holds_at_least_one_picture(embedder, pictures, batch_size):
    with pytest.raises(ValueError, match="batch_size must be a whole number of at"):
        embedder.embed(pictures, batch_size=batch_size)


def test_regions_want_what_embed_wants(embedder, pictures):
    with pytest.raises(ValueError, match=r"images\[None\]"):
        embedder.feature_map(pictures[0])


def test_preprocessing_is_keras_own_and_leaves_the_input_alone(pictures):
    floats = pictures.astype("float32")
    before = floats.copy()
    expected = floats[..., ::-1] - np.array([103.939, 116.779, 123.68])
    np.testing.assert_allclose(preprocess(floats), expected, atol=1e-4)
    np.testing.assert_array_equal(floats, before)


def test_a_missing_batch_axis_is_explained(embedder, pictures):
    with pytest.raises(ValueError, match=r"Received: \(32, 32, 3\).*images\[None\]"):
        embedder.embed(pictures[0])


def test_preprocessed_pictures_are_refused(embedder, pictures):
    with pytest.raises(ValueError, match="must be uint8.*Received: float32"):
        embedder.embed(pictures.astype("float32"))


def test_normalize_keeps_zero_and_names_the_bad_row():
    unit = normalize(np.array([[0.0, 0.0], [3.0, 4.0]]))
    np.testing.assert_allclose(unit, [[0, 0], [0.6, 0.8]])
    with pytest.raises(ValueError, match="Row 1 holds NaN"):
        normalize(np.array([[1.0, 0.0], [np.nan, 0.0]]))
    with pytest.raises(ValueError, match=r"vectors\[None\]"):
        normalize(np.ones(3))


def test_a_histogram_counts_colours_and_nothing_else(pictures):
    shuffled = pictures.reshape(5, -1, 3)[:, ::-1].reshape(pictures.shape)
    histogram = color_histogram(pictures, bins=4)
    assert histogram.shape == (5, 64)
    np.testing.assert_allclose(histogram, color_histogram(shuffled, bins=4))
    np.testing.assert_allclose(np.linalg.norm(histogram, axis=1), 1, atol=1e-6)


# ------------------------------------------------------------------- weights
def test_old_caches_stay_valid():
    """The ids of the float32 network, which vectors are cached and saved by."""
    ids = {
        load_embedder(input_size=size, verbose=False).pipeline for size in (None, 224)
    }
    sha256 = json.loads(card_of(BUNDLED).read_text())["sha256"]
    assert ids == {
        f"resnet50-{sha256[:16]}-64px-caffe2-avg-l2",
        f"resnet50-{sha256[:16]}-224px-caffe2-avg-l2",
    }
    untrained = load_embedder("untrained", input_size=SIZE, verbose=False)
    assert untrained.pipeline == "resnet50-untrained-glorot-32px-caffe2-avg-l2"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_in_place_of_weights_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.weights.h5")
    with pytest.raises(WeightsError, match="pipe.weights.h5.*No such file"):
        load_embedder(tmp_path / "pipe.weights.h5", verbose=False)


@pytest.mark.parametrize("path", ["a\0b.h5", "~nosuchuser/x.h5"])
def test_a_path_that_cannot_be_is_an_error_of_the_weights(path):
    with pytest.raises(WeightsError, match="expected a weights file"):
        load_embedder(path, verbose=False)


def test_weights_of_a_reader_s_own_beside_ours_need_no_card(monkeypatch, tmp_path):
    build_resnet50(SIZE).save_weights(tmp_path / "mine.weights.h5")
    monkeypatch.setattr(embeddings, "BUNDLED", tmp_path / "ours.weights.h5")
    mine = load_embedder(tmp_path / "mine.weights.h5", verbose=False)
    assert mine.input_size == 224


def test_the_pipeline_id_tells_weights_and_sizes_apart():
    small = load_embedder("untrained", input_size=32, verbose=False)
    large = load_embedder("untrained", input_size=64, verbose=False)
    assert small.pipeline != large.pipeline


def test_it_says_which_weights_it_took(capsys):
    load_embedder("untrained", input_size=SIZE)
    assert "untrained weights, 32 × 32 pixels" in capsys.readouterr().out


def test_the_environment_changes_the_default_and_the_argument_wins(monkeypatch):
    monkeypatch.setenv("LOOKALIKE_WEIGHTS", "untrained")
    assert load_embedder(input_size=SIZE, verbose=False).weights == "untrained"
    monkeypatch.setenv("LOOKALIKE_WEIGHTS", "nowhere.h5")
    named = load_embedder("untrained", input_size=SIZE, verbose=False)
    assert named.weights == "untrained"
    with pytest.raises(
        WeightsError, match=r"nowhere\.h5: expected .*No such file.*its path"
    ):
        load_embedder()


def test_a_weights_file_of_ones_own_is_loaded(tmp_path, pictures, monkeypatch):
    model = build_resnet50(SIZE)
    model.save_weights(tmp_path / "mine.weights.h5")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    mine = load_embedder("~/mine.weights.h5", input_size=SIZE, verbose=False)
    expected = normalize(model.predict_on_batch(preprocess(pictures)))
    np.testing.assert_allclose(mine.embed(pictures), expected, atol=1e-5)
    assert mine.weights == "mine.weights.h5"


def test_the_file_beside_the_weights_states_their_size(tmp_path):
    mine = tmp_path / "mine.weights.h5"
    build_resnet50().save_weights(mine)
    card = tmp_path / "mine.json"
    card.write_text('{"input_size": 64, "sha256": ""}')
    assert load_embedder(mine, verbose=False).input_size == 64
    assert load_embedder(mine, input_size=32, verbose=False).input_size == 32
    card.write_text('{"size": 64}')
    with pytest.raises(WeightsError, match=r"mine\.json: expected .*Fix it, or remove"):
        load_embedder(mine, verbose=False)
    for size in (-5, 0, 31, 10**8, "64", None, True):
        card.write_text(json.dumps({"input_size": size, "sha256": ""}))
        with pytest.raises(WeightsError, match=r"mine\.json: .*input_size must be"):
            load_embedder(mine, verbose=False)


@pytest.mark.parametrize("size", [-5, 0, 31, 2049, 10**8, 64.0, "64", True])
@pytest.mark.parametrize("weights", ["untrained", "bundled"])
def test_an_impossible_size_is_refused(weights, size):
    with pytest.raises(ValueError, match="input_size must be"):
        load_embedder(weights, input_size=size, verbose=False)


def test_weights_that_their_card_does_not_describe_are_refused(tmp_path):
    mine = tmp_path / "mine.weights.h5"
    build_resnet50().save_weights(mine)
    facts = {"input_size": 32, "sha256": hashlib.sha256(mine.read_bytes()).hexdigest()}
    (tmp_path / "mine.json").write_text(json.dumps(facts))
    assert load_embedder(mine, verbose=False).input_size == 32
    (tmp_path / "mine.json").write_text(json.dumps(facts | {"sha256": "0" * 64}))
    with pytest.raises(
        WeightsError, match=r"mine\.weights\.h5: .*damaged or was chang"
    ):
        load_embedder(mine, verbose=False)


def test_the_readers_settings_of_keras_change_no_vector_and_are_left_alone(
    embedder, pictures
):
    expected = embedder.embed(pictures)
    config = import_keras().config
    config.set_floatx("float16")
    config.set_dtype_policy("mixed_float16")
    config.set_image_data_format("channels_first")
    try:
        mine = load_embedder("untrained", input_size=SIZE, verbose=False)
        vectors = mine.embed(pictures)
        assert config.dtype_policy().name == "mixed_float16"
        assert (config.floatx(), config.image_data_format()) == (
            "float16",
            "channels_first",
        )
    finally:
        config.set_floatx("float32")
        config.set_dtype_policy("float32")
        config.set_image_data_format("channels_last")
    assert {layer.compute_dtype for layer in mine.model.layers} == {"float32"}
    np.testing.assert_allclose(vectors, expected, atol=1e-5)


def test_the_untrained_network_is_always_the_same_and_reseeds_nothing(pictures):
    vectors = []
    for seed in (1, 2):
        np.random.seed(seed)
        before = np.random.get_state()[1].copy()
        untrained = load_embedder("untrained", input_size=32, verbose=False)
        assert np.array_equal(np.random.get_state()[1], before)
        vectors.append(untrained.embed(pictures))
    np.testing.assert_array_equal(*vectors)


def test_a_foreign_weights_file_is_refused_and_kept(tmp_path):
    path = tmp_path / "other.weights.h5"
    path.write_bytes(b"not HDF5")
    with pytest.raises(WeightsError, match="other.weights.h5: expected Keras weights"):
        load_embedder(path, input_size=SIZE)
    assert path.read_bytes() == b"not HDF5"


def test_bundled_weights_load_and_state_their_size(pictures):
    card = json.loads(BUNDLED.with_name("resnet50_notop.json").read_text())
    bundled = load_embedder("bundled", verbose=False)
    assert bundled.input_size == card["input_size"]
    assert card["sha256"][:16] in bundled.pipeline
    assert BUNDLED.stat().st_size <= 48e6


def test_a_changed_bundled_file_is_refused(tmp_path, monkeypatch):
    copy = tmp_path / BUNDLED.name
    content = bytearray(BUNDLED.read_bytes())
    content[len(content) // 2] ^= 1
    copy.write_bytes(content)
    card = BUNDLED.with_name("resnet50_notop.json")
    (tmp_path / card.name).write_text(card.read_text())
    monkeypatch.setattr(embeddings, "BUNDLED", copy)
    with pytest.raises(WeightsError, match="git checkout -- models"):
        load_embedder("bundled")


def test_a_git_lfs_pointer_is_recognised(tmp_path):
    path = tmp_path / "pointer.weights.h5"
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(WeightsError, match="git lfs pull"):
        load_embedder(path)


# ------------------------------------------------------- Keras's own download
@pytest.fixture
def keras_home(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "models").mkdir()
    return tmp_path


def test_imagenet_weights_are_not_fetched_unless_asked_for(keras_home):
    with pytest.raises(WeightsError, match="download=True"):
        load_embedder("imagenet")
    assert not list((keras_home / "models").iterdir())


def test_a_failed_download_is_one_sentence(keras_home, monkeypatch):
    def unreachable(*args, **kwargs):
        raise Exception("URL fetch failure on somewhere: None -- no route\nmore")

    monkeypatch.setattr(import_keras().applications, "ResNet50", unreachable)
    with pytest.raises(WeightsError, match="the download failed .*no route") as caught:
        load_embedder("imagenet", download=True)
    assert "\n" not in str(caught.value)


def test_a_users_own_file_in_keras_place_is_never_deleted(keras_home):
    path = keras_home / "models" / embeddings.IMAGENET_FILE
    path.write_bytes(b"mine")
    for download in (False, True):
        with pytest.raises(WeightsError, match="it was left as it is"):
            load_embedder("imagenet", download=download)
    assert path.read_bytes() == b"mine"


# --------------------------------------------------------------- quiet and lazy
def test_importing_the_module_does_not_import_tensorflow():
    code = (
        "import sys, utils.embeddings, utils.collection.search\n"
        "print('tensorflow' in sys.modules)\n"
    )
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_tensorflow_warns_of_everything_but_batches_of_many_sizes():
    import_keras()
    logger = logging.getLogger("tensorflow")

    def passes(text):
        return logger.filter(logging.makeLogRecord({"msg": text}))

    assert not passes("5 out of the last 9 calls to f triggered tf.function retracing.")
    assert passes("the disk is full")


def test_a_network_can_be_used_without_a_word_on_stderr():
    code = (
        "import numpy as np\n"
        "from utils.embeddings import load_embedder\n"
        "embedder = load_embedder('untrained', input_size=32, verbose=False)\n"
        "embedder.embed(np.zeros((1, 32, 32, 3), dtype='uint8'))\n"
    )
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert done.stderr == ""
