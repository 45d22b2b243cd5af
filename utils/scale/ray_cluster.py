"""Ray: one that is there, a cluster's, or one of our own for a while.

The one module that imports ray.
"""

import importlib
import inspect
import logging
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from utils.errors import LookalikeError, check_k, import_optional, printable

STORE = 200_000_000  # bytes of memory that Ray's processes share
SECONDS_TO_START = 180
TRIES = 3  # a core that ends at once is started again, with ports of its own
# Ray reads these when it starts: tell nobody, say nothing that isn't fatal, and look
# every 5 s whether the core is there, or has ended
SETTINGS = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}
SETTINGS |= {"RAY_raylet_start_wait_time_s": "5"}
HELPERS = ("METRICS_AGENT", "METRICS_EXPORT", "DASHBOARD_AGENT_LISTEN")
RUNTIME = "RUNTIME_ENV_AGENT"
INSTALL = "-r requirements-scale.txt"
PURPOSE = ", to extract by several processes"


@contextmanager
def running_ray(
    address: str | None = None,
    *,
    cores: int = 2,
    gpus: int | None = None,
    num_gpus: float = 0,
) -> Iterator[Any]:
    """Give the module ray, connected; what was started for this is stopped afterwards.

    `address` is a cluster's, such as "auto".  Without one, Ray is started on this
    machine with so many `cores`, listening to this machine alone, unless the process
    has started it already; it looks for `gpus` unless it is told how many there are.
    LookalikeError if it has less than `num_gpus`.
    """
    os.environ.update(SETTINGS)
    ray = import_optional("ray", INSTALL, PURPOSE)
    import_optional("ray.data", INSTALL, PURPOSE)
    ours, folder = not ray.is_initialized(), ""
    try:
        if ours and address is not None:
            _start(ray, address=address)
        elif ours:
            # Under /tmp: the names of its sockets may have 100 characters
            place = "/tmp" if os.name != "nt" else None  # noqa: S108
            folder = tempfile.mkdtemp(prefix="ray-", dir=place)
            _start_here(ray, folder, num_cpus=check_k(cores, "cores"), num_gpus=gpus)
        seen = ray.cluster_resources().get("GPU", 0)
        if seen < num_gpus:
            raise LookalikeError(
                f"expected {num_gpus:g} GPU for each worker. Received: Ray sees "
                f"{seen:g}. Leave num_gpus out to compute on processors."
            )
        yield ray
    finally:
        if ours:
            ray.shutdown()
            ray._private.worker._worker_logs_enabled = True
            shutil.rmtree(folder, ignore_errors=True)


def _start_here(ray: Any, folder: str, **options: Any) -> None:
    """Start Ray on this machine; once more if its core ends before it is ready."""
    for attempt in range(1, TRIES + 1):
        try:
            with _alone(), _patient():
                return _start(
                    ray,
                    address="local",
                    object_store_memory=STORE,
                    include_dashboard=False,
                    _node_ip_address="127.0.0.1",
                    _temp_dir=folder,
                    **options,
                )
        except _StartError as error:
            if attempt == TRIES:
                raise LookalikeError(
                    f"Ray did not start in {TRIES} tries: {error} "
                    f"The last it wrote: {_last_words(folder)}"
                ) from error


class _StartError(Exception):
    """Ray's core has ended, or does not answer."""


def _last_words(folder: str) -> str:
    """Return the last line of the core's newest log."""
    logs = sorted(Path(folder).glob("session_2*/logs/raylet.*"), key=os.path.getmtime)
    text = "\n".join(log.read_text("utf-8", "replace") for log in logs)
    return printable(text.strip().rpartition("\n")[2] or "nothing.")


def _start(ray: Any, **options: Any) -> None:
    """Connect, and keep what Ray's core says of its log from file descriptor 2."""
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
        # Or it prints that a process was killed, which the job sees to
        ray._private.worker._worker_logs_enabled = False
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


@contextmanager
def _alone() -> Iterator[None]:
    """Let Ray start for this machine alone, and on a busy one, too.

    On Linux it takes 127.0.0.1 for the machine's address in its network, unless it is
    told that there is no cluster.  Its core ends if its helpers, which take more than
    15 s on a busy machine, have not left their ports in files by then.  So we leave
    them: -1 says that nobody listens.
    """
    constants: Any = importlib.import_module("ray._private.ray_constants")
    services: Any = importlib.import_module("ray._private.services")
    core: Any = importlib.import_module("ray._raylet")

    def start_raylet(*arguments: Any, **options: Any) -> Any:
        port = options["runtime_env_agent_port"] = _free_port()
        named = inspect.signature(started).bind(*arguments, **options).arguments
        place = named["session_dir"], named["node_id"]
        for name, number in {**dict.fromkeys(HELPERS, -1), RUNTIME: port}.items():
            core.persist_port(*place, getattr(core, f"{name}_PORT_NAME"), number)
        return started(*arguments, **options)

    started = services.start_raylet
    if hasattr(core, "persist_port"):  # older ones have no such files
        services.start_raylet = start_raylet
    clusters, constants.ENABLE_RAY_CLUSTER = constants.ENABLE_RAY_CLUSTER, False
    try:
        yield
    finally:
        constants.ENABLE_RAY_CLUSTER = clusters
        services.start_raylet = started


@contextmanager
def _patient() -> Iterator[None]:
    """Let `ray.init` wait for its core longer than 30 s, and no longer than it lives.

    What was started is ended if the core ends or does not answer: _StartError.
    """
    services: Any = importlib.import_module("ray._private.services")
    processes: list[Any] = []

    def start_process(*arguments: Any, **options: Any) -> Any:
        one = ran(*arguments, **options)
        processes.append(one.process)
        return one

    def get_node(*arguments: Any) -> Any:
        end = time.monotonic() + SECONDS_TO_START
        while True:
            try:
                return found(*arguments)
            except RuntimeError:
                ended = [p.returncode for p in processes if p.poll() is not None]
                if ended or time.monotonic() > end:
                    raise _StartError(
                        f"a process of its own ended with {ended[0]}."
                        if ended
                        else f"no answer within {SECONDS_TO_START} s."
                    ) from None
                time.sleep(0.1)

    ran, found = services.start_ray_process, services.get_node
    services.start_ray_process, services.get_node = start_process, get_node
    try:
        yield
    except _StartError:
        for process in processes:
            process.kill()
            process.wait()
        raise
    finally:
        services.start_ray_process, services.get_node = ran, found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
