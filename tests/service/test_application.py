"""The service answers as the handler does, and every error is a problem document."""

import io
import json
import logging
import threading
import time

import numpy as np
import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, settings
from PIL import Image
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.pictures_for_queries import PixelEmbedder, TalkingEmbedder
from tests.service.conftest import TOKEN, draw
from utils.app.query import QueryHandler, Question
from utils.beyond.heads import Head
from utils.beyond.networks import load_network
from utils.collection.search import ImageSearch
from utils.errors import IndexFileError, WeightsError
from utils.images import sha256_of
from utils.service.application import create_application
from utils.service.server import running
from utils.service.settings import Settings

ROUTES = [
    "POST /search",
    "POST /search/text",
    "GET /pictures/{id}/similar",
    "GET /pictures/{id}",
    "GET /thumbnails/{id}",
    "POST /pictures",
    "DELETE /pictures/{id}",
    "GET /healthz",
    "GET /readyz",
    "GET /metrics",
]
PROBLEM = "application/problem+json"


def assert_problem(response, status, part):
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == PROBLEM
    problem = response.json()
    assert problem["status"] == status
    assert set(problem) == {"type", "title", "status", "detail"}
    assert part in problem["detail"]


# ------------------------------------------------------------------------ search


@pytest.mark.parametrize("index", ["Flat", "IVF", "HNSW"])
@pytest.mark.parametrize("metric", ["cosine", "Euclidean"])
def test_the_answer_is_the_handlers_own(client, saved, red, index, metric):
    search = ImageSearch.load(saved, embedder=PixelEmbedder())
    question = Question(k=7, index=index, nprobe=1, metric=metric)
    expected = QueryHandler(search).answer(red, question)
    asked = {"k": 7, "index": index, "nprobe": 1, "metric": metric}
    answer = client.post("/search", params=asked, content=red).json()
    assert [h["id"] for h in answer["hits"]] == [h.id for h in expected.hits]
    assert [h["id"] for h in answer["missed"]] == [h.id for h in expected.missed]
    assert answer["note"] == expected.note
    scores = [hit["score"] for hit in answer["hits"]]
    assert scores == pytest.approx([hit.score for hit in expected.hits], abs=1e-5)


def test_a_form_is_answered_like_a_body(client, red):
    body = client.post("/search", content=red).json()
    form = client.post("/search", files={"picture": ("../../odd\x00name", red)}).json()
    assert form == body
    assert body["hits"][0]["label"] == "red"


@pytest.fixture
def talking(saved):
    application = create_application(saved, Settings(), embedder=TalkingEmbedder())
    with TestClient(application, raise_server_exceptions=False) as client:
        yield client


def test_words_are_answered_as_the_handler_does(talking, saved):
    search = ImageSearch.load(saved, embedder=TalkingEmbedder())
    question = Question(k=7, index="IVF", nprobe=1, words="green")
    expected = QueryHandler(search).answer_words(question)
    asked = {"k": 7, "index": "IVF", "nprobe": 1}
    answer = talking.post("/search/text", params=asked, json={"words": "green"}).json()
    assert [h["id"] for h in answer["hits"]] == [h.id for h in expected.hits]
    assert {h["label"] for h in answer["hits"]} == {"green"}


@pytest.mark.parametrize(
    ("sent", "part"),
    [
        ('{"words": "beige"}', "expected one of"),
        ('{"words": ""}', "at least 1 character"),
        ('{"words": "\\ud800"}', "words"),
        ('{"words": "%s"}' % ("x" * 10_001), "at most 10000"),
        ('{"words": 5}', "string"),
        ("{}", "words"),
        ("red", "JSON"),
    ],
)
def test_words_that_cannot_be_searched_with_are_refused(talking, sent, part):
    headers = {"Content-Type": "application/json"}
    response = talking.post("/search/text", content=sent, headers=headers)
    assert_problem(response, 422, part)


def test_a_service_whose_network_takes_no_words_says_so(client):
    response = client.post("/search/text", json={"words": "red"})
    assert_problem(response, 404, "takes no words")


def test_a_collection_is_served_by_the_network_that_made_it(tmp_path, red):
    network = load_network(weights=None, input_size=32, verbose=False)
    drawn = np.random.default_rng(0).normal(size=(network.dimension, 4))
    head, file = Head(network, drawn.astype("float32")), tmp_path / "head.npz"
    head.save(file)
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "red.png").write_bytes(red)
    saved = tmp_path / "saved"
    ImageSearch.from_folder(tmp_path / "pictures", embedder=head).save(saved)
    application = create_application(saved, Settings(head=str(file)))
    with TestClient(application) as client:
        [hit] = client.post("/search", content=red).json()["hits"]
    assert hit["score"] == pytest.approx(1, abs=1e-4)
    with pytest.raises(WeightsError, match="LOOKALIKE_SERVICE_HEAD"):
        create_application(saved, Settings(token="secret"))
    ImageSearch.open(saved, durable=True).close()  # the service has let go of it


def test_a_collection_of_another_network_is_refused_by_name(saved):
    other = load_network(weights=None, input_size=32, verbose=False)
    with pytest.raises(IndexFileError, match="by pixels-8px; received .*-random-32px-"):
        create_application(saved, Settings(), embedder=other)
    with pytest.raises(WeightsError, match="pixels-8px: expected a pipeline of"):
        create_application(saved, Settings())


def test_only_pictures_of_a_label_are_found_if_that_is_asked(client, red):
    answer = client.post("/search?label=blue&k=3", content=red).json()
    assert [hit["label"] for hit in answer["hits"]] == ["blue"] * 3


def test_more_like_a_picture_of_the_collection_leaves_it_out(client):
    answer = client.get("/pictures/3/similar?k=4").json()
    assert answer["itself"] == 3
    assert 3 not in [hit["id"] for hit in answer["hits"]]


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "must have bytes"),
        (b"no picture", "not a JPEG"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 50, "the picture"),
        (b"%PDF-1.7", "not a JPEG"),
    ],
)
def test_what_is_no_picture_is_refused_and_the_next_request_answered(
    client, red, content, part
):
    assert_problem(client.post("/search", content=content), 422, part)
    assert client.post("/search", content=red).status_code == 200


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ("k=0", "k: "),
        ("k=101", "k: "),
        ("k=1e3", "k: "),
        ("nprobe=0", "nprobe: "),
        ("index=PQ", "index: "),
        ("metric=L1", "metric: "),
        ("kk=3", "kk: "),
        ("label=" + "x" * 201, "label: "),
    ],
)
def test_a_parameter_outside_its_limits_is_named(client, red, asked, part):
    assert_problem(client.post(f"/search?{asked}", content=red), 422, part)


def test_a_form_without_a_picture_says_what_it_must_have(client):
    assert_problem(client.post("/search", files={"x": b"1"}), 422, "named `picture`")
    broken = {"content-type": "multipart/form-data; boundary=x"}
    assert client.post("/search", content=b"--y", headers=broken).status_code in (
        400,
        422,
    )


# ---------------------------------------------------------------------- pictures


def test_a_picture_comes_as_it_is_and_a_thumbnail_small(client, saved):
    search = ImageSearch.load(saved, embedder=PixelEmbedder())
    picture = client.get("/pictures/5")
    assert picture.headers["content-type"] == "image/png"
    assert sha256_of(picture.content) == search.items[5].sha256
    assert client.get("/thumbnails/5").headers["content-type"] == "image/jpeg"


@pytest.mark.parametrize("id", ["999", "-1", "1.5", "..%2F..%2Fetc%2Fpasswd", "1" * 40])
def test_what_is_no_id_finds_no_file(client, id):
    for address in (f"/pictures/{id}", f"/thumbnails/{id}", f"/pictures/{id}/similar"):
        assert client.get(address).status_code in (404, 422)


def test_a_file_that_has_changed_is_not_handed_out(client, saved, red):
    search = ImageSearch.load(saved, embedder=PixelEmbedder())
    search.path_of(5).write_bytes(red)
    assert_problem(client.get("/pictures/5"), 410, "changed")
    assert_problem(client.get("/thumbnails/5"), 410, "changed")
    search.path_of(6).unlink()
    assert client.get("/pictures/6").status_code == 422


# ----------------------------------------------------------------------- changes


def test_what_is_added_is_found_and_what_is_removed_is_not(writer, authorized, red):
    added = writer.post("/pictures?label=mine", content=red, headers=authorized)
    assert added.status_code == 201
    id = added.json()["id"]
    answer = writer.post("/search?k=1", content=red).json()
    assert (answer["itself"], answer["hits"][0]["label"]) == (id, "mine")
    assert writer.delete(f"/pictures/{id}", headers=authorized).status_code == 204
    assert writer.post("/search", content=red).json()["itself"] is None
    assert_problem(writer.delete(f"/pictures/{id}", headers=authorized), 404, "id")


def test_changes_last_when_the_service_ends(serve, saved, authorized, red):
    with serve(token=TOKEN) as client:
        client.post("/pictures?label=mine", content=red, headers=authorized)
        client.delete("/pictures/0", headers=authorized)
    again = ImageSearch.load(saved, embedder=PixelEmbedder())
    assert "mine" in again.labels
    assert 0 not in again.items
    assert len(again) == 48


def test_the_same_file_is_added_once(writer, authorized, red):
    writer.post("/pictures", content=red, headers=authorized)
    again = writer.post("/pictures", content=red, headers=authorized)
    assert_problem(again, 409, "already")


@pytest.mark.parametrize("sent", [None, "Bearer", "Bearer wrong", "Basic x", "é"])
def test_without_the_token_nothing_changes(writer, red, sent):
    headers = {} if sent is None else {"Authorization": sent.encode("latin-1")}
    refused = writer.post("/pictures", content=red, headers=headers)
    assert_problem(refused, 401, "Authorization")
    assert writer.delete("/pictures/0", headers=headers).status_code == 401
    assert writer.get("/readyz").json()["pictures"] == 48


def test_a_service_without_a_token_only_reads(client, authorized, red):
    refused = client.post("/pictures", content=red, headers=authorized)
    assert_problem(refused, 403, "only reads")


def test_a_newer_save_is_taken_over(serve, saved, red, tmp_path):
    with serve(reload_seconds=0.05) as client:
        other = ImageSearch.load(saved, embedder=PixelEmbedder())
        (tmp_path / "new.png").write_bytes(red)
        other.add([tmp_path / "new.png"], "new")
        other.save(saved)
        for _ in range(200):
            if client.get("/readyz").json()["pictures"] == 49:
                break
            time.sleep(0.05)
        assert (
            client.post("/search?k=1", content=red).json()["hits"][0]["label"] == "new"
        )


# ------------------------------------------------------------------------ limits


def test_too_many_bytes_are_refused_before_they_are_read(serve, red):
    with serve(max_bytes=1000) as client:
        assert_problem(client.post("/search", content=b"x" * 1001), 413, "1,000 bytes")
        pieces = (b"x" * 100 for _ in range(20))  # no length is announced
        assert_problem(client.post("/search", content=pieces), 413, "1,000 bytes")


def test_too_many_pixels_are_refused_by_what_the_header_says(serve, red):
    huge = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(huge, "PNG")  # 50 kB, and a gigabyte as RGB
    with serve() as client:
        assert_problem(client.post("/search", content=huge.getvalue()), 422, "pixels")
        assert client.post("/search", content=red).status_code == 200
    with serve(max_pixels=599) as client:  # one fewer than it has
        assert_problem(client.post("/search", content=red), 422, "pixels")


def test_an_answer_that_takes_too_long_is_given_up(serve, red, monkeypatch):
    def never(self, data, question):
        time.sleep(0.5)

    monkeypatch.setattr(QueryHandler, "answer", never)
    with serve(answer_seconds=0.05) as client:
        response = client.post("/search", content=red)
        assert_problem(response, 503, "too long")
        assert response.headers["retry-after"] == "1"


def test_a_failure_of_our_own_tells_a_client_nothing(client, red, monkeypatch, caplog):
    def fail(self, data, question):
        raise RuntimeError("a path: /etc/passwd")

    monkeypatch.setattr(QueryHandler, "answer", fail)
    response = client.post("/search", content=red)
    assert_problem(response, 500, "in its log")
    assert "passwd" not in response.text
    assert "passwd" in caplog.text


def test_every_answer_has_the_security_headers(client):
    for address in ("/", "/page.js", "/healthz", "/nothing", "/pictures/1"):
        headers = client.get(address).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'self'" in headers["content-security-policy"]
        assert "access-control-allow-origin" not in headers


# ------------------------------------------------------------------------ health


def test_the_log_has_numbers_and_nothing_of_a_picture(client, red, caplog):
    with caplog.at_level(logging.INFO, "lookalike.service"):
        client.post("/search?label=secret", content=red)
    line = json.loads(caplog.messages[-1])
    assert set(line) == {"method", "route", "status", "ms"}
    assert (line["route"], line["status"]) == ("/search", 200)
    assert "secret" not in caplog.text


def test_prometheus_is_told_what_was_answered(client, red):
    client.post("/search", content=red)
    client.get("/pictures/999")
    text = client.get("/metrics").text
    assert 'lookalike_requests_total{route="/search",status="200"} 1.0' in text
    assert 'lookalike_requests_total{route="/pictures/{id}",status="404"} 1.0' in text
    assert "lookalike_batch_pictures_count" in text


def test_readiness_says_what_is_served(client):
    facts = client.get("/readyz").json()
    assert facts["pictures"] == 48
    assert facts["labels"] == ["blue", "green", "red"]
    assert client.get("/healthz").json() == {"status": "alive"}


def test_odd_labels_never_break_an_answer(tmp_path, serve, writer, authorized, red):
    for label in ("\ud800", "a\nb", "<b>", "𝔘", "\x00"):
        quoted = label.encode("utf-8", "surrogatepass")
        response = writer.post(
            "/pictures", params={"label": quoted}, content=red, headers=authorized
        )
        assert response.status_code in (201, 422)
        if response.status_code == 201:
            writer.delete(f"/pictures/{response.json()['id']}", headers=authorized)


@pytest.mark.parametrize("operation", ROUTES)
def test_the_openapi_says_all_that_a_route_does(saved, authorized, operation):
    application = create_application(saved, Settings(token=TOKEN), PixelEmbedder())
    # No schema says what a picture is: a GIF of one black pixel is one, and refused.
    told = [positive_data_acceptance] if operation.startswith("POST") else []
    with running(application) as address:
        schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
        found = {each.ok().label: each.ok() for each in schema.get_all_operations()}
        assert set(found) == set(ROUTES)

        @settings(
            max_examples=8,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
        )
        @given(case=found[operation].as_strategy())
        def ask(case):
            case.call_and_validate(headers=authorized, excluded_checks=told)

        ask()


def test_many_clients_at_once_each_get_their_own_answer(client):
    colours = [(200, 30, 30), (30, 200, 30), (30, 30, 200)]
    names, wrong = ["red", "green", "blue"], []

    def ask(i):
        data = draw(colours[i % 3], seed=i)
        hits = client.post("/search?k=3", content=data).json()["hits"]
        wrong.extend(h for h in hits if h["label"] != names[i % 3])

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not wrong
    assert np.isfinite(len(wrong))
