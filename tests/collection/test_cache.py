"""The cache, and everything that a disk can do to it."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import warnings
from contextlib import closing
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from utils.collection.cache import VectorCache, _wait_for_others
from utils.timing import time_call

ROOT = Path(__file__).resolve().parents[2]

# Fills a cache in batches of 8 and says so after each; `vector` is known to the tests.
FILL = """
import sys
import numpy as np
from utils.collection.cache import VectorCache
path, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with VectorCache(path) as cache:
    print("ready", flush=True)
    for start in range(first, last, 8):
        sha256s = [str(i) for i in range(start, start + 8)]
        rows = [np.full(64, i, np.float32) for i in range(start, start + 8)]
        cache.put("p", sha256s, np.stack(rows))
        print(start, flush=True)
"""


def start_filling(path: Path, first: int, last: int) -> subprocess.Popen:
    command = [sys.executable, "-W", "error", "-c", FILL, path, str(first), str(last)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def make_vectors(n: int, d: int = 64) -> tuple[list[str], np.ndarray]:
    rng = np.random.default_rng(seed=0)
    return [f"{i:064x}" for i in range(n)], rng.random((n, d), dtype=np.float32)


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "cache.sqlite"


def test_vectors_come_back_exactly_and_unknown_ones_do_not(path):
    sha256s, vectors = make_vectors(3)
    with VectorCache(path) as cache:
        cache.put("p", sha256s, vectors)
    with VectorCache(path) as cache:
        found = cache.get("p", [*sha256s, "unknown"])
    assert list(found) == sha256s
    np.testing.assert_array_equal(np.stack(list(found.values())), vectors)
    assert found[sha256s[0]].dtype == np.float32
    found[sha256s[0]][0] = 1  # the caller's own, writable


def test_pipelines_do_not_mix(path):
    with VectorCache(path) as cache:
        cache.put("resnet-96", ["a"], np.zeros((1, 4), np.float32))
        cache.put("resnet-128", ["a"], np.ones((1, 4), np.float32))
        assert cache.get("resnet-96", ["a"])["a"][0] == 0
        assert cache.get("resnet-128", ["a"])["a"][0] == 1
        assert cache.get("resnet", ["a"]) == {}


def test_a_known_sha256_gets_the_new_vector(path):
    with VectorCache(path) as cache:
        cache.put("p", ["a"], np.zeros((1, 4)))
        cache.put("p", ["a"], np.ones((1, 4)))
        np.testing.assert_array_equal(cache.get("p", ["a"])["a"], np.ones(4))


def test_nothing_is_no_trouble(path):
    with VectorCache(path) as cache:
        cache.put("p", [], np.empty((0, 4)))
        assert cache.get("p", []) == {}


@pytest.mark.parametrize("shape", [(2, 4), (4,), (1, 2, 2)])
def test_one_row_for_each_sha256_is_required(path, shape):
    with (
        VectorCache(path) as cache,
        pytest.raises(ValueError, match="one row for each"),
    ):
        cache.put("p", ["a"], np.zeros(shape))


def test_more_sha256s_than_one_query_may_hold(path):
    sha256s, vectors = make_vectors(2500, d=4)
    with VectorCache(path) as cache:
        cache.put("p", sha256s, vectors)
        assert len(cache.get("p", sha256s)) == 2500


def test_the_whole_gallery_is_read_in_a_moment(path):
    sha256s, vectors = make_vectors(1152, d=2048)
    with VectorCache(path) as cache:
        cache.put("p", sha256s, vectors)
        timing = time_call(lambda: cache.get("p", sha256s))
    assert timing.low < 0.2, timing


def test_the_environment_says_where_the_file_is(temporary_cache):
    with VectorCache() as cache:
        assert cache.path == temporary_cache
    assert temporary_cache.exists()


def test_without_the_environment_the_file_is_in_output(monkeypatch, tmp_path):
    monkeypatch.delenv("LOOKALIKE_CACHE")
    monkeypatch.setattr(
        "utils.collection.cache.DEFAULT_PATH", tmp_path / "output" / "c.sqlite"
    )
    with VectorCache() as cache:
        assert cache.path == tmp_path / "output" / "c.sqlite"
        assert cache.path.exists()


def test_a_closed_cache_finds_and_keeps_nothing(path):
    cache = VectorCache(path)
    cache.close()
    cache.close()
    cache.put("p", ["a"], np.zeros((1, 4)))
    assert cache.get("p", ["a"]) == {}


def test_no_pickle_is_stored(path):
    with VectorCache(path) as cache:
        cache.put("p", ["a"], np.zeros((1, 4), np.float32))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT vector FROM vectors").fetchone() == (
            b"\0" * 16,
        )


def test_threads_share_one_cache(path):
    sha256s, vectors = make_vectors(80)
    with VectorCache(path) as cache:

        def work(part: slice) -> None:
            for sha256, vector in zip(sha256s[part], vectors[part], strict=True):
                cache.put("p", [sha256], vector[None])
                np.testing.assert_array_equal(cache.get("p", [sha256])[sha256], vector)

        parts = [slice(start, start + 20) for start in range(0, 80, 20)]
        threads = [threading.Thread(target=work, args=[part]) for part in parts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(cache.get("p", sha256s)) == 80


# --- Kills and company -----------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL needs a POSIX system")
@pytest.mark.parametrize("seed", range(6))
def test_a_killed_process_loses_no_batch_that_it_had_finished(path, seed):
    child = start_filling(path, 0, 80_000)
    with child.stdout as lines:
        assert lines.readline() == "ready\n"
        for _ in range(random.Random(seed).randrange(1, 60)):
            last = int(lines.readline())
        child.send_signal(signal.SIGKILL)
        last = max([last, *(int(line) for line in lines)])
        child.wait()
    sha256s = [str(i) for i in range(80_000)]
    with warnings.catch_warnings(action="error"), VectorCache(path) as cache:
        found = cache.get("p", sha256s[: last + 16])
        cache.put("p", ["after"], np.ones((1, 64)))
        assert "after" in cache.get("p", ["after"])
    assert set(sha256s[: last + 8]) <= set(found)
    assert len(found) % 8 == 0  # whole batches only
    assert all((vector == int(sha256)).all() for sha256, vector in found.items())


def test_two_writers_that_start_together_lose_nothing(path):
    children = [start_filling(path, first, first + 160) for first in (0, 160, 80)]
    for child in children:
        child.communicate(timeout=60)
        assert child.returncode == 0
    with VectorCache(path) as cache:
        found = cache.get("p", [str(i) for i in range(320)])
    assert len(found) == 320
    assert all((vector == int(sha256)).all() for sha256, vector in found.items())


def test_a_file_that_another_process_is_setting_up_is_waited_for(monkeypatch):
    # About one start in 200 meets this, when five processes make a file together.
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    busy = sqlite3.OperationalError("database is locked")
    busy.sqlite_errorcode = sqlite3.SQLITE_BUSY
    action = Mock(side_effect=[busy, busy, None])
    _wait_for_others(action)
    assert action.call_count == 3


# --- Damage ----------------------------------------------------------------------


def flip_bit(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def test_a_flipped_bit_in_a_vector_is_left_out_said_once_and_fixed(path):
    sha256s, vectors = make_vectors(6)
    with VectorCache(path) as cache:
        cache.put("p", sha256s, vectors)
    for row in (1, 4):
        flip_bit(path, path.read_bytes().index(vectors[row].tobytes()) + 17)
    with VectorCache(path) as cache:
        with pytest.warns(RuntimeWarning, match="damaged vectors") as said:
            found = cache.get("p", sha256s)
            cache.get("p", sha256s)
        assert len(said) == 1
        assert set(found) == {sha256s[i] for i in (0, 2, 3, 5)}
        cache.put("p", [sha256s[1], sha256s[4]], vectors[[1, 4]])
        np.testing.assert_array_equal(cache.get("p", sha256s)[sha256s[4]], vectors[4])


def test_a_row_that_was_moved_to_another_sha256_is_not_believed(path):
    sha256s, vectors = make_vectors(2)
    with VectorCache(path) as cache:
        cache.put("p", sha256s, vectors)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM vectors WHERE key = ?", [sha256s[0]])
        connection.execute("UPDATE vectors SET key = ?", [sha256s[0]])
    with VectorCache(path) as cache, pytest.warns(RuntimeWarning, match="damaged"):
        assert cache.get("p", sha256s) == {}


@pytest.mark.parametrize("value", [7, "text"])
def test_a_row_of_another_type_is_not_believed(path, value):
    with VectorCache(path) as cache:
        cache.put("p", ["a"], np.zeros((1, 4)))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE vectors SET vector = ?", [value])
    with VectorCache(path) as cache, pytest.warns(RuntimeWarning, match="damaged"):
        assert cache.get("p", ["a"]) == {}


def test_a_file_that_is_no_database_is_kept_aside_and_a_new_one_begun(path):
    path.write_bytes(b"not a database " * 500)
    with pytest.warns(RuntimeWarning, match="was damaged. It is kept as") as said:
        cache = VectorCache(path)
    assert len(said) == 1
    with cache:
        cache.put("p", ["a"], np.zeros((1, 4)))
        assert "a" in cache.get("p", ["a"])
    kept = path.with_name("cache.sqlite.damaged-1")
    assert kept.read_bytes() == b"not a database " * 500


def test_a_second_damaged_file_does_not_replace_the_first(path):
    for content in (b"first " * 500, b"second " * 500):
        path.write_bytes(content)
        with pytest.warns(RuntimeWarning, match="was damaged"):
            VectorCache(path).close()
    assert path.with_name("cache.sqlite.damaged-1").read_bytes()[:5] == b"first"
    assert path.with_name("cache.sqlite.damaged-2").read_bytes()[:6] == b"second"


@pytest.mark.parametrize("first", ["get", "put"])
def test_damage_met_while_working_is_fixed_and_the_batch_kept(path, first):
    sha256s, vectors = make_vectors(400)
    with VectorCache(path) as cache:
        cache.put("p", sha256s, vectors)
    data = bytearray(path.read_bytes())
    data[4096:] = random.Random(0).randbytes(len(data) - 4096)  # all but the schema
    path.write_bytes(data)
    with pytest.warns(RuntimeWarning, match="was damaged"), VectorCache(path) as cache:
        if first == "get":
            assert cache.get("p", sha256s) == {}
        cache.put("p", sha256s, vectors)
        assert len(cache.get("p", sha256s)) == 400


@pytest.mark.filterwarnings("ignore:the vector cache")
def test_wherever_the_file_is_damaged_no_wrong_vector_comes_out(tmp_path):
    sha256s, vectors = make_vectors(30)
    with VectorCache(tmp_path / "good") as cache:
        cache.put("p", sha256s, vectors)
    good = (tmp_path / "good").read_bytes()
    rng = random.Random(0)
    header = range(100)
    spots = [*header, *(rng.randrange(len(good)) for _ in range(60))]
    for spot in spots:
        data = bytearray(good)
        data[spot] ^= 1 << rng.randrange(8)
        check_no_wrong_vector(
            tmp_path / f"flip-{len(os.listdir(tmp_path))}", bytes(data)
        )
    for length in range(0, len(good), len(good) // 20):
        check_no_wrong_vector(tmp_path / f"cut-{length}", good[:length])


def check_no_wrong_vector(path: Path, data: bytes) -> None:
    sha256s, vectors = make_vectors(30)
    path.write_bytes(data)
    with VectorCache(path) as cache:
        for _ in range(2):  # as found, and after everything was put again
            for sha256, vector in cache.get("p", sha256s).items():
                np.testing.assert_array_equal(vector, vectors[sha256s.index(sha256)])
            cache.put("p", sha256s, vectors)


# --- Disks that can't be used ----------------------------------------------------


def check_works_on_without(path: str | Path) -> None:
    with pytest.warns(RuntimeWarning, match="The work goes on") as said:
        cache = VectorCache(path)
        cache.put("p", ["a"], np.zeros((1, 4)))
        assert cache.get("p", ["a"]) == {}
        cache.close()
    assert len(said) == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("device", ["/dev/full", "/dev/zero"])
def test_a_device_is_not_opened_or_renamed(path, device):
    path.symlink_to(device)  # if this fails, only the link is renamed
    check_works_on_without(path)
    assert path.is_symlink()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_waited_for(path):
    os.mkfifo(path)
    check_works_on_without(path)


def test_a_folder_in_the_place_of_the_file(path):
    path.mkdir()
    check_works_on_without(path)


def test_a_folder_that_can_not_be_made(tmp_path):
    (tmp_path / "file").touch()
    check_works_on_without(tmp_path / "file" / "below" / "cache.sqlite")


def test_a_home_that_nobody_has():
    check_works_on_without("~nosuchuser/cache.sqlite")


def test_a_cache_that_another_thread_closes_finds_nothing(path):
    class Closing(VectorCache):
        def _try(self, action):  # overtaken just before the lock is taken
            self._connection = None
            super()._try(action)

    cache = Closing(path)
    cache.put("p", ["a"], np.zeros((1, 4)))
    assert cache.get("p", ["a"]) == {}


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0,
    reason="root may write to a read-only folder",
)
def test_a_read_only_folder(tmp_path):
    tmp_path.chmod(0o500)
    check_works_on_without(tmp_path / "cache.sqlite")
    tmp_path.chmod(0o700)


def test_a_database_that_may_only_be_read_is_still_read(path):
    sha256s, vectors = make_vectors(3)
    with VectorCache(path) as cache:
        cache.put("p", sha256s[:2], vectors[:2])
        cache._connection.execute("PRAGMA query_only = 1")
        with pytest.warns(RuntimeWarning, match="readonly") as said:
            cache.put("p", sha256s[2:], vectors[2:])
            cache.put("p", sha256s[2:], vectors[2:])
        assert len(said) == 1
        assert set(cache.get("p", sha256s)) == set(sha256s[:2])


LIMITED = """
import resource, sys, warnings
import numpy as np
from utils.collection.cache import VectorCache
warnings.simplefilter("always")
cache = VectorCache(sys.argv[1])
cache.put("p", ["small"], np.ones((1, 64)))
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
for part in range(4):
    sha256s = [f"{part}-{i}" for i in range(50)]
    cache.put("p", sha256s, np.ones((50, 2048)))
print(len(cache.get("p", ["small"])), len(cache.get("p", sha256s)))
"""


def test_a_disk_that_fills_up_keeps_what_was_kept_and_the_work_goes_on(path):
    pytest.importorskip("resource")
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, path],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    assert done.stdout == "1 0\n"
    assert done.stderr.count("RuntimeWarning") == 1
    assert "Free some space or set LOOKALIKE_CACHE" in done.stderr
    with VectorCache(path) as cache:  # the limit is gone
        assert len(cache.get("p", ["small"])) == 1
        cache.put("p", ["more"], np.ones((1, 64)))
        assert len(cache.get("p", ["more"])) == 1
