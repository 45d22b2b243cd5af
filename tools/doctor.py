"""Can a workshop start on this machine? Run ``python -m tools.doctor`` to be told.

One line a fact, *ok*, *attention* or *wrong*, and below it what to do. The exit
status is 0 unless something is wrong. With ``--deep`` the packages that take long to
import are tried as well, and TensorFlow turns a picture into a vector.  ``--speed``
says which way to run the network is the fastest on this machine.

It has to work where nothing else does: at the top only the standard library and
`utils.errors` are imported. What may crash is imported by `tools.doctor_probe`, in a
process of its own. Two packages are asked here, and done without if they are missing:
packaging and psutil.

Each ``check_…`` function judges what it is given, as a `Finding` or several, and raises
nothing. Sizes are bytes.
"""

# The type hints of this file must not stop an old Python before it is told its age.
from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import platform
import re
import shutil
import struct
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from utils.errors import LFS_POINTER, printable

ROOT = Path(__file__).resolve().parents[1]
OK, ATTENTION, WRONG = "ok", "attention", "wrong"

OLDEST, NEWEST = (3, 11), (3, 13)  # the range of Pythons; a test compares all others
GIB = 1024**3
MEMORY_NEEDED, MEMORY_WANTED = 1.5, 3.0  # GiB free, for one notebook with TensorFlow
DISK_NEEDED, DISK_WANTED = 0.3, 1.0  # GiB free, for output/
SLOW = {"tensorflow", "openvino", "nncf"}  # to import: left to --deep
PATIENCE = 180  # seconds for the other process; a first import from a slow disk

HDF5 = b"\x89HDF\r\n\x1a\n"
JPEG, END_OF_JPEG = b"\xff\xd8", b"\xff\xd9"

INSTALL = "In this environment: python -m pip install -r requirements.txt"
REINSTALL = (
    "Install it afresh: python -m pip install --force-reinstall -r requirements.txt. "
    "On Windows a DLL that fails to load often wants Microsoft's Visual C++ "
    "Redistributable."
)
RESTORE = "Bring it back: git checkout -- {0}, or unpack the download again."
FIXES = {
    "missing": RESTORE,
    "a Git LFS pointer": "Fetch what the pointers stand for: git lfs pull",
    "truncated": "A download or a copy stopped early: is the disk full? " + RESTORE,
    "changed": "Its bytes are not the published ones. " + RESTORE,
    "unreadable": "Check its permissions.",
}
OMP_ERROR = (
    "Two copies of the OpenMP library in one process (OMP: Error #15) stop it on "
    "macOS. Usually conda and pip were mixed: make a fresh virtual environment and "
    "install with pip alone. KMP_DUPLICATE_LIB_OK=TRUE lets the program go on, at its "
    "own risk: crashes and wrong results are possible."
)
TWO_MAKES = (
    "Two makes of OpenMP can wait for each other for ever. If a notebook hangs, set "
    "OMP_NUM_THREADS=1, or install with pip alone."
)
CRASH = (
    "Install everything afresh in a new virtual environment. An illegal instruction "
    "means a processor older than the package expects."
)


class Finding(NamedTuple):
    """A verdict, the fact it is about, and what to do (empty if all is well)."""

    verdict: str
    fact: str
    advice: str = ""

    def __str__(self) -> str:
        return printable(f"{self.verdict:<11}{self.fact}")


# ---------------------------------------------------------- Python and packages


def check_python(
    version: tuple[int, ...] = sys.version_info[:3],
    bits: int = struct.calcsize("P") * 8,
) -> Finding:
    """Judge the version of Python, and the width of an address: TensorFlow needs 64."""
    where = f"{platform.system()} {platform.machine()}"
    fact = f"Python {'.'.join(map(str, version))}, {bits} bits, {where}"
    if OLDEST <= tuple(version[:2]) <= NEWEST and bits == 64:
        return Finding(OK, fact)
    low, high = ("{}.{}".format(*limit) for limit in (OLDEST, NEWEST))
    return Finding(
        WRONG,
        fact,
        f"Expected Python {low} to {high} with 64 bits. Make the virtual environment "
        "anew with one of those.",
    )


def requirement_lines(path: Path) -> list[str]:
    """Requirements of a file and of those it includes by ``-r``, comments left out.

    Examples
    --------
    >>> requirement_lines(ROOT / "requirements.txt")[:2]
    ['jupyterlab>=4.2', 'ipykernel>=6.29']
    """
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        line = re.sub(r"(^|\s)#.*", "", line).strip()
        if line.startswith("-r"):
            found += requirement_lines(path.parent / line[2:].strip())
        elif line:
            found.append(line)
    return found


def name_of(requirement: str) -> str:
    """Name of the package that a line of a requirements file asks for."""
    return re.sub(r"[^\w.-].*", "", requirement)


def installed_version(name: str) -> str | None:
    """Version of an installed package, or None; the package is not imported."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def check_packages(
    path: Path, installed: Callable[[str], str | None] = installed_version
) -> list[Finding]:
    """Judge each package of a requirements file: here, and in the range asked for."""
    findings = []
    try:
        from packaging.requirements import Requirement
    except ImportError:
        Requirement = None  # type: ignore[assignment,misc]  # noqa: N806
        findings.append(Finding(WRONG, "packaging: missing", INSTALL))
    for line in requirement_lines(path):
        name = name_of(line)
        asked, version = line[len(name) :].strip(), installed(name)
        if version is None:
            finding = Finding(WRONG, f"{name}: missing, asked for {asked}", INSTALL)
        elif Requirement is None:
            finding = Finding(OK, f"{name} {version}, not compared with {asked}")
        elif not Requirement(line).specifier.contains(version, prereleases=True):
            finding = Finding(WRONG, f"{name} {version}, asked for {asked}", INSTALL)
        else:
            finding = Finding(OK, f"{name} {version} ({asked})")
        findings.append(finding)
    return findings


# ----------------------------------------------------------- memory, cores, disk


def _judge_room(
    fact: str, free: int, limits: tuple[float, float], advice: str
) -> Finding:
    needed, wanted = limits
    if free >= wanted * GIB:
        return Finding(OK, fact)
    return Finding(ATTENTION if free >= needed * GIB else WRONG, fact, advice)


def check_memory(free: int | None, total: int | None) -> Finding:
    """Judge the memory for one notebook; None where it could not be measured."""
    if free is None or total is None:
        return Finding(ATTENTION, "memory: not measured (psutil is missing)", INSTALL)
    fact = f"memory: {free / GIB:.1f} GiB free of {total / GIB:.1f} GiB"
    advice = (
        f"One notebook with TensorFlow wants {MEMORY_WANTED:.0f} GiB free; with less "
        "its kernel may die. Close other programs and other notebooks' kernels."
    )
    return _judge_room(fact, free, (MEMORY_NEEDED, MEMORY_WANTED), advice)


def measure_memory() -> tuple[int | None, int | None]:
    """Bytes free and in all, of the machine or of the container it runs in."""
    try:
        import psutil

        memory = psutil.virtual_memory()
    except Exception:  # missing or broken: we can't know
        return None, None
    free, total = memory.available, memory.total
    group = Path("/sys/fs/cgroup")
    try:
        limit = int((group / "memory.max").read_text())  # "max": not a number
        used = int((group / "memory.current").read_text())
    except (OSError, ValueError):
        return free, total
    return min(free, limit - used), min(total, limit)


def count_cores() -> int:
    """Processor cores that this process may use; in a container, its share."""
    cores = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(cores, int(quota) // int(period)))  # "max": not a number
    except (OSError, ValueError):
        return cores


def check_threads(cores: int, threads: Mapping[str, int]) -> Finding:
    """Judge the threads that each library will use."""
    used = ", ".join(f"{name} {n}" for name, n in sorted(threads.items()))
    fact = f"cores: {cores}; threads: {used or 'not known'}"
    if all(n <= cores for n in threads.values()):
        return Finding(OK, fact)
    return Finding(
        ATTENTION,
        fact,
        "More threads than cores slow each other down. Before starting Jupyter, set "
        f"OMP_NUM_THREADS={cores}.",
    )


def check_disk(free: int) -> Finding:
    """Judge the room for what the notebooks write, on the repository's disk."""
    fact = f"disk: {free / GIB:.1f} GiB free"
    advice = f"The notebooks write to output/: make {DISK_WANTED:.0f} GiB free."
    return _judge_room(fact, free, (DISK_NEEDED, DISK_WANTED), advice)


def check_writable(folder: Path, name: str) -> Finding:
    """Judge whether a file can be written to a folder, which is made if need be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"written")
    except OSError as error:
        return Finding(
            WRONG,
            f"{name}: can't be written ({error.strerror or error})",
            f"Make {folder} writable, or copy the repository to a folder of yours.",
        )
    return Finding(OK, f"{name}: can be written")


# ---------------------------------------------------------- weights and pictures


def _is_truncated(content: bytes) -> bool:
    """True if a JPEG lacks its end, or an HDF5 file is shorter than it says."""
    if content.startswith(HDF5) and len(content) >= 48:
        at = 40 if content[8] < 2 else 28  # where superblocks keep the file's end
        return len(content) < int.from_bytes(content[at : at + 8], "little")
    if content.startswith(JPEG):
        return not content.endswith(END_OF_JPEG)
    return len(content) < 48


def judge_file(path: Path, sha256: str) -> str:
    """Say what is wrong with a published file: a key of `FIXES`, or nothing."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return "missing"
    except OSError:
        return "unreadable"
    if hashlib.sha256(content).hexdigest() == sha256:
        return ""
    if content.startswith(LFS_POINTER):
        return "a Git LFS pointer"
    return "truncated" if _is_truncated(content) else "changed"


def check_weights(models: Path) -> Finding:
    """Judge the bundled weights by the sum in the JSON file beside them."""
    weights, card = models / "resnet50_notop.weights.h5", models / "resnet50_notop.json"
    try:
        sha256 = str(json.loads(card.read_text(encoding="utf-8"))["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        fact = f"weights: {card.name}, which holds their sum, is missing or damaged"
        return Finding(WRONG, fact, RESTORE.format("models"))
    state = judge_file(weights, sha256)
    if state:
        fact = f"weights: {weights.name} is {state}"
        return Finding(WRONG, fact, FIXES[state].format("models"))
    return Finding(OK, f"weights: {weights.name} is as published ({sha256[:12]})")


def check_gallery(images: Path) -> list[Finding]:
    """Judge the gallery's pictures by the sums in its ``metadata.csv``."""
    try:
        with open(images / "metadata.csv", encoding="utf-8", newline="") as file:
            sums = {row["file"]: row["sha256"] for row in csv.DictReader(file)}
    except (OSError, ValueError, KeyError, csv.Error):
        sums = {}
    if not sums:
        fact = "gallery: metadata.csv, which holds the sums, is missing or damaged"
        return [Finding(WRONG, fact, RESTORE.format("images"))]
    bad: dict[str, list[str]] = {}
    for name, sha256 in sums.items():
        bad.setdefault(judge_file(images / name, sha256), []).append(name)
    bad.pop("", None)
    findings = []
    for state, names in bad.items():
        fact = f"gallery: {len(names)} of {len(sums)} pictures {state}: {names[0]}"
        fact += " ..." if len(names) > 1 else ""
        findings.append(Finding(WRONG, fact, FIXES[state].format("images")))
    present = {
        path.relative_to(images).as_posix()
        for path in images.glob("*/*")
        if path.name[0] != "."
    }
    strangers = sorted(present - set(sums))
    if strangers:
        fact = f"gallery: {len(strangers)} files too many: {strangers[0]}"
        advice = "The notebooks would count them. Keep your pictures in another folder."
        findings.append(Finding(ATTENTION, fact, advice))
    return findings or [Finding(OK, f"gallery: {len(sums)} pictures, all as published")]


# ------------------------------------------------- libraries, in their own process


def module_names(path: Path) -> list[str]:
    """Modules to import of the installed packages of a requirements file."""
    wanted = {name_of(line) for line in requirement_lines(path)}
    names = []
    for module, packages in metadata.packages_distributions().items():
        canonical = {re.sub(r"[-_.]+", "-", name).lower() for name in packages}
        if canonical & wanted and re.fullmatch(r"[A-Za-z]\w*", module):
            names.append(module)
    return sorted(names)


def run_probe(
    modules: Sequence[str], deep: bool = False, *, patience: float | None = None
) -> dict[str, Any]:
    """Run `tools.doctor_probe` and gather what it said.

    The report holds ``errors`` (module to message), ``kernel``, ``runtimes``,
    ``vector``; and ``crash``, what it was doing and its last words, if it died.
    """
    program = [sys.executable, "-m", "tools.doctor_probe", *modules]
    try:
        child = subprocess.run(
            [*program, "--deep"] if deep else program,
            cwd=ROOT,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=patience or PATIENCE,
        )
        output, trouble, died = child.stdout, child.stderr, child.returncode != 0
    except subprocess.TimeoutExpired as late:
        output = (late.stdout or b"").decode(errors="replace")
        trouble, died = f"no answer in {patience or PATIENCE} seconds", True
    report: dict[str, Any] = {"errors": {}}
    doing = "python"
    for line in output.splitlines():
        try:
            facts = json.loads(line)
        except ValueError:
            continue  # what a library printed
        if "error" in facts:
            report["errors"][facts["module"]] = facts["error"]
        doing = facts.pop("doing", doing)
        report.update(facts)
    if died:
        report["crash"] = (doing, trouble.strip()[-2000:])
    return report


def check_imports(report: Mapping[str, Any], modules: Sequence[str]) -> list[Finding]:
    """Judge what `run_probe` reported of these modules, all in one process."""
    findings = [
        Finding(WRONG, f"{module} can't be imported: {message}", REINSTALL)
        for module, message in report["errors"].items()
        if module in modules
    ]
    if "crash" in report:
        doing, trouble = report["crash"]
        last = trouble.splitlines()[-1] if trouble else "without a word"
        fix = OMP_ERROR if "OMP: Error #15" in trouble else CRASH
        findings.append(Finding(WRONG, f"Python died at {doing}: {last[:200]}", fix))
    if "vector" in report["errors"]:
        message = report["errors"]["vector"]
        findings.append(Finding(WRONG, f"ResNet50 doesn't run: {message}", INSTALL))
    if "vector" in report:
        findings.append(Finding(OK, f"a picture became a vector: {report['vector']}"))
    return findings or [Finding(OK, f"{len(modules)} modules imported in one process")]


def check_speeds(report: Mapping[str, Any]) -> list[Finding]:
    """List the ways to run the network that `run_probe` timed, fastest first."""
    if "speeds" not in report:
        trouble = [*report["errors"].values(), *report.get("crash", ())]
        return [Finding(ATTENTION, f"speeds can't be measured: {trouble[-1]}", "")]
    timed = sorted(report["speeds"], key=lambda way: (way["size"], -way["speed"]))
    return [
        Finding(
            OK,
            f"{way['speed']:7.1f} pictures/s at {way['size']} pixels: {way['call']}",
            "The network alone. What int8 and bfloat16 cost: notebook 16.",
        )
        for way in timed
    ]


def check_openmp(pools: Sequence[Mapping[str, Any]], system: str) -> Finding:
    """Judge the OpenMP libraries among the ``runtimes``; "Darwin" is macOS."""
    runtimes = [pool for pool in pools if pool["api"] == "openmp"]
    files = ", ".join(pool["file"] for pool in runtimes)
    if not runtimes:
        return Finding(OK, "OpenMP: no library loaded")
    if len(runtimes) == 1:
        return Finding(OK, f"OpenMP: one library, {files}")
    fact = f"OpenMP: {len(runtimes)} libraries in one process: {files}"
    if system == "Darwin":
        return Finding(ATTENTION, fact, "They got along just now. " + OMP_ERROR)
    makes = {pool["name"] for pool in runtimes}
    if "libgomp" in makes and makes & {"libomp", "libiomp"}:
        return Finding(ATTENTION, fact, TWO_MAKES)
    return Finding(OK, fact + " (harmless on this system)")


# ------------------------------------------------------------ Jupyter and settings


def check_kernel(program: str | None, executable: str = sys.executable) -> Finding:
    """Judge what Jupyter's kernel ``python3`` starts; None: there is no such kernel."""
    fix = "Give this environment its own: python -m ipykernel install --sys-prefix"
    if program is None:
        return Finding(WRONG, "kernel python3: not found", fix)

    def folder(path: str) -> str:
        return os.path.normcase(os.path.abspath(os.path.dirname(path)))

    # A bare `python` is replaced by the Python that runs Jupyter.
    if os.path.dirname(program) and folder(program) != folder(executable):
        fact = f"kernel python3: belongs to another environment, {program}"
        return Finding(WRONG, fact, fix)
    return Finding(OK, "kernel python3: of this environment")


def check_jupyter(command: str | None, scripts: str) -> Finding:
    """Judge the command ``jupyter`` that the shell finds."""
    fix = "Activate this environment, or start it by: python -m jupyterlab"
    if command is None:
        return Finding(ATTENTION, "command jupyter: not on the path", fix)
    folder = os.path.dirname(command) or "."
    if os.path.isdir(scripts) and os.path.samefile(folder, scripts):
        return Finding(OK, "command jupyter: of this environment")
    fact = f"command jupyter: of another environment, {command}"
    return Finding(ATTENTION, fact, fix)


def check_settings(environment: Mapping[str, str]) -> list[Finding]:
    """Judge environment variables that change what the notebooks do."""
    consequences = {
        "MPLBACKEND": "every figure vanishes from the notebooks",
        "LOOKALIKE_WEIGHTS": "other weights are taken than in the stored outputs",
        "KERAS_BACKEND": "Keras runs on another library than TensorFlow",
        "PYTHONPATH": "packages may come from other folders than this environment's",
    }
    harmless = {("KERAS_BACKEND", "tensorflow"), ("LOOKALIKE_WEIGHTS", "bundled")}
    findings = []
    for name, consequence in consequences.items():
        value = environment.get(name)
        if value and (name, value) not in harmless:
            fact = f"{name} is set to {value}: {consequence}"
            advice = f"Unless you mean it, start Jupyter without {name}."
            findings.append(Finding(ATTENTION, fact, advice))
    return findings or [Finding(OK, "settings: no variable changes the notebooks")]


def check_network(environment: Mapping[str, str]) -> Finding:
    """Judge whether a network is needed."""
    if environment.get("LOOKALIKE_WEIGHTS") != "imagenet":
        return Finding(
            OK, "network: none needed, pictures and weights are on this disk"
        )
    return Finding(
        ATTENTION,
        "network: LOOKALIKE_WEIGHTS=imagenet wants weights of Keras",
        "They must be on this machine already; without the variable nothing is "
        "fetched.",
    )


# ------------------------------------------------------------------------ program


def check_all(
    root: Path = ROOT, *, deep: bool = False, speed: bool = False
) -> Iterator[Finding]:
    """Yield every finding about this machine and a copy of the repository."""
    environment, requirements = os.environ, root / "requirements.txt"
    yield check_python()
    yield from check_packages(requirements)
    yield check_memory(*measure_memory())
    yield check_disk(shutil.disk_usage(root).free)
    yield check_weights(root / "models")
    yield from check_gallery(root / "images")
    yield check_writable(root / "output", "output/")
    yield check_writable(root / "notebooks", "notebooks/")
    cache = environment.get("LOOKALIKE_CACHE")
    if cache:
        yield check_writable(Path(cache).absolute().parent, "LOOKALIKE_CACHE's folder")
    yield check_jupyter(shutil.which("jupyter"), sysconfig.get_path("scripts"))
    yield from check_settings(environment)
    yield check_network(environment)
    if sys.version_info < OLDEST:
        return  # the rest needs what this Python doesn't have
    modules = [name for name in module_names(requirements) if deep or name not in SLOW]
    report = run_probe(modules, deep)
    yield from check_imports(report, modules)
    pools = report.get("runtimes", [])
    threads = {pool["name"]: pool["threads"] for pool in pools}
    yield check_threads(count_cores(), threads)
    yield check_openmp(pools, platform.system())
    yield check_kernel(report.get("kernel"))
    if speed:
        yield from check_speeds(run_probe(["--speed"], patience=5 * PATIENCE))


def main(arguments: list[str] | None = None) -> int:
    """Print every finding and a last word; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.doctor", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--deep", action="store_true", help="try TensorFlow, too")
    parser.add_argument("--speed", action="store_true", help="time the network")
    options = parser.parse_args(arguments)
    if hasattr(sys.stdout, "reconfigure"):  # consoles that can't show every letter
        sys.stdout.reconfigure(errors="replace")
    wrong = 0
    everything = check_all(deep=options.deep, speed=options.speed)
    for advice, findings in groupby(everything, lambda f: f.advice):
        for finding in findings:
            print(finding, flush=True)
            wrong += finding.verdict == WRONG
        if advice:  # once, below all the facts it is for
            print(printable(f"{'':<11}{advice}"), flush=True)
    if wrong:
        print(f"\nNot yet: fix what is wrong ({wrong}) and run this again.")
        return 1
    print("\nA workshop can start.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
