"""The server: uvicorn, with limits to what a connection may take."""

import threading
import time
from asyncio import TimerHandle, Transport
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from utils.service.limits import MAX_HEADER_BYTES

HEAD_SECONDS = 10.0  # for all of them to arrive
IDLE_SECONDS = 10  # of a connection after an answer


class Connection(H11Protocol):
    """One connection; ended if a request does not begin, or its headers do not end."""

    _patience: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Wait for a request, but only so long."""
        super().connection_made(transport)
        self._patience = self.loop.call_later(HEAD_SECONDS, transport.abort)

    def data_received(self, data: bytes) -> None:
        """Read on; more bytes buy no more time before the headers are whole."""
        super().data_received(data)
        answering = self.cycle is not None and not self.cycle.response_complete
        if answering and self._patience is not None:
            self._patience.cancel()
            self._patience = None
        elif not answering and self._patience is None:
            self._patience = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more is waited for."""
        if self._patience is not None:
            self._patience.cancel()
        super().connection_lost(exc)


def server_of(
    application: Any, host: str, port: int, *, log_level: str = "info"
) -> uvicorn.Server:
    """Return a server to `run`; ended, it first answers what it has accepted."""
    config = uvicorn.Config(
        application,
        host=host,
        port=port,
        http=Connection,
        ws="none",
        log_level=log_level,  # at info it says where it listens
        access_log=False,  # ours says less: no client, no label
        server_header=False,
        proxy_headers=False,  # nobody's word is taken for who asks
        h11_max_incomplete_event_size=MAX_HEADER_BYTES,
        timeout_keep_alive=IDLE_SECONDS,
    )
    return uvicorn.Server(config)


@contextmanager
def running(application: Any) -> Iterator[str]:
    """Serve beside a lesson or a test, on a free port of this computer: the address."""
    server = server_of(application, "127.0.0.1", 0, log_level="warning")
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while thread.is_alive() and not server.started:
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()
