"""Folders that hold a set of files whole: the old set or the new one, never a mixture.

A bundle looks like this:

    CURRENT                one line: a generation and its manifest's sha256
    generation-4f0c…/      one save; never changed once CURRENT names it
        MANIFEST.json      size and sha256 of every file, the build's id, facts
        index.faiss, …     the files
        JOURNAL            what has changed since, if somebody keeps one

Saving writes a new generation beside the old one, waits until it is on the disk, and
then replaces ``CURRENT`` in one step.  A kill, a full disk or a power cut before that
step leaves the old save in force; after it, the new one.  An old generation is removed
by the first save that finds nobody reading it or mapping a file of it; a reader whose
generation has gone before it began to read takes the newer one.

A hash detects damage, not intent: whoever makes a bundle can make its hashes fit.
"""

import errno
import hashlib
import io
import json
import os
import re
import shutil
import stat
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from utils.collection.locks import locked, remove_unread, share
from utils.errors import IndexFileError, printable

WINDOWS = os.name == "nt"
# 2 had a checksum in its pointer, 1 was index.faiss and items.json side by side.
FORMAT, OLDEST_FORMAT = 3, 2
POINTER, MANIFEST, JOURNAL = "CURRENT", "MANIFEST.json", "JOURNAL"
GENERATION = re.compile(r"generation-[0-9a-f]{32}")
FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
LINE = re.compile(
    rf"lookalike-bundle (\d{{1,9}}) ({GENERATION.pattern}) ([0-9a-f]{{64}})"
    r"( [0-9a-f]{16})?\n"
)
MAX_SMALL_FILE = 64_000_000  # bytes; a pointer or a manifest is far smaller
SECONDS_FOR_READERS = 1.0  # Windows replaces no file while somebody reads it
AT_ONCE = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)
ADVICE = "Build it again and save it."

Content = bytes | Callable[["Tally"], object]
Opener = Callable[[Path], Any]
Pointer = tuple[int, str, str]


class Bundle(NamedTuple):
    """What `read_bundle` returns; `folder` is the generation's own."""

    files: dict[str, Any]  # checked bytes, or what an opener made of the file
    sha256s: dict[str, str]
    facts: dict[str, Any]  # what the writer passed
    build: str  # a name that no other save has
    folder: Path
    journal: bytes = b""  # checked by nobody yet


class Tally:
    """A file that counts (`size`) and hashes (`sha256`) what is written into it."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.size, self._sha256 = file, 0, hashlib.sha256()

    def write(self, data: bytes) -> int:
        """Write like any binary file."""
        self.file.write(data)
        self._sha256.update(data)
        self.size += len(data)
        return len(data)

    @property
    def sha256(self) -> str:
        """The hash of what has been written so far."""
        return self._sha256.hexdigest()


def new_build() -> str:
    """Return a name for a save that no other save has: 32 hexadecimal digits."""
    return uuid.uuid4().hex


def write_bundle(
    folder: str | os.PathLike,
    files: Mapping[str, Content],
    facts: Mapping[str, Any],
    *,
    build: str | None = None,
) -> str:
    """Save files so that a reader finds the old set whole or the new set whole.

    The disk must have room for both sets for a moment.  The folder is made if it does
    not exist.  Functions among the contents are called in their order, each with a
    `Tally` to write into: a large content need not be in memory as bytes.  `facts` are
    anything that JSON can hold.  `build` is returned; pass one from `new_build` if a
    file's content is to mention it.

    OSError if the disk is full or not writable, or (`TimeoutError`) another process
    has been saving into this folder for a minute.
    """
    for name in files:
        if not FILE_NAME.fullmatch(name) or name in (MANIFEST, POINTER, JOURNAL):
            raise ValueError(
                "expected a plain file name of letters, digits, '.', '_' and '-', not "
                f"{MANIFEST} or {POINTER}. Received: {name!r}."
            )
    folder = made_folder(folder)
    with locked(folder) as alone:
        return write_generation(folder, files, facts, build=build, alone=alone)


def made_folder(folder: str | os.PathLike) -> Path:
    """Return a folder's path, after making it if there is none."""
    folder = Path(os.path.expanduser(folder))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_generation(
    folder: Path,
    files: Mapping[str, Content],
    facts: Mapping[str, Any],
    *,
    build: str | None = None,
    alone: bool,
) -> str:
    """Do what `write_bundle` does, for whoever has `locked` the folder.

    `alone` is what `locked` yielded.
    """
    build = build or new_build()
    generation = folder / f"generation-{build}"
    try:
        _write_files(generation, files, facts, build)
    except BaseException as error:
        written = sum(path.stat().st_size for path in generation.glob("*"))
        shutil.rmtree(generation, ignore_errors=True)
        if getattr(error, "errno", None) == errno.ENOSPC:
            free = shutil.disk_usage(folder).free
            raise OSError(
                errno.ENOSPC,
                f"{printable(str(folder))}: No space left: saving stopped after "
                f"{written:,} bytes, and {free:,} are free without them. Free some, or "
                "save elsewhere. The collection saved before is as it was",
            ) from error
        raise
    # Should this fail, the generation may be in force: the next save cleans up.
    _patiently(lambda: os.replace(generation / POINTER, folder / POINTER))
    sync_folder(folder)
    if alone:  # nobody else can be writing: what is not in force is left over
        for path in folder.iterdir():
            if GENERATION.fullmatch(path.name) and path != generation:
                remove_unread(path)  # or the next time
    return build


def generation_in(folder: str | os.PathLike) -> str:
    """Return the name of the generation in force; IndexFileError if there is none."""
    return _read_pointer(Path(os.path.expanduser(folder)))[1]


def read_bundle(
    folder: str | os.PathLike, *, openers: Mapping[str, Opener] | None = None
) -> Bundle:
    """Read a bundle after checking the size and the sha256 of every file in it.

    A file with an opener need not be in memory as bytes: it is hashed in passing, and
    then the opener is called with its path.  Files of a save never change, so the
    opener may map them.  IndexFileError if there is no bundle, it has another format
    version, or a file of it is missing, damaged, replaced or not a plain file.
    """
    folder = Path(os.path.expanduser(folder))
    pointer = _read_pointer(folder)
    while True:
        try:
            return _read_generation(folder, pointer, openers or {})
        except IndexFileError:
            # A writer may have removed this generation after we read the pointer.
            latest = _read_pointer(folder)
            if latest == pointer:
                raise
            pointer = latest


# --- Writing ---------------------------------------------------------------------


def _write_files(
    generation: Path, files: Mapping[str, Content], facts: Mapping, build: str
) -> None:
    """Write all files, and the pointer to them, and wait until they are on the disk."""
    generation.mkdir()
    entries = {}
    for name, content in files.items():
        tally = _write_file(generation / name, content)
        entries[name] = {"bytes": tally.size, "sha256": tally.sha256}
    manifest = {"format": FORMAT, "build": build, "files": entries, "facts": facts}
    text = json.dumps(manifest, indent=1).encode("ascii")
    sha256 = _write_file(generation / MANIFEST, text).sha256
    line = f"lookalike-bundle {FORMAT} {generation.name} {sha256}\n"
    _write_file(generation / POINTER, line.encode("ascii"))
    sync_folder(generation)
    sync_folder(generation.parent)


def _write_file(path: Path, content: Content) -> Tally:
    with open(path, "wb") as file:
        tally = Tally(file)
        content(tally) if callable(content) else tally.write(content)
        file.flush()
        os.fsync(file.fileno())
    return tally


def sync_folder(folder: Path) -> None:
    """Wait until the names of the files in a folder are on the disk."""
    if WINDOWS:  # Windows cannot open a folder, and needs no such step
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _patiently(action: Callable[[], Any]) -> Any:
    """Try again for a moment where readers and writers get in each other's way."""
    end = time.monotonic() + SECONDS_FOR_READERS
    while True:
        try:
            return action()
        except PermissionError:
            if not WINDOWS or time.monotonic() > end:
                raise
            time.sleep(0.01)


# --- Reading ---------------------------------------------------------------------


def _read_pointer(folder: Path) -> Pointer:
    """Return what ``CURRENT`` says: format, generation, sha256 of its manifest."""
    path = folder / POINTER
    try:
        with opened_plain(path, 1000) as file:
            line = file.read(_size(file)).decode("ascii", errors="replace")
    except IndexFileError as error:
        if not isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
            raise
        if (folder / "items.json").is_file():
            _check_format(folder, 1)
        raise IndexFileError(
            f"{folder}: expected a saved bundle with a file named {POINTER}, found "
            "none. Check the folder's name, or build the collection and save it there."
        ) from None
    if found := re.match(r"lookalike-bundle (\d{1,9}) ", line):
        _check_format(path, int(found[1]))
    if not (match := LINE.fullmatch(line)):
        raise IndexFileError(
            f"{path}: expected one line that names a generation. Received "
            f"{len(line)} bytes that are damaged or of another kind. {ADVICE}"
        )
    return int(match[1]), match[2], match[3]


def _check_format(path: Path, found: int) -> None:
    if OLDEST_FORMAT <= found <= FORMAT:
        return
    again = "Build it again (ImageSearch.from_folder; the vector cache makes it quick)"
    advice = "Update Lookalike" if found > FORMAT else f"{again} and save it"
    raise IndexFileError(
        f"{path}: expected format {FORMAT}. Received format {found}. {advice}."
    )


def _read_generation(
    folder: Path, pointer: Pointer, openers: Mapping[str, Opener]
) -> Bundle:
    format, generation, sha256 = pointer
    path = folder / generation / MANIFEST
    with opened_plain(path, MAX_SMALL_FILE) as file:
        share(file)  # until all is read, nobody removes any of it
        text = file.read(_size(file))
        _check_equal(path, "sha256", hashlib.sha256(text).hexdigest(), sha256)
        manifest = _parse_manifest(path, text)
        _check_equal(path, "format", manifest["format"], format)
        _check_equal(path, "build", f"generation-{manifest['build']}", generation)
        entries = manifest["files"]
        files = {
            name: _read_file(path.with_name(name), entry, openers.get(name))
            for name, entry in entries.items()
        }
        journal = read_journal_file(folder, generation)
    sha256s = {name: entry["sha256"] for name, entry in entries.items()}
    facts, build = manifest["facts"], manifest["build"]
    return Bundle(files, sha256s, facts, build, path.parent, journal)


def read_journal_file(folder: Path, generation: str) -> bytes:
    """Return the journal that stands beside a generation's files; b"" if none does."""
    path = folder / generation / JOURNAL
    if os.path.lexists(path):
        with opened_plain(path, sys.maxsize) as file:
            return file.read(_size(file))
    if WINDOWS and _read_pointer(folder)[1] != generation:  # no lock keeps it there
        raise IndexFileError(f"{path}: another save has taken its place. Try again.")
    return b""


def _parse_manifest(path: Path, text: bytes) -> dict[str, Any]:
    try:
        manifest = json.loads(text)
        kinds = {"format": int, "build": str, "files": dict, "facts": dict}
        good = [isinstance(manifest[name], kinds[name]) for name in kinds]
        for name, entry in manifest["files"].items():
            known = FILE_NAME.fullmatch(name) is not None
            good += [known, isinstance(entry["sha256"], str)]
            good += [type(entry["bytes"]) is int, entry["bytes"] >= 0]
        if not all(good):
            raise ValueError("a value of another kind")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise IndexFileError(
            f"{path}: expected the table that write_bundle writes. Received "
            f"another one ({type(error).__name__}: {error}). {ADVICE}"
        ) from error
    return manifest


def _read_file(path: Path, entry: Mapping[str, Any], opener: Opener | None) -> Any:
    with opened_plain(path, entry["bytes"]) as file:
        data = b"" if opener else file.read(_size(file) + 1)  # not what is claimed
        hashed = hashlib.file_digest(file, "sha256") if opener else hashlib.sha256(data)
        size = file.tell()
    _check_equal(path, "size in bytes", size, entry["bytes"])
    _check_equal(path, "sha256", hashed.hexdigest(), entry["sha256"])
    return opener(path) if opener else data


@contextmanager
def opened_plain(path: Path, most: int) -> Iterator[io.BufferedReader]:
    """Open a regular file of at most `most` bytes; never wait, never follow a link."""
    try:
        status = os.lstat(path)
        if not stat.S_ISREG(status.st_mode):
            raise IndexFileError(
                f"{path}: expected a plain file. Received a link, a folder or "
                f"something else. {ADVICE}"
            )
        if status.st_size > most:
            _check_equal(path, "size in bytes", status.st_size, most)
        # Meanwhile the file may have become a pipe or a link.
        with _patiently(
            lambda: open(path, "rb", opener=lambda p, f: os.open(p, f | AT_ONCE))
        ) as file:
            yield file
    except (OSError, ValueError) as error:
        raise IndexFileError(
            f"{path}: expected a file that can be read. Received: "
            f"{getattr(error, 'strerror', None) or error}. {ADVICE}"
        ) from error


def _size(file: io.BufferedReader) -> int:
    return os.fstat(file.fileno()).st_size


def _check_equal(path: Path, what: str, found: object, expected: object) -> None:
    if found != expected:
        raise IndexFileError(
            f"{path}: expected {what} {expected}. Received {found}: the file is "
            f"damaged or belongs to another save. {ADVICE}"
        )
