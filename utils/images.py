"""Find pictures, open them safely, turn them upright, resize and batch them.

Every picture goes through `open_picture` and `resize`, whichever door it comes in by,
so the same picture always gives the same pixels.
"""

import csv
import hashlib
import io
import os
import stat
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from utils.errors import PictureError, printable

MAX_PIXELS = 64_000_000  # 192 MB once decoded; phones take up to 50 million
OVERSAMPLING = 3  # pixels decoded for each that is kept, in each direction
MAX_BYTES = 100_000_000
MAX_SIDE = 65_535  # JPEG's own limit; far longer strips cost gigabytes to resize

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
SUFFIXES = frozenset(
    [".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"]
    # Not opened, but named in the report instead of passed over in silence.
    + [".heic", ".heif", ".avif"]
)

METADATA_NUMBERS = {"instance": int, "view": int, "yaw": float, "elevation": float}

# Pillow warns of odd metadata and of big pictures; both are decided here instead,
# and a warning would end up in a notebook's stored output.
warnings.filterwarnings("ignore", module=r"PIL\.")

Identity = tuple[int, int] | str
PictureSource = str | Path | bytes | bytearray | memoryview | Image.Image | np.ndarray


class Refusal(NamedTuple):
    """A file that was not taken, and why."""

    path: Path
    reason: str


@dataclass
class Collection:
    """The pictures of a folder: those to use, and those refused with the reason.

    Parameters
    ----------
    paths : list of Path
        Pictures, in an order that doesn't depend on the file system.
    labels : list of str
        One for each path: its folder's name, "" for a picture in no class folder.
    refused : list of Refusal
        Files with a picture's suffix that can't be used.
    """

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
) -> Image.Image:
    """Open a picture upright and as 8-bit RGB, or say why not.

    A file is judged by its content, not by its suffix: JPEG, PNG, WebP, GIF, BMP and
    TIFF are opened (the first frame), nothing else is tried. EXIF orientation is
    applied, transparency is put on white, grey and CMYK become RGB. 16-bit grey is
    scaled from 0–65535 to 0–255. 32-bit integers and floats have no agreed range:
    floats within 0–1 are multiplied by 255, values within 0–255 taken as they are,
    values within 0–65535 divided by 257, and anything else in a file is stretched from
    its smallest to its largest value (NaN counts as smallest). Colour profiles are
    not applied.

    Parameters
    ----------
    source : path, bytes, PIL image, or array of shape (h, w), (h, w, 3) or (h, w, 4)
        An array holds uint8, or numbers in one of the ranges above.
    name : str, optional
        What to call the picture in an error; by default the file's path.
    max_pixels, max_bytes : int
        Larger pictures are refused before they are decoded. Pillow has a limit of its
        own, twice ``PIL.Image.MAX_IMAGE_PIXELS`` (178,956,970 pixels).
    enough : int, optional
        A large JPEG may be decoded at a half, a quarter or an eighth of its size, as
        long as both sides keep this many pixels.

    Returns
    -------
    image : PIL.Image.Image
        Mode RGB, without metadata; never the caller's own object.

    Raises
    ------
    PictureError
        If the picture can't be opened whole; the reason says what to do.
    """
    name = name or name_of(source)
    try:
        image = _open_any(source, name, max_pixels, max_bytes, enough=enough)
        return _to_rgb(_upright(image))
    except PictureError:
        raise
    except Image.DecompressionBombError as error:
        reason = (
            f"too many pixels: at most {max_pixels:,}. Make the picture smaller, or "
            f"raise max_pixels and Pillow's own limit. (Pillow said: {error})"
        )
        raise PictureError(name, reason) from error
    except Exception as error:  # Pillow raises at least nine types on damaged files
        raise PictureError(name, _explain(error)) from error


def resize(image: Image.Image, size: int) -> np.ndarray:
    """Squash an RGB picture to a square; its aspect ratio is not kept.

    Pillow's bilinear filter averages over all the pixels that shrink into one
    (it is antialiased), unlike the default of most neural network libraries.

    Parameters
    ----------
    image : PIL.Image.Image
        As `open_picture` returns it.
    size : int
        Side of the square, in pixels.

    Returns
    -------
    pixels : uint8 array of shape (size, size, 3)

    Raises
    ------
    ValueError
        If `size` is less than 1 or the image isn't RGB.
    """
    if size < 1:
        raise ValueError(f"size must be at least 1 pixel. Received: {size}.")
    if image.mode != "RGB":
        raise ValueError(
            f"expected an RGB picture. Received: mode {image.mode}. "
            "Open it with open_picture."
        )
    return np.array(image.resize((size, size), Image.Resampling.BILINEAR))


def load_picture(source: PictureSource, size: int, **limits: Any) -> np.ndarray:
    """Open a picture and squash it to a square: the one way to pixels.

    A JPEG many times larger is decoded at a smaller scale, with sides of at least
    three times `size`: 5 to 11 times as fast at 12 megapixels.  Vectors of photos, of
    noisy ones and of printed pages had a cosine of at least 0.998 with those of the
    full decode; regular patterns finer than a pixel of the result can differ more.

    Parameters
    ----------
    source : path, bytes, PIL image or array
        See `open_picture`.
    size : int
        Side of the square, in pixels.
    **limits
        `name`, `max_pixels` and `max_bytes` of `open_picture`.

    Returns
    -------
    pixels : uint8 array of shape (size, size, 3)

    Raises
    ------
    PictureError
        If the picture can't be opened whole.
    """
    return resize(open_picture(source, enough=OVERSAMPLING * size, **limits), size)


def thumbnail(source: PictureSource, side: int, **limits: Any) -> bytes:
    """Make a small JPEG of a picture to show on a page; its aspect ratio is kept.

    Parameters
    ----------
    source : path, bytes, PIL image or array
        See `open_picture`.
    side : int
        The longer side, in pixels; a smaller picture stays as it is.
    **limits
        `name`, `max_pixels` and `max_bytes` of `open_picture`.

    Returns
    -------
    jpeg : bytes

    Raises
    ------
    PictureError
        If the picture can't be opened whole.
    """
    image = open_picture(source, **limits)
    image.thumbnail((side, side))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85)
    return file.getvalue()


def read_file(path: str | Path, *, max_bytes: int = MAX_BYTES) -> bytes:
    """Read a picture's file whole, without ever waiting at a pipe or device.

    Hash these bytes and decode these bytes, and a file that changes in between
    can't get another picture's vector.

    Parameters
    ----------
    path : str or Path
    max_bytes : int
        Larger files are refused unread.

    Raises
    ------
    PictureError
        If the file is missing, not a regular file, empty, too large or unreadable, or
        grows or shrinks meanwhile.
    """
    with _opened(path, max_bytes) as file:
        size = os.fstat(file.fileno()).st_size
        data = file.read(size + 1)  # so much memory is taken, whatever comes
    if len(data) != size:
        raise PictureError(str(path), "changed while it was read. Try again.")
    return data


def content_hash(source: str | Path | bytes) -> str:
    """Return the sha256 of a file's bytes as 64 hexadecimal digits.

    Raises
    ------
    PictureError
        If `source` is a path that can't be read.
    """
    data = source if isinstance(source, bytes) else read_file(source)
    return hashlib.sha256(data).hexdigest()


def name_of(source: PictureSource) -> str:
    """Return what to call a picture in an error: its file, or a word in brackets."""
    if isinstance(source, str | Path):
        return str(source)
    return str(getattr(source, "filename", "")) or f"({type(source).__name__})"


def _open_any(
    source: PictureSource,
    name: str,
    max_pixels: int,
    max_bytes: int,
    *,
    enough: int | None,
) -> Image.Image:
    # Another library may have switched this on; half grey pictures would be indexed.
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    if isinstance(source, np.ndarray):
        height, width = _check_array(source, name)
        _check_pixels((width, height), name, max_pixels)
        return Image.fromarray(_to_uint8(source, name))
    if isinstance(source, Image.Image):
        _check_pixels(source.size, name, max_pixels)
        source.load()
        return source
    if isinstance(source, str | Path):
        data = read_file(source, max_bytes=max_bytes)
    elif isinstance(source, bytes | bytearray | memoryview):
        data = bytes(source)
        _check_length(len(data), name, max_bytes)
    else:
        raise PictureError(
            name,
            "expected a path, bytes, a PIL image or a NumPy array. "
            f"Received: {type(source).__name__}.",
        )
    return _decode(data, name, max_pixels, enough)


def _decode(data: bytes, name: str, max_pixels: int, enough: int | None) -> Image.Image:
    if reason := _sniff(data):
        raise PictureError(name, reason)
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    _check_pixels(image.size, name, max_pixels)
    if image.format == "PNG":
        # Decoding skips the checksums of the pixel data; `verify` reads them all,
        # and leaves an image that can't be loaded.
        image.verify()
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    if enough:  # only a JPEG can be decoded at another scale
        image.draft(None, (enough, enough))
    image.load()
    key = image.info.get("transparency")
    if isinstance(key, tuple) and max(key) > 255:  # 16-bit colour; Pillow keeps 8 bits
        image.info["transparency"] = tuple(value >> 8 for value in key)
    return image


def _upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation; unreadable EXIF doesn't make a picture unusable."""
    try:
        orientation = image.getexif().get(0x0112, 1)
    except Exception:  # noqa: BLE001, damaged tags fail in many ways
        orientation = 1
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    return image.transpose(turns[orientation]) if orientation in turns else image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode[0] in "IF":  # "I", "I;16", "I;16B" …, "F": more than 8 bits
        image = _to_8_bit(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    image = image.convert("RGB")  # always a new image, so the caller's is safe
    image.info.clear()  # or its orientation would be applied a second time
    return image


def _to_8_bit(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    if image.mode.startswith("I;16"):
        values = values.astype(np.uint16)
    grey = Image.fromarray(_scale(values, stretch=True))
    key = image.info.get("transparency")  # the grey value that stands for "nothing"
    if isinstance(key, int):
        grey.putalpha(Image.fromarray(np.where(values == key, 0, 255).astype("uint8")))
    return grey


def _check_array(array: np.ndarray, name: str) -> tuple[int, int]:
    good_shape = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if not good_shape or array.size == 0 or array.dtype.kind not in "buif":
        raise PictureError(
            name,
            "expected numbers of shape (h, w), (h, w, 3) or (h, w, 4). "
            f"Received: {array.dtype} of shape {array.shape}. "
            "Pass one picture at a time, channels last.",
        )
    return array.shape[0], array.shape[1]


def _to_uint8(array: np.ndarray, name: str) -> np.ndarray:
    try:
        return _scale(array, stretch=False)
    except ValueError as error:
        raise PictureError(name, str(error)) from error


def _scale(values: np.ndarray, *, stretch: bool) -> np.ndarray:
    """Bring any numbers to uint8, by the rule that `open_picture` states."""
    if values.dtype == np.uint8:
        return np.ascontiguousarray(values)
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * 255
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:
        return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    is_float = values.dtype.kind == "f"
    values = values.astype(np.float64)
    if stretch:
        values = _fill_gaps(values)
    if not np.isfinite(values).all():
        raise ValueError("holds NaN or infinity. Replace them with np.nan_to_num.")
    low, high = values.min(), values.max()
    if is_float and low >= 0 and high <= 1:
        values *= 255
    elif low >= 0 and 255 < high <= 65535:
        values /= 257
    elif low < 0 or high > 255:
        if not stretch:
            raise ValueError(
                "expected values within 0–1, 0–255 or 0–65535. "
                f"Received: {low:.6g} to {high:.6g}. "
                "Pass the picture as it was before preprocessing."
            )
        values = (values - low) / (high - low or 1) * 255
    return np.rint(values).astype(np.uint8)


def _fill_gaps(values: np.ndarray) -> np.ndarray:
    """Replace NaN by the smallest value and infinities by the outermost ones."""
    finite = values[np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
    return np.nan_to_num(values, nan=low, posinf=high, neginf=low)


# --- Checks and reasons ----------------------------------------------------------


@contextmanager
def _opened(path: str | Path, max_bytes: int) -> Iterator[BinaryIO]:
    """Open a regular file of a bearable size; every failure is a PictureError."""
    name = str(path)
    try:
        _check_stat(os.stat(path), name, max_bytes)
        with open(path, "rb", opener=_open_without_waiting) as file:
            _check_stat(os.fstat(file.fileno()), name, max_bytes)
            yield file
    except PictureError:
        raise
    except OSError as error:
        raise PictureError(name, _explain_os_error(error, path)) from error
    except ValueError as error:  # a null character
        raise PictureError(name, f"not a possible name for a file: {error}") from error


def _open_without_waiting(path: str, flags: int) -> int:
    # Between the check and the opening a file may have become a pipe.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _check_stat(status: os.stat_result, name: str, max_bytes: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise PictureError(name, f"not a file but {_kind(status.st_mode)}")
    _check_length(status.st_size, name, max_bytes)


def _check_length(length: int, name: str, max_bytes: int) -> None:
    if length == 0:
        raise PictureError(name, "the file is empty; copy or download it again")
    if length > max_bytes:
        raise PictureError(
            name,
            f"larger than {max_bytes / 1e6:g} MB. "
            "Make the picture smaller or raise max_bytes.",
        )


def _check_pixels(size: tuple[int, int], name: str, max_pixels: int) -> None:
    width, height = size
    if width * height == 0:
        raise PictureError(name, f"has no pixels ({width}×{height})")
    if width * height > max_pixels:
        raise PictureError(
            name,
            f"too many pixels: {width}×{height}; at most {max_pixels:,}. Make the "
            "picture smaller or raise max_pixels.",
        )
    if max(size) > MAX_SIDE:
        raise PictureError(
            name,
            f"too long: {width}×{height}; at most {MAX_SIDE:,} pixels a side. Make the "
            "picture smaller or cut it into pieces.",
        )


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return kinds.get(stat.S_IFMT(mode), "something else")


def _sniff(head: bytes) -> str | None:
    """Why these first bytes are no picture that can be opened, or None."""
    signatures = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"BM")
    tiff = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"MM*\0", b"II\0*")
    if head.startswith(signatures + tiff):
        return None
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return None
    if head.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the picture itself. Run: git lfs pull"
    if head[4:8] == b"ftyp":
        kind = "an AVIF" if head[8:12] in (b"avif", b"avis") else "a HEIC"
        return (
            f"{kind} picture or a video, which is not supported. Save it as JPEG "
            "(on an iPhone: Settings, Camera, Formats, Most Compatible)."
        )
    return (
        "not a JPEG, PNG, WebP, GIF, BMP or TIFF picture, whatever its name says; "
        f"it begins with {head[:8]!r}"
    )


def _explain_os_error(error: OSError, path: str | Path) -> str:
    if isinstance(error, FileNotFoundError):
        if os.path.islink(path):
            return "a link to a file that is not there"
        return "no such file"
    if isinstance(error, PermissionError):
        return "may not be read. Change the file's permissions."
    return f"can't be read: {error.strerror or error}"


def _explain(error: Exception) -> str:
    detail = f"{type(error).__name__}: {error}"
    if isinstance(error, MemoryError):
        return "too large for this machine's memory. Make the picture smaller."
    if isinstance(error, UnidentifiedImageError):
        return "its header is damaged or cut short. Copy or download it again."
    if any(hint in detail.lower() for hint in ("truncated", "end of file", "b''")):
        return f"cut short (truncated). Copy or download it again. ({detail})"
    if "unsupported" in detail.lower():
        return f"of a rare kind that can't be read. Save it as PNG or JPEG. ({detail})"
    return f"damaged or cut short. Copy or download it again. ({detail})"


# --- Many pictures ---------------------------------------------------------------


def scan_folder(folder: str | Path) -> Collection:
    """Find the pictures in a folder and all folders below it.

    A file is a candidate if it has a picture's suffix, in any case. Each candidate is
    either taken or refused with a reason; a light look at its first bytes decides, and
    `load_pictures` may refuse it later on. Links to folders are followed, each
    real folder and each real file is taken once, so that loops do no harm.

    Parameters
    ----------
    folder : str or Path
        A folder of class folders, of loose pictures, or both.

    Returns
    -------
    collection : Collection
        A picture's label is the name of the first folder below `folder` on its path.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        If `folder` is not an existing folder.

    Examples
    --------
    >>> collection = scan_folder("images")  # doctest: +SKIP
    >>> collection.paths[0].name, collection.labels[0]  # doctest: +SKIP
    ('apple_0_0.jpg', 'apple')
    """
    root = Path(folder)
    name = printable(str(root))
    if not root.exists():
        raise FileNotFoundError(f"no such folder: {name}. Check the path.")
    if not root.is_dir():
        raise NotADirectoryError(f"expected a folder. Received a file: {name}.")
    collection = Collection()
    candidates, collection.refused = _walk(root)
    seen: dict[Identity, Path] = {}
    # Real files before links, so that a link never takes its target's place.
    for path in sorted(candidates, key=lambda path: (path.is_symlink(), path.parts)):
        if reason := _light_check(path, seen):
            collection.refused.append(Refusal(path, reason))
        else:
            collection.paths.append(path)
    collection.paths.sort(key=lambda path: path.parts)
    collection.refused.sort(key=lambda refusal: refusal.path.parts)
    collection.labels = [_label(path, root) for path in collection.paths]
    return collection


def load_pictures(
    paths: Sequence[str | Path], size: int
) -> tuple[np.ndarray, list[int], list[Refusal]]:
    """Open many pictures into one array, leaving out those that can't be opened.

    Parameters
    ----------
    paths : sequence of paths
    size : int
        Side of the squares, in pixels.

    Returns
    -------
    images : uint8 array of shape (n, size, size, 3)
    kept : list of int
        ``paths[kept[i]]`` is the picture in ``images[i]``.
    refused : list of Refusal
        The others, with the reason.
    """
    images = np.empty((len(paths), size, size, 3), np.uint8)
    kept: list[int] = []
    refused: list[Refusal] = []
    for positions, batch in iterate_batches(paths, size, refused=refused):
        images[len(kept) : len(kept) + len(batch)] = batch
        kept += positions
    return images[: len(kept)], kept, refused


def iterate_batches(
    paths: Sequence[str | Path],
    size: int,
    *,
    batch_size: int = 32,
    refused: list[Refusal] | None = None,
) -> Iterator[tuple[list[int], np.ndarray]]:
    """Yield pictures batch by batch; only one batch is in memory at a time.

    Parameters
    ----------
    paths : sequence of paths
    size : int
        Side of the squares, in pixels.
    batch_size : int
        Pictures in a batch; the last one may be smaller.
    refused : list of Refusal, optional
        Files that can't be opened are appended to it.

    Yields
    ------
    positions : list of int
        ``paths[positions[i]]`` is the picture in ``batch[i]``.
    batch : uint8 array of shape (b, size, size, 3)

    Raises
    ------
    ValueError
        If `batch_size` is less than 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1. Received: {batch_size}.")
    positions: list[int] = []
    pictures: list[np.ndarray] = []
    for position, path in enumerate(paths):
        try:
            pictures.append(load_picture(path, size))
        except PictureError as error:
            if refused is not None:
                refused.append(Refusal(Path(path), error.reason))
            continue
        positions.append(position)
        if len(pictures) == batch_size:
            yield positions, np.stack(pictures)
            positions, pictures = [], []
    if pictures:
        yield positions, np.stack(pictures)


def _walk(root: Path) -> tuple[list[Path], list[Refusal]]:
    """Find the files with a picture's suffix, entering each real folder once."""
    files: list[Path] = []
    refused: list[Refusal] = []
    # A link to a folder above `root` would lead out over the whole disk.
    seen = {_identity(parent, parent.stat()) for parent in root.resolve().parents}
    folders, links = [root], []
    while folders or links:
        if not folders:  # links last and in order: the result is always the same
            links.sort(reverse=True)
            folders.append(links.pop())
        folder = folders.pop()
        try:
            identity = _identity(folder, folder.stat())
            if identity in seen:
                continue
            seen.add(identity)
            for path in folder.iterdir():
                if os.path.isdir(path):  # unlike Path.is_dir it never raises
                    (links if path.is_symlink() else folders).append(path)
                elif path.suffix.lower() in SUFFIXES:
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


def _light_check(path: Path, seen: dict[Identity, Path]) -> str | None:
    """Why a file is refused at first sight, or None; `seen` gains the file."""
    try:
        with _opened(path, MAX_BYTES) as file:
            identity = _identity(path, os.fstat(file.fileno()))
            first = seen.setdefault(identity, path)
            if first != path:
                return f"the same file as {printable(str(first))}, which is taken once"
            return _sniff(file.read(64))
    except PictureError as error:
        return error.reason


def _label(path: Path, root: Path) -> str:
    folders = path.relative_to(root).parts[:-1]
    return folders[0] if folders else ""


# --- The bundled gallery ---------------------------------------------------------


def read_metadata(csv_path: str | Path) -> list[dict[str, str | int | float]]:
    """Read the table that describes the bundled gallery, one dict for each picture.

    Parameters
    ----------
    csv_path : str or Path
        ``images/metadata.csv``, or a file with its columns.

    Returns
    -------
    rows : list of dict
        ``instance`` and ``view`` are ints, ``yaw`` and ``elevation`` floats (degrees),
        the other columns text; ``file`` is relative to the table's folder.

    Raises
    ------
    FileNotFoundError
        If the table doesn't exist.
    ValueError
        If it is no CSV in UTF-8, a column is missing, or a number isn't one.
    """
    name = printable(str(csv_path))
    try:
        with open(csv_path, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{name}: expected CSV in UTF-8. ({error})") from error
    missing = {"file", "label", *METADATA_NUMBERS} - set(reader.fieldnames or [])
    if missing:
        raise ValueError(
            f"{name}: expected the columns {sorted(missing)} as well. "
            f"Received: {reader.fieldnames}."
        )
    for line, row in enumerate(rows, start=2):
        try:
            row.update({key: kind(row[key]) for key, kind in METADATA_NUMBERS.items()})
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name}, line {line}: {error}") from error
    return rows
