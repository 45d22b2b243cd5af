"""One picture, from a file's bytes to upright RGB pixels, in bounded memory.

Pillow decodes a picture whole and as deep as it is stored.  What follows is done in
bands of rows (8 bits for deep numbers, white for transparency, turning, narrowing), so
a picture costs its own pixels and little more.  All threads share `MEMORY`: what its
header says is too dear is refused undecoded, the rest wait for one another.
"""

import io
import math
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError

from utils.errors import LFS_POINTER

MAX_PIXELS = 64_000_000  # 256 MB once decoded; phones take up to 50 million
MAX_SIDE = 65_535  # JPEG's own limit
WHOLE = 12_000_000  # pixels that are resized in one go, as Pillow would
BAND = 1 << 18  # pixels that are converted together
BAND_BYTES = 8_000_000  # what that takes, in any mode
WEBP_BESIDE = 12  # bytes a pixel, for two canvases and a frame
YCBCR = 6  # a TIFF's number for colours that libtiff gives in 4 bytes
MOST_OF_LIBTIFF = 100_000_000  # for the coefficients of a JPEG inside
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
FILTER = Image.Resampling.BILINEAR
TURN = ExifTags.Base.Orientation
SIDEWAYS, BACKWARDS = (5, 6, 7, 8), (3, 4, 7, 8)  # EXIF's numbers for how it is stored

Size = tuple[int, int]  # width and height
Shrink = Callable[[Size], Size]  # from a picture's upright size to the wanted one


class RefusedError(Exception):
    """Why a picture is refused; its name is known where this is caught."""


class Memory:
    """Bytes that threads share: who would take too many waits for the others."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._taken = 0
        self._turn, self._freed = threading.Lock(), threading.Condition()

    @contextmanager
    def taken(self, need: int) -> Iterator[None]:
        """Wait until so many bytes are free, and hold them."""
        with self._turn, self._freed:  # only one waits here: large ones get their turn
            self._freed.wait_for(lambda: self._taken + need <= self.limit)
            self._taken += need
        try:
            yield
        finally:
            with self._freed:
                self._taken -= need
                self._freed.notify()


MEMORY = Memory(400_000_000)
# In blocks of 16 MB, Pillow's own size, glibc would keep what a thread has freed for
# this thread: the next ones would take theirs beside it.
Image.core.set_block_size(1 << 26)


def decode(
    source: bytes | Image.Image | np.ndarray,
    *,
    max_pixels: int = MAX_PIXELS,
    enough: int | None = None,
    shrink: Shrink | None = None,
) -> Image.Image:
    """Return a picture upright and in RGB, resized if `shrink` is given.

    `utils.images.open_picture` describes the rest.  RefusedError says why not; on
    damaged files Pillow raises many others.
    """
    # Another library may have switched this on; half grey pictures would be indexed.
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    opened = _opened(source)
    size, beside = _size(opened), _bytes_beside(opened)
    _check_pixels(size, max_pixels)
    if enough and isinstance(source, bytes):  # only a JPEG has other scales
        opened.draft(None, (enough, enough))
    need = _bytes_needed(opened, beside, shrink)
    kind = getattr(opened, "format", None) or type(opened).__name__
    if isinstance(source, bytes):
        need += len(source) * (2 if kind == "WEBP" else 1)  # of a WebP there is a copy
    _check_memory(kind, size, need)
    with MEMORY.taken(need):
        opened = _load(opened, source)
        size, pixels = _upright(opened, shrink)
        del opened, source  # which makes room
        image = Image.fromarray(pixels) if isinstance(pixels, np.ndarray) else pixels
        image = image.resize(shrink(size), FILTER) if shrink else image
        image.info.clear()  # or it would be turned a second time
        return image


def explain(error: Exception, max_pixels: int) -> str:
    """Say what Pillow's error means, and what to do."""
    said = re.sub(r"""b('[^']*'|"[^"]*")""", "…", str(error))  # of the content
    detail = f"{type(error).__name__}: {said}"
    if isinstance(error, Image.DecompressionBombError):
        return (
            f"too many pixels: at most {max_pixels:,}. Make the picture smaller, or "
            f"raise max_pixels and Pillow's own limit. (Pillow said: {error})"
        )
    if isinstance(error, MemoryError):
        return "too large for this machine's memory. Make the picture smaller."
    if isinstance(error, UnidentifiedImageError):
        return "its header is damaged or cut short. Copy or download it again."
    if "b''" in str(error) or any(
        hint in detail.lower() for hint in ("truncated", "end of file")
    ):
        return f"cut short (truncated). Copy or download it again. ({detail})"
    if "unsupported" in detail.lower():
        return f"of a rare kind that can't be read. Save it as PNG or JPEG. ({detail})"
    return f"damaged or cut short. Copy or download it again. ({detail})"


# --- Before decoding -------------------------------------------------------------


def _opened(source: Any) -> Any:
    """Return a picture of which only the header was read, or an array."""
    if isinstance(source, bytes):
        check_beginning(source)
        if source[8:12] == b"WEBP":
            _check_webp(source)
        return Image.open(io.BytesIO(source), formats=FORMATS)
    if isinstance(source, Image.Image):
        return source
    if not isinstance(source, np.ndarray):
        raise RefusedError(
            "expected a path, bytes, a PIL image or a NumPy array. "
            f"Received: {type(source).__name__}."
        )
    good_shape = source.ndim == 2 or source.ndim == 3 and source.shape[2] in (3, 4)
    if not good_shape or source.size == 0 or source.dtype.kind not in "buif":
        raise RefusedError(
            "expected numbers of shape (h, w), (h, w, 3) or (h, w, 4). "
            f"Received: {source.dtype} of shape {source.shape}. "
            "Pass one picture at a time, channels last."
        )
    return source


def _size(opened: Any) -> Size:
    is_array = isinstance(opened, np.ndarray)
    return (opened.shape[1], opened.shape[0]) if is_array else opened.size


def _check_pixels(size: Size, max_pixels: int) -> None:
    pixels, shape = math.prod(size), "×".join(map(str, size))
    if pixels == 0:
        raise RefusedError(f"has no pixels ({shape})")
    if pixels > max_pixels:
        limit = f"at most {max_pixels:,}. Make the picture smaller or raise max_pixels."
        raise RefusedError(f"too many pixels: {shape}; {limit}")
    if max(size) > MAX_SIDE:
        limit = f"at most {MAX_SIDE:,} pixels a side."
        fix = "Make the picture smaller or cut it into pieces."
        raise RefusedError(f"too long: {shape}; {limit} {fix}")


def check_beginning(head: bytes) -> None:
    """Refuse what is no picture that can be opened, by its first bytes."""
    signatures = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"BM")
    tiff = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"MM*\0", b"II\0*")
    is_webp = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    if is_webp or head.startswith(signatures + tiff):
        return
    if head.startswith(LFS_POINTER):
        raise RefusedError(
            "a Git LFS pointer, not the picture itself. Run: git lfs pull"
        )
    if head[4:8] == b"ftyp":
        kind = "an AVIF" if head[8:12] in (b"avif", b"avis") else "a HEIC"
        raise RefusedError(
            f"{kind} picture or a video, which is not supported. Save it as JPEG "
            "(on an iPhone: Settings, Camera, Formats, Most Compatible)."
        )
    raise RefusedError(
        "not a JPEG, PNG, WebP, GIF, BMP or TIFF picture, whatever its name says. "
        "Open it with another program, and save it as one of these."
    )


def _check_memory(kind: str, size: Size, need: int) -> None:
    if need > MEMORY.limit:
        raise RefusedError(
            f"decoding this {kind} of {size[0]}×{size[1]} pixels takes "
            f"{need / 1e6:,.0f} MB of memory; at most {MEMORY.limit / 1e6:,.0f}. Make "
            "a smaller copy, or save it as a plain JPEG or PNG, which take less."
        )


def _check_webp(data: bytes) -> None:
    """Refuse a WebP that is too dear, because opening one takes memory already."""
    if data[12:16] == b"VP8X":
        size = [1 + int.from_bytes(data[at : at + 3], "little") for at in (24, 27)]
    elif data[12:16] == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        size = [1 + (bits >> shift & 0x3FFF) for shift in (0, 14)]
    else:
        size = [int.from_bytes(data[at : at + 2], "little") & 0x3FFF for at in (26, 28)]
    need = (4 + WEBP_BESIDE) * size[0] * size[1] + BAND_BYTES + 2 * len(data)
    _check_memory("WEBP", (size[0], size[1]), need)


def _bytes_needed(opened: Any, beside: int, shrink: Shrink | None) -> int:
    """Return what decoding takes at its highest point, the file left out.

    `beside` is what the decoder takes until the pixels are there.
    """
    (width, height), stored = _size(opened), 0  # the caller's own is there already
    if isinstance(opened, ImageFile.ImageFile):
        deep = 2 if ";" in opened.mode else 4
        stored = width * height * (1 if opened.mode in ("1", "L", "P") else deep)
    shapes = (width, height), (height, width)  # only decoding shows which
    rows = max(3 * shape[1] * _width(shape, shrink) for shape in shapes)
    return BAND_BYTES + max(stored + max(beside, rows), rows + 4 * rows // 3)


def _bytes_beside(opened: Any) -> int:
    """Return what Pillow's decoder takes beside the pixels."""
    kind, pixels = getattr(opened, "format", None), math.prod(_size(opened))
    if kind == "WEBP":
        return WEBP_BESIDE * pixels
    if not getattr(opened, "tile", None):  # decoded already
        return 0
    if kind in ("JPEG", "MPO") and not _is_one_scan(opened):
        parts = [h * v for _, h, v, _ in opened.layer]  # all coefficients, of 2 bytes
        return 2 * pixels * sum(parts) // max(1, *parts)
    if kind == "TIFF":
        return _bytes_of_tiff(opened)
    return 2 * pixels if opened.tile[0][0] == "bmp_rle" else 0


def _is_one_scan(opened: Any) -> bool:
    """Whether all colours of a JPEG come in one scan, whose head Pillow has passed."""
    n, here = len(opened.layer), opened.fp.tell()
    opened.fp.seek(max(0, here - 2 * n - 6))
    start = opened.fp.read(3)
    opened.fp.seek(here)
    return "progressive" not in opened.info and start == bytes([0, 2 * n + 6, n])


def _bytes_of_tiff(opened: Any) -> int:
    """Return what a strip or tile takes, or turning the whole, which Pillow does."""
    (width, height), tags, strip = opened.size, opened.tag_v2, 0
    if opened.tile[0][0] == "libtiff":
        rows = min(tags.get(278, height), height)
        pixels = tags.get(322, width) * tags.get(323, rows)
        deep = max(-(-sum(tags.get(258, (8,))) // 8), 4 * (tags.get(262) == YCBCR))
        is_jpeg = opened.info.get("compression") == "jpeg"
        strip = pixels * deep + is_jpeg * min(8 * pixels, MOST_OF_LIBTIFF)
    return max(strip, 4 * width * height * (tags.get(TURN, 1) != 1))


# --- Decoding --------------------------------------------------------------------


def _load(opened: Any, source: Any) -> Any:
    if isinstance(source, bytes) and opened.format == "PNG":
        # Decoding skips the checksums of the pixel data; `verify` reads them all,
        # and leaves an image that can't be loaded.
        opened.verify()
        opened = Image.open(io.BytesIO(source), formats=FORMATS)
    if isinstance(opened, Image.Image):
        opened.load()
    return opened


def _upright(opened: Any, shrink: Shrink | None) -> tuple[Size, Any]:
    """Return an upright picture's size, and its pixels as an array or an image.

    A large one is narrowed already: Pillow, too, resizes rows by themselves and then
    columns, or the other way round if that is quicker.
    """
    turn, size = 1, _size(opened)
    with suppress(Exception):  # an array has none, and damaged tags fail in many ways
        turn = opened.getexif().get(TURN, 1)
    is_turned, is_image = turn in range(2, 9), isinstance(opened, Image.Image)
    is_rgb = is_image and opened.mode == "RGB" and not opened.has_transparency_data
    if shrink and is_rgb and not is_turned:
        return size, opened
    size = size[::-1] if turn in SIDEWAYS else size
    width, at = _width(size, shrink), 0
    rows = np.empty((size[1], width, 3), np.uint8)
    limits = _limits(opened)
    for part in _bands(opened, turn):
        band = _to_rgb(part, limits)
        if is_turned:
            band.info.clear()  # Pillow would write all tags again, damaged ones, too
            band.getexif()[TURN] = turn
            ImageOps.exif_transpose(band, in_place=True)
        if band.width != width:
            band = band.resize((width, band.height), FILTER)
        rows[at : at + band.height] = np.asarray(band)
        at += band.height
    return size, rows


def _width(size: Size, shrink: Shrink | None) -> int:
    """Return how wide the rows of an upright picture are made."""
    return shrink(size)[0] if shrink and math.prod(size) > WHOLE else size[0]


def _bands(opened: Any, turn: Any = 1) -> Iterator[Any]:
    """Cut a picture into what becomes its bands of rows once it is turned."""
    width, height = _size(opened)
    across, along = (height, width) if turn in SIDEWAYS else (width, height)
    step = max(1, BAND // across)
    starts = range(0, along, step)
    for start in reversed(starts) if turn in BACKWARDS else starts:
        end = min(start + step, along)
        if isinstance(opened, np.ndarray):
            yield opened[start:end]
        elif turn in SIDEWAYS:
            yield opened.crop((start, 0, end, height))
        else:
            yield opened.crop((0, start, width, end))


def _limits(opened: Any) -> tuple[float, float] | None:
    """Return the smallest and largest number of a deep picture, None of others."""
    is_array = isinstance(opened, np.ndarray)
    if not is_array and opened.mode not in ("I", "F"):
        return None
    low, high = math.inf, -math.inf
    for band in _bands(opened):
        values = np.asarray(band)
        if values.dtype.kind == "u" and values.dtype.itemsize <= 2:
            return None
        finite = values[np.isfinite(values)]
        if is_array and finite.size < values.size:
            raise RefusedError(
                "holds NaN or infinity. Replace them with np.nan_to_num."
            )
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    return (low, high) if low <= high else (0.0, 0.0)


def _to_rgb(band: Any, limits: tuple[float, float] | None) -> Image.Image:
    if isinstance(band, np.ndarray):
        band = Image.fromarray(_scale(band, limits, stretch=False))
    elif band.mode[0] in "IF":  # "I", "I;16", "I;16B" …, "F": more than 8 bits
        values = np.asarray(band)
        clear = band.info.get("transparency")  # the grey that stands for "nothing"
        band = Image.fromarray(_scale(values, limits, stretch=True))
        if isinstance(clear, int):
            band.putalpha(Image.fromarray(255 * (values != clear).astype(np.uint8)))
    clear = band.info.get("transparency")
    if isinstance(clear, tuple) and max(clear) > 255:  # of 16 bits; Pillow keeps 8
        band.info["transparency"] = tuple(value >> 8 for value in clear)
    if band.has_transparency_data:
        white = Image.new("RGBA", band.size, "white")
        band = Image.alpha_composite(white, band.convert("RGBA"))
    return band.convert("RGB")


def _scale(
    values: np.ndarray, limits: tuple[float, float] | None, *, stretch: bool
) -> np.ndarray:
    """Bring any numbers to uint8, by the rule that `open_picture` states."""
    if values.dtype == np.uint8:
        return np.ascontiguousarray(values)
    if limits is None:
        return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    (low, high), may_be_shares = limits, values.dtype.kind in "bf"
    values = values.astype(np.float64)
    if stretch:
        values = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
    if may_be_shares and low >= 0 and high <= 1:
        values *= 255
    elif low >= 0 and 255 < high <= 65535:
        values /= 257
    elif low < 0 or high > 255:
        if not stretch:
            raise RefusedError(
                "expected values within 0–1, 0–255 or 0–65535. "
                f"Received: {low:.6g} to {high:.6g}. "
                "Pass the picture as it was before preprocessing."
            )
        values = (values - low) / (high - low or 1) * 255
    return np.rint(values).astype(np.uint8)
