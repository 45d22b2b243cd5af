"""Ids that two writers give before they know of each other differ."""

import os
import threading

import pytest

from utils.collection.home import LAST_TO_GIVE, forget_ids, reserve_ids
from utils.errors import IndexFileError


def test_ids_are_reserved_once_each_and_without_gaps(tmp_path):
    assert reserve_ids(tmp_path, 12, 3) == 12
    assert reserve_ids(tmp_path, 12, 2) == 15
    assert reserve_ids(tmp_path, 40, 1) == 40
    forget_ids(tmp_path)
    forget_ids(tmp_path)
    assert reserve_ids(tmp_path, 12, 3) == 12


def test_many_at_once_get_different_ids(tmp_path):
    given = []

    def take():
        given.extend(reserve_ids(tmp_path, 0, 1) for _ in range(20))

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(given) == list(range(80))


@pytest.mark.skipif(os.name == "nt", reason="locks of POSIX")
def test_where_none_can_be_reserved_there_is_none(tmp_path, monkeypatch):
    assert reserve_ids(tmp_path / "gone", 12, 3) is None

    def refuse(*_):
        raise OSError(38, "no locks on this disk")

    monkeypatch.setattr("fcntl.flock", refuse)
    assert reserve_ids(tmp_path, 12, 3) is None
    assert not (tmp_path / ".ids").exists()


@pytest.mark.parametrize(
    "line", [b"", b"x\n", b"-1\n", b"12", b"1 2\n", b"%d\n" % (LAST_TO_GIVE + 1)]
)
def test_a_file_of_ids_that_is_none_is_refused_by_name(tmp_path, line):
    (tmp_path / ".ids").write_bytes(line)
    with pytest.raises(IndexFileError, match=r"\.ids: expected one line .* Delete it"):
        reserve_ids(tmp_path, 0, 1)
    (tmp_path / ".ids").write_bytes(b"9" * 10_000)
    with pytest.raises(IndexFileError, match=r"\.ids: expected size"):
        reserve_ids(tmp_path, 0, 1)
