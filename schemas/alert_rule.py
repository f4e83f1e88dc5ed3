"""What the catalogue watches: a figure, and where it must not go. Each crossing is one record of billing.alerts."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from schemas.faults import Strict, contradiction
from schemas.meter import Name
from schemas.quantity import NonNegative, Positive
from schemas.time_span import WRITTEN_SPAN, span

Watched = Literal["usage", "spend", "balance", "forecast", "silence", "anomaly"]
OF_A_METER = ("usage", "forecast", "anomaly")
WITH_THRESHOLDS = ("usage", "spend", "balance", "forecast")


class AlertRule(Strict):
    """A rule of the catalogue.

    `usage` and `spend` are those of the running billing period, `forecast` is its usage carried on to the end of the
    period, `balance` what is left of a customer's prepaid credits, `silence` the time since a source's last event, and
    `anomaly` the usage of the running hour beside the same hour of the days before.
    """

    id: Name
    name: str = ""
    on: Watched
    meter: Annotated[Name | None, Field(validate_default=True)] = None
    """Of usage, forecast and anomaly; spend without a meter is that of all."""
    thresholds: Annotated[tuple[Positive, ...], Field(validate_default=True)] = ()
    """Quantities or amounts; a balance alerts below them, everything else from them on."""
    percents: Annotated[tuple[Positive, ...], Field(validate_default=True)] = ()
    """The same as parts of the entitlement to the meter, such as 80 and 100."""
    plans: tuple[Name, ...] = ()
    """Only subscriptions to these plans; empty for all."""
    customers: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = ()
    """Only these customers; empty for all."""
    sources: tuple[Annotated[str, Field(min_length=1, max_length=1000)], ...] = ()
    """Of silence: only these sources; empty for every one."""
    quiet: Annotated[timedelta, BeforeValidator(span), WRITTEN_SPAN] = timedelta(hours=2)
    """Of silence: how long nothing may come."""
    sensitivity: Positive = Decimal(8)
    """Of an anomaly: how many times its usual spread an hour may lie above its median."""
    floor: NonNegative = Decimal(0)
    """Of an anomaly: below it no hour is one."""
    retired: bool = False
    """Whether it watches nothing any more: what was applied to a catalogue is never taken out of it."""

    @field_validator("meter")
    @classmethod
    def _counts_something(cls, meter: str | None, info: ValidationInfo) -> str | None:
        on = info.data.get("on")
        if meter is None and on in OF_A_METER:
            raise contradiction(f"is missing: {on} is that of a meter")
        if meter is not None and on in ("balance", "silence"):
            raise contradiction(f"must be left out: {on} is of no meter")
        return meter

    @field_validator("thresholds", "percents")
    @classmethod
    def _ascend(cls, values: tuple[Decimal, ...], info: ValidationInfo) -> tuple[Decimal, ...]:
        if list(values) != sorted(set(values)):
            raise contradiction("must ascend")
        if values and info.data.get("on") not in (*WITH_THRESHOLDS, None):
            raise contradiction(f"must be left out: {info.data.get('on')} has none")
        return values

    @field_validator("percents")
    @classmethod
    def _crosses_something(cls, percents: tuple[Decimal, ...], info: ValidationInfo) -> tuple[Decimal, ...]:
        on = info.data.get("on")
        if percents and (on == "balance" or info.data.get("meter") is None):
            raise contradiction("must be left out: only usage, forecast and spend of a meter have an entitlement")
        if on in WITH_THRESHOLDS and not percents and not info.data.get("thresholds", (1,)):
            raise contradiction(f"give thresholds or percents: {on} alerts where it crosses one")
        return percents

    def covers(self, customer: str, plan: str) -> bool:
        """Whether a customer's subscription to a plan is watched."""
        return (not self.customers or customer in self.customers) and (not self.plans or plan in self.plans)
