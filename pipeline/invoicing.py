"""Frozen usage and rate cards become an invoice; totals are sums of rounded lines. Source: rating.md §5, §7, §8."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from pipeline.rating import Usage, rate_fee, rate_usage
from schemas.catalogue_entry import Catalogue, PlanEntry
from schemas.customer_state import DuePeriod, PeriodClosed
from schemas.identity import derived_id
from schemas.invoice import Basis, Invoice, InvoiceLine, InvoiceTotals
from schemas.money import currency
from schemas.period import Period
from schemas.rated_line import RatedLine

SERIES = "INV"

UsageByMeter = Mapping[tuple[str, str, Period], Sequence[Usage]]
"""(subscription, meter, served span) -> usage per group."""


def invoice_of(closed: PeriodClosed, usage: UsageByMeter, catalogue: Catalogue) -> tuple[Invoice, ...]:
    """The draft invoices of a close, one per currency, in order of currency; pure, so the same close gives the same."""
    currencies = sorted({due.currency for due in closed.periods})
    return tuple(_invoice(closed, code, usage, catalogue) for code in currencies)


def _invoice(closed: PeriodClosed, code: str, usage: UsageByMeter, catalogue: Catalogue) -> Invoice:
    periods = [due for due in closed.periods if due.currency == code]
    lines = tuple(line for due in periods for line in _lines(due, usage, _plan(due, catalogue), catalogue))
    unit = currency(code)
    return Invoice(
        # rating.md §8: customer, currency, billing date (its tick), kind, group, revision.
        id=str(derived_id("invoice", closed.customer, code, closed.tick.number, "invoice", "", closed.revision)),
        status="draft",
        number=None,
        customer=closed.customer,
        currency=code,
        minor_units=unit.minor_units,
        issued_at=closed.tick.time,
        period=Period(start=min(due.service.start for due in periods), end=max(due.service.end for due in periods)),
        lines=lines,
        totals=totals([line.rated.amount for line in lines], unit.minor_units),
        basis=Basis(
            tick=closed.tick.number,
            clock=closed.tick.clock,
            close_id=closed.close_id,
            revision=closed.revision,
            events=closed.events,
            usage_fingerprint=closed.fingerprint,
            vector=closed.tick.vector.ends,
        ),
    )


def finalized(draft: Invoice, number: int) -> Invoice:
    """The invoice with its number; one that asks for nothing is paid at once. Source: rating.md §11."""
    status = "paid" if draft.totals.amount_due == 0 else "open"
    return draft.model_copy(update={"number": f"{SERIES}-{number:06d}", "status": status})


def totals(amounts: Sequence[Decimal], minor_units: int) -> InvoiceTotals:
    """Sums of rounded line amounts."""
    zero = Decimal((0, (0,), -minor_units))
    subtotal = sum(amounts, zero)
    return InvoiceTotals(
        subtotal=subtotal, discount_total=zero, net=subtotal, tax=zero, total=subtotal, credits_applied=zero,
        amount_due=subtotal,
    )  # fmt: skip


def _plan(due: DuePeriod, catalogue: Catalogue) -> PlanEntry:
    plan = catalogue.plan(due.plan, due.plan_version)
    if plan is None:
        raise LookupError(f"plan {due.plan}@{due.plan_version} is not in the catalogue")
    return plan


def _lines(due: DuePeriod, usage: UsageByMeter, plan: PlanEntry, catalogue: Catalogue) -> tuple[InvoiceLine, ...]:
    lines = []
    for card in plan.plan.rate_cards:
        if card.meter is None:
            rated = [rate_fee(card, due)]
        else:
            version = plan.meters[card.meter]
            meter = catalogue.meters[card.meter, version].meter
            rows = usage.get((due.subscription, card.meter, due.service), ())
            rated = list(rate_usage(card, due, meter, version, rows))
        lines += [_line(due, found) for found in rated]
    return tuple(lines)


def _line(due: DuePeriod, rated: RatedLine) -> InvoiceLine:
    # rating.md §8: subscription, charge, price version, service span, dimension group, adjusted period, revision.
    key = (due.subscription, rated.charge, due.plan_version, rated.service.start.isoformat(),
           rated.service.end.isoformat(), "", "", 0)  # fmt: skip
    return InvoiceLine(
        id=str(derived_id("line", *key)),
        subscription=due.subscription,
        plan=due.plan,
        plan_version=due.plan_version,
        rated=rated,
    )
