"""Make a kit for a room without a network: the repository, its wheels, its slides.

    python tools/offline_kit.py                      for computers like this one
    python tools/offline_kit.py --platform windows-amd64 --python 3.12 --zip

The kit is a folder, ``lookalike-PLATFORM-pyVERSION``, to be copied to every computer
of that kind. There, ``python install.py`` installs it with no network. It takes what
git knows of the repository as of the last commit (or, without git, the folder as it
is), wheels in the versions of ``tests/constraints.txt``, and the lessons as slides.

pip downloads for another system well enough, but decides by *this* computer which
packages the other one needs at all (on Windows, for example, pywinpty). So pip is
started with the other computer's answers to those questions, and afterwards every
wheel's own list of requirements is read: a kit with a gap is never finished.
"""

import argparse
import email.parser
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name, parse_wheel_filename

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tools import doctor, offline_install  # noqa: E402
from tools.offline_install import SUMS, KitError, machine_name, this_computer  # noqa: E402

PYTHONS = [f"3.{minor}" for minor in range(doctor.OLDEST[1], doctor.NEWEST[1] + 1)]
LATEST = 99  # stands for the last number of the newest 3.11.x, 3.12.x, 3.13.x
CONSTRAINTS = "tests/constraints.txt"
# Without git: what is never part of the repository. .gitignore says the same.
LEFT_OUT = shutil.ignore_patterns(
    *(".git", ".venv", "venv", "output", "build", "__pycache__", "*.pyc"),
    *(
        ".hypothesis",
        ".mypy_cache",
        ".pytest_cache",
        ".ruff_cache",
        ".ipynb_checkpoints",
    ),
    *(".virtual_documents", ".jupyter_ystore.db", ".coverage", ".DS_Store"),
)


class Platform(NamedTuple):
    """A kind of computer.

    Attributes
    ----------
    system, machine : str
        As Python's `platform` calls them there.
    tags : tuple of str
        Wheel tags that run there.
    oldest : str
        Oldest GNU C library, or macOS, that has all these tags.
    """

    system: str
    machine: str
    tags: tuple[str, ...]
    oldest: str = ""


def _manylinux(machine: str, newest: int) -> tuple[str, ...]:
    """Tags of Linux wheels for glibc 2.5 to 2.`newest`; newest first."""
    numbers = range(newest, 4, -1)
    old = [f"{name}_{machine}" for name in ("manylinux2014", "manylinux2010")]
    return (*(f"manylinux_2_{n}_{machine}" for n in numbers), *old)


# As old a system as the requirements' wheels allow: glibc 2.28 is of 2018, 2.35 of
# 2022 (OpenVINO), macOS 14 of 2023 (FAISS).
PLATFORMS = {
    "linux-x86_64": Platform("Linux", "x86_64", _manylinux("x86_64", 28), "2.28"),
    "linux-aarch64": Platform("Linux", "aarch64", _manylinux("aarch64", 35), "2.35"),
    "macos-arm64": Platform("Darwin", "arm64", ("macosx_14_0_arm64",), "14.0"),
    "macos-x86_64": Platform("Darwin", "x86_64", ("macosx_14_0_x86_64",), "14.0"),
    "windows-amd64": Platform("Windows", "AMD64", ("win_amd64",)),
    "windows-arm64": Platform("Windows", "ARM64", ("win_arm64",)),
}
NO_WHEELS = {
    ("macos-x86_64", "tensorflow"): (
        "TensorFlow stopped making wheels for Macs with Intel processors after 2.16. "
        "On such a Mac run Linux, in a container or a virtual machine, and use the "
        "kit for linux-x86_64."
    ),
    ("windows-arm64", "tensorflow"): (
        "TensorFlow makes no wheels for Windows on ARM. Windows there runs programs "
        "for AMD64, too: install Python for AMD64 and use the kit for windows-amd64."
    ),
}

# pip, answering as the other computer would when a package is for some systems only.
PIP = """\
import json, sys
from pip._vendor.packaging import markers
answers = json.loads(sys.argv.pop(1))
markers.default_environment = lambda: dict(answers)
from pip._internal.cli.main import main
sys.exit(main())
"""

README = """\
Lookalike, with all it needs to run without a network
=====================================================

For:  {platform}, Python {python} or a later release of the same Python
Of:   {revision}

1. Copy this whole folder to the computer's own disk; on Windows to a short path,
   such as C:\\kit.
2. In this folder:  {start}
3. Start JupyterLab with the command that it prints at the end.

lookalike/   the notebooks, pictures and weights
wheels/      the Python packages
slides/      every lesson as slides: open the HTML files in a browser
             (licences of the software that shows them: slides/assets/)
{sums}   the sum of every file; install.py compares them first
"""


# --------------------------------------------------------------------- platforms


def here() -> str:
    """Name of the platform of this computer.

    Raises
    ------
    KitError
        If it is none of `PLATFORMS`.
    """
    computer = this_computer()
    for name, platform in PLATFORMS.items():
        there = (platform.system, machine_name(platform.machine))
        if there == (computer["system"], computer["machine"]):
            return name
    raise KitError(
        f"{computer['system']} on {computer['machine']}: no platform that kits are "
        f"made for. Choose by --platform: {', '.join(PLATFORMS)}."
    )


def marker_environment(platform: Platform, python: str) -> dict[str, str]:
    """What a computer answers to the conditions in packages' requirements.

    Parameters
    ----------
    platform : Platform
    python : str
        Such as ``"3.11.5"``.
    """
    names = {"Linux": "linux", "Darwin": "darwin", "Windows": "win32"}
    return {
        "implementation_name": "cpython",
        "implementation_version": python,
        "os_name": "nt" if platform.system == "Windows" else "posix",
        "platform_machine": platform.machine,
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": platform.system,
        "platform_version": "",
        "python_full_version": python,
        "python_version": python.rpartition(".")[0],
        "sys_platform": names[platform.system],
    }


# ------------------------------------------------------------------------ wheels


def download(
    wheels: Path, name: str, python: str, *, arguments: list[str], folder: Path
) -> None:
    """Download wheels for a platform, with all that they require.

    Parameters
    ----------
    wheels : Path
        Where to put them.
    name : str
        One of `PLATFORMS`.
    python : str
        Such as ``"3.11"``.
    arguments : list of str
        Further words for ``pip download``: requirements and constraints.
    folder : Path
        Where to start pip.

    Raises
    ------
    KitError
        If pip fails; a package that has no wheel is named.
    """
    newest = f"{python}.{LATEST}"
    answers = json.dumps(marker_environment(PLATFORMS[name], newest))
    command = [sys.executable, "-c", PIP, answers, "download", "--dest", str(wheels)]
    command += ["--only-binary=:all:", "--disable-pip-version-check"]
    command += ["--implementation", "cp", "--python-version", newest]
    for tag in PLATFORMS[name].tags:
        command += ["--platform", tag]
    done = subprocess.run(
        command + arguments,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if done.returncode != 0:
        raise KitError(explain(done.stdout, name, python))


def explain(said: str, name: str, python: str) -> str:
    """Turn what pip said into a sentence: which wheel is missing, and what to do.

    Parameters
    ----------
    said : str
        pip's output.
    name, python : str
        As for `download`.
    """
    # The second is pip's answer if other versions than the pinned one have wheels.
    found = re.search(r"No matching distribution found for (\S+)", said) or re.search(
        r"The user requested \(constraint\) (\S+)", said
    )
    if not found:
        return f"pip could not download the wheels. It said:\n{said.strip()[-2000:]}"
    package = canonicalize_name(doctor.name_of(found.group(1)))
    advice = NO_WHEELS.get(
        (name, package),
        f"Is the package registry reachable? If it is, try another --python "
        f"({', '.join(PYTHONS)}), or --newest, which leaves {CONSTRAINTS} aside.",
    )
    return f"No wheel of {found.group(1)} for {name}, Python {python}. {advice}"


class Wheel(NamedTuple):
    """What a wheel says of itself."""

    version: str
    pythons: SpecifierSet
    required: list[Requirement]


def read_wheels(folder: Path) -> dict[str, Wheel]:
    """Read the wheels of a folder, by the packages' names."""
    found = {}
    for path in sorted(folder.glob("*.whl")):
        name, version, _, _ = parse_wheel_filename(path.name)
        with zipfile.ZipFile(path) as wheel:
            (inside,) = (
                n for n in wheel.namelist() if re.fullmatch(r"[^/]*info/METADATA", n)
            )
            text = wheel.read(inside).decode(errors="replace")
        fields = email.parser.HeaderParser().parsestr(text)
        pythons = SpecifierSet(fields.get("Requires-Python", ""))
        required = [Requirement(line) for line in fields.get_all("Requires-Dist", [])]
        found[str(name)] = Wheel(str(version), pythons, required)
    return found


def oldest_python(held: dict[str, Wheel], python: str) -> str:
    """Oldest release of a Python that all wheels accept, such as ``"3.11.5"``."""
    for last in range(LATEST):
        if all(wheel.pythons.contains(f"{python}.{last}") for wheel in held.values()):
            return f"{python}.{last}"
    return f"{python}.{LATEST}"


def find_missing(
    held: dict[str, Wheel], asked: list[Requirement], environment: dict[str, str]
) -> list[str]:
    """What wheels require, and is not among them.

    Parameters
    ----------
    held : dict of str to Wheel
        From `read_wheels`.
    asked : list of Requirement
        What is to be installed.
    environment : dict
        From `marker_environment`.

    Returns
    -------
    missing : list of str
        Requirements, each with the package that has it; empty if all is there.
    """
    missing: list[str] = []
    seen: set[tuple[str, str]] = set()
    nothing = Wheel("", SpecifierSet(), [])
    waiting = [(requirement, "the repository") for requirement in asked]
    while waiting:
        requirement, who = waiting.pop()
        name, extras = canonicalize_name(requirement.name), requirement.extras or {""}
        wheel, wanted = held.get(name, nothing), requirement.specifier
        if not wheel.version or not wanted.contains(wheel.version, prereleases=True):
            missing.append(f"{requirement.name}{requirement.specifier} (for {who})")
            continue
        for extra in extras - {e for n, e in seen if n == name} | {""}:
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            waiting += [
                (new, name)
                for new in wheel.required
                if not new.marker or new.marker.evaluate(environment | {"extra": extra})
            ]
    return sorted(set(missing))


# ------------------------------------------------------------------- repository


def copy_repository(source: Path, target: Path) -> str:
    """Copy the repository without its history; return what was copied, in words.

    Parameters
    ----------
    source : Path
        A clone, or a plain folder.
    target : Path
        A folder that does not exist yet.
    """

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=source, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != source.resolve():
            raise FileNotFoundError  # a plain folder inside somebody's repository
        revision = git("log", "-1", "--format=%h of %cs")
        left = len(git("status", "--porcelain").splitlines())
    except (FileNotFoundError, subprocess.CalledProcessError):
        shutil.copytree(source, target, ignore=LEFT_OUT)
        return "the folder as it was, without git"
    target.mkdir()
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "head.zip"
        git("archive", "--format=zip", f"--output={archive}", "HEAD")
        shutil.unpack_archive(archive, target)
    if left:
        print(f"  {left} changes that are not committed were left out.")
    return f"commit {revision}"


def check_copy(folder: Path) -> None:
    """Refuse a copy of the repository whose weights or pictures are damaged."""
    findings = [doctor.check_weights(folder / "models")]
    findings += doctor.check_gallery(folder / "images")
    wrong = [finding for finding in findings if finding.verdict == doctor.WRONG]
    if wrong:
        raise KitError("\n".join(f"{f.fact}. {f.advice}" for f in wrong))


# --------------------------------------------------------------------------- kit


def write_sums(folder: Path) -> None:
    """Write the sum of every file of the kit, as ``sha256sum --check`` reads them."""
    lines = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            lines.append(f"{digest}  {path.relative_to(folder).as_posix()}\n")
    (folder / SUMS).write_text("".join(lines), encoding="utf-8", newline="\n")


def write_zip(folder: Path, target: Path) -> None:
    """Pack a kit; wheels and pictures are as small as they get, so nothing shrinks."""
    part = target.with_name(f".{target.name}.part")
    try:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
            for path in sorted(folder.rglob("*")):
                archive.write(path, path.relative_to(folder.parent))
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def add_wheels(copy: Path, wheels: Path, options: argparse.Namespace) -> str:
    """Fill a folder with wheels; return the oldest Python that accepts them all.

    Raises
    ------
    KitError
        If a wheel is missing; it is named.
    """
    print(f"Downloading wheels for {options.platform} ...", flush=True)
    arguments = ["-r", options.requirements]
    arguments += [] if options.newest else ["-c", CONSTRAINTS]
    name, python = options.platform, options.python
    wheels.mkdir()
    download(wheels, name, python, arguments=arguments, folder=copy)
    held = read_wheels(wheels)
    oldest = oldest_python(held, python)
    lines = doctor.requirement_lines(copy / options.requirements)
    environment = marker_environment(PLATFORMS[name], oldest)
    missing = find_missing(held, [Requirement(line) for line in lines], environment)
    if missing:
        raise KitError(
            f"The wheels lack {', '.join(missing)}, though pip said that all is there. "
            "Make the kit on a computer of its own kind, or with another pip."
        )
    return oldest


def add_slides(copy: Path, target: Path) -> None:
    """Write the lessons as slides, and nbconvert's settings to make them again."""
    print("Making the slides ...", flush=True)
    from tools import slides

    slides.make(copy / "notebooks", target)
    # `jupyter nbconvert --to slides` writes beside the notebooks.
    settings = json.dumps(slides.settings("../../slides/assets"), indent=2)
    path = target / "jupyter_nbconvert_config.json"
    path.write_text(settings + "\n", encoding="utf-8")


def fill(folder: Path, options: argparse.Namespace) -> None:
    """Put everything into the kit's folder."""
    copy, platform = folder / "lookalike", PLATFORMS[options.platform]
    print("Copying the repository ...", flush=True)
    revision = copy_repository(options.source, copy)
    check_copy(copy)
    oldest = add_wheels(copy, folder / "wheels", options)
    if options.slides:
        add_slides(copy, folder / "slides")
    facts = {
        "platform": options.platform,
        "system": platform.system,
        "machine": machine_name(platform.machine),
        "oldest": platform.oldest,
        "python": oldest,
        "requirements": options.requirements,
        "revision": revision,
    }
    (folder / "kit.json").write_text(json.dumps(facts, indent=2) + "\n")
    shutil.copy(offline_install.__file__, folder / "install.py")
    start = offline_install.start_command(facts)
    text = README.format(**facts, start=start, sums=SUMS)
    (folder / "README.txt").write_text(text, encoding="utf-8", newline="\n")
    write_sums(folder)


def make(options: argparse.Namespace) -> Path:
    """Make a kit, whole or not at all; return its folder.

    Raises
    ------
    KitError
        If a kit of that name is there already, or one can't be made.
    """
    name = f"lookalike-{options.platform}-py{options.python}"
    target = options.to.resolve() / (name + ("-dev" if options.dev else ""))
    for taken in [target] + [target.with_name(f"{target.name}.zip")] * options.zip:
        if taken.exists():
            raise KitError(f"{taken}: there already. Move it away, or choose --to.")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".kit-") as part:
        folder = Path(part) / target.name
        folder.mkdir()
        fill(folder, options)
        if options.zip:
            print("Packing ...", flush=True)
            write_zip(folder, target.with_name(f"{target.name}.zip"))
        os.replace(folder, target)
    return target


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    python = "{}.{}".format(*sys.version_info[:2])
    python = python if python in PYTHONS else PYTHONS[-1]
    add = parser.add_argument
    add("--platform", choices=PLATFORMS, help="default: as this computer")
    add("--python", choices=PYTHONS, default=python, help=f"default: {python}")
    add("--dev", action="store_true", help="with the tests' requirements")
    add("--newest", action="store_true", help=f"don't keep to {CONSTRAINTS}")
    add("--zip", action="store_true", help="pack the folder, too")
    add("--to", type=Path, default=Path("."), metavar="FOLDER", help="default: here")
    add("--without-slides", dest="slides", action="store_false")
    parser.set_defaults(source=ROOT)
    options = parser.parse_args(arguments)
    options.platform = options.platform or here()
    options.requirements = f"requirements{'-dev' if options.dev else ''}.txt"
    return options


def main(arguments: list[str] | None = None) -> int:
    """Make the kit that the command line asks for; return the exit status."""
    try:
        folder = make(parse(arguments))
    except KitError as error:
        print(error, file=sys.stderr)
        return 1
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{folder}: {size / 1e6:.0f} MB. Copy it, and run install.py there.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
