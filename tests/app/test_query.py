"""The handler behind every door: bytes in, hits out."""

import io
import threading

import numpy as np
import pytest
from PIL import Image

from tests.pictures_for_queries import TalkingEmbedder, make_collection
from utils.app import query
from utils.app.query import QueryHandler, Question
from utils.collection.cache import VectorCache
from utils.collection.hits import Hit
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
    assert Question() == Question(5, "Flat", 4, "cosine", None) == query.DEFAULT


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


def test_one_label_can_be_asked_for(handler, red):
    for index in ("Flat", "IVF", "HNSW"):
        hits = handler.answer(red, Question(k=3, index=index, label="blue")).hits
        assert [hit.label for hit in hits] == ["blue"] * 3
    assert handler.answer(red, Question(label="violet")).hits == []
    blue = handler.search.labels.index("blue")
    others = handler.answer_id(blue, Question(k=20, label="blue")).hits
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
