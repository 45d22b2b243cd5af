r"""Spoil saved collections at random, and see that each is refused or works.

    python tests/fuzz_bundles.py --seconds 3600 --seed 7

Every case is a bundle with right hashes and wrong content (bytes, lengths, types, parts
of other indexes, facts, the journal), loaded, searched, changed and saved in a process
of its own.
It must end without a signal, raise nothing but our errors and ValueError, take at most
2 s and 500 MB, and touch no file beside it.  ``--case`` runs one again and shows it.
"""

import argparse
import collections
import json
import os
import random
import resource
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE / "collection")]

from hostile import HOSTILE, HUGE_FACTORIES, draw  # noqa: E402
from painted import FakeEmbedder, forge_index, paint  # noqa: E402

from utils.collection import bundles  # noqa: E402
from utils.collection.bundles import JOURNAL, read_bundle  # noqa: E402
from utils.collection.journal import first_sha256, framed, read_records  # noqa: E402
from utils.collection.search import ImageSearch  # noqa: E402
from utils.errors import LookalikeError  # noqa: E402
from utils.indexes import faiss  # noqa: E402

FACTORIES = """
    Flat SQ8 SQfp16 SQbf16 PQ4x4np PQ4np HNSW8 HNSW8_SQ8 IVF4,Flat IVF4,SQ8
    IVF4,PQ4x4np IVF4_HNSW4,Flat PCA8,Flat PCA8,IVF4,SQ8 OPQ4_8,IVF4,PQ4x4np
    L2norm,HNSW8 RR8,Flat
""".split()
TYPES = b"""
    IxFI IxF2 IxFl IxSQ IxPq IxPQ IwFl IwSq IwPQ IxPT IxM2 IxMp IHNf IHNs IHNp
    IHN2 IH00 null LTra rrot Pcam PcAm VNrm VCnt RmDT Viqt HRot ilar ilod il00
    ilbk ilpn full sprs IwPf IPfs IxRF IxRq IxLS IwRQ IwFd IvFl IvPQ INSf Imiq
""".split()
NUMBERS = [0, 1, 2, 3, -1, -2, 15, 17, 64, 255, 299, 301, 4096, 2**16, 2**20, 2**24]
NUMBERS += [2**31 - 1, 2**31, 2**32, 2**33 + 1, 2**40, 2**61, 2**62, 2**63 - 1]
FLOATS = [float("nan"), float("inf"), -float("inf"), 1e30, 3e38, -1e20, 1e16, 0.0]
ODD = [None, True, -1, 0, 2**31, 2**63, 2**70, 1.5, float("nan"), "", "l2", [], {}]
ODD += [[0], "x" * 100_000, "IVF8,Flat", "HNSW64", "PQ8x12np", "SQ4", *HUGE_FACTORIES]
ODD_PATHS = ["../x.png", "/etc/passwd", "/", ".", "a//b", "x" * 300, "C:\\x", "\0"]
FIRST_RANDOM = len(HOSTILE) + 2 * len(FACTORIES)
SECONDS, MEGABYTES, PATIENCE = 2, 500, 30


# --- Spoiling --------------------------------------------------------------------
def flip(rng, content, facts, others):
    for _ in range(rng.choice([1, 1, 2, 8])):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)


def flip_head(rng, content, facts, others):
    content[rng.randrange(min(500, len(content)))] = rng.randrange(256)


def renumber(rng, content, facts, others):
    kind = rng.choice("qqi")
    size = struct.calcsize(kind)
    head = rng.random() < 0.7
    at = rng.randrange(min(600, len(content) - 8) if head else len(content) - 8)
    number = rng.choice(NUMBERS) % (1 << 8 * size)
    content[at : at + size] = number.to_bytes(size, "little")


def spoil_number(rng, content, facts, others):
    at = rng.randrange(len(content) - 4)
    content[at : at + 4] = struct.pack("<f", rng.choice(FLOATS))


def cut(rng, content, facts, others):
    at, length = rng.randrange(len(content)), rng.choice([1, 4, 8, 64, 5000])
    way = rng.randrange(3)
    piece = bytes(content[at : at + length])
    content[at : at + length * (way != 1)] = [b"", piece * 2, b"\0" * len(piece)][way]


def places(content):
    return [at for kind in TYPES for at in [content.find(kind)] if at >= 0]


def retype(rng, content, facts, others):
    if found := places(content):
        at = rng.choice(found)
        content[at : at + 4] = rng.choice(TYPES)


def transplant(rng, content, facts, others):
    """Put a part of another index, from one of its types on, in a part's place."""
    other = rng.choice(others)[1]
    if (mine := places(content)) and (theirs := places(other)):
        at, begin = rng.choice(mine), rng.choice(theirs)
        end = rng.choice([len(other), begin + rng.randrange(4, 500)])
        content[at : at + rng.choice([end - begin, len(content)])] = other[begin:end]


def exchange(rng, content, facts, others):
    content[:] = rng.choice(others)[1]


def misstate(rng, content, facts, others):
    key = rng.choice(sorted(facts))
    facts[key] = rng.choice([*ODD, rng.choice(others)[0][key]])


WAYS = [flip, flip_head, renumber, renumber, spoil_number, cut, retype, transplant]
WAYS += [exchange, misstate, misstate]


def spoiled(
    seed: int, number: int, good: list, victim: Path
) -> tuple[str, dict, bytes]:
    """Return what was done, the facts and the content of a case."""
    rng = random.Random(f"{seed} {number}")
    if number < len(HOSTILE):
        name = list(HOSTILE)[number]
        return name, *HOSTILE[name](victim)
    if number < FIRST_RANDOM:  # mapped or not
        which = (number - len(HOSTILE)) // 2
        return FACTORIES[which], *good[which]
    which = rng.randrange(len(good))
    facts, content = dict(good[which][0]), bytearray(good[which][1])
    ways = rng.choices(WAYS, k=rng.choice([1, 1, 2, 3]))
    for way in ways:
        if len(content) > 16:
            way(rng, content, facts, good)
    name = f"{FACTORIES[which]}: {', '.join(way.__name__ for way in ways)}"
    return name, facts, bytes(content)


def misstate_change(rng, content, facts, others):
    """Put something odd in a place of a record's line of JSON."""
    line, _, vectors = bytes(content).partition(b"\n")
    try:
        place = table = json.loads(line)
        key = rng.choice(sorted(table))
        while isinstance(place[key], list) and place[key] and rng.random() < 0.8:
            place, key = place[key], rng.randrange(len(place[key]))
        place[key] = rng.choice([*ODD, *ODD_PATHS, *range(298, 306)])
        content[:] = json.dumps(table).encode() + b"\n" + vectors
    except (ValueError, TypeError, LookupError):
        flip(rng, content, facts, others)  # it was spoiled already


JOURNAL_WAYS = [flip, cut, spoil_number, *[misstate_change] * 5]


def spoiled_journal(seed: int, number: int, good: list[bytes], path: Path) -> bytes:
    """Return a journal whose hashes fit, or hardly."""
    rng = random.Random(f"{seed} {number} journal")
    payloads, content = list(good), b""
    if rng.random() < 0.2:
        payloads = rng.choices(good, k=4)
    for _ in range(rng.choice([0, 1, 1, 1, 3])):
        which = rng.randrange(len(payloads))
        spoiled = bytearray(payloads[which])
        if len(spoiled) > 16:
            rng.choice(JOURNAL_WAYS)(rng, spoiled, {}, [])
        payloads[which] = bytes(spoiled)
    sha256 = first_sha256(path)
    for payload in payloads:
        record = framed(payload, sha256)
        content, sha256 = content + record, record[8:40]
    if rng.random() < 0.2:
        flipped = bytearray(content)
        rng.choice([flip, renumber, cut])(rng, flipped, {}, [])
        content = bytes(flipped)
    return content


# --- Using -----------------------------------------------------------------------
class Scene:
    """A collection to be spoiled, and files beside it that must stay as they are."""

    def __init__(self, base: Path) -> None:
        self.folder, self.outside = base / "bundle", base / "outside"
        self.embedder = FakeEmbedder()
        for i in range(300):
            paint(base / "pictures" / "abc"[i % 3] / f"{i}.png", i)
        self.more = [paint(base / "more" / f"{i}.png", 1000 + i) for i in range(3)]
        self.victim = self.outside / "victim"
        self.outside.mkdir()
        self.victim.write_bytes(bytes(range(256)) * 80)
        search = ImageSearch.from_folder(base / "pictures", embedder=self.embedder)
        self.vectors = search.index.reconstruct(search.index.ids)
        self.good = []
        for factory in FACTORIES:
            search.index.retrain(self.vectors, factory=factory)
            search.save(self.folder)
            bundle = read_bundle(self.folder)
            self.good.append((bundle.facts["index"], bundle.files["index.faiss"]))
        self.bundle, self.payloads = bundle, self.make_journal()

    def make_journal(self) -> list[bytes]:
        """Return records of a few changes to any of these collections."""
        pictures = self.folder.parent / "pictures"
        with ImageSearch.open(
            self.folder, durable=True, embedder=self.embedder
        ) as search:
            search.add([paint(pictures / "d" / f"{i}.png", 2000 + i) for i in range(3)])
            search.remove([7, 8, 301])
            search.add(search.path_of(9), "other")
        bundle = read_bundle(self.folder)
        return read_records(bundle.journal, bundle.folder / JOURNAL).payloads

    def forge(self, seed: int, number: int) -> str:
        """Put a case in the folder, and return what it is."""
        name, facts, content = spoiled(seed, number, self.good, self.victim)
        with_journal = number >= FIRST_RANDOM and number % 3 == 0
        if with_journal:
            which = number % len(self.good)
            name, (facts, content) = f"{FACTORIES[which]}: journal", self.good[which]
        forge_index(self.bundle, self.folder, facts, content)
        if with_journal:
            path = read_bundle(self.folder).folder / JOURNAL
            path.write_bytes(spoiled_journal(seed, number, self.payloads, path))
        return name

    def use(self, number: int) -> None:
        """Do everything that one does with a collection."""
        queries = draw(3, seed=1)
        search = ImageSearch.open(
            self.folder,
            embedder=self.embedder,
            mmap=bool(number % 2),
            durable=number % 5 == 0,
        )
        index = search.index
        for k in (1, 5, 400):
            index.search(queries, k)
        index.search(queries, 3, among=index.ids[:7])
        index.reconstruct(index.ids[:5])
        search.search(self.more[0], k=5)
        copy = index.copy()
        copy.retrain(self.vectors[: len(copy)])
        index.needs_retraining()
        search.remove(index.ids[:2].tolist())
        search.add(self.more)
        search.index.compact()
        search.save(self.folder)
        ImageSearch.load(self.folder, embedder=self.embedder).index.search(queries, 5)

    def seen_outside(self) -> dict[str, bytes]:
        paths = sorted(self.outside.rglob("*"))
        return {path.name: path.read_bytes() for path in paths if path.is_file()}


def run(scene: Scene, number: int) -> str:
    """Use the collection in a process of its own; return what came of it."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        os.close(reader)
        os._exit(_child(scene, number, writer))
    os.close(writer)
    signal.alarm(PATIENCE)
    try:
        with open(reader, "rb") as pipe:
            report = pipe.read().decode()
        _, status, used = os.wait4(child, 0)
    except TimeoutError:
        os.kill(child, signal.SIGKILL)
        os.wait4(child, 0)
        return f"BAD: still running after {PATIENCE} s"
    finally:
        signal.alarm(0)
    seconds = used.ru_utime + used.ru_stime
    megabytes = (used.ru_maxrss - before) // 1024
    if os.WIFSIGNALED(status):
        return f"BAD: {signal.Signals(os.WTERMSIG(status)).name}"
    if seconds > SECONDS or megabytes > MEGABYTES:
        return f"BAD: {seconds:.1f} s and {megabytes} MB, {report}"
    return report


def _child(scene: Scene, number: int, writer: int) -> int:
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)  # FAISS's warnings
    try:
        scene.use(number)
        report = "works"
    except LookalikeError as error:
        report = "refused" if len(str(error)) < 2000 else "BAD: it echoes content"
    except ValueError:
        report = "ValueError"
    except BaseException:
        report = f"BAD: {traceback.format_exc()}"
    os.write(writer, report[-3000:].encode(errors="replace"))
    return 0


def prepare() -> None:
    """Make this process one that may be forked, and quick."""
    # FAISS forked after it has used its threads would hang; and nothing here has to
    # survive a power cut.
    warnings.simplefilter("ignore")
    faiss.omp_set_num_threads(1)
    os.fsync = bundles.os.fsync = lambda _: None
    signal.signal(signal.SIGALRM, _out_of_patience)


def _out_of_patience(*_: object) -> None:
    raise TimeoutError


def fuzz(scene: Scene, *, seconds: float, seed: int) -> tuple[dict, list[str]]:
    """Run cases until the time is over; return counts of outcomes, and what was bad."""
    outcomes: collections.Counter = collections.Counter()
    bad, number, end = [], 0, time.monotonic() + seconds
    untouched = scene.seen_outside()
    while time.monotonic() < end or number < FIRST_RANDOM:
        name = scene.forge(seed, number)
        report = run(scene, number)
        expected = "refused" if number < len(HOSTILE) else "works"
        if number < FIRST_RANDOM and report != expected:
            report = f"BAD: {report}, not {expected}"
        if scene.seen_outside() != untouched:
            report = "BAD: a file outside was touched"
            scene.victim.write_bytes(untouched["victim"])
        if report.startswith("BAD"):
            bad.append(f"case {number} ({name}): {report}")
        outcomes[report.split(":")[0]] += 1
        number += 1
    return dict(outcomes), bad


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", type=int, help="only this one, in this process")
    options = parser.parse_args()
    prepare()
    with tempfile.TemporaryDirectory() as base:
        scene = Scene(Path(base))
        if options.case is not None:
            print(scene.forge(options.seed, options.case))
            print(json.dumps(read_bundle(scene.folder).facts)[:1000])
            print(read_bundle(scene.folder).journal[:2000])
            scene.use(options.case)
            return 0
        outcomes, bad = fuzz(scene, seconds=options.seconds, seed=options.seed)
    for problem in bad:
        print(problem)
    print(json.dumps({"cases": sum(outcomes.values()), **outcomes}))
    return len(bad) > 0


if __name__ == "__main__":
    sys.exit(main())
