"""The meter for one question: `tally aggregate` asks it.

Pure: `pipeline.meters.aggregation`, with the first copy counting.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from pipeline.catalogue.fault_texts import Faulty, checked, path_text
from pipeline.meters.aggregation import MeteredEvent, aggregate
from pipeline.meters.aggregation.events import counts
from pipeline.meters.scaled import QuantityOverflow
from pipeline.rating.rate_request import RequestFault, RequestRefused
from schemas.aggregate_request import AggregateAnswer, AggregateEvent, AggregateRequest, moment_of
from schemas.identity import canonical_json
from schemas.quantity import read_json
from schemas.rated_line import UsageRow


def parse_aggregate(raw: object) -> AggregateRequest:
    """A request from a table as read from JSON. Raises RequestRefused with every fault at its field."""
    if not isinstance(raw, Mapping):
        raise RequestRefused([RequestFault("", "must be an object with meter, events and period")])
    try:
        return checked(AggregateRequest, raw)
    except Faulty as faulty:
        raise RequestRefused(RequestFault(path_text(steps), text) for steps, text in faulty.faults) from None


def aggregate_request(request: AggregateRequest) -> AggregateAnswer:
    """The quantities of a request. Raises RequestRefused for a binary float and for a quantity of 10^26 or more."""
    first, conflicts = _first_of_each(request.events)
    seen = [MeteredEvent(event.type, moment_of(event), event.data) for event in first]
    metered = [event for event in seen if counts(request.meter, event)]
    inside = sum(request.period.contains(event.time) for event in metered)
    earlier = sum(event.time < request.period.start for event in metered) if request.meter.carry_over else 0
    try:
        rows = aggregate(
            request.meter, metered, request.period, time_zone=request.time_zone, window=request.window,
            anchor=request.anchor, full_period=request.full_period,
        )  # fmt: skip
    except QuantityOverflow as overflow:
        raise RequestRefused([RequestFault("events", str(overflow))]) from None
    except ValueError as fault:
        raise RequestRefused([RequestFault("events", str(fault))]) from None
    return AggregateAnswer(
        id=request.id,
        usage=tuple(
            UsageRow(row.value, dict(zip(request.meter.group_by, row.group, strict=True)), row.window, row.events)
            for row in rows
        ),
        counted=inside,
        invalid=sum(row.invalid for row in rows),
        carried=earlier,
        outside=len(metered) - inside - earlier,
        filtered=len(seen) - len(metered),
        duplicates=len(request.events) - len(first),
        conflicts=conflicts,
    )


def aggregate_answers(lines: Iterable[str]) -> Iterator[str]:
    """One JSON object per line in, one out: the answer, or the faults; then the next line. Blank lines have none."""
    for line in lines:
        if line.strip():
            yield _answer(line)


def _first_of_each(events: Sequence[AggregateEvent]) -> tuple[list[AggregateEvent], int]:
    """The first copy of each identity, in order of arrival, and how many later ones have other content."""
    found: dict[object, AggregateEvent] = {}
    conflicts = 0
    for place, event in enumerate(events):
        identity: object = place if event.id is None else (event.source, event.id)
        kept = found.setdefault(identity, event)
        conflicts += kept.data != event.data
    return list(found.values()), conflicts


def _answer(line: str) -> str:
    try:
        raw = read_json(line)
    except ValueError as fault:
        return _refusal(None, [RequestFault("", f"is not JSON: {fault}")])
    given = raw.get("id") if isinstance(raw, Mapping) else None
    try:
        return aggregate_request(parse_aggregate(raw)).model_dump_json()
    except RequestRefused as refused:
        return _refusal(given if isinstance(given, str) else None, refused.faults)


def _refusal(given: str | None, faults: Iterable[RequestFault]) -> str:
    listed = [{"field": fault.field, "reason": fault.reason} for fault in faults]
    return canonical_json({"id": given, "errors": listed}).decode()
