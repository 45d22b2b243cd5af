"""Make the sounds of lesson 22: 15 kinds of 12 each, as WAV files.

    python tools/make_sounds.py [FOLDER]      default: output/sounds

Every sound is computed here, from formulas and a seed: nothing was recorded, so the
labels are exact, and the sounds may be used for anything (CC0).  The twelve of a kind
differ in pitch, length, brightness, loudness and background noise.

Other processors may round a sample to the neighbouring 16-bit number.
"""

import sys
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

RATE = 16_000  # samples per second
PER_KIND = 12
SEED = 22

Rng = np.random.Generator


class Look(NamedTuple):
    """What one sound is like; each kind gives it a meaning of its own."""

    pitch: float  # from 0, low for its kind, to 1, two octaves above
    seconds: float
    brightness: float  # from 0, dull, to 1
    rng: Rng

    @property
    def times(self) -> ndarray:
        """Return the time of each sample, in seconds."""
        return np.arange(int(self.seconds * RATE)) / RATE

    def hertz(self, lowest: float, octaves: float = 2) -> float:
        """Return the pitch in Hz."""
        return lowest * 2 ** (octaves * self.pitch)

    def between(self, low: float, high: float) -> float:
        """Draw a number."""
        return self.rng.uniform(low, high)

    def noise(self, low: float, high: float) -> ndarray:
        """Return noise between two frequencies, whose mean square is 1."""
        return band(self.rng.standard_normal(len(self.times)), low, high)


def band(samples: ndarray, low: float, high: float) -> ndarray:
    """Keep what lies between two frequencies, with soft edges; mean square 1."""
    spectrum = np.fft.rfft(samples)
    hertz = np.fft.rfftfreq(len(samples), 1 / RATE) + 1e-9
    spectrum *= 1 / np.sqrt((1 + (low / hertz) ** 4) * (1 + (hertz / high) ** 4))
    kept = np.fft.irfft(spectrum, len(samples))
    return kept / np.sqrt(np.mean(kept**2))


def tones(times: ndarray, hertz: ndarray | float, parts: dict[Any, float]) -> ndarray:
    """Add sines up: ratio to the pitch -> amplitude; none above what RATE can hold."""
    phase = 2 * np.pi * np.cumsum(np.broadcast_to(hertz, times.shape)) / RATE
    top = np.max(hertz)
    heard = {ratio: a for ratio, a in parts.items() if ratio * top < 0.47 * RATE}
    waves = [a * np.sin(ratio * phase + ratio) for ratio, a in heard.items()]
    return np.sum(waves, axis=0)


def fade(times: ndarray, rise: float = 0.03) -> ndarray:
    """Rise and fall for a sound that lasts."""
    left, right = times / rise, (times[-1] - times) / rise
    return np.clip(np.minimum(left, right), 0, 1)


def make_string(look: Look) -> ndarray:
    """Pluck a string (Karplus, Strong, 1983): a period of noise, averaged in a loop."""
    period = round(RATE / look.hertz(98))
    pluck = look.rng.uniform(-1, 1, period + 1)
    for _ in range(round(6 * (1 - look.brightness))):
        pluck = (pluck + np.roll(pluck, 1)) / 2
    keep = 1 - 0.012 * look.between(0.3, 1)
    rounds = [pluck[1:]]
    last = pluck[0]
    for _ in range(len(look.times) // period):
        before = np.concatenate([[last], rounds[-1][:-1]])
        last = rounds[-1][-1]
        rounds.append(keep * (rounds[-1] + before) / 2)
    return np.concatenate(rounds)[: len(look.times)]


def make_bell(look: Look) -> ndarray:
    """Strike a bell: its partials are no multiples of one pitch."""
    ratios = np.array([0.5, 1, 1.19, 1.5, 2, 2.51, 2.66, 3.01, 4.17, 5.43])
    ratios = ratios * look.rng.uniform(0.99, 1.01, len(ratios))
    sound = np.zeros_like(look.times)
    for place, ratio in enumerate(ratios):
        decay = np.exp(-look.times * (1 + 1.1 * place) / look.between(0.6, 1.1))
        height = (0.45 + 0.5 * look.brightness) ** (place / 2)
        sound += decay * tones(look.times, look.hertz(260), {ratio: height})
    return sound


def make_marimba(look: Look) -> ndarray:
    """Strike a wooden bar: few partials, soon over."""
    sound = np.zeros_like(look.times)
    for place, ratio in enumerate((1, 3.93, 9.24)):
        decay = np.exp(-look.times * (1 + 2.2 * place) / look.between(0.1, 0.2))
        height = (0.2 + 0.5 * look.brightness) ** place
        sound += decay * tones(look.times, look.hertz(180), {ratio: height})
    return sound


def make_organ(look: Look) -> ndarray:
    """Hold a pipe organ's chord: steady harmonics."""
    parts = {k: (0.3 + 0.5 * look.brightness) ** np.log2(k) for k in (1, 2, 3, 4, 6, 8)}
    chord = look.rng.choice([1.25, 1.2, 1.5, 4 / 3])
    pipes = [tones(look.times, look.hertz(110) * step, parts) for step in (1, chord, 2)]
    return np.sum(pipes, axis=0) * fade(look.times, 0.06)


def make_flute(look: Look) -> ndarray:
    """Blow a flute: nearly a sine, vibrato, and breath."""
    wobble = 1 + 0.008 * np.sin(2 * np.pi * look.between(4, 6) * look.times)
    pitch = look.hertz(390)
    parts = {1: 1.0, 2: 0.1 + 0.4 * look.brightness, 3: 0.1 * look.brightness + 0.02}
    breath = look.noise(pitch, 3 * pitch) * look.between(0.03, 0.1)
    swell = 0.8 + 0.2 * np.sin(2 * np.pi * look.between(4, 6) * look.times)
    return (
        (tones(look.times, pitch * wobble, parts) + breath)
        * swell
        * fade(look.times, 0.08)
    )


def make_voice(look: Look) -> ndarray:
    """Sing from one vowel to another: harmonics under three moving formants."""
    vowels = [(730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480)]
    start, end = look.rng.choice(len(vowels), 2, replace=False)
    way = np.clip(look.times / look.times[-1] * 1.6 - 0.3, 0, 1)
    formants = [
        a + (b - a) * way for a, b in zip(vowels[start], vowels[end], strict=True)
    ]
    pitch = look.hertz(85, 1.6) * (
        1 + look.between(-0.2, 0.2) * way + 0.01 * np.sin(35 * look.times)
    )
    phase, sound = 2 * np.pi * np.cumsum(pitch) / RATE, np.zeros_like(look.times)
    for k in range(1, int(4500 / pitch.max())):
        height = sum(
            np.exp(-(((k * pitch - formant) / (70 + 40 * place)) ** 2) / 2)
            * (0.3 + 0.4 * look.brightness) ** place
            for place, formant in enumerate(formants)
        )
        sound += (height + 0.01) * np.sin(k * phase + k)
    return sound * fade(look.times, 0.06)


def make_bass_drum(look: Look) -> ndarray:
    """Kick a bass drum: a sine that falls to its pitch."""
    pitch = look.hertz(42, 1) * (1 + 3 * np.exp(-look.times / 0.03))
    click = look.noise(800, 3000) * np.exp(-look.times / 0.006) * look.brightness * 0.4
    hit = tones(look.times, pitch, {1: 1.0, 2: 0.2})
    return hit * np.exp(-look.times / look.between(0.1, 0.22)) + click


def make_snare(look: Look) -> ndarray:
    """Hit a snare drum: a short tone, and the rattle of its wires."""
    decay = np.exp(-look.times / look.between(0.06, 0.15))
    skin = tones(look.times, look.hertz(160, 1), {1: 1.0, 1.59: 0.5})
    wires = look.noise(900, 3000 + 4000 * look.brightness)
    return skin * decay**2 + 0.6 * wires * decay


def make_cymbal(look: Look) -> ndarray:
    """Hit a cymbal: a cloud of high partials."""
    ratios = look.rng.uniform(1, 5.5, 40)
    cloud = tones(look.times, look.hertz(1400, 0.7), dict.fromkeys(ratios, 0.15))
    hiss = look.noise(3000 + 2000 * look.brightness, 7500)
    return (cloud + 0.5 * hiss) * np.exp(-look.times / look.between(0.25, 0.8))


def make_wind(look: Look) -> ndarray:
    """Let the wind blow: noise that swells and sinks."""
    low, high = look.noise(80, 300), look.noise(300, look.hertz(500))
    slow = 2 * np.pi * look.between(0.4, 1.1) * look.times + look.between(0, 6)
    gust = 0.55 + 0.45 * np.sin(slow)
    return (low * (1 - 0.5 * gust) + high * gust * (0.3 + look.brightness)) * fade(
        look.times, 0.1
    )


def make_rain(look: Look) -> ndarray:
    """Let it rain: many drops, each a short burst."""
    drops = np.zeros_like(look.times)
    places = look.rng.integers(0, len(drops), int(look.seconds * look.between(60, 200)))
    np.add.at(drops, places, look.rng.exponential(1, len(places)))
    shape = look.noise(look.hertz(1200, 1), 7000)[:400]
    shape = shape * np.exp(-np.arange(len(shape)) / 60)
    hiss = look.noise(500, 3000 + 4000 * look.brightness)
    return np.convolve(drops, shape)[: len(drops)] + 0.15 * hiss


def make_motor(look: Look) -> ndarray:
    """Run a motor: uneven pulses, changing speed."""
    speed = look.hertz(24) * (1 + look.between(-0.3, 0.3) * look.times / look.times[-1])
    turns = np.cumsum(speed * (1 + 0.02 * look.noise(1, 30))) / RATE
    pulses = np.exp(-8 * (turns % 1)) * (1 + 0.4 * (turns % 2 > 1))
    rattle = look.noise(300, 2500) * np.exp(-5 * (turns % 1)) * look.brightness
    return band(pulses, 30, 500 + 1500 * look.brightness) + 0.5 * rattle


def make_bird(look: Look) -> ndarray:
    """Let a bird sing: the same short sweep, several times."""
    call, gap = look.between(0.06, 0.14), look.between(0.05, 0.15)
    place = look.times % (call + gap) / call
    low, high = look.hertz(1700, 1), look.hertz(1700, 1) * look.between(1.25, 1.9)
    if look.rng.random() < 0.5:
        low, high = high, low
    bend = np.clip(place, 0, 1) ** look.between(0.6, 1.6)
    sung = np.where(place < 1, np.sin(np.pi * np.clip(place, 0, 1)), 0)
    parts = {1: 1.0, 2: 0.3 * look.brightness}
    return tones(look.times, low + (high - low) * bend, parts) * sung


def make_cricket(look: Look) -> ndarray:
    """Let a cricket chirp: one high tone in quick pulses, in groups."""
    pulses = np.clip(np.sin(2 * np.pi * look.between(24, 40) * look.times), 0, 1)
    groups = np.sin(2 * np.pi * look.between(1.5, 3) * look.times + 0.5) > -0.2
    parts = {1: 1.0, 2: 0.2 * look.brightness}
    return tones(look.times, look.hertz(3000, 0.8), parts) * pulses * groups


def make_siren(look: Look) -> ndarray:
    """Sound a siren: a loud tone that rises and falls."""
    slow = np.sin(2 * np.pi * look.between(0.6, 2.5) * look.times + look.between(0, 6))
    pitch = look.hertz(450, 1) * 2 ** (0.5 * slow)
    parts = {k: (0.25 + 0.5 * look.brightness) ** (k - 1) for k in range(1, 7)}
    return tones(look.times, pitch, parts) * fade(look.times)


KINDS: dict[str, Callable[[Look], ndarray]] = {
    "bass drum": make_bass_drum,
    "bell": make_bell,
    "bird": make_bird,
    "cricket": make_cricket,
    "cymbal": make_cymbal,
    "flute": make_flute,
    "marimba": make_marimba,
    "motor": make_motor,
    "organ": make_organ,
    "rain": make_rain,
    "siren": make_siren,
    "snare": make_snare,
    "string": make_string,
    "voice": make_voice,
    "wind": make_wind,
}


def make_sound(kind: str, number: int, *, seed: int = SEED) -> ndarray:
    """Return one sound: float64 within ±1, the same for the same three arguments."""
    rng = np.random.default_rng([seed, list(KINDS).index(kind), number])
    look = Look(rng.random(), rng.uniform(0.7, 1.6), rng.random(), rng)
    sound = KINDS[kind](look)
    loudness, background = rng.uniform(-24, 0), rng.uniform(-45, -20)  # dB
    noise = band(rng.standard_normal(len(sound)), 60, 6000)
    spread = np.sqrt(np.mean(sound**2))
    sound = sound + spread * 10 ** (background / 20) * noise
    return sound / np.abs(sound).max() * 10 ** (loudness / 20) * 0.99


def make_sounds() -> tuple[list[ndarray], ndarray]:
    """Return all sounds, as float32, and the kind of each."""
    kinds = np.repeat(list(KINDS), PER_KIND)
    numbers = np.tile(np.arange(PER_KIND), len(KINDS))
    pairs = zip(kinds.tolist(), numbers.tolist(), strict=True)
    return [make_sound(*pair).astype(np.float32) for pair in pairs], kinds


def write_wav(path: Path, samples: ndarray, rate: int = RATE) -> None:
    """Write samples within ±1 as 16-bit numbers, and make the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(np.rint(samples * 32767).astype("<i2").tobytes())


def write_sounds(folder: Path) -> list[Path]:
    """Write all sounds, named after their kinds; return their paths."""
    paths = []
    for place, (sound, kind) in enumerate(zip(*make_sounds(), strict=True)):
        name = f"{kind.replace(' ', '_')}_{place % PER_KIND:02}.wav"
        write_wav(folder / name, sound)
        paths.append(folder / name)
    return paths


if __name__ == "__main__":
    root = Path(__file__).resolve().parents[1]
    where = Path(sys.argv[1]) if len(sys.argv) > 1 else root / "output" / "sounds"
    print(len(write_sounds(where)), "sounds in", where)
