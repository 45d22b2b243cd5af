"""From pictures to vectors and items, on three of them."""

import numpy as np
import pytest
from painted import paint

from utils.collection.building import build_parts, exact_vectors, items_of, labels_for
from utils.collection.catalogue import Item
from utils.collection.extraction import embed_files
from utils.errors import LookalikeError
from utils.images import Collection, Refusal, sha256_of


def test_one_label_may_stand_for_all_and_others_are_counted():
    assert labels_for(["a", "b"], "cat") == ["cat", "cat"]
    assert labels_for(["a", "b"], iter(["x", "y"])) == ["x", "y"]
    with pytest.raises(ValueError, match="expected 2 labels.* Received: 1"):
        labels_for(["a", "b"], ["x"])
    with pytest.raises(ValueError, match="b: expected a label.* Received: 3"):
        labels_for(["a", "b"], ["x", 3])


def test_ids_count_the_pictures_that_could_be_read(tmp_path, embedder):
    paths = [tmp_path / "a.png", tmp_path / "none.png", tmp_path / "b.png"]
    for seed, path in enumerate(paths[::2]):
        paint(path, seed)
    before = Refusal(tmp_path / "c.jpg", "no picture")
    index, catalogue, refused = build_parts(
        Collection(paths, ["x", "y", "z"], [before]),
        embedder,
        root=None,
        factory="Flat",
        progress=False,
    )
    assert catalogue.root == tmp_path
    assert catalogue.items == {
        0: Item(paths[0], "x", sha256_of(paths[0])),
        1: Item(paths[2], "z", sha256_of(paths[2])),
    }
    assert index.ids.tolist() == [0, 1]
    assert refused == [before, Refusal(paths[1], "no such file")]
    vectors = embed_files(paths[::2], embedder).vectors
    np.testing.assert_array_equal(index.reconstruct([0, 1]), vectors)


def test_a_collection_of_nothing_that_can_be_read_says_why(tmp_path, embedder):
    options = {"root": None, "factory": "Flat", "progress": False}
    nothing = Collection([tmp_path / "none.png"], [""])
    with pytest.raises(ValueError, match=r"Received 1, .*none\.png: no such file"):
        build_parts(nothing, embedder, **options)
    with pytest.raises(ValueError, match="Received 0, .* there is none"):
        build_parts(Collection(), embedder, **options)


def test_exact_vectors_come_from_the_cache_or_the_picture_or_not_at_all(
    tmp_path, embedder
):
    paths = [paint(tmp_path / f"{seed}.png", seed) for seed in range(3)]
    embedded = embed_files(paths[:2], embedder)
    items = items_of(embedded, dict.fromkeys(paths[:2], "x"))
    items.append(Item(paths[2], "", sha256_of(paths[2])))
    vectors = exact_vectors(items[:2], embedder.pipeline, lambda: pytest.fail("loaded"))
    np.testing.assert_array_equal(vectors, embedded.vectors)
    assert exact_vectors(items, embedder.pipeline, lambda: embedder).shape == (3, 16)
    assert embedder.embedded == 3
    items[2] = items[2]._replace(sha256="0" * 64)
    with pytest.raises(LookalikeError, match=r"1 have neither; the first: .*2\.png"):
        exact_vectors(items, embedder.pipeline, lambda: embedder)
