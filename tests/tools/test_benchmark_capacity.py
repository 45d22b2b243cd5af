"""tools.benchmark.capacity: constants that fit what was measured, and a page."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from tools.benchmark import capacity as benchmark
from tools.benchmark.capacity import PAGE, Point, build, derive, measure, points, serve
from tools.benchmark.capacity_page import page
from utils.scale.capacity import load_constants, plan


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of the program's own, with a small gallery's vectors in it."""
    monkeypatch.setattr(benchmark, "FOLDER", tmp_path)
    drawn = np.random.default_rng(seed=0).normal(size=(300, 40)).astype("float32")
    np.save(tmp_path / "gallery.npy", drawn)
    return tmp_path


def invented(point, number):
    """Times of an index, different at each point and not impossible."""
    return {
        "query": 1e-6 if point.n == 100 else 1e-3 * (1 + number),
        "visits": 500.0 + 50 * number,
        "coarse": 40.0 + number,
        "train": 3.0 + number / 10,
        "add": 2.0 + number / 10,
        "memory": 1e6 * (1 + number),
        "disk": 1e6 * (1 + number),
    }


@pytest.fixture
def measured():
    chosen = [point for point in points(10**6) if not point.check]
    return {point: invented(point, number) for number, point in enumerate(chosen)}


def planned(point, known):
    return plan(
        *(point.n, point.d, point.index),
        nprobe=point.nprobe,
        ef_search=point.ef,
        constants=known,
    )


def test_the_constants_give_back_the_times_that_they_come_from(measured):
    known = derive(measured, "a machine")
    checked = 0
    for point, times in measured.items():
        if point.n > 100 and "HNSW" not in point.index:  # a graph's are averaged
            seconds = planned(point, known).query_seconds
            assert seconds == pytest.approx(times["query"], rel=1e-3), point
            checked += 1
    assert checked == 18
    largest = Point("IVF,SQ8", 1_000_000)
    steps = sum(measured[largest][step] for step in ("coarse", "train", "add"))
    assert planned(largest, known).build_seconds == pytest.approx(steps, rel=0.3)


def test_a_check_changes_no_constant(measured):
    known = derive(measured, "a machine")
    more = measured | {
        Point("Flat", 10_000, 64, check=True): invented(Point("Flat", 1), 99)
    }
    assert derive(more, "a machine") == known


@pytest.mark.parametrize("kind", ["Flat", "IVF,SQ8", "HNSW16"])
def test_a_small_index_is_built_and_searched(folder, kind):
    point = Point(kind, 3000, 24)
    for n in (benchmark.QUERIES, point.n):
        benchmark._vectors_file(n, point.d)
    file = folder / "small.faiss"
    built = build(point, file)
    assert built["disk"] == file.stat().st_size > 3000 * 24
    assert built["wall"] > 0
    served = serve(point, file)
    # Less if there was room from before: that is why it runs in its own process.
    assert served["memory"] < 2 * planned(point, load_constants()).memory
    assert 0 < served["query"] < 1
    if "HNSW" in kind:
        assert 10 < served["visits"] < 3000


def test_cells_are_trained_once(folder):
    benchmark._vectors_file(3000, 24)
    first, second = (
        build(Point(kind, 3000, 24), folder / f"{kind}.faiss")
        for kind in ("IVF,SQ8", "IVF,Flat")
    )
    assert first["coarse"] == second["coarse"] > 0


def test_what_was_measured_is_not_measured_again(folder, monkeypatch):
    asked = []

    def ask(step, point, threads):
        asked.append((step, point))
        if step == "build":
            (folder / f"{point.name}.faiss").write_bytes(b"an index")
        return {step: 1.0}

    monkeypatch.setattr(benchmark, "_ask", ask)
    monkeypatch.setattr(benchmark, "_vectors_file", lambda n, d: None)
    some = measure(10_000)
    first = [next(some) for _ in range(3)]  # and then it is stopped
    assert len(asked) == 6
    whole = list(measure(10_000))
    assert whole[:3] == first
    assert len(asked) == 2 * len(points(10_000)) == 2 * len(whole)
    machine = benchmark.describe()
    monkeypatch.setattr(benchmark, "describe", lambda: replace(machine, cores=99))
    list(measure(10_000))  # another machine's numbers are no use here
    assert len(asked) == 4 * len(whole)


def test_the_page_counts_what_is_off(measured):
    known = derive(measured, "a machine")
    rows = []
    for factor, check in ((1, False), (1.4, False), (1.6, True)):
        point = Point("Flat", 100_000, check=check)
        made = planned(point, known)
        times = {"coarse": 0.0, "train": 0.0, "add": made.build_seconds * factor}
        times |= {"query": made.query_seconds * factor, "memory": made.memory * factor}
        times["disk"] = made.disk * factor
        rows.append({"point": asdict(point), "times": times, "plan": made})
    text = "\n".join(page(rows, known, busy=0.3))
    assert "memory, sizes of the constants: 1 of 2 within a factor of 1.2" in text
    assert "query, sizes of the constants: 2 of 2 within a factor of 1.5" in text
    assert "query, others: 0 of 1 within a factor of 1.5" in text
    assert "from 0.71 to 1.00" in text and "a machine" in text
    assert text.count("| Flat | 100,000 | 128 |") == 3


def test_the_stored_page_is_that_of_the_stored_constants():
    known, text = load_constants(), PAGE.read_text(encoding="utf-8")
    assert f"{known.date}, {known.machine}." in text
    assert f"- an addition to a graph, in searches: {known.insert:.2f}" in text
