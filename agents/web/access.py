"""Who asks: a process of this machine, or the bearer of a token with its scope."""

from __future__ import annotations

from http import HTTPStatus
from ipaddress import ip_address

from fastapi import Request

from agents.clock import wall_time
from agents.telemetry import HTTP_TOKENS_REFUSED
from agents.tokens import Tokens
from agents.web.problems import Problem
from schemas.token import EVERYTHING, Scope

OWN_NAMES = {"localhost", "127.0.0.1", "[::1]"}


def is_loopback(host: str) -> bool:
    """Whether an address to listen at can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class Access:
    """Decides for each request. At a loopback address a token is not needed; one that is shown counts."""

    def __init__(self, tokens: Tokens, *, host: str) -> None:
        self._tokens, self._is_loopback = tokens, is_loopback(host)

    def scope_of(self, request: Request) -> Scope:
        """The scope of who asks. Raises Problem."""
        if self._is_loopback:
            _check_host(request)
        scheme, _, text = request.headers.get("authorization", "").partition(" ")
        if not scheme and self._is_loopback:
            return EVERYTHING
        token = self._tokens.bearer(text.strip(), at=wall_time()) if scheme.lower() == "bearer" else None
        if token is None:
            HTTP_TOKENS_REFUSED.inc()
            raise Problem(
                HTTPStatus.UNAUTHORIZED, "unauthorized",
                "send `Authorization: Bearer …` with a token of `tally tokens create`, not revoked or expired",
            )  # fmt: skip
        return token.scope


def _check_host(request: Request) -> None:
    """A page in a browser may reach this address under a name of its own (DNS rebinding); it would need no token."""
    name = request.headers.get("host", "")
    host = name if name.endswith("]") else name.rpartition(":")[0] or name
    if host.lower() not in OWN_NAMES and not is_loopback(host):
        raise Problem(HTTPStatus.MISDIRECTED_REQUEST, "wrong-host", f"this server is not {host[:100]!r}")
