"""Every odd picture is made here, by Pillow or by hand, in a temporary folder."""

import io
import os
import struct
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageFile, ImageOps

from utils import images
from utils.errors import PictureError
from utils.images import (
    Refusal,
    iterate_batches,
    load_picture,
    load_pictures,
    open_picture,
    read_file,
    resize,
    scan_folder,
    sha256_of,
    thumbnail,
)

needs_posix = pytest.mark.skipif(os.name == "nt", reason="needs a POSIX file system")


def checks(height: int = 40, width: int = 60) -> np.ndarray:
    """Make a picture of coloured squares whose every region differs."""
    rng = np.random.default_rng(seed=0)
    squares = rng.integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8)
    return np.kron(squares, np.ones((4, 4, 1), np.uint8))


def encode(picture: np.ndarray | Image.Image, format: str, **options) -> bytes:
    if isinstance(picture, np.ndarray):
        picture = Image.fromarray(picture)
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + checksum


def make_png(width: int, height: int, pixels: bytes, depth: int = 8, colour: int = 2):
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(pixels, 9))
    return b"\x89PNG\r\n\x1a\n" + body + png_chunk(b"IEND", b"")


def pixels_of(source, **options) -> np.ndarray:
    picture = open_picture(source, **options)
    assert picture.mode == "RGB"
    return np.asarray(picture)


# --- One picture, many doors -----------------------------------------------------


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "GIF", "WEBP", "JPEG"])
def test_each_format_opens_and_the_lossless_ones_exactly(format):
    original = checks()
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 95, "subsampling": 0}}
    opened = pixels_of(encode(original, format, **options.get(format, {})))
    # A GIF has 256 colours, which is more than these 150 squares need.
    assert np.abs(opened.astype(int) - original).max() <= (
        90 if format == "JPEG" else 0
    )
    assert np.abs(opened.astype(int) - original).mean() < 4


@settings(max_examples=40, deadline=None)
@given(
    hnp.arrays(
        np.uint8,
        st.tuples(st.integers(1, 12), st.integers(1, 12), st.sampled_from([3, 4]))
        | st.tuples(st.integers(1, 12), st.integers(1, 12)),
    ),
    st.integers(1, 20),
)
def test_the_same_picture_gives_the_same_pixels_by_every_door(array, size):
    data = encode(array, "PNG")
    sources = [
        data,
        bytearray(data),
        memoryview(data),
        Image.open(io.BytesIO(data)),
        Image.fromarray(array),
        array,
        array / 255,
        array.astype(np.float32) if array.max() > 1 else array,
        array.astype(np.uint16) * 257,
        array[::-1][::-1],  # not contiguous
    ]
    expected = load_picture(sources[0], size)
    assert expected.shape == (size, size, 3)
    assert expected.dtype == np.uint8
    for source in sources[1:]:
        np.testing.assert_array_equal(load_picture(source, size), expected)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "CMYK", "1", "I;16"])
def test_a_picture_of_any_mode_is_the_same_by_path_bytes_and_pil(tmp_path, mode):
    picture = Image.fromarray(checks())
    picture = (
        picture.convert("L").convert("I;16") if ";" in mode else picture.convert(mode)
    )
    path = tmp_path / "picture"
    path.write_bytes(encode(picture, "TIFF" if mode == "CMYK" else "PNG"))
    expected = load_picture(path, 33)
    for source in (str(path), path.read_bytes(), Image.open(path), picture):
        np.testing.assert_array_equal(load_picture(source, 33), expected)


def test_the_callers_picture_is_left_as_it_was():
    picture = Image.fromarray(checks()).convert("RGBA")
    array = checks()
    opened = open_picture(picture)
    open_picture(array).putpixel((0, 0), (1, 2, 3))
    opened.putpixel((0, 0), (1, 2, 3))
    assert picture.mode == "RGBA"
    np.testing.assert_array_equal(np.asarray(picture)[..., :3], checks())
    np.testing.assert_array_equal(array, checks())


# --- Orientation -----------------------------------------------------------------

# How a picture that is stored as `s` must be shown, from the Exif standard (2.32,
# tag 0x0112): where the stored first row and first column belong.
UPRIGHT = {
    1: lambda s: s,
    2: lambda s: s[:, ::-1],
    3: lambda s: s[::-1, ::-1],
    4: lambda s: s[::-1],
    5: lambda s: s.swapaxes(0, 1),
    6: lambda s: s[::-1].swapaxes(0, 1),
    7: lambda s: s[::-1, ::-1].swapaxes(0, 1),
    8: lambda s: s.swapaxes(0, 1)[::-1],
}


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF", "JPEG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_picture_is_shown_upright_exactly_once(format, orientation):
    stored = checks()
    exif = Image.Exif()
    exif[0x0112] = orientation
    lossless = {"lossless": True} if format == "WEBP" else {}
    data = encode(stored, format, exif=exif, **lossless)
    if format == "JPEG":
        stored = pixels_of(encode(stored, format))
    expected = UPRIGHT[orientation](stored)
    opened = open_picture(data)
    np.testing.assert_array_equal(np.asarray(opened), expected)
    np.testing.assert_array_equal(pixels_of(Image.open(io.BytesIO(data))), expected)
    np.testing.assert_array_equal(pixels_of(opened), expected)  # not turned again


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_impossible_orientation_is_ignored(value):
    exif = Image.Exif()
    exif[0x0112] = value
    np.testing.assert_array_equal(
        pixels_of(encode(checks(), "PNG", exif=exif)), checks()
    )


def test_damaged_exif_does_not_cost_the_picture():
    data = encode(checks(), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    np.testing.assert_array_equal(pixels_of(data), pixels_of(encode(checks(), "JPEG")))


def test_damaged_tags_beside_a_good_orientation_do_not_lie_the_picture_down():
    """Pillow can read the orientation, and cannot write all the tags again."""
    entries = struct.pack(">HHIHH", 0x0112, 3, 1, 6, 0)
    entries += struct.pack(">HHII", 0x0110, 12, 3, 5)  # a camera's name, in floats
    exif = b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 2) + entries + b"\0\0\0\0"
    stored = encode(checks(), "JPEG")
    data = encode(checks(), "JPEG", exif=exif)
    with pytest.raises(AttributeError):
        ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    expected = UPRIGHT[6](pixels_of(stored))
    np.testing.assert_array_equal(pixels_of(data), expected)
    np.testing.assert_array_equal(pixels_of(Image.open(io.BytesIO(data))), expected)


# --- Depth and colour ------------------------------------------------------------


def column(picture: np.ndarray) -> list[int]:
    """Return the grey values of a picture one row high, after checking it is grey."""
    assert (picture == picture[..., :1]).all()
    return picture[0, :, 0].tolist()


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled_not_clipped(format):
    grey = np.array([[0, 257, 32896, 65535]], np.uint16)
    assert column(pixels_of(encode(grey, format))) == [0, 1, 128, 255]


def test_big_endian_16_bit_tiff():
    grey = Image.new("I;16B", (2, 1))
    grey.putpixel((1, 0), 257 * 200)
    assert column(pixels_of(encode(grey, "TIFF"))) == [0, 200]


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([0, 0.5, 1], [0, 128, 255]),
        ([0, 100, 200], [0, 100, 200]),
        ([0, 257, 65535], [0, 1, 255]),
        ([-10, 0, 10], [0, 128, 255]),
        ([0, 50_000, 100_000], [0, 128, 255]),
        ([0, 1.5, 2], [0, 2, 2]),
        ([0, np.nan, 1], [0, 0, 255]),
        ([0, np.inf, 1], [0, 255, 255]),
        ([np.inf, -np.inf], [0, 0]),
        ([np.nan, np.nan], [0, 0]),
        ([5e5, 5e5], [0, 0]),
    ],
)
def test_a_float_tiff_is_scaled_by_its_range(values, shown):
    data = encode(np.array([values], np.float32), "TIFF")
    assert column(pixels_of(data)) == shown


def test_a_32_bit_integer_tiff_is_scaled_by_its_range():
    data = encode(np.array([[-100, 0, 100]], np.int32), "TIFF")
    assert column(pixels_of(data)) == [0, 128, 255]


def test_transparency_is_put_on_white():
    rgba = np.array([[[255, 0, 0, 255], [255, 0, 0, 0], [0, 0, 0, 128]]], np.uint8)
    expected = [[[255, 0, 0], [255, 255, 255], [127, 127, 127]]]
    for format in ("PNG", "TIFF"):
        np.testing.assert_array_equal(pixels_of(encode(rgba, format)), expected)


def test_grey_with_alpha_is_put_on_white():
    la = Image.new("LA", (3, 1))
    for x, pixel in enumerate([(9, 255), (9, 0), (0, 128)]):
        la.putpixel((x, 0), pixel)
    assert column(pixels_of(encode(la, "PNG"))) == [9, 255, 127]


@pytest.mark.parametrize("format", ["PNG", "GIF"])
def test_a_transparent_palette_entry_is_white(format):
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 200, 100, 50])
    palette.putpixel((1, 0), 1)
    opened = pixels_of(encode(palette, format, transparency=0))
    np.testing.assert_array_equal(opened, [[[255, 255, 255], [200, 100, 50]]])


def test_a_16_bit_transparent_grey_is_white():
    data = encode(np.array([[0, 4660]], np.uint16), "PNG")
    key = png_chunk(b"tRNS", struct.pack(">H", 4660))
    start = data.index(b"IDAT") - 4
    assert column(pixels_of(data[:start] + key + data[start:])) == [0, 255]


def test_a_16_bit_transparent_colour_is_white():
    pixel = struct.pack(">3H", 0x1234, 0x5678, 0x9ABC)
    data = make_png(2, 1, b"\0" + pixel + b"\xff\xff\0\0\0\0", depth=16)
    start = data.index(b"IDAT") - 4
    data = data[:start] + png_chunk(b"tRNS", pixel) + data[start:]
    np.testing.assert_array_equal(pixels_of(data), [[[255, 255, 255], [255, 0, 0]]])


def test_cmyk_becomes_rgb():
    cmyk = Image.new("CMYK", (16, 16), (0, 255, 255, 0))  # no cyan: red
    red = pixels_of(encode(cmyk, "JPEG", quality=95)).reshape(-1, 3).mean(axis=0)
    assert red[0] > 245
    assert red[1:].max() < 10


def test_grey_and_black_and_white_have_three_equal_channels():
    grey = Image.fromarray(checks()).convert("L")
    assert column(pixels_of(encode(grey, "JPEG"))[:1])
    assert set(column(pixels_of(encode(grey.convert("1"), "PNG"))[:1])) <= {0, 255}


@pytest.mark.parametrize("format", ["GIF", "TIFF", "WEBP", "PNG"])
def test_the_first_frame_of_many_is_taken(format):
    red, blue = (Image.new("RGB", (4, 4), name) for name in ("red", "blue"))
    lossless = {"lossless": True} if format == "WEBP" else {}
    data = encode(red, format, save_all=True, append_images=[blue], **lossless)
    assert (pixels_of(data) == [255, 0, 0]).all()


def test_a_phone_picture_with_a_second_one_inside_opens():
    data = encode(
        Image.new("RGB", (8, 8), "red"),
        "MPO",
        save_all=True,
        append_images=[Image.new("RGB", (8, 8), "blue")],
    )
    assert pixels_of(data)[0, 0, 0] > 245


# --- Arrays ----------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(4,), (1, 4, 4, 3), (3, 8, 8), (4, 4, 1), (0, 4, 3)])
def test_an_array_of_another_shape_is_refused(shape):
    with pytest.raises(PictureError, match="Pass one picture at a time, channels last"):
        open_picture(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("value", [-1.0, 70_000.0])
def test_an_array_that_was_preprocessed_is_refused(value):
    array = np.zeros((2, 2, 3))
    array[0, 0, 0] = value
    with pytest.raises(PictureError, match="as it was before preprocessing"):
        open_picture(array)


def test_an_array_with_gaps_or_of_text_is_refused():
    with pytest.raises(PictureError, match="NaN"):
        open_picture(np.full((2, 2), np.nan))
    with pytest.raises(PictureError, match="Received: <U1"):
        open_picture(np.full((2, 2), "x"))


def test_an_error_names_the_file_or_says_what_kind_of_thing_was_refused(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encode(checks(), "PNG"))
    named = [
        (path, str(path)),
        (str(path), str(path)),
        (Image.open(path), str(path)),
        (Image.new("RGB", (60, 40)), "(Image)"),
        (path.read_bytes(), "(bytes)"),
        (checks(), "(ndarray)"),
    ]
    for source, name in named:
        for called in (None, "holiday"):
            with pytest.raises(PictureError, match="too many pixels") as info:
                open_picture(source, max_pixels=1, name=called)
            assert info.value.source == (called or name)


def test_something_that_is_no_picture_at_all_is_refused():
    with pytest.raises(PictureError, match="Received: int"):
        open_picture(42)


# --- Damage ----------------------------------------------------------------------


def damage_cases() -> list[tuple[str, bytes]]:
    picture = checks()
    deep = np.arange(2400, dtype=np.uint16).reshape(40, 60) * 27
    return [
        ("baseline", encode(picture, "JPEG")),
        ("progressive", encode(picture, "JPEG", progressive=True)),
        ("png", encode(picture, "PNG")),
        ("16-bit", encode(deep, "PNG")),
        ("gif", encode(picture, "GIF")),
        ("bmp", encode(picture, "BMP")),
        ("webp", encode(picture, "WEBP")),
        ("tiff", encode(picture, "TIFF")),
        ("lzw", encode(picture, "TIFF", compression="tiff_lzw")),
    ]


@pytest.mark.parametrize(("name", "data"), damage_cases())
def test_wherever_a_file_is_cut_it_is_refused_or_whole(name, data):
    whole = pixels_of(data)
    refused = 0
    cuts = {
        *range(0, len(data), max(1, len(data) // 150)),
        *range(len(data) - 16, len(data)),
    }
    for cut in cuts:
        try:
            opened = pixels_of(data[:cut], name="cut.jpg")
        except PictureError as error:
            assert "cut.jpg: " in str(error)
            refused += 1
        else:
            np.testing.assert_array_equal(opened, whole)
    assert refused >= len(cuts) - 16  # only an end mark may be missing


def test_a_cut_picture_is_called_so_and_named(tmp_path):
    path = tmp_path / "half.jpg"
    path.write_bytes(encode(checks(), "JPEG")[:-200])
    with pytest.raises(
        PictureError, match=r"half\.jpg: cut short \(truncated\)"
    ) as info:
        open_picture(path)
    assert info.value.source == str(path)


def test_half_pictures_stay_refused_if_another_library_allows_them(monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    data = encode(checks(), "JPEG")[:-200]
    with pytest.raises(PictureError, match="truncated"):
        open_picture(data)
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(PictureError, match="truncated"):
        open_picture(Image.open(io.BytesIO(data)))


@pytest.mark.parametrize(("name", "data"), damage_cases())
def test_damaged_bytes_raise_our_error_and_no_other(name, data):
    rng = np.random.default_rng(seed=0)
    for _ in range(150):
        damaged = bytearray(data)
        for position in rng.integers(0, len(data), rng.integers(1, 4)):
            damaged[position] = rng.integers(256)
        try:
            open_picture(bytes(damaged))
        except PictureError as error:
            assert error.reason


def test_every_flipped_bit_in_a_png_is_found():
    data = encode(checks(), "PNG")
    for position in range(8, len(data), 7):
        damaged = bytearray(data)
        damaged[position] ^= 1
        try:
            opened = pixels_of(bytes(damaged))
        except PictureError:
            continue
        np.testing.assert_array_equal(opened, checks())


# --- Not a picture ---------------------------------------------------------------

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
NOT_PICTURES = [
    (b"", "empty"),
    (LFS, "git lfs pull"),
    (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC picture.*JPEG"),
    (b"\0\0\0\x1cftypmif1\0\0\0\0heic", "a HEIC picture.*JPEG"),
    (b"\0\0\0\x1cftypavif\0\0\0\0avif", "an AVIF picture.*JPEG"),
    (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a JPEG, PNG, WebP"),
    (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a JPEG, PNG, WebP"),
    (b"Hello, this is text.\n", "Open it with another program, and save it as"),
    (b"\0" * 100, "not a JPEG, PNG, WebP"),
    (b"\x89PNG\r\n\x1a\n", "header is damaged or cut short"),
    (encode(checks(), "BMP").replace(b"\x18", b"\x02", 1), "rare kind.*Save it as PNG"),
]


@pytest.mark.parametrize(("data", "reason"), NOT_PICTURES)
def test_what_is_not_a_picture_is_refused_with_the_remedy(tmp_path, data, reason):
    path = tmp_path / "photo.jpg"
    path.write_bytes(data)
    for source in (path, str(path), data):
        with pytest.raises(PictureError, match=rf"photo\.jpg: .*{reason}"):
            open_picture(source, name="photo.jpg")


def test_a_format_is_told_by_content_not_by_suffix(tmp_path):
    path = tmp_path / "really_a_png.jpg"
    path.write_bytes(encode(checks(), "PNG"))
    np.testing.assert_array_equal(pixels_of(path), checks())
    path.write_bytes(encode(checks(), "PPM"))
    with pytest.raises(PictureError, match="not a JPEG"):
        open_picture(path)


def test_a_small_file_of_very_many_pixels_is_refused_undecoded(tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(make_png(10_000, 10_000, b"\0" * 1250 * 10_000, 1, 0))
    assert path.stat().st_size < 50_000
    with pytest.raises(PictureError, match="too many pixels: 10000×10000"):
        open_picture(path)


@pytest.fixture
def pictures_that_pillow_warns_of(tmp_path) -> list[str]:
    (tmp_path / "bomb.png").write_bytes(make_png(10_000, 10_000, b"", 1, 0))
    (tmp_path / "exif.jpg").write_bytes(
        encode(checks(), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    )
    return [str(path) for path in sorted(tmp_path.iterdir())]


@pytest.mark.parametrize("is_notebook", [True, False])
def test_no_warning_of_pillow_ends_in_the_output_of_a_notebook(
    pictures_that_pillow_warns_of, tmp_path_factory, is_notebook
):
    home = tmp_path_factory.mktemp("home")
    lines = [
        "%run utils/start.py" if is_notebook else "pass",
        "from utils.images import load_pictures",
        f"print(load_pictures({pictures_that_pillow_warns_of}, 8)[1])",
    ]
    # A fresh process: pytest has filters of its own.
    done = subprocess.run(
        [sys.executable, "-m", "IPython", "-c", "\n".join(lines)],
        env=os.environ | {"IPYTHONDIR": str(home), "HOME": str(home)},
        capture_output=True,
        text=True,
        cwd=Path(images.__file__).parents[1],
        check=True,
    )
    assert done.stdout == "[1]\n"
    # A program that has not asked for silence gets Pillow's word.
    assert ("could be decompression bomb" in done.stderr) != is_notebook
    assert done.stderr == "" or not is_notebook


def test_the_import_leaves_the_filters_of_the_process_alone():
    code = (
        "import warnings, numpy, PIL.Image; before = list(warnings.filters);"
        "import utils.images; print(before == list(warnings.filters))"
    )
    root = Path(images.__file__).parents[1]
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout == "True\n"


def test_a_picture_beyond_pillows_own_limit_has_too_many_pixels_too():
    data = make_png(60_000, 60_000, b"", 1, 0)
    advice = "too many pixels: at most 64,000,000.*raise max_pixels and Pillow's"
    with pytest.raises(PictureError, match=advice):
        open_picture(data)


def test_a_strip_of_extreme_length_is_refused_with_advice_that_helps():
    with pytest.raises(PictureError, match="65,535 pixels a side.*cut it") as info:
        open_picture(np.zeros((1, 70_000), np.uint8))
    assert "max_pixels" not in info.value.reason


@pytest.mark.parametrize("kind", ["path", "bytes", "pil", "array"])
def test_the_limit_of_pixels_holds_at_every_door(tmp_path, kind):
    path = tmp_path / "picture.png"
    path.write_bytes(encode(checks(40, 60), "PNG"))
    sources = {
        "path": path,
        "bytes": path.read_bytes(),
        "pil": Image.open(io.BytesIO(path.read_bytes())),
        "array": checks(40, 60),
    }
    load_picture(sources[kind], 8, max_pixels=2400)
    with pytest.raises(PictureError, match="raise max_pixels"):
        load_picture(sources[kind], 8, max_pixels=2399)


def test_a_file_of_too_many_bytes_is_refused_unread(tmp_path):
    path = tmp_path / "huge.jpg"
    with path.open("wb") as file:
        file.truncate(50_000_000_000)  # a hole: takes no room
    with pytest.raises(PictureError, match=r"huge\.jpg: larger than 100 MB"):
        open_picture(path)
    with pytest.raises(PictureError, match="raise max_bytes"):
        open_picture(encode(checks(), "BMP"), max_bytes=1000)


# --- Odd files -------------------------------------------------------------------


def test_a_missing_file_is_named():
    with pytest.raises(PictureError, match=r"nowhere\.jpg: no such file"):
        open_picture("nowhere.jpg")
    with pytest.raises(PictureError, match="not a possible name"):
        open_picture("null\0character.jpg")


def test_a_folder_called_like_a_picture_is_refused(tmp_path):
    (tmp_path / "x.jpg").mkdir()
    with pytest.raises(PictureError, match="not a file but a folder"):
        open_picture(tmp_path / "x.jpg")


@needs_posix
def test_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    errors = []

    def work() -> None:
        try:
            open_picture(tmp_path / "pipe.jpg")
        except PictureError as error:
            errors.append(error.reason)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(timeout=10)
    assert errors == ["not a file but a pipe"]


@needs_posix
def test_a_device_is_refused():
    with pytest.raises(PictureError, match="not a file but a device"):
        open_picture("/dev/zero")


@needs_posix
def test_links_that_lead_nowhere_are_refused(tmp_path):
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "gone.jpg")
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    with pytest.raises(PictureError, match="a link to a file that is not there"):
        open_picture(tmp_path / "dangling.jpg")
    with pytest.raises(PictureError, match=r"loop\.jpg: can't be read: .*links"):
        open_picture(tmp_path / "loop.jpg")


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read anything"
)
def test_a_file_that_may_not_be_read_is_refused(tmp_path):
    path = tmp_path / "secret.jpg"
    path.write_bytes(encode(checks(), "JPEG"))
    path.chmod(0)
    with pytest.raises(PictureError, match="Change the file's permissions"):
        open_picture(path)


def test_a_path_may_be_anything_that_is_one(tmp_path):
    (tmp_path / "a.png").write_bytes(encode(checks(), "PNG"))
    (entry,) = os.scandir(tmp_path)
    assert scan_folder(str(tmp_path)).paths == [Path(entry)]
    for path in (entry, Path(entry), entry.path):
        assert read_file(path) == (tmp_path / "a.png").read_bytes()
        np.testing.assert_array_equal(pixels_of(path), checks())
        assert load_pictures([path], 8)[1] == [0]
        with pytest.raises(PictureError, match=r"a\.png: .*max_pixels"):
            open_picture(path, max_pixels=1)
        thumbnail(path, 8)
    (tmp_path / "a.png").unlink()
    assert load_pictures([entry], 8)[2] == [Refusal(Path(entry), "no such file")]
    (tmp_path / "sub").mkdir()
    (folder,) = os.scandir(tmp_path)
    assert len(scan_folder(folder)) == 0


def test_the_tilde_is_the_home_folder(tmp_path, monkeypatch):
    home, here = tmp_path / "home", tmp_path / "here"
    for folder, shade in ((home, 10), (here / "~", 20)):
        folder.mkdir(parents=True)
        pixels = np.full((4, 4, 3), shade, np.uint8)
        (folder / "a.png").write_bytes(encode(pixels, "PNG"))
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.chdir(tmp_path)
    for path in ("~/a.png", Path("~/a.png")):
        assert pixels_of(path)[0, 0, 0] == 10
    assert scan_folder("~").paths == [home / "a.png"]
    with pytest.raises(PictureError, match="~/b.png: no such file"):
        read_file("~/b.png")
    with pytest.raises(PictureError, match="~nobody/b.png: no such file"):
        read_file("~nobody/b.png")
    # A folder that really has this name: its files are not those at home.
    monkeypatch.chdir(here)
    found = scan_folder(".")
    assert found.paths == [Path("~/a.png")]
    assert load_pictures(found.paths, 4)[0][0, 0, 0, 0] == 20


def odd_names() -> list[str]:
    names = [
        "with space.jpg",
        "line\nbreak.jpg",
        "🐈‍⬛.jpg",
        'it\'s "quoted".jpg',
        "é" * 125,
    ]
    names += ["-rf.jpg", "%s{0}.jpg", "n" * 251 + ".jpg", os.fsdecode(b"\xff\xfe.jpg")]
    return [name if name.endswith(".jpg") else name + ".jpg" for name in names]


@needs_posix
@pytest.mark.skipif(sys.platform == "darwin", reason="macOS wants names in UTF-8")
def test_odd_names_are_scanned_loaded_and_named(tmp_path):
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.mkdir()
    bad.mkdir()
    for name in odd_names():
        (good / name).write_bytes(encode(checks(), "JPEG"))
        (bad / name).write_bytes(b"no")
    found = scan_folder(tmp_path)
    assert {path.name for path in found.paths} == set(odd_names())
    assert {refusal.path.name for refusal in found.refused} == set(odd_names())
    assert len(load_pictures(found.paths, 8)[0]) == len(odd_names())
    for refusal in found.refused:
        with pytest.raises(PictureError) as info:
            open_picture(refusal.path)
        assert info.value.source == str(refusal.path)
        assert str(info.value).isprintable()


# --- Bytes -----------------------------------------------------------------------


def test_the_sha256_is_that_of_the_bytes(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    path = tmp_path / "abc"
    for source in (path, str(path), b"abc", bytearray(b"abc"), memoryview(b"abc")):
        assert sha256_of(source) == expected
    with pytest.raises(PictureError, match="no such file"):
        sha256_of(tmp_path / "nowhere")


def test_a_file_that_grows_or_shrinks_while_it_is_read_is_refused(
    tmp_path, monkeypatch
):
    path = tmp_path / "growing.jpg"
    path.write_bytes(b"x" * 100)
    fstat = os.fstat
    for seen in (99, 101):

        def stale(descriptor, size=seen):
            status = list(fstat(descriptor))
            status[6] = size  # st_size
            return os.stat_result(status)

        monkeypatch.setattr(images.os, "fstat", stale)
        with pytest.raises(PictureError, match=r"growing\.jpg: changed while it was"):
            read_file(path)


def test_a_file_is_read_whole(tmp_path):
    (tmp_path / "data").write_bytes(bytes(range(256)) * 1000)
    assert read_file(tmp_path / "data") == bytes(range(256)) * 1000


# --- Resizing --------------------------------------------------------------------


def test_a_picture_is_squashed_to_a_square_and_antialiased():
    stripes = np.zeros((64, 128, 3), np.uint8)
    stripes[:, ::2] = 255
    squashed = resize(Image.fromarray(stripes), 16)
    assert squashed.shape == (16, 16, 3)
    assert np.abs(squashed.astype(int) - 127.5).max() < 25  # grey, not stripes
    squashed[0] = 0  # the caller's own, writable


@pytest.mark.parametrize("size", [0, -1, 2.5, "8", None, True])
def test_a_size_is_a_whole_number_of_pixels(size, tmp_path):
    picture = Image.new("RGB", (4, 4))
    message = f"must be a whole number of at least 1. Received: {size!r}"
    for function in (resize, load_picture, thumbnail):
        with pytest.raises(ValueError, match=f"si[zd]e {message}"):
            function(picture, size)
    with pytest.raises(ValueError, match=f"size {message}"):
        load_pictures([tmp_path / "nowhere.jpg"], size)


def test_resize_says_what_it_needs():
    with pytest.raises(ValueError, match="Received: mode L. Open it with open_picture"):
        resize(Image.new("L", (4, 4)), 4)


def test_a_thumbnail_is_a_small_upright_jpeg_of_the_same_shape(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned: stored lying, shown standing
    data = encode(checks(40, 80), "JPEG", exif=exif, comment=b"x" * 60_000)
    for source in (data, Image.open(io.BytesIO(data))):
        jpeg = thumbnail(source, 20)
        shown = Image.open(io.BytesIO(jpeg))
        assert (shown.format, shown.size) == ("JPEG", (10, 20))
        assert not shown.getexif()
        assert len(jpeg) < 2000, "comments stay behind"


def test_a_thumbnail_makes_nothing_larger_and_no_side_vanishes():
    assert open_picture(thumbnail(encode(checks(4, 8), "PNG"), 100)).size == (8, 4)
    strip = Image.new("RGB", (3000, 2))
    assert open_picture(thumbnail(strip, 30)).size == (30, 1)
    assert strip.size == (3000, 2), "the caller's picture is left as it was"


def test_a_thumbnail_of_a_broken_or_too_large_picture_is_refused():
    with pytest.raises(PictureError, match="not a JPEG"):
        thumbnail(b"no picture", 20)
    with pytest.raises(PictureError, match="too many pixels"):
        thumbnail(encode(checks(), "PNG"), 20, max_pixels=100)


# --- Folders ---------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path) -> Path:
    """Make a folder of two classes and a loose picture, each picture different."""
    names = ["mug/a.jpg", "mug/B.JPG", "mug/deep/er/c.Png", "book/a.webp", "loose.tif"]
    for shade, name in enumerate(names):
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        format = {"jpg": "JPEG", "tif": "TIFF"}.get(path.suffix[1:].lower())
        picture = np.full((8, 8, 3), 50 * shade, np.uint8)
        path.write_bytes(encode(picture, format or path.suffix[1:].upper()))
    (tmp_path / "root" / "mug" / "notes.txt").write_text("not a candidate")
    return tmp_path / "root"


def names_of(paths: list[Path], root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in paths]


def test_a_scan_finds_every_picture_with_the_first_folder_as_its_label(folder):
    found = scan_folder(str(folder))
    names = ["book/a.webp", "loose.tif", "mug/B.JPG", "mug/a.jpg", "mug/deep/er/c.Png"]
    assert names_of(found.paths, folder) == names
    assert found.labels == ["book", "", "mug", "mug", "mug"]
    assert (len(found), found.refused) == (5, [])


@needs_posix
def test_a_scan_does_not_depend_on_the_file_systems_order(folder, monkeypatch):
    (folder / "zz").symlink_to(folder / "mug", target_is_directory=True)
    (folder / "again.jpg").symlink_to(folder / "mug" / "a.jpg")
    (folder.parent / "other disk").mkdir()
    (folder.parent / "other disk" / "x.png").write_bytes(encode(checks(), "PNG"))
    for name in ("urn", "amphora", "jar"):
        (folder / name).symlink_to(folder.parent / "other disk")
    expected = scan_folder(folder)
    iterdir = Path.iterdir
    for backwards in (False, True):
        monkeypatch.setattr(
            Path,
            "iterdir",
            lambda path, order=backwards: iter(sorted(iterdir(path), reverse=order)),
        )
        assert scan_folder(folder) == expected
    assert expected.labels[0] == "amphora"  # of several links the first name wins


def test_what_can_not_be_used_is_refused_and_the_sum_is_right(folder):
    (folder / "mug" / "empty.jpg").touch()
    (folder / "mug" / "pointer.png").write_bytes(LFS)
    (folder / "mug" / "phone.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    (folder / "mug" / "x.jpg").mkdir()  # a folder is no candidate
    (folder / "mug" / "x.jpg" / "text.gif").write_text("text")
    found = scan_folder(folder)
    reasons = {refusal.path.name: refusal.reason for refusal in found.refused}
    assert list(reasons) == ["empty.jpg", "phone.HEIC", "pointer.png", "text.gif"]
    assert "git lfs pull" in reasons["pointer.png"]
    assert "JPEG" in reasons["phone.HEIC"]
    assert len(found) == len(found.labels) == 5


@needs_posix
def test_pipes_and_links_to_nowhere_are_refused_by_the_scan(folder):
    os.mkfifo(folder / "pipe.jpg")
    (folder / "dangling.jpg").symlink_to(folder / "gone")
    (folder / "loop.jpg").symlink_to(folder / "loop.jpg")
    found = scan_folder(folder)
    assert names_of([refusal.path for refusal in found.refused], folder) == [
        "dangling.jpg",
        "loop.jpg",
        "pipe.jpg",
    ]
    assert len(found) == 5


@needs_posix
def test_folders_that_link_in_circles_are_walked_once(folder):
    (folder / "mug" / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "a_first").symlink_to(folder / "mug", target_is_directory=True)
    (folder / "up").symlink_to(folder.parent.parent, target_is_directory=True)
    found = scan_folder(folder)
    assert (len(found), found.refused) == (5, [])
    assert set(found.labels) == {"book", "mug", ""}  # the real folder's name wins


@needs_posix
def test_a_class_folder_elsewhere_may_be_linked_in(folder, tmp_path):
    (tmp_path / "other disk").mkdir()
    (tmp_path / "other disk" / "x.png").write_bytes(encode(checks(), "PNG"))
    (folder / "vase").symlink_to(tmp_path / "other disk", target_is_directory=True)
    assert scan_folder(folder).labels.count("vase") == 1


@needs_posix
def test_each_real_file_is_taken_once_and_the_other_names_reported(folder):
    (folder / "a_link.jpg").symlink_to(folder / "mug" / "a.jpg")
    os.link(folder / "mug" / "a.jpg", folder / "mug" / "z_hard.jpg")
    found = scan_folder(folder)
    assert len(found) == 5
    assert folder / "mug" / "a.jpg" in found.paths
    assert names_of([r.path for r in found.refused], folder) == [
        "a_link.jpg",
        "mug/z_hard.jpg",
    ]
    assert all("the same file as" in refusal.reason for refusal in found.refused)


def test_files_of_a_drive_that_numbers_nothing_are_all_taken(folder, monkeypatch):
    def unnumbered(original):
        def stat(*args, **options):
            status = list(original(*args, **options))
            status[1] = 0  # st_ino
            return os.stat_result(status)

        return stat

    monkeypatch.setattr(os, "fstat", unnumbered(os.fstat))
    monkeypatch.setattr(os, "stat", unnumbered(os.stat))
    found = scan_folder(folder)
    assert (len(found), found.refused) == (5, [])


def test_a_folder_that_is_none_is_said_so(folder):
    with pytest.raises(FileNotFoundError, match="no such folder: nowhere"):
        scan_folder("nowhere")
    with pytest.raises(FileNotFoundError, match=r"no such folder: two\\nlines"):
        scan_folder("two\nlines")
    with pytest.raises(NotADirectoryError, match="expected a folder"):
        scan_folder(folder / "loose.tif")


def test_an_empty_folder_is_an_empty_collection(tmp_path):
    assert len(scan_folder(tmp_path)) == 0


# --- Many pictures ---------------------------------------------------------------


@pytest.fixture
def mixed(tmp_path) -> list[Path]:
    """Make seven files of which numbers 0 and 4 are damaged."""
    paths = [tmp_path / f"{i}.png" for i in range(7)]
    for i, path in enumerate(paths):
        data = encode(np.full((4, 4, 3), 10 * i, np.uint8), "PNG")
        path.write_bytes(data[:-20] if i in (0, 4) else data)
    return paths


def test_bad_files_are_left_out_and_the_positions_still_fit(mixed):
    pictures, positions, refused = load_pictures(mixed, 6)
    assert pictures.shape == (5, 6, 6, 3)
    assert positions == [1, 2, 3, 5, 6]
    assert pictures[:, 0, 0, 0].tolist() == [10, 20, 30, 50, 60]
    assert [refusal.path for refusal in refused] == [mixed[0], mixed[4]]
    assert isinstance(refused[0], Refusal)


def test_no_pictures_are_an_empty_array():
    pictures, positions, refused = load_pictures([], 6)
    assert (pictures.shape, positions, refused) == ((0, 6, 6, 3), [], [])
    assert list(iterate_batches([], 6)) == []


def test_batches_are_full_but_for_the_last_and_come_with_their_refusals(mixed):
    batches = list(iterate_batches(mixed, 6, batch_size=2))
    assert [positions for positions, _, _ in batches] == [[1, 2], [3, 5], [6]]
    assert [batch[:, 0, 0, 0].tolist() for _, batch, _ in batches] == [
        [10, 20],
        [30, 50],
        [60],
    ]
    names = [[refusal.path.name for refusal in refused] for _, _, refused in batches]
    assert names == [["0.png"], ["4.png"], []]


def test_refusals_at_the_end_come_with_the_last_pictures(mixed):
    order = [mixed[i] for i in (1, 2, 0, 4)]
    ((positions, batch, refused),) = iterate_batches(order, 6, batch_size=2)
    assert (positions, batch.shape) == ([0, 1], (2, 6, 6, 3))
    assert [refusal.path for refusal in refused] == [mixed[0], mixed[4]]


def test_where_nothing_can_be_opened_there_is_one_empty_batch(mixed):
    ((positions, batch, refused),) = iterate_batches([mixed[0], mixed[4]], 6)
    assert (positions, batch.shape, batch.dtype) == ([], (0, 6, 6, 3), np.uint8)
    assert len(refused) == 2


def test_a_batch_is_yielded_before_the_next_one_is_read(mixed, monkeypatch):
    opened = []
    original = images.load_picture

    def counting(*args, **options):
        opened.append(1)
        return original(*args, **options)

    monkeypatch.setattr(images, "load_picture", counting)
    next(iterate_batches(mixed[1:4] * 3, 6, batch_size=2))
    assert len(opened) == 3


def test_a_file_that_vanished_meanwhile_is_refused(mixed):
    mixed = mixed[1:4]
    mixed[2].unlink()
    ((positions, _, refused),) = iterate_batches(mixed, 6)
    assert positions == [0, 1]
    assert refused == [Refusal(mixed[2], "no such file")]


def test_impossible_batches_are_refused(mixed):
    with pytest.raises(ValueError, match="batch_size must be a whole number of at"):
        next(iterate_batches(mixed, 6, batch_size=0))


# --- Real photos -----------------------------------------------------------------


def test_every_real_photo_opens(photos):
    found = scan_folder(photos)
    assert len(found) > 0
    assert found.refused == []
    opened = 0
    for positions, batch, refused in iterate_batches(found.paths, 64):
        assert batch.std(axis=(1, 2, 3)).min() > 0
        assert refused == []
        opened += len(positions)
    assert opened == len(found)


@pytest.mark.skipif(os.name == "nt", reason="links need a right on Windows")
def test_a_link_with_an_impossible_target_costs_only_itself(tmp_path):
    for number in range(3):
        Image.new("RGB", (4, 4), (number, 0, 0)).save(tmp_path / f"{number}.png")
    os.symlink("x" * 300, tmp_path / "bad.jpg")
    found = scan_folder(tmp_path)
    assert [path.name for path in found.paths] == ["0.png", "1.png", "2.png"]
    assert [refusal.path.name for refusal in found.refused] == ["bad.jpg"]


def test_a_large_jpeg_is_decoded_small_and_hardly_differs(tmp_path):
    rows = np.linspace(0, 255, 1200)[:, None, None]
    columns = np.linspace(0, 255, 1600)[None, :, None]
    noise = np.random.default_rng(0).integers(-40, 40, (1200, 1600, 3))
    pixels = np.clip((rows + columns) / 2 + noise, 0, 255).astype("uint8")
    path = tmp_path / "large.jpg"
    Image.fromarray(pixels).save(path, quality=95)
    assert open_picture(path).size == (1600, 1200)
    assert open_picture(path, enough=192).size == (400, 300)
    assert open_picture(path, enough=601).size == (1600, 1200)
    found = load_picture(path, 64).astype(int)
    expected = resize(open_picture(path), 64).astype(int)
    assert np.abs(found - expected).mean() < 0.5
    turned = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(turned, quality=95, exif=exif)
    assert open_picture(turned, enough=192).size == (300, 400)


def test_a_large_jpeg_that_is_cut_is_refused_at_any_scale(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (1200, 1600, 3), np.uint8)
    path = tmp_path / "cut.jpg"
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:-100_000])
    with pytest.raises(PictureError, match="truncated|incomplete|ends"):
        load_picture(path, 64)
