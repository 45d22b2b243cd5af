"""What a saved index must fulfil; `test_vector_index.py` holds the hostile files."""

import gc
import io

import numpy as np
import pytest

from utils.collection.faiss_parts import State
from utils.collection.index_store import BOUNDS, KINDS, mapped_file, restored_state
from utils.collection.vector_index import VectorIndex
from utils.errors import IndexFileError


@pytest.fixture
def stored():
    index = VectorIndex(np.eye(4, dtype="float32"), "HNSW8")
    index.remove([1])
    facts, write = index.snapshot()
    file = io.BytesIO()
    write(file)
    return facts, file.getvalue()


def test_a_state_comes_back_from_its_facts_and_content(stored, tmp_path):
    facts, content = stored
    state = restored_state(content, facts, "x")
    assert (state.ids.tolist(), state.dead.tolist()) == ([0, 2, 3], [1])
    assert (state.next_id, state.factory, state.mapped) == (4, "HNSW8", False)
    (tmp_path / "x").write_bytes(content)
    assert restored_state(mapped_file(tmp_path / "x"), facts, "x").mapped


@pytest.mark.parametrize("name", [*KINDS, "tombstones"])
def test_each_fact_is_needed_and_of_its_kind(stored, name):
    facts, content = stored
    for wrong in ({k: v for k, v in facts.items() if k != name}, facts | {name: b"3"}):
        with pytest.raises(IndexFileError, match=f"x: expected facts .*{name}"):
            restored_state(content, wrong, "x")


def test_facts_of_an_earlier_version_are_read(stored):
    facts, content = stored
    facts["of a later version"] = 3
    assert restored_state(content, facts | {"nprobe": 1}, "x").ids.tolist() == [0, 2, 3]


def test_a_state_that_does_not_add_up_cannot_be_made(stored):
    facts, content = stored
    state = restored_state(content, facts, "x")
    with pytest.raises(RuntimeError, match="FAISS holds 4 vectors. Expected: 2 and 1"):
        State(**{**vars(state), "ids": state.ids[:2]})


@pytest.mark.parametrize("name", BOUNDS)
def test_numbers_out_of_bounds_are_refused(stored, name):
    facts, content = stored
    for wrong in -1, 2**63, 2**70, float("nan"):
        wrong = type(facts[name])(wrong) if wrong == wrong else wrong
        with pytest.raises(IndexFileError, match="x: expected"):
            restored_state(content, facts | {name: wrong}, "x")


def test_a_file_that_cannot_be_mapped_is_named(tmp_path):
    (tmp_path / "empty").touch()
    for name in "empty", "missing":
        with pytest.raises(IndexFileError, match=f"{name}: expected an index to map"):
            mapped_file(tmp_path / name)


def test_a_map_lives_as_long_as_its_index(stored, tmp_path):
    facts, content = stored
    (tmp_path / "x").write_bytes(content)
    index = VectorIndex.restore(mapped_file(tmp_path / "x"), facts, "x")
    gc.collect()
    assert index.search(np.eye(4, dtype="float32")[:1], 1)[1].tolist() == [[0]]
