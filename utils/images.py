"""Find pictures, open them safely, turn them upright, resize and batch them.

Every picture goes through `open_picture` and `resize`, whichever door it comes in by,
so the same picture always gives the same pixels.  In all functions here:

- `source` is a path, a file's bytes, a PIL image, or one picture as an array of shape
  (h, w), (h, w, 3) or (h, w, 4).
- A path is a str or any os.PathLike; a leading ``~`` is the home folder.
- `size` and `side` are pixels; ValueError if they are no whole number from 1.
- PictureError says why a picture can't be opened whole, and what to do.
- `**limits` are `name`, `max_pixels` and `max_bytes` of `open_picture`.
"""

# No filter silences Pillow's warnings of odd metadata: filters belong to the process,
# and up to Python 3.13 `warnings.catch_warnings` swaps them for all threads, so threads
# that decode would mix them up.  The program filters: utils/start.py in the notebooks.

import hashlib
import io
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from utils.errors import PictureError, check_k, expanded, printable
from utils.pixels.decoding import (
    FILTER,
    MAX_PIXELS,
    Image,
    RefusedError,
    Shrink,
    check_beginning,
    decode,
    explain,
)

MAX_BYTES = 100_000_000
# HEIC and AVIF aren't opened, but reported instead of passed over in silence.
PICTURE_SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .webp .gif .bmp .tif .tiff .heic .heif .avif".split()
)
KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
AT_ONCE = getattr(os, "O_NONBLOCK", 0)  # Windows has no pipes among its files

Identity = tuple[int, int] | str
PicturePath = str | os.PathLike
PictureSource = PicturePath | bytes | bytearray | memoryview | Image.Image | np.ndarray


class Refusal(NamedTuple):
    """A file that was not taken, and why."""

    path: Path
    reason: str


@dataclass
class Collection:
    """Pictures sorted by path, a label for each ("" for none), and refusals."""

    paths: list[Path] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.paths)


# --- Opening one picture ---------------------------------------------------------


def open_picture(
    source: PictureSource,
    *,
    name: str | None = None,
    max_pixels: int = MAX_PIXELS,
    max_bytes: int = MAX_BYTES,
    enough: int | None = None,
    shrink: Shrink | None = None,
) -> Image.Image:
    """Return a picture upright and in mode RGB, without metadata, or say why not.

    A file is judged by its content, not by its suffix: JPEG, PNG, WebP, GIF, BMP and
    TIFF are opened (the first frame), nothing else is tried. EXIF orientation is
    applied, transparency is put on white, grey and CMYK become RGB. 16-bit grey is
    scaled from 0–65535 to 0–255. 32-bit integers and floats have no agreed range:
    floats within 0–1 are multiplied by 255, values within 0–255 taken as they are,
    values within 0–65535 divided by 257; anything else is refused in an array, and in
    a file stretched from its smallest to its largest value (NaN counts as smallest).
    Colour profiles are not applied. The result is never the caller's own object.

    An error calls the picture `name` (default: the file's path). What is larger than
    `max_pixels` or `max_bytes` is refused before it is decoded; Pillow's own limit is
    178,956,970 pixels, twice its ``MAX_IMAGE_PIXELS``. A large JPEG may be decoded at a
    half, a quarter or an eighth of its size if both sides keep `enough` pixels.
    `shrink` gets the upright width and height, and returns those that are wanted.
    `utils.pixels.decoding` describes how memory is kept within limits.
    """
    name = name or name_of(source)
    try:
        if isinstance(source, str | os.PathLike):
            source = _read(source, max_bytes)
        elif isinstance(source, bytes | bytearray | memoryview):
            source = bytes(source)
            _check_length(len(source), max_bytes)
        return decode(source, max_pixels=max_pixels, enough=enough, shrink=shrink)
    except RefusedError as error:
        raise PictureError(name, str(error)) from error.__cause__
    except Exception as error:  # Pillow raises at least nine types on damaged files
        raise PictureError(name, explain(error, max_pixels)) from error


def resize(image: Image.Image, size: int) -> np.ndarray:
    """Squash an RGB picture to a square: uint8 array of shape (size, size, 3).

    Pillow's bilinear filter averages over all the pixels that shrink into one (it is
    antialiased), unlike the default of most neural network libraries.
    """
    size = check_k(size, "size")
    if image.mode != "RGB":
        raise ValueError(
            f"expected an RGB picture. Received: mode {image.mode}. "
            "Open it with open_picture."
        )
    return np.array(image.resize((size, size), FILTER))


def load_picture(source: PictureSource, size: int, **limits: Any) -> np.ndarray:
    """Open a picture and squash it to a square: uint8 array of shape (size, size, 3).

    A JPEG many times larger is decoded at a smaller scale, with sides of at least
    three times `size`: 5 to 11 times as fast at 12 megapixels.  The vectors of photos
    and printed pages had a cosine of at least 0.998 with those of the full decode;
    regular patterns finer than a pixel of the result can differ more.
    """
    square = check_k(size, "size"), size
    image = open_picture(source, enough=3 * size, shrink=lambda _: square, **limits)
    return np.array(image)


def thumbnail(source: PictureSource, side: int, **limits: Any) -> bytes:
    """Return a small JPEG in the picture's own shape; no side is longer than `side`."""
    enough = 4 * check_k(side, "side")  # sharper than shrinking in one go

    def shrink(size: tuple[int, int]) -> tuple[int, int]:
        scale = min(1, enough / max(size))
        return max(1, round(scale * size[0])), max(1, round(scale * size[1]))

    image = open_picture(source, enough=enough, shrink=shrink, **limits)
    image.thumbnail((side, side))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85)
    return file.getvalue()


def read_file(path: PicturePath, *, max_bytes: int = MAX_BYTES) -> bytes:
    """Read a picture's file whole, without ever waiting at a pipe or device.

    Hash these bytes and decode these bytes, and a file that changes in between
    can't get another picture's vector.
    """
    try:
        return _read(path, max_bytes)
    except RefusedError as error:
        raise PictureError(name_of(path), str(error)) from error.__cause__


def sha256_of(source: PicturePath | bytes | bytearray | memoryview) -> str:
    """Return the sha256 of a file's bytes as 64 hexadecimal digits."""
    data = read_file(source) if isinstance(source, str | os.PathLike) else source
    return hashlib.sha256(data).hexdigest()


def name_of(source: PictureSource) -> str:
    """Return what to call a picture in an error: its file, or a word in brackets."""
    if isinstance(source, str | os.PathLike):
        return os.fsdecode(source)
    return str(getattr(source, "filename", "")) or f"({type(source).__name__})"


def _read(path: PicturePath, max_bytes: int) -> bytes:
    with _opened(path, max_bytes) as file:
        size = os.fstat(file.fileno()).st_size
        data = file.read(size + 1)  # so much memory is taken, whatever comes
    if len(data) != size:
        raise RefusedError("changed while it was read. Try again.")
    return data


@contextmanager
def _opened(path: PicturePath, max_bytes: int) -> Iterator[BinaryIO]:
    """Open a regular file; every failure is a RefusedError."""
    try:
        path = expanded(path)
        _check_stat(os.stat(path), max_bytes)
        # Between the check and the opening a file may have become a pipe.
        with open(path, "rb", opener=lambda p, f: os.open(p, f | AT_ONCE)) as file:
            _check_stat(os.fstat(file.fileno()), max_bytes)
            yield file
    except OSError as error:
        reason = f"can't be read: {error.strerror or error}"
        if isinstance(error, PermissionError):
            reason = "may not be read. Change the file's permissions."
        elif isinstance(error, FileNotFoundError):
            is_link = os.path.islink(path)
            reason = "a link to a file that is not there" if is_link else "no such file"
        raise RefusedError(reason) from error
    except ValueError as error:  # a null character
        raise RefusedError(f"not a possible name for a file: {error}") from error


def _check_stat(status: os.stat_result, max_bytes: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        raise RefusedError(f"not a file but {kind}")
    _check_length(status.st_size, max_bytes)


def _check_length(length: int, max_bytes: int) -> None:
    if length == 0:
        raise RefusedError("the file is empty; copy or download it again")
    if length > max_bytes:
        limit = f"{max_bytes / 1e6:g} MB. Make the picture smaller or raise max_bytes."
        raise RefusedError(f"larger than {limit}")


# --- Many pictures ---------------------------------------------------------------


def scan_folder(folder: PicturePath) -> Collection:
    """Find the pictures in a folder and all folders below it.

    A file is a candidate if it has a picture's suffix, in any case. Each candidate is
    either taken or refused with a reason; a light look at its first bytes decides, and
    `load_pictures` may refuse it later on. A picture's label is the name of the first
    folder below `folder` on its path. Links to folders are followed, each real folder
    and each real file is taken once, so that loops do no harm.
    FileNotFoundError or NotADirectoryError if `folder` is not an existing folder.
    """
    root = Path(expanded(folder))
    name = printable(str(root))
    if not root.exists():
        raise FileNotFoundError(f"no such folder: {name}. Check the path.")
    if not root.is_dir():
        raise NotADirectoryError(f"expected a folder. Received a file: {name}.")
    candidates, refused = _walk(root)
    paths: list[Path] = []
    seen: dict[Identity, Path] = {}
    # Real files before links, so that a link never takes its target's place.
    for path in sorted(candidates, key=lambda path: (path.is_symlink(), path.parts)):
        try:
            with _opened(path, MAX_BYTES) as file:
                identity = _identity(path, os.fstat(file.fileno()))
                first = seen.setdefault(identity, path)
                if first != path:
                    reason = f"the same file as {printable(str(first))}"
                    raise RefusedError(f"{reason}, which is taken once")
                check_beginning(file.read(64))
        except RefusedError as error:
            refused.append(Refusal(path, str(error)))
        else:
            paths.append(path)
    paths.sort(key=lambda path: path.parts)
    refused.sort(key=lambda refusal: refusal.path.parts)
    below = [path.relative_to(root).parts for path in paths]
    labels = [parts[0] if len(parts) > 1 else "" for parts in below]
    return Collection(paths, labels, refused)


def load_pictures(
    paths: Sequence[PicturePath], size: int
) -> tuple[np.ndarray, list[int], list[Refusal]]:
    """Return images, positions and refused of all pictures; see `iterate_batches`."""
    size = check_k(size, "size")
    images = np.empty((len(paths), size, size, 3), np.uint8)
    positions: list[int] = []
    refused: list[Refusal] = []
    for found, batch, not_taken in iterate_batches(paths, size):
        images[len(positions) : len(positions) + len(batch)] = batch
        positions += found
        refused += not_taken
    return images[: len(positions)], positions, refused


def iterate_batches(
    paths: Sequence[PicturePath], size: int, *, batch_size: int = 32
) -> Iterator[tuple[list[int], np.ndarray, list[Refusal]]]:
    """Yield positions, images and refused; only one batch is in memory at a time.

    `images` is a uint8 array of shape (b, size, size, 3), of which ``images[i]`` shows
    ``paths[positions[i]]``.  b is `batch_size`, less in the last batch, and 0 if no
    picture at all can be opened.  `refused` has the files met since the batch before.
    """
    size, batch_size = check_k(size, "size"), check_k(batch_size, "batch_size")
    positions: list[int] = []
    images: list[np.ndarray] = []
    refused: list[Refusal] = []
    for position, path in enumerate(paths):
        try:
            image = load_picture(path, size)
        except PictureError as error:
            refused.append(Refusal(Path(name_of(path)), error.reason))
            continue
        # One picture later than it could be: refusals at the end come with pictures.
        if len(images) == batch_size:
            yield positions, np.stack(images), refused
            positions, images, refused = [], [], []
        positions.append(position)
        images.append(image)
    if len(paths):
        last = np.array(images, np.uint8).reshape(-1, size, size, 3)
        yield positions, last, refused


def _walk(root: Path) -> tuple[list[Path], list[Refusal]]:
    """Find the files with a picture's suffix, entering each real folder once."""
    files: list[Path] = []
    refused: list[Refusal] = []
    # A link to a folder above `root` would lead out over the whole disk.
    seen = {_identity(parent, parent.stat()) for parent in root.resolve().parents}
    folders: list[Path] = [root]
    links: list[Path] = []
    while folders or links:
        links.sort(reverse=True)  # last and in order: the result is always the same
        folder = (folders or links).pop()
        try:
            identity = _identity(folder, folder.stat())
            if identity in seen:
                continue
            seen.add(identity)
            for path in folder.iterdir():
                if os.path.isdir(path):  # unlike Path.is_dir it never raises
                    (links if path.is_symlink() else folders).append(path)
                elif path.suffix.lower() in PICTURE_SUFFIXES:
                    files.append(path)
        except OSError as error:
            reason = f"this folder can't be listed: {error.strerror or error}"
            refused.append(Refusal(folder, reason))
    return files, refused


def _identity(path: Path, status: os.stat_result) -> Identity:
    """Return what all names of one file or folder have in common."""
    if status.st_ino == 0:  # some network drives number nothing
        return os.path.realpath(path)
    return status.st_dev, status.st_ino
