"""Which kinds of index a collection takes, and what it says of the others."""

import numpy as np
import pytest

from utils.collection.factory import LONGEST, check_factory
from utils.collection.vector_index import VectorIndex

KEPT = """
    Flat SQ4 SQ6 SQ8 SQfp16 SQbf16 PQ4 PQ4np PQ8x4np PQ4x6np HNSW HNSW8
    HNSW8,Flat HNSW8_Flat HNSW8_SQ8 PQ2x10np HNSW8_SQfp16 HNSW8,SQ6 IVF4,Flat
    IVF4,SQ8 IVF4,SQ4 IVF4,SQbf16 IVF4,PQ4x4np IVF4,PQ4np IVF4_HNSW,Flat
    IVF4_HNSW8,SQ8 PCA8,Flat IVF4_HNSW8,PQ4x4np PCAR8,SQ8 PCA8,IVF4,Flat
    PCA8,HNSW8 RR8,Flat OPQ4,PQ4x4np OPQ4_8,IVF4,PQ4x4np OPQ4_8,IVF4_HNSW8,SQ8
    L2norm,Flat L2norm,PCA8,L2norm,HNSW8 OPQ4_8,SQfp16 PCA8,HNSW8_SQ8 PCA8,SQ6
""".split()

NEAREST = {
    "IVF4,PQ8x4fs": "IVF4,PQ8x4np",
    "PQ8x4fs": "PQ8x4np",
    "IVF4,PQ8x4fsr": "IVF4,PQ8x4np",
    "RQ4x4": "SQ4",
    "IVF4,RQ2x4": "IVF4,SQ4",
    "IVF4,LSQ2x4": "IVF4,SQ4",
    "IVF4,RaBitQ": "IVF4,SQ4",
    "ITQ16,Flat": "PCA16,Flat",
    "PCAW8,Flat": "PCA8,Flat",
    "PCAWR8,Flat": "PCA8,Flat",
    "IVF4,FlatDedup": "IVF4,Flat",
    "IVF4(HNSW8),SQ8": "IVF4_HNSW8,SQ8",
    "NSG8": "HNSW8",
    "IDMap,Flat": "Flat",
    "IVF4,Flat,RFlat": "IVF4,Flat",
    "Pad32,Flat": "Flat",
}
BEYOND = [
    "IVF2M,Flat",
    "IVF1048577,Flat",
    "HNSW1",
    "HNSW513",
    "IVF4_HNSW1,Flat",
    "PQ17",
]
BEYOND += [
    "PQ17",
    "PQ4x13",
    "HNSW8_PQ16x12",
    "PCA17,Flat",
    "OPQ4_17,PQ4",
    "RR8,PCA9,Flat",
]
BEYOND += ["IVF99999999,Flat", "PCA8," * 4 + "Flat", "Flat" + " " * LONGEST]
BEYOND += ["", "PCA8", "IVF4", "IVF4,", "IVF4,HNSW8", "Flat,Flat", "Flat\n", "ＦＬＡＴ"]
BEYOND += ["IVF٤,Flat", None, 5, b"Flat", ["Flat"]]


@pytest.mark.parametrize("factory", KEPT)
def test_kinds_that_are_kept(factory):
    assert check_factory(factory, 16) >= 0


@pytest.mark.parametrize("factory", NEAREST)
def test_other_kinds_are_refused_when_made_with_the_nearest_that_is_kept(factory):
    near = NEAREST[factory].replace("(", r"\(")
    with pytest.raises(ValueError, match=f"factory must .*Nearest that can: '{near}'"):
        VectorIndex(np.eye(16, dtype="float32"), factory)


@pytest.mark.parametrize("factory", BEYOND, ids=lambda factory: repr(factory)[:20])
def test_strings_beyond_the_bounds_are_refused_and_not_repeated(factory):
    with pytest.raises(ValueError, match=r"factory must name .*Received") as caught:
        check_factory(factory, 16)
    assert len(str(caught.value)) < 500


def test_a_file_has_room_for_the_means_of_its_cells_and_its_codebook():
    assert check_factory("IVF100,Flat", 16) == 100 * 16 * 4
    assert check_factory("PCA8,IVF2k,PQ4x6", 16) == 4 * (2048 * 8 + 8 * 64)
