"""`/livez`, `/readyz` and `/metrics`: the same three of every process of Tally."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from fastapi import APIRouter, Request, Response

from agents.telemetry import exposition

PLAIN = "text/plain; charset=utf-8"
METRICS = "text/plain; version=0.0.4; charset=utf-8"


class Health(Protocol):
    """What a process knows of itself; each an empty sequence if all is well."""

    def not_live(self) -> Sequence[str]:
        """Why the process should be restarted."""

    def not_ready(self) -> Sequence[str]:
        """Why it cannot do its work now, though a restart would not help."""


def router(health: Health, *, may_see: Callable[[Request], object]) -> APIRouter:
    """The routes. `may_see` raises Problem for who may not read the metrics."""
    routes = APIRouter()

    @routes.get("/livez")
    async def livez() -> Response:
        return _said("live", health.not_live())

    @routes.get("/readyz")
    async def readyz() -> Response:
        return _said("ready", health.not_ready())

    @routes.get("/metrics")
    async def metrics(request: Request) -> Response:
        may_see(request)
        return Response(exposition(), media_type=METRICS)

    return routes


def _said(well: str, faults: Sequence[str]) -> Response:
    text = "\n".join(faults) if faults else well
    return Response(text + "\n", 503 if faults else 200, media_type=PLAIN)
