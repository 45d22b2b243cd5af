"""What was measured on which machine, whether it was quiet, and the raw results.

Every page of a benchmark says these things, and refuses to be published from a busy
machine.  No host name is kept.
"""

import hashlib
import importlib.metadata
import json
import math
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BOUND = 0.25  # processes a core that wanted to run in the minute before
ANYWAY = "--busy"  # the option of a program that measures on a busy machine, too
PACKAGES = ("numpy", "faiss-cpu")
FORMAT = 1  # of the raw results
DIGITS = 4  # significant ones of a raw result: no time is known better

# What matters to distances, from the processor's flags: x86-64, then ARM
INSTRUCTIONS = {
    "avx2": "AVX2",
    "fma": "FMA",
    "avx512f": "AVX-512",
    "avx512_vnni": "AVX-512 VNNI",
    "avx512_bf16": "AVX-512 BF16",
    "avx512_fp16": "AVX-512 FP16",
    "avx_vnni": "AVX VNNI",
    "amx_tile": "AMX",
    "asimd": "NEON",
    "asimddp": "NEON dot product",
    "i8mm": "NEON i8mm",
    "bf16": "NEON BF16",
    "sve": "SVE",
    "sve2": "SVE2",
}


@dataclass(frozen=True)
class Machine:
    """The processor, how many of its cores we may use, memory, system, versions."""

    processor: str
    cores: int
    memory_gb: float
    system: str
    instructions: str
    versions: dict[str, str]

    @property
    def fingerprint(self) -> str:
        """Eight digits: results of another machine, or other versions, stay apart."""
        return hashlib.sha256(json.dumps(vars(self)).encode()).hexdigest()[:8]


def describe(packages: Iterable[str] = PACKAGES) -> Machine:
    """Return what this machine is, with the versions of packages that are installed."""
    available = getattr(os, "sched_getaffinity", None)
    cores = len(available(0)) if available else os.cpu_count() or 1
    return Machine(
        _processor(),
        cores,
        round(_memory() / 2**30, 1),
        f"{platform.system()} {platform.machine()}",
        _instructions(),
        {"Python": platform.python_version()} | versions(packages),
    )


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of those that are installed, by the name pip knows."""
    found = {}
    for name in packages:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def sentence(machine: Mapping[str, Any], threads: Sequence[int]) -> str:
    """Say for a page what was measured on, from ``vars(describe())``."""
    numbers = machine["versions"].items()
    return (
        f"{machine['processor']}, {machine['cores']} cores "
        f"({machine['instructions'] or 'instruction set unknown'}), "
        f"{machine['memory_gb']} GB of memory, {machine['system']}; "
        f"threads: {' and '.join(map(str, threads))}. "
        + ", ".join(f"{name} {number}" for name, number in numbers)
        + "."
    )


# Whether it is quiet


def load() -> float:
    """Return how many processes wanted a core in the last minute; 0 if unknown."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def check_quiet(cores: int, *, anyway: bool = False) -> dict[str, float]:
    """Refuse to measure for a page while others want the cores.

    Parameters
    ----------
    cores : int
        Which may be used.
    anyway : bool
        Whether `ANYWAY` was given: then it goes on, and `busy_note` marks the page.

    Returns
    -------
    quiet : dict
        `load` before the run and its `bound`, for the raw results.

    Raises
    ------
    SystemExit
        If the load is above the bound, and nobody said to go on.
    """
    before, bound = load(), BOUND * cores
    if before > bound and not anyway:
        raise SystemExit(
            f"The machine is busy: expected a load of at most {bound:.2f} ({BOUND} for "
            f"each of {cores} cores) in the minute before. Received: {before:.2f}. "
            f"Stop what else runs and wait a minute, or pass {ANYWAY}: it measures "
            "all the same, and the page says so."
        )
    return {"load": round(before, 2), "bound": bound}


def busy_note(quiet: Mapping[str, float]) -> str:
    """Return the sentence that marks a page from a busy machine; "" if it was quiet."""
    if quiet["load"] <= quiet["bound"]:
        return ""
    return (
        f"**Not to be quoted: the machine was busy.** Its load was "
        f"{quiet['load']:.2f} before the run; a quiet one has at most "
        f"{quiet['bound']:.2f}. Times are too long, and intervals too wide."
    )


# The raw results


def raw_path(page: Path) -> Path:
    """Return where the raw results of a page stand: beside it, as JSON."""
    return page.with_suffix(".json")


def write_raw(page: Path, raw: Mapping[str, Any]) -> Path:
    """Write all that a page is made from, in four digits, an entry of a list a line.

    Parameters
    ----------
    page : Path
        The Markdown file.
    raw : mapping
        What JSON can hold.

    Returns
    -------
    path : Path
        The JSON file.
    """
    path = raw_path(page)
    entries = (
        f"{json.dumps(key)}: {_lines(value)}"
        for key, value in ({"format": FORMAT} | dict(raw)).items()
    )
    path.write_text("{\n" + ",\n".join(entries) + "\n}\n", encoding="utf-8")
    return path


def read_raw(page: Path) -> dict[str, Any]:
    """Read what `write_raw` wrote.

    Raises
    ------
    ValueError
        If there is no such file beside the page, or another program wrote it.
    """
    path = raw_path(page)
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{path}: expected the raw results of {page.name}. Received: {error}. "
            "Run the benchmark first."
        ) from error
    number = raw.get("format") if isinstance(raw, dict) else None
    if number != FORMAT:
        raise ValueError(
            f"{path}: expected raw results of format {FORMAT}. Received: {number}. "
            "Run the benchmark again."
        )
    return raw


def _lines(value: Any) -> str:
    if isinstance(value, list):
        return "[\n" + ",\n".join(json.dumps(rounded(x)) for x in value) + "\n]"
    return json.dumps(rounded(value))


def rounded(value: Any) -> Any:
    """Return JSON's value with every fraction in four significant digits.

    Examples
    --------
    >>> rounded({"ms": [0.123456, 1234567.8], "n": 98_500})
    {'ms': [0.1235, 1235000.0], 'n': 98500}
    """
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(one) for one in value]
    if isinstance(value, float) and math.isfinite(value):
        return float(f"{value:.{DIGITS}g}")
    return value


# What it is


def free_memory() -> float:
    """Return how many bytes can be had without swapping; infinity if unknown."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            return next(1024.0 * int(x.split()[1]) for x in file if "MemAvail" in x)
    except (OSError, StopIteration):
        return float("inf")


def _processor() -> str:
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _instructions() -> str:
    flags = (_cpuinfo("flags") or _cpuinfo("Features")).split()
    if not flags and platform.machine() == "arm64":
        flags = ["asimd"]  # every Mac with Apple's processor has it
    return ", ".join(name for flag, name in INSTRUCTIONS.items() if flag in flags)


def _cpuinfo(key: str) -> str:
    """Return what Linux says of the first processor; "" elsewhere."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                name, _, value = line.partition(":")
                if name.strip() == key:
                    return value.strip()
    except OSError:
        pass
    return ""


def _memory() -> float:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return float("nan")
