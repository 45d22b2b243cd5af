"""Let several programs write into one collection, or kill one, and see what is lost.

    python tests/writers_at_once.py crowd --processes 4 --times 200
    python tests/writers_at_once.py crowd --processes 2 --times 200 --refused
    python tests/writers_at_once.py kills --times 200

In a crowd each process adds pictures, one by one, removes some, and saves each time
with ``merge=True``; or, ``--refused``, saves without, and begins again when refused.
With kills a process makes durable changes until it is killed, again and again.  In the
end all that was acknowledged must be there, with the ids that were given, and no more.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE / "collection")]

from painted import FakeEmbedder, paint  # noqa: E402

from utils.collection.locks import SaveConflictError  # noqa: E402
from utils.collection.search import ImageSearch  # noqa: E402
from utils.indexes import faiss  # noqa: E402


def begin(base: Path, factory: str) -> Path:
    for i in range(50):
        paint(base / "pictures" / "first" / f"{i}.png", i)
    search = ImageSearch.from_folder(
        base / "pictures", embedder=FakeEmbedder(), factory=factory
    )
    search.save(base / "saved")
    return base / "saved"


def forked(work: Callable[[Callable], None]) -> tuple[int, object]:
    """Run `work` in a process of its own; return its id and a file of what it says."""
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        try:
            os.close(reader)
            work(lambda *words: os.write(writer, (json.dumps(words) + "\n").encode()))
            os._exit(0)
        except BaseException as error:
            os.write(writer, (json.dumps(["failed", repr(error)]) + "\n").encode())
            os._exit(1)
    os.close(writer)
    return child, open(reader)  # noqa: SIM115


def check(folder: Path, living: dict[int, str], gone: set[int]) -> list[str]:
    """Return what is wrong: each id that should live, with its picture and vector."""
    embedder = FakeEmbedder()
    search, bad = ImageSearch.load(folder, embedder=embedder), []
    for id, name in living.items():
        if id not in search.items or search.path_of(id).name != name:
            bad.append(f"lost: {id}, {name}")
            continue
        vector = search.embed(search.path_of(id))
        if not np.array_equal(search.index.reconstruct([id])[0], vector):
            bad.append(f"another vector: {id}")
    bad += [f"still there: {id}" for id in gone & set(search.items)]
    if search.index.ids.tolist() != list(search.items):
        bad.append("index and table differ")
    if len(set(search.paths)) != len(search):
        bad.append("a picture is there twice")
    return bad


# --- A crowd ---------------------------------------------------------------------
def crowd(
    base: Path, *, processes: int, times: int, refused: bool, factory: str = "Flat"
) -> tuple[dict, list[str]]:
    folder, start = begin(base, factory), time.monotonic()

    def work(number: int, say: Callable) -> None:
        rng, refusals, mine = random.Random(number), 0, {}
        search = ImageSearch.load(folder, embedder=FakeEmbedder())
        for i in range(times):
            path = base / "pictures" / f"writer{number}" / f"{number}-{i}.png"
            paint(path, 1000 * (number + 1) + i)
            gone = rng.choice(list(mine)) if i % 10 == 9 else None
            while True:
                search.add(path)
                id = search.id_of(path)
                if gone is not None:
                    search.remove(gone)
                try:
                    search.save(folder, merge=not refused)
                    break
                except SaveConflictError:
                    refusals += 1
                    search = ImageSearch.load(folder, embedder=FakeEmbedder())
            if search.id_of(path) != id:
                raise RuntimeError("an id has changed")
            mine[id] = path.name
            say("added", id, path.name)
            if gone is not None:
                say("removed", gone, mine.pop(gone))
        say("refused", refusals, "")

    children = [forked(lambda say, n=n: work(n, say)) for n in range(processes)]
    living, gone, refusals, bad = {}, set(), 0, []
    for child, pipe in children:
        with pipe:
            lines = [json.loads(line) for line in pipe]
        os.waitpid(child, 0)
        for what, *rest in lines:
            if what == "failed":
                bad.append(f"failed: {rest}")
            elif what == "refused":
                refusals += rest[0]
            elif what == "removed":
                del living[rest[0]]
                gone.add(rest[0])
            elif rest[0] in living.keys() | gone:
                bad.append(f"given twice: {rest[0]}")
            else:
                living[rest[0]] = rest[1]
    counts = {"added": len(living) + len(gone), "removed": len(gone)}
    expected = processes * times
    if counts["added"] != expected:
        bad.append(f"{counts['added']} added, not {expected}")
    bad += check(folder, living, gone)
    left = len(list(folder.glob("generation-*")))
    seconds = round(time.monotonic() - start, 1)
    return {**counts, "refused": refusals, "generations": left, "s": seconds}, bad


# --- Kills -----------------------------------------------------------------------
def kills(
    base: Path, *, times: int, seed: int, factory: str = "Flat"
) -> tuple[dict, list[str]]:
    folder, rng, start = begin(base, factory), random.Random(seed), time.monotonic()
    before = ImageSearch.load(folder, embedder=FakeEmbedder())
    living = {id: item.path.name for id, item in before.items.items()}
    counts, gone, bad = {"added": 0, "removed": 0, "saved": 0}, set(), []

    def work(number: int, say: Callable) -> None:
        rng = random.Random(f"{seed} {number}")
        search = ImageSearch.open(folder, durable=True, embedder=FakeEmbedder())
        for i in range(10_000):
            path = base / "pictures" / f"{number}" / f"{number}-{i}.png"
            paint(path, 1000 * (number + 1) + i)
            search.add(path)
            say("added", search.id_of(path), path.name)
            if rng.random() < 0.3:
                id = rng.choice(list(search.items))
                say("removes", id, "")
                search.remove(id)
                say("removed", id, "")
            if rng.random() < 0.2:
                search.save(folder)
                say("saved", 0, "")

    for number in range(times):
        child, pipe = forked(lambda say, n=number: work(n, say))
        with pipe:
            lines = [pipe.readline()]
            time.sleep(rng.random() * 0.4)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            lines += pipe.readlines()
        doubtful = None
        for what, id, name in map(json.loads, lines):
            doubtful = id if what == "removes" else None
            if what == "failed":
                bad.append(f"failed: {id}")
            elif what in counts:
                counts[what] += 1
            if what == "added":
                living[id] = name
            elif what == "removed":
                del living[id]
                gone.add(id)
        found = ImageSearch.load(folder).items
        if doubtful is not None and doubtful not in found:
            del living[doubtful]
            gone.add(doubtful)
        more = {id: found[id].path.name for id in found.keys() - living.keys()}
        if len(more) > 1:
            bad.append(f"kill {number}: {len(more)} that nobody acknowledged")
        living |= more  # in the journal, and killed before it was said
        bad += [f"kill {number}: {problem}" for problem in check(folder, living, gone)]
    seconds = round(time.monotonic() - start, 1)
    return {"kills": times, **counts, "s": seconds}, bad


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["crowd", "kills"])
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--refused", action="store_true")
    parser.add_argument("--factory", default="Flat")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    faiss.omp_set_num_threads(1)  # FAISS forked after using its threads would hang
    with tempfile.TemporaryDirectory() as base:
        os.environ["LOOKALIKE_CACHE"] = str(Path(base) / "cache.sqlite")
        numbers = {"times": options.times, "factory": options.factory}
        if options.what == "crowd":
            numbers |= {"processes": options.processes, "refused": options.refused}
            found, bad = crowd(Path(base), **numbers)
        else:
            found, bad = kills(Path(base), **numbers, seed=options.seed)
    for problem in bad[:20]:
        print(problem)
    print(json.dumps({**found, "bad": len(bad)}))
    return len(bad) > 0


if __name__ == "__main__":
    sys.exit(main())
