"""utils.beyond.networks: other networks as ready to embed as ResNet50."""

import hashlib
import shutil
import sys

import numpy as np
import pytest

from utils.beyond import hub, networks
from utils.beyond.efficientnet import build_efficientnet_lite0
from utils.beyond.networks import NETWORKS, load_network
from utils.collection.search import ImageSearch
from utils.embeddings import import_keras, load_embedder
from utils.errors import IndexFileError, LookalikeError, WeightsError
from utils.gallery import load_gallery
from utils.images import Collection, load_pictures
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
    with pytest.raises(ValueError, match="vgg16.*vit_b16.*Received: 'vgg99'"):
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


# -------------------------------------------------- networks of other libraries
SMALL = {"vgg16": 32, "inception_v3": 75, "mobilenet_v3": 32, "convnext_tiny": 32}
DIMENSIONS = {
    "vgg16": 512,
    "inception_v3": 2048,
    "mobilenet_v3": 960,
    "convnext_tiny": 768,
}
of_keras = pytest.mark.parametrize("name", list(SMALL))


@pytest.fixture(scope="module")
def untrained():
    """Each network of keras.applications, small, built when it is first asked for."""
    built = {}

    def build(name):
        if name not in built:
            options = {"weights": None, "input_size": SMALL[name], "verbose": False}
            built[name] = load_network(name, **options)
        return built[name]

    return build


@pytest.fixture
def tiny_vit(monkeypatch):
    """A vision transformer of one block takes the place of ViT-B/16."""
    keras_hub = pytest.importorskip("keras_hub", reason="keras-hub is optional")

    def build(size):
        sizes = {"num_layers": 1, "num_heads": 2, "hidden_dim": 8, "mlp_dim": 16}
        return keras_hub.models.ViTBackbone((size, size, 3), 16, **sizes)

    monkeypatch.setattr(hub, "build_vit_b16", build)
    return build


def photos(size, n=2):
    return load_pictures(load_gallery().gallery.paths[:n], size)[0]


@of_keras
def test_each_has_its_own_dimension_regions_and_pipeline(untrained, name):
    network, size = untrained(name), SMALL[name]
    images = photos(size)
    vectors, regions = network.embed(images), network.feature_map(images)
    assert vectors.shape == (2, network.dimension) == (2, DIMENSIONS[name])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    assert regions.shape[3] == DIMENSIONS[name]
    pixels = {"vgg16": "caffe2", "inception_v3": "tf1"}.get(name, "inside1")
    assert network.pipeline == f"{name}-random-{size}px-{pixels}-avg-l2"
    assert str(network).endswith(f"random weights, {size} × {size} pixels in")
    if name != "convnext_tiny":  # which normalises once more
        pooled = regions.mean(axis=(1, 2))
        pooled /= np.linalg.norm(pooled, axis=1, keepdims=True)
        np.testing.assert_allclose(pooled, vectors, atol=1e-5)


@of_keras
def test_pixels_are_those_of_keras_s_own_function(untrained, name):
    network, images = untrained(name), photos(SMALL[name])
    module = getattr(import_keras().applications, NETWORKS[name].module)
    expected = module.preprocess_input(images.astype("float32"))
    before = images.copy()
    np.testing.assert_array_equal(network.preprocess(images), expected)
    np.testing.assert_array_equal(images, before)


MEANS, DEVIATIONS = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
BY_HAND = {  # what the first convolution sees of RGB pixels from 0 to 255
    "vgg16": lambda x: x[..., ::-1] - [103.939, 116.779, 123.68],
    "inception_v3": lambda x: x / 127.5 - 1,
    "mobilenet_v3": lambda x: x / 127.5 - 1,
    "convnext_tiny": lambda x: (x / 255 - MEANS) / DEVIATIONS,
}


@of_keras
def test_order_range_and_means_of_the_channels(untrained, name):
    network, images = untrained(name), photos(SMALL[name])
    model = network.model
    seen = network.preprocess(images)
    first = model.layers[1]  # MobileNetV3 and ConvNeXt have it inside
    if type(first).__name__ in {"Rescaling", "Normalization"}:
        seen = first(seen).numpy()
    expected = BY_HAND[name](images.astype("float64"))
    np.testing.assert_allclose(seen, expected, atol=1e-4)


def test_a_vision_transformer_has_tokens_for_regions(tiny_vit):
    network = load_network("vit_b16", weights=None, input_size=32, verbose=False)
    images = photos(32)
    assert network.pipeline == "vit_b16-random-32px-tf1-token-l2"
    tokens = tiny_vit(32)
    tokens.set_weights(network.model.get_weights())
    expected = tokens.predict_on_batch(images / np.float32(127.5) - 1)
    token = expected[:, 0] / np.linalg.norm(expected[:, 0], axis=1, keepdims=True)
    np.testing.assert_allclose(network.embed(images), token, atol=1e-5)
    patches = expected[:, 1:].reshape(2, 2, 2, 8)
    np.testing.assert_allclose(network.feature_map(images), patches, atol=1e-5)


def test_pixels_of_the_vision_transformer_are_those_of_keras_hub(tiny_vit):
    keras_hub = pytest.importorskip("keras_hub")
    network = load_network("vit_b16", weights=None, input_size=64, verbose=False)
    # As keras-hub's conversion script sets it up: mean and deviation 0.5
    convert = keras_hub.layers.ViTImageConverter(scale=1 / 127.5, offset=-1.0)
    images = photos(64)
    expected = np.asarray(convert(images.astype("float32")))
    np.testing.assert_allclose(network.preprocess(images), expected, atol=1e-5)


def test_pixels_of_efficientnet(network, pictures):
    expected = (pictures[0][:2].astype("float64") - 127) / 128
    np.testing.assert_allclose(network.preprocess(pictures[0][:2]), expected, atol=1e-6)


def test_resnet50_is_the_course_s_own():
    ours = load_network("resnet50", weights="bundled", verbose=False)
    assert ours.pipeline == load_embedder("bundled", verbose=False).pipeline
    random_one = load_network("resnet50", weights=None, input_size=32, verbose=False)
    assert "untrained" in random_one.pipeline


def test_random_weights_are_the_same_each_time():
    options = {"weights": None, "input_size": 32, "verbose": False}
    one, other = (load_network("mobilenet_v3", **options) for _ in range(2))
    images = photos(32)
    np.testing.assert_array_equal(one.embed(images), other.embed(images))


def test_random_weights_of_efficientnet_do_not_pass_for_its_own(network):
    random_one = load_network(weights=None, verbose=False)
    assert random_one.pipeline == "efficientnet_lite0-random-224px-tf1-avg-l2"
    assert network.pipeline != random_one.pipeline


# ---------------------------------------------------------------- what they take
@pytest.mark.parametrize(
    ("name", "size", "weights", "said"),
    [
        ("inception_v3", 64, None, "InceptionV3 must be at least 75. Received: 64"),
        ("vit_b16", 100, None, "ViT-B/16 must be a multiple of 16. Received: 100"),
        ("vit_b16", 256, "imagenet", "must be 224 for its ImageNet weights"),
        ("vgg16", 5000, None, "from 32 to 2048"),
        ("vgg16", 31, None, "from 32 to 2048"),
    ],
)
def test_a_size_that_a_network_cannot_take_is_refused(name, size, weights, said):
    with pytest.raises(ValueError, match=said):
        load_network(name, weights=weights, input_size=size)


def test_vit_without_keras_hub_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with pytest.raises(LookalikeError, match=r"pip install -r requirements-beyond.txt"):
        load_network("vit_b16", weights=None)


# -------------------------------------------------------------------- downloads
@pytest.fixture
def keras_home(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "kaggle"))
    return tmp_path


@pytest.fixture
def asked(monkeypatch, keras_home):
    """What Keras's loader is asked for; it delivers the file named "stand-in"."""
    import_keras()
    requests = []

    def get_file(fname, origin, *, cache_subdir, file_hash):
        requests.append((fname, origin, cache_subdir, file_hash))
        target = keras_home / cache_subdir / fname
        target.parent.mkdir(exist_ok=True)
        shutil.copy(keras_home / "stand-in", target)
        return target

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", get_file)
    return requests


def save_as_keras_publishes(model, path):
    """Write weights in the old format, in which the published files are."""
    import h5py
    from keras.src.legacy.saving import legacy_h5_format

    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)


@pytest.mark.parametrize("name", [*SMALL, "vit_b16"])
def test_nothing_is_fetched_unless_asked_for(keras_home, asked, name, request):
    if name == "vit_b16":
        request.getfixturevalue("tiny_vit")
    with pytest.raises(WeightsError, match=r"download=True.*weights=None") as caught:
        load_network(name)
    assert NETWORKS[name].title in str(caught.value)
    assert not asked
    assert not list(keras_home.iterdir())


@of_keras
def test_a_download_asks_for_the_right_file_and_checks_it(
    keras_home, asked, untrained, name, monkeypatch
):
    network, recipe = untrained(name), NETWORKS[name]
    stand_in = keras_home / "stand-in"
    save_as_keras_publishes(network.model, stand_in)
    options = {"input_size": SMALL[name], "download": True, "verbose": False}
    with pytest.raises(WeightsError, match="not the file that Keras publishes"):
        load_network(name, **options)
    [(file, origin, folder, published)] = asked  # Keras's own name and hash
    assert (file, published) == (recipe.file, recipe.published)
    assert origin.startswith("https://storage.googleapis.com/tensorflow/")
    assert origin.endswith(file)
    assert folder == "models"
    # A stand-in that had the right hash is loaded, and is not asked for again.
    content = stand_in.read_bytes()
    algorithm = hashlib.md5 if len(published) == 32 else hashlib.sha256
    changed = recipe._replace(published=algorithm(content).hexdigest())
    monkeypatch.setitem(NETWORKS, name, changed)
    loaded = load_network(name, **options)
    sha256 = hashlib.sha256(content).hexdigest()[:16]
    assert loaded.pipeline == network.pipeline.replace("random", sha256)
    assert loaded.weights == "imagenet"
    images = photos(SMALL[name])
    np.testing.assert_allclose(loaded.embed(images), network.embed(images), atol=1e-5)
    assert len(asked) == 1


def test_the_vision_transformer_comes_from_keras_hub(keras_home, tiny_vit, monkeypatch):
    backbone = pytest.importorskip("keras_hub").models.ViTBackbone
    asked = []

    def from_preset(preset):
        asked.append(preset)
        path = hub.vit_file()
        path.parent.mkdir(parents=True, exist_ok=True)
        tiny_vit(224).save_weights(path)

    monkeypatch.setattr(backbone, "from_preset", from_preset)
    loaded = load_network("vit_b16", download=True, verbose=False)
    assert asked == [hub.VIT_PRESET] == ["vit_base_patch16_224_imagenet"]
    handle = backbone.presets[hub.VIT_PRESET]["kaggle_handle"]
    assert str(hub.vit_file().parent).endswith(handle.removeprefix("kaggle://"))
    sha256 = hashlib.sha256(hub.vit_file().read_bytes()).hexdigest()[:16]
    assert loaded.pipeline == f"vit_b16-{sha256}-224px-tf1-token-l2"
    load_network("vit_b16", verbose=False)
    assert len(asked) == 1
    hub.vit_file().write_bytes(b"cut off")
    with pytest.raises(WeightsError, match=r"model.weights.h5.*ViT-B/16"):
        load_network("vit_b16", download=True)


def test_a_failed_download_is_one_sentence(keras_home, monkeypatch):
    def unreachable(*args, **kwargs):
        raise Exception("URL fetch failure on somewhere: None -- no route\nmore")

    monkeypatch.setattr(import_keras().applications, "VGG16", unreachable)
    with pytest.raises(
        WeightsError, match=r"could not be fetched .*no route"
    ) as caught:
        load_network("vgg16", download=True)
    assert "\n" not in str(caught.value)


def test_a_reader_s_own_file_in_keras_s_place_is_never_deleted(keras_home, asked):
    path = keras_home / "models" / NETWORKS["convnext_tiny"].file
    path.parent.mkdir()
    path.write_bytes(b"mine")
    for download in (False, True):
        with pytest.raises(WeightsError, match="it was left as it is"):
            load_network("convnext_tiny", download=download)
    assert path.read_bytes() == b"mine"
    assert not asked


def test_a_place_that_cannot_be_written_to_is_said_before_keras_takes_another(
    keras_home, asked
):
    (keras_home / "models").write_text("a file, not a folder")
    with pytest.raises(WeightsError, match="could not be fetched"):
        load_network("vgg16", download=True)
    assert not asked


def test_a_download_to_another_place_is_noticed(keras_home, monkeypatch):
    monkeypatch.setattr(import_keras().applications, "VGG16", lambda **_: None)
    with pytest.raises(WeightsError, match="not to this place.*KERAS_HOME"):
        load_network("vgg16", download=True)


def test_weights_may_be_a_file_of_one_s_own(untrained, tmp_path):
    network = untrained("mobilenet_v3")
    path = tmp_path / "mine.weights.h5"
    network.model.save_weights(path)
    options = {"input_size": 32, "verbose": False}
    mine = load_network("mobilenet_v3", weights=path, **options)
    images = photos(32)
    np.testing.assert_allclose(mine.embed(images), network.embed(images), atol=1e-6)
    assert mine.weights == "mine.weights.h5"
    assert mine.pipeline != network.pipeline
    with pytest.raises(WeightsError, match=r"mine.weights.h5.*of VGG16"):
        load_network("vgg16", weights=path, **options)
    with pytest.raises(WeightsError, match="gone.*None for random ones"):
        load_network("vgg16", weights=tmp_path / "gone.h5")


# ------------------------------------------- an index of one, asked with another
def test_an_index_of_one_network_refuses_another_by_name(untrained, tmp_path):
    network = load_network(input_size=64, verbose=False)
    gallery = load_gallery().gallery
    collection = Collection(gallery.paths[:6], gallery.labels[:6].tolist())
    ImageSearch.from_collection(collection, embedder=network).save(tmp_path / "index")
    others = [
        untrained("mobilenet_v3"),
        load_embedder(verbose=False),
        load_network(input_size=32, verbose=False),
        load_network(weights=None, input_size=64, verbose=False),
    ]
    for other in others:
        with pytest.raises(IndexFileError) as refused:
            ImageSearch.load(tmp_path / "index", embedder=other)
        assert network.pipeline in str(refused.value)
        assert other.pipeline in str(refused.value)
    hit = ImageSearch.load(tmp_path / "index", embedder=network).search(
        gallery.paths[0]
    )
    assert hit[0].path.name == gallery.paths[0].name
