"""Revenue recognition: what final documents booked is earned evenly over the local days of their service.

Fees in advance are deferred until their days have passed; usage and fees in arrears are earned before they are
invoiced, and unbilled until then. A fee charged once, and a line without a span, is earned on its first day. Rounding
is cumulative: the first k of n days earn round(net * k / n), so the parts of any days add up to the net exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from schemas.catalogue_entry import Catalogue
from schemas.credit_note import CreditNote, CreditNoteLine
from schemas.invoice import Deduction, Invoice, InvoiceLine
from schemas.money import Currency, allocate, round_to
from schemas.period import Period, zone
from schemas.plan import Interval, Plan, RateCard
from schemas.posting import Transaction, balance
from schemas.quantity import ZERO, exactly
from schemas.revenue import RevenueAt, RevenueLine

_IN_A_MONTH = {
    "day": (365, 12), "week": (365, 84), "month": (1, 1), "quarter": (1, 3), "half_year": (1, 6), "year": (1, 12),
}  # fmt: skip
"""How often an interval fits into a month, as a fraction: a year has 365 days, a week is 7 of them."""


@dataclass(frozen=True, slots=True)
class _Earned:
    """Where a line of a document is earned, and what it comes to in a month."""

    subscription: str
    plan: str
    charge: str
    first_day: date
    days: int
    weight: Decimal
    monthly: Decimal


def booked_revenue(transactions: Iterable[Transaction]) -> Decimal:
    """What transactions book as revenue: positive, or negative where it is taken back."""
    return -sum((balance(each.postings, "revenue") for each in transactions), ZERO)


@exactly
def revenue_lines(
    document: Invoice | CreditNote, booked: Decimal, catalogue: Catalogue, corrected: Invoice | None = None
) -> tuple[RevenueLine, ...]:
    """What a final document booked as revenue, per line; `booked` of a credit note is negative.

    `corrected` is the invoice that a note corrects: its zones, plans and monthly amounts are those of its lines.
    """
    before: list[tuple[_Earned, Decimal]] = []
    if isinstance(document, Invoice):
        earned = [_billed(line, catalogue, document.minor_units) for line in document.lines]
        before = [_deducted(document, one) for one in document.deductions]
    else:
        earned = list(_given_back(document, catalogue, corrected))
    whole = booked - sum((net for _, net in before), ZERO)
    nets = allocate(whole, [each.weight for each in earned], Currency(document.currency, document.minor_units))
    if earned and not any(each.weight for each in earned):
        nets = (whole, *nets[1:])
    earned, nets = [*earned, *(each for each, _ in before)], (*nets, *(net for _, net in before))
    return tuple(
        RevenueLine(
            document=document.id, line=index, customer=document.customer, currency=document.currency,
            minor_units=document.minor_units, subscription=each.subscription, plan=each.plan, charge=each.charge,
            issued_at=document.issued_at, first_day=each.first_day, days=each.days, net=net, monthly=each.monthly,
        )
        for index, (each, net) in enumerate(zip(earned, nets, strict=True))
    )  # fmt: skip


def _billed(line: InvoiceLine, catalogue: Catalogue, scale: int) -> _Earned:
    plan, card = _card_of(line, catalogue)
    service = line.span or line.rated.service
    first_day, days = _days(service, line.rated.time_zone)
    once = line.rated.kind == "one_off" or (card is not None and card.one_time)
    monthly = _monthly(line, plan, card, scale) if plan is not None and card is not None else ZERO
    return _Earned(line.subscription, line.plan, line.rated.charge, first_day, 1 if once else days, line.net, monthly)


def _deducted(invoice: Invoice, one: Deduction) -> tuple[_Earned, Decimal]:
    """What an interim invoice booked of a period, taken off where that earned it."""
    time_zone = next((line.rated.time_zone for line in invoice.lines), "UTC")
    return _Earned("", "", "", *_days(one.period, time_zone), ZERO, ZERO), -one.net


def _given_back(note: CreditNote, catalogue: Catalogue, corrected: Invoice | None) -> Iterator[_Earned]:
    billed = {line.id: line for line in corrected.lines} if corrected is not None else {}
    for line in note.lines:
        original = billed.get(line.invoice_line or "")
        if original is None:
            time_zone = line.rated.time_zone if line.rated is not None else "UTC"
            first_day, days = _days(line.service, time_zone)
            yield _Earned(line.subscription, "", line.charge, first_day, days, line.net, ZERO)
            continue
        whole = _billed(original, catalogue, note.minor_units)
        first_day, days = _days(line.service, original.rated.time_zone)
        once = whole.days == 1
        monthly = _monthly_back(line, original, whole, days, note.minor_units)
        yield _Earned(
            line.subscription, whole.plan, whole.charge, whole.first_day if once else first_day, 1 if once else days,
            line.net, -monthly,
        )  # fmt: skip


def _card_of(line: InvoiceLine, catalogue: Catalogue) -> tuple[Plan | None, RateCard | None]:
    entry = catalogue.plan(line.plan, line.plan_version)
    if entry is None:
        return None, None
    card = next((card for card in entry.plan.rate_cards if card.id == line.rated.charge), None)
    return entry.plan, card


def _days(service: Period, time_zone: str) -> tuple[date, int]:
    """The first local day, and how many: differences of local dates, so that adjacent spans share none; at least 1."""
    first, last = (moment.astimezone(zone(time_zone)).date() for moment in (service.start, service.end))
    return first, max(1, (last - first).days)


def _monthly(line: InvoiceLine, plan: Plan, card: RateCard, scale: int) -> Decimal:
    """A recurring fee of a whole period, after discounts and without tax, as so much a month."""
    if line.rated.kind != "fee" or card.one_time or not line.amount:
        return ZERO
    share = line.rated.proration
    whole = line.rated.amount_exact
    if share is not None and share.numerator and "fee" in share.applies_to:
        whole = whole * share.denominator / share.numerator
    return round_to(_a_month(whole * line.net / line.amount, card.interval or plan.interval), scale)


def _a_month(amount: Decimal, interval: Interval) -> Decimal:
    times, per = _IN_A_MONTH[interval.unit]
    return amount * times / (per * interval.count)


def _monthly_back(line: CreditNoteLine, original: InvoiceLine, whole: _Earned, days: int, scale: int) -> Decimal:
    """What a month loses: all of it where all that is left of the service is given back, to the minor unit."""
    rest = (original.amount - original.discount) * days / whole.days
    if not rest or abs(rest - line.net).scaleb(scale) < 1:
        return whole.monthly
    return round_to(whole.monthly * line.net / rest, scale)


@exactly
def earned(line: RevenueLine, before: date) -> Decimal:
    """What a line has earned before a day: its first k of n local days have earned round(net * k / n)."""
    served = min(max((before - line.first_day).days, 0), line.days)
    return round_to(line.net * served / line.days, line.minor_units)


def revenue_at(lines: Iterable[RevenueLine], day: date, issued_before: datetime) -> RevenueAt:
    """Revenue of one currency at the beginning of a day; `issued_before` is the instant at which it begins in UTC.

    Documents count as of their issue, service by its local days.
    """
    invoiced = recognised = unbilled = ZERO
    for line in lines:
        if line.issued_at < issued_before:
            invoiced += line.net
            recognised += earned(line, day)
        else:
            unbilled += earned(line, day)
    return RevenueAt(invoiced, recognised, invoiced - recognised, unbilled)
