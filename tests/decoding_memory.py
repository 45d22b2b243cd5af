r"""Measure how much memory it takes to decode pictures of every kind.

    python tests/decoding_memory.py                    # 8,000 × 8,000, 10 minutes
    python tests/decoding_memory.py --side 2000 --only TIFF

Every picture is decoded in a process of its own, small ones first, so that the peak
(the system's high-water mark, over what the process had before) is the decoding's.  In
a second process the address space is capped at the same limit.  The limit shrinks with
the side, so that a quick run is as strict as a full one.  Exit status 1 if a peak is
above it, or a picture is neither decoded nor refused by our own error.
"""

import argparse
import io
import json
import resource
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile

ROOT = Path(__file__).parents[1]
SIDE, LIMIT = 8000, 400_000_000  # bytes, for a picture of this side
FIXED = 16_000_000  # of it: what a decoder takes for a picture of any size


# --- Pictures of every kind ------------------------------------------------------
def ramp(side: int, dtype: str = "u1") -> np.ndarray:
    """Make a picture that takes little room in a file and is nowhere the same."""
    line = np.arange(side, dtype="f4") / side
    largest = {"u1": 255, "u2": 65535, "i4": 10**6, "f4": 1}[dtype]
    return ((line[:, None] + line) * (largest / 2)).astype(dtype)


def grey(side: int) -> Image.Image:
    return Image.fromarray(ramp(side))


def colour(side: int, mode: str = "RGB") -> Image.Image:
    band = grey(side)
    return Image.merge(mode, [band] * len(Image.new(mode, (1, 1)).getbands()))


def file_of(make: Callable, format: str, **options) -> Callable[[int], bytes]:
    def content(side: int) -> bytes:
        file = io.BytesIO()
        with_frames = {k: v(side) if callable(v) else v for k, v in options.items()}
        make(side).save(file, format, **with_frames)
        return file.getvalue()

    return content


def deep(dtype: str) -> Callable[[int], Image.Image]:
    return lambda side: Image.fromarray(ramp(side, dtype))


def palette(side: int) -> Image.Image:
    image = grey(side)
    image.putpalette([value for i in range(256) for value in (i, 255 - i, i // 2)])
    return image


def turned(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


def another(make: Callable) -> Callable[[int], list[Image.Image]]:
    return lambda side: [make(side).transpose(Image.Transpose.ROTATE_180)]


def tiled_tiff(tile: int) -> Callable[[int], bytes]:
    """Floats in tiles, each deflated; Pillow reads such files, and writes none."""

    def content(side: int) -> bytes:
        across = -(-side // tile)
        one = zlib.compress(ramp(tile, "f4").tobytes(), 1)
        at, n = 8, across * across
        end = at + len(one)
        tags = [(256, side), (257, side), (258, 32), (259, 8), (262, 1), (277, 1)]
        tags += [(322, tile), (323, tile), (324, end), (325, end + 4 * n), (339, 3)]
        rows = [(t, 4, n if t in (324, 325) and n > 1 else 1, v) for t, v in tags]
        if n == 1:
            rows[8], rows[9] = (324, 4, 1, at), (325, 4, 1, len(one))
        lists = struct.pack(f"<{2 * n}I", *[at] * n, *[len(one)] * n)
        entries = b"".join(struct.pack("<HHII", *row) for row in rows)
        directory = struct.pack("<H", len(rows)) + entries + bytes(4)
        begin = struct.pack("<2sHI", b"II", 42, end + len(lists))
        return begin + one + lists + directory

    return content


def colour_by_colour(side: int) -> bytes:
    """Make a baseline JPEG whose colours come one after the other."""
    data = file_of(grey, "JPEG")(side)
    frame, scan = data.index(b"\xff\xc0"), data.index(b"\xff\xda")
    size = data[frame + 5 : frame + 9]
    parts = b"".join(bytes([number, 0x11, 0]) for number in (1, 2, 3))
    frame3 = b"\xff\xc0\x00\x11\x08" + size + b"\x03" + parts
    body = data[frame + 13 : scan]
    scans = [
        b"\xff\xda\x00\x08\x01" + bytes([number]) + data[scan + 6 : -2]
        for number in (1, 2, 3)
    ]
    return data[:frame] + frame3 + body + b"".join(scans) + b"\xff\xd9"


def run_length_bmp(side: int) -> bytes:
    line = b"\xff\x07" * (side // 255) + bytes([side % 255 or 1, 9]) + b"\0\0"
    pixels = line * side + b"\0\1"
    info = (40, side, side, 1, 8, 1, len(pixels), 0, 0, 256, 0)
    colours = b"".join(bytes([i, i, i, 0]) for i in range(256))
    head = struct.pack("<IiiHHIIiiII", *info) + colours
    start = 14 + len(head)
    begin = struct.pack("<2sIII", b"BM", start + len(pixels), 0, start)
    return begin + head + pixels


def deep_png(side: int) -> bytes:
    """Make a PNG of 16 bits for each of red, green and blue; Pillow writes none."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    line = b"\0" + bytes(range(100)) * (6 * side // 100 + 1)
    line = line[: 1 + 6 * side]
    packer = zlib.compressobj(1)
    pixels = b"".join([packer.compress(line) for _ in range(side)] + [packer.flush()])
    head = struct.pack(">IIBBBBB", side, side, 16, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def rgba(side: int) -> Image.Image:
    return colour(side, "RGBA")


def cmyk(side: int) -> Image.Image:
    return colour(side, "CMYK")


def black_and_white(side: int) -> Image.Image:
    return grey(side).convert("1")


DEFLATE = {"compression": "tiff_adobe_deflate"}
ONE_STRIP = {**DEFLATE, "tiffinfo": lambda side: {278: side}}
QUICK = {"compress_level": 1}
LOSSY = {"quality": 50, "method": 0}
LOSSLESS = {"lossless": True, "quality": 0, "method": 0}
FRAMES = {"save_all": True, "append_images": another(rgba)}
CLEAR = {"save_all": True, "append_images": another(palette), "transparency": 3}
SCANS = {"progressive": True}
KINDS: dict[str, Callable[[int], bytes]] = {
    "float32 TIFF": file_of(deep("f4"), "TIFF", **DEFLATE),
    "float32 TIFF, one strip": file_of(deep("f4"), "TIFF", **ONE_STRIP),
    "float32 TIFF, tiles": tiled_tiff(256),
    "float32 TIFF, one tile": lambda side: tiled_tiff(-(-side // 16) * 16)(side),
    "int32 TIFF": file_of(deep("i4"), "TIFF", **DEFLATE),
    "16-bit TIFF": file_of(deep("u2"), "TIFF", **DEFLATE),
    "RGB TIFF": file_of(colour, "TIFF", **DEFLATE),
    "RGB TIFF, turned": file_of(colour, "TIFF", exif=turned(6), **DEFLATE),
    "RGBA TIFF": file_of(rgba, "TIFF", **DEFLATE),
    "CMYK TIFF": file_of(cmyk, "TIFF", **DEFLATE),
    "LAB TIFF": file_of(lambda side: colour(side, "LAB"), "TIFF", **DEFLATE),
    "JPEG in TIFF": file_of(colour, "TIFF", compression="jpeg"),
    "1-bit TIFF": file_of(black_and_white, "TIFF", compression="group4"),
    "RGB PNG": file_of(colour, "PNG", **QUICK),
    "RGBA PNG": file_of(rgba, "PNG", **QUICK),
    "RGBA PNG, turned": file_of(rgba, "PNG", exif=turned(6), **QUICK),
    "RGBA PNG, animated": file_of(rgba, "PNG", **QUICK, **FRAMES),
    "RGB PNG, a clear colour": file_of(colour, "PNG", transparency=(9, 9, 9), **QUICK),
    "16-bit RGB PNG": deep_png,
    "16-bit PNG": file_of(deep("u2"), "PNG", **QUICK),
    "LA PNG": file_of(lambda side: colour(side, "LA"), "PNG", **QUICK),
    "palette PNG, a clear colour": file_of(palette, "PNG", transparency=3, **QUICK),
    "grey PNG": file_of(grey, "PNG", **QUICK),
    "1-bit PNG": file_of(black_and_white, "PNG", **QUICK),
    "GIF": file_of(palette, "GIF"),
    "GIF, animated, a clear colour": file_of(palette, "GIF", **CLEAR),
    "RGB WebP": file_of(colour, "WEBP", **LOSSY),
    "RGBA WebP": file_of(rgba, "WEBP", **LOSSY),
    "RGBA WebP, lossless": file_of(rgba, "WEBP", **LOSSLESS),
    "RGBA WebP, animated": file_of(rgba, "WEBP", **LOSSLESS, **FRAMES),
    "JPEG": file_of(colour, "JPEG"),
    "JPEG, turned": file_of(colour, "JPEG", exif=turned(6)),
    "JPEG, progressive": file_of(colour, "JPEG", **SCANS),
    "JPEG, progressive, 4:4:4": file_of(colour, "JPEG", subsampling=0, **SCANS),
    "JPEG, colour by colour": colour_by_colour,
    "CMYK JPEG": file_of(cmyk, "JPEG"),
    "CMYK JPEG, progressive": file_of(cmyk, "JPEG", **SCANS),
    "grey JPEG": file_of(grey, "JPEG"),
    "BMP, run-length": run_length_bmp,
}


# --- Measuring -------------------------------------------------------------------
def limit_of(side: int) -> int:
    """Return how many bytes decoding a picture of this side may take."""
    return FIXED + (LIMIT - FIXED) * side * side // SIDE**2


def peak() -> int:
    """Return the largest memory that this process has had, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def child(path: Path, size: int, limit: int, *, capped: bool) -> dict[str, object]:
    """Decode one picture; return its peak in MB, its seconds and what came of it."""
    from utils import images
    from utils.errors import PictureError
    from utils.pixels import decoding

    for small in KINDS.values():  # whatever a library sets up once
        images.load_picture(small(64), size)
    decoding.MEMORY.limit = limit
    forget_peak()
    before, start = peak(), time.perf_counter()
    if capped:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + limit + FIXED
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    try:
        pixels = images.load_picture(path, size)
        outcome = f"decoded {pixels.mean():.2f}"
    except PictureError as error:
        outcome = error.reason
    seconds = time.perf_counter() - start
    return {"mb": (peak() - before) / 1e6, "s": seconds, "outcome": outcome}


def measured(path: Path, size: int, limit: int, *, capped: bool = False) -> dict:
    """Decode in a process of its own."""
    command = [sys.executable, __file__, "--child", str(path), "--size", str(size)]
    command += ["--limit", str(limit)] + ["--capped"] * capped
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [""]
        outcome = f"BAD: exit status {done.returncode} {last[0]}"
        return {"mb": float("nan"), "s": float("nan"), "outcome": outcome}
    return json.loads(done.stdout)


def measure(side: int, size: int, only: str) -> list[str]:
    """Print a row for each kind of picture; return what was bad."""
    limit = limit_of(side)
    print(f"{side} × {side} pixels to {size} × {size}; at most {limit / 1e6:.0f} MB")
    print("| picture | file MB | peak MB | s | capped | outcome |\n" + "|---" * 6 + "|")
    bad = []
    for kind, make in KINDS.items():
        if only not in kind:
            continue
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "picture"
            path.write_bytes(make(side))
            free = measured(path, size, limit)
            capped = measured(path, size, limit, capped=True)["outcome"]
            megabytes = path.stat().st_size / 1e6
        same = "the same" if capped == free["outcome"] else capped
        row = f"| {kind} | {megabytes:.2f} | {free['mb']:.0f} | {free['s']:.2f} "
        print(f"{row}| {same} | {free['outcome']} |", flush=True)
        if not free["mb"] * 1e6 <= limit or same != "the same":
            bad.append(kind)
    return bad


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=SIDE)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--only", default="", help="kinds whose name holds this")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--limit", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--capped", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        sys.path.insert(0, str(ROOT))
        Image.MAX_IMAGE_PIXELS = None
        arguments = options.child, options.size, options.limit
        print(json.dumps(child(*arguments, capped=options.capped)))
        return 0
    ImageFile.MAXBLOCK = 1 << 27  # for the JPEGs that are written here
    bad = measure(options.side, options.size, options.only)
    print(f"bad: {', '.join(bad) or 'none'}")
    return len(bad) > 0


if __name__ == "__main__":
    sys.exit(main())
