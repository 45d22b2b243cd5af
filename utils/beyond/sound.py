"""Sounds to spectrograms and vectors; files are decoded block by block.

>>> sounds, positions, refused = load_sounds(paths)               # doctest: +SKIP
>>> log_mel(sounds[0]).shape                                      # doctest: +SKIP
(101, 64)

- `samples` are a float array of shape (n,), within ±1 as a rule: one channel, `RATE`
  of them per second, whatever the file had.
- A `spectrogram` is a float32 array of shape (frames, 64): 100 frames per second, each
  the loudness of 64 bands, in decibels.
- Files are WAV or FLAC, told by their content, in whole numbers or floats.  SoundError
  names a file that can't be taken, says why, and what to do.

soundfile decodes, soxr changes the rate.  Spectrograms are computed here: librosa does
the same (the tests compare), but compiles itself for 20 seconds when first called.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from utils.errors import SoundError, check_k, expanded, import_optional
from utils.images import AT_ONCE, KINDS, Refusal

RATE = 16_000  # samples per second; what lies above 8,000 Hz is left out
FRAME = 1024  # samples of a frame: 64 ms
HOP = 160  # samples from one frame to the next: 10 ms
BANDS = 64
RANGE = 80  # decibels below the loudest that count, as in librosa
PIPELINE = f"logmel{BANDS}-{RATE}-{FRAME}-{HOP}-v1"  # -v2 when its numbers change
MAX_SECONDS = 60.0
SILENCE = 1e-4  # three steps of a 16-bit file
RATES = (2_000, 384_000)
MAX_CHANNELS = 64
BLOCK = 1 << 18  # numbers that are decoded together
STORED = ("PCM_U8", "PCM_S8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")
AGAIN = "Copy or download it again."

Source = str | os.PathLike


# From files to samples


def load_sound(path: Source, *, max_seconds: float = MAX_SECONDS) -> np.ndarray:
    """Return a sound as samples: float32 of shape (n,), all channels mixed into one.

    SoundError if it is longer than `max_seconds`, shorter than a frame, silent, damaged
    or no WAV or FLAC.
    """
    blocks, length = [], 0
    for block in read_blocks(path):
        blocks.append(block)
        length += len(block)
        if length > max_seconds * RATE:
            reason = f"longer than {max_seconds:g} s. Cut it: iterate_chunks(path)"
            raise SoundError(os.fsdecode(path), f"{reason}, or raise max_seconds.")
    samples = np.concatenate([np.empty(0, np.float32), *blocks])
    if length < FRAME:
        reason = f"expected at least {FRAME / RATE * 1000:.0f} ms of sound"
        raise SoundError(os.fsdecode(path), f"{reason}. Received: {length} samples.")
    if np.abs(samples).max() < SILENCE:
        reason = "silent: there is nothing to compare. Was the microphone on?"
        raise SoundError(os.fsdecode(path), reason)
    return samples


def load_sounds(
    paths: Sequence[Source],
) -> tuple[list[np.ndarray], list[int], list[Refusal]]:
    """Load what can be loaded: sounds, their positions in `paths`, and refusals."""
    sounds, positions, refused = [], [], []
    for position, path in enumerate(paths):
        try:
            sounds.append(load_sound(path))
            positions.append(position)
        except SoundError as error:
            refused.append(Refusal(Path(path), error.reason))
    return sounds, positions, refused


def iterate_chunks(
    path: Source, seconds: float = 2.0, step: float = 1.0
) -> Iterator[tuple[float, np.ndarray]]:
    """Cut a sound of any length into chunks; yield where each starts, and its samples.

    A new one starts every `step` seconds; silent ones are left out.  What remains at
    the end is the last, if it is half a chunk or the only one.  One block is in memory.
    """
    size, hop = round(seconds * RATE), round(step * RATE)
    if size < FRAME or hop < 1:
        raise ValueError(
            f"seconds must be at least {FRAME / RATE}, step above 0. "
            f"Received: {seconds} and {step}."
        )
    kept, start = np.empty(0, np.float32), 0
    for block in read_blocks(path):
        kept = np.concatenate([kept, block])
        while len(kept) >= max(size, hop):
            yield from _unless_silent(start, kept[:size])
            kept, start = kept[hop:], start + hop
    has_more = len(kept) > max(size - hop, 0) and len(kept) >= size / 2
    if start == 0 or has_more:
        yield from _unless_silent(start, kept[:size])


def read_blocks(path: Source) -> Iterator[np.ndarray]:
    """Decode a file piece by piece, whatever its length: blocks of samples."""
    name = os.fsdecode(path)
    soundfile = import_optional("soundfile", "-r requirements-beyond.txt")
    soxr = import_optional("soxr", "-r requirements-beyond.txt")
    with _opened(path, name) as file:
        _check_beginning(file, name)
        try:
            sound = soundfile.SoundFile(file)
        except Exception as error:  # libsndfile has its own, soundfile others
            reason = f"damaged or cut short. {AGAIN} ({error})"
            raise SoundError(name, reason) from error
        with sound:
            _check_sound(sound, name)
            change = soxr.ResampleStream(sound.samplerate, RATE, 1, "float32")
            for block, last in _decode(sound, name):
                yield change.resample_chunk(block, last=last)


def _unless_silent(
    start: int, samples: np.ndarray
) -> Iterator[tuple[float, np.ndarray]]:
    if len(samples) >= FRAME and np.abs(samples).max() >= SILENCE:
        yield start / RATE, samples


@contextmanager
def _opened(path: Source, name: str) -> Iterator[BinaryIO]:
    """Open a regular file; a pipe would never answer."""
    try:
        where = expanded(path)
        mode = os.stat(where).st_mode
        if not stat.S_ISREG(mode):
            kind = KINDS.get(stat.S_IFMT(mode), "something else")
            raise SoundError(name, f"expected a sound file. Received: {kind}.")
        file = open(where, "rb", opener=lambda p, flags: os.open(p, flags | AT_ONCE))
    except OSError as error:
        reason = f"can't be read: {error.strerror or error}. Check path and permissions"
        raise SoundError(name, f"{reason}.") from error
    except ValueError as error:
        if isinstance(error, SoundError):
            raise
        raise SoundError(name, f"not a possible name for a file: {error}.") from error
    with file:
        yield file


def _check_beginning(file: BinaryIO, name: str) -> None:
    """Refuse what is neither WAV nor FLAC, and a WAV shorter than it says itself."""
    first = file.read(12)
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if not first:
        raise SoundError(name, f"the file is empty. {AGAIN}")
    is_wav = first[:4] in (b"RIFF", b"RF64") and first[8:] == b"WAVE"
    if not is_wav and first[:4] != b"fLaC":
        raise SoundError(
            name,
            "expected WAV or FLAC. Received something else, whatever its name says. "
            "Convert it, for example with ffmpeg or Audacity.",
        )
    # libsndfile would return what there is; 0 and all ones: written into a pipe
    said = int.from_bytes(first[4:8], "little")
    if first[:4] == b"RIFF" and said not in (0, 0xFFFFFFFF) and said + 8 > size + 1:
        reason = f"cut short: {size:,} of {said + 8:,} bytes are there"
        raise SoundError(name, f"{reason}. {AGAIN}")


def _check_sound(sound: Any, name: str) -> None:
    """Refuse what few programs write, before anything is decoded."""
    low, high = RATES
    if sound.subtype not in STORED:
        expected, received = "samples in whole numbers or floats", sound.subtype
    elif not low <= sound.samplerate <= high:
        expected = f"{low:,} to {high:,} samples per second"
        received = f"{sound.samplerate:,}"
    elif sound.channels > MAX_CHANNELS:
        expected, received = f"at most {MAX_CHANNELS} channels", f"{sound.channels}"
    else:
        return
    advice = "Save it as 16-bit WAV."
    raise SoundError(name, f"expected {expected}. Received: {received}. {advice}")


def _decode(sound: Any, name: str) -> Iterator[tuple[np.ndarray, bool]]:
    """Yield one channel in blocks, at the file's own rate, and which is the last."""
    expected, found = sound.frames, 0
    size = BLOCK // sound.channels
    while found < expected or found == 0:
        try:
            block = sound.read(size, dtype="float32", always_2d=True)
        except Exception as error:
            raise SoundError(name, f"damaged. {AGAIN} ({error})") from error
        if not len(block) and expected > 0:
            reason = f"cut short: {found:,} of {expected:,} samples are there"
            raise SoundError(name, f"{reason}. {AGAIN}")
        if not np.isfinite(block).all():
            reason = "holds NaN or infinity. Export it again, as whole numbers."
            raise SoundError(name, reason)
        found += len(block)
        yield block.mean(axis=1), found >= expected
        if expected <= 0:
            return


# From samples to spectrograms and vectors


@cache
def mel_filters() -> np.ndarray:
    """Return what each band takes of each frequency: float64 of shape (64, 513).

    Triangles that overlap by half, as wide as the ear is coarse: equal steps on the mel
    scale, ``2595 log10(1 + hertz / 700)``.  The area of each is the same.
    """
    edges = np.linspace(0, 2595 * np.log10(1 + RATE / 2 / 700), BANDS + 2)
    edges = 700 * (10 ** (edges / 2595) - 1)  # in Hz
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    hertz = np.fft.rfftfreq(FRAME, 1 / RATE)
    rising, falling = (hertz - low) / (middle - low), (high - hertz) / (high - middle)
    return np.maximum(0, np.minimum(rising, falling)) * 2 / (high - low)


def log_mel(samples: np.ndarray) -> np.ndarray:
    """Return the loudness of 64 bands in each frame: float32 of shape (frames, 64).

    In decibels; what is more than 80 below the loudest is raised to that.  ValueError
    if `samples` are no finite numbers of shape (n,), n at least a frame.
    """
    samples = np.asarray(samples)
    if samples.ndim != 1 or samples.dtype.kind != "f" or len(samples) < FRAME:
        raise ValueError(
            f"samples must be floats of shape (n,), n at least {FRAME}. Received: "
            f"{samples.dtype} of shape {samples.shape}. Load them with load_sound."
        )
    if not np.isfinite(samples).all():
        raise ValueError("samples must be finite. Received NaN or infinity.")
    padded = np.pad(samples.astype(np.float64), FRAME // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::HOP]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME)
    power = np.abs(np.fft.rfft(frames * window)) ** 2  # (frames, 513)
    decibels = 10 * np.log10(np.maximum(power @ mel_filters().T, 1e-10))
    return np.maximum(decibels, decibels.max() - RANGE).astype(np.float32)


def mfcc(spectrogram: np.ndarray, count: int = 20) -> np.ndarray:
    """Describe each frame by few numbers: float32 of shape (frames, count).

    Mel-frequency cepstral coefficients, a cosine transform of the bands: the first is
    the loudness, the next the slope, later ones finer shapes.
    """
    count = min(check_k(count, "count"), BANDS)
    waves = np.arange(count)[:, None] * (np.arange(BANDS) + 0.5) * np.pi / BANDS
    basis = np.cos(waves) * np.sqrt(2 / BANDS)
    basis[0] /= np.sqrt(2)
    return (spectrogram @ basis.T).astype(np.float32)


def describe(spectrogram: np.ndarray) -> np.ndarray:
    """Mean and spread over time of 19 MFCCs, the loudness left out: float32 (38,)."""
    shapes = mfcc(spectrogram)[:, 1:]
    return np.concatenate([shapes.mean(axis=0), shapes.std(axis=0)])


def as_picture(spectrogram: np.ndarray) -> np.ndarray:
    """Draw a spectrogram in grey: uint8 of shape (64, frames, 3), low tones below.

    White is the loudest, black 80 decibels less, so loudness itself leaves no trace.
    """
    shares = 1 + (spectrogram - spectrogram.max()) / RANGE  # (frames, 64), 0 to 1
    grey = np.rint(255 * shares.T[::-1]).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)
