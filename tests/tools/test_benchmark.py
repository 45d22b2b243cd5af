"""The benchmark, on a collection so small that it is over in seconds."""

import json
import platform
import re
import zipfile

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("faiss")

from tools.benchmark import __main__ as program
from tools.benchmark import contenders, data, machine, race
from tools.benchmark.contenders import BASELINE, CELLS, EVERYONE, K, find, missing
from tools.benchmark.machine import read_raw
from tools.benchmark.race import Benchmark, ContenderError, Process, Results
from tools.benchmark.standing import mean_recall
from utils.collection.extraction import EmbeddedFiles

N, D, QUERIES = 1100, 1024, 40  # no fewer vectors than numbers, or PCA refuses
ROUNDS = 2
FLAT = find(BASELINE)
FIRST = [contender for contender in EVERYONE if not contender.number]
QUIET = ("--busy",)  # tests run side by side
REFINED = next(c for c in EVERYONE if "Refine(SQ8)" in c.name)


def unit_vectors(n: int, d: int, seed: int = 0) -> np.ndarray:
    """Vectors whose directions matter less and less, as those of pictures do."""
    scale = 1 / np.sqrt(1 + np.arange(d))
    vectors = np.random.default_rng(seed).normal(size=(n, d)) * scale
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype("float32")


def collection(folder, n: int = N, d: int = D):
    base, queries = data.hold_out(unit_vectors(n + QUERIES, d), QUERIES)
    return data.write_collection(folder, base, queries, title="Small", note="a test")


def measure(folder, some, results, *, rounds: int = 1, say=lambda line: None):
    benchmark = Benchmark(folder, some, results, threads=[1], rounds=rounds, say=say)
    return benchmark.run()


def to(folder) -> list[str]:
    return ["--work", str(folder / "work"), "--page", str(folder / "PAGE.md")]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A build of each family that is installed, all stages, one after the other."""
    work = tmp_path_factory.mktemp("work")
    folder, results = collection(work / "small"), Results(work / "results.jsonl")
    return folder, results, measure(folder, FIRST, results, rounds=ROUNDS)


@pytest.mark.parametrize("contender", FIRST, ids=lambda contender: contender.name)
def test_contender_builds_sweeps_and_finds(finished, contender):
    if reason := missing(contender.family.library):
        pytest.skip(reason)
    folder, _, section = finished
    assert contender.name not in section.failures
    build = section.builds[contender.name]
    assert build["seconds"] > 0 and build["peak"] > N * D and build["file"] > N * 100
    points = section.sweeps[contender.name]["points"]
    # One range of eight bits for all numbers suits no vector whose numbers differ so
    coarse = contender.options.get("dtype") in ("i8", "Float8", "E4M3")
    coarse &= "pca" not in contender.options
    assert max(map(mean_recall, points)) > (0.3 if coarse else 0.85)
    for point in points:
        assert [sum(half) for half in point["hits"]] == [QUERIES / 2] * 2


def test_each_family_races_in_every_round(finished):
    _, _, section = finished
    chosen = section.finalists()
    assert {c.contender.family for c in chosen} == set(section.families)
    for one in chosen:
        assert len(one.turns(1)) == ROUNDS
        for turn in one.turns(1):
            assert 0 < turn["p50"] <= turn["p95"] < 1000 < turn["per_second"] * 1000


def test_exact_contender_finds_everything(finished):
    (point,) = finished[2].sweeps[BASELINE]["points"]
    assert mean_recall(point) == 1.0


def test_more_probes_find_no_less(finished):
    recalls = [mean_recall(point) for point in finished[2].sweeps[CELLS]["points"]]
    assert recalls == sorted(recalls)
    assert recalls[0] < recalls[-1]


def test_pca_keeps_only_the_components_in_use(finished):
    """1,024 numbers to 512: 2 MB in use; all of them would be 4 MB more."""
    build = finished[2].builds["FAISS graph, reduced (PCA512,HNSW16_SQ8)"]
    codes_links_matrix = N * (512 + 200) + 4 * 512 * D
    assert build["file"] < codes_links_matrix + 200_000


def test_indexes_are_removed_and_logs_kept(finished):
    folder, _, _ = finished
    assert not list(folder.glob("*.index"))
    assert list(folder.glob("*.log"))


def test_finished_run_is_not_run_again(finished):
    folder, results, _ = finished
    before = len(results.records)
    again = Results(results.path)
    measure(folder, FIRST, again, rounds=ROUNDS)
    assert len(again.records) == before


def test_who_races_anew_has_rounds_of_their_own(tmp_path):
    """The ratio of two is taken among those who raced together."""
    folder, results = collection(tmp_path / "small", 100, 16), Results(tmp_path / "r")
    measure(folder, [FLAT], results)
    section = measure(folder, [FLAT, find("FAISS graph, six bits")], results)
    (record,) = section.rounds
    assert {turn["contender"] for turn in record["turns"]} == set(section.sweeps)


def test_interrupted_run_goes_on(tmp_path, monkeypatch):
    folder, results = collection(tmp_path / "small", 100, 16), Results(tmp_path / "r")

    def stop(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Benchmark, "_round", stop)
        measure(folder, [FLAT], results, rounds=2)
    with open(tmp_path / "r", "a") as file:
        file.write('{"kind": "rou')  # stopped in the midst of a line
    results = Results(tmp_path / "r")
    measure(folder, [FLAT], results, rounds=2)
    kinds = [record["kind"] for record in Results(tmp_path / "r").records]
    assert kinds == ["build", "sweep", "round", "round"]


def test_failing_contender_does_not_stop_the_others_and_is_tried_again(tmp_path):
    """There are no 256 principal components in 16 numbers."""
    folder, results = collection(tmp_path / "small", 100, 16), Results(tmp_path / "r")
    for _ in range(2):
        section = measure(folder, [REFINED, FLAT], results)
        assert section.failed == [REFINED]
        assert "RuntimeError" in section.failures[REFINED.name]["error"]
        assert [c.contender for c in section.finalists()] == [FLAT]
    assert len(Results(tmp_path / "r").of(kind="failure")) == 1


def test_a_crash_is_an_error_of_that_contender(tmp_path):
    with Process(FLAT, collection(tmp_path / "small", 100, 16), 1) as worker:
        with pytest.raises(ContenderError, match="no attribute"):
            worker.ask("fly")
        worker.process.kill()
        with pytest.raises(ContenderError, match="ended with status -9"):
            worker.ask("build")


def test_million_is_built_from_blocks(tmp_path):
    """The same neighbours as if the vectors had been there all at once."""
    source, n = unit_vectors(300, 64), 2_000
    folder = data.write_streamed(tmp_path / "big", source, n, 10)
    section = measure(folder, [find(CELLS)], Results(tmp_path / "results"))
    whole = np.concatenate(list(data.stream(folder)))
    queries = np.load(folder / "queries.npy")
    expected = np.argsort(-(queries @ whole.T), axis=1)[:, :K]
    np.testing.assert_array_equal(data.load_exact(folder).ids, expected)
    assert whole.shape == (n, 64)
    assert max(map(mean_recall, section.sweeps[CELLS]["points"])) > 0.9


def test_neighbours_in_blocks_are_the_exact_ones(monkeypatch):
    monkeypatch.setattr(data, "BLOCK", 7)
    vectors, queries = unit_vectors(50, 8), unit_vectors(4, 8, seed=1)
    nearest = data.NearestSoFar(queries)
    nearest.look_at(vectors[:33])
    nearest.look_at(vectors[33:])
    expected = np.argsort(-(queries @ vectors.T), axis=1)[:, :K]
    np.testing.assert_array_equal(nearest.ids, expected)


def test_queries_are_neither_in_the_collection_nor_in_both_halves():
    vectors = unit_vectors(200, 8)
    base, queries = data.hold_out(vectors, 30)
    assert (len(base), len(queries)) == (170, 30)
    assert (queries @ base.T).max() < 0.999999
    one, other = data.halves(queries)
    assert (len(one), len(other)) == (15, 15)
    assert (one @ other.T).max() < 0.999999


def save_pictures(folder) -> None:
    """Six pictures of two classes, and a text that is none."""
    for number in range(6):
        path = folder / f"class-{number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (40 * number, 80, 200)).save(path)
    (folder / "class-0" / "notes.txt").write_text("no picture")


@pytest.mark.parametrize("packed", [False, True])
def test_photos_come_from_folders_or_zip_files(tmp_path, monkeypatch, packed):
    folder = tmp_path / "photos"
    save_pictures(folder)
    if packed:
        files = [path for path in folder.rglob("*") if path.is_file()]
        folder = tmp_path / "archives"
        folder.mkdir()
        with zipfile.ZipFile(folder / "photos.zip", "w") as archive:
            for file in files:
                archive.write(file, file.relative_to(tmp_path / "photos"))
    seen = []

    def embed(paths, cache=None, progress=False):
        seen.extend(path.name for path in paths)
        return EmbeddedFiles(unit_vectors(len(paths), 8), [], [], [])

    monkeypatch.setattr(data, "embed_files", embed)
    assert data.embed_photos(folder, tmp_path / "v.npy") == 6
    assert sorted(seen) == [f"{number}.png" for number in range(6)]
    assert np.load(tmp_path / "v.npy").shape == (6, 8)
    assert not list(tmp_path.glob("v.sqlite*"))


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
        program.main([*QUIET, "--vectors", str(tmp_path / "v.npy"), *to(tmp_path)])
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
        (["--redraw"], "expected the raw results of PAGE.md.*Run the benchmark first"),
    ],
)
def test_impossible_wish_is_explained(tmp_path, arguments, message, capsys):
    with pytest.raises(SystemExit):
        program.main([*QUIET, *arguments, *to(tmp_path)])
    assert re.search(message, capsys.readouterr().err)


def test_busy_machine_is_refused_before_anything_is_done(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "load", lambda: 99.0)
    monkeypatch.setattr(program, "in_a_process", lambda *_: pytest.fail("it began"))
    with pytest.raises(SystemExit, match="Received: 99.00.*--busy"):
        program.main(to(tmp_path))
    assert not (tmp_path / "PAGE.md").exists()


@pytest.fixture
def gallery(monkeypatch):
    """Vectors in place of the gallery's, few of them held out, and few rounds."""
    vectors = unit_vectors(300, 32)
    monkeypatch.setattr(program, "in_a_process", lambda function, *_: vectors)
    monkeypatch.setattr(program, "QUERIES", 60)
    return vectors


ONLY = ("--only", f"{BASELINE};{CELLS};FAISS graph, bytes")


def test_whole_program_real_vectors_first_and_drawn_again_the_same(tmp_path, gallery):
    np.save(tmp_path / "mine.npy", unit_vectors(400, 32, seed=2))
    more = ("--vectors", str(tmp_path / "mine.npy"), "--trained-on", *ONLY)
    sizes = ("--n", "500", "--million", "700", "--rounds", "2", "--threads", "1")
    assert program.main([*QUIET, *sizes, *more, *to(tmp_path)]) == 0
    text = (tmp_path / "PAGE.md").read_text(encoding="utf-8")
    titles = ("340 real vectors", "500 vectors by enlargement", "700 vectors by enlar")
    places = [text.index(f"### {title}") for title in titles]
    assert places == sorted(places)
    assert text.index("340 real vectors of 32 numbers") < 200
    assert "These photos trained the weights" in text
    assert "### Is an enlargement like real vectors?" in text
    assert platform.node() not in text.replace(platform.machine(), "")
    assert [facts["real"] for facts in read_raw(tmp_path / "PAGE.md")["sections"]] == [
        *(True, False, False)
    ]
    program.main(["--redraw", *to(tmp_path)])
    assert (tmp_path / "PAGE.md").read_text(encoding="utf-8") == text


def test_compact_families_race_by_themselves(tmp_path, gallery):
    np.save(tmp_path / "mine.npy", unit_vectors(400, 32, seed=2))
    sizes = ("--n", "500", "--million", "0", "--rounds", "1", "--threads", "1")
    only = ("--only", f"{BASELINE};FAISS graph, bytes;FAISS graph, six bits")
    more = ("--vectors", str(tmp_path / "mine.npy"), *only)
    program.main([*QUIET, *sizes, *more, *to(tmp_path)])
    sections = read_raw(tmp_path / "PAGE.md")["sections"]
    titles = [facts["title"] for facts in sections]
    assert titles[1] == f"{titles[0]}, small indexes"
    large, small, enlarged = ({*facts["contenders"]} for facts in sections)
    assert large & small == {BASELINE} and enlarged <= large | small
    figures = [file.name for file in tmp_path.glob("*.jpg")]
    assert len(figures) == 3 and sum("-small" in name for name in figures) == 1


def test_first_collection_decides_who_goes_on(tmp_path, gallery):
    np.save(tmp_path / "mine.npy", unit_vectors(400, 32, seed=2))
    sizes = ("--n", "500", "--million", "0", "--rounds", "1", "--threads", "1")
    more = ("--vectors", str(tmp_path / "mine.npy"), *ONLY)
    program.main([*QUIET, *sizes, *more, *to(tmp_path)])
    records = read_raw(tmp_path / "PAGE.md")["records"]
    keys = list(dict.fromkeys(record["data"] for record in records))
    built = [
        [r["contender"] for r in records if r["kind"] == "build" and r["data"] == key]
        for key in keys
    ]
    assert len(built) == 2
    assert set(built[1]) < set(built[0])
    assert {BASELINE, CELLS} <= set(built[1])


def test_quick_never_touches_the_published_page(tmp_path, gallery, monkeypatch):
    published = tmp_path / "published"
    published.mkdir()
    (published / "RESULTS.md").write_text("published")
    monkeypatch.setattr(program, "HERE", published)
    sizes = ("--n", "300", "--rounds", "1", "--threads", "1")
    work = ("--work", str(tmp_path / "work"))
    program.main([*QUIET, "--quick", *sizes, *work, *ONLY])
    assert [file.read_text() for file in published.iterdir()] == ["published"]
    text = (tmp_path / "work-quick" / "QUICK.md").read_text(encoding="utf-8")
    assert "300 vectors by enlargement" in text
    assert "No real vectors were given" in text


def test_page_tells_the_command_without_this_machines_folders():
    words = program.spoken(["--photos", "/home/ada/photos of mine", "--rounds", "7"])
    assert words == "python -m tools.benchmark --photos 'photos of mine' --rounds 7"


def test_quick_takes_few_and_a_build_of_each():
    options = program.parser().parse_args(["--quick"])
    some = program.choose(options)
    assert [c.family.name for c in some] == list(contenders.QUICK)
    assert len(some) == len(contenders.QUICK) < len(EVERYONE) / 4


def test_race_that_does_not_fit_into_memory_is_not_begun(tmp_path, monkeypatch):
    monkeypatch.setattr(race, "free_memory", lambda: 1000.0)
    folder, results = collection(tmp_path / "small", 100, 16), Results(tmp_path / "r")
    with pytest.raises(MemoryError, match="Free: 0.0 GB. Leave some out with --only"):
        measure(folder, [FLAT], results)
    assert results.newest(kind="build")


def test_library_that_is_missing_is_named_with_its_file(monkeypatch):
    monkeypatch.setattr(contenders.importlib.util, "find_spec", lambda name: None)
    assert missing("hnswlib") == (
        "hnswlib is not installed: pip install -r tools/benchmark/requirements.txt"
    )


def test_table_declares_each_contender_once():
    assert {c.family.library for c in EVERYONE} == set(contenders.ENGINES)
    assert len({c.name for c in EVERYONE}) == len(EVERYONE)
    assert len({c.folder for c in EVERYONE}) == len(EVERYONE)


def test_every_peer_is_offered_the_reduction_and_the_refinement():
    forms = {(c.family.library, c.family.form) for c in EVERYONE}
    for library in contenders.ENGINES:
        assert (library, contenders.REORDERED) in forms, library


def test_graph_keeps_what_is_to_be_reordered():
    settings = find("hnswlib, reordered (links 16, ef 100)").settings(100_000)
    assert settings
    assert all(s["ef"] >= K * s["factor"] for s in settings)


def test_results_survive_as_lines_of_json(tmp_path):
    results = Results(tmp_path / "r")
    results.add(kind="build", data="a", seconds=1)
    results.add(kind="build", data="a", seconds=2)
    again = Results(tmp_path / "r")
    assert again.newest(data="a")["seconds"] == 2
    assert again.of(data="b") == []
    assert all(json.loads(line) for line in (tmp_path / "r").read_text().splitlines())
