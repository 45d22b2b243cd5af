"""Who may write, and what may be removed while somebody reads."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

from utils.collection import locks
from utils.collection.bundles import read_bundle, write_bundle
from utils.collection.index_store import mapped_file
from utils.errors import IndexFileError

ROOT = Path(__file__).parents[2]
posix = pytest.mark.skipif(os.name == "nt", reason="no open file can be removed there")
CLAIM = """
import sys, time
from pathlib import Path
from utils.collection.locks import claim
held = claim(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


def generations(folder: Path) -> int:
    return len(list(folder.glob("generation-*")))


def test_a_claim_is_one_persons_until_it_is_released(tmp_path):
    locks.check_unclaimed(tmp_path)
    assert list(tmp_path.iterdir()) == []
    held = locks.claim(tmp_path)
    for claim in (locks.claim, locks.check_unclaimed):
        with pytest.raises(locks.SaveConflictError, match="open for durable changes"):
            claim(tmp_path)
    held.release()
    locks.check_unclaimed(tmp_path)
    kept = locks.claim(tmp_path)
    del kept
    gc.collect()
    locks.check_unclaimed(tmp_path)


@posix
def test_a_claim_ends_with_its_process(tmp_path):
    command = [sys.executable, "-c", CLAIM, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        with pytest.raises(locks.SaveConflictError):
            locks.check_unclaimed(tmp_path)
        child.kill()
    locks.check_unclaimed(tmp_path)


@posix
@pytest.mark.parametrize("way", ["mapped", "being read"])
def test_a_save_that_somebody_reads_is_removed_only_afterwards(tmp_path, way):
    write_bundle(tmp_path, {"a": b"old"}, {})
    path = read_bundle(tmp_path).folder / "a"
    if way == "mapped":
        held = mapped_file(path)
    else:
        held = open(path.with_name("MANIFEST.json"), "rb")  # noqa: SIM115
        locks.share(held)
    for _ in range(2):
        write_bundle(tmp_path, {"a": b"new"}, {})
        assert path.read_bytes() == b"old"
        assert generations(tmp_path) == 2
    held.close()
    write_bundle(tmp_path, {"a": b"last"}, {})
    assert generations(tmp_path) == 1


@posix
def test_a_reader_holds_all_of_a_save_until_it_has_read_it(tmp_path):
    write_bundle(tmp_path, {"a": b"old", "b": b"old"}, {})

    def overtaken(path):
        write_bundle(tmp_path, {"a": b"new", "b": b"new"}, {})
        assert generations(tmp_path) == 2
        return path.read_bytes()

    read = read_bundle(tmp_path, openers={"a": overtaken}).files
    assert read == {"a": b"old", "b": b"old"}


@posix
def test_a_reader_that_comes_while_a_save_is_removed_takes_the_next(tmp_path):
    fcntl = pytest.importorskip("fcntl")
    write_bundle(tmp_path, {"a": b"old"}, {})
    path = read_bundle(tmp_path).folder / "MANIFEST.json"
    with open(path, "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(IndexFileError, match="MANIFEST"):
            read_bundle(tmp_path)
        write_bundle(tmp_path, {"a": b"new"}, {})
        assert read_bundle(tmp_path).files == {"a": b"new"}
