"""`/v1/customers/{customer}/entitlements/{meter}`: how much is left, and reservations for who must not overspend."""

from __future__ import annotations

import time
from http import HTTPStatus
from uuid import uuid4

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError

from agents.entitlements import Entitlements, Standing, answer
from agents.telemetry import RESERVATIONS
from agents.topics import KafkaUnavailable
from agents.web.access import Access
from agents.web.bodies import Body, Room
from agents.web.problems import Problem
from pipeline.intake.scope import may_see
from pipeline.limits.reservations import Verdict
from schemas.quantity import plain
from schemas.reservation import Release, ReservationAnswer, ReservationRequest, Reserve

WITHIN_S = 10.0
TOO_OLD_S = 30.0
BODY_BYTES = 16 * 1024
JSON = "application/json"
PLACE = "/v1/customers/{customer:path}/entitlements/{meter:path}"


def router(entitlements: Entitlements, access: Access, room: Room) -> APIRouter:
    """The routes. Reservations come first: a meter's name may hold a slash."""
    routes = APIRouter()

    @routes.post(PLACE + "/reservations")
    async def reserve(request: Request, customer: str, meter: str) -> Response:
        _check_scope(access, request, customer)
        async with Body(request, room, limit=BODY_BYTES, within_s=WITHIN_S) as body:
            return await _reserve(entitlements, customer, meter, body)

    @routes.delete(PLACE + "/reservations/{name:path}")
    async def release(request: Request, customer: str, meter: str, name: str) -> Response:
        _check_scope(access, request, customer)
        try:
            await entitlements.reservations.append(Release(customer=customer, meter=meter, id=name))
        except ValidationError:
            raise Problem(HTTPStatus.BAD_REQUEST, "not-a-reservation", "a name has 1 to 200 letters") from None
        except KafkaUnavailable as away:
            raise _come_again(str(away)) from away
        return Response(status_code=HTTPStatus.ACCEPTED.value)

    @routes.get(PLACE)
    async def look(request: Request, customer: str, meter: str) -> Response:
        _check_scope(access, request, customer)
        standing = await _standing(entitlements, customer, meter)
        reserved = entitlements.reservations.holdings(customer, meter).reserved
        told = answer(standing, reserved, await entitlements.reservations.position(customer))
        return Response(told.model_dump_json(), media_type=JSON)

    return routes


def _check_scope(access: Access, request: Request, customer: str) -> None:
    """Raises Problem for the customer of somebody else."""
    if not may_see(access.scope_of(request), customer):
        raise Problem(
            HTTPStatus.FORBIDDEN, "out-of-scope", f"customer {customer[:100]!r} is outside the scope of this token"
        )


async def _standing(entitlements: Entitlements, customer: str, meter: str) -> Standing:
    try:
        found = await entitlements.of(customer, meter, within_s=WITHIN_S)
    except TimeoutError:
        raise _come_again("balances are not refreshed: the store or the broker does not answer") from None
    if found is None:
        raise Problem(
            HTTPStatus.NOT_FOUND, "no-entitlement",
            f"no running subscription of {customer[:100]!r} has an entitlement to {meter[:100]!r}",
        )  # fmt: skip
    if time.monotonic() - found.read_at > TOO_OLD_S:
        raise _come_again(f"balances were last refreshed {time.monotonic() - found.read_at:.0f} s ago")
    return found


async def _reserve(entitlements: Entitlements, customer: str, meter: str, body: bytes) -> Response:
    try:
        asked = ReservationRequest.model_validate_json(body)
    except ValidationError as error:
        found = error.errors()[0]
        where = ".".join(map(str, found["loc"]))
        raise Problem(HTTPStatus.BAD_REQUEST, "not-a-reservation", f"{where}: {found['msg']}".lstrip(": ")) from None
    await _standing(entitlements, customer, meter)
    record = Reserve(
        customer=customer, meter=meter, id=asked.id or str(uuid4()), amount=asked.amount,
        expires_in_s=asked.expires_in_s,
    )  # fmt: skip
    try:
        await entitlements.introduce(customer, meter, within_s=WITHIN_S)
        place, verdict = await entitlements.reservations.ask(record, WITHIN_S)
    except KafkaUnavailable as away:
        RESERVATIONS.labels("no verdict").inc()
        raise _come_again(str(away)) from away
    except TimeoutError:
        RESERVATIONS.labels("no verdict").inc()
        raise _come_again("no verdict within the limit; ask again with the same id") from None
    RESERVATIONS.labels("granted" if verdict.granted else verdict.reason).inc()
    return _told(verdict, *place)


def _told(verdict: Verdict, partition: int, offset: int) -> Response:
    """The answer to a verdict. Raises Problem for what was not granted."""
    told = ReservationAnswer(
        id=verdict.id, granted=verdict.granted, reason=verdict.reason, amount=verdict.amount,
        expires_at_ms=verdict.expires_at_ms, balance=verdict.balance, partition=partition, offset=offset,
    )  # fmt: skip
    if verdict.reason == "ended":
        raise Problem(
            HTTPStatus.CONFLICT, "reservation-ended", f"{verdict.id!r} was settled, released, or has expired",
            **told.model_dump(mode="json"),
        )  # fmt: skip
    if not verdict.granted and verdict.reason != "limit":
        raise _come_again(f"no verdict: {verdict.reason}; ask again")
    if not verdict.granted:
        raise Problem(
            HTTPStatus.CONFLICT, "limit-reached",
            f"{plain(verdict.amount)} is asked for, {plain(verdict.balance)} is left",
            **told.model_dump(mode="json"),
        )  # fmt: skip
    return Response(told.model_dump_json(), HTTPStatus.CREATED.value, media_type=JSON)


def _come_again(detail: str) -> Problem:
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", detail, retry_after_s=1)
