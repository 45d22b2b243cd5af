"""The routes.  Each asks the query handler, as the app does, so both answer alike."""

import asyncio
import mimetypes
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import Annotated, Any, Literal

from anyio import CapacityLimiter, to_thread
from fastapi import Depends, FastAPI, Header, Query, Request, Response
from fastapi import Path as PathParameter
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, ConfigDict, Field

from utils import images
from utils.app.query import (
    INDEXES,
    MAX_LABEL,
    SCORES,
    SUFFIX_BY_FIRST_BYTES,
    Answer,
    Question,
)
from utils.collection.catalogue import Item
from utils.collection.hits import Hit
from utils.embeddings import Embedder
from utils.errors import printable
from utils.service.doors import Served
from utils.service.limits import Limits
from utils.service.metrics import Metrics, Observed
from utils.service.problems import MEDIA_TYPE, Problem, ProblemError, install
from utils.service.settings import Settings

PAGE = Path(__file__).with_name("page")
THUMBNAIL = 256  # pixels of the longer side
CACHED_THUMBNAILS = 512
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "content": {MEDIA_TYPE: {}}, "description": why}
    for status, why in {
        400: "No form or request that can be read",
        408: "The body did not arrive in time",
        413: "Too many bytes",
        422: "No picture that can be read, or a parameter outside its limits",
        503: "All places are taken, or the answer took too long: try again",
    }.items()
}
NOT_FOUND = {404: {"model": Problem, "description": "No picture has this id"}}
TOKEN_NEEDED = {
    401: {"model": Problem, "description": "The token is missing or wrong"},
    403: {"model": Problem, "description": "This service only reads"},
}
BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "image/*": {"schema": {"type": "string", "format": "binary"}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["picture"],
                    "properties": {"picture": {"type": "string", "format": "binary"}},
                }
            },
        },
    }
}

Id = Annotated[int, PathParameter(ge=0, lt=2**63)]


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

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "hits": [
                        {
                            "rank": 1,
                            "id": 412,
                            "label": "mug",
                            "score": 0.83,
                            "picture": "/pictures/412",
                            "thumbnail": "/thumbnails/412",
                        }
                    ],
                    "missed": [],
                    "itself": None,
                    "note": "",
                }
            ]
        }
    )

    hits: list[HitModel]
    missed: list[HitModel]  # true neighbours that the chosen index did not find
    itself: int | None  # the id of the very same file, if it is in the collection
    note: str

    @classmethod
    def of(cls, answer: Answer) -> "AnswerModel":
        """Return a handler's answer as clients see it."""
        return cls(
            hits=[HitModel.of(hit) for hit in answer.hits],
            missed=[HitModel.of(hit) for hit in answer.missed],
            itself=answer.itself,
            note=answer.note,
        )


def create_application(
    folder: str | Path,
    settings: Settings | None = None,
    *,
    embedder: Embedder | None = None,
) -> FastAPI:
    """Make the service for a folder that `ImageSearch.save` wrote.

    The collection is opened when the server starts, and closed when it ends.
    """
    settings, metrics = settings or Settings(), Metrics()

    @asynccontextmanager
    async def lifespan(application: FastAPI) -> AsyncIterator[None]:
        open_ = partial(Served, folder, settings, metrics, embedder=embedder)
        application.state.served = served = await to_thread.run_sync(open_)
        application.state.threads = CapacityLimiter(settings.max_requests)
        renewing = asyncio.create_task(_renew(served, settings.reload_seconds))
        yield
        renewing.cancel()
        await to_thread.run_sync(served.close)

    application = FastAPI(
        title="Lookalike",
        version="1",
        summary="Find the pictures most like a picture.",
        lifespan=lifespan,
        docs_url=None,  # its page would load scripts from elsewhere
        redoc_url=None,
    )
    application.state.settings = settings
    application.state.metrics = metrics
    install(application)
    _add_search(application, settings)
    _add_pictures(application)
    _add_health(application)
    application.mount("/", StaticFiles(directory=PAGE, html=True))
    application.add_middleware(Limits, settings=settings)
    application.add_middleware(Observed, metrics=metrics)
    return application


async def _renew(served: Served, seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds)
        await to_thread.run_sync(served.renew)


def served_of(request: Request) -> Served:
    """Return the collection as it is now; a request keeps the one it began with."""
    return request.app.state.served


Here = Annotated[Served, Depends(served_of)]


async def read_picture(request: Request) -> bytes:
    """Return the picture's bytes: the body itself, or the part `picture` of a form."""
    kind = request.headers.get("content-type", "")
    if not kind.startswith("multipart/form-data"):
        data = await request.body()
    else:
        async with request.form(max_files=1, max_fields=1) as form:
            part = form.get("picture")
            if part is None or isinstance(part, str):
                raise ProblemError(422, "The form must have a file named `picture`.")
            data = await part.read()
    if not data:
        raise ProblemError(422, "The picture must have bytes. Received: none.")
    return data


Picture = Annotated[bytes, Depends(read_picture)]


def check_token(
    request: Request, authorization: Annotated[str | None, Header()] = None
) -> None:
    """Let nobody change the collection who does not know the token."""
    token = request.app.state.settings.token
    if token is None:
        raise ProblemError(
            403, "This service only reads: it was started with no token."
        )
    expected = f"Bearer {token.get_secret_value()}".encode()
    if not secrets.compare_digest((authorization or "").encode(), expected):
        raise ProblemError(
            401,
            "Send the header `Authorization: Bearer …` with the service's token.",
            WWW_Authenticate="Bearer",
        )


async def run(request: Request, function: Callable[..., Any], *args: Any) -> Any:
    """Run a function in a thread, but wait for it only so long."""
    state = request.app.state
    call = to_thread.run_sync(
        function, *args, limiter=state.threads, abandon_on_cancel=True
    )
    try:
        return await asyncio.wait_for(call, state.settings.answer_seconds)
    except TimeoutError as error:
        raise ProblemError(
            503, "The answer took too long. Try again.", Retry_After="1"
        ) from error
    except KeyError as error:
        raise ProblemError(404, "No picture has this id.") from error


class Asked(BaseModel):
    """What to ask of the collection besides the picture: parameters of the address."""

    model_config = ConfigDict(extra="forbid")  # a misspelt limit is no limit

    k: int = Field(5, ge=1)
    index: Literal[*INDEXES] = "Flat"
    nprobe: int = Field(4, ge=1, le=1024)
    metric: Literal[*SCORES] = "cosine"
    label: str | None = Field(None, max_length=200)


def _add_search(application: FastAPI, settings: Settings) -> None:
    def question_of(asked: Annotated[Asked, Query()]) -> Question:
        if asked.k > settings.max_k:
            raise ProblemError(
                422, f"k must be at most {settings.max_k}. Received: {asked.k}."
            )
        return Question(**asked.model_dump())

    asked_for = Depends(question_of)

    @application.post("/search", openapi_extra=BODY, responses=PROBLEMS)
    async def search(
        request: Request,
        served: Here,
        asked: Annotated[Question, asked_for],
        picture: Picture,
    ) -> AnswerModel:
        """Find the pictures most like the one that is sent."""
        return AnswerModel.of(await run(request, served.handler.answer, picture, asked))

    @application.get("/pictures/{id}/similar", responses=PROBLEMS | NOT_FOUND)
    async def similar(
        request: Request, served: Here, asked: Annotated[Question, asked_for], id: Id
    ) -> AnswerModel:
        """Find the pictures most like one of the collection."""
        return AnswerModel.of(await run(request, served.handler.answer_id, id, asked))


def _add_pictures(application: FastAPI) -> None:
    def read(item: Item) -> bytes:
        data = images.read_file(item.path)
        if images.sha256_of(data) != item.sha256:  # nothing but what was indexed
            raise ProblemError(410, "The picture's file has changed since.")
        return data

    @lru_cache(CACHED_THUMBNAILS)
    def shrink(item: Item) -> bytes:
        return images.thumbnail(read(item), THUMBNAIL)

    def item_of(served: Served, id: int) -> Item:
        if id not in served.handler.search.items:
            raise ProblemError(404, "No picture has this id.")
        return served.handler.search.items[id]

    @application.get("/pictures/{id}", responses=PROBLEMS | NOT_FOUND)
    async def picture(request: Request, served: Here, id: Id) -> Response:
        """Return a picture's file as it is."""
        data = await run(request, read, item_of(served, id))
        return Response(data, media_type=media_type(data))

    @application.get("/thumbnails/{id}", responses=PROBLEMS | NOT_FOUND)
    async def thumbnail(request: Request, served: Here, id: Id) -> Response:
        """Return a picture as a small JPEG, at most 256 pixels on a side."""
        data = await run(request, shrink, item_of(served, id))
        return Response(data, media_type="image/jpeg")

    guarded: dict[str, Any] = {"dependencies": [Depends(check_token)]}

    @application.post(
        "/pictures",
        status_code=201,
        openapi_extra=BODY,
        responses=PROBLEMS | TOKEN_NEEDED | {409: {"model": Problem}},
        **guarded,
    )
    async def add(
        request: Request,
        served: Here,
        picture: Picture,
        label: Annotated[str, Query(max_length=MAX_LABEL)] = "",
    ) -> HitModel:
        """Add a picture; it can be found from now on, and survives a crash."""
        return HitModel.of(await run(request, served.add, picture, label))

    @application.delete(
        "/pictures/{id}",
        status_code=204,
        responses=PROBLEMS | TOKEN_NEEDED | NOT_FOUND,
        **guarded,
    )
    async def remove(request: Request, served: Here, id: Id) -> None:
        """Remove a picture."""
        await run(request, served.remove, id)


def _add_health(application: FastAPI) -> None:
    @application.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Say that the process is alive."""
        return {"status": "alive"}

    @application.get("/readyz")
    async def readyz(served: Here) -> dict[str, Any]:
        """Say what is served."""
        handler = served.handler
        return {
            "status": "ready",
            "pictures": len(handler.search),
            "network": handler.network,
            "labels": [printable(label) for label in handler.labels],
            "writable": served.writable,
        }

    @application.get("/metrics")
    async def metrics(request: Request) -> Response:
        """Return counters for Prometheus."""
        text = request.app.state.metrics.text()
        return Response(text, media_type="text/plain; version=0.0.4")


def media_type(data: bytes) -> str:
    """Return the type of a picture's file by its first bytes, whatever its name."""
    suffix = SUFFIX_BY_FIRST_BYTES.get(data[:2], "")
    return mimetypes.types_map.get(suffix, "application/octet-stream")
