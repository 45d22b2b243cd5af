"""A notebook in JupyterLab or Voilà on this machine, as the browser tests open it.

What a page asks for is kept in `page.asked`, what went wrong in it in `page.faults`.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import nbformat

from tests.clones import link_repository
from tests.waiting import PATIENCE, wait_until

ROOT = Path(__file__).parents[1]
TOKEN = "lookalike-test"
START_SECONDS, RUN_SECONDS = 120, 180
WIDTH, HEIGHT = 1000, 1400


def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def fetch(url):
    with urllib.request.urlopen(url, timeout=5) as response:
        return response.read()


def answers(url):
    try:
        fetch(url)
    except urllib.error.HTTPError:  # it answers, if only with a refusal
        return True
    except OSError:
        return False
    return True


@contextmanager
def serve(command, url, home):
    """Run a server until we are done with it; end it and no other."""
    settings = home / "config/lab/user-settings/@jupyterlab/apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text('{"fetchNews": "false"}')
    dark = {"theme": "JupyterLab Dark"}  # Voilà, which does not read it, is light
    (settings / "themes.jupyterlab-settings").write_text(json.dumps(dark))
    # Its own settings and its own runtime folder: nothing of this account's is read.
    environment = os.environ | {
        "HOME": str(home),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "IPYTHONDIR": str(home / "ipython"),
        "LOOKALIKE_CACHE": str(ROOT / "output" / "cache.sqlite"),
    }
    environment.pop("MPLBACKEND", None)
    with open(home / "server.log", "wb") as log:
        server = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=log, stderr=log
        )
    try:
        wait_until(lambda: server.poll() is not None or answers(url), START_SECONDS)
        assert server.poll() is None, (home / "server.log").read_text(errors="replace")
        yield
    finally:
        server.terminate()  # both shut their kernels down
        try:
            server.wait(timeout=30)
        except subprocess.TimeoutExpired:
            server.kill()


@contextmanager
def lab(notebook, home):
    """JupyterLab as the README starts it."""
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1"),
        *(f"--port={port}", "--ServerApp.port_retries=0", "--allow-root"),
        f"--ServerApp.root_dir={notebook.parent}",
        f"--IdentityProvider.token={TOKEN}",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    with serve(command, f"{base}/api?token={TOKEN}", home):
        yield base


@contextmanager
def voila(notebook, home):
    """Voilà as the README starts it."""
    port = free_port()
    command = [
        *(sys.executable, "-m", "voila", str(notebook), "--no-browser"),
        *(f"--port={port}", "--Voila.ip=127.0.0.1"),
    ]
    base = f"http://127.0.0.1:{port}"
    with serve(command, f"{base}/voila/static/none", home):
        yield base


def run_all(page, base, name):
    """Open the notebook in JupyterLab and run it, as a reader would."""
    page.goto(f"{base}/lab/tree/{name}?token={TOKEN}")
    page.get_by_role("menuitem", name="Run").first.wait_for()

    def has_kernel():
        """Lab says "idle" before there is a kernel; Run All would be lost."""
        kernels = [
            session["kernel"]
            for session in json.loads(fetch(f"{base}/api/sessions?token={TOKEN}"))
        ]
        return any(k["execution_state"] == "idle" and k["connections"] for k in kernels)

    wait_until(has_kernel, START_SECONDS)
    page.get_by_role("menuitem", name="Run").first.click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()


def write_notebook(path, cells):
    """Write cells of code, with an empty line between two, as a notebook."""
    cells = map(nbformat.v4.new_code_cell, cells.strip().split("\n\n"))
    notebook = nbformat.v4.new_notebook(cells=list(cells))
    kernel = {"name": "python3", "display_name": "Python 3"}
    notebook.metadata.kernelspec = kernel  # or JupyterLab asks for one
    nbformat.write(notebook, path)


@contextmanager
def opened(kind, browser, folder, source):
    """Show a notebook in "lab" or "voila", and run it there.

    `source` is a notebook of ours, or the text of cells.  It runs in a copy, for a
    browser may save it, in a repository of links in `folder`: what it writes goes
    beside the links.
    """
    for name in ("home", "clone"):
        (folder / name).mkdir()
    clone = link_repository(folder / "clone")
    notebook = clone / "notebooks" / "tried.ipynb"
    if isinstance(source, Path):
        shutil.copy(source, notebook)
    else:
        write_notebook(notebook, source)
    context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT})
    page = context.new_page()
    page.kind, page.faults, page.asked, page.clone = kind, [], [], clone
    page.set_default_timeout(1000 * PATIENCE)
    # A lambda, for Playwright takes no built-in method as a handler.
    page.on("request", lambda one: page.asked.append(one))  # noqa: PLW0108
    page.on("dialog", lambda dialog: (page.faults.append("dialog"), dialog.dismiss()))
    with {"lab": lab, "voila": voila}[kind](notebook, folder / "home") as base:
        if kind == "lab":
            run_all(page, base, notebook.name)
        else:
            page.goto(base, timeout=1000 * RUN_SECONDS)
        yield page
        context.close()


def asked_elsewhere(page):
    """What the page asked of other machines.

    Voilà's own template wants icons from elsewhere, and the policy in `voila.json`
    keeps the browser from asking: such a request is announced, and never sent.
    """
    ours = ("http://127.0.0.1:", "ws://127.0.0.1:", "blob:", "data:")
    sent = (request for request in page.asked if request.failure != "csp")
    return [request.url for request in sent if not request.url.startswith(ours)]
