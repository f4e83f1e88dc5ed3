"""Frozen usage and rate cards become an invoice; totals are sums of rounded lines. Source: rating.md §5, §7, §8."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.document_keys import SERIES as SERIES_OF
from pipeline.document_keys import dimension_group, document_id, line_id, number_text
from pipeline.rating import Usage, rate_fee, rate_usage
from pipeline.tax import taxes_at
from pipeline.totals import Line, LineTotals, Totals, totals
from schemas.catalogue_entry import Catalogue, PlanEntry
from schemas.credit import CreditGrant
from schemas.customer_state import DuePeriod, PeriodClosed
from schemas.discount import Discount
from schemas.invoice import Basis, Invoice, InvoiceLine, InvoiceTotals
from schemas.money import Currency
from schemas.period import Moment, Period
from schemas.plan import Plan, RateCard
from schemas.rated_line import RatedLine
from schemas.tax import Exemption

SERIES = SERIES_OF["invoice"]

UsageByMeter = Mapping[tuple[str, str, Period], Sequence[Usage]]
"""(subscription, meter, served span) -> usage per group."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a customer has beside the plans: discounts in the order they apply, credit grants, an exemption from tax."""

    discounts: Sequence[Discount] = ()
    grants: Sequence[CreditGrant] = ()
    exemption: Exemption | None = None


NO_TERMS = Terms()


@dataclass(frozen=True, slots=True)
class _Rated:
    """A rated line with the period, plan version, plan in the period's currency, and rate card that it comes from."""

    due: DuePeriod
    entry: PlanEntry
    plan: Plan
    card: RateCard
    line: RatedLine


def invoice_of(
    closed: PeriodClosed, usage: UsageByMeter, catalogue: Catalogue, terms: Terms = NO_TERMS
) -> tuple[Invoice, ...]:
    """The draft invoices of a close, one per currency, in order of currency; pure, so the same close gives the same."""
    currencies = sorted({due.currency for due in closed.periods})
    return tuple(_invoice(closed, code, usage, catalogue, terms) for code in currencies)


def _invoice(closed: PeriodClosed, code: str, usage: UsageByMeter, catalogue: Catalogue, terms: Terms) -> Invoice:
    periods = [due for due in closed.periods if due.currency == code]
    rated = [found for due in periods for found in _rated(due, usage, catalogue)]
    money = _plan(periods[0], catalogue).plan.in_currency(code).money
    found = totals(
        [_line(each) for each in rated], money,
        discounts=terms.discounts, grants=terms.grants, exemption=terms.exemption,
    )  # fmt: skip
    return Invoice(
        id=document_id(closed.customer, code, closed.tick.number, revision=closed.revision),
        status="draft",
        number=None,
        customer=closed.customer,
        currency=code,
        minor_units=money.minor_units,
        issued_at=closed.tick.time,
        period=Period(start=min(due.service.start for due in periods), end=max(due.service.end for due in periods)),
        lines=_invoice_lines(rated, found),
        totals=invoice_totals(found),
        credits=found.credits,
        basis=_basis(closed),
    )


def finalized(draft: Invoice, number: int) -> Invoice:
    """The invoice with its number; one that asks for nothing is paid at once. Source: rating.md §11."""
    status = "paid" if draft.totals.amount_due == 0 else "open"
    return draft.model_copy(update={"number": number_text("invoice", number), "status": status})


def invoice_totals(found: Totals) -> InvoiceTotals:
    """The totals as they stand on a document."""
    return InvoiceTotals(
        subtotal=found.subtotal,
        discount_total=found.discount_total,
        net=found.net,
        tax=found.tax,
        tax_by_rate=found.tax_by_rate,
        total=found.total,
        credits_applied=found.credits_applied,
        amount_due=found.amount_due,
    )


def tax_point(card: RateCard, line: RatedLine) -> Moment:
    """When a line is taxed, and when a credit grant must be valid to pay it.

    The last moment of its service span; a fee in advance has its first. An adjustment has the span of its original
    period.
    """
    return line.service.first_moment if card.timing == "advance" else line.service.last_moment


def _basis(closed: PeriodClosed) -> Basis:
    return Basis(
        tick=closed.tick.number,
        clock=closed.tick.clock,
        close_id=closed.close_id,
        revision=closed.revision,
        events=closed.events,
        usage_fingerprint=closed.fingerprint,
        vector=closed.tick.vector.ends,
    )


def _plan(due: DuePeriod, catalogue: Catalogue) -> PlanEntry:
    plan = catalogue.plan(due.plan, due.plan_version)
    if plan is None:
        raise LookupError(f"plan {due.plan}@{due.plan_version} is not in the catalogue")
    return plan


def _rated(due: DuePeriod, usage: UsageByMeter, catalogue: Catalogue) -> list[_Rated]:
    entry = _plan(due, catalogue)
    plan = entry.plan.in_currency(due.currency)
    return [
        _Rated(due, entry, plan, card, line)
        for card in plan.rate_cards
        for line in _lines_of(due, card, entry, usage, catalogue, plan.money)
    ]


def _lines_of(
    due: DuePeriod, card: RateCard, plan: PlanEntry, usage: UsageByMeter, catalogue: Catalogue, money: Currency
) -> Sequence[RatedLine]:
    if card.meter is None:
        return [rate_fee(card, due, money)]
    version = plan.meters[card.meter]
    rows = usage.get((due.subscription, card.meter, due.service), ())
    return rate_usage(card, due, catalogue.meters[card.meter, version].meter, version, rows, money)


def _line(rated: _Rated) -> Line:
    """A rated line as the totals take it: a charge's own taxes override those of the plan."""
    names = rated.card.tax_rates or rated.plan.tax_rates
    moment = tax_point(rated.card, rated.line)
    rates = {rate.id: rate for rate in rated.entry.tax_rates} if names else {}
    taxes = taxes_at(names, rates, moment, rated.due.time_zone)
    return Line(rated.line.charge, rated.line.amount, taxes, rated.plan.tax_behavior == "inclusive", moment)


def _invoice_lines(rated: Sequence[_Rated], found: Totals) -> tuple[InvoiceLine, ...]:
    seen: Counter[tuple[object, ...]] = Counter()
    lines = []
    for each, part in zip(rated, found.lines, strict=True):
        same = (each.due.subscription, each.line.charge, each.line.service, each.line.kind,
                *sorted(each.line.dimensions.items()))  # fmt: skip
        lines.append(_invoice_line(each, part, entry=seen[same]))
        seen[same] += 1
    return tuple(lines)


def _invoice_line(rated: _Rated, part: LineTotals, *, entry: int) -> InvoiceLine:
    due, line = rated.due, rated.line
    group = dimension_group(line.kind, line.dimensions, entry)
    return InvoiceLine(
        id=line_id(due.subscription, line.charge, due.plan_version, line.service, group=group),
        subscription=due.subscription,
        plan=due.plan,
        plan_version=due.plan_version,
        rated=line,
        amount=part.amount,
        discounts=part.discounts,
        discount=part.discount,
        net=part.net,
        taxes=part.taxes,
        tax_behavior=rated.plan.tax_behavior,
        tax=part.tax,
    )
