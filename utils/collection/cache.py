"""Vectors already computed, kept by content and pipeline in one SQLite file.

A picture's vector is known by the sha256 of its bytes and by a *pipeline*: everything
else that decides it (weights, input size …).

Trouble with the disk never stops the work: a warning says it once, and the vectors that
can't be read or kept are computed again.  A killed process loses at most the batch that
it was writing.  Several processes and threads may share a file.  A file too damaged to
read is renamed, never deleted, and a new one is begun.
"""

import hashlib
import json
import os
import sqlite3
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Self

import numpy as np

from utils.errors import printable

DEFAULT_PATH = Path(__file__).resolve().parents[2] / "output" / "cache.sqlite"
SECONDS_TO_WAIT = 10.0  # for another process that is writing

# SQLite's primary result codes for a file that makes no sense to it.
DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)

# `key` is the picture's sha256; its name is that of the caches that people have.
TABLE = """
CREATE TABLE IF NOT EXISTS vectors (
    pipeline TEXT NOT NULL, key TEXT NOT NULL,
    checksum BLOB NOT NULL, vector BLOB NOT NULL,
    PRIMARY KEY (pipeline, key)
)"""


class VectorCache:
    """Remember vectors by what is in the picture and how it was turned into numbers.

    The file is `path`, or ``LOOKALIKE_CACHE`` in the environment, or
    ``output/cache.sqlite`` in the repository; its folder is made if need be.

    Examples
    --------
    >>> with VectorCache() as cache:  # doctest: +SKIP
    ...     cache.put("resnet50-bundled-128", ["3f8a…"], vectors)
    ...     found = cache.get("resnet50-bundled-128", ["3f8a…", "77c0…"])
    """

    def __init__(self, path: str | os.PathLike | None = None) -> None:
        chosen = path or os.environ.get("LOOKALIKE_CACHE") or DEFAULT_PATH
        self.path = Path(chosen)
        self._lock = threading.RLock()
        self._said: set[str] = set()
        self._writable = True
        self._connection: sqlite3.Connection | None = None
        self._try(self._open)

    def get(self, pipeline: str, sha256s: Sequence[str]) -> dict[str, np.ndarray]:
        """Return the vectors that are known, each a float32 array of shape (d,).

        A damaged row is unknown, with a warning.
        """
        found: dict[str, np.ndarray] = {}

        def read() -> None:
            if self._connection is None:
                return
            rows = self._connection.execute(
                "SELECT key, checksum, vector FROM vectors "
                "WHERE pipeline = ? AND key IN (SELECT value FROM json_each(?))",
                [pipeline, json.dumps(list(sha256s))],
            )
            for sha256, checksum, data in rows:
                # A flipped bit can change a column's type too.
                whole = isinstance(data, bytes)
                if whole and checksum == _checksum(pipeline, sha256, data):
                    found[sha256] = np.frombuffer(data, "<f4").astype(np.float32)
                else:
                    self._warn("holds damaged vectors, which are computed again")

        self._try(read)
        return found

    def put(self, pipeline: str, sha256s: Sequence[str], vectors: np.ndarray) -> None:
        """Keep vectors, all of this call or none; a known sha256 gets the new vector.

        ValueError if `vectors` isn't (n, d), with one row for each sha256.
        """
        vectors = np.ascontiguousarray(vectors, dtype="<f4")
        if vectors.ndim != 2 or len(vectors) != len(sha256s):
            raise ValueError(
                f"vectors must have shape ({len(sha256s)}, d), one row for each "
                f"sha256. Received: {vectors.shape}."
            )
        rows = []
        for sha256, vector in zip(sha256s, vectors, strict=True):
            data = vector.tobytes()
            rows.append((pipeline, sha256, _checksum(pipeline, sha256, data), data))

        def write() -> None:
            if self._connection is not None and self._writable:
                with self._connection:  # commits, or rolls all of it back
                    self._connection.executemany(
                        "INSERT OR REPLACE INTO vectors VALUES (?, ?, ?, ?)", rows
                    )

        self._try(write)

    def close(self) -> None:
        """Close the file; afterwards nothing is found and nothing kept."""
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                with suppress(sqlite3.DatabaseError):  # all is committed already
                    connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # --- The file ----------------------------------------------------------------

    def _open(self) -> None:
        if self._connection is not None:  # a new one has just been begun
            return
        try:
            self.path = self.path.expanduser()
        except RuntimeError as error:  # a ~user that nobody knows
            raise OSError(str(error)) from error
        if self.path.exists() and not self.path.is_file():
            raise OSError("not a file")  # nor may a device ever be renamed aside
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(
            self.path, timeout=SECONDS_TO_WAIT, check_same_thread=False
        )
        try:
            # A damaged row may turn numbers into text that is none.
            connection.text_factory = lambda text: text.decode(errors="replace")
            _wait_for_others(lambda: connection.execute("PRAGMA journal_mode = WAL"))
            connection.execute("PRAGMA synchronous = NORMAL")  # enough for a kill
            _wait_for_others(lambda: connection.execute(TABLE))
        except sqlite3.DatabaseError:
            connection.close()
            raise
        self._connection = connection

    # --- Trouble -----------------------------------------------------------------

    def _try(self, action: Callable[[], None]) -> None:
        """Run `action`; whatever the disk does, the caller goes on."""
        with self._lock:
            try:
                try:
                    action()
                except sqlite3.DatabaseError as error:
                    if not _is(error, *DAMAGED):
                        raise
                    self._begin_anew()
                    action()
            except (sqlite3.DatabaseError, OSError) as trouble:
                self._writable = False
                self._warn(
                    f"can't be used ({trouble}). The work goes on, but new vectors are "
                    "not kept. Free some space or set LOOKALIKE_CACHE to another file."
                )

    def _begin_anew(self) -> None:
        self.close()
        if not _is_sound(self.path):  # another process may have been here before
            kept = _rename_aside(self.path)
            self._warn(
                f"was damaged. It is kept as {kept.name}, a new one is begun, "
                "and its vectors are computed again."
            )
        self._open()

    def _warn(self, trouble: str) -> None:
        if trouble not in self._said:
            self._said.add(trouble)
            message = f"the vector cache {printable(str(self.path))} {trouble}"
            warnings.warn(message, RuntimeWarning, stacklevel=2)


def _checksum(pipeline: str, sha256: str, data: bytes) -> bytes:
    """Tie a vector to its place, so that a row can't pass for another one."""
    start = f"{pipeline}\0{sha256}\0".encode()
    return hashlib.blake2b(start + data, digest_size=16).digest()


def _is(error: Exception, *codes: int) -> bool:
    # The low byte of an extended code is the primary one.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in codes


def _is_sound(path: Path) -> bool:
    try:
        with closing(sqlite3.connect(path, timeout=SECONDS_TO_WAIT)) as connection:
            return connection.execute("PRAGMA quick_check").fetchone() == ("ok",)
    except sqlite3.DatabaseError as error:
        return not _is(error, *DAMAGED)


def _rename_aside(path: Path) -> Path:
    """Rename a database and its journal together, to a name not yet taken."""
    number = 1
    while (kept := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    for suffix in ("-wal", "-shm", ""):
        part = path.with_name(path.name + suffix)
        if part.exists():
            os.replace(part, kept.with_name(kept.name + suffix))
    return kept


def _wait_for_others(action: Callable[[], object]) -> None:
    """Retry while another process sets up the same file; SQLite itself won't wait."""
    end = time.monotonic() + SECONDS_TO_WAIT
    while True:
        try:
            action()
            return
        except sqlite3.OperationalError as error:
            if not _is(error, sqlite3.SQLITE_BUSY) or time.monotonic() > end:
                raise
            time.sleep(0.02)
