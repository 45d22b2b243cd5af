"""What the figures were measured on: processor, memory, versions.  No host name."""

import hashlib
import json
import os
import platform
from dataclasses import dataclass

from tools.benchmark.contenders import EVERYONE, GRAPH, PACKAGES, versions


@dataclass(frozen=True)
class Machine:
    """The processor, how many of its cores we may use, memory, system, versions."""

    processor: str
    cores: int
    memory_gb: float
    system: str
    versions: dict[str, str]

    @property
    def fingerprint(self) -> str:
        """Eight digits: results of another machine, or other contenders, stay apart."""
        parts = [vars(self), GRAPH, [repr(contender) for contender in EVERYONE]]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:8]


def describe() -> Machine:
    """Return what this machine is."""
    available = getattr(os, "sched_getaffinity", None)
    cores = len(available(0)) if available else os.cpu_count() or 1
    python = {"Python": platform.python_version()}
    return Machine(
        _processor(),
        cores,
        round(_memory() / 2**30, 1),
        f"{platform.system()} {platform.machine()}",
        python | versions(PACKAGES),
    )


def load() -> float:
    """Return how many processes wanted a core in the last minute; 0 if unknown."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def free_memory() -> float:
    """Return how many bytes can be had without swapping; infinity if unknown."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            return next(1024.0 * int(x.split()[1]) for x in file if "MemAvail" in x)
    except (OSError, StopIteration):
        return float("inf")


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":", 1)[1] for line in file if "model name" in line]
        return names[0].strip()
    except (OSError, IndexError):
        return platform.processor() or platform.machine()


def _memory() -> float:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return float("nan")
