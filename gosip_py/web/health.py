"""For machines that watch: whether it lives, whether it can work, and its metrics."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping

from gosip_py.metrics import CONTENT_TYPE, Metrics
from gosip_py.web.endpoint import Call, Document, endpoint
from gosip_py.web.problem import Detail, Problem
from gosip_py.web.shapes import Nothing

__all__ = ["HealthResource", "Readiness"]

Readiness = Callable[[], Awaitable[Mapping[str, str]]]
"""What is missing for work, as part ("store", "ports", "disk") and reason; nothing when all is well."""


class HealthResource:
    """/health, /ready and /metrics, open to everybody."""

    def __init__(self, readiness: Readiness, metrics: Metrics) -> None:
        self._readiness = readiness
        self._metrics = metrics

    @endpoint("GET", "/health", role="nobody")
    async def health(self, call: Call[Nothing, Nothing]) -> Document:
        """Answers while the process lives."""
        return Document(json.dumps({"status": "alive"}).encode(), "application/json")

    @endpoint("GET", "/ready", role="nobody")
    async def ready(self, call: Call[Nothing, Nothing]) -> Document:
        """Whether the store, the ports and the disk are fit for work; 503 with what is missing."""
        missing = await self._readiness()
        if missing:
            details = [Detail(part, reason) for part, reason in sorted(missing.items())]
            parts = ", ".join(sorted(missing))
            raise Problem(503, "NOT_READY", f"Not ready: {parts}", details, headers=[("Retry-After", "5")])
        return Document(json.dumps({"status": "ready"}).encode(), "application/json")

    @endpoint("GET", "/metrics", role="nobody", media_type="text/plain")
    async def metrics(self, call: Call[Nothing, Nothing]) -> Document:
        """Every metric, in the text format of Prometheus."""
        return Document(self._metrics.render(), CONTENT_TYPE)
