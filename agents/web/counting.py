"""Counts the answers of the HTTP server, by route and status."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agents.telemetry import HTTP_REQUESTS

ROUTES = {"/v1/events", "/livez", "/readyz", "/metrics"}
CUSTOMERS = "/v1/customers/"


class Counting:
    """Middleware without a task of its own. A path that is none of ours is counted as `other`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                HTTP_REQUESTS.labels(_route(scope["path"]), message["status"]).inc()
            await send(message)

        await self._app(scope, receive, counted)


def _route(path: str) -> str:
    """The label of a path: names of customers are none."""
    if path.startswith(CUSTOMERS):
        return CUSTOMERS
    return path if path in ROUTES else "other"
