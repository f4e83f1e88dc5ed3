"""Which closed periods a run looks at again: records below its vector, and beyond that of the run before, touch them.

What was billed is deducted: a period that is looked at for nothing bills nothing. Source: rating.md §8, design.md §6.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.closing.run_lines import plan_of
from pipeline.subscriptions.commitments import COMMITMENT
from schemas.catalogue_entry import Catalogue
from schemas.customer_state import BillingRun, DueCharge, DuePeriod, Late, PeriodClosed
from schemas.period import Period

POSITIONS_KEPT = 20
"""So many positions are named on an adjustment; the events behind them are counted in full."""

ChargeKey = tuple[str, str, int, Period]
Dues = Mapping[ChargeKey, DuePeriod]


@dataclass(frozen=True, slots=True)
class Touch:
    """Records that change a customer's usage in a span, by their positions (`topic/partition/offset`)."""

    customer: str
    span: Period
    records: int
    positions: tuple[str, ...]


def closed_before(closes: Iterable[PeriodClosed], catalogue: Catalogue) -> dict[ChargeKey, DuePeriod]:
    """Every charge and period of usage that closes of a customer froze, as the last of them did; `closes` in order."""
    found: dict[ChargeKey, DuePeriod] = {}
    for closed in closes:
        for due in closed.periods:
            if due.interim:
                continue  # its period runs on: the invoice of all of it looks at all usage
            for charge in metered(due, catalogue):
                key = (due.subscription, charge.card, charge.number, due.period)
                found[key] = due.model_copy(update={"charges": (charge,)})
    return found


def metered(due: DuePeriod, catalogue: Catalogue) -> list[DueCharge]:
    """The charges of a due period that usage changes: those that price it, and the true-up of a plan's commitment."""
    cards = [card.id for card in plan_of(due, catalogue).plan.rate_cards if card.meter is not None]
    charges = [DueCharge(card=card) for card in cards] if due.charges is None else due.charges
    return [charge for charge in charges if charge.card in cards or (due.counted and charge.card == COMMITMENT)]


def with_late(run: BillingRun, known: Dues, touches: Sequence[Touch], catalogue: Catalogue) -> BillingRun:
    """The run with the closed periods that late records touch, within the horizon of their plan; in order of time."""
    now = {
        (due.subscription, charge.card, charge.number, due.period)
        for due in run.periods
        for charge in metered(due, catalogue)
    }
    chosen: dict[ChargeKey, DuePeriod] = {}
    for key, due in known.items():
        found = [touch for touch in touches if any(span.intersects(touch.span) for span in due.served)]
        policy = plan_of(due, catalogue).plan.late_usage
        if key in now or not found or due.service.end + policy.horizon < run.tick.time:
            continue
        positions = dict.fromkeys(position for touch in found for position in touch.positions)
        chosen[key] = _again(due, Late(
            policy=policy.policy,
            minimum=policy.minimum,
            records=sum(touch.records for touch in found),
            positions=tuple(positions)[:POSITIONS_KEPT],
        ))  # fmt: skip
    for depends in (_later_of_terms, _true_ups):
        chosen |= {key: due for key, due in depends(chosen, known).items() if key not in now | chosen.keys()}
    groups: dict[str, tuple[DuePeriod, list[DueCharge]]] = {}
    for again in chosen.values():
        alike = again.model_copy(update={"charges": ()})
        groups.setdefault(alike.model_dump_json(), (alike, []))[1].extend(again.charges or ())
    late_dues = [due.model_copy(update={"charges": tuple(charges)}) for due, charges in groups.values()]
    late_dues.sort(key=lambda due: (due.service.start, due.subscription, due.model_dump_json()))
    return run.model_copy(update={"periods": (*run.periods, *late_dues)})


def _again(due: DuePeriod, late: Late) -> DuePeriod:
    group = f"late {due.group}" if late.policy == "adjustment_invoice" and not due.late else due.group
    return due.model_copy(update={"rerates": True, "late": late, "group": group})


def _later_of_terms(chosen: Dues, known: Dues) -> dict[ChargeKey, DuePeriod]:
    """Later periods of the same terms: what is left of the commitment for them is another now."""
    found = {}
    for key, again in chosen.items():
        term, late = _only(again).term, again.late
        if term is None or late is None:
            continue
        for other, due in known.items():
            if other[:3] == key[:3] and key[3].start < other[3].start < term.span.end:
                found[other] = _again(due, late)
    return found


def _true_ups(chosen: Dues, known: Dues) -> dict[ChargeKey, DuePeriod]:
    """The commitments of plans that count lines which are rated anew."""
    found = {}
    for other, due in known.items():
        for key, again in chosen.items() if _only(due).card == COMMITMENT else ():
            if other[0] == key[0] and key[1:3] in due.counted and other[3].contains(key[3].start) and again.late:
                found[other] = _again(due, again.late)
    return found


def _only(due: DuePeriod) -> DueCharge:
    (charge,) = due.charges or ()
    return charge
