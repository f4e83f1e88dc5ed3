"""What a request could not have, as problem details (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import Request, Response

from pipeline.intake.admission import OUT_OF_SCOPE, Refusal

MEDIA_TYPE = "application/problem+json"
TYPE = "urn:tally:problem:"


class Problem(Exception):
    """A request that ends without what it asked for."""

    def __init__(
        self, status: HTTPStatus, kind: str, detail: str, *, retry_after_s: int | None = None, **members: Any
    ) -> None:
        super().__init__(detail)
        self.status, self.kind, self.detail, self.members = status, kind, detail, members
        self.retry_after_s = retry_after_s

    def response(self, *, closes: bool = False) -> Response:
        """The problem as an answer. `closes` ends the connection: the rest of the request was not read."""
        headers: dict[str, str] = {}
        if self.retry_after_s is not None:
            headers["retry-after"] = str(self.retry_after_s)
        if self.status is HTTPStatus.UNAUTHORIZED:
            headers["www-authenticate"] = "Bearer"
        if closes:
            headers["connection"] = "close"
        return Response(msgspec.json.encode(self.content()), self.status.value, headers, MEDIA_TYPE)

    def content(self) -> Mapping[str, Any]:
        """The members of the problem."""
        return {
            "type": TYPE + self.kind,
            "title": _TITLES[self.kind],
            "status": self.status.value,
            "detail": self.detail,
            **self.members,
        }


_TITLES = {
    "unreadable": "The request cannot be read as events",
    "unsupported-media-type": "The request does not say that it holds CloudEvents",
    "unsupported-encoding": "The body is compressed in a way that is not understood",
    "too-large": "The body is too large",
    "too-slow": "The body did not come in time",
    "events-refused": "Some events were refused; all others are stored in the log",
    "unauthorized": "A bearer token is needed that is accepted here",
    "wrong-host": "This server is asked by a name that is not its own",
    "busy": "Too much is under way; come again",
    "unavailable": "The broker has not acknowledged; come again",
    "not-found": "There is nothing here",
    "out-of-scope": "The token does not cover this customer",
    "no-entitlement": "The customer has no such entitlement",
    "not-a-reservation": "The request does not ask for a reservation",
    "limit-reached": "The limit does not leave so much",
    "reservation-ended": "The reservation has ended; ask for another one",
}


def refused(accepted: int, refusals: Sequence[Refusal], *, dry_run: bool) -> Problem:
    """Some events were refused: which, and why. The others are in, and resending all is safe."""
    outside = any(each.reason == OUT_OF_SCOPE for each in refusals)
    fate = "would be accepted" if dry_run else "are acknowledged by the broker"
    return Problem(
        HTTPStatus.FORBIDDEN if outside else HTTPStatus.UNPROCESSABLE_ENTITY,
        "events-refused",
        f"{len(refusals)} of {accepted + len(refusals)} events are refused; the other {accepted} {fate}. "
        "Sending all again is safe: an event that comes twice is counted once.",
        accepted=accepted,
        dry_run=dry_run,
        errors=[
            {"index": each.place, "reason": each.reason, "detail": each.detail, "help": each.help} for each in refusals
        ],
    )


async def answer(_request: Request, problem: Exception) -> Response:
    """The handler of the application."""
    assert isinstance(problem, Problem)
    return problem.response(closes=problem.kind in ("too-large", "too-slow", "busy", "unsupported-media-type"))
