"""Milvus, in this process and by its own client, answers as NumPy does."""

import importlib
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from utils.errors import LookalikeError
from utils.scale import database
from utils.scale.database import BATCH, Database, matching

ROOT = Path(__file__).parents[2]
N, D, K = BATCH + 100, 16, 10  # two batches
HOSTILE = [
    'say "when"',
    'x" or id >= 0 or label == "x',
    "it's",
    "\\",
    '\\" or id >= 0 or label == "',
    "new\nline",
    "tab\tand\rreturn",
    "blåbär 🫐",
    "{label}",
    "100 %",
    "",
    "  ",
    "a'\"\\\n",
    "\x00",
]


@pytest.fixture(scope="module")
def milvus():
    pytest.importorskip("pymilvus", reason="pip install -r requirements-scale.txt")
    pytest.importorskip("milvus_lite", reason="pip install -r requirements-scale.txt")


@pytest.fixture(scope="module")
def vectors():
    vectors = np.random.default_rng(0).standard_normal((N, D)).astype("float32")
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def labels():
    return [HOSTILE[i % len(HOSTILE)] for i in range(N)]


@pytest.fixture(scope="module")
def opened(milvus, vectors, labels, tmp_path_factory):
    """A database that tests only search in."""
    with Database(tmp_path_factory.mktemp("milvus") / "some.db", D) as opened:
        opened.insert(range(N), vectors, labels)
        yield opened


def exact(queries, vectors, k=K):
    similarities = queries @ vectors.T
    ids = np.argsort(-similarities, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(similarities, ids, axis=1), ids


def test_it_answers_as_numpy(opened, vectors):
    queries = np.random.default_rng(1).standard_normal((BATCH + 3, D)).astype("float32")
    similarities, ids = opened.search(queries, K)
    expected = exact(queries, vectors)
    np.testing.assert_allclose(similarities, expected[0], atol=1e-5)
    np.testing.assert_array_equal(ids, expected[1])
    assert (similarities.dtype, ids.dtype) == (np.float32, np.int64)
    assert len(opened) == N


@pytest.mark.parametrize("label", HOSTILE, ids=range(len(HOSTILE)))
def test_a_label_is_a_label_whatever_it_holds(opened, vectors, labels, label):
    members = np.array([i for i, other in enumerate(labels) if other == label])
    similarities, ids = opened.search(vectors[:2], N, label=label)
    _, expected = exact(vectors[:2], vectors[members], N)
    found = ids[:, : len(members)]
    np.testing.assert_array_equal(found, members[expected])
    assert (ids[:, len(members) :] == -1).all()
    assert (similarities[:, len(members) :] < -1e38).all(), "padded, as FAISS does"


def test_a_label_that_nobody_has_finds_nothing(opened, vectors):
    assert (opened.search(vectors[:1], 3, label="nobody")[1] == -1).all()


def test_what_ends_quotes_is_escaped():
    assert matching("a") == 'label == "a"'
    assert matching('\\"') == r'label == "\\\""'
    assert "\n" not in matching("two\nlines")


def test_squared_distances_are_padded_at_the_other_end(milvus, vectors, tmp_path):
    with Database(tmp_path / "l2.db", D, metric="l2") as opened:
        opened.insert([7, 8], vectors[:2], ["a", "b"])
        distances, ids = opened.search(vectors[:1], 2, label="a")
    np.testing.assert_array_equal(ids, [[7, -1]])
    np.testing.assert_allclose(distances[0, 0], 0, atol=1e-6)
    assert distances[0, 1] > 1e38


def test_rows_are_deleted_replaced_and_there_after_reopening(milvus, vectors, tmp_path):
    address = tmp_path / "some.db"
    with Database(address, D) as opened:
        opened.insert(range(20), vectors[:20], ["old"] * 20)
        opened.delete([3, 4, 999])
        opened.insert([5], vectors[40:41], ["new"])
        assert len(opened) == 18
    for _ in range(2):
        with Database(address, D) as opened:
            assert len(opened) == 18
            _, ids = opened.search(vectors[:20], 18)
            assert not np.isin([3, 4], ids).any()
            assert opened.search(vectors[40:41], 1, label="new")[1] == [[5]]
            assert opened.search(vectors[40:41], 1)[0][0, 0] > 0.999


def test_nothing_is_left_running_and_only_this_machine_was_listened_to(
    milvus, vectors, tmp_path
):
    psutil = pytest.importorskip("psutil")

    def listening():
        found = psutil.Process().net_connections(kind="inet")
        return {(c.laddr.ip, c.laddr.port) for c in found if c.status == "LISTEN"}

    before, threads = listening(), threading.active_count()
    opened = Database(tmp_path / "some.db", D)
    opened.insert([1], vectors[:1], ["a"])
    addresses = {ip for ip, _ in listening() - before}
    assert addresses and all(ip.endswith("127.0.0.1") for ip in addresses)
    opened.close()
    opened.close()
    assert listening() == before
    assert threading.active_count() <= threads + 10  # idle ones of its pool
    (tmp_path / "some.db").rename(tmp_path / "moved.db")
    with Database(tmp_path / "moved.db", D) as moved:
        assert len(moved) == 1


def test_a_file_is_open_once(milvus, tmp_path):
    address = tmp_path / "some.db"
    with Database(address, D):
        with pytest.raises(LookalikeError, match="This process has it open"):
            Database(address, D)
        program = (
            "from utils.scale.database import Database\n"
            f"Database({str(address)!r}, {D})"
        )
        other = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True
        )
        assert "Has another program opened the file?" in other.stderr
    Database(address, D).close()


def test_another_dimension_is_refused_and_leaves_nothing_open(milvus, tmp_path):
    Database(tmp_path / "some.db", D).close()
    with pytest.raises(ValueError, match="dimension, 16. Received: 17"):
        Database(tmp_path / "some.db", D + 1)
    Database(tmp_path / "some.db", D).close()


def test_a_server_that_is_not_there_is_named(milvus):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(LookalikeError, match=f"127.0.0.1:{port}.*Does the server run"):
        Database(f"http://127.0.0.1:{port}", D)


@pytest.mark.parametrize("address", ["some", "ftp://host/x.db", "gone/some.db", ""])
def test_an_address_is_a_file_or_a_server(milvus, address, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="address must be http"):
        Database(address, D)


def test_only_indexes_that_are_built(milvus, tmp_path):
    with pytest.raises(ValueError, match="without building them. Received: 'IVF_PQ'"):
        Database(tmp_path / "some.db", D, index="IVF_PQ")
    with pytest.raises(ValueError, match="metric must be one of"):
        Database(tmp_path / "some.db", D, metric="cosine")


@pytest.mark.parametrize(
    ("ids", "rows", "texts", "message"),
    [
        ([1, 1], 2, ["a", "b"], "1 different ids"),
        ([1, 2], 2, ["a"], "1 labels"),
        ([1], 2, ["a", "b"], "2 vectors"),
        ([1], 1, [None], "labels must be text. Received: None"),
        ([1], 1, ["a" * 1001], "at most 1000 bytes"),
        ([1], 1, ["\udc80"], "labels must be Unicode"),
        (["a"], 1, ["a"], "ids must be whole numbers"),
    ],
)
def test_rows_that_do_not_fit_are_refused(opened, vectors, ids, rows, texts, message):
    with pytest.raises(ValueError, match=message):
        opened.insert(ids, vectors[:rows], texts)
    assert len(opened) == N


def test_queries_are_checked(opened, vectors):
    with pytest.raises(ValueError, match="dimension, 16"):
        opened.search(vectors[:1, :4], K)
    with pytest.raises(ValueError, match="k must be"):
        opened.search(vectors[:1], 0)


def test_what_milvus_refuses_is_one_of_our_errors(milvus, vectors, tmp_path):
    with Database(tmp_path / "some.db", D) as opened:
        opened.client.drop_collection(opened.name)
        with pytest.raises(LookalikeError, match="Milvus refused the upsert"):
            opened.insert([1], vectors[:1], ["a"])


def test_a_missing_package_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pymilvus", None)
    with pytest.raises(LookalikeError, match="requirements-scale.txt"):
        Database(tmp_path / "some.db", D)
    assert importlib.import_module("utils.scale.database") is database
