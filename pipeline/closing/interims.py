"""Progressive billing in the line: usage of a running period that crosses a threshold is billed at a tick.

Who sees it cross asks with a command, so that a rebuild bills it at the same place of the log; the run of the next tick
bills all usage of the period not yet billed, and the invoice of the period deducts it. Source: rating.md §5.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from pipeline.subscriptions.charges import period_of, served_in
from pipeline.subscriptions.commanding import Context, Refused, replaced, running
from schemas.command import BillInterim
from schemas.customer_state import CustomerState, Disregarded, DuePeriod
from schemas.discount import Discount
from schemas.invoice import Deduction, Invoice, InvoiceLine
from schemas.money import Currency, allocate
from schemas.period import Period
from schemas.plan import Plan
from schemas.quantity import ZERO, exactly
from schemas.subscription import Charge, Progress, Subscription
from schemas.tax import AppliedTax, Exemption, TaxGroup


@dataclass(frozen=True, slots=True)
class Crossed:
    """A threshold that an amount has crossed; `used` and `steps` are used up with it."""

    threshold: Decimal
    used: int
    steps: int = 0


def crossed(plan: Plan, progress: Progress | None, period: Period, unbilled: Decimal, lifetime: Decimal) -> (
    Crossed | None
):  # fmt: skip
    """Whether usage has crossed a threshold of the plan since the interim invoice before; the last of several.

    `unbilled` amounts and their thresholds start anew with each period, and at 0 after each interim invoice; those of a
    lifetime never do.
    """
    is_lifetime = plan.threshold_base == "lifetime"
    goes_on = progress is not None and (is_lifetime or progress.period == period)
    used, steps = (progress.used, progress.steps) if progress is not None and goes_on else (0, 0)
    amount = lifetime if is_lifetime else unbilled
    levels, step = plan.thresholds, plan.recurring_threshold
    reached = [level for level in levels[used:] if level <= amount]
    start = levels[-1] if levels and is_lifetime else ZERO
    now = steps
    if step is not None and used + len(reached) == len(levels) and amount - start >= step:
        now = int((amount - start) // step)
    if not reached and now <= (steps if is_lifetime else 0):
        return None
    threshold = start + now * (step or ZERO) if now > (steps if is_lifetime else 0) else reached[-1]
    return Crossed(threshold, used + len(reached), now if is_lifetime else 0)


def open_charges(held: Subscription, at: datetime) -> Iterator[tuple[Charge, Period, tuple[Period, ...]]]:
    """The metered charges whose period runs at a time and is not billed, with what was served of it so far."""
    for charge in held.charges:
        if charge.meter is None or charge.trial or charge.interval != held.interval:
            continue
        if charge.starts_at > at or (charge.ends_at is not None and charge.ends_at <= at):
            continue
        period = period_of(charge, held.time_zone, at)
        served = tuple(
            Period(span.start, min(span.end, at))
            for span in served_in(charge, held.pauses, period)
            if span.start < at
        )  # fmt: skip
        if served and charge.billed_through <= max(period.start, charge.starts_at):
            yield charge, period, served


def is_asked(held: Subscription) -> bool:
    """Whether an interim invoice was asked for that no run has billed."""
    return held.progress is not None and held.progress.asked > held.progress.billed


def billed_interim(held: Subscription) -> Subscription:
    """The subscription once what was asked for is billed, or its period has ended and bills it."""
    if held.progress is None:
        return held
    return held.model_copy(update={"progress": held.progress.model_copy(update={"billed": held.progress.asked})})


def with_interims(due: DuePeriod, held: Subscription) -> DuePeriod:
    """The period of a final run, which says that interim invoices are to be deducted."""
    progress = held.progress
    if progress is None or progress.period != due.period or not progress.billed or due.interim:
        return due
    return due.model_copy(update={"interims": progress.billed})


def bill_interim(state: CustomerState, command: BillInterim, context: Context) -> CustomerState:
    """The next tick bills what is not billed yet of the running period."""
    subscription = running(state, command.subscription, context.now)
    period = next((period for _, period, _ in open_charges(subscription, context.now)), None)
    if period != command.period:
        raise Refused(f"period: {subscription.id} does not use it now; the invoice of a period bills all of it")
    before = subscription.progress
    same = before is not None and before.period == command.period
    asked, billed = (before.asked, before.billed) if before is not None and same else (0, 0)
    if command.number != asked + 1:
        raise Refused(f"number: must be {asked + 1}, the next interim invoice of the period, not {command.number}")
    progress = Progress(
        period=command.period, used=command.used, steps=command.steps, asked=command.number, billed=billed
    )
    return replaced(state, subscription.model_copy(update={"progress": progress}))


def interim_discounts(discounts: Sequence[Discount]) -> tuple[Discount, ...]:
    """Those that hold for a part of a period as for all of it: fixed amounts come off its invoice."""
    return tuple(discount for discount in discounts if discount.type == "percentage")


LineKey = tuple[str, str, int, Period]


def final_charges(dues: Sequence[DuePeriod]) -> frozenset[LineKey]:
    """The charges and periods that final runs bill now, of which interim invoices may have billed a part."""
    return frozenset(
        (due.subscription, charge.card, charge.number, due.period)
        for due in dues
        if due.interims
        for charge in due.charges or ()
    )


def deductions(
    interims: Sequence[Invoice], charges: frozenset[LineKey], disregarded: Sequence[Disregarded]
) -> tuple[Deduction, ...]:
    """What interim invoices billed of charges that are billed in full now; rejected drafts billed nothing."""
    gone = {(one.tick, one.subscription, one.card, one.number, one.period) for one in disregarded}
    found = []
    for invoice in interims:
        lines = [
            line for line in invoice.lines
            if key_of(line) in charges and (invoice.basis.tick, *key_of(line)) not in gone
        ]  # fmt: skip
        if lines:
            found.append(_deduction(invoice, lines))
    return tuple(found)


def key_of(line: InvoiceLine) -> LineKey:
    """The charge and period that a line bills."""
    return line.subscription, line.rated.charge, line.charge_number, line.rated.period


def _deduction(invoice: Invoice, lines: Sequence[InvoiceLine]) -> Deduction:
    """All of an interim invoice, or the lines of it whose charges end now with their shares of its tax."""
    totals = invoice.totals
    if len(lines) == len(invoice.lines):
        return Deduction(document=invoice.id, period=invoice.period, net=totals.net, tax=totals.tax,
                         tax_by_rate=totals.tax_by_rate, total=totals.total)  # fmt: skip
    nothing = totals.net - totals.net
    net = sum((line.net for line in lines), nothing)
    groups: dict[tuple[Decimal, Exemption | None], TaxGroup] = {}
    money = Currency(invoice.currency, invoice.minor_units)
    for line in lines:
        for tax, share in zip(line.taxes, _shares(line.tax, line.taxes, money), strict=True):
            key = (tax.percentage, tax.exemption)
            before = groups.get(key, TaxGroup(*key, nothing, nothing))
            groups[key] = replace(before, taxable=before.taxable + line.net, tax=before.tax + share)
    taxed = sum((line.tax for line in lines), nothing)
    return Deduction(document=invoice.id, period=invoice.period, net=net, tax=taxed,
                     tax_by_rate=tuple(groups.values()), total=net + taxed)  # fmt: skip


@exactly
def _shares(tax: Decimal, taxes: Sequence[AppliedTax], money: Currency) -> Sequence[Decimal]:
    return allocate(tax, [each.percentage for each in taxes], money)
