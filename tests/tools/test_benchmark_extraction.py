"""The benchmark of extraction: what it counts, what it compares, what it writes."""

import hashlib
from types import SimpleNamespace

import numpy as np
import pytest

from tools.benchmark import extraction, extraction_page
from utils.embeddings import build_resnet50, normalize
from utils.images import open_picture


def test_the_work_of_resnet50_is_the_published_one():
    embedder = SimpleNamespace(model=build_resnet50(224))
    # He et al., 2016, table 1: 3.8 × 10⁹ multiply-adds
    assert extraction.flops(embedder) == pytest.approx(2 * 3.86e9, rel=0.01)


def test_vectors_agree_with_themselves_and_not_with_others():
    drawn = normalize(np.random.default_rng(0).normal(size=(60, 16)))
    other = normalize(np.random.default_rng(1).normal(size=(60, 16)))
    labels = ["a", "b", "c"] * 20
    same = extraction.agreement(drawn, drawn, labels)
    assert same["top10"] == 1
    assert same["cosine"] == pytest.approx(1)
    assert 0.2 < same["map"] < 0.6
    assert extraction.agreement(other, drawn, labels)["top10"] < 0.5
    assert "map" not in extraction.agreement(drawn, drawn, ["a"] * 60)


def test_painted_pictures_open_and_no_two_are_alike(tmp_path):
    paths = extraction._paint(tmp_path / "small", 50, (64, 48))
    assert {open_picture(path).size for path in paths} == {(64, 48)}
    hashes = {hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
    assert len(hashes) == 50


@pytest.mark.parametrize(
    "name", [extraction.LOOP, extraction.DEFAULT, "Lookalike, TensorFlow"]
)
def test_a_contender_embeds_in_a_process_of_its_own(name, tmp_path):
    files = extraction._paint(tmp_path / "small", 20, (64, 48))
    with extraction.Process(name, 32, files, tmp_path / "log") as worker:
        worker.ask(do="warm", out=str(tmp_path / "vectors.npy"))
        assert worker.ask(do="go")["speed"] > 0
    vectors = np.load(tmp_path / "vectors.npy")
    assert vectors.shape == (20, 2048)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-4)


def test_a_contender_that_fails_names_its_log(tmp_path):
    with pytest.raises(RuntimeError, match="nobody failed; see .*log"):
        extraction.Process("nobody", 32, [], tmp_path / "log")


def row(name, speeds, **more):
    return {
        "name": name,
        "speeds": speeds,
        "cosine": 1.0,
        "top10": 1.0,
        "map": 0.5,
    } | more


ROWS = [
    row(extraction.LOOP, [10.0, 12.0]),
    row(extraction.DATASET, [30.0, 30.0]),
    row("batches, one thread", [40.0, 40.0]),
    row(extraction.DEFAULT, [33.0, 33.0], network=90.0, product=100.0),
    row(extraction.BFLOAT16, [44.0, 44.0]),
    row(extraction.INT8, [100.0, 120.0], top10=0.9, network=300.0),
]


def test_the_page_says_which_targets_were_met():
    machine = {"processor": "P", "cores": 2, "memory_gb": 8, "system": "S"}
    machine |= {"versions": {"Python": "3.13"}}
    slow = row(extraction.DEFAULT, [29.0, 29.0])
    results = [
        {"title": "the gallery", "size": 224, "n": 5, "rows": ROWS},
        {"title": "the gallery", "size": 64, "n": 5, "rows": [*ROWS[:3], slow]},
    ]
    report = {"machine": machine, "busy": 0.1, "date": "2026-01-01", "versions": {}}
    text = "\n".join(extraction_page.page(report | {"results": results}))
    assert "dataset, the gallery, input 224: 1.1, at least 1: **met**" in text
    assert "dataset, the gallery, input 64: 0.967, at least 1: **missed**" in text
    assert "bfloat16: 4 times the loop: 4.03, at least 4: **met**" in text
    assert (
        "bfloat16: twice `predict` on a dataset: 1.47, at least 2: **missed**" in text
    )
    assert "int8: top 10 agreement: 0.9, at least 0.95: **missed**" in text
    assert "90 of 100 GFLOP/s, 90%" in text
    assert "300 GOP/s" in text


def test_ratios_are_printed_side_by_side(capsys):
    extraction.print_ratios(ROWS[1:], 224)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].split() == ["input", "224", "pictures/s", "×", "dataset"]
    assert printed[1].split()[-3:] == ["30.0", "1.00", "(1.00–1.00)"]
    assert printed[3].split() == ["Lookalike", "33.0", "1.10", "(1.10–1.10)"]
