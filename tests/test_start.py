"""The notebooks' first cell finds `utils`, or says in one line what is wrong."""

import os
import subprocess
import sys
from pathlib import Path

from tools.notebooks import SETUP

ROOT = Path(__file__).parents[1]


def run_setup(where: Path, then: str = "") -> str:
    """Run the shared cell in IPython, and a line after it; return all it says."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-m", "IPython", "--colors=NoColor", "-c", f"{SETUP}\n{then}"],
        cwd=where,
        env=environment,
        capture_output=True,
        text=True,
    )
    return (done.stdout + done.stderr).strip()


def test_it_finds_utils_and_says_nothing():
    found = run_setup(ROOT / "notebooks", "import utils; print(utils.__file__)")
    assert found == str(ROOT / "utils" / "__init__.py")


def test_it_leaves_no_names_behind():
    left = "print(*{'Path', 'os', 'sys', '_start'} & set(globals()))"
    assert run_setup(ROOT / "notebooks", left) == ""


def test_an_error_takes_one_line():
    (line,) = run_setup(ROOT / "notebooks", "1 / 0").splitlines()
    assert line == "ZeroDivisionError: division by zero"


def test_openmp_is_told_to_sleep_before_faiss_is_loaded():
    policy = "import os; print(os.environ['OMP_WAIT_POLICY'])"
    assert run_setup(ROOT / "notebooks", policy) == "passive"


def test_elsewhere_there_is_one_error_that_names_the_file(tmp_path):
    found = run_setup(tmp_path)
    assert "../utils/start.py" in found and "not found" in found
    assert SETUP.splitlines()[0].startswith("# Not found? Open this notebook from")
