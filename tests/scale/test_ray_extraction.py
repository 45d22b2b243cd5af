"""utils.scale.extraction: what one process gives, from several, whatever happens."""

import os
import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.collection.painted import FakeEmbedder, paint
from tests.scale.fake_networks import Dying, OnGpu, broken, full_disk
from utils.collection.search import ImageSearch
from utils.errors import LookalikeError
from utils.images import scan_folder
from utils.scale import extraction, ray_cluster
from utils.scale.extraction import Job, Worker, build_search, extract, read_extracted
from utils.scale.ray_cluster import running_ray

ROOT = Path(__file__).parents[2]
BLOCK, PICTURES = 8, 32


@pytest.fixture(scope="module")
def ray():
    """Ray, started once for all tests here, with a GPU that is none."""
    pytest.importorskip("ray.data")
    with running_ray(cores=2, gpus=1) as ray:
        yield ray


@pytest.fixture
def pictures(tmp_path):
    """Four blocks of pictures, one of each damaged, and a file that is none."""
    root = tmp_path / "pictures"
    for number in range(PICTURES):
        paint(root / f"label {number % 3}" / f"{number}.png", number)
    for path in scan_folder(root).paths[3::BLOCK]:
        path.write_bytes(path.read_bytes()[:70])
    (root / "text.jpg").write_text("not a picture")
    return root


def known(folder):
    """What the ordinary path gives: items by path, and their vectors."""
    search = ImageSearch.from_folder(folder, embedder=FakeEmbedder())
    vectors = search.index.reconstruct(sorted(search.items))
    return {
        item.path: (item, vector)
        for item, vector in zip(search.items.values(), vectors, strict=True)
    }, search.refused


def check_same(out, folder, *, atol=1e-5):
    expected, refused = known(folder)
    found = read_extracted(out)
    assert {item.path for item in found.items} == set(expected)
    for item, vector in zip(found.items, found.vectors, strict=True):
        assert item == expected[item.path][0]
        np.testing.assert_allclose(vector, expected[item.path][1], atol=atol)
    assert sorted(found.refused) == sorted(refused)


def work(folder, out, block=BLOCK, **changes):
    """Do all blocks in this process, without Ray, and return the answers."""
    out.mkdir(exist_ok=True)
    sha256s, run, pipeline = extraction._known(out)
    rows = extraction._list_files(folder, out)
    for row in rows:
        row["known"] = sha256s[row["id"]].sha256 if row["id"] in sha256s else ""
    job = Job(FakeEmbedder, out, run, pipeline, 1, 0)._replace(**changes)
    worker, answers = Worker(job), []
    for start in range(0, len(rows), block):
        files = rows[start : start + block]
        columns = {name: [row[name] for row in files] for name in files[0]}
        answer = worker({k: np.array(v, object) for k, v in columns.items()})
        answers.append({name: values[0] for name, values in answer.items()})
    return answers


# --- By Ray ----------------------------------------------------------------------


def test_ray_listens_to_this_machine_alone(ray):
    assert [node["NodeManagerAddress"] for node in ray.nodes()] == ["127.0.0.1"]


def test_several_processes_give_what_one_gives(ray, pictures, tmp_path):
    out = tmp_path / "out"
    done = extract(pictures, out, load=FakeEmbedder, block=BLOCK)
    assert (done.embedded, done.kept, done.lost) == (PICTURES - 4, 0, [])
    assert len(done.refused) == 5
    check_same(out, pictures)
    again = extract(pictures, out, load=FakeEmbedder, block=BLOCK)
    assert (again.embedded, again.kept) == (0, PICTURES)
    assert again.refused == done.refused


def test_a_killed_worker_costs_nothing(ray, pictures, tmp_path, capfd):
    (marks := tmp_path / "marks").mkdir()
    load = partial(Dying, marks, 1)
    done = extract(pictures, tmp_path / "out", load=load, block=BLOCK)
    assert (done.embedded, done.lost) == (PICTURES - 4, [])
    assert len(list(marks.iterdir())) == 1
    check_same(tmp_path / "out", pictures)
    assert not list((tmp_path / "out").glob("*.part"))
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such limit")
def test_a_full_disk_ends_the_job_and_the_next_goes_on(ray, pictures, tmp_path):
    out = tmp_path / "out"
    work(pictures, out, BLOCK)
    for part in sorted(out.glob("vectors-*"))[1:]:
        part.unlink()
    with pytest.raises(LookalikeError, match=r"cannot be written.*call extract again"):
        extract(pictures, out, load=full_disk, block=BLOCK)
    assert len(list(out.glob("vectors-*"))) == 1
    extract(pictures, out, load=FakeEmbedder, block=BLOCK)
    check_same(out, pictures)


def test_a_gpu_is_given_to_each_worker(ray, pictures, tmp_path):
    extract(pictures, tmp_path / "out", load=OnGpu, workers=1, num_gpus=1, block=16)
    assert read_extracted(tmp_path / "out").pipeline == "on GPU [0]"
    with pytest.raises(LookalikeError, match=r"expected 2 GPU.*Ray sees 1"):
        extract(pictures, tmp_path / "out", num_gpus=2)


def test_a_network_that_cannot_be_loaded_ends_the_job(ray, pictures, tmp_path):
    with pytest.raises(LookalikeError, match="cannot be loaded: no such weights"):
        extract(pictures, tmp_path / "out", load=broken)


KILLED = """
import os, sys
sys.path.insert(0, os.getcwd())
os.chdir("/")  # where a worker would not find our modules
from tests.scale.fake_networks import Slow
from utils.scale.extraction import extract
extract(*sys.argv[1:], load=Slow, block=8, workers=1)
"""


def test_a_killed_program_leaves_whole_blocks_and_no_process(pictures, tmp_path):
    pytest.importorskip("ray.data")
    out = tmp_path / "out"
    program = [sys.executable, "-c", KILLED, str(pictures), str(out)]
    with subprocess.Popen(program, cwd=ROOT, stderr=subprocess.PIPE) as job:
        end = time.monotonic() + 240
        while not list(out.glob("vectors-*")) and time.monotonic() < end:
            time.sleep(0.1)
        job.kill()
        assert job.stderr.read() == b""  # ends when the last process that holds it has
    done = len(read_extracted(out).ids)
    assert 0 < done < PICTURES - 4
    answers = work(pictures, out)
    assert sum(answer["embedded"] for answer in answers) == PICTURES - 4 - done
    check_same(out, pictures)


def test_real_photos_give_the_same_vectors(ray, photos, tmp_path):
    folder = tmp_path / "photos"
    for number, path in enumerate(scan_folder(photos).paths[:24]):
        (folder / path.parent.name).mkdir(parents=True, exist_ok=True)
        copy = Path(shutil.copy(path, folder / path.parent.name))
        if number % 8 == 5:
            copy.write_bytes(copy.read_bytes()[:2000])
    extract(folder, tmp_path / "out", block=8)
    found, ordinary = build_search(tmp_path / "out"), ImageSearch.from_folder(folder)
    assert list(found.items.values()) == list(ordinary.items.values())
    assert found.pipeline == ordinary.pipeline
    assert {path for path, _ in found.refused} == {path for path, _ in ordinary.refused}
    np.testing.assert_allclose(
        found.index.reconstruct(sorted(found.items)),
        ordinary.index.reconstruct(sorted(ordinary.items)),
        atol=1e-5,
    )


# --- What a worker does ----------------------------------------------------------


def test_new_changed_and_vanished_pictures(pictures, tmp_path):
    out = tmp_path / "out"
    work(pictures, out)
    ids = {item.path: id for id, item in zip(*read_extracted(out)[0:3:2], strict=True)}
    changed = paint(pictures / "label 0" / "0.png", 1000)
    new = paint(pictures / "a label" / "new.png", 1001)
    (pictures / "label 1" / "4.png").unlink()
    answers = work(pictures, out)
    assert sum(answer["embedded"] for answer in answers) == 2
    check_same(out, pictures)
    found = read_extracted(out)
    now = {item.path: id for id, item in zip(found.ids, found.items, strict=True)}
    assert now[changed] == ids[changed]
    assert now[new] == PICTURES  # after all that were given


def test_a_search_has_the_ids_of_the_files(pictures, tmp_path):
    work(pictures, tmp_path / "out")
    found = read_extracted(tmp_path / "out")
    for factory in ("Flat", "SQ8"):
        embedder = FakeEmbedder()
        search = build_search(tmp_path / "out", factory=factory, embedder=embedder)
        assert list(search.items) == found.ids.tolist()
        assert search.index.factory == factory
        query = found.items[5].path
        assert search.search(query, k=1)[0].path == query
    assert search.refused == found.refused
    assert search.root == pictures


def test_names_that_are_not_utf8(tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    try:
        paint(tmp_path / "pictures" / name, 0)
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    work(tmp_path / "pictures", tmp_path / "out")
    (item,) = read_extracted(tmp_path / "out").items
    assert item.path.name == name
    (part,) = (tmp_path / "out").glob("vectors-*")
    table = extraction._read(part)
    assert table.column_names == ["id", "path", "label", "sha256", "vector"]
    assert table["path"][0].as_py().endswith("caf\\xe9.png")


def test_equal_pictures_each_get_the_vector(tmp_path):
    for name in ("one", "two"):
        paint(tmp_path / "pictures" / f"{name}.png", 0)
    work(tmp_path / "pictures", tmp_path / "out")
    first, second = read_extracted(tmp_path / "out").vectors
    np.testing.assert_array_equal(first, second)


def test_a_picture_without_direction_is_refused(tmp_path):
    class Zero(FakeEmbedder):
        def embed(self, images, *, batch_size=32):
            return np.zeros((len(images), 16), np.float32)

    paint(tmp_path / "pictures" / "one.png", 0)
    (answer,) = work(tmp_path / "pictures", tmp_path / "out", load=Zero)
    assert (answer["embedded"], answer["trouble"]) == (0, "")
    with pytest.raises(LookalikeError, match="expected vectors"):
        read_extracted(tmp_path / "out")


def test_a_block_whose_process_dies_each_time_is_given_up(pictures, tmp_path):
    out = tmp_path / "out"
    work(pictures, out)
    (part,) = [
        p for p in out.glob("vectors-*") if 0 in extraction._read(p)["id"].to_pylist()
    ]
    name = part.stem.split("-")[2]
    shutil.rmtree(out)
    out.mkdir()
    sweep = extraction._sweep
    try:
        extraction._sweep = lambda out: None
        for number in range(extraction.TRIES):
            (out / f"{name}.{number}.part").touch()
        first, *others = work(pictures, out)
    finally:
        extraction._sweep = sweep
    assert first["trouble"] == "its process died 5 times"
    assert not first["fatal"]
    assert [answer["trouble"] for answer in others] == ["", "", ""]
    assert sum(answer["embedded"] for answer in work(pictures, out)) == BLOCK - 1


def test_an_error_in_a_block_leaves_the_others_alone(pictures, tmp_path):
    class Failing(FakeEmbedder):
        def embed(self, images, *, batch_size=32):
            if self.embedded == 0:
                self.embedded = 1
                raise RuntimeError("no memory left")
            return super().embed(images)

    first, *others = work(pictures, tmp_path / "out", load=Failing)
    assert first["trouble"] == "RuntimeError: no memory left"
    assert not any(answer["trouble"] for answer in others)


# --- Errors ----------------------------------------------------------------------


def test_another_network_is_refused(pictures, tmp_path):
    class Other(FakeEmbedder):
        pipeline = "other"

    work(pictures, tmp_path / "out")
    paint(pictures / "new.png", 99)
    *_, answer = work(pictures, tmp_path / "out", load=Other)
    assert answer["fatal"]
    assert "Received those of fake-4px" in answer["trouble"]


def test_a_damaged_file_is_set_aside_and_made_again(pictures, tmp_path):
    out = tmp_path / "out"
    work(pictures, out)
    part = sorted(out.glob("vectors-*"))[0]
    part.write_bytes(part.read_bytes()[:-9])
    with pytest.warns(UserWarning, match=r"expected a Parquet file.*damaged"):
        answers = work(pictures, out)
    assert sum(answer["embedded"] for answer in answers) == BLOCK - 1
    check_same(out, pictures)


def test_a_flipped_bit_in_a_vector_is_noticed(pictures, tmp_path):
    work(pictures, tmp_path / "out")
    part = sorted((tmp_path / "out").glob("vectors-*"))[0]
    content, found = bytearray(part.read_bytes()), read_extracted(tmp_path / "out")
    row = extraction._read(part)["vector"][0].as_py()
    at = content.index(np.array(row[:4], np.float32).tobytes())
    content[at] ^= 1
    part.write_bytes(content)
    with pytest.raises(LookalikeError, match=f"{part.name}.*Delete it"):
        read_extracted(tmp_path / "out")
    assert len(found.ids) == PICTURES - 4


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"workers": 0}, "workers must be a whole number of at least 1. Received: 0"),
        ({"block": 0}, "block must be a whole number"),
        ({"num_gpus": -1}, "num_gpus must be at least 0. Received: -1"),
        ({"num_gpus": float("nan")}, "num_gpus must be at least 0. Received: nan"),
    ],
)
def test_options_out_of_range(pictures, tmp_path, options, words):
    with pytest.raises(ValueError, match=words):
        extract(pictures, tmp_path / "out", **options)


def test_folders_without_pictures(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        extract(tmp_path / "none", tmp_path / "out")
    with pytest.raises(ValueError, match="found none that can be read"):
        extract(tmp_path, tmp_path / "out")
    with pytest.raises(LookalikeError, match="files.parquet: expected a Parquet file"):
        read_extracted(tmp_path / "nothing")


def test_a_missing_package_is_named(monkeypatch):
    def missing(name):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(ray_cluster.importlib, "import_module", missing)
    with pytest.raises(LookalikeError, match=r"pip install -r requirements-scale.txt"):
        ray_cluster.import_optional("ray", ray_cluster.INSTALL)


def test_the_program_says_what_it_did(pictures, tmp_path, monkeypatch, capsys):
    def job(folder, out, *, load, **options):
        assert options == {"workers": 3, "num_gpus": 0, "address": None, "block": 128}
        return extraction.Done(5, 2, scan_folder(pictures).refused, [], 1.5)

    monkeypatch.setattr(extraction, "extract", job)
    extraction.main([str(pictures), str(tmp_path / "out"), "--workers", "3"])
    first, second = capsys.readouterr().out.splitlines()
    assert first == "5 pictures embedded, 2 known before, 1 refused, 0 lost, 2 s"
    assert "text.jpg: not a JPEG" in second
