"""What all benchmarks say of the machine, when they refuse, and their raw results."""

import doctest
import json
import platform

import pytest

from tools.benchmark import machine


def test_the_machine_is_described_without_its_name():
    found = machine.describe()
    text = machine.sentence(vars(found), [1, 2])
    assert found.processor in text
    assert f"{found.cores} cores" in text
    assert "threads: 1 and 2" in text
    assert f"numpy {found.versions['numpy']}" in text
    assert platform.node() not in text.replace(platform.machine(), "")


def test_only_what_is_installed_has_a_version():
    assert list(machine.versions(["numpy", "no-such-package"])) == ["numpy"]


def test_instructions_come_from_the_processors_flags(monkeypatch):
    lines = {"flags": "fpu sse2 fma avx2 avx512_vnni"}
    monkeypatch.setattr(machine, "_cpuinfo", lambda key: lines.get(key, ""))
    assert machine.describe().instructions == "AVX2, FMA, AVX-512 VNNI"


def test_a_busy_machine_is_refused_with_load_bound_and_option(monkeypatch):
    monkeypatch.setattr(machine, "load", lambda: 1.26)
    with pytest.raises(SystemExit) as caught:
        machine.check_quiet(4)
    message = str(caught.value)
    assert "at most 1.00" in message
    assert "Received: 1.26" in message
    assert "--busy" in message


def test_who_insists_measures_and_the_page_is_marked(monkeypatch):
    monkeypatch.setattr(machine, "load", lambda: 1.26)
    note = machine.busy_note(machine.check_quiet(4, anyway=True))
    assert "Not to be quoted" in note
    assert "1.26" in note and "1.00" in note


@pytest.mark.parametrize("anyway", [False, True])
def test_a_quiet_machine_goes_on_without_a_mark(monkeypatch, anyway):
    monkeypatch.setattr(machine, "load", lambda: 0.99)
    assert machine.busy_note(machine.check_quiet(4, anyway=anyway)) == ""


def test_raw_results_stand_beside_the_page_and_come_back(tmp_path):
    page = tmp_path / "PAGE.md"
    raw = {"date": "2026-01-01", "rounds": [{"ms": [0.12345678]}, {"ms": [2.0]}]}
    path = machine.write_raw(page, raw)
    assert path == tmp_path / "PAGE.json"
    back = machine.read_raw(page)
    assert back["rounds"] == [{"ms": [0.1235]}, {"ms": [2.0]}]
    machine.write_raw(page, back)
    assert machine.read_raw(page) == back
    assert '\n{"ms": [2.0]}\n' in path.read_text()  # an entry a line: small differences


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "expected the raw results of PAGE.md.*Run the benchmark first"),
        ("{", "expected the raw results"),
        (json.dumps({"format": 99}), "expected .* format 1. Received: 99"),
        ("[]", "Received: None"),
    ],
)
def test_what_is_no_raw_result_is_refused(tmp_path, content, message):
    if content is not None:
        (tmp_path / "PAGE.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        machine.read_raw(tmp_path / "PAGE.md")


def test_examples():
    assert doctest.testmod(machine).failed == 0
