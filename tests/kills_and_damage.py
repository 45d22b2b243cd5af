"""Kill, damage and crowd a saved collection at length, and see what is lost.

    python tests/kills_and_damage.py                 # all but pictures: some minutes
    python tests/kills_and_damage.py save bits       # some of it
    python tests/kills_and_damage.py pictures --folder odd/

``save``, ``cache``, ``update``: a process that does so is killed, again and again;
``bits``: one bit of a saved collection is flipped, or a file cut; ``steps``: random
changes, beside a dict that says what should be there; ``beside``: threads search while
another changes the collection; ``disk``: saves onto a disk that is full; ``pictures``:
every file of a folder is read as if it were a picture.  Prints counts; the exit status
is 1 if anything was bad.
"""

import argparse
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE), str(HERE / "collection")]

from painted import FakeEmbedder, paint  # noqa: E402
from writers_at_once import begin, check, forked  # noqa: E402

from utils import images  # noqa: E402
from utils.collection.cache import VectorCache  # noqa: E402
from utils.collection.search import ImageSearch  # noqa: E402
from utils.errors import LookalikeError, PictureError  # noqa: E402
from utils.indexes import faiss  # noqa: E402

Found = tuple[dict, list[str]]  # counts, and what was bad
TIMES = {"save": 90, "cache": 60, "update": 60, "bits": 1650, "steps": 2400}
TIMES |= {"beside": 17_500, "disk": 60}
PICTURE_SECONDS, PICTURE_MB = 5, 400


def load(folder: Path, **options: bool) -> ImageSearch:
    return ImageSearch.load(folder, embedder=FakeEmbedder(), **options)


def name_of(search: ImageSearch) -> dict[int, str]:
    return {id: item.path.name for id, item in search.items.items()}


# --- Kills -----------------------------------------------------------------------
def killed(work: Callable, longest: float, rng: random.Random) -> list[list]:
    """Kill a process a while after its first word; return all that it said."""
    child, pipe = forked(work)
    with pipe:
        lines = [pipe.readline()]
        time.sleep(rng.random() * longest)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        lines += pipe.readlines()
    return [json.loads(line) for line in lines if line.endswith("\n")]


def kills_in_save(base: Path, times: int, rng: random.Random) -> Found:
    """What a kill leaves is what was saved before it, or what was being saved."""
    folder, bad, saves = begin(base, "IVF4,Flat"), [], 0

    def work(number: int, say: Callable) -> None:
        search = load(folder)
        say("saved", len(search))
        for i in count():
            path = base / "pictures" / f"{number}" / f"{number}-{i}.png"
            search.add(paint(path, 1000 * (number + 1) + i))
            say("saves", len(search))
            search.save(folder)
            say("saved", len(search))

    for number in range(times):
        words = killed(lambda say, n=number: work(n, say), 0.2, rng)
        bad += [f"save {number}: {word}" for word in words if word[0] == "failed"]
        saved = [length for what, length in words if what == "saved"]
        saves += len(saved) - 1
        search = load(folder)
        if len(search) not in (saved[-1], words[-1][1]):
            bad.append(f"save {number}: {len(search)} pictures, not {saved[-1]}")
        problems = check(folder, name_of(search), set())
        bad += [f"save {number}: {problem}" for problem in problems]
    return {"kills": times, "saves": saves, "pictures": len(search)}, bad


def kills_in_cache(base: Path, times: int, rng: random.Random) -> Found:
    """No vector is lost that a process has put before it was killed."""
    path, rows = base / "killed.sqlite", 0
    vectors = np.random.default_rng(0).random((500, 64), np.float32)
    known: set[str] = set()

    def work(number: int, say: Callable) -> None:
        with VectorCache(path) as cache:
            say(0)
            for i in count(1):
                names = [f"{number}-{i}-{row}" for row in range(len(vectors))]
                cache.put("p", names, vectors)
                say(i)

    for number in range(times):
        last = killed(lambda say, n=number: work(n, say), 0.3, rng)[-1][0]
        known |= {
            f"{number}-{i}-{row}" for i in range(1, last + 1) for row in range(500)
        }
    with VectorCache(path) as cache:
        found = cache.get("p", list(known))
    for sha256 in known:
        right = vectors[int(sha256.rsplit("-", 1)[1])]
        rows += sha256 in found and np.array_equal(found[sha256], right)
    lost = [f"lost: {len(known) - rows} of {len(known)} rows"] * (rows < len(known))
    return {"kills": times, "rows": rows}, lost


def kills_in_update(base: Path, times: int, rng: random.Random) -> Found:
    """After a kill the collection is as before or as after, and goes on from there."""
    folder, bad = begin(base, "Flat"), []

    def work(number: int, say: Callable) -> None:
        search = load(folder)
        say("begun")
        for i in count():
            for j in range(5):  # some new, some changed
                paint(base / "pictures" / "first" / f"{(7 * i + j) % 90}.png", i + j)
            search.update()
            search.save(folder)

    for number in range(times):
        words = killed(lambda say, n=number: work(n, say), 0.3, rng)
        bad += [f"update {number}: {word}" for word in words if word[0] == "failed"]
        search = load(folder)
        if search.index.ids.tolist() != list(search.items):
            bad.append(f"update {number}: index and table differ")
        search.update()
        if search.check():
            bad.append(f"update {number}: {len(search.check())} differ from the folder")
        search.save(folder)
        bad += check(folder, name_of(search), set())
    return {"kills": times, "pictures": len(search)}, bad


# --- Damage ----------------------------------------------------------------------
def damage(base: Path, times: int, rng: random.Random) -> Found:
    """A flipped bit or a cut is refused by name, whether the file is mapped or not."""
    folder, counts, bad = begin(base, "Flat"), Counter(), []
    query = next((base / "pictures").rglob("*.png"))
    truth = [(hit.id, hit.score) for hit in load(folder).search(query, k=5)]
    files = [path for path in sorted(folder.rglob("*")) if path.stat().st_size]
    files = [path for path in files if path.is_file()]
    for number in range(times):
        path, mmap = rng.choice(files), number % 2 == 1
        good = path.read_bytes()
        spoiled = bytearray(good)
        at = rng.randrange(len(good))
        if number % 3:
            spoiled[at] ^= 1 << rng.randrange(8)
        else:
            del spoiled[at:]
        path.write_bytes(spoiled)
        try:
            hits = load(folder, mmap=mmap).search(query, k=5)
            same = [(hit.id, hit.score) for hit in hits] == truth
            counts["harmless" if same else "wrong"] += 1
            if not same:
                bad.append(f"{path.name} at {at}: wrong answers")
        except LookalikeError:
            counts["refused"] += 1
        except Exception as error:
            bad.append(f"{path.name} at {at}: {error!r}")
        path.write_bytes(good)
    return {"flips and cuts": times, **counts}, bad


# --- Changes ---------------------------------------------------------------------
def random_steps(base: Path, times: int, rng: random.Random) -> Found:
    """Add, change, remove, save, load, retrain: the collection is what a dict says."""
    folder, counts, bad = begin(base, "HNSW8"), Counter(), []
    search = load(folder)
    expected, gone = name_of(search), set()
    factories = ["Flat", "HNSW8", "IVF4,Flat", "SQ8", "PCA8,Flat"]
    for number in range(times):
        step = rng.choice(["add", "change", "remove", "save", "load", "retrain"])
        counts[step] += 1
        if step == "add":
            path = paint(base / "pictures" / "more" / f"{number}.png", 9000 + number)
            search.add(path)
            expected[search.id_of(path)] = path.name
        elif step == "change":
            id = rng.choice(list(expected))
            path = paint(search.path_of(id), 90_000 + number)
            search.add(path)
            gone.add(id)
            del expected[id]
            expected[search.id_of(path)] = path.name
        elif step == "remove" and len(expected) > 40:
            id = rng.choice(list(expected))
            search.remove(id)
            gone.add(id)
            del expected[id]
        elif step in ("save", "load"):
            search.save(folder)
            search = load(folder) if step == "load" else search
        elif step == "retrain":
            search.retrain(factory=rng.choice(factories))
        ids = search.index.ids.tolist()
        if name_of(search) != expected or sorted(ids) != sorted(expected):
            bad.append(f"step {number}, {step}: {len(search)}, not {len(expected)}")
        if gone & set(ids):
            bad.append(f"step {number}, {step}: an id has come back")
        id = rng.choice(list(expected))
        hits = search.search(search.path_of(id), k=1)
        counts["finds itself"] += [hit.id for hit in hits] == [id]
    return {"steps": times, **counts}, bad


def beside(base: Path, times: int, rng: random.Random) -> Found:
    """Threads that search beside a change see whole collections, and only those."""
    search, bad, done = load(begin(base, "IVF4,Flat")), [], Counter()
    paths = search.paths[:20]  # which stay

    def look(number: int) -> None:
        for i in range(times // 4):
            at = (i + number) % len(paths)
            ids = [hit.id for hit in search.search(paths[at], k=3)]
            if ids[:1] != [at] or len(set(ids)) < 3:
                bad.append(f"search {i}: {ids}, not {at} first")
            done["searches"] += 1

    def change() -> None:
        for i in count():
            if not any(thread.is_alive() for thread in looking):
                return
            path = paint(base / "pictures" / "more" / f"{i}.png", 5000 + i)
            search.add(path)
            if i % 2:
                search.remove(path)
            if i % 50 == 49:
                search.retrain()
            done["changes"] += 1

    looking = [threading.Thread(target=look, args=[n]) for n in range(4)]
    for thread in looking:
        thread.start()
    change()
    return dict(done), bad


# --- Disks and pictures ------------------------------------------------------------
def full_disk(base: Path, times: int, rng: random.Random) -> Found:
    """A save that does not fit leaves what was there, and says which folder."""
    disk, bad, counts = base / "disk", [], Counter()
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return {"skipped": "no right to mount a small disk"}, []
    try:
        search, folder = load(begin(base, "Flat")), disk / "saved"
        search.save(folder)
        for number in range(times):
            before = len(load(folder))
            filler = disk / "filler"
            free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
            filler.write_bytes(bytes(rng.randrange(free + 1)))
            search.add(paint(base / "pictures" / "more" / f"{number}.png", number))
            try:
                search.save(folder)
                counts["saved"], before = counts["saved"] + 1, len(search)
            except OSError as error:
                counts["refused"] += 1
                if str(folder) not in str(error):
                    bad.append(f"save {number}: which folder? {error}")
            filler.unlink()
            if len(load(folder)) != before:
                bad.append(f"save {number}: {len(load(folder))}, not {before}")
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    return {"saves": times, **counts}, bad


def odd_pictures(folder: Path) -> Found:
    """Every file is a picture, or refused by our error, within time and memory."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    counts, bad, at, slowest = Counter(), [], 0, 0.0
    most = 0

    def work(start: int, say: Callable) -> None:
        images.load_picture(np.zeros((9, 9, 3), np.uint8), 64)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for path in paths[start:]:
            begun = time.perf_counter()
            try:
                images.load_picture(path, 64)
                outcome = "read"
            except PictureError as error:
                outcome = "refused" if str(path) in str(error) else "not named"
            except Exception as error:
                outcome = repr(error)[:200]
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            say(outcome, time.perf_counter() - begun, (peak - before) / 1000)

    while at < len(paths):
        child, pipe = forked(lambda say, start=at: work(start, say))
        with pipe:
            for line in pipe:
                outcome, seconds, megabytes = json.loads(line)
                slowest, most = max(slowest, seconds), max(most, megabytes)
                if outcome in ("read", "refused"):
                    counts[outcome] += 1
                else:
                    bad.append(f"{paths[at]}: {outcome}")
                if seconds > PICTURE_SECONDS:
                    bad.append(f"{paths[at]}: {seconds:.1f} s")
                at += 1
        status = os.waitpid(child, 0)[1]
        if at < len(paths):
            bad.append(f"{paths[at]}: the process ended with status {status}")
            at += 1
    if most > PICTURE_MB:
        bad.append(f"{most:.0f} MB")
    peak = {"slowest s": round(slowest, 2), "most MB": round(most)}
    return {"files": len(paths), **counts, **peak}, bad


PROGRAMS = {"save": kills_in_save, "cache": kills_in_cache, "update": kills_in_update}
PROGRAMS |= {"bits": damage, "steps": random_steps, "beside": beside, "disk": full_disk}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="*", help=", ".join([*PROGRAMS, "pictures"]))
    parser.add_argument("--times", type=int, help="for each; default: as stated")
    parser.add_argument("--folder", type=Path, help="of odd pictures")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    faiss.omp_set_num_threads(1)  # FAISS forked after using its threads would hang
    failed = 0
    for what in options.what or PROGRAMS:
        start = time.monotonic()
        with tempfile.TemporaryDirectory() as base:
            os.environ["LOOKALIKE_CACHE"] = str(Path(base) / "cache.sqlite")
            if what == "pictures":
                found, bad = odd_pictures(options.folder)
            else:
                times, rng = options.times or TIMES[what], random.Random(options.seed)
                found, bad = PROGRAMS[what](Path(base), times, rng)
        for problem in bad[:20]:
            print(problem)
        seconds = round(time.monotonic() - start, 1)
        numbers = {what: found, "bad": len(bad), "s": seconds}
        print(json.dumps(numbers), flush=True)
        failed += len(bad)
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
