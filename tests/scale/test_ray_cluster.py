"""utils.scale.ray_cluster: Ray starts, though its core may end at first."""

import importlib

import pytest

from utils.errors import LookalikeError
from utils.scale import ray_cluster
from utils.scale.ray_cluster import running_ray


@pytest.fixture
def deaths(monkeypatch):
    """Kill Ray's core as it starts, as often as the list has entries."""
    pytest.importorskip("ray.data")
    services = importlib.import_module("ray._private.services")
    start, waiting, processes = services.start_ray_process, [], []

    def start_and_kill(command, kind, *arguments, **options):
        one = start(command, kind, *arguments, **options)
        processes.append(one.process)
        if kind == "raylet" and waiting:
            waiting.pop()
            one.process.kill()
        return one

    monkeypatch.setattr(services, "start_ray_process", start_and_kill)
    yield waiting
    assert all(process.poll() is not None for process in processes)
    assert services.start_ray_process is start_and_kill  # put back as it was


def test_a_core_that_ends_at_once_is_started_again(deaths):
    deaths.append("once")
    with running_ray(cores=1) as ray:
        assert ray.get(ray.put(7)) == 7
    assert not deaths


def test_a_core_that_always_ends_is_said_to(deaths, monkeypatch):
    monkeypatch.setattr(ray_cluster, "TRIES", 2)
    deaths += ["again"] * ray_cluster.TRIES
    # Killed, or aborted: the first process that has ended is named, whichever it is.
    with pytest.raises(LookalikeError, match="in 2 tries: .* ended with -[69].*wrote"):
        with running_ray(cores=1):
            pass
    with running_ray(cores=1) as ray:  # the next try is a new one
        assert ray.is_initialized()
