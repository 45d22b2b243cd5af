"""utils.beyond.heads: a map learned from labels, behind a network that stays."""

import os
import zipfile

import numpy as np
import pytest

from utils.beyond import heads
from utils.beyond.heads import Head, load_head, train_head
from utils.collection.extraction import embed_files
from utils.collection.search import ImageSearch
from utils.embeddings import Embedder, import_keras, normalize
from utils.errors import IndexFileError, WeightsError
from utils.gallery import load_gallery
from utils.images import Collection

SIZE, D = 32, 12


def tiny_network(seed=0, pipeline="tiny-1"):
    """One convolution, whose mean over the regions is the vector."""
    keras = import_keras()
    layers = keras.layers
    kernel = keras.initializers.RandomNormal(seed=seed)
    pictures = keras.Input((SIZE, SIZE, 3))
    x = layers.Conv2D(D, 8, 8, activation="relu", kernel_initializer=kernel)(pictures)
    model = keras.Model(pictures, layers.GlobalAveragePooling2D()(x))
    return Embedder(model, "tiny", SIZE, pipeline)


@pytest.fixture(scope="module")
def base():
    return tiny_network()


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(seed=3)
    return rng.integers(0, 256, size=(5, SIZE, SIZE, 3), dtype=np.uint8)


def kinds_in_two_numbers(n=60, n_kinds=4, seed=0):
    """Vectors that tell their kind in two numbers, and noise in ten louder ones."""
    rng = np.random.default_rng(seed)
    kinds = np.arange(n) % n_kinds
    angles = 2 * np.pi * kinds / n_kinds
    told = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    noise = rng.normal(size=(n, D - 2)) * 0.5
    vectors = np.concatenate([told * 0.5, noise], axis=1)
    return normalize(vectors), np.array([f"kind {k}" for k in kinds])


def found_first(vectors, labels):
    similarities = vectors @ vectors.T - 9 * np.eye(len(vectors))
    return (labels[similarities.argmax(axis=1)] == labels).mean()


@pytest.fixture
def head(base):
    kernel = np.random.default_rng(seed=1).normal(size=(D, 4)).astype(np.float32)
    return Head(base, kernel)


# ------------------------------------------------------------------------ the loss


def loss_by_hand(labels, vectors, temperature=0.1):
    """The formula of the paper, one vector after the other."""
    losses = []
    for i, own in enumerate(labels):
        others = [j for j in range(len(labels)) if j != i]
        weights = {j: np.exp(vectors[i] @ vectors[j] / temperature) for j in others}
        total = sum(weights.values())
        shares = [weights[j] / total for j in others if labels[j] == own]
        losses.append(-np.mean(np.log(shares)) if shares else 0.0)
    return losses


def test_the_loss_is_that_of_the_paper():
    rng = np.random.default_rng(seed=2)
    vectors, labels = normalize(rng.normal(size=(9, 5))), [0, 0, 1, 1, 1, 2, 2, 0, 3]
    loss = heads.contrastive_loss(np.array(labels, "float32"), vectors)
    np.testing.assert_allclose(loss, loss_by_hand(labels, vectors), rtol=1e-4)


def test_one_place_for_all_costs_the_logarithm_of_the_others():
    loss = heads.contrastive_loss(
        np.array([0, 0, 1, 1], "float32"), np.full((4, 1), 1.0, "float32")
    )
    np.testing.assert_allclose(loss, np.log(3), rtol=1e-5)


# ------------------------------------------------------------------------ training


def test_a_head_learns_what_tells_kinds_apart_and_it_holds_for_other_pictures(base):
    vectors, labels = kinds_in_two_numbers()
    head = train_head(base, vectors, labels, dimension=4, steps=300)
    others, their_labels = kinds_in_two_numbers(seed=1)
    before = found_first(others, their_labels)
    after = found_first(head.apply(others), their_labels)
    assert before < 0.7 < 0.8 < after


def test_training_gives_the_same_head_again(base):
    vectors, labels = kinds_in_two_numbers()
    options = {"dimension": 3, "steps": 5}
    first, second = (train_head(base, vectors, labels, **options) for _ in range(2))
    np.testing.assert_allclose(first.kernel, second.kernel, atol=1e-5)
    other = train_head(base, vectors, labels, **options, seed=1)
    same = np.allclose(first.kernel, other.kernel, atol=1e-5)
    assert same == (len(vectors) <= heads.BATCH), "the seed draws the batches"


def test_training_leaves_vectors_and_labels_alone(base):
    vectors, labels = kinds_in_two_numbers()
    copies = vectors.copy(), labels.copy()
    train_head(base, vectors, labels, dimension=3, steps=2)
    np.testing.assert_array_equal(vectors, copies[0])
    np.testing.assert_array_equal(labels, copies[1])


def test_whole_numbers_are_labels_too(base):
    vectors, labels = kinds_in_two_numbers()
    numbers = np.unique(labels, return_inverse=True)[1] * 10
    by_name, by_number = (
        train_head(base, vectors, given, dimension=3, steps=3).kernel
        for given in (labels, numbers)
    )
    np.testing.assert_allclose(by_name, by_number, atol=1e-5)


def test_it_begins_at_the_main_directions():
    vectors = kinds_in_two_numbers()[0]
    directions = heads.main_directions(vectors, 3)
    np.testing.assert_allclose(directions.T @ directions, np.eye(3), atol=1e-5)
    spread = np.linalg.eigvalsh(np.cov(vectors.T))[::-1]
    projected = (vectors @ directions).var(axis=0, ddof=1)
    np.testing.assert_allclose(projected, spread[:3], rtol=1e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vectors": np.ones((6, 5))}, r"\(n, 12\), as tiny-1 makes them.*\(6, 5\)"),
        ({"vectors": np.ones(12)}, "Add a batch axis"),
        ({"vectors": np.full((6, 12), np.nan)}, "Row 0 holds NaN or infinity"),
        ({"vectors": np.empty((0, 12)), "labels": []}, "at least two kinds"),
        ({"labels": ["a"] * 6}, "at least two kinds.*1 kinds for 6 vectors"),
        ({"labels": list("abcdef")}, "one of them twice"),
        ({"labels": ["a", "b"]}, "labels must be 6 strings.*shape .2,."),
        ({"labels": [0.5] * 6}, "Received: float64"),
        ({"labels": [["a"], ["b"]] * 3}, "one per vector"),
        ({"labels": None}, "Received: object"),
        ({"dimension": 7}, "at most 6: there are 6 vectors of 12 numbers"),
        ({"dimension": 0}, "dimension must be a whole number"),
        ({"steps": 0}, "steps must be a whole number"),
    ],
)
def test_what_teaches_nothing_is_refused(base, change, message):
    vectors = np.random.default_rng(seed=0).normal(size=(6, 12))
    given = {"vectors": vectors, "labels": list("aabbcc"), "dimension": 2} | change
    with pytest.raises(ValueError, match=message):
        train_head(base, **given)


def test_labels_may_come_as_a_list_and_vectors_of_any_length(base):
    vectors, labels = kinds_in_two_numbers(20)
    from_list = train_head(base, 3 * vectors, list(labels), dimension=2, steps=2)
    from_array = train_head(base, vectors, labels, dimension=2, steps=2)
    np.testing.assert_allclose(from_list.kernel, from_array.kernel, atol=1e-5)


# --------------------------------------------------------- in place of an embedder


def test_it_embeds_as_base_then_matrix_then_length_1(base, head, images):
    wanted = normalize(base.embed(images) @ head.kernel)
    np.testing.assert_allclose(head.embed(images), wanted, atol=1e-6)
    np.testing.assert_allclose(head.apply(base.embed(images)), wanted, atol=1e-6)
    np.testing.assert_allclose(normalize(head.forward(images)), wanted, atol=1e-5)
    assert head.embed(images[:0]).shape == (0, head.dimension) == (0, 4)


def test_the_mean_of_its_regions_is_its_vector(head, images):
    regions = head.feature_map(images)
    assert regions.shape == (5, 4, 4, 4)
    pooled = normalize(regions.mean(axis=(1, 2)))
    np.testing.assert_allclose(pooled, head.embed(images), atol=1e-5)


def test_it_prepares_pictures_as_its_base_does(base, head, images):
    np.testing.assert_array_equal(head.preprocess(images), base.preprocess(images))


def test_pictures_that_do_not_fit_are_refused_as_by_the_base(head):
    with pytest.raises(ValueError, match=r"\(n, 32, 32, 3\)"):
        head.embed(np.zeros((1, 8, 8, 3), np.uint8))


def test_a_head_can_stand_on_a_head(base, head, images):
    kernel = np.random.default_rng(seed=5).normal(size=(4, 2)).astype(np.float32)
    both = Head(head, kernel)
    one = Head(base, head.kernel @ kernel)
    np.testing.assert_allclose(both.embed(images), one.embed(images), atol=1e-5)
    assert both.pipeline.startswith(head.pipeline) and both.pipeline != one.pipeline


def test_it_says_what_it_is(head):
    said = "ResNet50, tiny weights, 32 × 32 pixels in, then a head of 4 numbers"
    assert repr(head) == said


def test_the_pipeline_id_names_base_and_numbers(base, head):
    same = Head(base, head.kernel.copy())
    turned = Head(base, head.kernel[:, ::-1])
    elsewhere = Head(tiny_network(pipeline="tiny-2"), head.kernel)
    assert head.pipeline == same.pipeline
    assert head.pipeline.startswith("tiny-1-head-")
    assert len({head.pipeline, turned.pipeline, elsewhere.pipeline}) == 3


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (np.zeros((5, 4), "float32"), r"\(12, dimension\). Received: \(5, 4\)"),
        (np.zeros(12, "float32"), r"Received: \(12,\)"),
        (np.zeros((12, 0), "float32"), r"Received: \(12, 0\)"),
        (np.zeros((12, 4)), "Received: float64"),
        (np.full((12, 4), np.inf, "float32"), "finite. Received: float32, 0% finite"),
    ],
)
def test_a_matrix_that_does_not_fit_is_refused(base, kernel, message):
    with pytest.raises(ValueError, match=message):
        Head(base, kernel)


def test_vectors_of_another_network_are_refused(head):
    with pytest.raises(ValueError, match=r"\(n, 12\), as tiny-1 makes them"):
        head.apply(np.ones((2, 2048)))


# ------------------------------------------------------------------ save and load


def test_what_was_saved_is_loaded(base, head, images, tmp_path):
    head.save(tmp_path / "head.npz")
    loaded = load_head(str(tmp_path / "head.npz"), base)
    np.testing.assert_array_equal(loaded.kernel, head.kernel)
    np.testing.assert_array_equal(loaded.embed(images), head.embed(images))
    assert loaded.pipeline == head.pipeline
    assert [path.name for path in tmp_path.iterdir()] == ["head.npz"]


def test_a_name_is_kept_as_given_and_home_is_expanded(
    base, head, tmp_path, monkeypatch
):
    monkeypatch.setenv("HOME", str(tmp_path))
    head.save("~/my.head")
    assert load_head("~/my.head", base).pipeline == head.pipeline
    assert (tmp_path / "my.head").exists()


def test_another_base_is_refused_by_name(head, tmp_path):
    head.save(tmp_path / "head.npz")
    other = tiny_network(pipeline="tiny-2")
    with pytest.raises(WeightsError, match="head.npz: taught on .*tiny-1.*tiny-2"):
        load_head(tmp_path / "head.npz", other)


def test_every_flipped_byte_and_every_cut_is_refused_or_harmless(base, head, tmp_path):
    path = tmp_path / "head.npz"
    head.save(path)
    content = path.read_bytes()
    for position in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        try:
            loaded = load_head(path, base)
        except WeightsError as error:
            assert "head.npz" in str(error)
        else:  # a byte of the archive that means nothing, such as a date
            np.testing.assert_array_equal(loaded.kernel, head.kernel)
    for length in range(0, len(content), 97):
        path.write_bytes(content[:length])
        with pytest.raises(WeightsError, match="head.npz: expected a head"):
            load_head(path, base)


def write(path, **changes):
    """Write a head's file with some of its fields changed, or (None) left out."""
    kernel = np.ones((D, 4), np.float32)
    fields = {"base": "tiny-1", "kernel": kernel}
    fields["sha256"] = heads._sha256("tiny-1", kernel)
    fields |= changes
    np.savez(path, **{key: value for key, value in fields.items() if value is not None})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kernel": np.zeros((D, 4), np.float32)}, "damaged or was changed.*sha256"),
        ({"base": "tiny-9"}, "damaged or was changed"),
        ({"sha256": None}, "expected a head as Head.save writes it"),
        ({"kernel": np.ones((D, 4))}, "its kernel is float64"),
        ({"kernel": np.ones(D, np.float32)}, r"its kernel is float32 of shape \(12,\)"),
        ({"kernel": np.array([{}], object)}, "expected a head"),  # pickled
    ],
)
def test_a_file_that_does_not_agree_with_itself_is_refused(
    base, tmp_path, changes, message
):
    path = tmp_path / "head.npz"
    write(path, **changes)
    with pytest.raises(WeightsError, match=f"head.npz: .*{message}"):
        load_head(path, base)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_none_are_refused_with_the_file_s_name(base, tmp_path, value):
    kernel = np.full((D, 4), value, np.float32)
    sha256 = heads._sha256("tiny-1", kernel)
    write(tmp_path / "head.npz", kernel=kernel, sha256=sha256)
    with pytest.raises(WeightsError, match="head.npz: kernel must be float32 and fin"):
        load_head(tmp_path / "head.npz", base)


def test_a_small_file_that_claims_much_is_refused_unread(base, tmp_path):
    path = tmp_path / "head.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("kernel.npy", bytes(50_000_000))
    with pytest.raises(WeightsError, match="claims to hold more than there is"):
        load_head(path, base)


def test_a_missing_file_is_named(base, tmp_path):
    with pytest.raises(WeightsError, match="none.npz: expected a head that can be"):
        load_head(tmp_path / "none.npz", base)
    with pytest.raises(WeightsError, match="expected a head that can be read"):
        load_head(tmp_path, base)


def test_a_save_that_fails_leaves_the_old_head(base, head, tmp_path, monkeypatch):
    path = tmp_path / "head.npz"
    head.save(path)

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        Head(base, head.kernel * 2).save(path)
    np.testing.assert_array_equal(load_head(path, base).kernel, head.kernel)
    assert [found.name for found in tmp_path.iterdir()] == ["head.npz"]


# ---------------------------------------------------------------------- searching


@pytest.fixture
def some():
    gallery = load_gallery().gallery
    return Collection(gallery.paths[:12], gallery.labels[:12].tolist())


def test_files_are_embedded_through_it(base, head, some):
    through = embed_files(some.paths, head).vectors
    wanted = head.apply(embed_files(some.paths, base).vectors)
    np.testing.assert_allclose(through, wanted, atol=1e-5)


def test_a_search_made_with_a_head_refuses_all_others(base, head, some, tmp_path):
    search = ImageSearch.from_collection(some, embedder=head)
    assert search.search(some.paths[3], k=1)[0].path == some.paths[3]
    search.save(tmp_path / "search")
    again = ImageSearch.load(tmp_path / "search", embedder=head)
    assert again.search(some.paths[3], k=1)[0].path == some.paths[3]
    for other in (base, Head(base, head.kernel[:, ::-1])):
        with pytest.raises(IndexFileError, match=f"made by {head.pipeline}; received"):
            ImageSearch.load(tmp_path / "search", embedder=other)
