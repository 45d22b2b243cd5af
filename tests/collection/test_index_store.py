"""What a saved index must fulfil; `test_vector_index.py` holds the hostile files."""

import io

import numpy as np
import pytest

from utils.collection.faiss_parts import State
from utils.collection.index_store import KINDS, restored_state
from utils.collection.vector_index import VectorIndex
from utils.errors import IndexFileError
from utils.indexes import parse_index


@pytest.fixture
def stored():
    index = VectorIndex(np.eye(4, dtype="float32"), "HNSW8")
    index.remove([1])
    facts, write = index.snapshot()
    file = io.BytesIO()
    write(file)
    return facts, file.getvalue()


def test_a_state_comes_back_from_its_facts_and_content(stored):
    facts, content = stored
    state = restored_state(content, facts, "x")
    assert (state.ids.tolist(), state.dead.tolist()) == ([0, 2, 3], [1])
    assert (state.next_id, state.factory, state.mapped) == (4, "HNSW8", False)
    assert restored_state(parse_index(content, "x"), facts, "x").mapped


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
