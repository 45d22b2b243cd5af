"""The load program counts what is wrong, lost and refused; on a fake of a service."""

import asyncio
import os

import pytest

from tests.pictures_for_queries import PixelEmbedder, make_collection
from tools.benchmark import service
from utils.service.application import create_application
from utils.service.server import running
from utils.service.settings import Settings


@pytest.fixture
def search(tmp_path):
    search = make_collection(tmp_path / "pictures")
    search.save(tmp_path / "saved")
    return search


def ask(folder, queries, **settings):
    application = create_application(folder, Settings(**settings), PixelEmbedder())
    with running(application) as address:
        return asyncio.run(service.ask(address, queries, 4, os.getpid()))


def test_right_answers_are_counted_as_such(search, tmp_path):
    done = ask(tmp_path / "saved", service.make_queries(search, 12))
    assert (done.wrong, done.lost) == (0, 0)
    assert done.per_second > 0
    assert done.milliseconds == tuple(sorted(done.milliseconds))


def test_a_wrong_answer_is_noticed(search, tmp_path):
    queries = service.make_queries(search, 3)
    other = queries[0]._replace(scores=dict.fromkeys(range(5), 0.5))
    assert ask(tmp_path / "saved", [*queries, other]).wrong == 1


def test_who_is_told_to_come_again_comes_again(search, tmp_path):
    done = ask(tmp_path / "saved", service.make_queries(search, 8), max_requests=1)
    assert (done.wrong, done.lost) == (0, 0)
