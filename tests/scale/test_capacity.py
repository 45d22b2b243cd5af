"""utils.scale.capacity: bytes against FAISS's own files, times by hand."""

import json
import math

import numpy as np
import pytest

from utils.errors import LookalikeError
from utils.indexes import build_index, faiss
from utils.scale.capacity import (
    FIELDS,
    SIZES,
    UNITS,
    Constants,
    Machine,
    chart,
    load_constants,
    plan,
)

N, D = 3000, 32


@pytest.fixture(scope="module")
def vectors():
    drawn = np.random.default_rng(seed=0).normal(size=(N, D)).astype("float32")
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


@pytest.fixture
def known():
    """A nanosecond for a number in the cache, two in 1 GB; all else is easy, too."""
    units = {name: [(1e6, 1e-9), (1e9, 2e-9)] for name in UNITS}
    units["HNSW visits"] = [(1000, 10.0), (1_000_000, 20.0)]
    return Constants(
        units, call=1e-5, train=1e-10, codebook=1e-9, few=1e-8, encode=0, insert=1,
        machine="m", date="2026-01-01",
    )  # fmt: skip


@pytest.mark.parametrize(
    "index",
    ["Flat", "SQ8", "SQ6", "SQ4", "SQfp16", "SQbf16", "PQ8np", "PQ8x4np"]
    + ["HNSW32", "HNSW16_SQ8", "HNSW8,Flat", "HNSW16_PQ8np"]
    + ["IVF20,Flat", "IVF20,SQ8", "IVF20,PQ8np", "IVF20_HNSW16,SQ4"]
    + ["PCA16,Flat", "PCA16,IVF20,SQ8"],
)
def test_the_file_has_as_many_bytes_as_faiss_writes(vectors, known, index):
    factory = index.replace("HNSW16_PQ8np", "HNSW16_PQ8")
    metric = "l2" if "HNSW16_PQ" in index else "inner_product"
    written = len(faiss.serialize_index(build_index(vectors, factory, metric=metric)))
    planned = plan(N, D, index, constants=known)
    assert planned.disk == pytest.approx(written, rel=0.03)
    assert planned.disk <= planned.memory < 1.1 * planned.disk
    assert planned.bytes_per_vector == planned.memory / N


def test_flat_compares_all_numbers(known):
    assert plan(1000, 250, constants=known).query_seconds == pytest.approx(2.6e-4)
    large = plan(10**9, 250, constants=known, machine=Machine(1e15))
    assert large.query_seconds == pytest.approx(500)  # 2 ns from 1 GB on
    between = plan(7906, 1000, constants=known)  # 32 MB: halfway in the logarithm
    assert between.query_seconds == pytest.approx(
        7.906e6 * math.sqrt(2) * 1e-9, rel=2e-3
    )


def test_cells_divide_the_work(known):
    def seconds(**options):
        return plan(10_000, 100, "IVF100,SQ8", constants=known, **options).query_seconds

    # a call, 100 centroids, and 1,000 vectors for each 10 cells
    assert seconds(nprobe=10) == pytest.approx(1e-5 + 1e-5 + 1e-4)
    assert seconds(nprobe=100) == pytest.approx(1e-5 + 1e-5 + 1e-3)
    assert seconds() == seconds(nprobe=10)


def test_a_graph_grows_with_the_logarithm(known):
    seconds = [
        plan(10**e, 4, "HNSW32", constants=known, machine=Machine(1e20)).query_seconds
        for e in (9, 10, 11, 12)
    ]
    steps = np.diff(seconds)
    np.testing.assert_allclose(steps, steps[0], rtol=1e-6)
    assert steps[0] < seconds[0] / 5


def test_more_effort_takes_longer(known):
    def seconds(index="HNSW32", ef=64):
        return plan(10**5, 64, index, ef_search=ef, constants=known).query_seconds

    assert seconds(ef=16) < seconds(ef=64) < seconds(ef=256) < 4 * seconds(ef=64)
    assert seconds("HNSW16") < seconds("HNSW32")
    # fewer candidates than results are not kept
    small = plan(10**5, 64, "HNSW32", k=500, ef_search=1, constants=known)
    assert small.query_seconds == seconds(ef=500)


def test_a_coarse_graph_is_quicker_than_all_centroids(known):
    def planned(index):
        return plan(10**8, 128, index, constants=known, machine=Machine(1e15))

    plain, graph = planned("IVF1000000,SQ8"), planned("IVF1000000_HNSW32,SQ8")
    assert graph.query_seconds < plain.query_seconds
    assert graph.build_seconds < plain.build_seconds
    assert graph.memory > plain.memory


def test_building_adds_up(known):
    flat, coded = (plan(1000, 10, i, constants=known) for i in ("Flat", "PQ5"))
    assert flat.build_seconds == 0
    # 25 rounds of 1,000 vectors, whose 5 parts meet 256 others each; then their codes
    rounds, codes = 25_000 * 5 * 256, 1000 * 5 * 256
    assert coded.build_seconds == pytest.approx(rounds * 1e-8 + codes * 1e-9)
    cells = plan(1000, 10, "IVF10,Flat", constants=known)
    assert cells.build_seconds == pytest.approx(11 * 1000 * 10 * (48 + 10) * 1e-10)


def test_the_number_of_cells_is_chosen(known):
    assert plan(10**6, 64, "IVF,SQ8", constants=known).index == "IVF4000,SQ8"
    assert plan(1000, 64, "IVF,Flat", constants=known).index == "IVF25,Flat"
    assert plan(10**7, 64, "PCA32,IVF_HNSW32,PQ8", constants=known).index == (
        "PCA32,IVF65536_HNSW32,PQ8"
    )


def test_machines_are_bought_for_memory_copies_and_queries(known):
    machine = Machine(memory=1e9, cores=10)  # 800 MB for an index

    def planned(n=10**6, **options):
        return plan(n, 250, constants=known, machine=machine, **options)

    assert (planned(8 * 10**5).shards, planned(8 * 10**5 + 10).shards) == (1, 2)
    two = planned()
    assert (two.shards, two.machines) == (2, 2)
    assert planned(copies=3).machines == 6
    # each shard has 500,000 vectors; 10 cores work on 10 queries at once
    half = plan(500_000, 250, constants=known)
    assert two.query_seconds == half.query_seconds
    assert two.queries_per_second == pytest.approx(10 / half.query_seconds)
    rate = 2.5 * two.queries_per_second
    assert planned(queries_per_second=rate).machines == 6
    assert planned(queries_per_second=rate, copies=7).machines == 14


def test_what_it_says(known):
    text = str(plan(10**6, 2048, "IVF,SQ8", copies=2, constants=known))
    assert "IVF4000,SQ8, 1,000,000 vectors of 2,048 numbers" in text
    assert "memory    2.1 GB, 2,089 bytes per vector" in text
    assert "machines  2 (1 for one copy" in text


def test_a_chart_has_a_plan_for_each_size(known):
    plans = chart(["Flat", "IVF,SQ8"], 256, constants=known, copies=2)
    assert list(plans) == ["Flat", "IVF,SQ8"]
    for line in plans.values():
        assert [planned.n for planned in line] == list(SIZES)
        memories = [planned.memory for planned in line]
        machines = [planned.machines for planned in line]
        assert memories == sorted(memories)
        assert machines == sorted(machines)
        assert machines[0] == 2
    assert SIZES[0] == 1000
    assert SIZES[-1] == 10**10


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((0, 64), "n must be a whole number of at least 1. Received: 0"),
        ((-5, 64), "n must be a whole number"),
        ((float("nan"), 64), "n must be a whole number of at least 1. Received: nan"),
        ((1e6, 64), "n must be a whole number"),
        ((100, 0), "dimension must be a whole number"),
        ((100, 64, "LSH"), "index must be Flat, a code .*Received: 'LSH'"),
        ((100, 64, ""), "index must be Flat"),
        ((100, 64, None), "index must be Flat.*Received: None"),
        ((100, 64, "IVF20"), "index must be Flat"),
        ((100, 64, "OPQ8_32,IVF20,PQ8"), "index must be Flat"),
        ((100, 64, "IVF200,Flat"), "at most one cell per vector, 100"),
        ((100, 64, "IVF0,Flat"), "index must have at least one cell"),
        ((100, 64, "PQ65"), "PQ with parts that share them equally"),
        ((100, 64, "PQ7"), "PQ with parts that share them equally"),
        ((100, 64, "PQ0"), "index must"),
        ((100, 64, "PCA65,Flat"), "PCA to no more"),
        ((100, 64, "PCA0,Flat"), "index must"),
        ((100, 64, "HNSW1"), "graphs of at least 2 links"),
        ((100, 64, "HNSW0"), "graphs of at least 2 links"),
        ((100, 64, "PQ8x20"), "PQ of at most 16 bits"),
    ],
)
def test_collections_that_cannot_be(known, arguments, words):
    with pytest.raises(ValueError, match=words):
        plan(*arguments, k=1, constants=known)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"k": 101}, "k must be at most n, 100. Received: 101"),
        ({"k": 0}, "k must be a whole number"),
        ({"copies": 0}, "copies must be a whole number"),
        (
            {"nprobe": 11},
            "nprobe must be at most the number of cells, 10. Received: 11",
        ),
        ({"nprobe": 0}, "nprobe must be a whole number"),
        ({"ef_search": -1}, "ef_search must be a whole number"),
        ({"queries_per_second": -1}, "queries_per_second must be at least 0"),
        ({"queries_per_second": math.nan}, "queries_per_second must be at least 0"),
        ({"queries_per_second": math.inf}, "queries_per_second must be at least 0"),
        ({"machine": Machine(memory=0)}, "memory above 0"),
        ({"machine": Machine(memory=math.nan)}, "memory above 0"),
        ({"machine": Machine(cores=0)}, "cores must be a whole number"),
        ({"machine": Machine(memory=100)}, "machine.memory must hold the centroids"),
    ],
)
def test_options_out_of_range(known, options, words):
    with pytest.raises(ValueError, match=words):
        plan(100, 64, "IVF10,Flat", constants=known, **options)


# --- The constants ---------------------------------------------------------------


def test_what_was_measured_is_there():
    known = load_constants()
    assert known.machine
    assert len(known.date) == len("2026-01-01")
    flat = plan(10**6, 128, constants=known)
    assert 0.002 < flat.query_seconds < 0.5
    for index in ("HNSW32", "IVF,SQ8", "IVF,PQ32"):
        assert (
            plan(10**6, 128, index, constants=known).query_seconds < flat.query_seconds
        )


@pytest.mark.parametrize("lacking", ["call", "units", "date"])
def test_constants_that_lack_something_are_refused(tmp_path, known, lacking):
    path = tmp_path / "constants.json"
    stored = {name: getattr(known, name) for name in FIELDS if name != lacking}
    path.write_text(json.dumps(stored))
    with pytest.raises(
        LookalikeError, match=r"constants.json: expected times.*capacity"
    ):
        load_constants(path)


def test_no_constants_are_said_to_be_missing(tmp_path):
    with pytest.raises(LookalikeError, match="python -m tools.benchmark.capacity"):
        load_constants(tmp_path / "none.json")
