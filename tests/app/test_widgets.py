"""The app without a browser: what its page would send is sent from here."""

import json
import threading
import time
from pathlib import Path

import pytest
from ipywidgets.widgets.widget import _instances

from tests.pictures_for_queries import TalkingEmbedder, make_collection
from utils.app.query import INDEXES, SCORES, QueryHandler
from utils.app.widgets import MAX_TRAIL, QueryApp

ROOT = Path(__file__).parents[2]


@pytest.fixture
def search(tmp_path):
    return make_collection(tmp_path / "pictures")


@pytest.fixture
def app(search, tmp_path):
    handler = QueryHandler(search, keep_in=tmp_path / "kept")
    app = QueryApp(handler, samples=search.paths[:2])
    app.choose(fold=False)  # to this embedder all of a colour are nearly the same
    return app


def act(app, act, /, buffers=(), **values):
    """What the page sends when somebody clicks."""
    app._on_message(app, {"act": act, "values": values, "call": "1"}, list(buffers))


def upload(app, data, name="mine.png", *, piece=500, files=1):
    for start in range(0, max(1, len(data)), piece):
        values = {"name": name, "size": len(data), "start": start, "files": files}
        part = memoryview(data[start : start + piece])
        act(app, "upload", [part], **values)


def labels(app):
    return {hit.label for hit in app.answer.hits}


def test_an_upload_comes_in_pieces_shows_k_cards_and_says_what_it_took(app, search):
    data = search.paths[0].read_bytes()
    upload(app, data, piece=len(data) // 3)
    assert app.error is None
    assert len(app.cards) == 5
    assert app.answer.hits[0].id == 0
    assert app.message.startswith("5 pictures like mine.png. ")
    assert "ms to describe" in app.message and "ms to search" in app.message
    assert "This very file is in the collection" in app.message


def test_the_page_is_told_when_each_thing_is_done(app, monkeypatch):
    sent = []
    monkeypatch.setattr(app, "send", sent.append)
    act(app, "ask_id", id=3)
    act(app, "ask_id", id=999)
    act(app, "ask_id", wrong=3)
    assert sent == [{"done": "1"}] * 3
    assert isinstance(app.error, TypeError)


def test_an_upload_that_broke_off_is_dropped_and_one_with_a_gap_refused(app, search):
    data = search.paths[0].read_bytes()
    begun = {"name": "a.png", "size": len(data)}
    act(app, "upload", [data[:10]], start=0, **begun)
    upload(app, data, "b.png")
    assert app.error is None
    assert app.query["name"] == "b.png"
    act(app, "upload", [data[:10]], start=0, **begun)
    act(app, "upload", [data[20:]], start=20, **begun)
    assert "a.png did not arrive whole; try again" in app.message


def test_a_file_that_is_too_large_is_refused_at_its_first_piece(search):
    app = QueryApp(QueryHandler(search, max_bytes=3_000_000))
    act(app, "upload", [b"x"], name="a.jpg", size=3_000_001, start=0)
    assert app.message.startswith("Not done: a.jpg is too large: choose JPEG")
    assert app.message.endswith("up to 3 MB.")
    assert app._arriving == {}
    assert app.offers["max_bytes"] == 3_000_000


def test_the_same_picture_can_be_uploaded_twice(app, search):
    for _ in range(2):
        app.answer = None
        upload(app, search.paths[0].read_bytes())
        assert app.answer is not None


def test_several_files_count_as_the_first(app, search):
    upload(app, search.paths[0].read_bytes(), files=3)
    assert "The first of 3 files" in app.message


@pytest.mark.parametrize("data", [b"", b"not a picture", b"\xff\xd8\xff\xe0 half"])
def test_a_broken_file_gives_a_sentence_and_keeps_the_results(app, search, data):
    upload(app, search.paths[0].read_bytes())
    cards, trail = app.cards, app.trail
    upload(app, data, name="broken.jpg")
    assert app.message.startswith("Not done: broken.jpg: ")
    assert app.status == {"text": app.message, "failed": True}
    assert app.cards == cards and app.trail == trail
    upload(app, search.paths[0].read_bytes())
    assert app.error is None
    assert not app.status["failed"]


@pytest.mark.parametrize("name", ["../../x.jpg", "a\nb", "\udc80", "x" * 999])
def test_a_name_is_no_path_and_can_be_shown(app, search, name):
    for data in (search.paths[0].read_bytes(), b"broken"):
        upload(app, data, name=name)
        said = app.query["said"] + app.message
        assert "x" * 100 not in said
        assert "\n" not in said
        said.encode()
    assert app.answer.hits[0].id == 0


def test_a_label_is_passed_on_as_it_is_and_filters_by_the_name_that_is_shown(app):
    label = "<b onclick=alert(1)>" + "x" * 60
    app.handler.search.add([app.handler.search.paths[0]], label)
    app._offer()
    shown = next(one["name"] for one in app.offers["labels"] if "<b" in one["name"])
    assert len(shown) == 60
    app.ask_id(1)
    act(app, "choose", labels=[shown])
    assert labels(app) == {label}
    assert app.how["labels"] == [shown]
    act(app, "choose", labels=[])
    assert len(app.cards) == 5


def test_a_click_on_a_result_goes_on_from_there_and_back_returns(app, search):
    upload(app, search.paths[0].read_bytes())
    shown = []
    for position in (2, 1, 1):
        shown.append(app.cards[position]["id"])
        act(app, "ask_id", id=shown[-1])
        assert app.answer.itself == shown[-1]
    for id in reversed(shown[:2]):
        act(app, "go_back")
        assert app.answer.itself == id
    app.go_back()
    app.go_back()
    assert "like mine.png" in app.message
    assert app.trail["at"] == 0
    assert len(app.trail["items"]) == 4
    app.return_to(3)
    assert app.answer.itself == shown[2]


def test_back_to_a_picture_that_is_gone_says_so_and_stays(app, search):
    app.ask_id(3)
    app.ask_id(5)
    search.remove([3])
    app.go_back()
    assert "has the id 3" in app.message
    assert app.answer.itself == 5
    app.choose(k=7)
    assert len(app.answer.hits) == 7


def test_a_new_search_stands_after_the_one_it_came_from(app):
    for id in (1, 2, 3):
        app.ask_id(id)
    app.return_to(0)
    app.ask_id(4)
    assert [query.picture for query in app._trail] == [1, 4, 2, 3]
    app.go_back()
    assert app.answer.itself == 1


def test_the_trail_forgets_the_oldest(app):
    for id in range(MAX_TRAIL + 3):
        app.ask_id(id)
    assert [query.picture for query in app._trail] == list(range(3, MAX_TRAIL + 3))
    assert app.trail["at"] == MAX_TRAIL - 1


def test_each_choice_asks_again(app, search):
    upload(app, search.paths[0].read_bytes())
    app.choose(k=8)
    assert len(app.cards) == 8
    app.choose(metric="Euclidean")
    assert app.answer.hits[0].score == pytest.approx(0, abs=1e-3)
    app.choose(index="IVF", nprobe=1)
    assert app.how["index"] == "IVF"
    app.choose(labels=["blue", "green"])
    assert labels(app) <= {"blue", "green"}
    assert app.error is None
    assert len(app.trail["items"]) == 1


def test_a_choice_that_cannot_be_changes_nothing(app):
    app.ask_id(0)
    before = app.how
    app.choose(metric="Manhattan")
    assert "metric must be one of" in app.message
    assert app.how == before


def test_the_page_offers_all_that_can_be_asked(app):
    assert list(app.offers["indexes"]) == list(INDEXES)
    assert app.offers["metrics"] == list(app.offers["scales"]) == list(SCORES)
    assert app.offers["cells"] == app.handler.cells
    assert [one["count"] for one in app.offers["labels"]] == [16] * 3


def test_a_count_out_of_range_becomes_the_nearest_that_is_not(app):
    app.ask_id(0)
    app.choose(k=999)
    assert len(app.cards) == app.how["k"] == 20
    app.choose(k=-3, nprobe=99, weight=7)
    assert len(app.cards) == app.how["k"] == 1
    assert (app.how["nprobe"], app.how["weight"]) == (app.handler.cells, 1)
    assert app.error is None


def test_missed_neighbours_are_shown_by_themselves(tmp_path):
    search = make_collection(tmp_path / "more", each=130, noise=200)
    app = QueryApp(QueryHandler(search))
    app.choose(k=20, index="IVF", nprobe=1, fold=False)
    app.ask_id(0)
    assert app.answer.missed
    assert len(app.cards) == 20
    ranks = [hit.rank for hit in app.answer.missed]
    assert [card["rank"] for card in app.missed] == ranks
    assert "missed by this index" in app.message


def test_near_duplicates_are_folded_behind_their_card(app):
    app.ask_id(0)
    assert all(card["folded"] == [] for card in app.cards)
    app.choose(fold=True)
    (behind,) = [card["folded"] for card in app.cards if card["label"] == "red"]
    assert {card["label"] for card in behind} == {"red"}
    assert "folded behind their near-duplicates" in app.message


def test_a_part_is_searched_for_and_taken_back(app, search):
    upload(app, search.paths[0].read_bytes())
    whole = app.answer
    act(app, "crop", box=[0, 0, 0.5, 0.5])
    assert "smaller" in app.message or "pixels" in app.message
    assert app.answer is whole, "8 pixels are too few to be cut"


def test_likes_and_dislikes_refine_and_can_be_undone(app):
    app.ask_id(0)
    plain = [card["id"] for card in app.cards]
    blue = app.handler.search.labels.index("blue")
    act(app, "like", id=blue)
    act(app, "dislike", id=plain[0])
    assert app.query["said"].endswith("refined by 1 like and 1 unlike")
    assert [one["id"] for one in app.query["liked"]] == [blue]
    assert app.query["disliked"][0]["id"] == plain[0]
    act(app, "like", id=plain[0])
    assert app._now.liked == (blue, plain[0]) and app._now.disliked == ()
    for expected in (((blue,), (plain[0],)), ((blue,), ()), ((), ())):
        act(app, "undo")
        assert (app._now.liked, app._now.disliked) == expected
    assert not app.query["can_undo"]
    assert [card["id"] for card in app.cards] == plain
    app.like(blue)
    app.ask_id(5)
    assert app._now.liked == () and not app.query["can_undo"]
    app.go_back()
    assert app._now.liked == (blue,), "a search comes back with its refinement"
    app.clear()
    assert [card["id"] for card in app.cards] == plain


def test_nothing_is_refined_before_there_is_a_search(app):
    app.like(1)
    assert "choose a picture first" in app.message


def test_a_path_and_a_sample_are_doors_too(app, search):
    act(app, "ask_path", path=str(search.paths[3]))
    assert app.answer.hits[0].id == 3
    app.ask_path("nowhere.jpg")
    assert "no such file" in app.message
    act(app, "ask_sample", position=1)
    assert app.answer.hits[0].id == 1


def test_a_path_is_found_from_the_top_of_the_repository_too(app, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    app.ask_path("images/mug/mug_0_5.jpg")  # the example in the page's box
    assert app.error is None, app.message
    assert app.answer is not None
    app.ask_path("  ")
    assert "type the path of a picture first" in app.message


def test_voila_frees_the_kernel_of_a_page_that_was_closed():
    config = json.loads((ROOT / "voila.json").read_text(encoding="utf-8"))
    manager = config["MappingKernelManager"]
    assert 0 < manager["cull_idle_timeout"] <= 600
    assert not manager["cull_connected"]


def test_without_the_path_box_no_page_can_open_a_path(search):
    app = QueryApp(QueryHandler(search), samples=search.paths[:1], paths=False)
    assert not app.offers["paths"]
    act(app, "ask_path", path=str(search.paths[3]))
    assert app.answer is None
    act(app, "ask_sample", position=0)
    assert app.answer.hits[0].id == 0


@pytest.mark.parametrize("name", ["ask", "close", "_show", "__init__", "nothing", None])
def test_a_page_can_call_no_other_method(app, name):
    act(app, name)
    assert app.error is None
    assert app.comm is not None


def test_a_new_picture_is_remembered_under_its_label(app, tmp_path, search):
    data = search.paths[0].read_bytes() + b"\0"  # the same pixels, other bytes
    upload(app, data)
    assert app.query["can_remember"]
    act(app, "remember_picture", label="fire engine")
    assert app.error is None
    assert "Remembered as number 48, fire engine" in app.message
    assert "fire engine" in [one["name"] for one in app.offers["labels"]]
    assert "49 pictures" in app.offers["about"]
    assert not app.query["can_remember"]
    app.remember_picture()
    assert "in the collection already" in app.message


def test_only_a_picture_that_came_in_can_be_remembered(app, search):
    app.ask_id(0)
    assert not app.query["can_remember"]
    app.remember_picture()
    assert "upload a picture first" in app.message
    other = QueryApp(QueryHandler(search))  # without keep_in
    other.ask(search.paths[0].read_bytes() + b"\0")
    assert not other.query["can_remember"]


def test_a_file_that_is_gone_leaves_a_card_without_a_picture(app, search):
    search.paths[1].unlink()
    app.ask_id(0)
    app.choose(k=20)
    assert app.error is None
    without = [card["id"] for card in app.cards if card["picture"] is None]
    assert without == [1]


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

    def slow(query):
        inside.append(query)
        most.append(len(inside))
        time.sleep(0.02)
        said = show(query)
        inside.remove(query)
        return said

    app._show = slow
    threads = [threading.Thread(target=app.ask_id, args=(i,)) for i in range(1, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 5
    assert app.error is None
    assert [card["rank"] for card in app.cards] == [hit.rank for hit in app.answer.hits]


def test_an_answer_reaches_the_page_in_one_message(app, monkeypatch):
    sent = []
    send = app._send
    monkeypatch.setattr(
        app, "_send", lambda *message, **rest: sent.append(message[0]) or send(*message)
    )
    app.ask_id(0)
    (message,) = sent
    assert {"query", "cards", "trail", "status"} <= set(message["state"])


def test_the_app_is_one_widget_and_wandering_makes_no_more(app):
    app.ask_id(0)
    before = len(_instances)
    for id in range(1, 6):
        app.ask_id(id)
    assert len(_instances) == before


def test_a_notebook_stores_one_line_for_the_app(app):
    assert repr(app) == "QueryApp over ImageSearch: 48 pictures, 3 labels, pixels-8px"
    assert app._repr_mimebundle_()[0]["text/plain"] == repr(app)


# --------------------------------------------------------------------------- words


@pytest.fixture
def talking(search):
    search.use(TalkingEmbedder())
    return QueryApp(QueryHandler(search), samples=search.paths[:2])


def test_words_are_offered_only_where_the_network_takes_them(app, talking):
    assert talking.offers["words"]
    assert talking.message == (
        "Choose a picture to begin, or type what it should show."
    )


def test_words_alone_show_what_they_find(talking):
    talking.choose(words=" green ", fold=False)
    assert labels(talking) == {"green"}
    assert talking.message.startswith("5 pictures for “green”. ")
    talking.choose(k=3)
    assert len(talking.cards) == 3
    talking.choose(words="blue")
    assert [one["name"] for one in talking.trail["items"]] == ["“green”", "“blue”"]
    talking.choose(words="")
    assert talking.cards == [] and talking.query == {} and talking.answer is None


def test_the_slider_moves_from_the_picture_to_the_words(talking, search):
    red = next(path for path in search.paths if path.parent.name == "red")
    talking.choose(weight=0.2, fold=False)
    talking.ask(red.read_bytes())
    talking.choose(words="blue")
    assert labels(talking) == {"red"}
    assert "mixed with “blue” (20 %)" in talking.message
    talking.choose(weight=0.9)
    assert labels(talking) == {"blue"}
    talking.choose(words="")
    assert labels(talking) == {"red"}
    assert "mixed" not in talking.message
    talking.ask_words("green")
    assert labels(talking) == {"green"} and not talking.query["is_picture"]


def test_words_that_mean_nothing_get_a_sentence(talking):
    talking.choose(words="<b>beige")
    assert talking.message.startswith("Not done: expected one of")
    assert talking.status["failed"]
    assert talking.answer is None
