"""What starts the lessons with one click.  Nothing is built here."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import nbformat
import pytest
import yaml

from tools.doctor import check_python, requirement_lines
from tools.notebooks import find_notebooks
from tools.site import launch

ROOT = Path(__file__).parents[1]
ADDRESS = "https://github.com/somebody/lookalike"
PLACES = (
    r"https://(?:colab\.research\.google\.com|(?:www\.)?mybinder\.org|codespaces\.new)"
)
INSTALL = "pip install{} -r requirements.txt -c tests/constraints.txt"


# ------------------------------------------------------------ addresses and badges


def test_without_an_address_there_is_no_button():
    assert launch.buttons("", "notebooks/01_look_at_the_images.ipynb") == {}


def test_each_button_leads_to_the_notebook():
    for place, address in launch.buttons(ADDRESS, "notebooks/03_a b.ipynb").items():
        assert re.match(PLACES, address)
        assert "somebody/lookalike" in address
        assert place == "Codespaces" or "03_a%20b.ipynb" in address


@pytest.mark.parametrize(
    "written", [f"{ADDRESS}", f"{ADDRESS}/", f"{ADDRESS}.git"], ids=str
)
def test_an_address_is_taken_in_every_usual_form(written, tmp_path):
    (tmp_path / "p.toml").write_text(f'[tool.lookalike]\nrepository = "{written}"\n')
    assert launch.read_repository(tmp_path / "p.toml") == ADDRESS


@pytest.mark.parametrize("written", ["github.com/a/b", "https://github.com/a", "../x"])
def test_another_address_is_refused(written):
    with pytest.raises(ValueError, match="must be https://github.com/OWNER/NAME"):
        launch.check_repository(written)


def test_no_badge_of_ours_is_dead():
    """Each leads to the repository of pyproject.toml and to a file that is there."""
    repository = launch.read_repository()
    name = repository.removeprefix("https://github.com/")
    texts = [path.read_text(encoding="utf-8") for path in ROOT.glob("*.md")]
    for path in find_notebooks(ROOT / "notebooks"):
        texts += [cell.source for cell in nbformat.read(path, as_version=4).cells]
    for address in re.findall(rf"{PLACES}[^\s)\"'>]*", "\n".join(texts)):
        assert name and f"/{name}" in address, f"{address} leads nowhere"
        for file in re.findall(r"notebooks/[\w/]+\.ipynb", address.replace("%2F", "/")):
            assert (ROOT / file).exists(), address


# -------------------------------------------------------------------- Colab, Binder


def test_colab_fetches_the_lessons_and_installs_what_it_lacks():
    clone, enter, choose, install = launch.colab_cell(ADDRESS).split("\n")
    assert clone == f"!git clone --quiet --depth 1 {ADDRESS} lookalike"
    assert enter == "%cd -q lookalike/notebooks"  # where the setup cell looks for utils
    assert install.startswith("%pip install")
    left_out = re.compile(re.search(r"'(.*)'", choose)[1])
    lines = requirement_lines(ROOT / "requirements.txt")
    assert [line for line in lines if left_out.match(line)] == lines[:2]


def test_binder_installs_the_requirements_at_the_tested_versions():
    folder = ROOT / ".binder"
    lines = (folder / "requirements.txt").read_text(encoding="utf-8").splitlines()
    files = [line.split() for line in lines if not line.startswith("#")]
    assert [option for option, _ in files] == ["-r", "-c"]
    names = ["requirements.txt", "tests/constraints.txt"]
    assert [(folder / file).resolve() for _, file in files] == [ROOT / n for n in names]


def test_every_door_has_a_supported_python():
    container = (ROOT / "Containerfile").read_text(encoding="utf-8")
    doors = [
        (ROOT / ".binder" / "runtime.txt").read_text(encoding="utf-8"),
        json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())["image"],
        re.search(r"^FROM (.*)$", container, re.M)[1],
    ]
    for door in doors:
        found = re.search(r"python[:-](3)\.(\d+)", door)
        version = (int(found[1]), int(found[2]), 0)
        assert check_python(version, 64).verdict == "ok", door


# ------------------------------------------------------------------------ containers

CONTAINER = (ROOT / "Containerfile").read_text(encoding="utf-8").replace("\\\n", " ")


def steps(name):
    return re.findall(rf"(?m)^{name} (.*)$", CONTAINER)


def test_the_dev_container_installs_the_requirements_and_opens_lesson_01():
    settings = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    assert settings["postCreateCommand"] == INSTALL.format("")
    opened = settings["customizations"]["codespaces"]["openFiles"]
    assert [file for file in opened if not (ROOT / file).exists()] == []


def test_the_container_installs_the_requirements_before_it_copies_the_lessons():
    assert INSTALL.format(" --no-cache-dir") in steps("RUN")
    assert not re.search(r"apt|curl|wget|ADD http", CONTAINER)
    assert CONTAINER.index("RUN pip") < CONTAINER.index("COPY models")


def test_what_the_container_copies_is_there_and_not_ignored():
    ignored = (ROOT / ".containerignore").read_text(encoding="utf-8")
    copied = [
        name
        for step in steps("COPY")
        for name in step.split()[:-1]
        if not name.startswith("--")
    ]
    assert {"notebooks", "images", "models", "utils"} <= set(copied)
    for name in copied:
        assert (ROOT / name).exists()
        assert f"!{name}\n" in ignored


def test_the_container_does_not_run_as_root():
    assert steps("USER") == ["1000:1000"]
    assert "--uid 1000 " in steps("RUN")[0]
    assert CONTAINER.index("\nUSER") < CONTAINER.index("\nCMD")


def test_the_container_starts_jupyterlab_with_a_token_on_the_port_it_names():
    command = json.loads(steps("CMD")[0])
    assert command[:2] == ["jupyter", "lab"]
    assert f"--port={steps('EXPOSE')[0]}" in command
    assert not [part for part in command if "token" in part or "password" in part]
    assert "-p 127.0.0.1:8888:8888" in CONTAINER  # how its first lines say to run it


# ------------------------------------------------------------------------ the workflow


def test_the_site_is_published_by_official_actions_alone():
    text = (ROOT / ".github" / "workflows" / "site.yml").read_text(encoding="utf-8")
    jobs = yaml.safe_load(text)["jobs"]
    used = [
        step["uses"] for job in jobs.values() for step in job["steps"] if "uses" in step
    ]
    assert [
        action for action in used if not re.fullmatch(r"actions/[\w-]+@v\d+", action)
    ] == []
    assert "pull_request" in jobs["publish"]["if"]
    for line in (step.get("run", "") for step in jobs["build"]["steps"]):
        for file in re.findall(r"[\w/.-]+\.txt", line):
            assert (ROOT / file).exists()


# ---------------------------------------------------------- tried, as far as it goes

RUNS_COLAB = """
import sys
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
for cell in sys.argv[1:]:
    shell.run_cell(cell).raise_error()
"""


def test_colab_s_cell_leads_from_an_empty_folder_to_a_lesson(tmp_path):
    """The copy comes from this disk; pip finds all that it wants, or fails."""
    if not (ROOT / ".git").exists():
        pytest.skip("this folder is no clone")
    lesson = "%run ../utils/start.py\nfrom utils.gallery import IMAGES; print(IMAGES)"
    cell = launch.colab_cell(ROOT.as_uri())
    done = subprocess.run(
        [sys.executable, "-c", RUNS_COLAB, cell, lesson],
        cwd=tmp_path,
        env=os.environ | {"PIP_NO_INDEX": "1", "IPYTHONDIR": str(tmp_path / "ipython")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert str(tmp_path / "lookalike" / "images") in done.stdout
    assert "ERROR" not in done.stdout + done.stderr


def test_what_the_container_copies_is_enough_to_start_jupyterlab(tmp_path):
    home = tmp_path / "lookalike"
    (home / "output").mkdir(parents=True)
    for step in steps("COPY"):
        *names, _ = (name for name in step.split() if not name.startswith("--"))
        for name in names:
            (home / name).parent.mkdir(exist_ok=True)
            (home / name).symlink_to(ROOT / name)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        part.replace("0.0.0.0", "127.0.0.1").replace("8888", str(port))
        for part in json.loads(steps("CMD")[0])
    ]
    settings = {"JUPYTER_TOKEN": "known", "JUPYTER_RUNTIME_DIR": str(tmp_path / "run")}
    settings |= {"JUPYTER_CONFIG_DIR": str(tmp_path / "config")}
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", *command, "--allow-root"],
            cwd=home,
            env=os.environ | settings,
            stdout=log,
            stderr=log,
        )
    address = f"http://127.0.0.1:{port}/api/contents/notebooks?content=1&token=known"
    try:
        for _ in range(300):
            assert server.poll() is None, (tmp_path / "log").read_text()
            try:
                with urlopen(address) as answer:
                    listed = json.load(answer)["content"]
                break
            except URLError:
                time.sleep(0.1)
    finally:
        server.terminate()
        server.wait(timeout=30)
    assert "01_look_at_the_images.ipynb" in [file["name"] for file in listed]
