"""The price calculator: the same rating as an invoice's, for one question. Pure; `tally price`, `tally rate` ask it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pipeline.calendar.windows import windows_of
from pipeline.catalogue.fault_texts import Faulty, checked, path_text
from pipeline.meters.usage_needed import windows_needed
from pipeline.rating.charge_lines import fee_line, rate_slice, reasons
from pipeline.rating.rated_lines import unpriced_of
from pipeline.rating.stages import Terms, stages_of
from schemas.identity import canonical_json
from schemas.period import Period
from schemas.plan import RateCard
from schemas.quantity import ZERO, exactly, read_json
from schemas.rate_request import RateAnswer, RateRequest, Usage

WHOLE = Period(datetime(2000, 1, 1, tzinfo=UTC), datetime(2000, 2, 1, tzinfo=UTC))
"""What is rated without a period: some whole one, so that nothing is prorated."""
FIELDS = frozenset(RateRequest.model_fields) | {"service", "terms"}


@dataclass(frozen=True, slots=True)
class RequestFault:
    """A field of a request and what is wrong with it."""

    field: str
    reason: str


class RequestRefused(ValueError):
    """A request that cannot be rated, with all its faults."""

    def __init__(self, faults: Iterable[RequestFault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(f"{fault.field}: {fault.reason}" if fault.field else fault.reason
                                   for fault in self.faults))  # fmt: skip


def parse_request(raw: object) -> RateRequest:
    """A request from a table as read from JSON or TOML. Raises RequestRefused with every fault at its field."""
    if not isinstance(raw, Mapping):
        raise RequestRefused([RequestFault("", "must be an object with price or rate_card, quantity or usage")])
    try:
        return checked(RateRequest, raw)
    except Faulty as faulty:
        raise _refused(faulty) from None


@exactly
def rate_request(request: RateRequest) -> RateAnswer:
    """What the usage of a request comes to. Raises RequestRefused if the usage is not what the price needs."""
    card, terms = card_of(request), _terms(request)
    try:
        if card.meter is None and request.prior is None:
            line = fee_line(card, terms)
            stages = stages_of(card, ZERO, terms, final=request.final)
            return RateAnswer.model_construct(
                id=request.id, currency=request.currency, amount=line.amount, amount_exact=line.amount_exact,
                lines=(line,), stages=stages.total,
            )  # fmt: skip
        before = None
        if request.prior is not None:
            before = stages_of(card, request.prior.used, terms, final=False)
        rated = rate_slice(card, request.used, terms, previous=before, final=request.final, until=request.until)
    except (ValueError, TypeError) as fault:
        raise RequestRefused([_fault(str(fault))]) from None
    unpriced = [unpriced_of(card, row, why, terms) for row, why in reasons(rated.unpriced)]
    return RateAnswer.model_construct(
        id=request.id,
        currency=request.currency,
        amount=sum((line.amount for line in rated.lines), rated.billed.total * 0),
        amount_exact=sum((line.amount_exact for line in rated.lines), ZERO),
        lines=(*rated.lines, *unpriced),
        stages=rated.stages.total,
        unpriced=tuple(dict.fromkeys(line.problem or "" for line in unpriced)),
    )


def _refused(faulty: Faulty) -> RequestRefused:
    return RequestRefused(RequestFault(path_text(steps), text) for steps, text in faulty.faults)


def answers(lines: Iterable[str]) -> Iterator[str]:
    """One JSON object per line in, one out: the answer, or the faults; then the next line. Blank lines have none."""
    for line in lines:
        if line.strip():
            yield _answer(line)


def with_usage(request: RateRequest, usage: Mapping[str, object]) -> RateRequest:
    """The request with its usage, checked. Raises RequestRefused with every fault at its field."""
    try:
        found = checked(Usage, usage)
    except Faulty as faulty:
        raise _refused(faulty) from None
    return request.model_copy(update={"quantity": found.quantity, "usage": found.usage})


def rows_of(request: RateRequest, given: Sequence[object]) -> list[object]:
    """Rows of usage from a list: numbers are transactions, or the windows that the price counts by, one after another.

    Raises RequestRefused for more numbers than the period has windows.
    """
    period = request.service or request.period or WHOLE
    size = next(iter(windows_needed(card_of(request))), None)
    if size is None or any(isinstance(one, Mapping) for one in given):
        return [one if isinstance(one, Mapping) else {"quantity": one} for one in given]
    windows = windows_of(size, period, request.time_zone, anchor=request.anchor)
    if len(given) > len(windows):
        reason = f"has {len(given)} numbers, and the period has {len(windows)} windows of a {size}"
        raise RequestRefused([RequestFault("usage", reason)])
    return [{"quantity": one, "window": window} for one, window in zip(given, windows, strict=False)]


def card_of(request: RateRequest) -> RateCard:
    """The rate card of a request; a price alone is one without modifiers."""
    if request.rate_card is not None:
        return request.rate_card
    if request.price is None:
        raise RequestRefused([RequestFault("price", "give either price or rate_card, not both and not neither")])
    return RateCard.model_construct(id="price", meter="usage", price=request.price)


def _terms(request: RateRequest) -> Terms:
    period = request.period or WHOLE
    return Terms(
        currency=request.money, period=period, service=request.service or period, time_zone=request.time_zone,
        trial=request.trial, term=request.term, anchor=request.anchor,
    )  # fmt: skip


def _answer(line: str) -> str:
    try:
        raw = read_json(line)
    except ValueError as fault:
        return _refusal(None, [RequestFault("", f"is not JSON: {fault}")])
    given = raw.get("id") if isinstance(raw, Mapping) else None
    try:
        return rate_request(parse_request(raw)).model_dump_json()
    except RequestRefused as refused:
        return _refusal(given if isinstance(given, str) else None, refused.faults)


def _refusal(given: str | None, faults: Iterable[RequestFault]) -> str:
    listed = [{"field": fault.field, "reason": fault.reason} for fault in faults]
    return canonical_json({"id": given, "errors": listed}).decode()


def _fault(message: str) -> RequestFault:
    """A message "usage: needs rows" names its field; anything else is about the request as a whole."""
    field, colon, reason = message.partition(": ")
    return RequestFault(field, reason) if colon and field in FIELDS else RequestFault("", message)
