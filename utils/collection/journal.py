"""What has changed since a save, in a file beside it, so that a kill loses nothing.

A journal is a row of records, each of

    8 bytes    the length of the rest
    32 bytes   a sha256 over that of the record before it, and the rest
    8 bytes    the beginning of a sha256 over these 40
    the rest   a line of JSON, and the vectors of its new ids as float32

It stands in the folder of one generation, and its first sha256 goes over that one's
name: so no record can be left out, exchanged, repeated or moved to another save, and a
save, which begins a new generation, leaves all of it behind in the same step.

What a kill or a power cut left half written at the end was never acknowledged, and is
passed over; a file that was cut later looks the same.  Everything else is refused.

SQLite would do less here.  What it finds half written it undoes by the help of a second
file, and then deletes whatever path that one names: not to be tried on a folder from
elsewhere.  Its write-ahead log ends, without a word, at the first damaged byte.
"""

import hashlib
import json
import os
import struct
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from utils.collection.bundles import JOURNAL, read_journal_file, sync_folder
from utils.collection.catalogue import Catalogue, Item, parse_row, written_row
from utils.collection.difference import Difference, together
from utils.collection.vector_index import VectorIndex, next_id_of
from utils.errors import IndexFileError, LookalikeError

HEAD = struct.Struct("<Q32s8s")
HOW_TO_GO_ON = "To go on from the save, without what has changed since, delete it."


class Records(NamedTuple):
    """The whole records of a journal."""

    payloads: list[bytes]
    end: int  # where the last one ends
    sha256: bytes  # of the last one


class Journal:
    """A journal that is being written; the folder is claimed by whoever writes it."""

    def __init__(self, folder: Path, generation: str) -> None:
        self.path = folder / generation / JOURNAL
        records = read_records(read_journal_file(folder, generation), self.path)
        # Replaced whole, by which a record counts: where it ends, its sha256, how many.
        self._last = records.end, records.sha256, len(records.payloads)
        self._file = open(self.path, "ab", buffering=0, opener=_open_plain)
        self._file.truncate(records.end)  # what was never acknowledged
        os.fsync(self._file.fileno())
        sync_folder(self.path.parent)

    @property
    def count(self) -> int:
        """How many records there are."""
        return self._last[2]

    def append(self, payload: bytes) -> None:
        """Write a record, and wait until it is on the disk; all of it or nothing.

        OSError if the disk is full or fails.
        """
        if self._file.closed:
            raise LookalikeError(
                f"{self.path.parents[1]}: expected a collection that is open for "
                "durable changes. It has been closed. Open it again: "
                "ImageSearch.open(folder, durable=True)."
            )
        end, sha256, count = self._last
        record = framed(payload, sha256)
        try:
            self._file.truncate(end)  # if even the cleaning up below has failed
            left = memoryview(record)
            while left:
                left = left[self._file.write(left) :]
            os.fsync(self._file.fileno())
            self._last = end + len(record), record[8:40], count + 1
        except BaseException:
            if self.count == count:
                self._file.truncate(end)
            raise

    @property
    def closed(self) -> bool:
        """Whether nothing more can be written."""
        return self._file.closed

    def close(self) -> None:
        """Write no more."""
        self._file.close()


def _open_plain(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o644)


def framed(payload: bytes, before: bytes) -> bytes:
    """Return a record; `before` is the sha256 of the one before it."""
    sha256 = hashlib.sha256(before + payload).digest()
    start = struct.pack("<Q32s", len(payload), sha256)
    return start + hashlib.sha256(start).digest()[:8] + payload


def first_sha256(path: Path) -> bytes:
    """Return what stands for the record before the first one of a journal."""
    return hashlib.sha256(path.parent.name.encode()).digest()


def read_records(content: bytes, path: Path) -> Records:
    """Take a journal apart; IndexFileError if a byte of a whole record is damaged."""
    payloads: list[bytes] = []
    end, sha256 = 0, first_sha256(path)
    while len(content) - end >= HEAD.size and any(content[end:]):
        length, found, check = HEAD.unpack_from(content, end)
        start = end + HEAD.size
        head = hashlib.sha256(content[end : start - 8]).digest()
        payload = content[start : start + length]
        whole = hashlib.sha256(sha256 + payload).digest()
        if head[:8] != check or (len(payload) == length and whole != found):
            raise IndexFileError(
                f"{path}: expected the changes since the save beside it. Received "
                f"{len(payloads)} of them, and from byte {end} on something damaged or "
                f"of another save. {HOW_TO_GO_ON} To keep those {len(payloads)}, cut "
                f"it off there: os.truncate(path, {end})."
            )
        if len(payload) < length:  # killed while it was written
            break
        payloads.append(payload)
        end, sha256 = start + length, found
    return Records(payloads, end, sha256)


def replayed(
    content: bytes, path: Path, index: VectorIndex, catalogue: Catalogue
) -> tuple[VectorIndex, Catalogue, int]:
    """Return index and catalogue as the journal leaves them, and its records' number.

    IndexFileError if it is damaged, or none that `encoded` can have written.
    """
    payloads = read_records(content, path).payloads
    if not payloads:
        return index, catalogue, 0
    try:
        differences = [_decoded(p, catalogue.root, index.d) for p in payloads]
        before = next_id_of(index)
        all_of_it, next_id = together(differences, catalogue, before, index.d)
        index, catalogue = all_of_it.applied(index, catalogue, next_id=next_id)
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise IndexFileError(
            f"{path}: expected changes of the collection beside it. Received others "
            f"({type(error).__name__}: {str(error)[:200]}). {HOW_TO_GO_ON}"
        ) from error
    return index, catalogue, len(payloads)


def encoded(difference: Difference, root: Path) -> bytes:
    """Return a difference as a record's content."""
    table = {
        "gone": difference.gone,
        "changed": [written_row(*row, root) for row in difference.changed.items()],
        "new": [written_row(*row, root) for row in difference.new.items()],
    }
    vectors = np.ascontiguousarray(difference.vectors, dtype="<f4")
    return json.dumps(table).encode("ascii") + b"\n" + vectors.tobytes()


def _decoded(payload: bytes, root: Path, d: int) -> Difference:
    line, _, data = payload.partition(b"\n")
    table = json.loads(line)
    gone = table.pop("gone")
    if not isinstance(gone, list) or any(type(id) is not int for id in gone):
        raise ValueError("ids of another kind")
    changed, new = _items(table.pop("changed"), root), _items(table.pop("new"), root)
    if table or len(data) != 4 * d * len(new):
        raise ValueError(f"{len(data)} bytes of vectors for {len(new)} pictures")
    vectors = np.frombuffer(data, "<f4").astype(np.float32).reshape(len(new), d)
    return Difference(gone, changed, new, vectors)


def _items(rows: Any, root: Path) -> dict[int, Item]:
    if not isinstance(rows, list):
        raise ValueError("a value of another kind")
    items = dict(parse_row(row, root, anywhere=True) for row in rows)
    if list(items) != sorted(items) or len(items) != len(rows):
        raise ValueError("ids out of order")
    return items
