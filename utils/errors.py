"""One small family of errors: catch ``LookalikeError`` and you catch them all.

What every module checks in the same way stands here, too.
"""

import importlib
import operator
import os
from typing import Any

LFS_POINTER = b"version https://git-lfs"  # how a file begins that Git LFS must fetch


def printable(text: str) -> str:
    r"""Return `text` with every character that can't be shown written as an escape.

    A file name may hold newlines, or bytes that are not valid UTF-8 (which Python
    keeps as lone surrogates, and which `print` refuses).

    >>> print(printable("two\nlines.jpg"))
    two\nlines.jpg
    """
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text
    )


def check_k(k: Any, name: str = "k", *, least: int = 1) -> int:
    """Return a number of results (or of anything that is counted) as a plain int.

    FAISS refuses NumPy's integers; here they are welcome. ValueError if `k` is no whole
    number, or below `least`; the message calls it `name`.

    >>> check_k("2")
    Traceback (most recent call last):
    ValueError: k must be a whole number of at least 1. Received: '2'.
    """
    try:
        number = operator.index(k)
    except TypeError:
        number = 0
    if isinstance(k, bool) or number < least:
        raise ValueError(
            f"{name} must be a whole number of at least {least}. Received: {k!r}."
        )
    return number


def expanded(path: str | os.PathLike) -> str:
    """Return a path with the home folder in place of a leading ~."""
    name = os.fsdecode(path)
    # A scan of "." may find a file whose own name begins with ~.
    has_home = name.startswith("~") and not os.path.lexists(name)
    return os.path.expanduser(name) if has_home else name


class LookalikeError(Exception):
    """Any error that this package raises on its own account; its text can be shown."""

    def __str__(self) -> str:
        return printable(super().__str__())


class _RefusedError(LookalikeError, ValueError):
    """A file was refused: `reason` tells a person why, and what to do.

    `source` is the file's name as it is, or a word for what has none.
    """

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(source, reason)  # both, so that it survives pickling
        self.source = source
        self.reason = reason

    def __str__(self) -> str:
        return printable(f"{self.source}: {self.reason}")


class PictureError(_RefusedError):
    """A picture was refused."""


class SoundError(_RefusedError):
    """A sound was refused."""


class TextError(LookalikeError, ValueError):
    """A text can't be searched with; the message says why."""


class WeightsError(LookalikeError):
    """A file of weights is missing, damaged or doesn't fit the network."""


class IndexFileError(LookalikeError):
    """A saved index is missing, damaged or doesn't fit what it is used with."""


def import_optional(name: str, install: str, purpose: str = "") -> Any:
    """Import a library that may be missing; `install` is what ``pip install`` takes."""
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:  # OSError: what it links to is missing
        package = name.partition(".")[0].replace("_", "-")  # as pip knows it
        raise LookalikeError(
            f"{package}: expected it to be installed{purpose}. Received: {error}. "
            f"Install it: pip install {install}."
        ) from error
