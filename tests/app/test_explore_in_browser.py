"""The map in JupyterLab and Voilà on this machine, beside the app that it asks.

Needs Chromium, as tests/app/test_browser.py does, and is skipped or fails as it does.
LOOKALIKE_SCREENSHOTS names a folder for pictures of the map.
"""

import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.chromium import launched
from tests.jupyter_pages import ROOT, RUN_SECONDS, asked_elsewhere, opened
from tests.waiting import PATIENCE, wait_until
from utils.app.explore import MARGIN

# A few pictures, described by their pixels: the network would take most of the time.
CELLS = f"""
import json, sys
sys.path.append({str(ROOT)!r})
from tests.pictures_for_queries import PixelEmbedder
from utils.app.explore import Explore
from utils.app.query import QueryHandler
from utils.app.widgets import QueryApp
from utils.collection.search import ImageSearch
from utils.images import Collection
from utils.gallery import load_gallery
paths = [path for path in load_gallery()[0].paths if path.stem.endswith("_1_1")][:15]
pictures = Collection(paths, [path.parent.name for path in paths])
search = ImageSearch.from_collection(pictures, embedder=PixelEmbedder())
app = QueryApp(QueryHandler(search))
app

explore = Explore(search, on_click=app.ask_id)
explore

names = [search.path_of(int(id)).name for id in explore.places.ids]
print("Places:", json.dumps([names, explore.places.points.tolist()]), ".")
"""
DARK = {"lab": True, "voila": False}


@pytest.fixture(scope="module")
def browser():
    with launched("voila") as browser:
        yield browser


@pytest.fixture(scope="module", params=["lab", "voila"])
def page(request, browser, tmp_path_factory):
    """A page with the map in sight; `page.places` are its pictures' names, points."""
    folder = tmp_path_factory.mktemp(request.param)
    with opened(request.param, browser, folder, CELLS) as page:
        said = page.get_by_text("Places: [")
        said.last.wait_for(timeout=1000 * RUN_SECONDS, state="attached")
        text = said.last.inner_text()
        page.places = json.loads(text[text.index("[") : text.rindex("]") + 1])
        canvas(page).wait_for()
        canvas(page).scroll_into_view_if_needed()
        wait_until(lambda: len(islands(page)) == len(page.places[0]))
        yield page


def canvas(page):
    return page.locator("canvas").first


def at(page, row):
    """Where a picture's point is on the canvas, in pixels."""
    box, point = canvas(page).bounding_box(), np.array(page.places[1][row])
    shift = (point - 0.5) / (1 + 2 * MARGIN) * box["height"] * [1, -1]
    return (np.array([box["width"], box["height"]]) / 2 + shift).tolist()


def drawn(page):
    """What is seen of the map: uint8, shape (height, width, 3)."""
    return np.array(Image.open(io.BytesIO(canvas(page).screenshot())).convert("RGB"))


def ink(page, *, dark):
    """How many pixels names are written with, on a dark or a light ground."""
    pixels = drawn(page).astype(int)
    pixels = pixels[np.ptp(pixels, axis=-1) < 20]
    return np.sum(pixels.min(axis=-1) > 200 if dark else pixels.max(axis=-1) < 80)


def islands(page):
    """The pictures at whose places there is colour: ink and ground have none."""
    pixels, found = drawn(page).astype(int), []
    for row in range(len(page.places[0])):
        x, y = np.round(at(page, row)).astype(int)
        near = pixels[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2]
        if near.size and np.ptp(near, axis=-1).max() > 60:
            found.append(row)
    return found


def point_at(page, row):
    """Move the mouse to a picture's point, and wait until it is seen beside the map."""
    x, y = at(page, row)
    page.mouse.move(0, 0)
    canvas(page).hover(position={"x": x + 60, "y": y + 60}, force=True)
    canvas(page).hover(position={"x": x, "y": y}, force=True)
    beside = page.locator(
        f'img[alt$=", {page.places[0][row]}"][src^="data:image/jpeg"]'
    )
    expect(beside).to_be_visible(timeout=1000 * PATIENCE)


def alone(page, apart=30):
    """The pictures that no other is near to, so that a mouse means them."""
    points = np.array([at(page, row) for row in range(len(page.places[0]))])
    away = np.linalg.norm(points[:, None] - points[None], axis=-1)
    np.fill_diagonal(away, np.inf)
    return np.flatnonzero(away.min(axis=1) > apart).tolist()


def keep_screenshot(page, name):
    if folder := os.environ.get("LOOKALIKE_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"map-{page.kind}-{name}.png")


def test_all_pictures_are_painted_within_the_map_on_the_pages_ground(page):
    assert islands(page) == list(range(len(page.places[0])))
    height, width = drawn(page).shape[:2]
    points = np.array([at(page, row) for row in range(len(page.places[0]))])
    assert (points > 8).all() and (points < [width - 8, height - 8]).all()
    assert (drawn(page)[2, -2].max() < 60) == DARK[page.kind]


def test_names_of_labels_are_written_on_it(page):
    assert ink(page, dark=DARK[page.kind]) > 100


def test_pointing_shows_the_picture_at_the_pointer_and_asks_nothing(page):
    row = alone(page)[0]
    point_at(page, row)
    tip = page.locator('div[style*="data:image/jpeg"]')
    expect(tip).to_be_visible(timeout=1000 * PATIENCE)
    keep_screenshot(page, "pointed")
    place, box = np.array(at(page, row)), tip.bounding_box()
    middle = np.array([box["x"] + box["width"] / 2, box["y"] + box["height"] / 2])
    area = canvas(page).bounding_box()
    assert np.linalg.norm(middle - place - [area["x"], area["y"]]) < 150
    label = page.places[0][row].split("_")[0]
    assert page.get_by_text(label, exact=True).count() >= 1
    assert page.locator(".lookalike-card").count() == 0


def test_the_map_follows_a_change_of_theme(page):
    if page.kind == "voila":
        pytest.skip("Voilà has one theme")
    page.get_by_role("menuitem", name="Settings").first.click()
    page.get_by_text("Theme", exact=True).first.hover()
    page.get_by_text("JupyterLab Light", exact=True).first.click()
    wait_until(lambda: drawn(page)[2, -2].min() > 200)
    wait_until(lambda: ink(page, dark=False) > 100)
    keep_screenshot(page, "light")


def test_a_click_searches_with_the_picture(page):
    for row in alone(page)[:2]:
        name = page.places[0][row]
        point_at(page, row)
        page.mouse.down()
        page.mouse.up()
        status = page.locator(".lookalike [role=status]")
        expect(status).to_contain_text(f"like {name}", timeout=1000 * PATIENCE)
        expect(page.locator(".lookalike-picture").first).to_be_visible()
        expect(page.get_by_text(f"Searched with {name}.")).to_be_visible()
        canvas(page).scroll_into_view_if_needed()
        wait_until(lambda: len(islands(page)) > 10)
    keep_screenshot(page, "clicked")


def test_nothing_left_this_machine(page):
    assert "Traceback" not in page.locator("body").inner_text()
    assert page.faults == [] and asked_elsewhere(page) == []
