"""How long does a call take, and how big is a thing? Standard library only."""

import statistics
from collections.abc import Callable
from time import perf_counter
from typing import Any, NamedTuple

TIME_UNITS = [(1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")]
BYTE_UNITS = [(1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")]


class Timing(NamedTuple):
    """Seconds that one call took: the median and the middle half of the repeats.

    Parameters
    ----------
    median : float
        Half of the calls were faster.
    low, high : float
        First and third quartile: the middle half of the calls lies between them.
    repeats : int
        How many calls were timed.

    Examples
    --------
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
    """Time `function()` several times and report the median with its spread.

    The median ignores the odd slow call that a mean would carry along.

    Parameters
    ----------
    function : callable without arguments
        Wrap a call that has some: ``lambda: index.search(queries, 5)``.
    repeats : int
        Timed calls, at least 1.
    warmup : int
        Calls made first and not timed: they fill caches and build graphs.

    Returns
    -------
    timing : Timing
        Seconds; prints as ``3.2 ms (3.1–3.6)``.

    Raises
    ------
    ValueError
        If `repeats` is less than 1 or `warmup` less than 0.
    """
    if repeats < 1 or warmup < 0:
        raise ValueError(
            "repeats must be at least 1 and warmup at least 0. "
            f"Received: repeats={repeats}, warmup={warmup}."
        )
    for _ in range(warmup):
        function()
    seconds = [_seconds(function) for _ in range(repeats)]
    if repeats == 1:
        return Timing(seconds[0], seconds[0], seconds[0], 1)
    low, median, high = statistics.quantiles(seconds, n=4, method="inclusive")
    return Timing(median, low, high, repeats)


def _seconds(function: Callable[[], Any]) -> float:
    start = perf_counter()
    function()
    return perf_counter() - start


def size_of(thing: Any) -> str:
    """Return how big `thing` is, for a person to read; 1 MB is a million bytes.

    Parameters
    ----------
    thing : array, bytes-like, or int
        An array (anything with ``nbytes``), a bytes object, or a number of bytes.

    Raises
    ------
    TypeError
        If `thing` has no size in bytes.

    Examples
    --------
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
