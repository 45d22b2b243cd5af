"""The page of the extraction benchmark: all of it from raw results."""

import json

import pytest

from tools.benchmark import extraction, extraction_page
from tools.benchmark.extraction_page import Duel, answer, draw, duels, page
from tools.benchmark.extraction_peers import DATASET, DEFAULT, LOOP
from tools.benchmark.machine import read_raw, write_raw

MACHINE = {"processor": "P", "cores": 2, "memory_gb": 8, "system": "S"}
MACHINE |= {"instructions": "AVX2", "versions": {"Python": "3.13"}}


def row(name, speeds, precision="float32", **more):
    quality = {"cosine": 0.9999, "top10": 1.0, "map": 0.5, "change": [0.0, 0.0, 0.0]}
    return {
        "name": name,
        "precision": precision,
        "setting": {"threads": 2},
        "speeds": speeds,
        "network": [2 * speed for speed in speeds],
        "quality": {"gallery": quality | more.pop("quality", {})},
    } | more


ROWS = [
    row(LOOP, [10.0, 12.0, 11.0], network=[]),
    row(DATASET, [30.0, 32.0, 31.0]),
    row("ONNX Runtime", [40.0, 40.0, 40.0]),
    row(DEFAULT, [33.0, 34.0, 33.0], setting={"fast": False}),
    row("Lookalike, OpenVINO", [39.0, 41.0, 40.0], setting={"fast": True}),
    row("OpenVINO itself", [50.0, 50.0, 50.0], "bfloat16"),
    row("Lookalike, bfloat16", [45.0, 44.0, 46.0], "bfloat16"),
    row("ONNX Runtime, int8", [60.0, 60.0, 60.0], "int8"),
    row("Lookalike, int8", [90.0, 84.0, 96.0], "int8", quality={"top10": 0.9}),
    {"name": "PyTorch, eager", "precision": "float32", "failed": "torch is missing"},
]


@pytest.fixture
def raw():
    sample = {"title": "gallery", "queries": 5, "candidates": 20}
    return {
        "date": "2026-01-01",
        "machine": MACHINE,
        "quiet": {"load": 0.1, "bound": 0.5},
        "threads": [1, 2],
        "weights": {"input_size": 48, "sha256": ""},
        "rounds": 3,
        "pictures": 16,
        "shapes": [[64, 48, 16]],
        "samples": [sample],
        "results": [{"size": 48, "rows": ROWS}, {"size": 224, "rows": ROWS[:5]}],
    }


def duel(own, peer):
    return Duel(48, "float32", row("ours", own), row("peer", peer))


@pytest.mark.parametrize(
    ("own", "verdict"),
    [([11, 22, 33.5], "faster"), ([9, 23, 30], "even"), ([9, 18, 26.5], "slower")],
)
def test_who_is_faster_is_said_only_if_the_interval_tells(own, verdict):
    assert duel(own, [10.0, 20.0, 30.0]).verdict == verdict


def test_a_ratio_is_taken_inside_each_round():
    met = duel([20.0, 40.0, 80.0], [10.0, 20.0, 40.0])
    assert met.ratio == met.alone == pytest.approx((2, 2, 2))


def test_ours_meets_the_fastest_peer_of_its_precision(raw):
    met = [(d.size, d.title, d.own["name"], d.peer["name"]) for d in duels(raw)]
    assert met == [
        (48, "as it comes", DEFAULT, DATASET),
        (48, "float32", "Lookalike, OpenVINO", "ONNX Runtime"),
        (48, "bfloat16", "Lookalike, bfloat16", "OpenVINO itself"),
        (48, "int8", "Lookalike, int8", "ONNX Runtime, int8"),
        (224, "as it comes", DEFAULT, DATASET),
        (224, "float32", "Lookalike, OpenVINO", "ONNX Runtime"),
    ]


def test_the_answer_names_both_sizes_ties_and_defeats(raw):
    text = answer(raw)
    assert (
        "At an input of 48 × 48, the notebooks', Lookalike as it comes turns 33" in text
    )
    assert (
        "1.08 [1.02, 1.13] times as many as Keras at its fastest (Keras, tf.data)"
        in text
    )
    assert "At an input of 224 × 224, Lookalike" in text
    assert "**A peer is faster**: OpenVINO itself (bfloat16, 48)." in text
    assert "No clear difference: ONNX Runtime (float32, 48) and ONNX Runtime" in text
    assert "1.50 [1.27, 1.77] in int8 (ONNX Runtime, int8)" in text
    assert "Lookalike, int8 at 48 misses its agreement" in text


def test_the_table_of_duels_says_who_wins_and_what_is_lost(raw):
    lines = page(raw, "figure.jpg")
    rows = [line for line in lines if line.startswith("| 48 |")]
    assert rows[0].startswith(
        f"| 48 | {DEFAULT} | 33.0 | {DATASET} | 31.0 | 1.08 [1.02"
    )
    assert rows[1].endswith("| even |")
    assert rows[2].endswith("| **slower** |")
    assert rows[3].endswith("| faster; **top 10 too low** |")
    assert lines.index(rows[0]) < lines.index("## How to read this")


def test_the_page_tells_who_did_not_run_and_the_machine(raw):
    text = "\n".join(page(raw, "figure.jpg"))
    assert "- PyTorch, eager: torch is missing" in text
    assert "P, 2 cores (AVX2)" in text
    assert "threads: 1 and 2" in text
    assert "](figure.jpg)" in text
    assert "busy" not in text
    assert "What the resize filter does" not in text


def test_a_page_from_a_busy_machine_is_marked(raw):
    raw["quiet"]["load"] = 3.0
    assert "Not to be quoted" in "\n".join(page(raw, "figure.jpg"))


def test_the_page_is_drawn_again_from_its_raw_results(raw, tmp_path, capsys):
    path = tmp_path / "PAGE.md"
    write_raw(path, raw)
    before = read_raw(path)
    assert extraction.main(["--redraw", "--page", str(path)]) == 0
    first = path.read_text("utf-8")
    assert first.splitlines() == page(before, "PAGE.jpg")
    assert (tmp_path / "PAGE.jpg").stat().st_size > 10_000
    assert extraction.main(["--redraw", "--page", str(path)]) == 0
    assert path.read_text("utf-8") == first
    assert "Lookalike, int8: 1.50 [1.27, 1.77] ×" in capsys.readouterr().out
    json.loads((tmp_path / "PAGE.json").read_text("utf-8"))


def test_every_contender_has_a_place_in_the_figure(raw, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(extraction_page.plt, "close", drawn.append)
    draw(raw, tmp_path / "figure.jpg")
    first, second = drawn[0].axes
    names = [label.get_text() for label in first.get_yticklabels()]
    assert sorted(names) == sorted(r["name"] for r in ROWS if "failed" not in r)
    assert len(second.get_yticklabels()) == 5
    assert first.get_xscale() == "log"


def test_memory_and_warm_start_are_told_if_they_were_measured(raw):
    assert "## Memory" not in page(raw, "f.jpg")
    peak = {"title": "two pictures", "rise": 12.3, "pictures": 2, "seconds": 1.0}
    text = "\n".join(
        page(raw | {"startup": [1.0, 3.0, 2.0], "memory": [peak]}, "f.jpg")
    )
    assert "in 2.00 s (1.00–3.00)" in text
    assert "- two pictures: 12 MB (2 pictures in 1 s)" in text
