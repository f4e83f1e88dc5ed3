"""`POST /v1/events`: usage in any mode of CloudEvents; 2xx means that the broker has it, on every in-sync replica."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request, Response

from agents import telemetry
from agents.clock import wall_time
from agents.intake import Intake, IntakeFull
from agents.owners import Owners
from agents.topics import KafkaUnavailable
from agents.web.access import Access
from agents.web.bodies import Body, Room
from agents.web.modes import events_of
from agents.web.problems import Problem, refused
from pipeline.intake.admission import Admission, admit

BODY_WITHIN_S = 30.0
AT_ONCE = 1_000
RETRY_FULL_S, RETRY_AWAY_S = 1, 5


@dataclass(slots=True)
class Door:
    """What events pass on their way in."""

    intake: Intake
    owners: Owners
    access: Access
    room: Room
    body_bytes: int
    under_way: int = 0
    """Requests that were let in and not answered yet."""
    wall_clock: bool | None = None
    """The kind of clock, which a verdict depends on; None before the first tick."""


def router(door: Door) -> APIRouter:
    """The route."""
    routes = APIRouter(prefix="/v1")

    @routes.post("/events")
    async def events(request: Request, dry_run: Annotated[bool, Query()] = False) -> Response:
        scope = door.access.scope_of(request)
        if door.wall_clock is None:
            raise _come_again("billing time has not begun, so usage cannot be judged: tally tick --start …", "clock")
        async with _let_in(door), Body(request, door.room, limit=door.body_bytes, within_s=BODY_WITHIN_S) as body:
            began = time.perf_counter()
            admission = admit(
                events_of(request.headers, body), now_ms=int(wall_time().timestamp() * 1000),
                wall_clock=door.wall_clock, scope=scope, owner_of=door.owners.of,
            )  # fmt: skip
            if not dry_run:
                await _send(door, admission)
                telemetry.HTTP_ACK_SECONDS.observe(time.perf_counter() - began)
        return _answer(admission, dry_run=dry_run)

    return routes


@asynccontextmanager
async def _let_in(door: Door) -> AsyncIterator[None]:
    """Lets so many in at once; whoever else comes is told to come again. Raises Problem."""
    if door.under_way >= AT_ONCE:
        raise _full(f"{door.under_way} requests are under way")
    door.under_way += 1
    try:
        yield
    finally:
        door.under_way -= 1


async def _send(door: Door, admission: Admission) -> None:
    """Returns once the broker has what was admitted. Raises Problem."""
    records = [(each.key, each.value) for each in admission.admitted]
    if not records:
        return
    telemetry.HTTP_PENDING_BYTES.set(door.intake.pending_bytes)
    try:
        await door.intake.send(records)
    except IntakeFull as full:
        raise _full(str(full)) from full
    except KafkaUnavailable as away:
        telemetry.HTTP_EVENTS.labels("failed").inc(len(records))
        raise _come_again(str(away), "broker") from away


def _answer(admission: Admission, *, dry_run: bool) -> Response:
    accepted = len(admission.admitted)
    telemetry.HTTP_EVENTS.labels("judged" if dry_run else "acknowledged").inc(accepted)
    if admission.refused:
        telemetry.HTTP_EVENTS.labels("refused").inc(len(admission.refused))
        for each in admission.refused:
            telemetry.HTTP_REFUSED.labels(each.reason).inc()
        raise refused(accepted, admission.refused, dry_run=dry_run)
    content = {"accepted": accepted, "dry_run": dry_run}
    return Response(msgspec.json.encode(content), HTTPStatus.OK.value, media_type="application/json")


def _full(detail: str) -> Problem:
    telemetry.HTTP_TURNED_AWAY.labels("full").inc()
    return Problem(HTTPStatus.TOO_MANY_REQUESTS, "busy", detail, retry_after_s=RETRY_FULL_S)


def _come_again(detail: str, why: str) -> Problem:
    telemetry.HTTP_TURNED_AWAY.labels(why).inc()
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", detail, retry_after_s=RETRY_AWAY_S)
