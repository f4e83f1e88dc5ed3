"""A billing run: per charge and due period, what is owed now less every line issued for it. Source: rating.md §5.

So billed = rated after every run, a missed run is caught up by the next, and a second run of the same date emits
nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from pipeline.calendar.due import DueSpan, due_spans
from pipeline.calendar.periods import Grid
from pipeline.rating.pricing import Used
from pipeline.rating.stages import Terms, stages_of
from schemas.money import Currency
from schemas.period import Period, utc
from schemas.plan import RateCard
from schemas.quantity import ZERO, exactly


@dataclass(frozen=True, slots=True)
class Charge:
    """One rate card or fee of one subscription, from its start to its end."""

    id: str
    card: RateCard
    grid: Grid
    currency: Currency
    starts_at: datetime
    ends_at: datetime | None = None
    trial_ends_at: datetime | None = None
    """Fees of trial days are not billed; a trial shifts the start of service, not the grid."""
    pauses: tuple[Period, ...] = ()
    usage: Mapping[Period, Used] = field(default_factory=dict)
    """Per full grid period, the usage of its served part; a usage charge without one had none."""

    def __post_init__(self) -> None:
        if self.trial_ends_at is not None and utc(self.trial_ends_at, "trial_ends_at") < utc(
            self.starts_at, "starts_at"
        ):
            raise ValueError("trial_ends_at: must not be before starts_at")


@dataclass(frozen=True, slots=True)
class RunLine:
    """An amount of one charge and full grid period, for a span; negative if it gives back."""

    charge: str
    period: Period
    service: Period
    amount: Decimal


@dataclass(frozen=True, slots=True)
class RunLines:
    """Debits, then credits, each in order of charges: they go to separate documents."""

    debits: tuple[RunLine, ...]
    credits: tuple[RunLine, ...]

    @property
    def net(self) -> Decimal:
        """Debits less credits."""
        return sum((line.amount for line in (*self.debits, *self.credits)), ZERO)


@exactly
def billing_run(charges: Sequence[Charge], issued: Sequence[RunLine], billing_date: datetime) -> RunLines:
    """The lines of a run at a date; `issued` is every line, debit or credit, issued for these charges so far."""
    at = utc(billing_date, "billing_date")
    before: dict[tuple[str, Period], list[RunLine]] = defaultdict(list)
    for line in issued:
        before[line.charge, line.period].append(line)
    lines = [line for charge in charges for line in _lines(charge, before, at)]
    return RunLines(tuple(line for line in lines if line.amount > 0), tuple(line for line in lines if line.amount < 0))


def service_of(charge: Charge, until: datetime) -> tuple[Period, ...]:
    """The spans that a charge serves, without trial and pauses; those still open are cut after `until`.

    An end at or before the start is a cancellation: nothing is served.
    """
    start = max(utc(charge.starts_at), utc(charge.trial_ends_at)) if charge.trial_ends_at else utc(charge.starts_at)
    # While no end is known, the whole period that holds the date counts: an advance fee is due for all of it.
    end = utc(charge.ends_at) if charge.ends_at else charge.grid.period_of(max(until, start)).end
    spans = [Period(start, end)] if end > start else []
    for pause in sorted(charge.pauses):
        spans = [part for span in spans for part in _without(span, pause) if not part.is_empty]
    return tuple(spans)


def _without(span: Period, gap: Period) -> tuple[Period, ...]:
    if not span.intersects(gap):
        return (span,)
    return (Period(span.start, max(span.start, gap.start)), Period(min(span.end, gap.end), span.end))


def _lines(charge: Charge, before: Mapping[tuple[str, Period], Sequence[RunLine]], at: datetime) -> list[RunLine]:
    service = service_of(charge, at)
    lines = []
    seen = set()
    for due in _due(charge, service, at):
        seen.add(due.period)
        issued = before.get((charge.id, due.period), ())
        amount = _owed(charge, due) - sum((line.amount for line in issued), ZERO)
        lines.append(RunLine(charge.id, due.period, _named_span(due.service, issued, amount), amount))
    for (charge_id, period), issued in before.items():
        if charge_id == charge.id and period not in seen and _lies_outside(period, service, charge):
            amount = -sum((line.amount for line in issued), ZERO)
            lines.append(RunLine(charge.id, period, issued[0].service, amount))
    return [line for line in lines if line.amount]


def _due(charge: Charge, service: Sequence[Period], at: datetime) -> tuple[DueSpan, ...]:
    if not charge.card.one_time:
        basis = charge.card.proration.basis if charge.card.proration else "day"
        return due_spans(service, charge.grid, charge.card.timing, at, basis)
    first = due_spans(service, charge.grid, "advance", at)
    return first[:1]


def _owed(charge: Charge, due: DueSpan) -> Decimal:
    """A recurring fee x its factor; usage of the served part by its price, with its prorated minimum."""
    terms = Terms(charge.currency, due.period, due.service, charge.grid.time_zone, share=due.share)
    return stages_of(charge.card, charge.usage.get(due.period, ZERO), terms, final=True).total.total


def _lies_outside(period: Period, service: Sequence[Period], charge: Charge) -> bool:
    """Whether nothing of a period billed earlier is served any more: the charge ended, was paused or cancelled.

    Beyond what is known of an open service nothing is given back.
    """
    if any(span.intersects(period) for span in service):
        return False
    return charge.ends_at is not None or not service or period.start < service[-1].end


def _named_span(service: Period, issued: Sequence[RunLine], amount: Decimal) -> Period:
    """The service span of a debit; for a credit the span given back, if the service became shorter."""
    if amount >= 0 or not issued:
        return service
    end = max(line.service.end for line in issued)
    if end > service.end:
        return Period(service.end, end)
    start = min(line.service.start for line in issued)
    return Period(start, service.start) if start < service.start else service
