"""The app's page in a real browser, with Python behind it and no Jupyter between.

Needs Chromium, as tests/app/test_browser.py does, and is skipped or fails as it does.
LOOKALIKE_SCREENSHOTS names a folder for pictures of the page.
"""

import base64
import json
import os
import re
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.chromium import launched
from tests.pictures_for_queries import PixelEmbedder, TalkingEmbedder, make_collection
from utils.app.query import QueryHandler
from utils.app.widgets import QueryApp
from utils.collection.search import ImageSearch

ROOT = Path(__file__).parents[2]
APP = ROOT / "utils" / "app"
QUERY = ROOT / "images" / "boat" / "boat_3_1.jpg"
KINDS = ("boat", "donut", "mushroom")
TRAITS = ("offers", "how", "query", "cards", "missed", "trail", "status")
WIDTHS = (400, 1000, 1600)
THEMES = {
    "light": {},
    "dark": {
        "--jp-ui-font-color1": "rgba(255, 255, 255, .87)",
        "--jp-layout-color0": "#111111",
        "--jp-layout-color2": "#424242",
        "--jp-border-color1": "#616161",
        "--jp-brand-color1": "#42a5f5",
        "--jp-error-color1": "#f44336",
    },
}
# What anywidget gives to `render`: a model, here over a function that calls Python.
MODEL = """
async ([source, state]) => {
  const decode = (value) => {
    if (Array.isArray(value)) return value.map(decode);
    if (!value || typeof value !== "object") return value;
    if ("bytes" in value)
      return Uint8Array.from(atob(value.bytes), (c) => c.charCodeAt(0));
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, decode(v)]));
  };
  const encode = (piece) => {
    let text = "";
    for (const byte of new Uint8Array(piece)) text += String.fromCharCode(byte);
    return btoa(text);
  };
  const on = {};
  const model = {
    state: decode(state),
    get: (name) => model.state[name],
    on: (name, act) => (on[name] ||= []).push(act),
    off: () => {},
    send: async (content, _, buffers) => {
      window.sent = (window.sent || 0) + 1;
      await new Promise((resolve) => setTimeout(resolve, window.delay || 0));
      const text = JSON.stringify(content);
      model.take(await window.python(text, (buffers || []).map(encode)));
      (on["msg:custom"] || []).forEach((act) => act({ done: content.call }));
    },
    take: (fresh) => {
      const changed = Object.entries(fresh).filter(
        ([k, v]) => JSON.stringify(v) !== model.seen[k]);
      changed.forEach(([k, v]) => {
        model.seen[k] = JSON.stringify(v);
        model.state[k] = decode(v);
      });
      changed.forEach(([k]) => (on[`change:${k}`] || []).forEach((act) => act()));
    },
    seen: Object.fromEntries(
      Object.entries(state).map(([k, v]) => [k, JSON.stringify(v)])),
  };
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const { default: app } = await import(url);
  window.model = model;
  app.render({ model, el: document.getElementById("app") });
}
"""
SENDS = """
([kind, data, name]) => {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, { type: "image/jpeg" }));
  const options = { bubbles: true, cancelable: true };
  const event = kind === "paste"
    ? new ClipboardEvent("paste", { ...options, clipboardData: transfer })
    : new DragEvent("drop", { ...options, dataTransfer: transfer });
  const app = document.querySelector(".lookalike");
  const target = kind === "paste" ? document.activeElement : app;
  target.dispatchEvent(event);
  return event.defaultPrevented;
}
"""


@pytest.fixture(scope="module")
def browser():
    with launched("axe_playwright_python") as browser:
        yield browser


def plain(value):
    """A trait as JSON; bytes become base64."""
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    return list(map(plain, value)) if isinstance(value, list | tuple) else value


def state(app):
    return json.loads(json.dumps({name: plain(getattr(app, name)) for name in TRAITS}))


@pytest.fixture
def open_page(browser):
    """A function that shows an app in a page."""
    contexts = []

    def show(app, *, width=1000, theme="light"):
        context = browser.new_context(viewport={"width": width, "height": 900})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.faults, page.asked = [], []
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        page.on("request", lambda request: page.asked.append(request.url))

        def python(text, pieces):
            buffers = [memoryview(base64.b64decode(piece)) for piece in pieces]
            app._on_message(app, json.loads(text), buffers)
            return state(app)

        page.expose_function("python", python)
        sheet = (APP / "style.css").read_text(encoding="utf-8")
        ground = "#111" if theme == "dark" else "#fff"
        colours = "".join(f"{k}: {v};" for k, v in THEMES[theme].items())
        page.set_content(
            f"<html lang=en><title>App</title><style>:root {{{colours}}} body {{"
            f"margin: 8px; background: {ground}}}</style>"
            f"<style>{sheet}</style><main id=app></main></html>"
        )
        page.evaluate(MODEL, [(APP / "app.js").read_text(encoding="utf-8"), state(app)])
        return page

    yield show
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def search(tmp_path_factory):
    root = tmp_path_factory.mktemp("pictures")
    for kind in KINDS:
        (root / kind).mkdir()
        for path in (ROOT / "images" / kind).glob("*_[13].jpg"):
            shutil.copy(path, root / kind)
    return ImageSearch.from_folder(root, embedder=PixelEmbedder())


@pytest.fixture
def app(search, tmp_path):
    handler = QueryHandler(search, keep_in=tmp_path / "kept")
    app = QueryApp(handler, samples=search.paths[::9])
    app.choose(fold=False)  # to this embedder all pictures are nearly the same
    return app


def button(page, name, **options):
    return page.get_by_role("button", name=name, **options)


def alt(page):
    return page.locator(".lookalike-found > .lookalike-cards > li img").evaluate_all(
        "all => all.map(image => image.alt)"
    )


def send(page, kind, data=None, name="odd <b>name.jpg"):
    data = base64.b64encode(QUERY.read_bytes() if data is None else data).decode()
    return page.evaluate(SENDS, [kind, data, name])


def keep(page, name):
    if folder := os.environ.get("LOOKALIKE_SCREENSHOTS"):
        page.wait_for_timeout(100)
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def overflowing(page):
    return page.evaluate(
        "() => [...document.querySelectorAll('.lookalike *')].filter((part) =>"
        " part.getBoundingClientRect().right > innerWidth + 1"
        " && !part.closest('.lookalike-stage, .lookalike-caption'))"
        ".map((part) => part.outerHTML.slice(0, 150))"
    )


def check_by_axe(page):
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, context=".lookalike")
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_a_picture_is_dropped_or_pasted(app, open_page, kind):
    page = open_page(app)
    button(page, "Choose a picture").focus()
    assert send(page, kind)
    expect(page.get_by_role("status")).to_contain_text(
        "5 pictures like odd <b>name.jpg"
    )
    assert alt(page)[0] == "boat, 1.00 similar"
    assert page.locator(".lookalike b b").count() == 0
    assert page.faults == []


def test_a_paste_elsewhere_is_left_alone(app, open_page):
    page = open_page(app)
    page.evaluate(
        "document.body.insertAdjacentHTML('beforeend', '<textarea></textarea>')"
    )
    page.locator("textarea").focus()
    assert not send(page, "paste")
    assert app.answer is None


def test_a_file_is_chosen_and_the_same_one_again(app, open_page):
    page = open_page(app)
    for _ in range(2):
        app.answer = None
        with page.expect_file_chooser() as chooser:
            button(page, "Choose a picture").press("Enter")
        chooser.value.set_files(QUERY)
        page.wait_for_function(
            "document.querySelectorAll('.lookalike-card').length > 4"
        )
        page.wait_for_function("() => !document.querySelector('[aria-busy=true]')")
    assert app.answer.hits[0].label == "boat"


def test_a_broken_or_too_large_file_is_an_alert_and_the_results_stay(app, open_page):
    app.handler.limits["max_bytes"] = 2_000_000
    app._offer()
    page = open_page(app)
    send(page, "drop")
    expect(page.locator(".lookalike-card")).to_have_count(5)
    shown = page.evaluate("window.sent")
    send(page, "drop", b"x" * 2_000_001, "large.jpg")
    expect(page.get_by_role("alert")).to_contain_text(
        "large.jpg is too large: choose JPEG"
    )
    assert page.evaluate("window.sent") == shown, "it need not travel to be refused"
    send(page, "drop", b"no picture", "<b>.jpg")
    expect(page.get_by_role("alert")).to_contain_text("Not done: <b>.jpg: ")
    assert "max_" not in page.get_by_role("alert").inner_text()
    assert page.locator(".lookalike-card").count() == 5
    check_by_axe(page)


def test_controls_filters_and_missed_neighbours(tmp_path, open_page):
    collection = make_collection(tmp_path / "more", each=130, noise=200)
    app = QueryApp(QueryHandler(collection))
    app.choose(fold=False)
    app.ask_id(0)
    page = open_page(app)
    page.get_by_text("How to search").click()
    assert not page.get_by_label("Cells to look into").is_visible()
    page.get_by_label("How many (k)").fill("20")
    page.get_by_label("How many (k)").press("Enter")
    expect(page.locator(".lookalike-card")).to_have_count(20)
    page.get_by_label("Index").select_option("IVF")
    page.get_by_label("Cells to look into").fill("1")
    page.get_by_label("Cells to look into").press("Enter")
    expect(page.get_by_role("heading", name="Missed by the index")).to_be_visible()
    missed = page.locator(".lookalike-missed .lookalike-card").first
    assert "missed, rank" in missed.inner_text()
    assert missed.evaluate("card => getComputedStyle(card).borderTopStyle") == "dashed"
    page.get_by_label("Score").select_option("Euclidean")
    expect(page.locator(".lookalike-head")).to_contain_text("Shorter is nearer")
    assert re.match(r"\w+, distance 0\.\d\d$", alt(page)[0])
    page.get_by_text("Any label").click()
    button(page, re.compile("^blue")).click()
    expect(page.locator("summary", has_text="Only: blue")).to_be_visible()
    assert {text.split(",")[0] for text in alt(page)} == {"blue"}
    assert button(page, re.compile("^blue")).get_attribute("aria-pressed") == "true"
    assert page.evaluate("document.activeElement.dataset.key") == "labelblue"
    check_by_axe(page)


def test_wandering_keeps_the_focus_and_the_trail_leads_back(app, open_page):
    page = open_page(app)
    app_samples = button(page, re.compile("^Search with the sample"))
    app_samples.first.click()
    expect(page.locator(".lookalike-card")).to_have_count(5)
    first = app.query["name"]
    second = page.locator(".lookalike-picture").nth(1)
    second.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".lookalike-trail li")).to_have_count(2)
    assert page.evaluate("document.activeElement.className") == "lookalike-picture"
    button(page, "Back").click()
    expect(page.locator(".lookalike-trail [aria-current]")).to_have_attribute(
        "aria-label", f"Search 1: {first}"
    )
    assert app.query["name"] == first


def test_a_search_is_refined_and_the_refinement_taken_back(app, open_page):
    app.ask(QUERY.read_bytes(), "mine.jpg")
    page = open_page(app)
    like = button(page, re.compile("^More like this")).nth(1)
    like.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".lookalike-formula")).to_contain_text("0.75 · mean of 1 like")
    assert page.evaluate("document.activeElement.dataset.key").startswith("like")
    button(page, re.compile("^Less like this")).last.click()
    expect(page.locator(".lookalike-formula")).to_contain_text(
        "0.25 · mean of 1 unlike"
    )
    check_by_axe(page)
    button(page, "Undo").click()
    expect(page.locator(".lookalike-formula")).not_to_contain_text("unlike")
    button(page, "Clear").click()
    expect(page.locator(".lookalike-formula")).to_have_count(0)


def test_a_part_is_chosen_by_dragging_and_by_the_keyboard(app, open_page):
    app.ask(QUERY.read_bytes(), "mine.jpg")
    page = open_page(app)
    box = page.locator(".lookalike-stage").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.1, box["y"] + box["height"] * 0.2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.7)
    page.mouse.up()
    expect(page.get_by_text("mine.jpg, a part of it", exact=True)).to_be_visible()
    assert app.query["box"] == pytest.approx((0.1, 0.2, 0.6, 0.7), abs=0.02)
    check_by_axe(page)
    page.locator(".lookalike-frame").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_function("() => model.get('query').box[0] > 0.115")
    assert app.query["box"] == pytest.approx((0.12, 0.2, 0.62, 0.72), abs=0.02)
    button(page, "Search the whole picture").click()
    expect(button(page, "Search for a part")).to_be_visible()
    assert app.query["box"] is None


def test_a_picture_is_remembered(app, search, open_page, tmp_path):
    app.ask(QUERY.read_bytes() + b"\0", "mine.jpg")
    page = open_page(app)
    page.get_by_text("Add this picture to the collection").click()
    page.get_by_label("Its label").fill("fire engine")
    page.get_by_label("Its label").press("Enter")
    expect(page.get_by_role("status")).to_contain_text("Remembered as number")
    assert "fire engine" in alt(page)[0]
    assert page.get_by_text("Add this picture to the collection").count() == 0
    search.remove([app.answer.itself])


def test_words_and_their_weight(tmp_path, open_page):
    collection = make_collection(tmp_path / "colours")
    collection.use(TalkingEmbedder())
    page = open_page(app := QueryApp(QueryHandler(collection)))
    expect(page.get_by_role("status")).to_contain_text("or type what it should show")
    words = page.get_by_label("What it should show, in words")
    words.fill("green")
    words.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("for “green”")
    assert not page.get_by_role("slider").is_visible()
    page.locator(".lookalike-picture").first.click()
    expect(page.locator(".lookalike-trail li")).to_have_count(2)
    slider = page.get_by_role("slider", name=re.compile("Share of the words"))
    slider.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".lookalike-said")).to_contain_text("mixed with “green” (55 %)")
    check_by_axe(page)
    assert app.error is None


def test_a_slow_answer_is_said_after_a_moment_only(app, open_page):
    page = open_page(app)
    page.evaluate("window.delay = 3600")
    button(page, re.compile("^Search with the sample")).first.click()
    assert page.locator(".lookalike-busy").inner_text() == ""
    expect(page.locator(".lookalike-busy")).to_have_text("Searching …")
    assert page.locator(".lookalike").get_attribute("aria-busy") == "true"
    expect(page.locator(".lookalike-busy")).to_contain_text("wakes the network")
    expect(page.locator(".lookalike-card")).to_have_count(5)
    assert page.locator(".lookalike").get_attribute("aria-busy") == "false"
    expect(page.locator(".lookalike-busy")).to_have_text("")


def test_a_kernel_that_does_not_answer_is_said_with_both_causes(app, open_page):
    page = open_page(app)
    page.clock.install()
    page.evaluate("window.delay = 1e9")
    button(page, re.compile("^Search with the sample")).first.click()
    busy = page.locator(".lookalike-busy")
    page.clock.run_for(4_000)
    expect(busy).to_contain_text("Still searching")
    page.clock.run_for(9_000)
    expect(busy).to_contain_text("busy with another cell, or it has stopped")
    expect(busy).to_contain_text("run the cells again")


def test_on_a_phone_results_follow_the_query_and_the_rest_is_folded(app, open_page):
    page = open_page(app, width=400)
    summary = page.locator("summary", has_text="Another picture")
    expect(button(page, "Choose a picture")).to_be_visible()
    expect(summary).to_be_hidden()
    sample = button(page, re.compile("^Search with the sample")).first
    sample.press("Enter")
    expect(page.locator(".lookalike-card")).to_have_count(5)
    expect(summary).to_be_visible()
    expect(sample).to_be_hidden()
    assert page.evaluate("document.activeElement.textContent") == "Results"
    card = page.locator(".lookalike-card").first
    start = page.locator(".lookalike").bounding_box()["y"]
    assert card.bounding_box()["y"] - start < 600
    check_by_axe(page)
    summary.press("Enter")
    expect(sample).to_be_visible()
    page.get_by_text("How to search").click()
    page.get_by_label("How many (k)").fill("7")
    page.get_by_label("How many (k)").press("Enter")
    expect(page.locator(".lookalike-card")).to_have_count(7)
    expect(sample).to_be_visible()  # who sets something goes on setting
    page.set_viewport_size({"width": 1000, "height": 900})
    expect(summary).to_be_hidden()
    expect(sample).to_be_visible()


def test_near_duplicates_are_folded_and_opened(app, open_page):
    app.choose(fold=True)
    app.ask(QUERY.read_bytes(), "mine.jpg")
    page = open_page(app)
    more = page.locator("summary", has_text="nearly the same").first
    count = int(more.inner_text()[1:].split()[0])
    inside = page.locator(".lookalike-more").first.locator(".lookalike-card")
    assert not inside.first.is_visible()
    more.click()
    expect(inside.first).to_be_visible()
    assert inside.count() == count == len(app.cards[0]["folded"])


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_each_state_looks_right(app, open_page, width, theme):
    page = open_page(app, width=width, theme=theme)
    keep(page, f"empty-{theme}-{width}")
    check_by_axe(page)
    app.choose(index="HNSW", k=8)
    app.ask(QUERY.read_bytes(), "a boat of mine.jpg")
    app.crop((0.1, 0.1, 0.9, 0.8))
    app.like(app.answer.hits[2].id)
    app.dislike(app.answer.hits[-1].id)
    page.evaluate("fresh => model.take(fresh)", state(app))
    keep(page, f"folded-{theme}-{width}")
    if width == 400:
        page.get_by_text("Another picture").click()
    page.get_by_text("How to search").click()
    page.get_by_text("Any label").click()
    expect(page.locator(".lookalike-frame")).to_be_visible()
    keep(page, f"refined-{theme}-{width}")
    assert overflowing(page) == []
    check_by_axe(page)
    send(page, "drop", b"no picture", "holiday.jpg")
    expect(page.get_by_role("alert")).to_contain_text("holiday.jpg")
    keep(page, f"failed-{theme}-{width}")
    check_by_axe(page)
    page.clock.install()
    page.evaluate("window.delay = 1e9")
    page.get_by_label("How many (k)").fill("7")
    page.get_by_label("How many (k)").press("Enter")
    for name, milliseconds in (("busy", 1_000), ("slow", 3_000), ("late", 9_000)):
        page.clock.run_for(milliseconds)
        keep(page, f"{name}-{theme}-{width}")
        assert overflowing(page) == []
    assert [url for url in page.asked if not url.startswith(("blob:", "about:"))] == []


def odd_collections(tmp_path):
    """Few and many pictures; long, Arabic, many and no labels."""
    labels = {
        "three": ["a", "b", "b"],
        "long": ["a label that goes on and on until it has sixty characters ..."] * 20,
        "arabic": ["قارب صغير", "سيارة حمراء"] * 10,
        "many": [f"kind {i}" for i in range(40)],
        "none": [""] * 20,
    }
    pictures = sorted((ROOT / "images").glob("*/*_1_*.jpg"))
    for name, of in labels.items():
        search = ImageSearch.from_folder(
            (make_collection(tmp_path / name, each=1), tmp_path / name)[1],
            embedder=PixelEmbedder(),
        )
        search.remove(list(search.items))
        search.add(pictures[: len(of)], of)
        yield name, search


def test_odd_collections_look_right(tmp_path, open_page):
    for name, search in odd_collections(tmp_path):
        app = QueryApp(QueryHandler(search), samples=search.paths[:3])
        app.ask_id(search.id_of(search.paths[0]))
        for width in (400, 1000):
            page = open_page(app, width=width)
            if width == 400:
                page.get_by_text("Another picture").click()
            if name not in ("long", "none"):
                page.get_by_text("Any label").click()
            assert page.get_by_label("Find a label").is_visible() == (name == "many")
            keep(page, f"{name}-{width}")
            assert overflowing(page) == [], name
