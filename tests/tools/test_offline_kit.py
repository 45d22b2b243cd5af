"""tools/offline_kit.py and the install.py it puts in: tiny wheels, no network."""

import argparse
import ast
import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tools import offline_install, offline_kit
from tools.offline_install import KitError

ROOT = Path(__file__).parents[2]
PYTHON = "{}.{}".format(*sys.version_info[:2])
CHECKS = 'print("checked by", __import__("tiny").NAME)\n'


def make_wheel(folder, name, version="1.0", *, tag="py3-none-any", **fields):
    """A wheel of one module, as small as pip accepts it."""
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    if "python" in fields:
        metadata += f"Requires-Python: {fields['python']}\n"
    for required in fields.get("requires", []):
        metadata += f"Requires-Dist: {required}\n"
    files = {
        f"{name}.py": f"NAME = {f'{name} {version}'!r}\n",
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{f},,\n" for f in [*files, f"{info}/RECORD"])
    path = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for file, content in files.items():
            wheel.writestr(file, content)
    return path


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder of wheels that is all that pip knows."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    make_wheel(folder, "tiny", "1.0")
    make_wheel(folder, "tiny", "1.1")
    return folder


@pytest.fixture
def source(tmp_path):
    """A repository in miniature, without git."""
    source = tmp_path / "source"
    for name, content in {
        "requirements.txt": "tiny>=1.0  # all\n",
        "requirements-dev.txt": "-r requirements.txt\nextra-tiny\n",
        "tests/constraints.txt": "tiny==1.0\n",
        "utils/__init__.py": "",
        "tools/doctor.py": CHECKS,
        "models/resnet50_notop.weights.h5": "weights",
        "images/mug/mug_0_0.jpg": "a mug",
        "output/cache.sqlite": "left out",
        "notebooks/.ipynb_checkpoints/01.ipynb": "left out",
    }.items():
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    sums = {word: hashlib.sha256(word.encode()).hexdigest() for word in ("weights",)}
    card = source / "models" / "resnet50_notop.json"
    card.write_text(json.dumps({"input_size": 64, "sha256": sums["weights"]}))
    mug = hashlib.sha256(b"a mug").hexdigest()
    (source / "images" / "metadata.csv").write_text(
        f"file,sha256\nmug/mug_0_0.jpg,{mug}\n"
    )
    return source


@pytest.fixture
def make(tmp_path, source, index):
    """Make a kit of the miniature repository by words of the command line."""

    def make(*arguments):
        to = ["--to", str(tmp_path / "kits"), "--without-slides"]
        options = offline_kit.parse([*to, *arguments])
        options.source = source
        return offline_kit.make(options)

    return make


def wheels_of(kit):
    return sorted(path.name.split("-")[0] for path in (kit / "wheels").iterdir())


# ----------------------------------------------------------------------- the kit


def test_a_kit_holds_the_repository_its_wheels_and_a_way_to_install(make):
    kit = make("--platform", "windows-amd64", "--python", "3.12")
    assert kit.name == "lookalike-windows-amd64-py3.12"
    assert sorted(path.name for path in kit.iterdir()) == [
        "README.txt",
        "SHA256SUMS",
        "install.py",
        "kit.json",
        "lookalike",
        "wheels",
    ]
    assert (kit / "lookalike" / "images" / "mug" / "mug_0_0.jpg").exists()
    assert not (kit / "lookalike" / "output").exists()
    assert not (kit / "lookalike" / "notebooks" / ".ipynb_checkpoints").exists()
    assert "py -3.12 install.py" in (kit / "README.txt").read_text()
    assert offline_install.check_files(kit) == 13
    assert list(kit.parent.iterdir()) == [kit], "nothing half-made beside it"


def test_constraints_are_kept_unless_the_newest_is_asked_for(make):
    assert (make() / "wheels" / "tiny-1.0-py3-none-any.whl").exists()
    kit = make("--newest", "--platform", "linux-aarch64")
    assert (kit / "wheels" / "tiny-1.1-py3-none-any.whl").exists()


def test_the_tests_requirements_come_on_request(make, index):
    make_wheel(index, "extra_tiny")
    assert wheels_of(make()) == ["tiny"]
    kit = make("--dev")
    assert kit.name.endswith("-dev")
    assert wheels_of(kit) == ["extra_tiny", "tiny"]
    facts = json.loads((kit / "kit.json").read_text())
    assert facts["requirements"] == "requirements-dev.txt"


SYSTEMS = {"linux-x86_64": "linux", "macos-arm64": "darwin", "windows-amd64": "win32"}


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_kit_holds_what_the_other_system_needs_and_not_what_this_one_does(
    make, index, name
):
    conditions = [f"for_{s}; sys_platform == '{s}'" for s in SYSTEMS.values()]
    make_wheel(index, "tiny", "1.0", requires=conditions)
    make_wheel(index, f"for_{SYSTEMS[name]}")
    assert wheels_of(make("--platform", name)) == [f"for_{SYSTEMS[name]}", "tiny"]


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        ("linux-x86_64", "cp312-cp312-manylinux_2_27_x86_64.manylinux_2_28_x86_64"),
        ("linux-x86_64", "cp39-abi3-manylinux2014_x86_64"),
        ("linux-aarch64", "py3-none-manylinux_2_17_aarch64"),
        ("macos-arm64", "cp312-cp312-macosx_11_0_universal2"),
        ("macos-arm64", "cp312-cp312-macosx_14_0_arm64"),
        ("windows-amd64", "cp312-cp312-win_amd64"),
    ],
)
def test_wheels_for_the_platform_are_found(make, index, name, tag):
    (index / "tiny-1.0-py3-none-any.whl").unlink()
    made = make_wheel(index, "tiny", "1.0", tag=tag)
    kit = make("--platform", name, "--python", "3.12")
    assert [path.name for path in (kit / "wheels").iterdir()] == [made.name]


@pytest.mark.parametrize(
    ("tag", "name"),
    [
        ("cp312-cp312-manylinux_2_34_x86_64", "linux-x86_64"),
        ("cp311-cp311-manylinux_2_28_x86_64", "linux-x86_64"),
        ("cp312-cp312-win_amd64", "macos-arm64"),
    ],
)
def test_a_missing_wheel_is_named_and_no_kit_is_left(make, index, tag, name, tmp_path):
    (index / "tiny-1.0-py3-none-any.whl").unlink()
    make_wheel(index, "tiny", "1.0", tag=tag)
    with pytest.raises(KitError, match=rf"No wheel of tiny.* for {name}, Python 3.12"):
        make("--platform", name, "--python", "3.12")
    assert list((tmp_path / "kits").iterdir()) == []


def test_tensorflow_on_an_intel_mac_gets_the_advice_that_helps(make, source, index):
    (source / "requirements.txt").write_text("tensorflow>=2.20\n")
    make_wheel(index, "tensorflow", "2.21.0", tag="cp312-cp312-macosx_12_0_arm64")
    make_wheel(index, "tensorflow", "2.16.2", tag="cp312-cp312-macosx_10_15_x86_64")
    for pinned in ("", "tensorflow==2.21.0\n"):
        (source / "tests" / "constraints.txt").write_text(pinned)
        with pytest.raises(KitError, match="Intel processors.*kit for linux-x86_64"):
            make("--platform", "macos-x86_64", "--python", "3.12")
    make("--platform", "macos-arm64", "--python", "3.12")


def test_a_pip_that_answers_for_this_computer_is_found_out(make, index, monkeypatch):
    """Should pip change so that it can't be told the other computer's answers."""
    make_wheel(index, "tiny", "1.0", requires=["gone; sys_platform == 'win32'"])
    plain = "import sys; sys.argv.pop(1); from pip._internal.cli.main import main"
    monkeypatch.setattr(offline_kit, "PIP", f"{plain}; sys.exit(main())")
    if sys.platform == "win32":
        pytest.skip("needs another system than the kit's")
    with pytest.raises(KitError, match=r"The wheels lack gone \(for tiny\)"):
        make("--platform", "windows-amd64")


def test_a_kit_that_is_there_is_not_touched(make):
    kit = make()
    (kit / "note").touch()
    with pytest.raises(KitError, match="there already"):
        make()
    assert (kit / "note").exists()


def test_damaged_pictures_make_no_kit(make, source, tmp_path):
    (source / "images" / "mug" / "mug_0_0.jpg").write_text("another mug")
    with pytest.raises(KitError, match="1 of 1 pictures .*mug_0_0.jpg"):
        make()
    assert list((tmp_path / "kits").iterdir()) == []


def test_the_zip_holds_the_folder(make):
    kit = make("--zip")
    with zipfile.ZipFile(f"{kit}.zip") as archive:
        names = {name.rstrip("/") for name in archive.namelist()}
    assert names == {
        path.relative_to(kit.parent).as_posix() for path in kit.rglob("*")
    } - {kit.name}
    assert len(list(kit.parent.iterdir())) == 2


@pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")
def test_with_git_the_kit_holds_the_last_commit(make, source, capsys):
    def git(*words):
        who = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
        subprocess.run(["git", *who, *words], cwd=source, check=True)

    (source / ".gitignore").write_text("/output/\n")
    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "-m", "all")
    (source / "tools" / "doctor.py").write_text("changed")
    (source / "new.py").write_text("new")
    copy = make() / "lookalike"
    assert (copy / "tools" / "doctor.py").read_text() == CHECKS
    assert not (copy / "new.py").exists()
    assert not (copy / "output").exists()
    assert not (copy / ".git").exists()
    assert "2 changes that are not committed were left out" in capsys.readouterr().out


# ------------------------------------------------------------ wheels and platforms


def test_missing_requirements_are_followed_through_extras_and_conditions(tmp_path):
    make_wheel(
        tmp_path,
        "a",
        requires=["b[fast]>=2", "c; sys_platform == 'win32'", "d; extra == 'dev'"],
    )
    make_wheel(tmp_path, "b", "2.0", requires=["e; extra == 'fast'", "F_f<2", "a"])
    make_wheel(tmp_path, "f_f", "2.5")
    held = offline_kit.read_wheels(tmp_path)
    platform = offline_kit.PLATFORMS["linux-x86_64"]
    environment = offline_kit.marker_environment(platform, "3.11.5")
    missing = offline_kit.find_missing(held, [Requirement("A")], environment)
    assert missing == ["F_f<2 (for b)", "e (for b)"]


def test_the_oldest_python_is_the_one_that_all_wheels_accept(tmp_path):
    make_wheel(tmp_path, "a", python=">=3.8")
    held = offline_kit.read_wheels(tmp_path)
    assert offline_kit.oldest_python(held, "3.11") == "3.11.0"
    make_wheel(tmp_path, "b", python=">=3.11.5,<4")
    held = offline_kit.read_wheels(tmp_path)
    assert offline_kit.oldest_python(held, "3.11") == "3.11.5"
    assert offline_kit.oldest_python(held, "3.12") == "3.12.0"


def test_this_computer_answers_as_it_is_said_to():
    if not (3, 11) <= sys.version_info < (3, 14):
        pytest.skip("a Python that kits are not made for")
    from packaging.markers import default_environment

    platform = offline_kit.PLATFORMS[offline_kit.here()]
    version = "{}.{}.{}".format(*sys.version_info[:3])
    said = offline_kit.marker_environment(platform, version)
    real = default_environment()
    assert said.keys() == real.keys()
    unknown = ("platform_release", "platform_version")
    assert {k: v for k, v in said.items() if k not in unknown} == {
        k: v for k, v in real.items() if k not in unknown
    }


def test_left_out_folders_are_those_that_git_ignores():
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").split("\n")
    names = {line.strip("/") for line in ignored if line and line[0] != "#"}
    names -= {"*.py[cod]", "Thumbs.db"}
    left = offline_kit.LEFT_OUT("", [*names, "utils"])
    assert set(left) == names


# ---------------------------------------------------------------------- install.py


LINUX = {
    "platform": "linux-x86_64",
    "system": "Linux",
    "machine": "x86_64",
    "oldest": "2.28",
    "python": "3.11.5",
}
HERE = {
    "python": "3.11.7",
    "implementation": "CPython",
    "system": "Linux",
    "machine": "x86_64",
    "release": "2.36",
}


def test_a_computer_that_fits_is_accepted():
    offline_install.check_computer(LINUX, HERE)
    offline_install.check_computer(LINUX, HERE | {"release": "2.28"})


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"python": "3.12.1"}, r"for Python 3.11, release 3.11.5 or later. .* 3.12.1"),
        ({"python": "3.11.2"}, r"release 3.11.5 or later. Received: CPython 3.11.2"),
        ({"implementation": "PyPy"}, "Received: PyPy"),
        ({"system": "Windows"}, "kit is for linux-x86_64. Received: Windows on x86_64"),
        ({"machine": "aarch64"}, "Received: Linux on aarch64"),
        ({"release": "2.17"}, r"C library 2.28 or newer. Received: 2.17"),
        ({"release": ""}, "Received: another C library"),
    ],
)
def test_a_computer_that_does_not_fit_is_told_why(other, message):
    with pytest.raises(KitError, match=message):
        offline_install.check_computer(LINUX, HERE | other)


def test_an_older_macos_is_told_which_it_takes():
    kit = LINUX | {"platform": "macos-arm64", "system": "Darwin", "oldest": "14.0"}
    kit["machine"] = offline_install.machine_name("arm64")
    mac = HERE | {"system": "Darwin", "machine": kit["machine"], "release": "13.6"}
    with pytest.raises(KitError, match="macOS 14.0 or newer. Received: 13.6"):
        offline_install.check_computer(kit, mac)
    offline_install.check_computer(kit, mac | {"release": "15.1"})


def test_damaged_and_missing_files_are_named(make):
    kit = make()
    wheel = kit / "wheels" / "tiny-1.0-py3-none-any.whl"
    wheel.write_bytes(wheel.read_bytes()[:-1])
    (kit / "lookalike" / "requirements.txt").unlink()
    with pytest.raises(KitError, match="2 of 13 files") as caught:
        offline_install.check_files(kit)
    assert "wheels/tiny-1.0-py3-none-any.whl is damaged" in str(caught.value)
    assert "lookalike/requirements.txt is missing" in str(caught.value)


def test_a_missing_wheel_is_named(tmp_path):
    (tmp_path / "wheels").mkdir()
    (tmp_path / "lookalike").mkdir()
    (tmp_path / "lookalike" / "requirements.txt").write_text("no-wheel-of-it>=3\n")
    with pytest.raises(KitError, match="holds no wheel for no-wheel-of-it>=3"):
        offline_install.install_wheels(
            tmp_path, Path(sys.executable), "requirements.txt"
        )


def test_the_whole_way_with_no_network(make, monkeypatch, tmp_path):
    """Make a kit, move it, install it, run what was installed."""
    if PYTHON not in offline_kit.PYTHONS:
        pytest.skip("a Python that kits are not made for")
    moved = tmp_path / "another place"
    shutil.move(make(), moved)
    for name in list(os.environ):
        if name.startswith("PIP_"):
            monkeypatch.delenv(name)
    for name in ("http_proxy", "https_proxy"):  # a closed port
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    done = subprocess.run(
        [sys.executable, moved / "install.py"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "checked by tiny 1.0" in done.stdout
    assert "jupyter" in done.stdout.splitlines()[-1]


def test_install_py_without_its_kit_says_what_is_missing(tmp_path):
    shutil.copy(offline_install.__file__, tmp_path / "install.py")
    done = subprocess.run(
        [sys.executable, tmp_path / "install.py"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "kit.json: missing. Copy the whole folder" in done.stderr
    assert "Traceback" not in done.stderr


def test_slides_of_the_kit_are_set_up_for_nbconvert(tmp_path):
    python = tmp_path / "lookalike" / ".venv" / "bin" / "python"
    offline_install.set_up_slides(tmp_path, python)
    assert not (tmp_path / "lookalike" / ".venv" / "etc").exists()
    (tmp_path / "slides").mkdir()
    settings = tmp_path / "slides" / "jupyter_nbconvert_config.json"
    settings.write_text("{}")
    template = tmp_path / "lookalike" / "tools" / "slide_template" / "lookalike"
    template.mkdir(parents=True)
    (template / "conf.json").write_text("{}")
    offline_install.set_up_slides(tmp_path, python)
    venv = python.parents[1]
    assert (venv / "etc" / "jupyter" / settings.name).exists()
    shared = venv / "share" / "jupyter" / "nbconvert" / "templates" / "lookalike"
    assert (shared / "conf.json").exists()


def test_an_old_python_can_read_install_py_and_be_told_its_age():
    source = Path(offline_install.__file__).read_text(encoding="utf-8")
    ast.parse(source, feature_version=(3, 8))


def test_options_are_those_the_docstring_shows():
    options = offline_kit.parse(
        ["--platform", "windows-amd64", "--python", "3.12", "--zip"]
    )
    assert isinstance(options, argparse.Namespace)
    assert (options.platform, options.python, options.zip) == (
        "windows-amd64",
        "3.12",
        True,
    )
