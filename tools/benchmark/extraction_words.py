"""Small pieces of the extraction benchmark's page: lists, rows, changes."""

from collections.abc import Sequence


def is_clear(interval: Sequence[float]) -> bool:
    """Whether an interval of a change excludes none at all."""
    return interval[1] > 0 or interval[2] < 0


def change(interval: Sequence[float]) -> str:
    """Write a change and its interval: +0.012 [+0.001, +0.020]."""
    value, low, high = (f"{number:+z.3f}" for number in interval)
    return f"{value} [{low}, {high}]"


def listed(parts: Sequence[str]) -> str:
    """Write a list: a, b and c."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if parts[1:] else parts)


def table_row(*cells: str) -> str:
    """Write a row of a table."""
    return "| " + " | ".join(cells) + " |"
