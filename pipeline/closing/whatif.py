"""Shadow billing: what a candidate plan would have billed of usage that was billed already. Nothing is decided here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from pipeline.subscriptions.commitments import COMMITMENT, charged_cards
from schemas.catalogue_entry import Catalogue, MeterEntry, PlanEntry
from schemas.customer_state import BillingRun, DueCharge, DuePeriod
from schemas.invoice import Invoice
from schemas.quantity import HUNDRED, ZERO


@dataclass(frozen=True, slots=True)
class Shadow:
    """What one customer's documents came to in a currency, and what they would have come to."""

    customer: str
    currency: str
    documents: int
    before: Decimal
    after: Decimal
    unpriced: int = 0
    """Lines of the candidate that no price covers: they are in neither amount."""

    @property
    def difference(self) -> Decimal:
        """More for a positive number."""
        return self.after - self.before

    @property
    def percent(self) -> Decimal | None:
        """The difference in percent of what was billed; None where nothing was."""
        return self.difference * HUNDRED / self.before if self.before else None


def with_candidate(catalogue: Catalogue, plan: PlanEntry, meters: Iterable[MeterEntry]) -> Catalogue:
    """A catalogue that knows the candidate and its meters too; nothing becomes the newest of its name."""
    found = {(entry.name, entry.version): entry for entry in meters}
    return replace(
        catalogue, plans={**catalogue.plans, (plan.name, plan.version): plan}, meters={**found, **catalogue.meters}
    )


def last_closed(runs: Sequence[BillingRun], plans: frozenset[str]) -> tuple[BillingRun, ...]:
    """The runs with their periods on some plans, each charge of a period once, in its last close, owed in full.

    Lines that no plan has are left out: they are the same under every plan. The order of the runs is kept.
    """
    seen: set[tuple[object, ...]] = set()
    found: list[BillingRun] = []
    for run in reversed(runs):
        periods = []
        for due in (each for each in run.periods if not each.interim):
            key = (run.customer, due.subscription, due.plan_version, due.period)
            charges = None if due.charges is None else [
                charge for charge in due.charges if (*key, charge.card, charge.number) not in seen
            ]  # fmt: skip
            if due.plan in plans and charges != [] and key not in seen:
                seen |= {key} if charges is None else {(*key, charge.card, charge.number) for charge in charges}
                left = None if charges is None else tuple(charges)
                periods.append(due.model_copy(update={"rerates": False, "late": None, "charges": left}))
        if periods:
            found.append(run.model_copy(update={"periods": tuple(periods), "one_offs": ()}))
    return tuple(reversed(found))


def moved(run: BillingRun, candidate: PlanEntry, catalogue: Catalogue) -> BillingRun:
    """A run with its periods moved to the candidate."""
    return run.model_copy(update={"periods": tuple(_moved(due, candidate, catalogue) for due in run.periods)})


def _moved(due: DuePeriod, candidate: PlanEntry, catalogue: Catalogue) -> DuePeriod:
    """Charges whose card the candidate has stay as they are; its new cards join those of their timing."""
    own: dict[str, object] = {"plan": candidate.name, "plan_version": candidate.version}
    entry = catalogue.plan(due.plan, due.plan_version)
    if due.charges is not None and entry is not None:
        before = {card.id: card for card in charged_cards(entry.plan)}
        timings = {before[charge.card].timing for charge in due.charges if charge.card in before}
        after = {card.id: card for card in charged_cards(candidate.plan)}
        kept = [charge for charge in due.charges if charge.card in after]
        new = [card.id for card in after.values() if card.id not in before and card.timing in timings]
        own["charges"] = (*kept, *(DueCharge(card=card) for card in new))
        if COMMITMENT in after:
            seen = {(charge.card, charge.number) for charge in kept} | {(card, 0) for card in after}
            own["counted"] = tuple(sorted({*due.counted, *seen} - {(COMMITMENT, 0)}))
    return due.model_copy(update=own)


def compared(before: Sequence[Invoice], after: Sequence[Invoice]) -> tuple[Shadow, ...]:
    """The documents of many closes, added up per customer and currency; the greatest difference first."""
    found: dict[tuple[str, str], Shadow] = {}
    for invoice, is_candidate in [*((one, False) for one in before), *((one, True) for one in after)]:
        key = (invoice.customer, invoice.currency)
        held = found.get(key, Shadow(*key, documents=0, before=ZERO, after=ZERO))
        if is_candidate:
            unpriced = sum(line.rated.kind == "unpriced" for line in invoice.lines)
            held = replace(held, after=held.after + invoice.totals.total, unpriced=held.unpriced + unpriced)
        else:
            held = replace(held, before=held.before + invoice.totals.total, documents=held.documents + 1)
        found[key] = held
    return tuple(sorted(found.values(), key=lambda one: (-abs(one.difference), one.customer, one.currency)))


def summed(shadows: Sequence[Shadow]) -> tuple[Shadow, ...]:
    """The totals per currency, of a customer without a name."""
    currencies = sorted({one.currency for one in shadows})
    return tuple(
        Shadow(
            "", code, sum(one.documents for one in own), sum((one.before for one in own), ZERO),
            sum((one.after for one in own), ZERO), sum(one.unpriced for one in own),
        )
        for code in currencies
        if (own := [one for one in shadows if one.currency == code])
    )  # fmt: skip


def outliers(shadows: Sequence[Shadow], *, percent: Decimal) -> tuple[Shadow, ...]:
    """Who would pay more or less by at least so many percent, or for the first time."""
    return tuple(one for one in shadows if one.difference and (one.percent is None or abs(one.percent) >= percent))
