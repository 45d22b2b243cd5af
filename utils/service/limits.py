"""What a request may take, counted in the ASGI layer before anything else sees it.

A framework may spool a whole upload before it calls the route, so a limit that the
route checks comes too late.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from utils.service.problems import ProblemError, describe, problem
from utils.service.settings import Settings

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

RETRY_SECONDS = "1"
MAX_HEADERS, MAX_HEADER_BYTES = 100, 32_768  # browsers send about 20
ALWAYS_OPEN = ("/healthz", "/readyz", "/metrics")  # also when all places are taken
SECURITY_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (
        b"content-security-policy",
        b"default-src 'self'; img-src 'self' blob:; object-src 'none'; "
        b"base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
]


class Limits:
    """An ASGI application around another: places, bytes, seconds, security headers."""

    def __init__(self, app: Any, settings: Settings) -> None:
        self.application = app
        self.settings = settings
        self.places = settings.max_requests

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self.application(scope, receive, send)
            return
        started = False

        async def guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message["headers"], *SECURITY_HEADERS]
            await send(message)

        counts = scope["path"] not in ALWAYS_OPEN
        try:
            if counts and self.places <= 0:
                most = self.settings.max_requests
                detail = f"The service answers {most} requests at once. Try again."
                raise ProblemError(503, detail, Retry_After=RETRY_SECONDS)
            self.places -= counts
            try:
                self._check_head(scope)
                await self.application(scope, self._counted(receive), guarded)
            finally:
                self.places += counts
        except ProblemError as error:
            if not started:
                response = problem(*describe(error))
                response.headers["Connection"] = "close"  # the rest is not read
                await response(scope, receive, guarded)

    def _check_head(self, scope: Message) -> None:
        size = sum(len(name) + len(value) for name, value in scope["headers"])
        if len(scope["headers"]) > MAX_HEADERS or size > MAX_HEADER_BYTES:
            raise ProblemError(431, f"A request may have {MAX_HEADERS} headers.")
        if (length := dict(scope["headers"]).get(b"content-length", b"")).isdigit():
            self._check_bytes(int(length))

    def _check_bytes(self, received: int) -> None:
        if received > (most := self.settings.max_bytes):
            advice = "Send a smaller copy of the picture."
            raise ProblemError(413, f"A request may have {most:,} bytes. {advice}")

    def _counted(self, receive: Receive) -> Receive:
        """Return `receive` with a limit to the bytes, and to the time they take.

        Each byte that has arrived buys a little time: a large picture on a slow line
        gets through, and one byte now and then does not.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + self.settings.body_seconds
        received, complete = 0, False

        async def counted() -> Message:
            nonlocal received, complete
            if complete:  # from here on the client can only leave
                return await receive()
            try:
                async with asyncio.timeout_at(end + received / self.settings.body_rate):
                    message = await receive()
            except TimeoutError as error:
                detail = "The picture did not arrive in time. Send a smaller copy."
                raise ProblemError(408, detail) from error
            received += len(message.get("body", b""))
            self._check_bytes(received)
            complete = not message.get("more_body", False)
            return message

        return counted
