"""The app without a browser: its controls are set and its buttons clicked from here."""

import asyncio
import json
import threading
import time
from pathlib import Path

import ipywidgets as w
import pytest
from ipywidgets.widgets.widget import _instances
from traitlets.config.loader import PyFileConfigLoader

from tests.pictures_for_queries import TalkingEmbedder, make_collection
from utils.app.page import upload_limit
from utils.app.query import INDEXES, MAX_BYTES, SCORES, QueryHandler
from utils.app.widgets import INDEX_NAMES, QueryApp

ROOT = Path(__file__).parents[2]


@pytest.fixture
def search(tmp_path):
    return make_collection(tmp_path / "pictures")


@pytest.fixture
def app(search, tmp_path):
    handler = QueryHandler(search, keep_in=tmp_path / "kept")
    return QueryApp(handler, samples=search.paths[:2])


def upload(app, *contents, name="mine.png"):
    """What the browser sends: one message with the files that were chosen."""
    facts = {"name": name, "type": "image/png", "last_modified": 0}
    files = [
        facts | {"size": len(data), "content": memoryview(data)} for data in contents
    ]
    app.doors.upload.set_state({"value": files, "error": ""})


def buttons(app):
    return [tile.children[1] for tile in app.results.children]


def is_dashed(tile):
    return "lookalike-missed" in tile._dom_classes


def everything(widget):
    """A widget, its children, and theirs."""
    inside = [everything(child) for child in getattr(widget, "children", ())]
    return [widget, *(part for parts in inside for part in parts)]


def html(widget):
    """All the HTML in a widget and its children."""
    return "".join(
        part.value for part in everything(widget) if isinstance(part, w.HTML)
    )


def test_an_upload_shows_k_tiles_and_says_what_it_took(app, search):
    upload(app, search.paths[0].read_bytes())
    assert app.error is None
    assert len(app.results.children) == 5
    assert app.answer.hits[0].id == 0
    assert "5 pictures like mine.png" in app.message
    assert "ms to describe" in app.message and "ms to search" in app.message
    assert "This very file is in the collection" in app.message


def test_the_same_picture_can_be_uploaded_twice(app, search):
    for _ in range(2):
        app.answer = None
        upload(app, search.paths[0].read_bytes())
        assert app.answer is not None
    assert app.doors.upload.value == ()


def test_a_cancelled_dialog_changes_nothing(app, search):
    upload(app, search.paths[0].read_bytes())
    before = app.message
    upload(app)
    assert app.message == before


def test_several_files_count_as_the_first(app, search):
    upload(app, *(path.read_bytes() for path in search.paths[:3]))
    assert app.answer.hits[0].id == 0
    assert "The first of 3 files" in app.message


@pytest.mark.parametrize("data", [b"", b"not a picture", b"\xff\xd8\xff\xe0 half"])
def test_a_broken_file_gives_a_sentence_and_keeps_the_results(app, search, data):
    upload(app, search.paths[0].read_bytes())
    tiles = app.results.children
    upload(app, data, name="broken.jpg")
    assert app.message.startswith("Not done: broken.jpg: ")
    assert 'role="alert"' in app.status.value
    assert app.results.children == tiles
    upload(app, search.paths[0].read_bytes())
    assert app.error is None


@pytest.mark.parametrize(
    "name",
    [
        "../../x.jpg",
        "<img src=x onerror=alert(1)>",
        '" onload="alert(1)',
        "a\nb",
        "x" * 999,
    ],
)
def test_a_name_is_neither_path_nor_markup(app, search, name):
    for data in (search.paths[0].read_bytes(), b"broken"):
        upload(app, data, name=name)
        page = html(app)
        assert "<img src=x" not in page
        assert '" onload="alert' not in page
        assert "x" * 100 not in page
    assert app.answer.hits[0].id == 0


def test_a_label_is_not_markup(tmp_path, search):
    search.add([search.paths[0]], "<b onclick=alert(1)>")
    app = QueryApp(QueryHandler(search))
    app.ask_id(1)
    app.controls.label.value = "<b onclick=alert(1)>"
    assert len(app.results.children) == 1
    assert "<b onclick" not in html(app)


def test_a_click_on_a_result_goes_on_from_there_and_back_returns(app, search):
    upload(app, search.paths[0].read_bytes())
    shown = [app.answer.hits[2].id]
    buttons(app)[2].click()
    assert app.answer.itself == shown[0]
    for _ in range(2):
        shown.append(app.answer.hits[1].id)
        buttons(app)[1].click()
    assert app.answer.itself == shown[2]
    app.desk.back.click()
    assert app.answer.itself == shown[1]
    app.desk.back.click()
    app.desk.back.click()
    assert "like mine.png" in app.message
    assert app.desk.back.disabled


def test_back_to_a_picture_that_is_gone_says_so_and_stays(app, search):
    app.ask_id(3)
    app.ask_id(5)
    search.remove([3])
    app.desk.back.click()
    assert "has the id 3" in app.message
    assert app.answer.itself == 5
    app.controls.k.value = 7
    assert len(app.answer.hits) == 7


def test_a_late_click_on_an_old_result_meets_a_closed_button(app, search):
    """The browser may send it before it has shown the new results."""
    upload(app, search.paths[0].read_bytes())
    old = buttons(app)
    old[1].click()
    assert all(button.comm is None for button in old)


def test_each_control_asks_again(app, search):
    upload(app, search.paths[0].read_bytes())
    app.controls.k.value = 8
    assert len(app.answer.hits) == 8
    app.controls.metric.value = "Euclidean"
    assert app.answer.hits[0].score == pytest.approx(0, abs=1e-3)
    assert app.controls.nprobe.disabled
    app.controls.index.value = "IVF"
    assert not app.controls.nprobe.disabled
    app.controls.label.value = "blue"
    assert {hit.label for hit in app.answer.hits} == {"blue"}
    assert app.error is None


def test_the_controls_offer_all_that_can_be_asked(app):
    assert list(INDEX_NAMES.values()) == list(INDEXES)
    assert app.controls.metric.options == tuple(SCORES)
    assert (app.controls.k.min, app.controls.nprobe.min, app.controls.nprobe.max) == (
        1,
        1,
        app.handler.cells,
    )


def test_a_count_out_of_range_becomes_the_nearest_that_is_not(app):
    app.ask_id(0)
    app.controls.k.set_state({"value": 999})  # what a browser could send
    assert len(app.answer.hits) == app.controls.k.value == 20
    app.controls.k.set_state({"value": -3})
    assert len(app.answer.hits) == app.controls.k.value == 1
    assert app.error is None


def test_missed_neighbours_are_shown_with_a_word_and_a_dashed_frame(tmp_path):
    search = make_collection(tmp_path / "more", each=130, noise=200)
    app = QueryApp(QueryHandler(search))
    app.controls.k.value, app.controls.index.value, app.controls.nprobe.value = (
        20,
        "IVF",
        1,
    )
    app.ask_id(0)
    assert app.answer.missed
    assert len(app.results.children) == 20
    assert not any(map(is_dashed, app.results.children))
    for tile, hit in zip(app.missed.children, app.answer.missed, strict=True):
        assert f"missed, true rank {hit.rank}" in html(tile)
        assert is_dashed(tile)
    assert "dashed" in html(app.children[0])
    assert "were missed by this index" in app.message


def test_a_path_and_a_sample_are_doors_too(app, search):
    app.doors.path.value = str(search.paths[3])  # as Enter in the box does
    app.doors.open_button.click()
    assert app.answer.hits[0].id == 3
    app.doors.path.value = "nowhere.jpg"
    app.doors.open_button.click()
    assert "no such file" in app.message
    app.samples.children[1].children[1].click()
    assert app.answer.hits[0].id == 1


def test_a_path_is_found_from_the_top_of_the_repository_too(app, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    app.doors.path.value = (
        app.doors.path.placeholder
    )  # the example must work wherever we are
    assert app.error is None, app.message
    assert app.answer is not None
    app.ask_path("  ")
    assert "type the path of a picture first" in app.message


def test_voila_frees_the_kernel_of_a_page_that_was_closed():
    config = json.loads((ROOT / "voila.json").read_text(encoding="utf-8"))
    manager = config["MappingKernelManager"]
    assert 0 < manager["cull_idle_timeout"] <= 600
    assert not manager["cull_connected"]


def test_the_path_box_can_be_left_out(search):
    app = QueryApp(QueryHandler(search), paths=False)
    assert app.doors.path not in everything(app)
    assert app.doors.upload in everything(app)
    assert "path" not in html(app.hint)


def test_the_app_says_beforehand_how_large_an_upload_may_be(search, monkeypatch):
    monkeypatch.delenv("LOOKALIKE_UPLOAD_LIMIT", raising=False)
    hint = html(QueryApp(QueryHandler(search)).hint)
    assert "up to 10 MB." in hint and "type its path" in hint and "20 MB" in hint
    monkeypatch.setenv("LOOKALIKE_UPLOAD_LIMIT", str(100 * 1024 * 1024))
    hint = html(QueryApp(QueryHandler(search)).hint)
    assert "up to 20 MB." in hint and "may not get through" not in hint
    hint = html(QueryApp(QueryHandler(search, max_bytes=3_000_000)).hint)
    assert "up to 3 MB." in hint
    monkeypatch.delenv("LOOKALIKE_UPLOAD_LIMIT")
    monkeypatch.setenv("SERVER_SOFTWARE", "voila/0.5.13")
    hint = html(QueryApp(QueryHandler(search)).hint)
    assert "up to 10 MB; 20 MB if Voilà was started in" in hint


def test_jupyter_and_voila_are_set_to_one_limit_and_jupyter_tells_it(monkeypatch):
    monkeypatch.setenv("LOOKALIKE_UPLOAD_LIMIT", "")  # put back at the end
    settings = PyFileConfigLoader("jupyter_server_config.py", str(ROOT)).load_config()
    limit = settings.ServerApp.tornado_settings["websocket_max_message_size"]
    voila = json.loads((ROOT / "voila.json").read_text(encoding="utf-8"))["Voila"]
    assert voila["tornado_settings"]["websocket_max_message_size"] == limit
    assert upload_limit() == limit > MAX_BYTES


def come_back(app):
    """What a page does that connects: it asks all widgets for their state."""

    async def ask():
        app.get_state()
        app.get_state()  # pages do so twice
        await asyncio.sleep(0.3)

    asyncio.run(ask())


def test_an_upload_that_broke_the_connection_is_noticed(app, search):
    """Its button hangs, waiting for an answer: there must be a new one."""
    upload(app, search.paths[0].read_bytes())
    old, tiles = app.doors.upload, app.results.children
    come_back(app)
    assert "too large to get through" in app.message
    assert 'role="alert"' in app.status.value
    assert app.results.children == tiles
    assert app.doors.upload in app.doors.children
    assert old not in app.doors.children and old.comm is None
    upload(app, search.paths[3].read_bytes())
    assert app.answer.hits[0].id == 3


def test_under_voila_the_first_page_has_lost_nothing(search, monkeypatch):
    monkeypatch.setenv("SERVER_SOFTWARE", "voila/0.5.13")
    app = QueryApp(QueryHandler(search))
    come_back(app)
    assert app.message == "Choose a picture to begin."
    come_back(app)
    assert "too large to get through" in app.message


def test_a_state_is_told_where_no_page_can_be(app):
    """As when the widgets are saved into a file."""
    assert "children" in app.get_state()
    assert app.message == "Choose a picture to begin."


def test_a_new_picture_is_remembered_under_its_label(app, tmp_path, search):
    data = search.paths[0].read_bytes() + b"\0"  # the same pixels, other bytes
    upload(app, data)
    app.desk.name.value = "fire engine"
    app.desk.remember.click()
    assert app.error is None
    assert "Remembered as number 48, fire engine" in app.message
    assert "fire engine" in app.controls.label.options
    assert "49 pictures" in html(app)
    app.desk.remember.click()
    assert "in the collection already" in app.message


def test_only_a_picture_that_came_in_can_be_remembered(app):
    assert app.desk.remember.disabled
    app.ask_id(0)
    assert app.desk.remember.disabled
    app.remember_picture()
    assert "upload a picture first" in app.message


def test_every_picture_has_words(app, search):
    upload(app, search.paths[0].read_bytes())
    page = html(app)
    assert page.count("<img ") == page.count(' alt="') > 5
    names = [button.description for button in buttons(app)]
    assert len(set(names)) == len(names), "buttons must be told apart by their names"


def test_a_file_that_is_gone_leaves_a_box_with_words(app, search):
    search.paths[1].unlink()
    app.ask_id(0)
    app.controls.k.value = 20
    assert app.error is None
    assert "can't be shown" in html(app.results)


def test_a_mistake_of_the_program_is_said_as_well(app, search, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("not foreseen")

    monkeypatch.setattr(app.handler, "answer", fail)
    upload(app, search.paths[0].read_bytes())
    assert "RuntimeError: not foreseen" in app.message
    assert isinstance(app.error, RuntimeError)


def test_clicks_that_come_in_two_threads_wait_for_each_other(app):
    """Else one would show its picture over the other's results."""
    app.ask_id(0)
    inside, most = [], []
    show = app._show

    def slow(picture):
        inside.append(picture)
        most.append(len(inside))
        time.sleep(0.02)
        said = show(picture)
        inside.remove(picture)
        return said

    app._show = slow
    threads = [threading.Thread(target=app.ask_id, args=(i,)) for i in range(1, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 5
    assert app.error is None
    shown = [int(b.description.split()[-1]) for b in buttons(app)]
    assert shown == [hit.rank for hit in app.answer.hits]


def test_wandering_far_keeps_no_closed_widget_alive(app):
    """Each tile also has layouts and styles, which are widgets of their own."""
    app.ask_id(0)
    app.ask_id(1)
    before = len(_instances)
    for id in range(2, 12):
        app.ask_id(id)
    assert len(_instances) == before


def test_a_notebook_stores_one_line_for_the_app(app):
    assert repr(app) == "QueryApp over ImageSearch: 48 pictures, 3 labels, pixels-8px"


# --------------------------------------------------------------------------- words


@pytest.fixture
def talking(search):
    search.use(TalkingEmbedder())
    return QueryApp(QueryHandler(search), samples=search.paths[:2])


def test_words_are_offered_only_where_the_network_takes_them(app):
    assert app.controls.words not in app.controls.children
    assert app.controls.weight not in app.controls.children


def test_words_alone_show_what_they_find(talking):
    assert talking.controls.words in talking.controls.children
    talking.controls.words.value = " green "
    assert {hit.label for hit in talking.answer.hits} == {"green"}
    assert len(talking.results.children) == 5
    assert talking.message.startswith("5 pictures for “green”: ")
    talking.controls.k.value = 3
    assert len(talking.results.children) == 3


def test_the_slider_moves_from_the_picture_to_the_words(talking, search):
    red = next(path for path in search.paths if path.parent.name == "red")
    talking.ask(red.read_bytes())
    talking.controls.weight.value = 0.2
    talking.controls.words.value = "blue"
    assert {hit.label for hit in talking.answer.hits} == {"red"}
    assert talking.message.endswith("Mixed with “blue”, weight 0.20.")
    talking.controls.weight.value = 0.9
    assert {hit.label for hit in talking.answer.hits} == {"blue"}
    talking.controls.words.value = ""
    assert {hit.label for hit in talking.answer.hits} == {"red"}
    assert "Mixed" not in talking.message


def test_words_that_are_no_markup_and_mean_nothing_get_a_sentence(talking):
    talking.controls.words.value = "<b>beige"
    assert talking.message.startswith("Not done: expected one of")
    assert "&lt;b&gt;beige" in talking.status.value
    assert talking.answer is None
