"""The handler behind every door: bytes in, hits out."""

import io
import threading

import numpy as np
import pytest
from PIL import Image

from tests.pictures_for_queries import COLOURS, TalkingEmbedder, make_collection
from utils.app import query
from utils.app.query import QueryHandler, Question
from utils.collection.cache import VectorCache
from utils.collection.hits import Hit
from utils.collection.search import mix
from utils.errors import LookalikeError, PictureError, TextError
from utils.images import sha256_of


@pytest.fixture
def search(tmp_path):
    return make_collection(tmp_path / "pictures")


@pytest.fixture
def handler(search, tmp_path):
    return QueryHandler(search, keep_in=tmp_path / "kept")


@pytest.fixture
def red():
    """A plain red that is no picture of the collection."""
    return plain((220, 20, 20), "JPEG")


def ids(hits):
    return [hit.id for hit in hits]


def plain(colour, format="PNG", size=(30, 20)):
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, format)
    return file.getvalue()


def test_a_red_picture_finds_red_ones_as_the_search_itself_does(handler, search, red):
    answer = handler.answer(red)
    assert {hit.label for hit in answer.hits} == {"red"}
    assert ids(answer.hits) == ids(search.search(red, k=5))
    assert [hit.rank for hit in answer.hits] == [1, 2, 3, 4, 5]
    assert answer.missed == []
    assert answer.itself is None
    assert answer.embedding_seconds > 0
    assert answer.search_seconds > 0
    assert answer.note == ""


def test_a_question_asks_for_five_exact_neighbours_unless_it_says_otherwise():
    assert Question() == Question(5, "Flat", 4, "cosine", ()) == query.DEFAULT
    assert not Question().fold and Question().box is None


def test_a_large_photo_is_seen_as_the_search_itself_sees_it(handler, search, tmp_path):
    """Also where a JPEG is decoded at a smaller scale."""
    stripes = np.zeros((900, 1200, 3), np.uint8)
    stripes[:, ::7], stripes[::5, :, 1] = 255, 90
    Image.fromarray(stripes).save(tmp_path / "large.jpg")
    hits = handler.answer((tmp_path / "large.jpg").read_bytes()).hits
    assert hits == search.search(tmp_path / "large.jpg", k=5)


@pytest.mark.parametrize("index", ["Flat", "HNSW"])
def test_both_metrics_name_the_same_neighbours(handler, red, index):
    cosine = handler.answer(red, Question(index=index))
    euclidean = handler.answer(red, Question(index=index, metric="Euclidean"))
    assert ids(cosine.hits) == ids(euclidean.hits)
    for near, far in zip(cosine.hits, euclidean.hits, strict=True):
        expected = np.sqrt(2 - 2 * near.score)  # on unit vectors
        assert far.score == pytest.approx(expected, abs=1e-3)


def test_the_true_neighbours_that_an_index_misses_are_named(tmp_path, red):
    search = make_collection(tmp_path / "more", each=130, noise=200)
    handler = QueryHandler(search)
    assert handler.cells == 10
    exact = ids(handler.answer(red, Question(k=80)).hits)
    few = handler.answer(red, Question(k=20, index="IVF", nprobe=1))
    all_cells = handler.answer(red, Question(k=20, index="IVF", nprobe=10))
    assert all_cells.missed == []
    assert ids(all_cells.hits) == exact[:20]
    assert few.missed
    assert set(ids(few.missed)) == set(exact[:20]) - set(ids(few.hits))
    assert all(exact[hit.rank - 1] == hit.id for hit in few.missed)


def hit(id, score, rank=1):
    return Hit(rank, id, None, "", score)


@pytest.mark.parametrize("sign", [1, -1])
def test_only_what_is_clearly_nearer_than_the_worst_hit_was_missed(sign):
    """With the larger score nearer, and with the smaller one."""
    truth = [hit(i, sign * score) for i, score in enumerate([0.9, 0.8, 0.7, 0.6])]
    found = [truth[0], hit(9, sign * 0.65)]
    missed = query._missed(truth, found, larger=sign > 0)
    assert missed == [truth[1], truth[2]]
    assert query._missed(truth, truth, larger=sign > 0) == []
    assert query._missed(truth, [], larger=sign > 0) == truth
    tied = [hit(9, sign * (0.7 + 0.5e-5)), hit(8, sign * (0.7 - 0.5e-5))]
    assert query._missed(truth, tied, larger=sign > 0) == truth[:2]


def test_39_pictures_are_enough_for_an_ivf_and_fewer_get_an_exact_index(tmp_path, red):
    few = QueryHandler(make_collection(tmp_path / "few", each=12))
    answer = few.answer(red, Question(index="IVF"))
    assert "36 pictures are too few" in answer.note
    assert answer.hits == few.answer(red).hits
    enough = QueryHandler(make_collection(tmp_path / "enough", each=13))
    assert enough.answer(red, Question(index="IVF")).note == ""
    assert enough._index("IVF", "cosine")[0].factory == "IVF1,Flat"


@pytest.mark.parametrize(
    ("n", "cells"), [(0, 1), (77, 1), (78, 2), (16 * 39, 16), (10**6, 16)]
)
def test_a_cell_holds_39_pictures_and_there_are_16_at_most(n, cells):
    assert query._cells(n) == cells


def test_more_cells_than_there_are_can_be_asked_for(handler, red):
    exact = ids(handler.answer(red).hits)
    assert ids(handler.answer(red, Question(index="IVF", nprobe=99)).hits) == exact


def test_an_index_is_made_once_and_again_after_a_change(handler, red):
    kinds = {"Flat": "Flat", "IVF": "IVF1,Flat", "HNSW": "HNSW32"}
    metrics = {"cosine": "inner_product", "Euclidean": "l2"}
    made = {
        (kind, metric): handler._index(kind, metric)[0]
        for kind in kinds
        for metric in metrics
    }
    for (kind, metric), index in made.items():
        assert (index.factory, index.metric) == (kinds[kind], metrics[metric])
        assert index.ids.tolist() == list(range(48))
        assert handler._index(kind, metric)[0] is index
    handler.search.remove([3])
    for kind, metric in made:
        assert 3 not in handler._index(kind, metric)[0].ids


def test_a_picture_that_went_a_moment_ago_is_not_among_the_hits(handler, search, red):
    """The index was fetched before the change, the items after it."""
    index, _ = handler._index("Flat", "cosine")
    vector = search.index.reconstruct([0])[0]
    before = handler._hits(index, vector, Question(), [])
    search.remove([before[1].id])
    after = handler._hits(index, vector, Question(), [])
    assert ids(after) == [before[0].id, *ids(before[2:])]
    assert [found.rank for found in after] == [1, 2, 3, 4]


def test_the_labels_are_sorted_and_the_empty_one_is_none(handler, red):
    handler.remember(red)
    assert handler.labels == ["blue", "green", "red"]
    assert handler.network == "a fake with pixels weights"


def test_some_labels_can_be_asked_for(handler, red):
    for index in ("Flat", "IVF", "HNSW"):
        hits = handler.answer(red, Question(k=3, index=index, labels=("blue",))).hits
        assert [hit.label for hit in hits] == ["blue"] * 3
    assert handler.answer(red, Question(labels=("violet",))).hits == []
    two = handler.answer(red, Question(k=99, labels=("blue", "green", "violet"))).hits
    assert {hit.label for hit in two} == {"blue", "green"} and len(two) == 32
    blue = handler.search.labels.index("blue")
    others = handler.answer_id(blue, Question(k=20, labels=("blue",))).hits
    assert sorted([blue, *ids(others)]) == [
        i for i, label in enumerate(handler.search.labels) if label == "blue"
    ]


def test_asking_for_more_than_there_is_gives_all(handler, red):
    assert len(handler.answer(red, Question(k=1000)).hits) == 48


def test_a_picture_of_the_collection_leaves_itself_out(handler, search):
    answer = handler.answer_id(7)
    assert 7 not in ids(answer.hits)
    assert len(answer.hits) == 5
    assert answer.itself == 7
    by_content = handler.answer(search.path_of(7).read_bytes())
    assert by_content.itself == 7
    assert ids(by_content.hits) == [7, *ids(answer.hits)][:5]


def test_an_id_that_is_gone_is_refused(handler, search):
    search.remove([7])
    with pytest.raises(KeyError, match="has the id 7"):
        handler.answer_id(7)
    assert 7 not in ids(handler.answer_id(8, Question(k=100)).hits)


def test_another_question_about_a_picture_needs_no_second_extraction(handler, red):
    handler.answer(red)
    calls = handler.search.embedder.calls
    again = handler.answer(red, Question(k=2, index="HNSW"))
    assert handler.search.embedder.calls == calls
    assert again.embedding_seconds == 0


def test_the_vectors_of_the_last_pictures_are_remembered(handler, monkeypatch):
    monkeypatch.setattr(query, "REMEMBERED_VECTORS", 2)
    pictures = [plain((200, 10, shade)) for shade in (0, 100, 200)]
    for data in pictures:
        handler.answer(data)
    assert [handler.answer(data).embedding_seconds > 0 for data in pictures[:0:-1]] == [
        False,
        False,
    ]
    assert handler.answer(pictures[0]).embedding_seconds > 0


def test_a_query_leaves_nothing_in_the_vector_cache(handler, search, red):
    """Strangers may ask; what they ask with is theirs."""
    handler.answer(red)
    with VectorCache() as cache:
        assert cache.get(search.pipeline, [sha256_of(red)]) == {}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"no picture at all", "not a JPEG"),
        (b"\xff\xd8\xff\xe0 cut short", "cut short"),
    ],
)
def test_what_is_no_picture_is_refused_by_its_name(handler, data, reason):
    with pytest.raises(PictureError, match=f"mine.jpg: .*{reason}"):
        handler.answer(data, name="mine.jpg")


def test_a_picture_without_a_direction_is_refused_by_its_name(handler):
    """All black: the stub's vector is zero."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG")
    handler.search.embedder.embed = lambda pixels: np.zeros((1, 192), np.float32)
    with pytest.raises(PictureError, match="night.png: "):
        handler.answer(file.getvalue(), name="night.png")


def test_large_pictures_are_refused_before_they_are_decoded(search, red):
    with pytest.raises(PictureError, match="larger than"):
        QueryHandler(search, max_bytes=100).answer(red)
    with pytest.raises(PictureError, match="too many pixels: 30×20"):
        QueryHandler(search, max_pixels=100).answer(red)
    for limits in ({"max_bytes": len(red) - 1}, {"max_pixels": 599}):
        with pytest.raises(PictureError):
            QueryHandler(search, keep_in=search.root, **limits).remember(red)
    exact = QueryHandler(search, max_bytes=len(red), max_pixels=600)
    assert len(exact.answer(red).hits) == 5


def test_a_name_is_never_a_path(handler, red, tmp_path):
    handler.answer(red, name="../../../etc/passwd")
    handler.answer(red, name="<img onerror=alert(1)>")
    handler.remember(red, "../../up")
    (kept,) = handler.keep_in.iterdir()
    assert kept.name == sha256_of(red)[:16] + ".jpg"
    assert kept.read_bytes() == red


@pytest.mark.parametrize(
    ("format", "suffix"),
    [
        ("JPEG", ".jpg"),
        ("PNG", ".png"),
        ("WEBP", ".webp"),
        ("GIF", ".gif"),
        ("BMP", ".bmp"),
        ("TIFF", ".tif"),
    ],
)
def test_a_kept_picture_has_the_suffix_of_its_content(handler, format, suffix):
    hit = handler.remember(plain((9, 9, 90), format))
    assert hit.path.parent == handler.keep_in
    assert hit.path.suffix == suffix
    assert (hit.rank, hit.label, hit.score) == (1, "", 1.0)
    assert handler.search.path_of(hit.id) == hit.path


def test_a_tiff_of_motorola_is_kept_as_one_too(handler):
    big = Image.new("I;16B", (4, 4), 9000)
    file = io.BytesIO()
    big.save(file, "TIFF")
    assert file.getvalue()[:2] == b"MM"
    assert handler.remember(file.getvalue()).path.suffix == ".tif"


def test_a_label_is_one_line_of_40_characters_at_most(handler):
    hit = handler.remember(plain((9, 9, 90)), " a \t b\x07 " + "x" * 50)
    assert hit.label == ("a b\\x07 " + "x" * 50)[:40]


def test_a_path_is_not_taken_for_the_bytes_of_a_picture(handler, search):
    for path in (search.paths[0], str(search.paths[0])):
        for ask in (handler.answer, handler.remember):
            with pytest.raises((TypeError, PictureError)):
                ask(path)
    data = search.paths[0].read_bytes()
    assert handler.answer(memoryview(data)).itself == 0


def test_a_typed_path_is_read_within_the_limit(handler, search, tmp_path):
    path = search.paths[0]
    assert handler.read(f'  "{path}" ') == path.read_bytes()
    with pytest.raises(PictureError, match="no such file"):
        handler.read(tmp_path / "nowhere.jpg")
    with pytest.raises(PictureError, match="a folder"):
        handler.read(tmp_path)
    with pytest.raises(PictureError, match="larger than"):
        QueryHandler(search, max_bytes=10).read(path)
    assert handler.read(f"'{path}'\n") == path.read_bytes()
    assert handler.read(path.as_uri()) == path.read_bytes()


def test_a_typed_path_may_begin_at_home(handler, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "a.txt").write_bytes(b"abc")
    assert handler.read(" ~/a.txt") == b"abc"
    at_home = QueryHandler(handler.search, keep_in="~/kept")
    assert at_home.remember(plain((9, 9, 90))).path.parent == tmp_path / "kept"


def test_a_remembered_picture_is_found_by_every_index(handler, red):
    handler.answer(red, Question(index="HNSW"))  # made before the change
    hit = handler.remember(red, "  fire \n engine ")
    assert (hit.label, hit.id) == ("fire engine", 48)
    assert "fire engine" in handler.labels
    for index in ("Flat", "IVF", "HNSW"):
        first = handler.answer(red, Question(index=index)).hits[0]
        assert (first.id, first.label) == (48, "fire engine")


def test_the_same_picture_is_remembered_once(handler, red):
    handler.remember(red)
    with pytest.raises(LookalikeError, match="in the collection already"):
        handler.remember(red, "again")
    assert len(handler.search) == 49


def test_what_cannot_be_remembered_leaves_nothing_behind(handler, search, red):
    with pytest.raises(PictureError):
        handler.remember(b"no picture")
    with pytest.raises(LookalikeError, match="keep_in"):
        QueryHandler(search).remember(red)
    assert not handler.keep_in.exists()
    assert len(search) == 48


def test_a_picture_in_which_the_network_sees_nothing_is_not_kept(handler, search):
    with pytest.raises(PictureError, match="the picture: the network sees nothing"):
        handler.remember(plain((0, 0, 0)))
    assert list(handler.keep_in.iterdir()) == []
    assert len(search) == 48


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"k": 0}, "k must be a whole number of at least 1"),
        ({"index": "LSH"}, "index must be one of"),
        ({"metric": "angle"}, "metric must be one of"),
        ({"nprobe": 0}, "nprobe must be a whole number of at least 1"),
        ({"box": (0.5, 0, 0.5, 1)}, "box must be left < right"),
        ({"box": (0, 0.6, 1, 0.5)}, "box must be left < right"),
        ({"box": (-0.1, 0, 1, 1)}, "each from 0 to 1"),
        ({"box": (0, 0, 1, 1.1)}, "each from 0 to 1"),
        ({"box": (0, 0, float("nan"), 1)}, "each from 0 to 1"),
        ({"liked": (1, 2), "disliked": (2,)}, "must differ. Both have: .2"),
    ],
)
def test_a_wrong_question_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Question(**wrong)


def test_an_index_of_codes_cannot_serve(search):
    search.retrain(factory="PCA8,Flat")
    with pytest.raises(ValueError, match="must keep its vectors"):
        QueryHandler(search)


def test_questions_from_many_threads_have_their_own_nprobe(handler, red):
    """Each gets the answer that it would have got alone."""
    questions = [Question(k=9, index="IVF", nprobe=n) for n in (1, 2)] * 8
    alone = [ids(handler.answer(red, question).hits) for question in questions]
    together = [None] * len(questions)

    def ask(i):
        together[i] = ids(handler.answer(red, questions[i]).hits)

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(len(questions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


@pytest.mark.parametrize("data", ["a.jpg", None, 5, [1, 2]])
def test_what_is_not_the_bytes_of_a_file_is_refused_by_its_type(tmp_path, data):
    handler = QueryHandler(make_collection(tmp_path / "p", each=2), keep_in=tmp_path)
    message = f"expected the bytes.*Received: {type(data).__name__}.*handler.read"
    for door in (handler.answer, handler.remember):
        with pytest.raises(PictureError, match=message):
            door(data)


# -------------------------------------------------------------- a part of a picture

LEFT, RIGHT = (0, 0, 0.5, 1), (0.5, 0, 1, 1)


def two_halves(format="PNG", size=(80, 60), turn=None):
    """Red on the left, blue on the right, once it is upright."""
    image = Image.new("RGB", size, COLOURS["blue"])
    image.paste(COLOURS["red"], (0, 0, size[0] // 2, size[1]))
    file, tags = io.BytesIO(), Image.Exif()
    if turn == 6:  # stored a quarter turned to the left
        image, tags[0x0112] = image.rotate(90, expand=True), 6
    image.save(file, format, exif=tags)
    return file.getvalue()


@pytest.mark.parametrize(
    "picture",
    [{}, {"format": "JPEG"}, {"format": "JPEG", "turn": 6}, {"size": (4000, 300)}],
    ids=str,
)
def test_a_part_of_a_picture_is_searched_for_as_it_is_seen(handler, picture):
    data = two_halves(**picture)
    for box, label in ((LEFT, "red"), (RIGHT, "blue")):
        hits = handler.answer(data, Question(k=16, box=box)).hits
        assert {hit.label for hit in hits} == {label}


def test_a_part_is_seen_as_if_it_had_been_saved_by_itself(handler, search, tmp_path):
    rng = np.random.default_rng(seed=0)
    pixels = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "whole.png")
    Image.fromarray(pixels[15:45, 20:60]).save(tmp_path / "part.png")
    data = (tmp_path / "whole.png").read_bytes()
    hits = handler.answer(data, Question(box=(0.25, 0.25, 0.75, 0.75))).hits
    assert hits == search.search(tmp_path / "part.png", k=5)


def test_a_part_of_a_large_jpeg_keeps_pixels_enough():
    """The decoder may shrink it, but not below three times what the network takes."""
    data = two_halves("JPEG", (4000, 3000))
    part = query._cut(data, (0.4, 0.4, 0.5, 0.5), 8, name="large.jpg")
    assert 3 * 8 <= min(part.size) < 300


def test_each_part_of_a_picture_is_embedded_once(handler):
    data = two_halves()
    calls = handler.search.embedder.calls
    first = [handler.answer(data, Question(box=box)) for box in (None, LEFT, RIGHT)]
    again = [handler.answer(data, Question(k=3, box=box)) for box in (None, LEFT)]
    assert handler.search.embedder.calls == calls + 3
    assert all(answer.embedding_seconds > 0 for answer in first)
    assert not any(answer.embedding_seconds for answer in again)
    assert first[1].itself is None


def test_a_part_of_a_picture_of_the_collection_is_cut_from_its_file(handler):
    kept = handler.remember(two_halves(), "both")
    for box, label in ((LEFT, "red"), (RIGHT, "blue")):
        answer = handler.answer_id(kept.id, Question(k=16, box=box))
        assert {hit.label for hit in answer.hits} == {label}
        assert answer.itself == kept.id
    kept.path.unlink()
    with pytest.raises(PictureError, match="no such file"):
        handler.answer_id(kept.id, Question(box=LEFT))


def test_a_part_too_small_to_show_anything_is_refused(handler):
    with pytest.raises(PictureError, match="two.png: .*has 15×60 pixels.*at least 16"):
        handler.answer(two_halves(), Question(box=(0, 0, 0.19, 1)), name="two.png")
    assert handler.answer(two_halves(), Question(box=(0, 0, 0.2, 1))).hits


# ------------------------------------------------------------- likes and dislikes


def test_a_query_moves_as_rocchio_says():
    """One weight of the query, three quarters of the likes, a quarter of the others."""
    query_vector = np.array([1, 0, 0, 0], np.float32)
    liked = np.array([[0, 1, 0, 0], [0, 0, 1, 0]], np.float32)
    disliked = np.array([[0, 0, 0, 1]], np.float32)
    moved = query.refine(query_vector, liked, disliked)
    expected = np.array([1, 0.375, 0.375, -0.25])
    assert moved == pytest.approx(expected / np.linalg.norm(expected))
    assert query.refine(query_vector, liked[:0], disliked[:0]) == pytest.approx(
        query_vector
    )


@pytest.mark.parametrize("index", ["Flat", "IVF", "HNSW"])
def test_likes_draw_the_hits_near_and_dislikes_push_them_away(handler, search, index):
    grey = plain((120, 110, 110))
    of = {label: search.labels.index(label) for label in COLOURS}
    liked = handler.answer(grey, Question(k=16, index=index, liked=(of["blue"],)))
    assert {hit.label for hit in liked.hits} == {"blue"}
    others = Question(k=32, index=index, disliked=(of["red"],))
    assert "red" not in {hit.label for hit in handler.answer(grey, others).hits}


def test_a_like_counts_with_every_way_to_ask(talking, red):
    blue = talking.search.labels.index("blue")
    question = Question(k=9, liked=(blue,), words="green", weight=0.4)
    green = TalkingEmbedder().embed_text(["green"])[0]
    like = talking.search.index.reconstruct([blue])
    of_red = talking.search.embed(red)
    mixed = query.refine(mix(of_red, green, 0.4), like, like[:0])
    assert ids(talking.answer(red, question).hits) == nearest(talking, mixed, 9)
    alone = query.refine(green, like, like[:0])
    assert ids(talking.answer_words(question).hits) == nearest(talking, alone, 9)


def nearest(handler, vector, k):
    return handler.search.index.search(vector[None], k)[1][0].tolist()


def test_a_like_that_has_gone_counts_no_more(handler, search, red):
    search.remove([3])
    gone = Question(liked=(3, 4), disliked=(3_000,))
    assert (
        handler.answer(red, gone).hits == handler.answer(red, Question(liked=(4,))).hits
    )
    only_gone = handler.answer(red, Question(liked=(3,)))
    assert ids(only_gone.hits) == ids(handler.answer(red).hits)


def test_likes_and_dislikes_that_cancel_out_are_refused():
    one = np.array([1, 0], np.float32)
    with pytest.raises(LookalikeError, match="Nothing is left to search for"):
        query.refine(one, one[:0], 4 * one[None])


# ------------------------------------------------------------- nearly the same ones


def test_what_is_nearly_the_same_is_folded_behind_the_best_of_it(tmp_path, red):
    """Of one colour and little noise: three pictures that differ, whatever k is."""
    handler = QueryHandler(make_collection(tmp_path / "p", noise=9))
    plainly = handler.answer(red, Question(k=48)).hits
    answer = handler.answer(red, Question(k=3, fold=True))
    assert len({hit.label for hit in answer.hits}) == 3
    assert handler.answer(red).folded == {}
    together = [*answer.hits, *(hit for few in answer.folded.values() for hit in few)]
    # Each has its rank and is there once, as far as three that differ are.
    assert sorted(together) == plainly[: len(together)]
    assert len(answer.folded[answer.hits[0].id]) == 15
    for first in answer.hits:
        behind = answer.folded.get(first.id, [])
        assert all(hit.label == first.label for hit in behind)
        assert all(hit.rank > first.rank for hit in behind)


def test_the_collection_may_have_fewer_that_differ(tmp_path, red):
    handler = QueryHandler(make_collection(tmp_path / "p", noise=9))
    for index in ("Flat", "IVF", "HNSW"):
        answer = handler.answer(red, Question(k=9, index=index, fold=True))
        assert len(answer.hits) == 3 and answer.missed == []
    only = Question(k=9, labels=("green",), fold=True)
    assert len(handler.answer(red, only).hits) == 1
    far = handler.answer(red, Question(k=2, metric="Euclidean", fold=True))
    assert [hit.rank for hit in far.hits] == [1, 17]


def test_what_is_folded_was_not_missed():
    """Only the vectors decide, and a hit is compared with those shown before it."""
    found = [hit(i, 1 - i / 10, rank=i + 1) for i in range(5)]
    vectors = np.eye(5, dtype=np.float32)
    vectors[3] = vectors[1]
    hits, folded = query._fold(found, vectors, 4)
    assert ids(hits) == [0, 1, 2, 4]
    assert folded == {1: [found[3]]}
    assert ids(query._fold(found, vectors, 2)[0]) == [0, 1]


# --------------------------------------------------------------------------- words


@pytest.fixture
def talking(search):
    search.use(TalkingEmbedder())
    return QueryHandler(search)


@pytest.mark.parametrize("index", ["Flat", "IVF", "HNSW"])
def test_words_alone_find_what_they_name(talking, index):
    answer = talking.answer_words(Question(k=16, index=index, words="green"))
    assert [hit.label for hit in answer.hits] == ["green"] * 16
    assert answer.embedding_seconds > 0 and answer.itself is None


@pytest.mark.parametrize(
    ("weight", "label"), [(0, "red"), (0.2, "red"), (0.8, "blue"), (1, "blue")]
)
def test_words_weigh_as_much_as_is_asked(talking, red, weight, label):
    question = Question(k=10, words="blue", weight=weight)
    hits = talking.answer(red, question).hits
    assert {hit.label for hit in hits} == {label}
    like = talking.search.search_text("blue", 10, like=red, weight=weight)
    assert ids(like) == ids(hits)
    of_red = next(i for i, text in enumerate(talking.search.labels) if text == "red")
    from_id = talking.answer_id(of_red, question)
    assert {hit.label for hit in from_id.hits} == {label}
    assert of_red not in ids(from_id.hits)


def test_words_that_cannot_be_asked_with_are_refused(talking, red):
    with pytest.raises(TextError, match="expected one of"):
        talking.answer(red, Question(words="beige"))
    for weight in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="weight must be 0 to 1"):
            Question(words="red", weight=weight)
        with pytest.raises(ValueError, match="weight must be from 0 to 1"):
            talking.search.search_text("red", like=red, weight=weight)


def test_a_network_without_words_is_known_beforehand(handler):
    assert not handler.takes_words
    with pytest.raises(LookalikeError, match="expected an embedder that takes words"):
        handler.answer_words(Question(words="red"))
