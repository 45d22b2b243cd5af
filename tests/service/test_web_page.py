"""The service's page in a real browser, and can everybody use it?

Needs Chromium, as tests/app/test_browser.py does, and is skipped or fails as it does.
LOOKALIKE_SCREENSHOTS names a folder for pictures of the page.
"""

import base64
import os
import re
import shutil
from pathlib import Path

import pytest

from tests.chromium import launched
from tests.pictures_for_queries import PixelEmbedder
from utils.collection.search import ImageSearch
from utils.service.application import create_application
from utils.service.server import running

ROOT = Path(__file__).parents[2]
QUERY = ROOT / "images" / "boat" / "boat_3_1.jpg"
KINDS = ("boat", "donut", "mushroom")
SCREENS = {
    "wide": {"viewport": {"width": 1100, "height": 800}},
    "dark": {"viewport": {"width": 1100, "height": 800}, "color_scheme": "dark"},
    "phone": {
        "viewport": {"width": 360, "height": 740},
        "has_touch": True,
        "is_mobile": True,
    },
}
SENDS = """
([kind, data]) => {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], "odd <b>name.jpg", { type: "image/jpeg" }));
  const options = { bubbles: true, cancelable: true };
  const event = kind === "paste"
    ? new ClipboardEvent("paste", { ...options, clipboardData: transfer })
    : new DragEvent("drop", { ...options, dataTransfer: transfer });
  document.getElementById("drop").dispatchEvent(event);
}
"""


@pytest.fixture(scope="module")
def browser():
    with launched("axe_playwright_python") as browser:
        yield browser


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    for kind in KINDS:
        (folder / "pictures" / kind).mkdir(parents=True)
        for path in (ROOT / "images" / kind).glob("*_1.jpg"):
            shutil.copy(path, folder / "pictures" / kind)
    search = ImageSearch.from_folder(folder / "pictures", embedder=PixelEmbedder())
    search.save(folder / "saved")
    with running(
        create_application(folder / "saved", embedder=PixelEmbedder())
    ) as address:
        yield address


@pytest.fixture(params=list(SCREENS))
def page(request, browser, address):
    context = browser.new_context(**SCREENS[request.param])
    page = context.new_page()
    page.kind, page.faults = request.param, []
    page.set_default_timeout(30_000)
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.on("dialog", lambda dialog: page.faults.append(dialog.message))
    page.on(
        "request",
        lambda r: r.url.startswith((address, "blob:")) or page.faults.append(r.url),
    )
    page.goto(address)
    expect(page, "#about", "24 pictures")
    yield page
    assert page.faults == []
    context.close()


def expect(page, element, text):
    from playwright.sync_api import expect as that

    that(page.locator(element)).to_contain_text(re.compile(text), timeout=30_000)


def cards(page):
    return page.locator("#hits li")


def look(page, name):
    """Whatever axe-core knows of is all right; keep a picture if one is wanted."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= page.viewport_size["width"]  # nothing to be scrolled sideways
    if folder := os.environ.get("LOOKALIKE_SCREENSHOTS"):
        page.wait_for_function(
            "[...document.images].every((image) => image.complete || image.hidden)"
        )
        page.screenshot(path=Path(folder) / f"service-{name}-{page.kind}.png")


def test_before_anything_is_asked(page):
    look(page, "start")


def test_a_chosen_picture_finds_itself_first(page):
    page.locator("#file").set_input_files(QUERY)
    expect(page, "#status", "10 pictures")
    assert cards(page).count() == 10
    expect(page, "#hits li:first-child", "boat 1.00")
    look(page, "found")


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_a_picture_can_be_dropped_or_pasted(page, kind):
    page.evaluate(SENDS, [kind, base64.b64encode(QUERY.read_bytes()).decode()])
    expect(page, "#status", "10 pictures")
    expect(page, "#hits li:first-child", "boat 1.00")


def test_from_result_to_result_by_keyboard_alone(page):
    page.locator("#file").focus()
    style = page.locator("label[for=file]").evaluate("e => getComputedStyle(e).outline")
    assert "3px" in style  # where one is, is seen
    page.locator("#file").set_input_files(QUERY)
    expect(page, "#status", "10 pictures")
    first = cards(page).first.locator("img").get_attribute("src")
    cards(page).nth(1).get_by_role("button").focus()
    page.keyboard.press("Enter")
    page.wait_for_function(
        "first => document.querySelector('#hits img')?.getAttribute('src') !== first",
        arg=first,
    )
    expect(page, "#status", "10 pictures")


def test_how_many_and_which_label_ask_again(page):
    page.locator("#file").set_input_files(QUERY)
    expect(page, "#status", "10 pictures")
    page.get_by_label("Label").select_option("mushroom")
    expect(page, "#status", "8 pictures")
    page.get_by_label("How many").fill("3")
    page.keyboard.press("Tab")
    expect(page, "#status", "3 pictures")
    expect(page, "#hits li:first-child", "mushroom")


def test_what_is_no_picture_gets_a_sentence(page):
    no_picture = {"name": "x.jpg", "mimeType": "image/jpeg", "buffer": b"<b>no</b>"}
    page.locator("#file").set_input_files(no_picture)
    expect(page, "#status", "not a JPEG")
    assert cards(page).count() == 0
    look(page, "refused")
