"""What a tick makes due for a customer: the charges whose periods begin or end, and what changed since it was billed.

A customer whose subscriptions have ended has runs for as long as late usage is settled. A run names what is due; owed
now - issued before is computed from its close (`pipeline.closing.run_lines`). Source: rating.md §5.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from pipeline.closing.interims import billed_interim, is_asked, open_charges, with_interims
from pipeline.subscriptions.charges import Due, billed, next_due, period_of, served_in
from pipeline.subscriptions.commitments import COMMITMENT, counted_charges, depending, term_of
from pipeline.subscriptions.last_looks import next_look_at
from schemas.customer_state import BillingRun, CustomerState, DueCharge, DuePeriod, OneOff, Redeemed, Repriced
from schemas.period import Period
from schemas.subscription import Charge, Subscription
from schemas.tick import Tick

MAX_CHARGES_PER_RUN = 5000
"""Of one customer, periods counted apart; what is beyond it comes with the next tick."""


@dataclass(frozen=True, slots=True)
class _Found:
    """One period of one charge that a run bills."""

    charge: Charge
    period: Period
    served: tuple[Period, ...]
    rerates: bool = False


def next_due_at(state: CustomerState) -> datetime | None:
    """The earliest time of a tick that makes something due; None if nothing ever will."""
    moments = [one.at for one in state.one_offs if one.alone]
    for held in state.subscriptions:
        waits = _renewals_wait(held)
        if is_asked(held) and held.progress is not None:
            moments.append(held.progress.period.start)
        for charge in held.charges:
            if charge.rerates:
                moments.append(charge.rerates[0].start)
            elif (due := next_due(charge, held.pauses, held.time_zone, renewals_wait=waits)) is not None:
                moments.append(due.at)
    if (look := next_look_at(state)) is not None:
        moments.append(look)
    return min(moments, default=None)


def bill(state: CustomerState, tick: Tick) -> tuple[CustomerState, BillingRun | None]:
    """What a tick makes due, and the state that has billed it; several periods if ticks were missed."""
    periods: list[DuePeriod] = []
    after: list[Subscription] = []
    left = MAX_CHARGES_PER_RUN
    for held in state.subscriptions:
        found, charges = _due_of(held, tick.time, left)
        left -= len(found)
        periods += [with_interims(due, held) for due in _grouped(state, held, found)]
        if is_asked(held):
            dues = interim_dues(state, held, tick.time)
            periods += [due for due in dues if held.progress is not None and due.period == held.progress.period]
            held = billed_interim(held)
        after.append(held.model_copy(update={"charges": charges}) if found else held)
    is_interim = bool(periods) and all(due.interim for due in periods)
    periods = [again for due in periods for again in _repriced(due, state.repriced)]
    looks_at = next_look_at(state)
    looks = looks_at is not None and looks_at <= tick.time
    one_offs = _one_offs(state, tick, anything=looks or (bool(periods) and not is_interim))
    if not periods and not one_offs and not looks:
        return state.model_copy(update={"subscriptions": tuple(after)}), None
    coupons, left_over = _coupons(state, tick.time)
    if (not periods or is_interim) and all(one.sells for one in one_offs):
        left_over = state.coupons  # what sells credits, bills a part of a period or looks back uses none up
    run = BillingRun(
        customer=state.customer,
        tick=tick,
        follows=state.last_run,
        periods=tuple(periods),
        one_offs=one_offs,
        record=state.record,
        grants=state.grants,
        discounts=tuple(coupon.discount for coupon in coupons),
        disregarded=state.disregarded,
    )
    rest = tuple(one for one in state.one_offs if one not in one_offs)
    billed_state = {"subscriptions": tuple(after), "one_offs": rest, "last_run": tick.number,
                    "ran_at": tick.time, "coupons": left_over}  # fmt: skip
    return state.model_copy(update=billed_state), run


def due_at(state: CustomerState, held: Subscription, charge: Charge, at: datetime) -> DuePeriod | None:
    """The period of a charge that holds a moment, as the run that bills it would see it; None if it is not served."""
    if not charge.starts_at <= at or (charge.ends_at is not None and charge.ends_at <= at):
        return None
    period = period_of(charge, held.time_zone, at)
    served = served_in(charge, held.pauses, period)
    if not any(span.contains(at) for span in served):
        return None
    return _due_period(state, held, [_Found(charge, period, served)])


def _repriced(due: DuePeriod, corrections: Sequence[Repriced]) -> Iterator[DuePeriod]:
    """A period that is rated anew, its charges by the plan version that was found to be right for them."""
    versions = {(one.subscription, one.card, one.number, one.period): one.plan_version for one in corrections}
    found: dict[str, list[DueCharge]] = {}
    for charge in due.charges or ():
        key = (due.subscription, charge.card, charge.number, due.period)
        version = versions.get(key, due.plan_version) if due.rerates else due.plan_version
        found.setdefault(version, []).append(charge)
    for version, charges in found.items():
        yield due.model_copy(update={"plan_version": version, "charges": tuple(charges)})


def interim_dues(state: CustomerState, held: Subscription, at: datetime) -> list[DuePeriod]:
    """Usage of running periods up to a time, as an interim invoice bills it: a document of its own."""
    found = [_Found(*one) for one in open_charges(held, at)]
    return [
        due.model_copy(update={"interim": True, "group": f"interim {held.id}"}) for due in _grouped(state, held, found)
    ]


def accrued_dues(state: CustomerState, at: datetime) -> list[DuePeriod]:
    """What was served before a time and no run has billed, as if every running period ended then: usage and fees in
    arrears. Usage of a period that runs is a slice that is not its last, so no minimum tops it up; nor does the plan's
    commitment before its period is over.
    """
    dues: list[DuePeriod] = []
    for held in state.subscriptions:
        ended, fees, usage = list[_Found](), list[_Found](), list[_Found]()
        for charge in held.charges:
            if charge.timing != "arrears" or charge.one_time or charge.trial:
                continue
            for one, runs in _unbilled(charge, held, at):
                if not runs or charge.card != COMMITMENT:
                    (ended if not runs else usage if charge.meter is not None else fees).append(one)
        dues += [with_interims(due, held) for due in _grouped(state, held, ended)]
        dues += _grouped(state, held, fees)
        dues += [due.model_copy(update={"interim": True}) for due in _grouped(state, held, usage)]
    return dues


def _unbilled(charge: Charge, held: Subscription, at: datetime) -> Iterator[tuple[_Found, bool]]:
    """Its periods that no run has billed, cut at a time, each with whether it runs then."""
    due = next_due(charge, held.pauses, held.time_zone, renewals_wait=False)
    while due is not None and due.served[0].start < at:
        ends = due.period.end if charge.ends_at is None else min(due.period.end, charge.ends_at)
        served = tuple(Period(span.start, min(span.end, at)) for span in due.served if span.start < at)
        yield _Found(charge, due.period, served), ends > at
        charge = billed(charge, due)
        due = next_due(charge, held.pauses, held.time_zone, renewals_wait=False)


def _coupons(state: CustomerState, at: datetime) -> tuple[tuple[Redeemed, ...], tuple[Redeemed, ...]]:
    """Those that hold in a run at a time, and those that are left after it."""
    held = tuple(one for one in state.coupons if one.until is None or at < one.until)
    used = [one if one.left is None else one.model_copy(update={"left": one.left - 1}) for one in held]
    return held, tuple(one for one in used if one.left != 0)


def _one_offs(state: CustomerState, tick: Tick, *, anything: bool) -> tuple[OneOff, ...]:
    """Lines of their own, and those that waited for a run that bills something."""
    return tuple(one for one in state.one_offs if one.at <= tick.time and (one.alone or anything))


def _due_of(held: Subscription, at: datetime, at_most: int) -> tuple[list[_Found], tuple[Charge, ...]]:
    """The periods of a subscription that are due, and its charges once they are billed."""
    found: list[_Found] = []
    waits = _renewals_wait(held)
    charges = []
    for charge in held.charges:
        now = charge
        for period in charge.rerates:
            found.append(_Found(charge, period, served_in(charge, held.pauses, period), rerates=True))
        if charge.rerates:
            now = now.model_copy(update={"rerates": ()})
        while (due := _next(now, held, at, waits=waits)) is not None and len(found) < at_most:
            found.append(_Found(charge, due.period, due.served))
            now = billed(now, due)
        charges.append(now)
    return _with_dependents(held, found), tuple(charges)


def _with_dependents(held: Subscription, found: list[_Found]) -> list[_Found]:
    """The periods of a run, and those that were billed and depend on them: commitments are rated anew with them."""
    seen = {(one.charge.card, one.charge.number, one.period) for one in found}
    again = list[_Found]()
    for one in found:
        for charge, period in depending(held, one.charge, one.period):
            key = (charge.card, charge.number, period)
            if key not in seen:
                seen.add(key)
                again.append(_Found(charge, period, served_in(charge, held.pauses, period), rerates=True))
    return [*found, *again]


def _next(charge: Charge, held: Subscription, at: datetime, *, waits: bool) -> Due | None:
    due = next_due(charge, held.pauses, held.time_zone, renewals_wait=waits)
    return due if due is not None and due.at <= at else None


def _renewals_wait(held: Subscription) -> bool:
    return any(charge.timing == "arrears" and not charge.one_time for charge in held.charges)


def _grouped(state: CustomerState, held: Subscription, found: list[_Found]) -> list[DuePeriod]:
    """Due periods in order of service; charges of one plan version that serve the same spans of a period together."""
    groups: dict[tuple[object, ...], list[_Found]] = {}
    for one in found:
        key = (one.period, one.served, one.rerates, one.charge.plan, one.charge.plan_version, one.charge.trial,
               _prorates_free_units(one))  # fmt: skip
        groups.setdefault(key, []).append(one)
    ordered = sorted(groups.values(), key=lambda ones: _service_of(ones[0]).start)  # stable: then in order of charges
    return [_due_period(state, held, ones) for ones in ordered]


def _service_of(one: _Found) -> Period:
    """From the first to the last served instant; empty, at the start of the period, if nothing is served any more."""
    start = one.served[0].start if one.served else one.period.start
    return Period(start, one.served[-1].end if one.served else start)


def _prorates_free_units(one: _Found) -> bool:
    """In the period in which a change ended or began the charge."""
    charge, period = one.charge, one.period
    began = charge.began_by_change and period.contains(charge.starts_at)
    return began or (charge.ended_by_change and charge.ends_at is not None and period.contains(charge.ends_at))


def _due_period(state: CustomerState, held: Subscription, found: list[_Found]) -> DuePeriod:
    one = found[0]
    served = one.served
    true_up = next((due.charge for due in found if due.charge.card == COMMITMENT), None)
    service = _service_of(one)
    return DuePeriod(
        subscription=held.id,
        plan=one.charge.plan,
        plan_version=one.charge.plan_version,
        currency=held.currency,
        time_zone=held.time_zone,
        period=one.period,
        service=service,
        anchor=one.charge.anchor,
        charges=tuple(
            DueCharge(card=due.charge.card, number=due.charge.number, quantity=due.charge.quantity,
                      override=due.charge.override, term=term_of(due.charge, held.pauses, held.time_zone, due.period))
            for due in found
        ),
        pauses=tuple(Period(before.end, after.start) for before, after in pairwise(served)),
        trial=one.charge.trial,
        prorate_free_units=_prorates_free_units(one),
        rerates=one.rerates,
        subjects=held.subjects,
        other_subjects=_claimed(state, held, service),
        group=held.id if held.separate else "",
        counted=counted_charges(held, true_up) if true_up is not None else (),
    )  # fmt: skip


def _claimed(state: CustomerState, held: Subscription, service: Period) -> tuple[str, ...]:
    """Subjects that other subscriptions name in that time: not this one's, if it takes the rest."""
    if held.subjects is not None:
        return ()
    others = [
        other
        for other in state.subscriptions
        if other.id != held.id
        and other.starts_at < service.end
        and (other.ends_at is None or other.ends_at > service.start)
    ]
    return tuple(sorted({name for other in others for name in other.subjects or ()}))
