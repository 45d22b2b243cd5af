"""The routes.  Each asks the query handler, as the app does, so both answer alike."""

import asyncio
import mimetypes
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from anyio import CapacityLimiter, to_thread
from fastapi import Depends, FastAPI, Header, Query, Request, Response
from fastapi import Path as PathParameter
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse
from fastapi.staticfiles import StaticFiles

from utils.app.query import MAX_LABEL, SUFFIX_BY_FIRST_BYTES, Question
from utils.embeddings import Embedder
from utils.errors import printable
from utils.service.doors import Served
from utils.service.limits import RETRY_SECONDS, Limits
from utils.service.metrics import Metrics, Observed
from utils.service.models import AnswerModel, HitModel, Problem, Words, asked_within
from utils.service.problems import ProblemError, install, problem, responses
from utils.service.settings import Settings

PAGE = Path(__file__).with_name("page")
REFUSED = responses(400, 408, 413, 422, 431, 503)
BY_ID = responses(404, 410, 422, 503)
GUARDED = responses(401, 403)
FILE = {"type": "string", "format": "binary"}
FORM = {"type": "object", "required": ["picture"], "properties": {"picture": FILE}}
KINDS = {"image/*": {"schema": FILE}, "multipart/form-data": {"schema": FORM}}
BODY = {"requestBody": {"required": True, "content": KINDS}}
PICTURE: dict[int | str, dict[str, Any]] = {
    200: {"description": "The picture", "content": {"image/*": {"schema": FILE}}}
}

Id = Annotated[int, PathParameter(ge=0, lt=2**63)]


def create_application(
    folder: str | Path,
    settings: Settings | None = None,
    embedder: Embedder | None = None,
) -> FastAPI:
    """Make the service for a folder that `ImageSearch.save` wrote.

    The collection is opened at once, and closed when the server ends.
    """
    settings, metrics = settings or Settings(), Metrics()
    served = Served(folder, settings, metrics, embedder=embedder)

    @asynccontextmanager
    async def lifespan(application: FastAPI) -> AsyncIterator[None]:
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
    application.state.settings, application.state.metrics = settings, metrics
    application.state.served = served
    install(application)
    application.add_exception_handler(RequestValidationError, _say_which)
    _add_search(application, settings)
    _add_pictures(application)
    _add_changes(application)
    _add_health(application)
    schemas = application.openapi()["components"]["schemas"]
    schemas["Problem"] = Problem.model_json_schema()
    application.mount("/", StaticFiles(directory=PAGE, html=True))
    application.add_middleware(Limits, settings=settings)
    application.add_middleware(Observed, metrics=metrics)
    return application


async def _say_which(request: Request, error: Any) -> Response:
    # Where and why, never what was received: it may be anything.
    found = (f"{each['loc'][-1]}: {each['msg']}" for each in error.errors())
    return problem(422, "; ".join(found) + ".")


async def _renew(served: Served, seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds)
        await to_thread.run_sync(served.renew)


async def served_of(request: Request) -> Served:
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


async def check_token(
    request: Request, authorization: Annotated[str | None, Header()] = None
) -> None:
    """Let nobody change the collection who does not know the token."""
    token = request.app.state.settings.token
    if token is None:
        detail = "This service only reads: it was started with no token."
        raise ProblemError(403, detail)
    expected = f"Bearer {token.get_secret_value()}".encode()
    if not secrets.compare_digest((authorization or "").encode(), expected):
        detail = "Send the header `Authorization: Bearer …` with the service's token."
        raise ProblemError(401, detail, WWW_Authenticate="Bearer")


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
            503, "The answer took too long. Try again.", Retry_After=RETRY_SECONDS
        ) from error
    except KeyError as error:
        raise ProblemError(404, "No picture has this id.") from error


def _add_search(application: FastAPI, settings: Settings) -> None:
    model: Any = asked_within(settings.max_k)

    async def question_of(asked: Annotated[model, Query()]) -> Question:
        chosen = asked.model_dump(exclude={"label"})
        labels = () if asked.label is None else (asked.label,)
        return Question(**chosen, labels=labels)

    limited: Any = Annotated[Question, Depends(question_of)]

    @application.post("/search", openapi_extra=BODY, responses=REFUSED)
    async def search(
        request: Request, served: Here, asked: limited, picture: Picture
    ) -> AnswerModel:
        """Find the pictures most like the one that is sent."""
        return AnswerModel.of(await run(request, served.handler.answer, picture, asked))

    @application.post("/search/text", responses=REFUSED | responses(404))
    async def search_text(
        request: Request, served: Here, asked: limited, text: Words
    ) -> AnswerModel:
        """Find the pictures that fit words best, where the network takes words."""
        if not served.handler.takes_words:
            raise ProblemError(404, "The network of this collection takes no words.")
        asked = replace(asked, words=text.words)
        return AnswerModel.of(await run(request, served.handler.answer_words, asked))

    @application.get("/pictures/{id}/similar", responses=BY_ID)
    async def similar(
        request: Request, served: Here, asked: limited, id: Id
    ) -> AnswerModel:
        """Find the pictures most like one of the collection."""
        return AnswerModel.of(await run(request, served.handler.answer_id, id, asked))


def _add_pictures(application: FastAPI) -> None:
    @application.get("/pictures/{id}", responses=BY_ID | PICTURE)
    async def picture(request: Request, served: Here, id: Id) -> Response:
        """Return a picture's file as it is."""
        data = await run(request, served.file_of, id)
        suffix = SUFFIX_BY_FIRST_BYTES.get(data[:2], "")  # whatever its name says
        return Response(data, media_type=mimetypes.types_map.get(suffix))

    @application.get("/thumbnails/{id}", responses=BY_ID | PICTURE)
    async def thumbnail(request: Request, served: Here, id: Id) -> Response:
        """Return a picture as a small JPEG, at most 256 pixels on a side."""
        data = await run(request, served.thumbnail_of, id)
        return Response(data, media_type="image/jpeg")


def _add_changes(application: FastAPI) -> None:
    guarded: dict[str, Any] = {"dependencies": [Depends(check_token)]}
    refused = REFUSED | GUARDED | responses(409)

    @application.post(
        "/pictures", status_code=201, openapi_extra=BODY, responses=refused, **guarded
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
        "/pictures/{id}", status_code=204, responses=BY_ID | GUARDED, **guarded
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

    @application.get("/metrics", response_class=PlainTextResponse)
    async def metrics(request: Request) -> Response:
        """Return counters for Prometheus."""
        text = request.app.state.metrics.text()
        return Response(text, media_type="text/plain; version=0.0.4")
