"""What open periods come to so far: usage and fees in arrears that no document bills yet, an estimate of revenue.

Every customer's open periods are rated as if they ended at the day that is asked for, as of the vector of the last
tick, with the rating that bills them. In it: periods that run, that wait out their grace, and drafts that are not
final. Not in it: minimums and fixed discounts of periods that run, late usage of closed ones, runs that are parked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal

from agents.freezing import freeze, lines_of, usage_of
from agents.store.billing import BillingStore
from agents.store.documents import DocumentStore
from agents.store.run_lines import RunLineStore
from pipeline.closing.engines import engine_of
from pipeline.closing.runs import accrued_dues
from pipeline.collection.revenue import earned, revenue_lines
from pipeline.documents.invoicing import Terms
from schemas.catalogue_entry import Catalogue
from schemas.customer_state import BillingRun, CustomerState
from schemas.invoice import Invoice
from schemas.quantity import ZERO
from schemas.tick import Tick

TOGETHER = 1000
"""Customers whose usage is read in one statement per meter and frame."""
Accrued = Mapping[tuple[str, str], Decimal]
"""(customer, currency) -> amount, net."""


class Accruals:
    """Rates open periods; reads only."""

    def __init__(self, billing: BillingStore, documents: DocumentStore, lines: RunLineStore) -> None:
        self._billing, self._documents, self._lines = billing, documents, lines

    def before(self, day: date, tick: Tick, catalogue: Catalogue, customer: str = "") -> Accrued:
        """What was earned before a day (UTC), or before the tick if that is earlier, and no final document bills."""
        at = min(datetime.combine(day, time(), UTC), tick.time)
        found: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
        customers = [customer] if customer else sorted(self._billing.state_offsets())
        for start in range(0, len(customers), TOGETHER):
            states = self._billing.states(customers[start : start + TOGETHER])
            for invoice in self._rated([each.state for each in states.values()], at, tick, catalogue):
                found[invoice.customer, invoice.currency] += net(invoice)
        for draft in self._documents.drafts(customer):
            lines = revenue_lines(draft, net(draft), catalogue)
            found[draft.customer, draft.currency] += sum((earned(line, day) for line in lines), ZERO)
        return {key: amount for key, amount in found.items() if amount}

    def _rated(
        self, states: Iterable[CustomerState], at: datetime, tick: Tick, catalogue: Catalogue
    ) -> Sequence[Invoice]:  # fmt: skip
        runs = [run for state in states if (run := _run_of(state, at, tick)).periods]
        customers = tuple(run.customer for run in runs)
        usage = usage_of(self._billing, tick, 0, runs, catalogue, customers=customers)
        frozen = [freeze(run, catalogue, usage) for run in runs]
        closes = [each.closed for each in frozen]
        issued, interims = self._lines.issued(closes), self._documents.interims(closes)
        made: list[Invoice] = []
        for each in frozen:
            lines = lines_of(each, catalogue, issued.get(each.closed.close_id, ()))
            terms = Terms(discounts=each.closed.discounts, interims=interims.get(each.closed.customer, ()))
            made += engine_of(tick).invoices(each.closed, lines, catalogue, terms)
        return made


def net(invoice: Invoice) -> Decimal:
    """What an invoice will book as revenue: without tax, less what interim invoices booked."""
    return invoice.totals.net - sum((each.net for each in invoice.deductions), ZERO)


def by_currency(accrued: Accrued) -> dict[str, Decimal]:
    """The sums over customers."""
    found: dict[str, Decimal] = defaultdict(Decimal)
    for (_, currency), amount in accrued.items():
        found[currency] += amount
    return dict(found)


def _run_of(state: CustomerState, at: datetime, tick: Tick) -> BillingRun:
    """What a run would bill if every open period ended; coupons that hold, no credits: those are no revenue."""
    held = tuple(one.discount for one in state.coupons if one.until is None or at < one.until)
    after = tick.model_copy(update={"number": tick.number + 1})  # what the tick itself has billed is deducted
    return BillingRun(
        customer=state.customer, tick=after, follows=state.last_run, periods=tuple(accrued_dues(state, at)),
        record=state.record, discounts=held, disregarded=state.disregarded,
    )  # fmt: skip
