"""What requirements.txt promises is what the lowest run installs.

Write the constraints of that run anew: ``python tests/test_requirements.py``.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOWEST = ROOT / "tests" / "constraints-lowest.txt"
HEAD = """\
# The lowest versions that requirements.txt promises, for one run of the tests.
# Written by tests/test_requirements.py, and never by hand.
"""

sys.path.insert(0, str(ROOT))

from tools.doctor import name_of, requirement_lines  # noqa: E402


def lowest_versions():
    """One line per requirement, at its lower bound."""
    lines = requirement_lines(ROOT / "requirements.txt")
    bounds = [re.search(r">=([\w.]+)", line) for line in lines]
    return HEAD + "".join(
        f"{name_of(line)}=={bound.group(1)}\n"
        for line, bound in zip(lines, bounds, strict=True)
    )


def test_every_requirement_has_a_lower_bound():
    lines = requirement_lines(ROOT / "requirements.txt")
    assert [line for line in lines if ">=" not in line] == []


def test_the_lowest_run_installs_the_lower_bounds():
    assert LOWEST.read_text(encoding="utf-8") == lowest_versions()


def test_every_requirement_is_pinned_for_the_strict_run():
    pins = (ROOT / "tests" / "constraints.txt").read_text(encoding="utf-8")
    pinned = {re.sub(r"[-_.]+", "-", name_of(pin)).lower() for pin in pins.split("\n")}
    wanted = {
        name_of(line) for line in requirement_lines(ROOT / "requirements-dev.txt")
    }
    assert wanted <= pinned


if __name__ == "__main__":
    LOWEST.write_text(lowest_versions(), encoding="utf-8")
