"""Every error as a problem that a program can read: RFC 9457, never a traceback."""

import logging
from http import HTTPStatus
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from utils.errors import LookalikeError, PictureError, TextError, printable
from utils.service.models import Problem

MEDIA_TYPE = "application/problem+json"
MAX_DETAIL = 500  # characters
log = logging.getLogger("lookalike.service")


class ProblemError(Exception):
    """Ends a request with this status; `detail` is shown to the client."""

    def __init__(self, status: int, detail: str, **headers: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail
        self.headers = {k.replace("_", "-"): v for k, v in headers.items()}


def problem(status: int, detail: str, headers: Any = None) -> JSONResponse:
    """Return the response for a problem."""
    content = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=printable(detail)[:MAX_DETAIL],
    )
    return JSONResponse(content.model_dump(), status, headers, MEDIA_TYPE)


def describe(error: Exception) -> tuple[int, str, Any]:
    """Return the status, the sentence and the headers that an error becomes."""
    if isinstance(error, ProblemError):
        return error.status, error.detail, error.headers
    if isinstance(error, HTTPException):  # no such route or method
        return error.status_code, str(error.detail), error.headers
    if isinstance(error, PictureError | TextError):
        return 422, str(error), None
    if isinstance(error, LookalikeError):
        return 409, str(error), None
    log.error("unexpected error", exc_info=error)
    return 500, "The service failed. What happened is in its log.", None


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what the OpenAPI says of these problems."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": content}
        for status in statuses
    }


def install(application: Starlette) -> None:
    """Let every error of an application end as a problem."""

    def respond(request: Request, error: Exception) -> JSONResponse:
        return problem(*describe(error))

    for kind in (ProblemError, HTTPException, LookalikeError, Exception):
        application.add_exception_handler(kind, respond)
