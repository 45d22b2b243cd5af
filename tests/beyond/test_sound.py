"""Sounds become spectrograms as librosa makes them; hostile files become sentences."""

import os
import sys
import tracemalloc
import wave

import numpy as np
import pytest

from tools.make_sounds import KINDS, make_sound, write_wav
from utils.beyond import sound
from utils.errors import LookalikeError, SoundError

soundfile = pytest.importorskip("soundfile", reason="requirements-beyond.txt")
pytest.importorskip("soxr", reason="requirements-beyond.txt")

RATE = sound.RATE
# Of two tones, in the middle frame: some bands in decibels, four coefficients
BANDS = [-55.027, 23.833, 24.973, -36.443, 9.82, -55.027]
MFCC = [-381.08, 46.38, -6.51, -10.5]


def tone(hertz, seconds=1.0, rate=RATE):
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)


@pytest.fixture
def write(tmp_path):
    def write(samples, rate=RATE, name="a.wav", **options):
        path = tmp_path / name
        soundfile.write(path, samples, rate, **options)
        return path

    return write


def peak_hertz(samples):
    """The frequency that is strongest, read from the whole spectrum."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return spectrum.argmax() * RATE / len(samples)


# ------------------------------------------------------- spectrograms and vectors


@pytest.mark.parametrize("hertz", [300, 1000, 4000])
def test_a_pure_tone_is_loudest_in_the_band_that_holds_it(hertz):
    edges = 700 * (10 ** (np.linspace(0, 2840.0230, 66) / 2595) - 1)  # of 64 bands
    band = np.abs(edges[1:-1] - hertz).argmin()
    assert (sound.log_mel(tone(hertz))[10:90].argmax(axis=1) == band).all()


def test_a_second_has_101_frames_and_10_db_are_a_factor_of_10_in_power():
    loud, soft = sound.log_mel(tone(500)), sound.log_mel(tone(500) / np.sqrt(10))
    assert loud.shape == (101, 64) and loud.dtype == np.float32
    assert loud.max() - soft.max() == pytest.approx(10, abs=1e-3)
    assert loud.max() - loud.min() == pytest.approx(80)


def test_mel_bands_are_triangles_that_overlap_by_half():
    filters = sound.mel_filters()
    assert filters.shape == (64, 513) and (filters >= 0).all()
    assert (filters.sum(axis=1) > 0).all(), "no band is empty"
    areas = filters.sum(axis=1)[20:] * RATE / sound.FRAME
    assert areas == pytest.approx(1, abs=0.1)


def test_bands_and_coefficients_are_those_that_librosa_computed():
    """Written down from librosa 0.11, for whoever doesn't have it."""
    samples = tone(440) + tone(1760) / 4
    spectrogram = sound.log_mel(samples)
    assert spectrogram[50, [0, 11, 12, 30, 31, 63]] == pytest.approx(BANDS, abs=0.01)
    assert sound.mfcc(spectrogram)[50, :4] == pytest.approx(MFCC, abs=0.05)


def test_librosa_computes_the_same():
    librosa = pytest.importorskip("librosa", reason="optional; compiles for 20 s")
    samples = np.random.default_rng(0).standard_normal(8000).astype(np.float32)
    power = librosa.feature.melspectrogram(
        y=samples,
        sr=RATE,
        n_fft=sound.FRAME,
        hop_length=sound.HOP,
        n_mels=64,
        htk=True,
        norm="slaney",
    )
    decibels = librosa.power_to_db(power, ref=1.0, amin=1e-10, top_db=80).T
    ours = sound.log_mel(samples)
    assert ours == pytest.approx(decibels, abs=1e-3)
    theirs = librosa.feature.mfcc(S=decibels.T, n_mfcc=20).T
    assert sound.mfcc(ours) == pytest.approx(theirs, abs=1e-2)


def test_loudness_changes_neither_description_nor_picture():
    samples = make_sound("bell", 0)
    loud, soft = sound.log_mel(samples), sound.log_mel(samples / 8)
    assert sound.describe(loud) == pytest.approx(sound.describe(soft), abs=1e-3)
    pictures = (sound.as_picture(s).astype(int) for s in (loud, soft))
    assert np.abs(np.subtract(*pictures)).max() <= 1


def test_in_a_picture_low_tones_are_below():
    low, high = (sound.as_picture(sound.log_mel(tone(h)))[:, 50, 0] for h in (99, 7000))
    assert low.argmax() > 55 and high.argmax() < 8
    assert low.max() == 255


@pytest.mark.parametrize(
    "samples", [np.zeros((2000, 2)), np.zeros(10), np.zeros(2000, int), "a"]
)
def test_what_are_no_samples_is_said(samples):
    with pytest.raises(ValueError, match="samples must be floats of shape"):
        sound.log_mel(samples)


def test_samples_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="must be finite"):
        sound.log_mel(np.full(2000, np.nan))


# ------------------------------------------------------------------ files that do


@pytest.mark.parametrize(
    ("rate", "channels", "name", "subtype"),
    [
        (16000, 1, "a.wav", "PCM_16"),
        (44100, 2, "a.wav", "PCM_24"),
        (192000, 1, "a.wav", "FLOAT"),
        (8000, 8, "a.flac", "PCM_24"),
        (22050, 2, "really.flac.jpg", "PCM_16"),
        (48000, 1, "a.wav", "DOUBLE"),
        (11025, 1, "a.wav", "PCM_U8"),
    ],
)
def test_any_rate_depth_and_number_of_channels_gives_the_same_tone(
    write, rate, channels, name, subtype
):
    samples = np.repeat(tone(440, rate=rate)[:, None], channels, axis=1)
    form = "FLAC" if "flac" in name else "WAV"
    loaded = sound.load_sound(write(samples, rate, name, subtype=subtype, format=form))
    assert loaded.dtype == np.float32 and abs(len(loaded) - RATE) <= 2
    assert peak_hertz(loaded) == pytest.approx(440, abs=1)
    assert np.abs(loaded[4000:12000]).max() == pytest.approx(0.5, abs=0.01)


def test_channels_are_mixed(write):
    left, right = tone(440), tone(880)
    loaded = sound.load_sound(write(np.stack([left, right], axis=1)))
    assert loaded == pytest.approx((left + right) / 2, abs=1e-3)


def test_a_wav_written_into_a_pipe_does_not_know_its_length(write):
    path = write(tone(440))
    content = bytearray(path.read_bytes())
    content[4:8] = b"\xff" * 4
    path.write_bytes(content)
    assert len(sound.load_sound(path)) == RATE


# ------------------------------------------------------------- files that do not


def text(path):
    path.write_text("Dear diary, this is no sound at all.")


def cut_wav(path):
    soundfile.write(path, tone(440), RATE)
    path.write_bytes(path.read_bytes()[:9000])


def cut_flac(path):
    soundfile.write(path, tone(440, 9.0) + 0.01, RATE, format="FLAC")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def only_a_header(path):
    path.write_bytes(b"RIFF\x00\x00\x00\x00WAVE")


def with_nan(path):
    soundfile.write(path, np.full(4000, np.nan), RATE, subtype="FLOAT")


def adpcm(path):
    soundfile.write(path, tone(440), RATE, subtype="IMA_ADPCM")


def ogg(path):
    soundfile.write(path, tone(440), RATE, format="OGG")


def flac_that_promises_a_billion_samples(path):
    soundfile.write(path, tone(440), RATE, format="FLAC")
    content = bytearray(path.read_bytes())
    content[22:26] = b"\x40\x00\x00\x00"
    path.write_bytes(content)


HOSTILE = {
    "damaged|cut short: 16,000 of": flac_that_promises_a_billion_samples,
    "levels of symbolic links": lambda path: path.symlink_to(path),
    "the file is empty": lambda path: path.write_bytes(b""),
    "expected WAV or FLAC. Received something else": text,
    "WAV or FLAC.*ffmpeg": ogg,
    r"cut short: 9,000 of 32,044 bytes": cut_wav,
    r"cut short|damaged": cut_flac,
    "damaged or cut short": only_a_header,
    "at least 64 ms of sound. Received: 1 samples": lambda path: soundfile.write(
        path, tone(440)[1:2], RATE
    ),
    "at least 64 ms of sound. Received: 0 samples": lambda path: soundfile.write(
        path, tone(440)[:0], RATE
    ),
    "silent": lambda path: soundfile.write(path, np.zeros(9000), RATE),
    "NaN or infinity": with_nan,
    "Received: IMA_ADPCM": adpcm,
    "Received: 500,000": lambda path: soundfile.write(path, tone(440), 500_000),
    "at most 64 channels. Received: 100": lambda path: soundfile.write(
        path, np.ones((2000, 100)) / 2, RATE
    ),
    "longer than 60 s. Cut it: iterate_chunks": lambda path: write_wav(
        path, tone(440, 61.0)
    ),
    "Received: a folder": os.mkdir,
    "no such file|No such file": lambda path: None,
}


@pytest.mark.parametrize("reason", HOSTILE)
def test_a_hostile_file_is_refused_by_name_and_stops_nothing(tmp_path, reason):
    bad, good = tmp_path / "bad.wav", tmp_path / "good.wav"
    HOSTILE[reason](bad)
    write_wav(good, tone(440))
    with pytest.raises(SoundError, match=reason) as caught:
        sound.load_sound(bad)
    assert caught.value.source == str(bad)
    sounds, positions, refused = sound.load_sounds([bad, good])
    assert [len(sounds), positions] == [1, [1]]
    assert refused[0].path == bad


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes among files")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(SoundError, match="Received: a pipe"):
        sound.load_sound(tmp_path / "pipe.wav")


def test_a_name_that_cannot_be_one_is_refused():
    with pytest.raises(SoundError, match="not a possible name"):
        sound.load_sound("a\0.wav")


def test_any_cut_of_a_file_is_refused_or_whole(write):
    for name in ("a.wav", "a.flac"):
        path = write(tone(440, 0.2), name=name)
        content = path.read_bytes()
        for size in range(0, len(content), 97):
            path.write_bytes(content[:size])
            with pytest.raises(SoundError):
                sound.load_sound(path)


def test_damaged_bytes_give_a_sound_or_a_sound_error(write):
    rng = np.random.default_rng(0)
    for name in ("a.wav", "a.flac"):
        path = write(tone(440, 0.2), name=name)
        content = np.frombuffer(path.read_bytes(), np.uint8)
        for _ in range(150):
            damaged = content.copy()
            places = rng.integers(0, min(len(content), 200), 3)
            damaged[places] = rng.integers(0, 256, 3)
            path.write_bytes(damaged.tobytes())
            try:
                assert np.isfinite(sound.load_sound(path)).all()
            except SoundError:
                pass


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(LookalikeError, match="pip install -r requirements-beyond"):
        list(sound.read_blocks("a.wav"))


# ------------------------------------------------------------------------- chunks


def test_chunks_begin_every_step_and_hold_what_is_there(write):
    samples = np.concatenate([tone(300 + 100 * i) for i in range(5)])
    chunks = list(sound.iterate_chunks(write(samples), 2.0, 1.0))
    assert [start for start, _ in chunks] == [0, 1, 2, 3]
    for start, chunk in chunks:
        here = samples[int(start * RATE) :][: 2 * RATE]
        assert chunk == pytest.approx(here, abs=1e-3)


@pytest.mark.parametrize(
    ("seconds", "step", "starts"),
    [(2, 2, [0, 2, 4]), (2, 3, [0, 3]), (4, 4, [0]), (9, 1, [0]), (1, 5, [0])],
)
def test_the_rest_is_a_chunk_if_it_is_half_of_one(write, seconds, step, starts):
    path = write(tone(440, 5.0))
    assert [start for start, _ in sound.iterate_chunks(path, seconds, step)] == starts


def test_silent_chunks_are_left_out(write):
    path = write(np.concatenate([np.zeros(2 * RATE), tone(440)]))
    assert [start for start, _ in sound.iterate_chunks(path, 1, 1)] == [2]


@pytest.mark.parametrize(("seconds", "step"), [(0.01, 1), (1, 0), (-1, 1)])
def test_chunks_that_cannot_be_cut_are_refused(write, seconds, step):
    with pytest.raises(ValueError, match="seconds must be at least"):
        list(sound.iterate_chunks(write(tone(440)), seconds, step))


def test_an_hour_takes_no_more_memory_than_a_minute(tmp_path):
    path = tmp_path / "hour.wav"
    second = (tone(440) * 32767).astype("<i2").tobytes()
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        for _ in range(3600):
            file.writeframesraw(second)
    list(sound.iterate_chunks(path, 60, 600))  # what is imported stays
    tracemalloc.start()
    found = sum(1 for _ in sound.iterate_chunks(path, 2, 60))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == 60
    assert peak < 20_000_000  # the file has 115
    with pytest.raises(SoundError, match="longer than 60 s"):
        sound.load_sound(path)


# --------------------------------------------------------------------- the program


@pytest.mark.parametrize("kind", KINDS)
def test_each_sound_is_the_same_again_and_unlike_the_next(kind):
    first, again, other = (make_sound(kind, number) for number in (0, 0, 1))
    assert np.array_equal(first, again) and np.abs(first).max() < 1
    assert len(other) != len(first)
