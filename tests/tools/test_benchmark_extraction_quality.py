"""What vectors are worth: samples of pictures, agreement, intervals."""

import numpy as np
import pytest
from PIL import Image

from tools.benchmark.extraction_quality import (
    Sample,
    agreement,
    gallery_sample,
    photo_sample,
)
from utils.embeddings import normalize

LABELS = np.array(["a", "b", "c"] * 20)


def sample_of(labels):
    queries, candidates = np.arange(12), np.arange(12, len(labels))
    ignore = np.zeros((12, len(labels) - 12), dtype=bool)
    return Sample("drawn", [], labels, queries, candidates, ignore)


def test_vectors_agree_with_themselves_and_not_with_others():
    drawn = normalize(np.random.default_rng(0).normal(size=(60, 16)))
    other = normalize(np.random.default_rng(1).normal(size=(60, 16)))
    same = agreement(drawn, drawn, sample_of(LABELS))
    assert same["top10"] == 1
    assert same["cosine"] == pytest.approx(1)
    assert same["change"] == [0, 0, 0]
    assert 0.2 < same["map"] < 0.6
    assert agreement(other, drawn, sample_of(LABELS))["top10"] < 0.5


def test_better_vectors_change_map_clearly():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(60, 3))
    good = normalize(4 * np.eye(3)[np.arange(60) % 3] + noise)
    change = agreement(good, normalize(noise), sample_of(LABELS))["change"]
    assert change[0] > 0.3
    assert 0 < change[1] < change[0] < change[2]


def test_ignored_pairs_are_neither_hits_nor_in_the_way():
    vectors = np.eye(4, dtype=np.float32)[[0, 0, 0, 1]]
    labels = np.array(["a", "b", "a", "a"])
    pair = np.array([0]), np.array([1, 2, 3])
    every = Sample("s", [], labels, *pair, np.zeros((1, 3), dtype=bool))
    wrong_ignored = Sample("s", [], labels, *pair, np.array([[True, False, False]]))
    assert every.average_precisions(vectors)[0] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert wrong_ignored.average_precisions(vectors)[0] == 1


def test_the_gallerys_sample_has_all_held_out_queries():
    sample = gallery_sample(100)
    assert len(sample.queries) == 182
    assert len(sample.candidates) == 10
    assert len(sample.files) == len(sample.labels) == 192
    assert not sample.ignore.any()


@pytest.fixture
def photos(tmp_path):
    for label in ("hat", "shoe"):
        (tmp_path / label).mkdir()
        for number in range(3):
            Image.new("RGB", (8, 8)).save(tmp_path / label / f"{number}.jpg")
    return tmp_path


def test_of_each_kind_so_many_photos_are_taken(photos):
    sample = photo_sample(photos, 2)
    assert sample.labels.tolist() == ["hat", "hat", "shoe", "shoe"]
    np.testing.assert_array_equal(sample.ignore, np.eye(4, dtype=bool))


def test_photos_of_one_sender_do_not_count_for_each_other(photos):
    rows = "file,sender_id\nhat/0.jpg,7\nshoe/1.jpg,7\n"
    (photos / "images.csv").write_text(rows)
    sample = photo_sample(photos, 2)
    assert sample.ignore[0].tolist() == [True, False, False, True]


def test_a_folder_of_one_kind_is_refused(photos):
    with pytest.raises(ValueError, match="at least two folders.*Received: \\['hat'\\]"):
        for path in (photos / "shoe").iterdir():
            path.unlink()
        photo_sample(photos, 2)
