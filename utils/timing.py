"""How long does a call take, and how big is a thing? Standard library only."""

import statistics
from collections.abc import Callable
from time import perf_counter
from typing import Any, NamedTuple

from utils.errors import check_k

TIME_UNITS = [(1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")]
BYTE_UNITS = [(1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")]


class Timing(NamedTuple):
    """Seconds that one call took: median and quartiles of `repeats` calls.

    >>> print(Timing(median=0.0032, low=0.0031, high=0.0036, repeats=5))
    3.2 ms (3.1–3.6)
    """

    median: float
    low: float
    high: float
    repeats: int

    def __str__(self) -> str:
        scale, unit = next((u for u in TIME_UNITS if self.median >= u[0]), (1e-9, "ns"))
        median, low, high = (f"{seconds / scale:.1f}" for seconds in self[:3])
        return f"{median} {unit} ({low}–{high})"


def time_call(
    function: Callable[[], Any], *, repeats: int = 5, warmup: int = 1
) -> Timing:
    """Time `function()` and report the median, which ignores the odd slow call.

    A call with arguments is wrapped: ``lambda: index.search(queries, 5)``. The first
    `warmup` calls fill caches and build graphs, and are not timed. ValueError if
    `repeats` is below 1 or `warmup` below 0.
    """
    check_k(repeats, "repeats")
    if warmup < 0:
        raise ValueError(f"warmup must be at least 0. Received: {warmup}.")
    for _ in range(warmup):
        function()
    seconds = []
    for _ in range(repeats):
        start = perf_counter()
        function()
        seconds.append(perf_counter() - start)
    if repeats == 1:
        return Timing(seconds[0], seconds[0], seconds[0], 1)
    low, median, high = statistics.quantiles(seconds, n=4, method="inclusive")
    return Timing(median, low, high, repeats)


def size_of(thing: Any) -> str:
    """Return how big an array, a bytes object or a number of bytes is, to be read.

    1 MB is a million bytes. TypeError if `thing` has no size in bytes.

    >>> size_of(7_864_320), size_of(b"four")
    ('7.9 MB', '4 bytes')
    """
    count = bytes_of(thing)
    for scale, unit in BYTE_UNITS:
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count} bytes"


def bytes_of(thing: Any) -> int:
    """Return the number of bytes of an array or bytes object; an int is itself."""
    if hasattr(thing, "nbytes"):
        return int(thing.nbytes)
    if isinstance(thing, bytes | bytearray):
        return len(thing)
    if isinstance(thing, int) and not isinstance(thing, bool):
        return thing
    raise TypeError(
        "expected an array, a bytes object or a number of bytes. "
        f"Received: {type(thing).__name__}. Pass array.nbytes or len(data)."
    )
