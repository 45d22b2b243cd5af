"""Who may write into a collection's folder, and who still reads in it.

``.lock`` is held for the moment of a save, ``.writer`` for as long as a collection is
open for durable changes.  Whoever reads or maps a file of a save holds a shared lock on
it meanwhile.  The system drops them all when a process ends, however it ends.
"""

import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from filelock import BaseFileLock, FileLock, Timeout

from utils.errors import LookalikeError, printable

if sys.platform != "win32":
    import fcntl

LOCK, WRITER = ".lock", ".writer"
Claim = BaseFileLock
SECONDS_TO_WAIT = 60.0  # for another process that saves into the same folder


class SaveConflictError(LookalikeError):
    """A folder holds, or may soon hold, changes that saving into it would lose."""


@contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Keep other writers out; yields False where the file system has no locks.

    Without locks two writers are still apart, each in its own generation, but none may
    clean up, and of two saves in the same moment one may win unseen.  `TimeoutError` if
    another process has been saving for a minute.
    """
    # A soft lock, filelock's own way out, would outlive a killed process.
    lock = FileLock(folder / LOCK, fallback_to_soft=False)
    try:
        lock.acquire(timeout=SECONDS_TO_WAIT)
    except Timeout as error:
        raise TimeoutError(
            f"{printable(str(folder))}: expected to save here. Another process has "
            f"been saving into it for {SECONDS_TO_WAIT:g} s. Wait for it or end it."
        ) from error
    except PermissionError:
        raise  # somebody else's lock: not to be passed by
    except OSError:
        pass  # no locks here; where nobody may write, the next step says so
    try:
        yield lock.is_locked
    finally:
        lock.release()


def claim(folder: Path) -> Claim:
    """Keep other writers out until the lock that is returned is released.

    To be called while `locked`.  SaveConflictError if somebody else has done so.
    """
    lock = FileLock(folder / WRITER, fallback_to_soft=False, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise SaveConflictError(
            f"{folder}: expected to write here. Somebody has this collection open for "
            "durable changes, and nobody else may write until it is closed. Close it "
            "(leave its `with`, or end its program), or save into another folder."
        ) from error
    return lock


def check_unclaimed(folder: Path) -> None:
    """Raise a SaveConflictError if somebody has claimed the folder."""
    if (folder / WRITER).exists():
        try:
            claim(folder).release()
        except PermissionError:
            raise
        except OSError:
            pass  # no locks here: then nobody could claim it


def share(file: IO) -> None:
    """Hold a shared lock on a file for as long as it, or a map of it, is open.

    OSError if it is about to be removed.
    """
    if sys.platform != "win32":  # there no open file can be removed anyway
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError:
            pass  # no locks here: then nobody removes anything


def remove_unread(folder: Path) -> None:
    """Remove a folder and its files, unless one of them is being read or mapped."""
    with ExitStack() as stack, suppress(OSError):
        if sys.platform != "win32":
            for path in folder.iterdir():
                if path.is_file() and not path.is_symlink():
                    # Some network drives give this lock only to those who may write.
                    file = stack.enter_context(open(path, "r+b"))
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
