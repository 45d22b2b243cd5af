"""The benchmark, on a collection so small that it is over in seconds."""

import doctest
import json
import platform
import re

import numpy as np
import pytest

pytest.importorskip("faiss")

from tools.benchmark import __main__ as program
from tools.benchmark import contenders, data, page, race
from tools.benchmark.contenders import BASELINE, CELLS, EVERYONE, FLAT, missing
from tools.benchmark.machine import describe
from tools.benchmark.race import Benchmark, ContenderError, Process, Results

N, D, QUERIES = 900, 1024, 20
ROUNDS = 2
by_name = {contender.name: contender for contender in EVERYONE}


def unit_vectors(n: int, d: int, seed: int = 0) -> np.ndarray:
    """Vectors whose directions matter less and less, as those of pictures do."""
    scale = 1 / np.sqrt(1 + np.arange(d))
    vectors = np.random.default_rng(seed).normal(size=(n, d)) * scale
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype("float32")


def collection(folder, n: int = N, d: int = D):
    base, queries = data.hold_out(unit_vectors(n + QUERIES, d), QUERIES)
    return data.write_collection(folder, base, queries, title="Small", note="a test")


def begin(results: Results) -> None:
    results.begin(describe(), "test", sections=[("main", "small")], threads=[1])


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """All contenders that are installed, all stages, one after the other."""
    work = tmp_path_factory.mktemp("work")
    folder, results = collection(work / "small"), Results(work / "results.jsonl")
    begin(results)
    lines: list[str] = []
    Benchmark(
        folder, EVERYONE, results, threads=[1], rounds=ROUNDS, say=lines.append
    ).run()
    return work, folder, results, lines


def standing(finished, name: str) -> page.Standing:
    _, folder, results, _ = finished
    return page.Standing(results, data.load_facts(folder), by_name[name])


@pytest.mark.parametrize("contender", EVERYONE, ids=lambda contender: contender.name)
def test_contender_builds_sweeps_and_races(finished, contender):
    if reason := missing(contender.library):
        pytest.skip(reason)
    found = standing(finished, contender.name)
    assert not found.failure
    assert found.build["seconds"] > 0
    assert found.build["peak"] > found.facts.n * D
    assert found.best_recall > (0.3 if "PQ64" in contender.name else 0.9)
    level = 0.9 if found.point(0.9) else None
    if level:
        assert len(found.turns(level, 1)) == ROUNDS
        assert 0 < found.p50(level) < 1000


@pytest.mark.parametrize("name", [BASELINE, "scikit-learn brute"])
def test_exact_contender_finds_everything(finished, name):
    if reason := missing(by_name[name].library):
        pytest.skip(reason)
    assert [point["recall"] for point in standing(finished, name).points] == [1.0]


def test_more_probes_find_no_less(finished):
    recalls = [point["recall"] for point in standing(finished, CELLS).points]
    assert recalls == sorted(recalls)
    assert recalls[0] < recalls[-1]


def test_pca_keeps_only_the_components_in_use(finished):
    """1,024 numbers to 512: 2 MB in use; all of them would be 4 MB more."""
    build = standing(finished, "FAISS PCA512,HNSW16_SQ8").build
    codes_links_matrix = N * (512 + 200) + 4 * 512 * D
    assert build["file"] < codes_links_matrix + 200_000


def test_index_files_are_removed_and_logs_kept(finished):
    _, folder, _, _ = finished
    assert not list(folder.glob("*.index"))
    assert list(folder.glob("*.log"))


def test_finished_run_is_not_run_again(finished):
    _, folder, results, _ = finished
    before = len(results.records)
    again = Results(results.path)
    Benchmark(
        folder, EVERYONE, again, threads=[1], rounds=ROUNDS, say=lambda line: None
    ).run()
    assert len(again.records) == before


def test_interrupted_run_goes_on(tmp_path, monkeypatch):
    folder, results = collection(tmp_path / "small", 100, 16), Results(tmp_path / "r")
    racing = Benchmark(folder, [FLAT], results, threads=[1], rounds=2, say=print)

    def stop(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Benchmark, "_round", stop)
        racing.run()
    with open(tmp_path / "r", "a") as file:
        file.write('{"kind": "rou')  # stopped in the midst of a line
    results = Results(tmp_path / "r")
    Benchmark(folder, [FLAT], results, threads=[1], rounds=2, say=print).run()
    kinds = [record["kind"] for record in Results(tmp_path / "r").records]
    assert kinds == ["build", "sweep", "round", "round"]


def test_failing_contender_does_not_stop_the_others(tmp_path):
    """There are no 256 principal components in 16 numbers."""
    folder, results = collection(tmp_path / "small", 100, 16), Results(tmp_path / "r")
    broken = by_name[program.REFINED]
    begin(results)
    Benchmark(
        folder, [broken, FLAT], results, threads=[1], rounds=1, say=lambda line: None
    ).run()
    failure = results.newest(kind="failure")
    assert failure["contender"] == broken.name
    assert "RuntimeError" in failure["error"]
    assert [turn["contender"] for turn in results.newest(kind="round")["turns"]] == [
        BASELINE
    ]
    page.write(tmp_path / "PAGE.md", results, tmp_path)
    assert (
        f"| {broken.name} | failed: RuntimeError" in (tmp_path / "PAGE.md").read_text()
    )


def test_a_crash_is_an_error_of_that_contender(tmp_path):
    with Process(FLAT, collection(tmp_path / "small", 100, 16), 1) as worker:
        with pytest.raises(ContenderError, match="no attribute"):
            worker("fly")
        worker.process.kill()
        with pytest.raises(ContenderError, match="ended with status -9"):
            worker("build")


def test_page_has_all_rows_and_no_host_name(finished, tmp_path):
    work, _, results, _ = finished
    page.write(tmp_path / "RESULTS.md", results, work)
    text = (tmp_path / "RESULTS.md").read_text(encoding="utf-8")
    for contender in EVERYONE:
        rows = re.findall(rf"^\| {re.escape(contender.name)} \|", text, re.MULTILINE)
        assert len(rows) >= (1 if missing(contender.library) else 2), contender.name
    for target in ("fast", "small", "tiny"):
        assert re.search(
            rf"\*\*{target}\*\*.*: (\*\*(met|missed)\*\*|not decided)", text
        )
    assert describe().processor in text
    assert platform.node() not in text.replace(platform.machine(), "")
    pictures = re.findall(r"\]\((.*?\.jpg)\)", text)
    assert pictures and all((tmp_path / name).exists() for name in pictures)
    widths = {line.count("|") for line in table_lines(text, "| index | asked")}
    assert len(widths) == 1


def table_lines(text: str, start: str) -> list[str]:
    return text[text.index(start) :].split("\n\n", maxsplit=1)[0].splitlines()


def test_page_without_results_says_what_to_run(tmp_path):
    with pytest.raises(ValueError, match="Run: python -m tools.benchmark"):
        page.write(tmp_path / "page.md", Results(tmp_path / "none"), tmp_path)


def test_million_is_built_from_blocks(tmp_path):
    """The same neighbours as if the vectors had been there all at once."""
    source, n = unit_vectors(300, 64), 2_000
    folder = data.write_streamed(tmp_path / "big", source, n, 10)
    results = Results(tmp_path / "results")
    index = by_name["FAISS IVF,SQ8"]
    Benchmark(
        folder, [index], results, threads=[1], rounds=1, say=lambda line: None
    ).run()
    whole = np.concatenate(list(data.stream(folder)))
    queries = np.load(folder / "queries.npy")
    expected = np.argsort(-(queries @ whole.T), axis=1)[:, : data.K]
    np.testing.assert_array_equal(data.load_exact(folder).ids, expected)
    points = results.newest(kind="sweep")["points"]
    assert whole.shape == (n, 64)
    assert max(point["recall"] for point in points) > 0.9


def test_neighbours_in_blocks_are_the_exact_ones(monkeypatch):
    monkeypatch.setattr(data, "BLOCK", 7)
    vectors, queries = unit_vectors(50, 8), unit_vectors(4, 8, seed=1)
    nearest = data.NearestSoFar(queries)
    nearest.look_at(vectors[:33])
    nearest.look_at(vectors[33:])
    expected = np.argsort(-(queries @ vectors.T), axis=1)[:, : data.K]
    np.testing.assert_array_equal(nearest.ids, expected)


def test_queries_are_not_in_the_collection():
    vectors = unit_vectors(200, 8)
    base, queries = data.hold_out(vectors, 30)
    assert (len(base), len(queries)) == (170, 30)
    assert (queries @ base.T).max() < 0.999999


def test_changed_vectors_are_another_collection(tmp_path):
    first = data.load_facts(collection(tmp_path / "c", 100, 16)).fingerprint
    assert data.load_facts(collection(tmp_path / "c", 100, 16)).fingerprint == first
    assert data.load_facts(collection(tmp_path / "c", 101, 16)).fingerprint != first


def damaged(kind: str) -> np.ndarray:
    vectors = unit_vectors(200, 8)
    match kind:
        case "one row":
            return vectors[0]
        case "few":
            return vectors[:20]
        case "float64":
            return vectors.astype("float64")
        case "long":
            vectors[17] *= 2
        case "NaN":
            vectors[150, 3] = np.nan
    return vectors


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("one row", r"Received: float32 of shape \(8,\)"),
        ("few", r"at least 100 vectors.*Received: float32 of shape \(20, 8\)"),
        ("float64", "expected float32.*Received: float64"),
        ("long", "Row 17 has length 2. Divide each row"),
        ("NaN", "Row 150 has length nan"),
    ],
)
def test_vectors_of_another_kind_are_refused(tmp_path, kind, message):
    np.save(tmp_path / "v.npy", damaged(kind))
    with pytest.raises(ValueError, match=message):
        data.read_vectors(tmp_path / "v.npy")


@pytest.mark.parametrize("content", [b"", b"no array", None])
def test_file_that_is_no_array_is_refused(tmp_path, content, capsys):
    if content is not None:
        (tmp_path / "v.npy").write_bytes(content)
    with pytest.raises(SystemExit):
        program.main(["--vectors", str(tmp_path / "v.npy"), "--work", str(tmp_path)])
    error = capsys.readouterr().err
    assert "v.npy: expected an array written by numpy.save. Received:" in error


def test_vectors_that_are_good_are_read(tmp_path):
    np.save(tmp_path / "v.npy", unit_vectors(200, 8))
    assert data.read_vectors(tmp_path / "v.npy").shape == (200, 8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--threads", "2"], "expected 1 first"),
        (["--only", "Annoy"], "expected names of.*Received: .'Annoy'"),
    ],
)
def test_impossible_wish_is_explained(tmp_path, arguments, message, capsys):
    with pytest.raises(SystemExit):
        program.main([*arguments, "--work", str(tmp_path)])
    assert re.search(message, capsys.readouterr().err)


def test_whole_program(tmp_path, monkeypatch):
    """From the gallery's vectors to the page, with two contenders."""
    vectors, is_query = unit_vectors(300, 32), np.arange(300) % 10 == 0
    monkeypatch.setattr(
        program, "in_a_process", lambda function, *_: (vectors, is_query)
    )
    np.save(tmp_path / "mine.npy", unit_vectors(400, 32, seed=2))
    program.main(
        [
            *("--n", "500", "--no-million", "--rounds", "1", "--threads", "1"),
            *("--vectors", str(tmp_path / "mine.npy"), "--trained-on"),
            *("--only", f"{BASELINE};{CELLS}"),
            *("--work", str(tmp_path / "work"), "--page", str(tmp_path / "PAGE.md")),
        ]
    )
    text = (tmp_path / "PAGE.md").read_text(encoding="utf-8")
    assert "## 500 vectors by enlargement: n = 500" in text
    assert "## The gallery: n = 270" in text
    assert "real vectors: n = 320" in text
    assert "These photos trained the weights" in text
    assert "## Is an enlargement like real vectors?" in text


def test_race_that_does_not_fit_into_memory_is_not_begun(tmp_path, monkeypatch):
    monkeypatch.setattr(race, "free_memory", lambda: 1000.0)
    folder, results = collection(tmp_path / "small", 100, 16), Results(tmp_path / "r")
    with pytest.raises(MemoryError, match="Free: 0.0 GB. Leave some out with --only"):
        Benchmark(folder, [FLAT], results, threads=[1], rounds=1, say=print).run()
    assert results.newest(kind="build")


@pytest.mark.parametrize("module", [race, contenders])
def test_examples(module):
    assert doctest.testmod(module).failed == 0


def test_cheapest_setting_reaches_the_recall():
    points = [
        {"setting": {"ef": 1}, "recall": 0.80, "ms": 1.0},
        {"setting": {"ef": 2}, "recall": 0.96, "ms": 2.0},
        {"setting": {"ef": 3}, "recall": 0.97, "ms": 1.5},
    ]
    assert race.cheapest(points, 0.95)["setting"] == {"ef": 3}
    assert race.cheapest(points, 0.99) is None
    assert race.choose_settings(points) == [{"ef": 3}]
    assert race.choose_settings(points[:1]) == [{"ef": 1}]


def test_library_that_is_missing_is_named_with_its_file(monkeypatch):
    monkeypatch.setattr(contenders.importlib.util, "find_spec", lambda name: None)
    assert missing("hnswlib") == (
        "hnswlib is not installed: pip install -r tools/benchmark/requirements.txt"
    )


def test_graphs_of_all_libraries_are_built_alike():
    assert {c.library for c in EVERYONE} == set(contenders.ENGINES)
    graphs = [c for c in EVERYONE if "HNSW" in c.name]
    assert all(f"HNSW{contenders.GRAPH['links']}" in c.name for c in graphs)


def test_results_survive_as_lines_of_json(tmp_path):
    results = Results(tmp_path / "r")
    results.add(kind="build", data="a", seconds=1)
    results.add(kind="build", data="a", seconds=2)
    again = Results(tmp_path / "r")
    assert again.newest(data="a")["seconds"] == 2
    assert again.of(data="b") == []
    assert all(json.loads(line) for line in (tmp_path / "r").read_text().splitlines())
