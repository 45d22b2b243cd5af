"""The benchmark of extraction: its contenders, its processes, its rounds."""

import hashlib
import json

import numpy as np
import pytest

from tools.benchmark import extraction, extraction_export, extraction_peers
from tools.benchmark.extraction_peers import CONTENDERS, DEFAULT, GENERATOR, Job
from tools.benchmark.extraction_quality import Sample
from tools.benchmark.extraction_worker import Process
from utils.embeddings import load_embedder
from utils.images import load_pictures, open_picture

SIZE = 32


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    return extraction.paint(folder / "small", 20, {(64, 48): 1, (40, 80): 1})


@pytest.fixture(scope="module")
def exact(files):
    embedder = load_embedder(input_size=SIZE, verbose=False)
    return embedder.embed(load_pictures(files, SIZE)[0])


@pytest.fixture(scope="module")
def kit(tmp_path_factory):
    """The peers' files, as far as their libraries are installed."""
    folder = tmp_path_factory.mktemp("kit")
    extraction_export.export(folder, [SIZE])
    return folder


def test_painted_pictures_have_the_shapes_and_no_two_are_alike(files):
    shapes = [open_picture(path).size for path in files]
    assert sorted(set(shapes)) == [(40, 80), (64, 48)]
    assert shapes.count((64, 48)) == 10
    assert len({hashlib.sha256(path.read_bytes()).hexdigest() for path in files}) == 20


def test_names_are_unique_and_every_precision_has_both_sides():
    names = [contender.name for contender in CONTENDERS]
    assert len(set(names)) == len(names)
    for precision in extraction_peers.PRECISIONS:
        ours = {
            c.name.startswith(extraction_peers.OURS)
            for c in CONTENDERS
            if c.precision == precision
        }
        assert ours == {True, False}


def test_threads_are_powers_of_two_up_to_all_cores(monkeypatch):
    monkeypatch.setattr(
        extraction_peers.os, "sched_getaffinity", lambda _: range(6), raising=False
    )
    assert extraction_peers.thread_counts() == [1, 2, 4, 6]


# What differs: pictures decoded otherwise, and rounded weights
LEAST = {"float32": 0.99999, "bfloat16": 0.99, "int8": 0.9}
DECODES_ITSELF = {extraction_peers.LOOP, extraction_peers.DATASET}


@pytest.mark.parametrize("contender", CONTENDERS, ids=lambda c: c.name)
def test_every_contender_computes_our_vectors(contender, kit, files, exact):
    if contender.missing:
        pytest.skip(f"not installed: {contender.missing}")
    if contender.make is extraction_peers.torch_compiled:
        pytest.skip("compiling takes a minute")
    job = Job(kit, SIZE, contender.precision, contender.grid[-1])
    try:
        way = contender.make(job)
    except Exception as error:
        # It has no such convolutions on processors; the page says so
        if contender.name == "ONNX Runtime, bfloat16" and "NOT_IMPL" in str(error):
            return
        raise
    vectors = way.embed(files)
    cosines = (vectors * exact).sum(axis=1)
    assert vectors.shape == exact.shape
    if contender.name in DECODES_ITSELF:
        assert 0.3 < cosines.min() < 0.9999
    else:
        assert cosines.min() > LEAST[contender.precision]
    if way.forward:
        assert way.forward(load_pictures(files[:2], SIZE)[0]).shape == (2, 2048)


@pytest.mark.parametrize("name", [DEFAULT, GENERATOR])
def test_a_contender_embeds_in_a_process_of_its_own(name, files, exact, tmp_path):
    contender = next(c for c in CONTENDERS if c.name == name)
    job = Job(tmp_path, SIZE, "float32", contender.grid[0])
    names = extraction.strings(files)
    with Process(name, job, tmp_path / "log") as worker:
        worker.ask(do="vectors", files=names, out=str(tmp_path / "vectors.npy"))
        assert worker.ask(do="speed", files=names)["speed"] > 0
        assert worker.ask(do="network", files=names)["network"] > 0
        with pytest.raises(RuntimeError, match="FileNotFoundError|no such file"):
            worker.ask(do="vectors", files=["/nowhere.jpg"], out="/nowhere/v.npy")
    np.testing.assert_allclose(np.load(tmp_path / "vectors.npy"), exact, atol=1e-4)


def test_a_contender_that_nobody_knows_fails_and_says_so(tmp_path):
    with pytest.raises(RuntimeError, match="StopIteration"):
        Process("nobody", Job(tmp_path, SIZE, "float32", {}), tmp_path / "log")


class Pretender:
    """Stands for a process: as fast as its setting says."""

    alive: list = []

    def __init__(self, name, job, log):
        if job.setting.get("threads") == 3:
            raise RuntimeError("three are too many")
        self.name, self.setting = name, job.setting
        Pretender.alive.append(self)

    def ask(self, do, files, out=None):
        if do == "vectors":
            shift = 0.0 if self.name == GENERATOR else 0.1
            drawn = np.random.default_rng(0).normal(size=(len(files), 8)) + shift
            np.save(out, drawn / np.linalg.norm(drawn, axis=1, keepdims=True))
            return {}
        speed = 10.0 * self.setting.get("threads", 5)
        return {"speed": speed} if do == "speed" else {"network": 2 * speed}

    def close(self):
        Pretender.alive.remove(self)


@pytest.fixture
def pretended(monkeypatch):
    Pretender.alive = []
    monkeypatch.setattr(extraction, "Process", Pretender)
    grids = {GENERATOR: (1, 4, 2), "good": (1, 2), "bad": (1, 3)}
    contenders = [
        extraction_peers.Contender(
            name, "float32", None, tuple({"threads": n} for n in grid), needs=("json",)
        )
        for name, grid in grids.items()
    ]
    missing = extraction_peers.Contender(
        "gone", "int8", None, ({},), needs=("json", "nowhere")
    )
    monkeypatch.setattr(extraction, "CONTENDERS", [*contenders, missing])


def test_the_fastest_setting_races_and_failures_are_told(pretended, files, tmp_path):
    labels = np.array(["a", "b"] * 10)
    ends = np.arange(4), np.arange(4, 20)
    sample = Sample("s", files, labels, *ends, np.zeros((4, 16), dtype=bool))
    options = extraction.parser().parse_args(["--rounds", "3"])
    job = Job(tmp_path, SIZE, "float32", {})
    result = extraction.compare(job, files, [sample], options)
    keras, good, bad, gone = result["rows"]
    assert keras["setting"] == {"threads": 4}
    assert keras["speeds"] == [40.0] * 3
    assert keras["network"] == [80.0] * 3
    assert keras["quality"]["s"]["cosine"] == pytest.approx(1)
    assert [one["speed"] for one in keras["tried"]] == [10.0, 40.0, 20.0]
    assert good["setting"] == {"threads": 2}
    assert good["quality"]["s"]["cosine"] < 0.9999
    assert bad["failed"] == "three are too many"
    assert gone["failed"] == "not installed: ['nowhere']"
    assert (
        Pretender.alive == []
    )  # no process is left, neither of losers nor of failures
    json.dumps(result)


def test_a_busy_machine_is_refused(monkeypatch):
    monkeypatch.setattr("tools.benchmark.machine.load", lambda: 99.0)
    with pytest.raises(SystemExit, match="busy"):
        extraction.main([])


def test_it_runs_at_the_size_of_the_weights_and_at_224():
    sizes = extraction.parser().parse_args([]).sizes
    assert sizes == [load_embedder(verbose=False).input_size, 224]
