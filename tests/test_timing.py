import numpy as np
import pytest

from utils import timing
from utils.timing import Timing, size_of, time_call


def test_warm_up_calls_are_made_but_not_counted():
    calls = []
    result = time_call(lambda: calls.append(1), repeats=4, warmup=2)
    assert len(calls) == 6
    assert result.repeats == 4


def test_the_median_and_quartiles_are_those_of_the_clock(monkeypatch):
    ticks = iter([0, 1, 10, 12, 20, 23, 30, 34, 40, 45])  # calls of 1, 2, 3, 4, 5 s
    monkeypatch.setattr(timing, "perf_counter", lambda: next(ticks))
    assert time_call(lambda: None, repeats=5, warmup=0) == Timing(3, 2, 4, 5)


def test_one_repeat_has_no_spread():
    result = time_call(lambda: None, repeats=1)
    assert result.low == result.median == result.high > 0


def test_impossible_numbers_of_calls_are_refused():
    with pytest.raises(ValueError, match="repeats must .* at least 1. Received: 0"):
        time_call(lambda: None, repeats=0)
    with pytest.raises(ValueError, match="warmup must be at least 0. Received: -1"):
        time_call(lambda: None, warmup=-1)


@pytest.mark.parametrize(
    ("timing", "text"),
    [
        (Timing(0.0032, 0.0031, 0.0036, 5), "3.2 ms (3.1–3.6)"),
        (Timing(12.0, 0.5, 13.25, 5), "12.0 s (0.5–13.2)"),
        (Timing(4.2e-5, 4e-5, 1.2e-3, 5), "42.0 µs (40.0–1200.0)"),
        (Timing(0.0, 0.0, 5e-10, 5), "0.0 ns (0.0–0.5)"),
    ],
)
def test_a_timing_prints_in_the_unit_of_its_median(timing, text):
    assert str(timing) == text


@pytest.mark.parametrize(
    ("thing", "text"),
    [
        (np.zeros((960, 2048), np.float32), "7.9 MB"),
        (b"four", "4 bytes"),
        (bytearray(1500), "1.5 kB"),
        (memoryview(b"four"), "4 bytes"),
        (48_000_000_000, "48.0 GB"),
        (0, "0 bytes"),
    ],
)
def test_sizes_are_told_in_decimal_units(thing, text):
    assert size_of(thing) == text


def test_a_thing_without_a_size_is_refused():
    with pytest.raises(TypeError, match="Received: str"):
        size_of("text")
