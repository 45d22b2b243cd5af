"""What is sent and received, as Pydantic models; the OpenAPI is made from them."""

from typing import Any, Literal

import pydantic
from pydantic import BaseModel, ConfigDict, Field

from utils.app.query import Answer
from utils.collection.hits import Hit
from utils.errors import printable

ADDRESSES: dict[str, Any] = {"picture": "/pictures/7", "thumbnail": "/thumbnails/7"}
HIT = {"rank": 1, "id": 7, "label": "mug", "score": 0.83} | ADDRESSES
ANSWER: dict[str, Any] = {"hits": [HIT], "missed": [], "itself": None, "note": ""}


class HitModel(BaseModel):
    """One result."""

    rank: int
    id: int
    label: str
    score: float
    picture: str
    thumbnail: str

    @classmethod
    def of(cls, hit: Hit) -> "HitModel":
        """Return a hit as clients see it: by its id, never by a path."""
        return cls(
            rank=hit.rank,
            id=hit.id,
            label=printable(hit.label),  # a folder's name need not be valid text
            score=hit.score,
            picture=f"/pictures/{hit.id}",
            thumbnail=f"/thumbnails/{hit.id}",
        )


class AnswerModel(BaseModel):
    """What was found, best first."""

    model_config = ConfigDict(json_schema_extra={"examples": [ANSWER]})

    hits: list[HitModel]
    missed: list[HitModel]  # true neighbours that the chosen index did not find
    itself: int | None  # the id of the very same file, if it is in the collection
    note: str

    @classmethod
    def of(cls, answer: Answer) -> "AnswerModel":
        """Return a handler's answer as clients see it."""
        hits = [HitModel.of(hit) for hit in answer.hits]
        missed = [HitModel.of(hit) for hit in answer.missed]
        return cls(hits=hits, missed=missed, itself=answer.itself, note=answer.note)


class Asked(BaseModel):
    """What to ask of the collection besides the picture: parameters of the address."""

    model_config = ConfigDict(extra="forbid")  # a misspelt limit is no limit

    k: int = Field(default=5, ge=1)
    index: Literal["Flat", "IVF", "HNSW"] = "Flat"
    nprobe: int = Field(default=4, ge=1, le=1024)
    metric: Literal["cosine", "Euclidean"] = "cosine"
    label: str | None = Field(default=None, max_length=200)


class Words(BaseModel):
    """What the pictures should show."""

    words: str = Field(min_length=1, max_length=10_000, examples=["a red mug"])


def asked_within(max_k: int) -> type[Asked]:
    """Return the model for a service that takes no larger k."""
    k = (int, Field(default=min(5, max_k), ge=1, le=max_k))
    return pydantic.create_model("Asked", __base__=Asked, k=k)


class Problem(BaseModel):
    """What went wrong, and what to do: RFC 9457."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
