"""A journal is read whole or refused, whoever wrote it and whatever happened to it."""

import json
import os
import random

import numpy as np
import pytest
from painted import paint

from utils.collection.bundles import read_bundle
from utils.collection.catalogue import Catalogue, Item
from utils.collection.difference import Difference
from utils.collection.journal import (
    Journal,
    encoded,
    first_sha256,
    framed,
    read_records,
    replayed,
)
from utils.collection.search import ImageSearch
from utils.collection.vector_index import VectorIndex
from utils.errors import IndexFileError, LookalikeError

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def path(tmp_path):
    generation = tmp_path / f"generation-{'1' * 32}"
    generation.mkdir()
    line = f"lookalike-bundle 3 {generation.name} {'0' * 64}\n"
    (tmp_path / "CURRENT").write_text(line)
    return generation / "JOURNAL"


@pytest.fixture
def written(path):
    """A journal of three records, and where each ends."""
    journal, ends = Journal(path.parents[1], path.parent.name), [0]
    for payload in (b"one", b"\0" * 50, b"three"):
        journal.append(payload)
        ends.append(path.stat().st_size)
    journal.close()
    return path, ends


def test_what_is_appended_is_read(written):
    path, ends = written
    records = read_records(path.read_bytes(), path)
    assert records.payloads == [b"one", b"\0" * 50, b"three"]
    assert records.end == ends[-1]
    again = Journal(path.parents[1], path.parent.name)
    again.append(b"four")
    again.close()
    assert read_records(path.read_bytes(), path).payloads[3:] == [b"four"]
    with pytest.raises(LookalikeError, match="has been closed"):
        again.append(b"five")


def test_what_was_half_written_is_passed_over_and_then_overwritten(written):
    path, ends = written
    content = path.read_bytes()
    for length in range(len(content) + 1):
        whole = sum(end <= length for end in ends) - 1
        assert len(read_records(content[:length], path).payloads) == whole
    assert len(read_records(content + b"\0" * 99, path).payloads) == 3  # a power cut
    path.write_bytes(content[:-2])
    journal = Journal(path.parents[1], path.parent.name)
    journal.append(b"new")
    journal.close()
    assert read_records(path.read_bytes(), path).payloads[2:] == [b"new"]


def test_every_flipped_bit_is_refused_and_the_file_named(written):
    path, ends = written
    content = path.read_bytes()
    for place in range(8 * len(content)):
        spoiled = bytearray(content)
        spoiled[place // 8] ^= 1 << place % 8
        with pytest.raises(IndexFileError, match="JOURNAL: expected .*delete it"):
            read_records(bytes(spoiled), path)


def test_records_cannot_be_left_out_repeated_exchanged_or_moved(written, path):
    _, (_, one, two, three) = written
    content = path.read_bytes()
    first, second = content[:one], content[one:two]
    for spoiled in (
        content[one:],
        first + content[two:],
        first + first,
        second + first,
        content + second,
    ):
        with pytest.raises(IndexFileError, match="damaged or of another save"):
            read_records(spoiled, path)
    elsewhere = path.parents[1] / f"generation-{'2' * 32}" / "JOURNAL"
    with pytest.raises(IndexFileError, match="Received 0 of them, and from byte 0"):
        read_records(content, elsewhere)


def test_the_advice_for_a_damaged_end_keeps_what_is_before_it(written):
    path, ends = written
    spoiled = bytearray(path.read_bytes())
    spoiled[-1] ^= 1
    path.write_bytes(spoiled)
    with pytest.raises(IndexFileError, match=rf"os.truncate\(path, {ends[2]}\)"):
        Journal(path.parents[1], path.parent.name)
    os.truncate(path, ends[2])
    assert len(read_records(path.read_bytes(), path).payloads) == 2


@pytest.mark.skipif(os.name == "nt", reason="links and pipes need rights there")
def test_a_link_or_a_pipe_is_no_journal(living, tmp_path, embedder):
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    living.save(tmp_path / "saved")
    path = read_bundle(tmp_path / "saved").folder / "JOURNAL"
    for make in (lambda: path.symlink_to(victim), lambda: os.mkfifo(path), path.mkdir):
        make()
        for open_ in (
            ImageSearch.load,
            lambda f: ImageSearch.open(f, durable=True),
            living.save,
        ):
            with pytest.raises(IndexFileError, match="JOURNAL: expected a plain file"):
                open_(tmp_path / "saved")
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    assert victim.read_bytes() == b"precious"


def test_a_disk_that_fails_leaves_the_journal_as_it_was(path, monkeypatch):
    journal = Journal(path.parents[1], path.parent.name)
    journal.append(b"one")

    def fail(*_):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("utils.collection.journal.os.fsync", fail)
        with pytest.raises(OSError, match="Input/output"):
            journal.append(b"two")
    journal.close()
    assert read_records(path.read_bytes(), path).payloads == [b"one"]


def test_an_interrupted_record_is_written_or_not_and_the_next_follows_it(
    path, monkeypatch
):
    journal, fsync = Journal(path.parents[1], path.parent.name), os.fsync
    journal.append(b"one")

    def interrupt(descriptor):
        fsync(descriptor)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("utils.collection.journal.os.fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            journal.append(b"two")
    assert read_records(path.read_bytes(), path).payloads == [b"one"]
    path.write_bytes(path.read_bytes() + b"half")  # interrupted once more
    journal.append(b"three")
    journal.close()
    assert read_records(path.read_bytes(), path).payloads == [b"one", b"three"]


# ------------------------------------------------------------------------- contents
def unit(*numbers: int) -> np.ndarray:
    return np.eye(8, dtype="float32")[list(numbers)]


@pytest.fixture
def collection(tmp_path):
    items = {i: Item(tmp_path / f"{i}.png", "old", "0" * 64) for i in range(4)}
    return VectorIndex(unit(0, 1, 2, 3)), Catalogue(items, tmp_path)


def replay(path, collection, *payloads: bytes):
    content, sha256 = b"", first_sha256(path)
    for payload in payloads:
        record = framed(payload, sha256)
        content, sha256 = content + record, record[8:40]
    return replayed(content, path, *collection)


def change(collection, *, gone=(), changed=(), new=(), vectors=None) -> bytes:
    """A record as `encoded` writes it, or not quite."""
    table = {"gone": list(gone), "changed": list(changed), "new": list(new)}
    vectors = unit(*range(len(new))) if vectors is None else vectors
    return json.dumps(table).encode() + b"\n" + np.asarray(vectors).tobytes()


def row(id, path="new.png", label="x", sha256="1" * 64):
    return [id, path, label, sha256]


def test_changes_come_back_in_one_step(collection, path, tmp_path):
    new = {7: Item(tmp_path / "a" / "7.png", "n", "7" * 64)}
    old = Item(tmp_path / "1.png", "other", "0" * 64)
    far = {9: Item(tmp_path.parent / "far.png", "", "9" * 64)}
    none = np.empty((0, 8), dtype="float32")
    payloads = [
        encoded(Difference([0], {1: old}, new, unit(5)), tmp_path),
        encoded(Difference([], {}, far, unit(6)), tmp_path),
        encoded(Difference([7], {}, {}, none), tmp_path),
    ]
    index, catalogue, count = replay(path, collection, *payloads)
    assert count == 3
    assert list(catalogue.items) == index.ids.tolist() == [1, 2, 3, 9]
    assert (catalogue.items[1], catalogue.items[9]) == (old, far[9])
    assert index.reconstruct([9]).tolist() == unit(6).tolist()
    assert index.add(unit(7)).tolist() == [10]


NAN, HUGE = np.full((1, 8), np.nan, "float32"), np.full((1, 8), 1e30, "float32")
WRONG = {
    "an unknown id": dict(gone=[4]),
    "an id twice": dict(gone=[1, 1]),
    "an id of another kind": dict(gone=[1.0]),
    "truth as an id": dict(gone=[True]),
    "ids that are no list": dict(gone={"0": 1}),
    "a label of nobody": dict(changed=[row(4)]),
    "a known id": dict(new=[row(3)]),
    "a negative id": dict(new=[row(-1)]),
    "an id out of bounds": dict(new=[row(2**62 + 1)]),
    "an id no int64 holds": dict(new=[row(2**70)]),
    "ids out of order": dict(new=[row(6), row(5, "b.png")]),
    "a path that climbs": dict(new=[row(5, "../x.png")]),
    "a path that climbs from the top": dict(new=[row(5, "/etc/../x.png")]),
    "a path with a null": dict(new=[row(5, "/x\0.png")]),
    "a path that is none": dict(new=[row(5, None)]),
    "a label that is none": dict(new=[row(5, label=3)]),
    "a row too short": dict(new=[[5, "x.png"]]),
    "too few vectors": dict(new=[row(5)], vectors=unit()),
    "too many vectors": dict(vectors=unit(1)),
    "half a vector": dict(new=[row(5)], vectors=unit(1)[:, :5]),
    "NaN": dict(new=[row(5)], vectors=NAN),
    "infinity": dict(new=[row(5)], vectors=NAN + np.inf),
    "a huge number": dict(new=[row(5)], vectors=HUGE),
    "a zero vector": dict(new=[row(5)], vectors=0 * unit(1)),
}


@pytest.mark.parametrize("name", WRONG)
def test_changes_that_nobody_can_have_made_are_refused(collection, path, name):
    before = collection[0].ids.tolist()
    payload = change(collection, **WRONG[name])
    with pytest.raises(IndexFileError, match=r"JOURNAL: expected changes.*delete it"):
        replay(path, collection, payload)
    assert collection[0].ids.tolist() == before


@pytest.mark.parametrize(
    "payload",
    [b"", b"\n", b"[]\n", b"3\n", b"[" * 100_000, b"{}\n", b'{"gone": []}\n', b"\x80"],
    ids=lambda payload: payload[:8].decode("latin-1"),
)
def test_records_of_another_kind_are_refused(collection, path, payload):
    with pytest.raises(IndexFileError, match="JOURNAL: expected changes"):
        replay(path, collection, payload)
    good = change(collection, gone=[0]).replace(b'"new"', b'"more": 1, "new"')
    with pytest.raises(IndexFileError, match="JOURNAL: expected changes"):
        replay(path, collection, good)


def test_a_spoiled_journal_of_a_real_search_is_refused(living, folder, tmp_path):
    living.save(tmp_path / "saved")
    with ImageSearch.open(
        tmp_path / "saved", durable=True, embedder=living.embedder
    ) as search:
        search.add([paint(folder / "a" / f"new{i}.png", 50 + i) for i in range(5)])
        search.remove([3])
    path = read_bundle(tmp_path / "saved").folder / "JOURNAL"
    good, rng = path.read_bytes(), random.Random(0)
    for _ in range(100):
        spoiled = bytearray(good)
        spoiled[rng.randrange(len(good))] ^= 1 << rng.randrange(8)
        path.write_bytes(spoiled)
        with pytest.raises(IndexFileError, match="JOURNAL"):
            ImageSearch.load(tmp_path / "saved")
