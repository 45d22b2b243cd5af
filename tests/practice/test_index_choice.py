"""The choice follows FAISS's published questions, fits, and says why."""

import faiss
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from utils.practice.index_choice import choose_cells, choose_code, choose_index

GB = 1e9


def choose(n, d=2048, memory=10_000 * GB, recall=0.95):
    return choose_index(n, d, memory=memory, recall=recall)


def test_exact_results_come_from_a_flat_index_only():
    assert choose(10**6, recall=1).factory == "Flat"
    assert choose(10**6, recall=0.99).factory != "Flat"


def test_a_small_collection_is_compared_with_whole():
    choice = choose(910)
    assert choice.factory == "Flat" and choice.parameters == {}
    assert "1,863,680 numbers" in choice.why


def test_where_memory_is_no_concern_hnsw_is_chosen():
    choice = choose(100_000)
    assert choice.factory == "HNSW32"
    assert list(choice.parameters) == ["efSearch"]


def test_less_memory_means_stronger_compression():
    sizes = [10_000, 8_450, 8_200, 2_056, 2_055, 50, 20]  # bytes a vector
    factories = [choose(100_000, memory=100_000 * size).factory for size in sizes]
    assert factories == [
        "HNSW32",
        "HNSW32",
        "IVF1264,Flat",
        "IVF1264,SQ8",
        "OPQ64_256,IVF1264,PQ64np",
        "OPQ32_128,IVF1264,PQ32np",
        "OPQ8_32,IVF1264,PQ8np",
    ]


def test_what_faiss_publishes_about_the_number_of_cells():
    assert choose_cells(100_000) == 1264  # 4 √n
    assert choose_cells(4_000_000) == 65_536
    assert choose_cells(20_000_000) == 262_144
    assert choose_cells(10**9) == 1_048_576


@given(st.integers(1, 10**10))
def test_there_are_always_enough_vectors_to_train_the_cells(n):
    assert 39 * choose_cells(n) <= n


def test_too_few_vectors_for_cells_are_compared_one_by_one():
    choice = choose(20_000, memory=20_000 * 8_200)
    assert choice.factory == "Flat" and choice.parameters == {}
    assert "20,000 vectors are too few" in choice.why


def test_many_cells_are_found_through_a_graph():
    assert choose(4 * 10**6, memory=10 * GB).factory == "IVF65536_HNSW32,SQ8"


def test_values_to_try_rise_and_stay_below_the_number_of_cells():
    probes = choose(100_000, memory=500e6).parameters["nprobe"]
    assert probes == [2**i for i in range(11)]  # 1264 cells


def test_the_reason_names_what_to_tune_and_how_far():
    assert (
        "Raise nprobe until the recall you measure is 0.9."
        in choose(100_000, memory=500e6, recall=0.9).why
    )
    assert "Raise efSearch" in choose(100_000).why


SIZES = st.integers(1, 10**7), st.sampled_from([8, 16, 64, 512, 2048])
room = st.floats(24, 20_000)


@given(*SIZES, room)
@settings(deadline=None)  # the machine may be busy
def test_every_choice_is_known_to_faiss_and_fits(n, d, room):
    choice = choose(n, d, memory=n * room)
    index = faiss.index_factory(d, choice.factory)
    inner = faiss.extract_index_ivf(index) if "IVF" in choice.factory else index
    assert bytes_a_vector(inner, d) <= room
    for name, values in choice.parameters.items():
        faiss.ParameterSpace().set_index_parameter(index, name, values[0])


def bytes_a_vector(index, d):
    if isinstance(index, faiss.IndexHNSW):
        return 4 * d + 8 * 32
    if isinstance(index, faiss.IndexIVF):
        return index.code_size + 8
    return faiss.downcast_index(index).sa_code_size()


def test_the_least_compression_that_fits_is_taken():
    assert choose_code(64, 4 * 64 + 8)[0] == "{}Flat"
    assert choose_code(64, 4 * 64 + 7)[0] == "{}SQ8"
    assert choose_code(64, 64 + 7)[0] == "OPQ16_64,{}PQ16np"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "n must be a whole number of at least 1. Received: 0"),
        ({"n": 9, "d": 0}, "d must be a whole number of at least 1. Received: 0"),
        ({"n": 9, "recall": 0}, "above 0 and at most 1. Received: 0"),
        ({"n": 9, "recall": 95}, "Write 95 % as 0.95"),
        (
            {"n": 10**6, "recall": 1, "memory": GB},
            "8192 bytes per vector, uncompressed",
        ),
        ({"n": 10**6, "memory": 1e6}, "12 bytes per vector, in the shortest code"),
        ({"n": 10**6, "d": 8, "memory": 15e6}, "16 bytes.*Received: 15\\."),
    ],
)
def test_what_cannot_be_had_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        choose(**arguments)
