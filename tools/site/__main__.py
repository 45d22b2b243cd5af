"""Build the site, and check it: ``python -m tools.site``.

It needs requirements-site.txt and no network; nothing is executed. A warning is an
error, and so are a dead link, a picture without an alternative text, and anything
that a page would fetch from elsewhere.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.site.check import find_faults
from tools.site.finish import finish
from tools.site.launch import check_repository, read_repository
from tools.site.sources import Sources

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "output" / "site"


def run_sphinx(sources: Path, pages: Path, repository: str) -> None:
    """Turn sources into pages.

    Raises
    ------
    ValueError
        If Sphinx has anything to say; the message is what it said.
    """
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-q", "-j", "auto"]
    command += ["-W", "--keep-going", "-d", str(sources.with_name("doctrees"))]
    # Started in the root: there `utils` is found.
    done = subprocess.run(
        [*command, str(sources), str(pages)],
        cwd=ROOT,
        env=os.environ | {"LOOKALIKE_REPOSITORY": repository},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if done.returncode != 0:
        raise ValueError(f"Sphinx refused a page:\n{done.stdout.strip()}")


def build(target: Path, repository: str = "") -> int:
    """Write the site into a folder, in place of an older one; return the pages.

    Parameters
    ----------
    target : Path
    repository : str, optional
        Address of the repository, for buttons and links.

    Raises
    ------
    ValueError
        If a page has a fault, or the folder holds something else than a site.
    """
    if target.exists() and any(target.iterdir()):
        if not (target / "searchindex.js").exists():
            raise ValueError(
                f"{target} holds something else than a site: name an empty folder, or "
                "one that is not there yet."
            )
    with tempfile.TemporaryDirectory(prefix="lookalike-site-") as part:
        sources, pages = Path(part) / "sources", Path(part) / "pages"
        sources.mkdir()
        Sources(ROOT, sources, repository).write()
        run_sphinx(sources, pages, repository)
        finish(pages)
        if faults := find_faults(pages):
            raise ValueError("\n".join(faults))
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(pages, target)
    return len(list(target.rglob("*.html")))


def main(arguments: list[str] | None = None) -> int:
    """Build; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.site", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--output", type=Path, default=SITE, help="folder of the site")
    parser.add_argument(
        "--repository",
        help="its address on GitHub (default: that of pyproject.toml, where it may be "
        "empty); the buttons that start a lesson need it",
    )
    options = parser.parse_args(arguments)
    try:
        given = options.repository
        address = read_repository() if given is None else check_repository(given)
        count = build(options.output, address)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{count} pages: open {options.output / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
