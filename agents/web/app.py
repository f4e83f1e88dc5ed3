"""The HTTP application, wired in one place: routers get what they need, and nothing is kept in globals.

Another room of the interface is a module beside `events.py` with `router(…)`, included here, below `/v1` and behind the
same `Access`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from agents import tokens
from agents.entitlements import Entitlements
from agents.intake import Intake
from agents.logs import Logs
from agents.owners import Owners
from agents.reservations import ReservationLog
from agents.settings import Settings
from agents.store.balances import BalanceStore
from agents.store.billing import BillingStore
from agents.store.connection import Connection
from agents.store.settlements import SettlementStore
from agents.tokens import Tokens
from agents.topics import USAGE_EVENTS
from agents.web import entitlements as entitlements_web
from agents.web import events, probes
from agents.web.access import Access
from agents.web.bodies import Room
from agents.web.counting import Counting
from agents.web.events import Door
from agents.web.health import ServerHealth
from agents.web.problems import Problem, answer

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]
STOP_WITHIN_S = 5.0


async def create_app(settings: Settings, logs: Logs) -> FastAPI:
    """The application of one deployment, connected. Raises KafkaUnavailable, TopicMissing."""
    intake = Intake(
        settings,
        partitions=await logs.partitions(USAGE_EVENTS),
        pending_bytes=settings.serve_pending_bytes,
        ack_within_s=settings.serve_ack_within_s,
    )
    await intake.start()
    access = Access(Tokens(tokens.place(settings)), host=settings.serve_host)
    door = Door(intake, Owners(), access, Room(settings.serve_pending_bytes), settings.serve_body_bytes)
    connection = Connection(settings)
    entitlements = Entitlements(
        logs, BalanceStore(connection, partitions=await logs.partitions(USAGE_EVENTS)), BillingStore(connection),
        SettlementStore(connection), ReservationLog(logs), door.owners,
    )  # fmt: skip
    health = ServerHealth(door, logs)
    app = FastAPI(
        title="Tally",
        lifespan=_lifespan(door, health, entitlements, logs),
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.include_router(events.router(door))
    app.include_router(entitlements_web.router(entitlements, access, door.room))
    app.include_router(probes.router(health, may_see=access.scope_of))
    app.add_exception_handler(Problem, answer)
    app.add_exception_handler(HTTPException, _nothing_here)
    app.add_middleware(Counting)
    return app


def _lifespan(door: Door, health: ServerHealth, entitlements: Entitlements, logs: Logs) -> Lifespan:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        work = (door.owners.follow(logs), health.watch(), entitlements.reservations.follow(), entitlements.refresh())
        followers = [asyncio.ensure_future(each) for each in work]
        for follower in followers:
            follower.add_done_callback(health.note_end)
        yield
        health.stopping = True
        for follower in followers:
            follower.cancel()
        await asyncio.gather(*followers, return_exceptions=True)
        await door.intake.stop(STOP_WITHIN_S)

    return lifespan


async def _nothing_here(_request: Request, found: Exception) -> Response:
    """What the framework refuses by itself: an unknown path or method."""
    status = HTTPStatus(found.status_code) if isinstance(found, HTTPException) else HTTPStatus.NOT_FOUND
    return Problem(
        status, "not-found", f"{status.phrase}: there are POST /v1/events and GET /v1/customers/…/entitlements/…"
    ).response()
