"""Install this kit, with no network: ``python install.py``.

It compares the kit with this computer and every file with its sum, makes a virtual
environment in ``lookalike/.venv``, installs the wheels into it and runs the
environment check. Nothing outside the kit's folder is changed.
"""

# The type hints of this file must not stop an old Python before it is told its age.
from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SUMS = "SHA256SUMS"
# What processors call themselves on one system or another.
MACHINES = {"amd64": "x86_64", "arm64": "aarch64", "x64": "x86_64"}


class KitError(Exception):
    """The kit can't be installed here; the text says why and what to do."""


def machine_name(name: str) -> str:
    """One name for each kind of processor, whatever the system calls it.

    Examples
    --------
    >>> machine_name("AMD64"), machine_name("arm64")
    ('x86_64', 'aarch64')
    """
    return MACHINES.get(name.lower(), name.lower())


def this_computer() -> dict:
    """Python, system, processor and C library or macOS version of this computer."""
    system = platform.system()
    release = {
        "Linux": platform.libc_ver()[1],
        "Darwin": platform.mac_ver()[0],
    }.get(system, "")
    return {
        "python": "{}.{}.{}".format(*sys.version_info[:3]),
        "implementation": platform.python_implementation(),
        "system": system,
        "machine": machine_name(platform.machine()),
        "release": release,
    }


def _numbers(version: str) -> list:
    return [int(part) for part in version.split(".") if part.isdigit()]


def check_computer(kit: dict, computer: dict) -> None:
    """Refuse a computer that the kit's wheels were not made for.

    Parameters
    ----------
    kit : dict
        The kit's ``kit.json``.
    computer : dict
        As `this_computer` returns it.

    Raises
    ------
    KitError
        If Python, system, processor or the system's version don't fit.
    """
    ours, theirs = _numbers(kit["python"]), _numbers(computer["python"])
    fits = ours[:2] == theirs[:2] and ours[2] <= theirs[2]
    if computer["implementation"] != "CPython" or not fits:
        raise KitError(
            f"This kit is for Python {ours[0]}.{ours[1]}, release {kit['python']} or "
            f"later. Received: {computer['implementation']} {computer['python']}. "
            f"Start it by `{start_command(kit)}`, or make a kit for another Python: "
            "python tools/offline_kit.py --python ..."
        )
    there = (computer["system"], computer["machine"])
    if there != (kit["system"], kit["machine"]):
        raise KitError(
            f"This kit is for {kit['platform']}. Received: {there[0]} on {there[1]}. "
            "Make another kit: python tools/offline_kit.py --platform ..."
        )
    oldest, release = kit["oldest"], computer["release"]
    if oldest and (not release or _numbers(release) < _numbers(oldest)):
        name = {"Linux": "the GNU C library", "Darwin": "macOS"}[kit["system"]]
        raise KitError(
            f"This kit wants {name} {oldest} or newer. Received: "
            f"{release or 'another C library'}. Use a newer system."
        )


def start_command(kit: dict) -> str:
    """What to type to start install.py with the Python that the kit is for."""
    python = kit["python"].rpartition(".")[0]
    return f"{'py -' if kit['system'] == 'Windows' else 'python'}{python} install.py"


def check_files(folder: Path) -> int:
    """Compare every file of the kit with its sum; return how many there are.

    Raises
    ------
    KitError
        If files are missing or differ; it names them.
    """
    lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    bad = []
    for line in lines:
        expected, name = line.split("  ", 1)
        try:
            found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        except FileNotFoundError:
            bad.append(f"{name} is missing")
            continue
        except OSError as error:
            bad.append(f"{name} can't be read ({error.strerror})")
            continue
        if found != expected:
            bad.append(f"{name} is damaged or was changed")
    if bad:
        more = f", and {len(bad) - 5} more" if len(bad) > 5 else ""
        raise KitError(
            f"{len(bad)} of {len(lines)} files of the kit are not as they were made: "
            f"{'; '.join(bad[:5])}{more}. Copy the kit again."
        )
    return len(lines)


def make_environment(folder: Path) -> Path:
    """Make the virtual environment afresh; return its Python.

    Raises
    ------
    KitError
        If Python can't: Debian's and Ubuntu's keep this in a package of its own.
    """
    venv = folder / "lookalike" / ".venv"
    command = [sys.executable, "-m", "venv", "--clear", str(venv)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip()
        raise KitError(
            "Python could not make a virtual environment in "
            f"{venv}. On Debian and Ubuntu install python3-venv; if the folder can't "
            f"be written, copy the kit to your disk first. Python said: {said[-500:]}"
        )
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def install_wheels(folder: Path, python: Path, requirements: str) -> None:
    """Install the wheels of the kit into an environment, and nothing else.

    Raises
    ------
    KitError
        If pip fails; a missing wheel is named.
    """
    command = [str(python), "-m", "pip", "--isolated", "install", "--no-index"]
    command += ["--disable-pip-version-check", "--no-cache-dir", "--only-binary=:all:"]
    command += ["--find-links", str(folder / "wheels"), "-r", requirements]
    done = subprocess.run(
        command,
        cwd=folder / "lookalike",
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode == 0:
        return
    prefix = "ERROR: No matching distribution found for "
    for line in done.stderr.splitlines():
        if line.startswith(prefix):
            raise KitError(
                f"The kit holds no wheel for {line[len(prefix) :]}. It is incomplete: "
                "copy it again, or make another one."
            )
    hint = "On Windows, is the kit's folder deep down? Try C:\\kit.\n"
    raise KitError(
        f"pip could not install the wheels. {hint if os.name == 'nt' else ''}"
        f"It said:\n{done.stderr.strip()[-2000:]}"
    )


def set_up_slides(folder: Path, python: Path) -> None:
    """Let ``jupyter nbconvert --to slides`` take reveal.js from the kit."""
    settings = folder / "slides" / "jupyter_nbconvert_config.json"
    if not settings.exists():
        return  # a kit without slides
    venv = python.parents[1]
    (venv / "etc" / "jupyter").mkdir(parents=True, exist_ok=True)
    shutil.copy(settings, venv / "etc" / "jupyter")
    shutil.copytree(
        folder / "lookalike" / "tools" / "slide_template",
        venv / "share" / "jupyter" / "nbconvert" / "templates",
        dirs_exist_ok=True,
    )


def install(folder: Path) -> int:
    """Do it all; return the exit status of the environment check."""
    kit = json.loads((folder / "kit.json").read_text(encoding="utf-8"))
    check_computer(kit, this_computer())
    print("Comparing every file with its sum ...", flush=True)
    print(f"  {check_files(folder)} files are as they were made.", flush=True)
    print("Making a virtual environment ...", flush=True)
    python = make_environment(folder)
    print("Installing the wheels (some minutes) ...", flush=True)
    install_wheels(folder, python, kit["requirements"])
    set_up_slides(folder, python)
    print("Checking the environment ...\n", flush=True)
    # As if the environment were activated: the check looks for its commands.
    path = os.pathsep.join([str(python.parent), os.environ.get("PATH", "")])
    status = subprocess.run(
        [str(python), "-m", "tools.doctor"],
        cwd=folder / "lookalike",
        env={**os.environ, "PATH": path},
    ).returncode
    command = python.with_name("jupyter").relative_to(folder / "lookalike")
    print(f"\nStart, in the folder {folder / 'lookalike'}:\n\n  {command} lab")
    return status


def main() -> int:
    """Install the kit that this file lies in; return the exit status."""
    argparse.ArgumentParser(description=__doc__.split("\n")[0]).parse_args()
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")
    try:
        return install(HERE)
    except FileNotFoundError as error:
        print(
            f"{error.filename}: missing. Copy the whole folder of the kit, and start "
            "install.py there.",
            file=sys.stderr,
        )
    except KitError as error:
        print(error, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
