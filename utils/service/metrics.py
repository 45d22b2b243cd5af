"""What happened: numbers for Prometheus, and one line of JSON per request in the log.

Neither holds anything of a picture, a label or a client; a path appears as its route's
pattern.
"""

import json
import logging
from time import perf_counter
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

from utils.service.limits import Message, Receive, Send

log = logging.getLogger("lookalike.service")


class Metrics:
    """Counters of one application; each has a registry of its own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "lookalike_requests", "Answered", ["route", "status"], registry=registry
        )
        self.in_flight = Gauge(
            "lookalike_in_flight", "Requests being answered", registry=registry
        )
        self.seconds = Histogram(
            "lookalike_request_seconds", "To an answer", ["route"], registry=registry
        )
        self.batches = Histogram(
            "lookalike_batch_pictures",
            "Pictures that shared a forward pass",
            registry=registry,
            buckets=(1, 2, 4, 8, 16, 32, 64),
        )

    def text(self) -> bytes:
        """Return all of it in Prometheus's text format."""
        return generate_latest(self.registry)


class Observed:
    """An ASGI application around another, which counts and logs what it answers."""

    def __init__(self, app: Any, metrics: Metrics) -> None:
        self.application = app
        self.metrics = metrics

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request, and note it."""
        if scope["type"] != "http":
            await self.application(scope, receive, send)
            return
        start, status = perf_counter(), 0

        async def noted(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            with self.metrics.in_flight.track_inprogress():
                await self.application(scope, receive, noted)
        finally:
            seconds = perf_counter() - start
            route = getattr(scope.get("route"), "path", "(none)")
            self.metrics.requests.labels(route, status).inc()
            self.metrics.seconds.labels(route).observe(seconds)
            line = {"method": scope["method"], "route": route, "status": status}
            log.info(json.dumps(line | {"ms": round(1000 * seconds, 1)}))
