"""Lesson 14 in a real browser: JupyterLab, and Voilà, both on this machine.

Needs Chromium: at LOOKALIKE_CHROMIUM, or `chromium` or `google-chrome` on the path.
Without it the tests are skipped, or fail if LOOKALIKE_BROWSER=required says that it
must be there.  LOOKALIKE_SCREENSHOTS=docs makes the README's picture of the app.

Starting a server and running the notebook takes most of the time, so all tests of a
kind share one page; each begins with an upload of its own.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from tests.chromium import launched
from tests.clones import link_repository
from tests.waiting import PATIENCE, wait_until
from utils.app.page import UPLOAD_LIMIT

ROOT = Path(__file__).parents[2]
NOTEBOOK = "14_query_by_picture.ipynb"
TOKEN = "lookalike-test"
START_SECONDS, RUN_SECONDS = 120, 180
WIDTH, HEIGHT = 1000, 1400
QUERY = ROOT / "images" / "boat" / "boat_3_1.jpg"  # it finds itself
HELD_OUT = ROOT / "images" / "candle" / "candle_4_5.jpg"  # not in the collection
MARKUP = "<img src=x onerror=alert(1)>.jpg"


# --- Browser and servers ---------------------------------------------------------


@pytest.fixture(scope="module")
def browser():
    with launched("voila", "axe_playwright_python") as browser:
        yield browser


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
    # Its own settings and its own runtime folder: nothing of this account's is read.
    environment = os.environ | {
        "HOME": str(home),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "IPYTHONDIR": str(home / "ipython"),
        "LOOKALIKE_CACHE": str(ROOT / "output" / "cache.sqlite"),
    }
    for name in ("MPLBACKEND", "LOOKALIKE_UPLOAD_LIMIT"):
        environment.pop(name, None)
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
def lab(folder, home):
    """JupyterLab as the README starts it, with the limit on uploads that it has."""
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1"),
        *(f"--port={port}", "--ServerApp.port_retries=0", "--allow-root"),
        *(f"--ServerApp.root_dir={folder}", f"--IdentityProvider.token={TOKEN}"),
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    with serve(command, f"{base}/api?token={TOKEN}", home):
        yield base


@contextmanager
def voila(folder, home):
    """Voilà as the README starts it: voila.json in this folder raises the limit."""
    port = free_port()
    command = [
        *(sys.executable, "-m", "voila", str(folder / NOTEBOOK), "--no-browser"),
        *(f"--port={port}", "--Voila.ip=127.0.0.1"),
    ]
    base = f"http://127.0.0.1:{port}"
    with serve(command, f"{base}/voila/static/none", home):
        yield base


def run_all(page, base):
    """Open the notebook in JupyterLab and run it, as a reader would."""
    page.goto(f"{base}/lab/tree/{NOTEBOOK}?token={TOKEN}")
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


@pytest.fixture(scope="module", params=["lab", "voila"])
def page(request, browser, tmp_path_factory):
    """A page with the app in it, ready to be used; `page.kind` says whose it is."""
    home = tmp_path_factory.mktemp(request.param)
    # A copy of the notebook, for a browser may save it, in a repository of links: what
    # it writes goes beside the links.
    clone = link_repository(tmp_path_factory.mktemp(f"{request.param}-clone"))
    shutil.copy(ROOT / "notebooks" / NOTEBOOK, clone / "notebooks")
    context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT})
    page = context.new_page()
    page.kind, page.faults, page.starts = request.param, [], 0
    page.remembered = clone / "output" / "remembered"
    page.set_default_timeout(1000 * PATIENCE)
    page.on("dialog", lambda dialog: (page.faults.append("dialog"), dialog.dismiss()))
    with {"lab": lab, "voila": voila}[page.kind](clone / "notebooks", home) as base:
        if page.kind == "lab":
            run_all(page, base)
        else:
            page.goto(base, timeout=1000 * RUN_SECONDS)
        app(page).wait_for(timeout=1000 * RUN_SECONDS, state="attached")
        app(page).scroll_into_view_if_needed()
        expect(page, "^Choose a picture to begin")
        yield page
        context.close()


# --- What a person sees and does -------------------------------------------------


def app(page):
    return page.locator(".lookalike").first


def status(page):
    return app(page).locator("[role=status], [role=alert]")


def expect(page, text):
    """Wait until the status line says it."""
    from playwright.sync_api import expect as that

    that(status(page)).to_have_text(re.compile(text), timeout=1000 * PATIENCE)


def button(page, name):
    return app(page).get_by_role("button", name=name)


def tiles(page):
    return button(page, re.compile(r"^More like no\."))


def upload(page, file):
    """The input is never in the page: catch the dialog that the button opens."""
    with page.expect_file_chooser() as chooser:
        button(page, "Upload a picture").click()
    chooser.value.set_files(file)


def alternatives(page):
    """The alternative texts of the results' pictures, best first."""
    images = app(page).locator(".lookalike-tile:has-text('rank') img")
    return images.evaluate_all("all => all.map(image => image.alt)")


def pictures(page):
    """The results' pictures themselves, best first."""
    images = app(page).locator(".lookalike-tile:has-text('rank') img")
    return images.evaluate_all("all => all.map(image => image.src)")


def query_name(page):
    return app(page).locator(".lookalike-query").inner_text()


def file_named(name):
    """The query under another name, which a browser takes as it is."""
    return {"name": name, "mimeType": "image/jpeg", "buffer": QUERY.read_bytes()}


def start(page, *, k=5):
    """Put the controls back and upload the query, under a name not seen before."""
    choices = {"index": "Flat: exact", "metric": "cosine", "label": "any"}
    for name, value in choices.items():
        app(page).get_by_label(name, exact=True).select_option(value)
    app(page).get_by_label("k, how many").fill(str(k))
    page.starts += 1
    upload(page, file_named(f"start {page.starts}.jpg"))
    expect(page, rf"^{k} pictures like start {page.starts}\.jpg")
    wait_until(lambda: query_name(page) == f"query: start {page.starts}.jpg")
    wait_until(lambda: tiles(page).count() == k)


def keep_screenshot(page):
    """Keep a picture of an answer; its query is one that cannot find itself."""
    folder = os.environ.get("LOOKALIKE_SCREENSHOTS")
    if folder and page.kind == "voila":
        shown = pictures(page)
        data = HELD_OUT.read_bytes()
        upload(
            page, {"name": "my candle.jpg", "mimeType": "image/jpeg", "buffer": data}
        )
        expect(page, r"like my candle\.jpg")
        wait_until(lambda: pictures(page) != shown and tiles(page).count() == 5)
        page.mouse.move(0, 0)
        path = Path(folder) / "query.jpg"
        app(page).screenshot(path=path, type="jpeg", quality=85)


def test_an_upload_shows_k_results_and_the_right_one_first(page):
    start(page)
    upload(page, QUERY)
    expect(page, r"^5 pictures like boat_3_1\.jpg")
    wait_until(lambda: query_name(page) == "query: boat_3_1.jpg")
    assert tiles(page).count() == 5
    assert alternatives(page)[0] == "boat, cosine 1.00"
    assert "This very file is in the collection" in status(page).inner_text()
    first = app(page).locator(".lookalike-tile:has-text('rank 1')")
    assert "boat 1.00" in first.inner_text()


def test_every_control_asks_again(page):
    start(page)
    app(page).get_by_label("k, how many").fill("8")
    page.keyboard.press("Enter")
    expect(page, "^8 pictures like")
    app(page).get_by_label("index").select_option("HNSW: a graph")
    expect(page, "its description was known")
    assert tiles(page).count() == 8
    app(page).get_by_label("metric").select_option("Euclidean")
    wait_until(lambda: alternatives(page)[0] == "boat, distance 0.00")
    app(page).get_by_label("label", exact=True).select_option("mug")
    wait_until(lambda: all(text.startswith("mug") for text in alternatives(page)))
    assert tiles(page).count() == 8


def test_what_an_index_missed_is_told_by_words_and_a_dashed_frame(page):
    start(page)
    upload(page, file_named("my boat.jpg"))
    expect(page, r"like my boat\.jpg")
    nprobe = app(page).get_by_label("nprobe")
    assert nprobe.is_disabled()
    app(page).get_by_label("index").select_option("IVF: some cells")
    wait_until(nprobe.is_enabled)
    nprobe.fill("1")
    page.keyboard.press("Enter")
    expect(page, "nearer ones were missed by this index")
    missed = app(page).locator(".lookalike-missed")
    wait_until(missed.count)
    assert re.search(r"missed, true rank \d", missed.first.inner_text())
    style = missed.first.evaluate("tile => getComputedStyle(tile).borderTopStyle")
    assert style == "dashed"
    keep_screenshot(page)


def test_three_steps_from_result_to_result_and_back(page):
    start(page)
    seen = []

    def step(act):
        """Act, and wait until the query and all results are others."""
        name, shown = query_name(page), pictures(page)
        seen.append(name)
        act()
        wait_until(
            lambda: (
                query_name(page) != name
                and pictures(page) != shown
                and tiles(page).count() == 5
            )
        )

    def press_second():
        tiles(page).nth(1).focus()
        page.keyboard.press("Enter")

    second = app(page).locator(".lookalike-tile:has-text('rank 2')")
    step(lambda: second.click(position={"x": 40, "y": 40}))  # on the picture itself
    step(press_second)
    step(press_second)
    expect(page, "^5 pictures like")
    for before in reversed(seen):
        button(page, "Back").click()
        wait_until(lambda before=before: query_name(page) == before)
    assert len(set(seen)) == 3


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        (MARKUP, b"no picture at all", "not a JPEG"),
        ("empty.jpg", b"", "empty"),
        ("cut.jpg", QUERY.read_bytes()[:3000], "cut short|damaged|incomplete"),
    ],
)
def test_a_broken_file_gets_a_sentence_and_the_results_stay(
    page, tmp_path, name, data, reason
):
    start(page)
    if os.name == "nt" and name == MARKUP:
        name = "broken.jpg"  # no file may have that name there
    (tmp_path / name).write_bytes(data)
    upload(page, tmp_path / name)
    expect(page, rf"^Not done: {re.escape(name)}: .*({reason})")
    assert status(page).get_attribute("role") == "alert"
    assert tiles(page).count() == 5
    upload(page, QUERY)  # and the app goes on
    expect(page, r"^5 pictures like")


def test_a_picture_may_have_any_name(page):
    """Folders and markup included: it is shown, and nothing else."""
    for name in ("../../x.jpg", MARKUP):
        upload(page, file_named(name))
        expect(page, rf"like {re.escape(name)}:")
        assert query_name(page) == f"query: {name}"
    assert app(page).locator("img[src=x]").count() == 0


def test_the_same_picture_twice_and_a_dialog_that_is_cancelled(page, tmp_path):
    start(page)
    with page.expect_file_chooser() as chooser:
        button(page, "Upload a picture").click()
    chooser.value.set_files([])
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    for file, text in [
        (QUERY, "like boat_3_1"),
        (tmp_path / "broken.jpg", "^Not done"),
        (QUERY, "like boat_3_1"),
    ]:
        upload(page, file)
        expect(page, text)


def test_fast_clicks_lead_somewhere_and_leave_the_app_alive(page):
    start(page)
    tiles(page).nth(2).scroll_into_view_if_needed()
    box = tiles(page).nth(2).bounding_box()
    for _ in range(6):  # where a button is now, and after an answer another one
        page.mouse.click(box["x"] + 20, box["y"] + 10, click_count=2)
    expect(page, r"^5 pictures like")
    start(page)
    assert alternatives(page)[0] == "boat, cosine 1.00"


def test_a_path_is_a_door_too(page):
    box = app(page).get_by_label("or its path")
    box.fill("no/such/picture.jpg")
    button(page, "Open").click()
    expect(page, "^Not done: .*no such file")
    box.fill(str(QUERY))
    button(page, "Open").click()
    expect(page, "^5 pictures like boat_3_1")


def test_a_picture_is_remembered(page, tmp_path):
    picture = tmp_path / "mine.png"
    Image.effect_noise((64, 64), 80).save(picture)
    start(page)
    upload(page, picture)
    expect(page, r"^5 pictures like mine\.png")
    app(page).get_by_label("its label").fill("noise")
    page.keyboard.press("Tab")
    page.wait_for_timeout(500)  # two widgets' messages may overtake each other
    button(page, "Remember this picture").click()
    expect(page, r"^Remembered as number \d+, noise")
    wait_until(lambda: alternatives(page)[0] == "noise, cosine 1.00")
    (kept,) = page.remembered.iterdir()
    assert kept.read_bytes() == picture.read_bytes()


def test_nothing_overflows_at_1000_pixels(page):
    start(page, k=20)
    outside = app(page).evaluate(
        """app => {
          const edge = app.parentElement.getBoundingClientRect().right + 1;
          return [...app.querySelectorAll("*")]
            .filter(part => part.getBoundingClientRect().right > edge)
            .map(part => part.outerHTML.slice(0, 200));
        }"""
    )
    assert outside == []
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= WIDTH


def test_everything_that_can_be_used_has_a_name_of_its_own(page):
    start(page)
    controls = "button, input:not([type=file]), select"
    nameless = app(page).evaluate(
        """(app, controls) => [...app.querySelectorAll(controls)].filter(part =>
          !(part.textContent && part.matches("button")) && !part.labels?.length
        ).map(part => part.outerHTML)""",
        controls,
    )
    assert nameless == []
    names = app(page).get_by_role("button").all_inner_texts()
    assert len(set(names)) == len(names)
    assert app(page).locator("img:not([alt]), img[alt='']").count() == 0


def test_whatever_axe_core_knows_of_is_all_right(page):
    from axe_playwright_python.sync_playwright import Axe

    start(page)
    app(page).get_by_label("index").select_option("IVF: some cells")
    expect(page, r"^5 pictures like")
    found = Axe().run(page, context=".lookalike")  # the page around it is Jupyter's
    assert found.violations_count == 0, found.generate_report()


def test_the_keyboard_reaches_everything(page):
    start(page)
    button(page, "Upload a picture").focus()
    reached = []
    for _ in range(40):
        reached.append(
            page.evaluate(
                "(document.activeElement.labels?.[0] || document.activeElement)"
                ".textContent.trim()"
            )
        )
        page.keyboard.press("Tab")
    for name in ("or its path", "Open", "k, how many", "index", "metric", "label"):
        assert name in reached
    for name in ("Remember this picture", "More like no. 1", "More like no. 5"):
        assert name in reached


def test_a_large_picture_arrives_or_the_page_says_that_it_did_not(page, tmp_path):
    """JupyterLab is started with the limit it has, Voilà with the one in voila.json."""
    picture = tmp_path / "large.bmp"
    Image.open(QUERY).resize((2200, 2200)).save(picture)  # 14.5 MB, not compressed
    assert UPLOAD_LIMIT < picture.stat().st_size < 20_000_000
    start(page)
    upload(page, picture)
    if page.kind == "voila":
        expect(page, r"5 pictures like large\.bmp")
        return
    expect(page, "lost touch with Jupyter.* too large to get through: type its path")
    app(page).get_by_label("or its path").fill(str(picture))
    button(page, "Open").click()
    expect(page, r"5 pictures like large\.bmp")
    start(page)  # uploads go on


def test_no_traceback_was_seen_and_no_name_became_a_script(page):
    assert "Traceback" not in page.locator("body").inner_text()
    assert page.faults == []
