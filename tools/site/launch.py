"""The repository's address, and the ways to start a lesson with one click.

The address is kept in one place, ``[tool.lookalike]`` of pyproject.toml. While it is
empty there is no button: none may lead nowhere.
"""

import re
import tomllib
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).resolve().parents[2]
BRANCH = "main"
GITHUB = re.compile(r"https://github\.com/([\w.-]+/[\w.-]+?)(\.git)?/?")

# A notebook that Colab opens comes alone. Colab shows notebooks itself, with an older
# ipykernel that it needs; of the rest pip installs what is missing or too old.
COLAB = """\
!git clone --quiet --depth 1 {repository} lookalike
%cd -q lookalike/notebooks
!grep -vE '^(jupyterlab|ipykernel)' ../requirements.txt > ../colab.txt
%pip install -q -r ../colab.txt"""


def read_repository(file: Path = ROOT / "pyproject.toml") -> str:
    """Address of the repository on GitHub, or "" while it has none."""
    settings = tomllib.loads(file.read_text(encoding="utf-8"))["tool"]["lookalike"]
    return check_repository(settings["repository"])


def check_repository(address: str) -> str:
    """The address in the form that links begin with.

    Raises
    ------
    ValueError
        If it is not one of GitHub's.

    Examples
    --------
    >>> check_repository("https://github.com/somebody/lookalike.git")
    'https://github.com/somebody/lookalike'
    """
    found = GITHUB.fullmatch(address)
    if address and not found:
        raise ValueError(
            "the repository's address must be https://github.com/OWNER/NAME, or empty. "
            f"Received: {address!r}."
        )
    return f"https://github.com/{found[1]}" if found else ""


def file_address(repository: str, path: str, *, folder: bool = False) -> str:
    """Where GitHub shows a file or a folder of the repository."""
    return f"{repository}/{'tree' if folder else 'blob'}/{BRANCH}/{quote(path)}"


def buttons(repository: str, notebook: str) -> dict[str, str]:
    """Where a notebook can be started, by the name of the place.

    Parameters
    ----------
    repository : str
    notebook : str
        Its path in the repository.

    Examples
    --------
    >>> buttons("", "notebooks/01_look_at_the_images.ipynb")
    {}
    """
    if not repository:
        return {}
    name = repository.removeprefix("https://github.com/")
    path = quote(notebook)
    return {
        "Colab": f"https://colab.research.google.com/github/{name}/blob/{BRANCH}/{path}",
        "Binder": "https://mybinder.org/v2/gh/"
        f"{name}/{BRANCH}?urlpath=lab/tree/{quote(notebook, safe='')}",
        "Codespaces": f"https://codespaces.new/{name}",
    }


def colab_cell(repository: str) -> str:
    """The cell that fetches in Colab what a notebook alone lacks.

    Parameters
    ----------
    repository : str
        Anything that git can clone.
    """
    return COLAB.format(repository=repository)
