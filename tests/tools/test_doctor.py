"""tools.doctor: what it finds in small trees, and on this machine."""

import ast
import csv
import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from tools import doctor
from tools.doctor import ATTENTION, GIB, OK, WRONG

ROOT = Path(__file__).parents[2]
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 47649824\n"


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def tree(tmp_path):
    """A repository of three pictures and a small file of weights."""
    models, images = tmp_path / "models", tmp_path / "images"
    models.mkdir()
    with h5py.File(models / "resnet50_notop.weights.h5", "w") as file:
        file["kernel"] = np.arange(1000, dtype=np.float32)
    card = f'{{"sha256": "{sha256(models / "resnet50_notop.weights.h5")}"}}'
    (models / "resnet50_notop.json").write_text(card)
    (images / "mug").mkdir(parents=True)
    with open(images / "metadata.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "label", "sha256"])
        for view in range(3):
            name = f"mug/mug_0_{view}.jpg"
            Image.new("RGB", (32, 32), (80 * view, 0, 0)).save(images / name)
            writer.writerow([name, "mug", sha256(images / name)])
    return tmp_path


def one(findings):
    (finding,) = findings
    return finding


# ---------------------------------------------------------- Python and packages


@pytest.mark.parametrize("version", [(3, 11, 0), (3, 12, 9), (3, 13, 1)])
def test_supported_pythons_are_fine(version):
    assert doctor.check_python(version, 64).verdict == OK


@pytest.mark.parametrize(
    ("version", "bits"), [((3, 10, 9), 64), ((3, 14, 0), 64), ((3, 12, 1), 32)]
)
def test_other_pythons_are_refused_with_the_range(version, bits):
    finding = doctor.check_python(version, bits)
    assert finding.verdict == WRONG
    assert "Expected Python 3.11 to 3.13 with 64 bits" in finding.advice


def test_every_file_that_names_pythons_names_the_same_range():
    """It stands in `OLDEST` and `NEWEST`; .ci/run and the offline kit ask there."""
    ends = {doctor.OLDEST, doctor.NEWEST}
    places = {  # file: where in it a minor version stands, and what it should say
        "README.md": (r"(?m)^You need Python 3.*memory", ends),
        "requirements.txt": (r"\A.*", ends),
        ".github/workflows/ci.yml": (r"python: \[.*\]", ends),
        "pyproject.toml": (
            r"target-version = .*|python_version = .*",
            ends - {max(ends)},
        ),
    }
    for path, (where, expected) in places.items():
        lines = re.findall(where, (ROOT / path).read_text(encoding="utf-8"))
        minors = re.findall(r"\b(?:py)?3\.?(\d\d)\b", " ".join(lines))
        named = {(3, int(minor)) for minor in minors}
        assert {min(named), max(named)} == expected, path


def test_requirements_are_read_with_those_they_include_and_without_comments(tmp_path):
    (tmp_path / "a.txt").write_text("-r b.txt\n# pytest\nruff>=0.9  # lints\n\n")
    (tmp_path / "b.txt").write_text("numpy>=2.0\npkg @ file:///x#egg=1\n")
    lines = doctor.requirement_lines(tmp_path / "a.txt")
    assert lines == ["numpy>=2.0", "pkg @ file:///x#egg=1", "ruff>=0.9"]


def test_packages_are_compared_with_the_range_asked_for(tmp_path):
    path = tmp_path / "requirements.txt"
    path.write_text("numpy>=2.0\npillow>=11.0,<12\nfaiss-cpu>=1.14.2\ntqdm\n")
    versions = {"numpy": "2.4.6", "pillow": "10.1", "tqdm": "5.0rc1"}
    numpy, pillow, faiss, tqdm = doctor.check_packages(path, versions.get)
    assert numpy == (OK, "numpy 2.4.6 (>=2.0)", "")
    assert pillow[:2] == (WRONG, "pillow 10.1, asked for >=11.0,<12")
    assert faiss[:2] == (WRONG, "faiss-cpu: missing, asked for >=1.14.2")
    assert "pip install -r requirements.txt" in pillow.advice == faiss.advice
    assert tqdm.verdict == OK, "a pre-release counts"


def test_without_packaging_the_others_are_still_looked_up(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "packaging.requirements", None)
    path = tmp_path / "requirements.txt"
    path.write_text("numpy>=2.0\npillow>=11.0\n")
    findings = doctor.check_packages(path, {"numpy": "2.4.6"}.get)
    assert [finding.verdict for finding in findings] == [WRONG, OK, WRONG]
    assert findings[0].fact == "packaging: missing"


# ----------------------------------------------------------- memory, cores, disk


@pytest.mark.parametrize(
    ("free", "verdict"), [(0.5, WRONG), (2.0, ATTENTION), (4.0, OK)]
)
def test_little_memory_is_said_and_very_little_is_wrong(free, verdict):
    finding = doctor.check_memory(int(free * GIB), 8 * GIB)
    assert finding.verdict == verdict
    assert f"{free} GiB free of 8.0 GiB" in finding.fact
    assert ("Close other programs" in finding.advice) == (verdict != OK)


def test_memory_that_cannot_be_measured_stops_nobody(monkeypatch):
    monkeypatch.setitem(sys.modules, "psutil", None)
    assert doctor.measure_memory() == (None, None)
    assert doctor.check_memory(None, None).verdict == ATTENTION


def test_memory_of_this_machine_is_measured():
    free, total = doctor.measure_memory()
    assert 0 < free <= total


@pytest.mark.parametrize(("free", "verdict"), [(0.1, WRONG), (0.5, ATTENTION), (9, OK)])
def test_a_full_disk_is_wrong(free, verdict):
    assert doctor.check_disk(int(free * GIB)).verdict == verdict


def test_more_threads_than_cores_are_worth_a_word():
    assert doctor.check_threads(2, {"faiss": 2, "libgomp": 1}).verdict == OK
    finding = doctor.check_threads(2, {"faiss": 16})
    assert finding.verdict == ATTENTION
    assert "OMP_NUM_THREADS=2" in finding.advice


def test_cores_are_those_that_this_process_may_use():
    assert 1 <= doctor.count_cores() <= os.cpu_count()


def test_a_folder_is_made_and_written_to(tmp_path):
    assert doctor.check_writable(tmp_path / "new" / "one", "output/").verdict == OK
    assert list((tmp_path / "new" / "one").iterdir()) == []


def test_a_folder_that_cannot_be_written_is_wrong(tmp_path):
    (tmp_path / "file").touch()
    finding = doctor.check_writable(tmp_path / "file" / "output", "output/")
    assert finding.verdict == WRONG
    assert str(tmp_path / "file" / "output") in finding.advice


# ---------------------------------------------------------- weights and pictures


def test_published_files_are_recognised(tree):
    assert doctor.check_weights(tree / "models").verdict == OK
    finding = one(doctor.check_gallery(tree / "images"))
    assert (finding.verdict, finding.fact) == (
        OK,
        "gallery: 3 pictures, all as published",
    )


def damage(path, how):
    content = path.read_bytes()
    if how == "missing":
        path.unlink()
    elif how == "truncated":
        path.write_bytes(content[:-20])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "changed":
        middle = len(content) // 2
        flipped = bytes([content[middle] ^ 1])
        path.write_bytes(content[:middle] + flipped + content[middle + 1 :])
    elif how == "a Git LFS pointer":
        path.write_bytes(POINTER)


ADVICE = {
    "missing": "git checkout -- {0}",
    "truncated": "stopped early.*git checkout -- {0}",
    "changed": "not the published ones.*git checkout -- {0}",
    "a Git LFS pointer": "git lfs pull",
}


@pytest.mark.parametrize("how", [*ADVICE, "empty"])
def test_damaged_weights_get_the_advice_that_fits(tree, how):
    damage(tree / "models" / "resnet50_notop.weights.h5", how)
    finding = doctor.check_weights(tree / "models")
    state = "truncated" if how == "empty" else how
    assert finding.verdict == WRONG
    assert finding.fact == f"weights: resnet50_notop.weights.h5 is {state}"
    assert re.search(ADVICE[state].format("models"), finding.advice)


@pytest.mark.parametrize("how", [*ADVICE, "empty"])
def test_damaged_pictures_get_the_advice_that_fits(tree, how):
    damage(tree / "images" / "mug" / "mug_0_1.jpg", how)
    finding = one(doctor.check_gallery(tree / "images"))
    state = "truncated" if how == "empty" else how
    assert finding.verdict == WRONG
    assert finding.fact == f"gallery: 1 of 3 pictures {state}: mug/mug_0_1.jpg"
    assert re.search(ADVICE[state].format("images"), finding.advice)


def test_each_kind_of_damage_gets_a_line_of_its_own(tree):
    for view, how in enumerate(["missing", "changed", "missing"]):
        damage(tree / "images" / "mug" / f"mug_0_{view}.jpg", how)
    facts = [finding.fact for finding in doctor.check_gallery(tree / "images")]
    assert facts == [
        "gallery: 2 of 3 pictures missing: mug/mug_0_0.jpg ...",
        "gallery: 1 of 3 pictures changed: mug/mug_0_1.jpg",
    ]


def test_pictures_of_somebody_else_are_worth_a_word(tree):
    (tree / "images" / "mug" / "mine.jpg").touch()
    (tree / "images" / "mug" / ".DS_Store").touch()
    finding = one(doctor.check_gallery(tree / "images"))
    assert finding.verdict == ATTENTION
    assert finding.fact == "gallery: 1 files too many: mug/mine.jpg"


@pytest.mark.parametrize("content", [None, b"", b"file,label\nmug/mug_0_0.jpg,mug\n"])
def test_a_missing_or_damaged_list_of_sums_is_wrong(tree, content):
    path = tree / "images" / "metadata.csv"
    path.unlink() if content is None else path.write_bytes(content)
    finding = one(doctor.check_gallery(tree / "images"))
    assert finding.verdict == WRONG
    assert "metadata.csv" in finding.fact


@pytest.mark.parametrize("content", ["", "{}", "[1]"])
def test_a_damaged_card_of_the_weights_is_wrong(tree, content):
    (tree / "models" / "resnet50_notop.json").write_text(content)
    assert doctor.check_weights(tree / "models").verdict == WRONG


# ------------------------------------------------- libraries, in their own process


def test_a_module_that_fails_is_named_and_the_others_are_imported():
    report = doctor.run_probe(["json", "nothing_of_that_name"])
    assert list(report["errors"]) == ["nothing_of_that_name"]
    finding = one(doctor.check_imports(report, ["json", "nothing_of_that_name"]))
    assert finding.verdict == WRONG
    assert "No module named 'nothing_of_that_name'" in finding.fact


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """A folder for modules that a child process can import."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


def test_a_module_that_kills_python_is_named(modules):
    (modules / "deadly.py").write_text("import os\nos.abort()\n")
    report = doctor.run_probe(["json", "deadly"])
    finding = one(doctor.check_imports(report, ["json", "deadly"]))
    assert (finding.verdict, finding.fact) == (
        WRONG,
        "Python died at deadly: without a word",
    )


def test_two_openmp_libraries_that_stop_python_are_explained(modules):
    said = "OMP: Error #15: Initializing libomp.dylib, but found libomp.dylib already"
    (modules / "clash.py").write_text(
        f"import os, sys\nsys.stderr.write({said!r})\nsys.stderr.flush()\nos.abort()\n"
    )
    finding = one(doctor.check_imports(doctor.run_probe(["clash"]), ["clash"]))
    assert finding.verdict == WRONG
    assert "conda and pip were mixed" in finding.advice
    assert "KMP_DUPLICATE_LIB_OK" in finding.advice


def test_a_process_that_never_answers_is_given_up(modules, monkeypatch):
    (modules / "endless.py").write_text("import time\ntime.sleep(60)\n")
    monkeypatch.setattr(doctor, "PATIENCE", 2)
    finding = one(doctor.check_imports(doctor.run_probe(["endless"]), ["endless"]))
    assert finding.fact == "Python died at endless: no answer in 2 seconds"


def test_the_fastest_way_to_run_the_network_comes_first():
    speeds = [
        {"size": 224, "call": "load_embedder()", "speed": 20.0},
        {"size": 64, "call": "load_embedder()", "speed": 200.0},
        {"size": 224, "call": "load_fast_embedder('int8')", "speed": 80.04},
    ]
    findings = doctor.check_speeds({"errors": {}, "speeds": speeds})
    assert {finding.verdict for finding in findings} == {OK}
    assert [finding.fact.strip() for finding in findings] == [
        "200.0 pictures/s at 64 pixels: load_embedder()",
        "80.0 pictures/s at 224 pixels: load_fast_embedder('int8')",
        "20.0 pictures/s at 224 pixels: load_embedder()",
    ]


@pytest.mark.parametrize(
    "report",
    [
        {"errors": {"speeds": "WeightsError: damaged"}},
        {"errors": {}, "crash": ("speeds", "WeightsError: damaged")},
    ],
)
def test_speeds_that_cannot_be_measured_are_no_reason_to_stop(report):
    finding = one(doctor.check_speeds(report))
    assert (finding.verdict, finding.fact) == (
        ATTENTION,
        "speeds can't be measured: WeightsError: damaged",
    )


def test_speeds_are_measured_only_if_asked_for(monkeypatch, tree):
    asked = []

    def probe(modules, deep=False, *, patience=None):
        asked.append(patience)
        return {"errors": {}, "speeds": []}

    monkeypatch.setattr(doctor, "run_probe", probe)
    monkeypatch.setattr(doctor, "module_names", lambda path: [])
    monkeypatch.setattr(doctor, "check_packages", lambda path: [])
    list(doctor.check_all(tree))
    assert asked == [None]
    list(doctor.check_all(tree, speed=True))
    assert asked == [None, None, 5 * doctor.PATIENCE]


def openmp(*names):
    return [{"api": "openmp", "name": n, "file": f"x/{n}", "threads": 2} for n in names]


def test_openmp_libraries_are_judged_by_their_number_make_and_system():
    pools = [{"api": "blas", "name": "libopenblas", "file": "b", "threads": 2}]
    assert doctor.check_openmp(pools, "Darwin").verdict == OK
    assert doctor.check_openmp(openmp("libomp"), "Darwin").verdict == OK
    assert doctor.check_openmp(openmp("libgomp", "libgomp"), "Linux").verdict == OK
    assert doctor.check_openmp(openmp("libgomp", "libomp"), "Linux")[0] == ATTENTION
    twice = doctor.check_openmp(openmp("libomp", "libomp"), "Darwin")
    assert twice.verdict == ATTENTION
    assert "OMP: Error #15" in twice.advice


# ------------------------------------------------------------ Jupyter and settings


def test_a_kernel_of_another_environment_is_wrong(tmp_path):
    mine = str(tmp_path / "mine" / "bin" / "python")
    other = str(tmp_path / "other" / "bin" / "python")
    for program in ("python", "python3", mine, mine + "3.11"):
        assert doctor.check_kernel(program, mine).verdict == OK
    finding = doctor.check_kernel(other, mine)
    assert finding.verdict == WRONG
    assert other in finding.fact
    assert "ipykernel install --sys-prefix" in finding.advice
    assert doctor.check_kernel(None, mine).verdict == WRONG


def test_a_jupyter_of_another_environment_is_worth_a_word(tmp_path):
    mine, other = tmp_path / "mine", tmp_path / "other"
    mine.mkdir()
    other.mkdir()
    assert doctor.check_jupyter(str(mine / "jupyter"), str(mine)).verdict == OK
    for command in (None, str(other / "jupyter")):
        finding = doctor.check_jupyter(command, str(mine))
        assert finding.verdict == ATTENTION
        assert "python -m jupyterlab" in finding.advice


def test_variables_that_change_the_notebooks_are_named():
    assert one(doctor.check_settings({"HOME": "x"})).verdict == OK
    assert one(doctor.check_settings({"LOOKALIKE_WEIGHTS": "bundled"})).verdict == OK
    finding = one(doctor.check_settings({"MPLBACKEND": "Agg"}))
    assert finding.verdict == ATTENTION
    assert (
        finding.fact
        == "MPLBACKEND is set to Agg: every figure vanishes from the" + (" notebooks")
    )


def test_a_network_is_needed_for_keras_s_weights_alone():
    assert doctor.check_network({}).verdict == OK
    assert doctor.check_network({"LOOKALIKE_WEIGHTS": "imagenet"}).verdict == ATTENTION


# ------------------------------------------------------------------------ program


def run(*arguments, **environment):
    program = [sys.executable, "-m", "tools.doctor", *arguments]
    kept = {k: v for k, v in os.environ.items() if k != "LOOKALIKE_CACHE"}
    return subprocess.run(
        program,
        cwd=ROOT,
        env=kept | environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )


def test_this_machine_is_described_and_each_line_begins_with_a_verdict():
    done = run()
    *lines, _, last = done.stdout.splitlines()
    assert (done.returncode == 0) == (last == "A workshop can start."), done.stdout
    assert not done.stderr
    for line in lines:
        assert line.split()[0] in (OK, ATTENTION, WRONG) or line.startswith(" " * 11)
    for word in ("Python 3", "faiss-cpu", "memory", "weights", "gallery", "OpenMP"):
        assert word in done.stdout


def test_it_works_with_no_package_at_all_and_says_what_to_install():
    """`-S -I`: a Python without site-packages."""
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import tools.doctor as c"
    program += "; sys.exit(c.main([]))"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program],
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert done.returncode == 1
    assert not done.stderr
    assert "faiss-cpu: missing" in done.stdout
    assert "pip install -r requirements.txt" in done.stdout
    assert "Not yet:" in done.stdout.splitlines()[-1]


def test_nothing_heavy_is_loaded_by_importing_it():
    program = "import sys, tools.doctor; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True
    )
    loaded = set(done.stdout.split())
    assert loaded.isdisjoint({"numpy", "tensorflow", "faiss", "packaging", "psutil"})


def test_an_old_python_can_read_the_file_and_be_told_its_age():
    for path in (
        "tools/doctor.py",
        "tools/__init__.py",
        "utils/errors.py",
        "utils/__init__.py",
    ):
        source = (ROOT / path).read_text(encoding="utf-8")
        ast.parse(source, feature_version=(3, 8))
