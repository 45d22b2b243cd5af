"""What a picture costs, and that it shows the same however it is cut into bands."""

import io
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from utils.errors import PictureError
from utils.images import load_picture, open_picture, thumbnail
from utils.pixels import decoding
from utils.pixels.decoding import Memory

sys.path.insert(0, str(Path(__file__).parents[1]))
import decoding_memory  # noqa: E402

SIDE = 1000
LIMIT = decoding_memory.limit_of(SIDE)
DEAR = ("float32 TIFF", "RGBA PNG", "palette PNG, a clear colour", "16-bit PNG")
DEAR += ("JPEG, progressive, 4:4:4", "RGBA WebP, lossless")

needs_linux = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="needs Linux's high-water mark"
)


def encode(picture: Image.Image, format: str, **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, format, **options)
    return file.getvalue()


def noise(mode: str, width: int = 70, height: int = 50) -> Image.Image:
    rng = np.random.default_rng(seed=0)
    pixels = rng.integers(0, 256, (height, width, 4), np.uint8)
    if mode == "F":
        return Image.fromarray(pixels[..., 0].astype(np.float32) * 1000)
    if mode == "I;16":
        return Image.fromarray(pixels[..., :2].copy().view(np.uint16)[..., 0])
    image = Image.fromarray(pixels)
    return image.convert("RGB").convert(mode) if mode == "P" else image.convert(mode)


# --- The same pixels -------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P", "1", "I;16", "F"])
def test_bands_make_no_difference(mode, orientation, monkeypatch):
    exif = Image.Exif()
    exif[0x0112] = orientation
    format = "TIFF" if mode == "F" else "PNG"
    data = encode(noise(mode), format, exif=exif)
    whole, small = np.asarray(open_picture(data)), load_picture(data, 16)
    for band in (1, 333, 1000):
        monkeypatch.setattr(decoding, "BAND", band)
        np.testing.assert_array_equal(np.asarray(open_picture(data)), whole)
        np.testing.assert_array_equal(load_picture(data, 16), small)
    monkeypatch.setattr(decoding, "WHOLE", 0)  # narrowed before it is whole
    narrowed = load_picture(data, 16).astype(int)
    assert np.abs(narrowed - small).max() <= 1


def test_an_rgb_picture_of_any_size_is_resized_in_one_go(monkeypatch):
    data = encode(noise("RGB"), "PNG")
    expected = load_picture(data, 16)
    monkeypatch.setattr(decoding, "WHOLE", 0)
    np.testing.assert_array_equal(load_picture(data, 16), expected)


# --- Memory ----------------------------------------------------------------------


@needs_linux
@pytest.mark.parametrize("kind", DEAR)
def test_a_picture_takes_no_more_than_it_may(kind, tmp_path):
    path = tmp_path / "picture"
    path.write_bytes(decoding_memory.KINDS[kind](SIDE))
    result = decoding_memory.measured(path, 64, LIMIT)
    assert result["mb"] * 1e6 <= LIMIT
    outcome = "decoding this WEBP" if "WebP" in kind else "decoded "
    assert result["outcome"].startswith(outcome)


def test_what_takes_too_much_is_refused_undecoded(monkeypatch):
    def load(_):
        raise AssertionError("decoded")

    big = Image.new("RGB", (5000, 5000))
    webp = encode(big, "WEBP", lossless=True, quality=0, method=0)
    monkeypatch.setattr(Image.Image, "load", load)
    message = (
        r"big\.webp: decoding this WEBP of 5000×5000 pixels takes 408 MB of memory; at "
        "most 400. Make a smaller copy, or save it as a plain JPEG or PNG"
    )
    for door in (load_picture, thumbnail):
        with pytest.raises(PictureError, match=message):
            door(webp, 64, name="big.webp")


@pytest.mark.parametrize("kind", decoding_memory.KINDS)
def test_a_little_memory_is_enough_for_a_little_picture(kind, monkeypatch):
    monkeypatch.setattr(decoding.MEMORY, "limit", 20_000_000)
    assert load_picture(decoding_memory.KINDS[kind](64), 8).shape == (8, 8, 3)


@pytest.mark.parametrize(
    "options", [{}, {"lossless": True}, {"exif": Image.Exif(), "icc_profile": b"x"}]
)
def test_a_webp_is_refused_before_it_is_even_opened(options, monkeypatch):
    data = encode(noise("RGB", 123, 45), "WEBP", **options)
    need = 16 * 123 * 45 + decoding.BAND_BYTES + 2 * len(data)
    monkeypatch.setattr(decoding.MEMORY, "limit", need)
    assert load_picture(data, 8).shape == (8, 8, 3)
    monkeypatch.setattr(decoding.MEMORY, "limit", need - 1)
    monkeypatch.setattr(Image, "open", None)
    with pytest.raises(PictureError, match="this WEBP of 123×45 pixels"):
        load_picture(data, 8)


def test_an_opened_picture_is_counted_like_its_file(monkeypatch):
    data = encode(noise("RGBA", 500, 500), "PNG")
    monkeypatch.setattr(decoding.MEMORY, "limit", decoding.BAND_BYTES + 1_500_000)
    for source in (data, Image.open(io.BytesIO(data))):
        with pytest.raises(PictureError, match="PNG of 500×500 pixels takes"):
            load_picture(source, 8)
    monkeypatch.setattr(decoding.MEMORY, "limit", decoding.BAND_BYTES + 1_750_000)
    ready = Image.open(io.BytesIO(data)).convert("RGBA")
    assert load_picture(ready, 8).shape == (8, 8, 3), "what is there costs nothing"


def test_threads_share_what_there_is():
    memory, most, now = Memory(100), 0, 0
    counting = threading.Lock()

    def work(need: int) -> None:
        nonlocal most, now
        with memory.taken(need):
            with counting:
                now += need
                most = max(most, now)
            time.sleep(0.002)
            with counting:
                now -= need

    threads = [threading.Thread(target=work, args=[n]) for n in (40, 100, 30, 70) * 8]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert not any(thread.is_alive() for thread in threads)
    assert 70 <= most <= 100


def test_a_large_picture_gets_its_turn_before_smaller_ones_that_came_later():
    memory, order = Memory(100), []

    def work(need: int) -> None:
        with memory.taken(need):
            order.append(need)

    threads = [threading.Thread(target=work, args=[need]) for need in (90, 10, 20)]
    with memory.taken(50):
        for thread in threads:
            thread.start()
            time.sleep(0.05)
        assert order == []
    for thread in threads:
        thread.join(timeout=30)
    assert order[0] == 90


def test_what_is_freed_goes_back_to_the_system():
    """Glibc maps every block above 32 MB by itself; smaller ones a thread may keep."""
    assert Image.core.get_block_size() > 1 << 25


def test_what_fails_gives_its_memory_back():
    memory = Memory(100)
    for _ in range(3):
        with pytest.raises(OSError, match="cut"), memory.taken(100):
            raise OSError("cut")
