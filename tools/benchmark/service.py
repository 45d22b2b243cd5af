"""How many clients the service answers, and how long each waits.

python -m tools.benchmark.service                     # 1, 8, 64 and 256 clients
python -m tools.benchmark.service --requests 20000    # is its memory steady?
python -m tools.benchmark.service --clients 1 8 --requests 64

Two services over the gallery, on the bundled network: one lets pictures share a forward
pass, one does not.  They are processes of their own and take turns, and a ratio is
taken inside one round.  Every picture is another one, so no vector is remembered, and
every answer is compared with the handler's own.  Leave the machine alone meanwhile.
"""

import argparse
import asyncio
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import httpx
import numpy as np

from tools.benchmark.machine import describe, load
from utils import images
from utils.app.query import QueryHandler
from utils.beyond.networks import load_network
from utils.collection.search import ImageSearch

GALLERY = Path(__file__).resolve().parents[2] / "images"
BATCHES = {"batches": 16, "alone": 1}
K = 5
HEADINGS = "clients service  answers/s   p50 ms   p95 ms   p99 ms wrong lost  503    MB"
SAME = 1e-4  # of scores: a batch of another size rounds otherwise


class Query(NamedTuple):
    """A picture, and what the handler finds for it: ids and scores."""

    data: bytes
    scores: dict[int, float]  # best first


class Round(NamedTuple):
    """What one service did for so many clients."""

    per_second: float
    milliseconds: tuple[float, float, float]  # p50, p95, p99
    wrong: int
    lost: int
    busy: int  # told to come again, and came
    memory_mb: float


def make_queries(search: ImageSearch, n: int) -> list[Query]:
    """Turn gallery pictures, so that none is in the collection; ask the handler."""
    rng, handler, queries = np.random.default_rng(seed=0), QueryHandler(search), []
    paths = search.paths
    for number in range(n):
        picture = images.load_picture(paths[number * 7 % len(paths)], 160)
        noise = rng.integers(-20, 21, picture.shape)
        pixels = np.clip(picture + noise, 0, 255).astype(np.uint8)
        data = images.thumbnail(pixels, 160)
        hits = handler.answer(data).hits
        queries.append(Query(data, {hit.id: hit.score for hit in hits}))
    return queries


def is_right(answer: dict, query: Query) -> bool:
    """Compare with the handler's answer; near-ties may change places."""
    scores = [hit["score"] for hit in answer["hits"]]
    return bool(np.allclose(scores, list(query.scores.values()), atol=SAME)) and all(
        abs(query.scores.get(hit["id"], hit["score"]) - hit["score"]) < SAME
        for hit in answer["hits"]
    )


@contextmanager
def service(folder: Path, batch_size: int) -> Iterator[tuple[str, int]]:
    """Start a service in a process; its address and number. It is asked to end."""
    child = subprocess.Popen(
        [sys.executable, "-m", "utils.service", str(folder), "--port", "0"],
        env=os.environ | {"LOOKALIKE_SERVICE_BATCH_SIZE": str(batch_size)},
        stderr=subprocess.PIPE,
        text=True,
    )
    log = child.stderr
    assert log is not None  # noqa: S101
    try:
        found = None
        while found is None:
            line = log.readline()
            if not line:
                raise RuntimeError("the service could not start: see above")
            found = re.search(r"http://[\d.]+:\d+", line)
        drain = subprocess.Popen(["cat"], stdin=log, stdout=subprocess.DEVNULL)
        yield found.group(), child.pid
        child.send_signal(signal.SIGTERM)
        child.wait(timeout=60)
        drain.wait()
    finally:
        child.kill()


async def ask(address: str, queries: Sequence[Query], clients: int, pid: int) -> Round:
    """Send every query, from so many clients at once."""
    waiting, seconds = list(reversed(queries)), []
    wrong = lost = busy = 0
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=address, timeout=300, limits=limits) as http:

        async def client() -> None:
            nonlocal wrong, lost, busy
            while waiting:
                query, begin = waiting.pop(), perf_counter()
                try:
                    response = await http.post(f"/search?k={K}", content=query.data)
                    while response.status_code == httpx.codes.SERVICE_UNAVAILABLE:
                        busy += 1
                        await asyncio.sleep(float(response.headers["retry-after"]))
                        response = await http.post(f"/search?k={K}", content=query.data)
                except httpx.HTTPError:
                    lost += 1
                    continue
                seconds.append(perf_counter() - begin)
                good = response.status_code == httpx.codes.OK
                wrong += not (good and is_right(response.json(), query))

        begin = perf_counter()
        await asyncio.gather(*(client() for _ in range(clients)))
        took = perf_counter() - begin
    p50, p95, p99 = (1000 * np.percentile(seconds, [50, 95, 99])).tolist()
    return Round(
        len(seconds) / took, (p50, p95, p99), wrong, lost, busy, resident_mb(pid)
    )


def resident_mb(pid: int) -> float:
    """Return the memory that a process holds; NaN where the system does not say."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return float("nan")
    return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table; 1 if an answer was wrong or lost."""
    parser = argparse.ArgumentParser(prog="python -m tools.benchmark.service")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64, 256])
    parser.add_argument("--requests", type=int, default=512, help="in each round")
    options = parser.parse_args(arguments)
    machine = describe()
    print(f"{machine.processor}, {machine.cores} cores; load before: {load():.1f}")
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        search = ImageSearch.from_folder(
            GALLERY, embedder=load_network("efficientnet_lite0", verbose=False)
        )
        search.save(Path(folder) / "gallery")
        queries = make_queries(search, options.requests)
        del search
        print(HEADINGS)
        with (
            service(Path(folder) / "gallery", BATCHES["batches"]) as batches,
            service(Path(folder) / "gallery", BATCHES["alone"]) as alone,
        ):
            services = {"batches": batches, "alone": alone}
            for clients in options.clients:
                rates = []
                for name, (address, pid) in services.items():
                    one = asyncio.run(ask(address, queries, clients, pid))
                    waits = " ".join(f"{ms:8.0f}" for ms in one.milliseconds)
                    print(
                        f"{clients:7} {name:8} {one.per_second:9.1f} {waits} "
                        f"{one.wrong:5} {one.lost:4} {one.busy:4} {one.memory_mb:5.0f}"
                    )
                    bad += one.wrong + one.lost
                    rates.append(one.per_second)
                print(f"        batches / alone: {rates[0] / rates[1]:.2f}", flush=True)
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
