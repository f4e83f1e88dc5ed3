"""A real request trace as usage of one customer: one event per request, context and generated tokens as recorded.

Format: CSV with the header `TIMESTAMP,ContextTokens,GeneratedTokens`, times in UTC without a zone, as published with
the Azure LLM inference traces. The truth is a sum over the rows.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from deploy.demo.truth import Ledger, Truth
from deploy.demo.usage import Batch, Record

HEADER = ["TIMESTAMP", "ContextTokens", "GeneratedTokens"]
CUSTOMER, SUBJECT, MODEL, PLAN = "trace", "trace/code", "code", "team"
GRACE = timedelta(hours=6)


class TraceUnreadable(Exception):
    """The file is not a trace of the expected format; the message names the line."""


@dataclass(frozen=True, slots=True)
class Request:
    """One row of a trace."""

    at: str
    tokens_in: int
    tokens_out: int

    @property
    def day(self) -> datetime:
        """Midnight (UTC) of the request's day."""
        return datetime.strptime(self.at[:10], "%Y-%m-%d").replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Trace:
    """A whole trace; requests in the order of the file."""

    requests: tuple[Request, ...]

    @property
    def start(self) -> datetime:
        """The first moment of the month of the first request: where billing begins."""
        return min(request.day for request in self.requests).replace(day=1)

    @property
    def end(self) -> datetime:
        """The first moment of the month after the last request."""
        last = max(request.day for request in self.requests)
        return (last.replace(day=28) + timedelta(days=4)).replace(day=1)


def read(path: Path) -> Trace:
    """Reads a trace. Raises FileNotFoundError, TraceUnreadable."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.reader(file)
        header = next(rows, [])
        if header != HEADER:
            raise TraceUnreadable(f"{path}, line 1: expected {','.join(HEADER)}, found {','.join(header)[:80]}")
        requests = tuple(_request(path, number, row) for number, row in enumerate(rows, start=2) if row)
    if not requests:
        raise TraceUnreadable(f"{path}: no request in it")
    return Trace(requests)


def _request(path: Path, number: int, row: list[str]) -> Request:
    try:
        at, tokens_in, tokens_out = row
        datetime.strptime(at[:19], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
        return Request(at, int(tokens_in), int(tokens_out))
    except ValueError as error:
        raise TraceUnreadable(f"{path}, line {number}: {','.join(row)[:80]}: {error}") from error


def batches(trace: Trace) -> Iterator[Batch]:
    """The requests day by day, each batch with the tick that follows it; the last tick ends the grace period."""
    days: dict[datetime, list[Record]] = {}
    for number, request in enumerate(trace.requests, start=1):
        days.setdefault(request.day, []).append(_event(number, request))
    for day in sorted(days):
        yield Batch(day.day, days[day], day + timedelta(days=1))
    yield Batch(0, [], trace.end + GRACE)


def _event(number: int, request: Request) -> Record:
    value = (
        f'{{"specversion":"1.0","id":"request-{number}","source":"/trace","type":"llm.request","subject":"{SUBJECT}",'
        f'"time":"{request.at[:10]}T{request.at[11:]}Z","datacontenttype":"application/json","sequence":"{number}",'
        f'"data":{{"model":"{MODEL}","tokens_in":{request.tokens_in},"tokens_out":{request.tokens_out},'
        f'"cached":false}}}}'
    )
    return SUBJECT.encode(), value.encode()


def truth_of(trace: Trace) -> Truth:
    """What the trace must come to: plain sums over its rows."""
    ledger = Ledger(produced=len(trace.requests), counted=len(trace.requests))
    ledger.events[CUSTOMER] = len(trace.requests)
    for meter, tokens in (
        ("tokens_in", sum(request.tokens_in for request in trace.requests)),
        ("tokens_out", sum(request.tokens_out for request in trace.requests)),
    ):
        ledger.add(CUSTOMER, meter, MODEL, Decimal(tokens))
    ledger.add(CUSTOMER, "requests", "", len(trace.requests))
    return ledger.truth()
