"""The handler behind every door: bytes in, hits out."""

import io
import threading

import numpy as np
import pytest
from PIL import Image

from tests.pictures_for_queries import make_collection
from utils.app.query import QueryHandler, Question
from utils.errors import LookalikeError, PictureError


@pytest.fixture
def search(tmp_path):
    return make_collection(tmp_path / "pictures")


@pytest.fixture
def handler(search, tmp_path):
    return QueryHandler(search, keep_in=tmp_path / "kept")


@pytest.fixture
def red():
    """A plain red that is no picture of the collection."""
    file = io.BytesIO()
    Image.new("RGB", (30, 20), (220, 20, 20)).save(file, "JPEG")
    return file.getvalue()


def ids(hits):
    return [hit.id for hit in hits]


def test_a_red_picture_finds_red_ones_as_the_search_itself_does(handler, search, red):
    answer = handler.answer(red)
    assert {hit.label for hit in answer.hits} == {"red"}
    assert ids(answer.hits) == ids(search.search(red, k=5))
    assert [hit.rank for hit in answer.hits] == [1, 2, 3, 4, 5]
    assert answer.missed == []
    assert answer.itself is None
    assert answer.embedding_seconds > 0


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


def test_an_index_that_cannot_be_trained_says_so(handler, tmp_path, red):
    search = make_collection(tmp_path / "few", each=4)
    answer = QueryHandler(search).answer(red, Question(index="IVF"))
    assert "12 pictures are too few" in answer.note
    assert len(answer.hits) == 5


def test_one_label_can_be_asked_for(handler, red):
    for index in ("Flat", "IVF", "HNSW"):
        hits = handler.answer(red, Question(k=3, index=index, label="blue")).hits
        assert [hit.label for hit in hits] == ["blue"] * 3
    assert handler.answer(red, Question(label="violet")).hits == []


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


def test_a_name_is_never_a_path(handler, red, tmp_path):
    handler.answer(red, name="../../../etc/passwd")
    handler.answer(red, name="<img onerror=alert(1)>")
    handler.remember(red, "../../up")
    (kept,) = handler.keep_in.iterdir()
    assert kept.suffix == ".jpg"
    assert kept.read_bytes() == red


def test_a_typed_path_is_read_within_the_limit(handler, search, tmp_path):
    path = search.paths[0]
    assert handler.read(f'  "{path}" ') == path.read_bytes()
    with pytest.raises(PictureError, match="no such file"):
        handler.read(tmp_path / "nowhere.jpg")
    with pytest.raises(PictureError, match="a folder"):
        handler.read(tmp_path)


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


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"k": 0}, "k must be at least 1"),
        ({"index": "LSH"}, "index must be one of"),
        ({"metric": "angle"}, "metric must be one of"),
        ({"nprobe": 0}, "nprobe must be at least 1"),
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
