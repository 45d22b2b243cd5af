"""The app in JupyterLab, and lesson 14 in Voilà, both on this machine.

What the page does by itself is tried in test_app.py, without Jupyter; here is what
Jupyter adds: messages and their limits, keys, themes, files of its own.

Needs Chromium: at LOOKALIKE_CHROMIUM, or `chromium` or `google-chrome` on the path.
Without it the tests are skipped, or fail if LOOKALIKE_BROWSER=required says that it
must be there.  LOOKALIKE_SCREENSHOTS names a folder for pictures of the app.

Starting a server and running the notebook takes most of the time, so all tests of a
kind share one page; each begins with an upload of its own.
"""

import base64
import os
import re
from pathlib import Path

import pytest
from PIL import Image

from tests.chromium import launched
from tests.jupyter_pages import ROOT, RUN_SECONDS, asked_elsewhere, opened
from tests.waiting import PATIENCE, wait_until

NOTEBOOK = ROOT / "notebooks" / "14_query_by_picture.ipynb"
QUERY = ROOT / "images" / "boat" / "boat_3_1.jpg"  # it finds itself
MESSAGE = 10 * 1024 * 1024  # bytes: at a longer one Jupyter closes the connection
CELLS = """
%run ../utils/start.py
from utils.app.query import QueryHandler
from utils.app.widgets import QueryApp
from utils.collection.search import ImageSearch
from utils.embeddings import load_embedder
from utils.gallery import OUTPUT, load_gallery
from utils.images import Collection
gallery, held_out, _ = load_gallery()
collection = Collection(gallery.paths, gallery.labels.tolist())
search = ImageSearch.from_collection(collection, embedder=load_embedder())
handler = QueryHandler(search, keep_in=OUTPUT / "remembered")

QueryApp(handler, samples=held_out.paths[3::37])
"""
MARKUP = "<img src=x onerror=alert(1)>.jpg"


@pytest.fixture(scope="module")
def browser():
    with launched("voila", "axe_playwright_python") as browser:
        yield browser


@pytest.fixture(scope="module", params=["lab", "voila"])
def page(request, browser, tmp_path_factory):
    """A page with the app in it, ready to be used; `page.kind` says whose it is."""
    source = CELLS if request.param == "lab" else NOTEBOOK
    folder = tmp_path_factory.mktemp(request.param)
    with opened(request.param, browser, folder, source) as page:
        page.remembered = page.clone / "output" / "remembered"
        app(page).wait_for(timeout=1000 * RUN_SECONDS, state="attached")
        app(page).scroll_into_view_if_needed()
        expect(page, "Choose a picture to begin")
        yield page


# --- What a person sees and does -------------------------------------------------


def app(page):
    return page.locator(".lookalike").first


def expect(page, text):
    """Wait until the status line, or an alert, says it."""
    from playwright.sync_api import expect as that

    said = app(page).locator("[role=status], [role=alert]").filter(has_text=text)
    that(said).to_be_visible(timeout=1000 * PATIENCE)


def button(page, name):
    return app(page).get_by_role("button", name=name)


def results(page):
    return app(page).locator(".lookalike-found > div + .lookalike-cards > li")


def alternatives(page):
    """The alternative texts of the results' pictures, best first."""
    return results(page).locator("img").evaluate_all("all => all.map((one) => one.alt)")


def unfold(page):
    """Show what a narrow page folds: JupyterLab's file browser takes half of ours."""
    summary = app(page).locator(".lookalike-rest > summary")
    if summary.is_visible() and not button(page, "Choose a picture").is_visible():
        summary.click()


def upload(page, file):
    unfold(page)
    with page.expect_file_chooser() as chooser:
        button(page, "Choose a picture").click()
    chooser.value.set_files(file)


def start(page):
    """Upload the query, under a name not seen before."""
    name = f"start {len(page.asked)} {os.urandom(2).hex()}.jpg"
    data = {"name": name, "mimeType": "image/jpeg", "buffer": QUERY.read_bytes()}
    upload(page, data)
    expect(page, re.compile(rf"pictures like {re.escape(name)}"))


def keep_screenshot(page, name):
    if folder := os.environ.get("LOOKALIKE_SCREENSHOTS"):
        page.mouse.move(0, 0)
        app(page).screenshot(path=Path(folder) / f"{page.kind}-{name}.png")


def check_by_axe(page):
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, context=".lookalike")  # the page around it is Jupyter's
    assert found.violations_count == 0, found.generate_report()


def test_an_upload_shows_results_and_the_right_one_first(page):
    theme = page.locator("body").get_attribute("data-jp-theme-light")
    assert theme == str(page.kind == "voila").lower()
    check_by_axe(page)
    start(page)
    assert results(page).count() == 5
    assert alternatives(page)[0] == "boat, 1.00 similar"
    keep_screenshot(page, "found")
    check_by_axe(page)


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_a_picture_is_dropped_or_pasted_and_its_name_is_text(page, kind):
    from tests.app.test_app import SENDS

    unfold(page)
    button(page, "Choose a picture").focus()
    name = f"{kind} {MARKUP}"
    data = base64.b64encode(QUERY.read_bytes()).decode()
    assert page.evaluate(SENDS, [kind, data, name])
    expect(page, f"like {name}")
    assert app(page).locator("img[src=x]").count() == 0


def test_a_picture_longer_than_a_message_may_be_arrives_in_pieces(page, tmp_path):
    picture = tmp_path / "large.bmp"
    Image.open(QUERY).resize((2200, 2200)).save(picture)  # not compressed
    assert MESSAGE < picture.stat().st_size < 20_000_000
    upload(page, picture)
    expect(page, "pictures like large.bmp")


def test_keys_in_the_app_are_the_apps_own(page):
    """In JupyterLab's command mode "d d" would delete the cell, "b" add one."""
    start(page)
    cells = page.locator(".jp-Cell").count()
    second = results(page).nth(1).locator(".lookalike-picture")
    second.click()
    expect(page, re.compile("pictures like boat_|pictures like (?!start)"))
    results(page).nth(1).locator(".lookalike-picture").focus()
    for key in ("d", "d", "x", "b", "a", "ArrowDown", "ArrowUp", "z", "m"):
        page.keyboard.press(key)
    page.wait_for_timeout(300)
    assert page.locator(".jp-Cell").count() == cells
    assert page.evaluate("document.activeElement.className") == "lookalike-picture"
    shown = app(page).locator(".lookalike-trail li").count()
    page.keyboard.press("Enter")
    wait_until(lambda: app(page).locator(".lookalike-trail li").count() == shown + 1)
    assert page.evaluate("document.activeElement.className") == "lookalike-picture"


def test_words_typed_into_a_box_stay_there(page):
    unfold(page)
    box = app(page).get_by_label("or its path")
    box.fill("")
    box.press_sequentially("no/such/dd.jpg")
    assert box.input_value() == "no/such/dd.jpg"
    box.press("Enter")
    expect(page, "no such file")
    box.fill(str(QUERY))
    button(page, "Open").click()
    expect(page, "pictures like boat_3_1.jpg")


def test_controls_refinement_and_a_part_work_together(page):
    start(page)
    unfold(page)
    app(page).locator("summary", has_text="How to search").click()
    app(page).get_by_label("Index").select_option("IVF")
    nprobe = app(page).get_by_label("Cells to look into")
    nprobe.fill("1")
    nprobe.press("Enter")
    button(page, re.compile("^More like this")).nth(1).click()
    app(page).locator(".lookalike-formula").wait_for()
    button(page, "Search for a part").click()
    expect(page, "a part of it, refined by 1 like")
    keep_screenshot(page, "refined")
    check_by_axe(page)
    button(page, "Clear").click()
    app(page).get_by_label("Index").select_option("Flat")
    wait_until(lambda: app(page).locator(".lookalike-formula").count() == 0)


def test_a_broken_file_gets_a_sentence_and_the_results_stay(page):
    start(page)
    broken = {"name": "cut.jpg", "mimeType": "image/jpeg"}
    upload(page, broken | {"buffer": QUERY.read_bytes()[:3000]})
    expect(page, re.compile(r"^Not done: cut\.jpg: .*(cut short|damaged|incomplete)"))
    assert results(page).count() == 5


def test_a_picture_is_remembered(page, tmp_path):
    picture = tmp_path / "mine.png"
    Image.effect_noise((64, 64), 80).save(picture)
    upload(page, picture)
    expect(page, "pictures like mine.png")
    app(page).get_by_text("Add this picture to the collection").click()
    app(page).get_by_label("Its label").fill("noise")
    app(page).get_by_label("Its label").press("Enter")
    expect(page, re.compile(r"^Remembered as number \d+, noise"))
    assert alternatives(page)[0] == "noise, 1.00 similar"
    (kept,) = page.remembered.iterdir()
    assert kept.read_bytes() == picture.read_bytes()


def test_the_app_fits_beside_what_else_is_there(page):
    start(page)
    outside = app(page).evaluate(
        """app => {
          const edge = app.parentElement.getBoundingClientRect().right + 1;
          return [...app.querySelectorAll("*")]
            .filter((part) => part.getBoundingClientRect().right > edge
              && !part.closest(".lookalike-caption"))
            .map((part) => part.outerHTML.slice(0, 200));
        }"""
    )
    assert outside == []


def test_nothing_left_this_machine_and_no_name_became_a_script(page):
    assert "Traceback" not in page.locator("body").inner_text()
    assert page.faults == []
    assert asked_elsewhere(page) == []
