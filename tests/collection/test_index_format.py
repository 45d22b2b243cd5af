"""The strict reader: what we make passes, what others make does not reach FAISS."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hostile import HOSTILE, draw, stored
from test_factory import KEPT

from utils.collection import faiss_parts as parts
from utils.collection.index_format import check_format
from utils.collection.index_store import mapped_file
from utils.collection.vector_index import VectorIndex
from utils.errors import IndexFileError
from utils.indexes import faiss

ROOT = Path(__file__).parents[2]
ONLY_L2 = {"HNSW8_PQ4x4np"}


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    yield
    faiss.omp_set_num_threads(before)


def read_again(index: VectorIndex, path: Path, *, mmap: bool) -> VectorIndex:
    facts, content = stored(index)
    path.write_bytes(content)
    return VectorIndex.restore(mapped_file(path) if mmap else content, facts, "x")


def assert_alike(one: VectorIndex, other: VectorIndex) -> None:
    some = one.ids[::3]
    for ask in (
        lambda index: index.search(draw(9, seed=1), 5),
        lambda index: index.search(draw(9, seed=1), 400),
        lambda index: index.search(draw(9, seed=1), 7, among=some),
        lambda index: (index.ids, index.reconstruct(some)),
    ):
        for mine, theirs in zip(ask(one), ask(other), strict=True):
            np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("mmap", [False, True], ids=["read", "mapped"])
@pytest.mark.parametrize("metric", ["inner_product", "l2"])
@pytest.mark.parametrize("factory", [*KEPT, *ONLY_L2])
@pytest.mark.filterwarnings("ignore:.*points to train")
def test_every_kind_is_saved_read_searched_changed_and_saved(
    factory, metric, mmap, tmp_path
):
    if factory in ONLY_L2 and metric != "l2":
        pytest.skip("FAISS has no such index")
    if factory == "PQ4" and (metric == "l2" or mmap):
        pytest.skip("once is enough: its training takes seconds")
    index = VectorIndex(draw(1100), factory, metric=metric, points_per_cell=4)
    assert not index.fallback
    index.remove([3, 50])
    again = read_again(index, tmp_path / "one", mmap=mmap)
    assert_alike(index, again)
    for changed in index, again:
        changed.remove([0, 7])
        assert changed.add(draw(2, seed=2)).tolist() == [1100, 1101]
    third = read_again(again, tmp_path / "two", mmap=mmap)
    assert_alike(again, third)
    third.compact()
    third.remove(third.ids)  # even of nothing there is a file
    assert len(read_again(third, tmp_path / "three", mmap=mmap)) == 0


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_by_name(name, tmp_path):
    """That no process dies of them, `fuzz_bundles.py` looks at."""
    victim = tmp_path / "victim"
    victim.write_bytes(bytes(20_000))
    facts, content = HOSTILE[name](victim)
    (tmp_path / "index").write_bytes(content)
    for some in content, mapped_file(tmp_path / "index"):
        with pytest.raises(IndexFileError, match=r"some\.faiss: expected an in") as why:
            VectorIndex.restore(some, facts, "some.faiss")
        assert len(str(why.value)) < 700
    assert victim.read_bytes() == bytes(20_000)


@pytest.mark.parametrize(
    ("name", "reason"),
    {
        "an empty list on disk": "ilar, received OnDiskInvertedLists",
        "no chances of levels": "expected the .* chances of levels",
        "a map of 10^9": "IxFI, received another type",
        "a quantizer of 400 for 4 lists": "the number of vectors 4, received 400",
        "a quantizer of 10^6 dimensions": "the dimension 16, received 1000000",
        "a neighbour on a lower level": "neighbours on level 1",
        "nan in Flat": "vectors that are finite",
        "bytes behind the end": "the end of the file, received 4 bytes more",
    }.items(),
)
def test_the_reason_says_what_is_there_and_what_should_be(name, reason, tmp_path):
    (tmp_path / "victim").write_bytes(bytes(20_000))
    facts, content = HOSTILE[name](tmp_path / "victim")
    with pytest.raises(IndexFileError, match=reason):
        VectorIndex.restore(content, facts, "some.faiss")


@pytest.mark.parametrize("factory", ["Flat", "HNSW8_SQ8", "IVF4_HNSW8,PQ4x4np", "SQ8"])
def test_a_file_cut_anywhere_is_refused(factory):
    empty = parts.new_index(16, factory, "inner_product")
    empty = faiss.serialize_index(empty).tobytes()
    _, content = stored(VectorIndex(draw(), factory))
    check_format(content, empty, 300)
    for length in {*range(0, 1000, 7), *range(0, len(content), 501)}:
        with pytest.raises(ValueError, match="at byte"):
            check_format(content[:length], empty, 300)


@pytest.mark.skipif(sys.platform != "linux", reason="forks, and counts in kilobytes")
def test_spoiled_bundles_are_refused_or_work():
    """Random ones and the hostile ones above, in child processes: see the program."""
    program = [sys.executable, str(ROOT / "tests" / "fuzz_bundles.py")]
    done = subprocess.run(
        [*program, "--seconds", "30"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("{"))
    outcomes = json.loads(line)
    assert outcomes["cases"] > 200
    assert outcomes["refused"] > outcomes["cases"] / 2
