"""A real server, and odd clients: an answer each, and the next one is answered."""

import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from urllib.parse import urlsplit

import httpx
import pytest

from tests.pictures_for_queries import PixelEmbedder
from tests.service.conftest import TOKEN, draw
from tests.service.process import ROOT, process
from tests.test_images import NOT_PICTURES, damage_cases
from tests.waiting import PATIENCE, wait_until
from utils.app.query import QueryHandler
from utils.collection.search import ImageSearch
from utils.service import server
from utils.service.application import create_application
from utils.service.settings import Settings


@pytest.fixture
def start(saved):
    """Return a context that serves the collection in a thread, and a client for it."""

    def begin(**settings):
        application = create_application(saved, Settings(**settings), PixelEmbedder())
        return server.running(application)

    return begin


@pytest.fixture
def address(start):
    with start() as address:
        yield address


def connect(address):
    parts = urlsplit(address)
    return socket.create_connection((parts.hostname, parts.port), timeout=PATIENCE)


def read(connection):
    """Read all there is, until the server ends the connection."""
    data = b""
    try:
        while piece := connection.recv(65536):
            data += piece
    except ConnectionResetError:
        pass
    return data


def send(address, data, *, half_close=False):
    with connect(address) as connection:
        try:
            connection.sendall(data)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it was refused before all of it was there
        return read(connection)


def head(length, path="/search", more=""):
    return (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f"Content-Length: {length}\r\n{more}\r\n"
    ).encode()


def assert_still_answers(address, red):
    answer = httpx.post(f"{address}/search?k=1", content=red, timeout=PATIENCE)
    assert answer.json()["hits"][0]["label"] == "red"


# ----------------------------------------------------------------- odd clients


def test_one_request_too_many_is_told_to_come_again(start, red):
    with start(max_requests=2) as address:
        waiting = [connect(address) for _ in range(2)]
        for connection in waiting:
            connection.sendall(head(len(red)) + red[:10])
        refused = wait_until(
            lambda: (r := httpx.post(f"{address}/search")).status_code == 503 and r
        )
        assert refused.headers["retry-after"] == "1"
        assert refused.headers["content-type"] == "application/problem+json"
        assert httpx.get(f"{address}/healthz").status_code == 200
        for connection in waiting:
            connection.sendall(red[10:])
            assert b"200 OK" in read(connection)
            connection.close()
        assert_still_answers(address, red)


def test_a_body_that_drips_in_is_given_up(start, red):
    with start(body_seconds=0.5, body_rate=100_000) as address:
        with connect(address) as connection:
            begin = time.monotonic()
            connection.sendall(head(len(red)))
            answer = threading.Event()

            def drip():
                for byte in red:
                    if answer.wait(0.05):
                        return
                    try:
                        connection.sendall(bytes([byte]))
                    except OSError:
                        return

            dripping = threading.Thread(target=drip)
            dripping.start()
            assert b"408 Request Timeout" in connection.recv(65536)
            answer.set()
            dripping.join()
            assert time.monotonic() - begin < PATIENCE / 2
        assert_still_answers(address, red)


@pytest.mark.parametrize("begun", [b"", b"POST /search HTTP/1.1\r\nHost: x\r\nX-"])
def test_a_connection_that_asks_nothing_is_closed(start, red, monkeypatch, begun):
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.3)
    with start() as address:
        with connect(address) as connection:
            connection.sendall(begun)
            assert read(connection) == b""
        assert_still_answers(address, red)


def test_a_second_request_of_a_connection_has_to_arrive_as_well(
    start, red, monkeypatch
):
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.3)
    with start() as address:
        with connect(address) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = b""
            while b"alive" not in answer:
                answer += connection.recv(65536)
            connection.sendall(b"GET /healthz HTTP/1.1\r\nX-")
            assert read(connection) == b""
        assert_still_answers(address, red)


def test_who_has_said_all_and_only_listens_is_answered_or_let_go(address, red):
    answer = send(address, head(len(red)) + red, half_close=True)
    assert answer == b"" or b"200 OK" in answer
    assert b"200" not in send(address, head(len(red)) + red[:10], half_close=True)
    assert_still_answers(address, red)


@pytest.mark.parametrize(
    ("length", "status"),
    [
        ("-1", b"400"),
        ("1e3", b"400"),
        ("9" * 19, b"413"),
        ("9" * 30, b"4"),
        ("5\r\nContent-Length: 6", b"400"),
        ("5\r\nTransfer-Encoding: chunked", b"4"),
        ("10", b"422"),
        ("0", b"422"),
    ],
)
def test_a_length_that_is_wrong_is_refused(address, red, length, status):
    answer = send(address, head(length) + red, half_close=True)
    # What was sent beyond the length may end the connection before we read the answer.
    assert answer == b"" or answer[9:].startswith(status)
    assert_still_answers(address, red)


@pytest.mark.parametrize(
    "chunks",
    [b"zz\r\n", b"-5\r\nabc", b"f" * 99 + b"\r\n", b"5\r\nabcdefgh\r\n", b"5\r\nab"],
)
def test_a_chunk_whose_length_is_wrong_is_refused(address, red, chunks):
    begin = head(1).replace(b"Content-Length: 1", b"Transfer-Encoding: chunked")
    answer = send(address, begin + chunks, half_close=True)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4"), answer
    assert_still_answers(address, red)


def test_who_never_reads_the_answers_stops_nobody(address, red):
    with connect(address) as connection:
        ask = b"GET /page.js HTTP/1.1\r\nHost: x\r\n\r\n"
        connection.settimeout(1)
        with pytest.raises(TimeoutError):  # sooner or later it takes no more of them
            while True:
                connection.sendall(1000 * ask)
        assert_still_answers(address, red)


def test_ten_thousand_headers_are_refused(address, red):
    many = "".join(f"X-{i}: y\r\n" for i in range(10_000))
    assert b" 200 " not in send(address, head(len(red), more=many) + red)
    assert b" 200 " not in send(
        address, head(len(red), more=f"X: {'y' * 99_999}\r\n") + red
    )
    assert_still_answers(address, red)


@pytest.mark.parametrize(
    "path",
    [
        "/pictures/%00",
        "/%00",
        "/page.js%00.png",
        "/%ff%fe",
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%5c..%5cetc",
        "//etc/passwd",
        "/pictures/%F0%9D%9F%97",  # a digit nine, but not an ASCII one
        "/pictures/1;2",
        "/" + "a" * 5000,
        "/search?k=%00",
        "/search?label=%ff",
        "http://elsewhere/pictures/1x",
    ],
)
def test_odd_paths_find_nothing_and_break_nothing(address, red, path):
    answer = send(
        address, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    )
    status = int(answer[9:12])
    assert 400 <= status < 500, answer
    assert b"root:" not in answer
    assert_still_answers(address, red)


@pytest.mark.parametrize(
    "line", [b"GET /\0 HTTP/1.1", b"GET /\xff HTTP/1.1", b"\x16\x03\x01", b"GET"]
)
def test_odd_bytes_instead_of_a_request_are_refused(address, red, line):
    answer = send(address, line + b"\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer[9:12] in (b"400", b"404", b"")
    assert_still_answers(address, red)


@pytest.mark.parametrize("door", ["body", "form"])
def test_odd_pictures_are_refused_or_answered_and_nothing_breaks(start, red, door):
    with start() as address, httpx.Client(base_url=address, timeout=PATIENCE) as client:

        def ask(data):
            if door == "body":
                return client.post("/search", content=data)
            return client.post("/search", files={"picture": data})

        for data, _ in NOT_PICTURES:
            assert ask(data).status_code == 422
        for _, data in damage_cases():
            for end in range(0, len(data), len(data) // 7):
                assert ask(data[:end]).status_code in (200, 422)
                spoiled = data[:end] + bytes([data[end] ^ 255]) + data[end + 1 :]
                assert ask(spoiled).status_code in (200, 422)
        assert_still_answers(address, red)


def test_nothing_listens_beyond_this_computer(address):
    port = urlsplit(address).port
    try:  # an address of this computer that others see; nothing is sent
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(("192.0.2.1", 9))
            outside = probe.getsockname()[0]
    except OSError:
        pytest.skip("this computer has no address that others see")
    with pytest.raises(OSError), socket.create_connection((outside, port), timeout=5):
        pass


# ------------------------------------------------------------- how a process ends


def in_flight(client):
    """How many requests are being answered, this one among them."""
    lines = client.get("/metrics").text.splitlines()
    return next(
        float(line.split()[1]) for line in lines if line.startswith("lookalike_in_fl")
    )


def test_sigterm_loses_no_request_that_was_begun(saved):
    pictures = [draw((220, 20, 20), seed=seed) for seed in range(24)]
    handler = QueryHandler(ImageSearch.load(saved, embedder=PixelEmbedder()))
    with (
        process(saved, seconds=1, batch_size=4) as child,
        httpx.Client(base_url=child.address, timeout=PATIENCE) as client,
        ThreadPoolExecutor(len(pictures)) as pool,
    ):
        ask = partial(client.post, "/search?k=3")
        futures = [pool.submit(ask, content=data) for data in pictures]
        wait_until(lambda: in_flight(client) > len(pictures))
        child.send_signal(signal.SIGTERM)
        answers = [future.result(PATIENCE).json() for future in futures]
        child.wait(PATIENCE)
    for data, answer in zip(pictures, answers, strict=True):
        expected = [hit.id for hit in handler.answer(data).hits[:3]]
        assert [hit["id"] for hit in answer["hits"]] == expected


def test_what_was_acknowledged_survives_kill_9(saved):
    pictures = [draw((220, 20, 20), seed=seed) for seed in range(40)]
    token = {"authorization": f"Bearer {TOKEN}"}
    acknowledged = {}
    client = httpx.Client(headers=token, timeout=PATIENCE)
    with process(saved, token=TOKEN) as child, client:

        def write():
            for number, data in enumerate(pictures):
                try:
                    answer = client.post(
                        f"{child.address}/pictures?label=new", content=data
                    )
                except httpx.HTTPError:
                    return
                acknowledged[number] = answer.json()["id"]

        writing = threading.Thread(target=write)
        writing.start()
        wait_until(lambda: len(acknowledged) >= 5)
        child.kill()
        writing.join(PATIENCE)
    assert 5 <= len(acknowledged)
    with process(saved, token=TOKEN) as child:  # nothing has to be put right first
        for number, id in acknowledged.items():
            found = httpx.post(
                f"{child.address}/search?k=1",
                content=pictures[number],
                timeout=PATIENCE,
            ).json()
            assert found["itself"] == id
        again = httpx.post(
            f"{child.address}/pictures", content=draw((1, 2, 3)), headers=token
        )
        assert again.status_code == 201


def test_two_writers_at_once_are_one_too_many(saved):
    with process(saved, token=TOKEN):
        with pytest.raises(AssertionError, match="(?s)another|open"):
            with process(saved, token=TOKEN):
                pass
        with process(saved) as reader:
            assert httpx.get(f"{reader.address}/readyz").json()["pictures"] == 48


def test_the_command_says_where_it_listens_and_what_is_wrong(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "utils.service", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "CURRENT" in done.stderr
    assert "Traceback" not in done.stderr
