"""Folders that hold a set of files whole: the old set or the new one, never a mixture.

A bundle looks like this:

    CURRENT                one line: a generation, its manifest's sha256, a checksum
    generation-4f0c…/      one save; never changed once CURRENT names it
        MANIFEST.json      size and sha256 of every file, the build's id, facts
        index.faiss, …     the files

Saving writes a new generation beside the old one, waits until it is on the disk, and
then replaces ``CURRENT`` in one step.  A kill, a full disk or a power cut before that
step leaves the old save in force; after it, the new one.

Hashes tell damage, not intent: whoever makes a bundle can make its hashes fit.
"""

import hashlib
import json
import os
import re
import shutil
import stat
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from utils.errors import IndexFileError, printable

WINDOWS = os.name == "nt"
FORMAT = 2  # 1 was index.faiss and items.json side by side, replaced one by one
POINTER, MANIFEST, LOCK = "CURRENT", "MANIFEST.json", ".lock"
GENERATION = re.compile(r"generation-[0-9a-f]{32}")
FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
LINE = re.compile(
    rf"lookalike-bundle (\d{{1,9}}) ({GENERATION.pattern}) ([0-9a-f]{{64}}) "
    r"([0-9a-f]{16})\n"
)
MAX_SMALL_FILE = 64_000_000  # bytes; a pointer or a manifest is far smaller
PATIENCE = 5.0  # seconds, with a file that is being read or replaced on Windows
SECONDS_TO_WAIT = 60.0  # for another process that saves into the same folder
TRIES = 50  # of a reader whose generation is replaced under its eyes
MEND = "Build it again and save it."

Content = bytes | Callable[["Tally"], object]
Opener = Callable[[Path], Any]


class Bundle(NamedTuple):
    """What `read_bundle` returns.

    `files` maps a name to its checked bytes (or to what its opener made of the file),
    `hashes` to their sha256; `facts` is what the writer passed, `build` is a name that
    no other save has, `folder` is where the files lie.
    """

    files: dict[str, Any]
    hashes: dict[str, str]
    facts: dict[str, Any]
    build: str
    folder: Path


def write_bundle(
    folder: str | os.PathLike,
    files: Mapping[str, Content],
    facts: Mapping[str, Any],
    *,
    build: str | None = None,
) -> str:
    """Save files so that a reader finds the old set whole or the new set whole.

    The disk must have room for both sets for a moment; the old one is removed once
    the new one is in force.

    Parameters
    ----------
    folder : path
        Made if it does not exist.
    files : mapping of str to bytes or function
        A function is called with a `Tally` and writes into it: a large content need
        not be in memory as bytes.  They are called in their order.
    facts : mapping
        Anything that JSON can hold.
    build : str, optional
        From `new_build`, if a file's content is to mention it.

    Returns
    -------
    build : str
        A name that no other save has.

    Raises
    ------
    OSError
        If the disk is full or not writable, or another process has been saving into
        this folder for a minute.
    ValueError
        If a file's name is not a plain one.

    Examples
    --------
    >>> build = write_bundle("output/demo", {"a.txt": b"hello"}, {})  # doctest: +SKIP
    >>> read_bundle("output/demo").files["a.txt"]                     # doctest: +SKIP
    b'hello'
    """
    _check_names(files)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    build = build or new_build()
    generation = folder / f"generation-{build}"
    with _locked(folder) as alone:
        try:
            line = _write_generation(generation, files, facts, build)
            _swap_pointer(folder, line)
        except BaseException:
            if not _in_force(folder, generation):
                shutil.rmtree(generation, ignore_errors=True)
            raise
        if alone:  # nobody else can be writing: what is not in force is left over
            _remove_others(folder, generation)
    return build


def read_bundle(
    folder: str | os.PathLike, *, openers: Mapping[str, Opener] | None = None
) -> Bundle:
    """Read a bundle after checking the size and the sha256 of every file in it.

    Parameters
    ----------
    folder : path
    openers : mapping of str to function, optional
        A file that need not be in memory as bytes is checked in passing, and its
        function, called with its path, opens it.  A file of a save never changes: it
        may be mapped.

    Returns
    -------
    bundle : Bundle

    Raises
    ------
    IndexFileError
        If there is no bundle, it has another format version, or a file of it is
        missing, damaged, replaced or not a plain file.
    """
    folder = Path(folder)
    for _ in range(TRIES):
        generation, expected = _read_pointer(folder)
        try:
            return _read_generation(folder / generation, expected, openers or {})
        except IndexFileError:
            # A writer may have removed this generation after we read the pointer.
            if _read_pointer(folder) == (generation, expected):
                raise
    raise IndexFileError(
        f"{folder}: expected it to hold still for a moment. It was saved again "
        f"{TRIES} times while it was read. Stop the other program, or try again."
    )


def new_build() -> str:
    """Return a name for a save that no other save has: 32 hexadecimal digits."""
    return uuid.uuid4().hex


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
        """The sha256 of what has been written so far, as 64 hexadecimal digits."""
        return self._sha256.hexdigest()


# --- Writing ---------------------------------------------------------------------


def _check_names(files: Mapping[str, Content]) -> None:
    for name in files:
        if not FILE_NAME.fullmatch(name) or name == MANIFEST:
            raise ValueError(
                "expected a plain file name of letters, digits, '.', '_' and '-', not "
                f"{MANIFEST}. Received: {name!r}."
            )


def _write_generation(
    generation: Path, files: Mapping[str, Content], facts: Mapping, build: str
) -> bytes:
    """Write all files and return the pointer's line; all is on the disk by then."""
    generation.mkdir()
    entries = {}
    for name, content in files.items():
        tally = _write_file(generation / name, content)
        entries[name] = {"bytes": tally.size, "sha256": tally.sha256}
    manifest = {"format": FORMAT, "build": build, "files": entries, "facts": facts}
    text = json.dumps(manifest, indent=1).encode("ascii")
    tally = _write_file(generation / MANIFEST, text)
    _sync_folder(generation)
    _sync_folder(generation.parent)
    start = f"lookalike-bundle {FORMAT} {generation.name} {tally.sha256} "
    return f"{start}{_line_checksum(start)}\n".encode("ascii")


def _write_file(path: Path, content: Content) -> Tally:
    with open(path, "wb") as file:
        tally = Tally(file)
        content(tally) if callable(content) else tally.write(content)
        file.flush()
        os.fsync(file.fileno())
    return tally


def _swap_pointer(folder: Path, line: bytes) -> None:
    temporary = folder / f"{POINTER}.{uuid.uuid4().hex}"
    try:
        _write_file(temporary, line)
        _patiently(lambda: os.replace(temporary, folder / POINTER))
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    _sync_folder(folder)


def _patiently(action: Callable[[], Any]) -> Any:
    """Try again for a moment: on Windows nobody can replace a file that is read."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return action()
        except PermissionError:
            if not WINDOWS or time.monotonic() > end:
                raise
            time.sleep(0.01)


def _sync_folder(folder: Path) -> None:
    if WINDOWS:  # Windows cannot open a folder, and needs no such step
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _in_force(folder: Path, generation: Path) -> bool:
    try:
        return _read_pointer(folder)[0] == generation.name
    except IndexFileError:
        return (folder / POINTER).exists()  # who knows; better keep one too many


def _remove_others(folder: Path, generation: Path) -> None:
    """Remove what earlier saves, or killed ones, have left."""
    for path in folder.iterdir():
        if GENERATION.fullmatch(path.name) and path.name != generation.name:
            shutil.rmtree(path, ignore_errors=True)  # next time, if not this time
        elif re.fullmatch(rf"{POINTER}\.[0-9a-f]{{32}}", path.name):
            with suppress(OSError):
                path.unlink()


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Keep other writers out; yields False where the file system has no locks.

    The system drops the lock when a process ends, however it ends.  Without locks
    two writers are still apart, each in its own generation, but none may clean up.
    """
    with open(folder / LOCK, "ab") as file:
        end = time.monotonic() + SECONDS_TO_WAIT
        while (taken := _try_lock(file.fileno())) is False:
            if time.monotonic() > end:
                raise TimeoutError(
                    f"{printable(str(folder))}: expected to save here. Another "
                    f"process has been saving into it for {SECONDS_TO_WAIT:g} s. Wait "
                    "for it or end it."
                )
            time.sleep(0.02)
        yield bool(taken)


def _try_lock(descriptor: int) -> bool | None:
    """Lock or return False; None where there is no such thing as a lock."""
    try:
        if WINDOWS:
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except (OSError, ImportError):
        return None
    return True


# --- Reading ---------------------------------------------------------------------


def _read_pointer(folder: Path) -> tuple[str, str]:
    """Return the generation's name and its manifest's sha256."""
    path = folder / POINTER
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        raise IndexFileError(_why_no_pointer(folder)) from None
    except (OSError, ValueError):
        pass  # the next line says why
    line = _read_plain(path, 1000).decode("ascii", errors="replace")
    if found := re.match(r"lookalike-bundle (\d{1,9}) ", line):
        _check_format(path, int(found[1]))
    match = LINE.fullmatch(line)
    if not match or match[4] != _line_checksum(line[: match.start(4)]):
        raise IndexFileError(
            f"{path}: expected one line whose checksum fits. Received "
            f"{len(line)} bytes that are damaged or of another kind. {MEND}"
        )
    return match[2], match[3]


def _why_no_pointer(folder: Path) -> str:
    if (folder / "items.json").is_file():
        return (
            f"{folder}: expected a bundle of format {FORMAT}. Received format "
            "1, of an earlier version, which can't be checked as a whole. Build it "
            "again, ImageSearch.from_folder(...), and save it: the vector cache makes "
            "that quick."
        )
    return (
        f"{folder}: expected a saved bundle with a file named {POINTER}, found "
        "none. Check the folder's name, or build the collection and save it there."
    )


def _check_format(path: Path, found: int) -> None:
    if found == FORMAT:
        return
    mend = "Update Lookalike" if found > FORMAT else "Build it again and save it"
    raise IndexFileError(
        f"{path}: expected format {FORMAT}. Received format {found}. {mend}."
    )


def _read_generation(
    folder: Path, expected: str, openers: Mapping[str, Opener]
) -> Bundle:
    path = folder / MANIFEST
    text = _read_plain(path, MAX_SMALL_FILE)
    _check_equal(path, "sha256", hashlib.sha256(text).hexdigest(), expected)
    manifest = _parse_manifest(path, text)
    files, hashes = {}, {}
    for name, entry in manifest["files"].items():
        file = folder / name
        if name in openers:
            size, found = _weigh_plain(file, entry["bytes"])
        else:
            data = _read_plain(file, entry["bytes"])
            size, found = len(data), hashlib.sha256(data).hexdigest()
        _check_equal(file, "size in bytes", size, entry["bytes"])
        _check_equal(file, "sha256", found, entry["sha256"])
        files[name] = openers[name](file) if name in openers else data
        hashes[name] = found
    _check_equal(path, "build", f"generation-{manifest['build']}", folder.name)
    return Bundle(files, hashes, manifest["facts"], manifest["build"], folder)


def _parse_manifest(path: Path, text: bytes) -> dict[str, Any]:
    try:
        manifest = json.loads(text)
        _check_format(path, manifest["format"])
        files, facts, build = (manifest[key] for key in ("files", "facts", "build"))
        good = isinstance(files, dict) and isinstance(facts, dict)
        good = good and isinstance(build, str)
        for name, entry in files.items():
            good = good and FILE_NAME.fullmatch(name) and type(entry["bytes"]) is int
            good = good and entry["bytes"] >= 0
            good = good and isinstance(entry["sha256"], str)
        if not good:
            raise ValueError("a value of another kind")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise IndexFileError(
            f"{path}: expected the table that write_bundle writes. Received "
            f"another one ({type(error).__name__}: {error}). {MEND}"
        ) from error
    return manifest


def _read_plain(path: Path, most: int) -> bytes:
    """Read a regular file of at most `most` bytes; never wait, never follow a link."""
    with _opened_plain(path, most) as file:
        return file.read(_size(file) + 1)  # whatever a manifest claims


def _weigh_plain(path: Path, most: int) -> tuple[int, str]:
    """Return the size and the sha256 of a regular file, in little memory."""
    with _opened_plain(path, most) as file:
        return _size(file), hashlib.file_digest(file, "sha256").hexdigest()


def _size(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


@contextmanager
def _opened_plain(path: Path, most: int) -> Iterator[BinaryIO]:
    try:
        status = os.lstat(path)
        if not stat.S_ISREG(status.st_mode):
            raise IndexFileError(
                f"{path}: expected a plain file. Received a link, a folder or "
                f"something else. {MEND}"
            )
        if status.st_size > most:
            _check_equal(path, "size in bytes", status.st_size, most)
        with _patiently(lambda: open(path, "rb", opener=_open_plain)) as file:
            yield file
    except (OSError, ValueError) as error:
        raise IndexFileError(
            f"{path}: expected a file that can be read. Received: "
            f"{getattr(error, 'strerror', None) or error}. {MEND}"
        ) from error


def _open_plain(path: str, flags: int) -> int:
    # Between the check and the opening a file may have become a pipe or a link.
    extra = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)
    return os.open(path, flags | extra)


def _check_equal(path: Path, what: str, found: object, expected: object) -> None:
    if found != expected:
        raise IndexFileError(
            f"{path}: expected {what} {expected}. Received {found}: the file is "
            f"damaged or belongs to another save. {MEND}"
        )


def _line_checksum(start: str) -> str:
    return hashlib.sha256(start.encode("ascii")).hexdigest()[:16]
