"""What alert rules see: figures of customers beside their thresholds, each with the vector that it holds at.

The figures are those of entitlements and closes: the same usage, read by the same charges
(pipeline/limits/entitlements.py).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from pipeline.calendar.windows import window_at
from pipeline.limits.alerting import BACK, Observed, Watch, over, under
from pipeline.limits.anomaly import bound, is_anomaly
from pipeline.limits.entitlements import (
    Asked,
    Running,
    asked_of,
    entitlement_of,
    quantity,
    quantity_of,
    spend,
    window_of,
)
from pipeline.limits.forecast import forecast
from pipeline.rating.charge_lines import Usage
from schemas.alert_rule import AlertRule
from schemas.entitlement import Entitlement
from schemas.period import Period
from schemas.quantity import HUNDRED, ZERO, exactly, plain
from schemas.tick import Tick

Usages = Mapping[Asked, Sequence[Usage]]
ANOMALY_OF = ("count", "sum")
"""Only of these do hours add up to days, and are there sealed totals to compare with."""


@dataclass(frozen=True, slots=True)
class Hours:
    """What a customer used of a meter in the same hour of each day before (newest last), and in its largest hour."""

    same: tuple[Decimal, ...] = ()
    largest: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything that rules look at, as of a tick and a vector."""

    tick: Tick
    vector: tuple[int, ...]
    usage: Usages = field(default_factory=dict)
    hours: Mapping[tuple[str, str], Hours] = field(default_factory=dict)
    """By customer and meter, for the hour that the tick is in."""
    balances: Mapping[tuple[str, str], Decimal] = field(default_factory=dict)
    """What is left of prepaid credits, by customer and currency."""
    sources: Mapping[str, datetime] = field(default_factory=dict)
    """The event time of the last event of each source."""

    @property
    def position(self) -> Mapping[str, str]:
        """The evidence of what the figures rest on."""
        return {"tick": str(self.tick.number), "usage.events": ",".join(map(str, self.vector))}


def wanted(rules: Sequence[AlertRule], found: Sequence[Running], at: datetime) -> Iterator[Asked]:
    """The usage that the rules need."""
    for rule in rules:
        for one in found:
            if not watches(rule, one):
                continue
            if rule.on == "spend":
                yield asked_of(one)
            elif rule.on == "anomaly":
                yield quantity_of(one, hour_of(at))
            else:
                yield quantity_of(one)
                if (entitlement := entitlement_of(one)) is not None and rule.percents:
                    yield quantity_of(one, window_of(one, entitlement, at))


def watches(rule: AlertRule, one: Running) -> bool:
    """Whether a rule looks at a charge."""
    if rule.on in ("balance", "silence") or (rule.meter is not None and rule.meter != one.entry.name):
        return False
    if rule.on == "anomaly" and one.entry.meter.aggregation not in ANOMALY_OF:
        return False
    return rule.covers(one.customer, one.due.plan)


def hour_of(at: datetime) -> Period:
    """The hour that holds a moment; hours are those of UTC."""
    return window_at("hour", at, "UTC")


@exactly
def observations(rule: AlertRule, found: Sequence[Running], seen: Seen) -> list[Observed]:
    """What a rule sees, in a fixed order."""
    if rule.on == "silence":
        return list(_silence(rule, seen))
    if rule.on == "balance":
        covered = {one.customer for one in found if rule.covers(one.customer, one.due.plan)}
        return list(_balances(rule, covered if rule.plans else {name for name, _ in seen.balances}, seen))
    watched = [one for one in found if watches(rule, one)]
    if rule.on == "spend":
        return list(_spend(rule, watched, seen))
    look: Callable[[AlertRule, Running, Seen], Iterable[Observed]] = {
        "usage": _usage, "forecast": _forecast, "anomaly": _anomaly
    }[rule.on]  # fmt: skip
    return [each for one in watched for each in look(rule, one, seen)]


def _usage(rule: AlertRule, one: Running, seen: Seen) -> Iterator[Observed]:
    used = quantity(seen.usage.get(quantity_of(one), ()))
    for threshold in rule.thresholds:
        yield _beyond(rule, one, one.due.service, used, threshold, plain(threshold), seen)
    entitlement = entitlement_of(one)
    if entitlement is None or entitlement.included is None:
        return
    window = window_of(one, entitlement, seen.tick.time)
    used = quantity(seen.usage.get(quantity_of(one, window), ()))
    for percent, threshold in _parts(rule, entitlement):
        yield _beyond(rule, one, window, used, threshold, f"{plain(percent)} %", seen)


def _parts(rule: AlertRule, entitlement: Entitlement) -> Iterator[tuple[Decimal, Decimal]]:
    for percent in rule.percents:
        yield percent, entitlement.amount * percent / HUNDRED


def _beyond(
    rule: AlertRule, one: Running, window: Period, figure: Decimal, threshold: Decimal, name: str, seen: Seen
) -> Observed:
    watch = Watch(rule.id, "usage_threshold", one.customer, (one.due.subscription, one.entry.name, _day(window), name))
    unit = one.entry.meter.unit
    return over(
        watch, figure, threshold,
        text=f"{one.customer} has used {plain(figure)} {unit or one.entry.name}, which reaches {name}",
        evidence=_evidence(one, window, seen),
    )  # fmt: skip


def _spend(rule: AlertRule, found: Sequence[Running], seen: Seen) -> Iterator[Observed]:
    """Per subscription: what its metered charges come to in their running periods, or those of one meter."""
    by_subscription: dict[tuple[str, str], list[Running]] = defaultdict(list)
    for one in found:
        by_subscription[one.customer, one.due.subscription].append(one)
    for (customer, subscription), charges in by_subscription.items():
        first = charges[0]
        figure = sum((spend(one, seen.usage.get(asked_of(one), ())) for one in charges), ZERO)
        thresholds = [(plain(threshold), threshold) for threshold in rule.thresholds]
        entitlement = entitlement_of(first)
        if rule.meter is not None and entitlement is not None and entitlement.budget is not None:
            thresholds += [(f"{plain(percent)} %", part) for percent, part in _parts(rule, entitlement)]
        for name, threshold in thresholds:
            about = (subscription, rule.meter or "", _day(first.due.service), name)
            yield over(
                Watch(rule.id, "spend_threshold", customer, about), figure, threshold,
                text=f"{customer} has spent {plain(figure)} {first.due.currency}, which reaches {name}",
                evidence={**_evidence(first, first.due.service, seen), "currency": first.due.currency},
            )  # fmt: skip


def _forecast(rule: AlertRule, one: Running, seen: Seen) -> Iterator[Observed]:
    service = one.due.service
    figure = forecast(quantity(seen.usage.get(quantity_of(one), ())), service, seen.tick.time)
    if figure is None:
        return
    thresholds = [(plain(threshold), threshold) for threshold in rule.thresholds]
    entitlement = entitlement_of(one)
    if entitlement is not None and entitlement.included is not None and entitlement.per == "period":
        thresholds += [(f"{plain(percent)} %", part) for percent, part in _parts(rule, entitlement)]
    for name, threshold in thresholds:
        about = (one.due.subscription, one.entry.name, _day(service), name)
        yield over(
            Watch(rule.id, "forecast_threshold", one.customer, about), figure, threshold, back=threshold * BACK,
            text=f"{one.customer} will have used {plain(figure)} {one.entry.meter.unit or one.entry.name} by the end of"
            f" the period, which reaches {name}",
            evidence=_evidence(one, service, seen),
        )  # fmt: skip


def _anomaly(rule: AlertRule, one: Running, seen: Seen) -> Iterator[Observed]:
    hour = hour_of(seen.tick.time)
    before = seen.hours.get((one.customer, one.entry.name))
    if before is None:
        return
    limit = bound(before.same, before.largest, sensitivity=rule.sensitivity, floor=rule.floor)
    figure = quantity(seen.usage.get(quantity_of(one, hour), ()))
    if limit is None or not is_anomaly(figure, limit):
        return
    same = ",".join(plain(value) for value in before.same)
    yield over(
        Watch(rule.id, "anomaly", one.customer, (one.due.subscription, one.entry.name, hour.start.isoformat())),
        figure, limit,
        text=f"{one.customer} has used {plain(figure)} {one.entry.meter.unit or one.entry.name} in an hour that usually"
        f" ends below {plain(limit)}",
        evidence={**_evidence(one, hour, seen), "same_hour_before": same},
    )  # fmt: skip


def _balances(rule: AlertRule, customers: set[str], seen: Seen) -> Iterator[Observed]:
    for (customer, currency), figure in sorted(seen.balances.items()):
        if customer not in customers or (rule.customers and customer not in rule.customers):
            continue
        for threshold in rule.thresholds:
            yield under(
                Watch(rule.id, "balance_threshold", customer, (currency, plain(threshold))), figure, threshold,
                text=f"{customer} has {plain(figure)} {currency} of credits left, less than {plain(threshold)}",
                evidence={"currency": currency, **seen.position},
            )  # fmt: skip


def _silence(rule: AlertRule, seen: Seen) -> Iterator[Observed]:
    for source, last in sorted(seen.sources.items()):
        if rule.sources and source not in rule.sources:
            continue
        quiet = seen.tick.time - last
        told = {"source": source, "last_event": last.isoformat(), "quiet": str(rule.quiet), **seen.position}
        yield Observed(
            Watch(rule.id, "silence", "", (source, last.isoformat())), quiet > rule.quiet, is_back=False,
            text=f"{source} has sent nothing since {last:%Y-%m-%d %H:%M} UTC, for more than {_span(rule.quiet)}",
            evidence=told,
        )  # fmt: skip


def _evidence(one: Running, window: Period, seen: Seen) -> Mapping[str, str]:
    return {
        "subscription": one.due.subscription,
        "meter": f"{one.entry.name}@{one.entry.version}",
        "plan": f"{one.due.plan}@{one.due.plan_version}",
        "from": window.start.isoformat(),
        "to": window.end.isoformat(),
        **seen.position,
    }


def _day(window: Period) -> str:
    return window.start.isoformat()


def _span(length: timedelta) -> str:
    hours = length / timedelta(hours=1)
    return f"{hours:g} h"
