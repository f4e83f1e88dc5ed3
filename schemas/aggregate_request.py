"""What a meter makes of events: events, meter and period in, quantities out. No services, no log.

Field names are those of the catalogue and of CloudEvents; the rows of an answer are the `usage` of a rate request.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from schemas.faults import Strict, contradiction
from schemas.meter import Meter
from schemas.period import Instant, Period, zone
from schemas.price import Window
from schemas.rated_line import UsageRow


class AggregateEvent(BaseModel):
    """An event as a producer sends it; other attributes of CloudEvents are allowed and mean nothing here."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    type: str
    time: Instant
    source: str = ""
    id: str | None = None
    """With its source the identity: of several copies the first counts. Without an id every event is one of its own."""
    data: Mapping[str, Any] = Field(default_factory=dict)


class AggregateRequest(Strict):
    """A meter, events in order of arrival (of any time), and where and how they are looked at."""

    id: str | None = None
    """Given back with the answer."""
    meter: Meter
    events: tuple[AggregateEvent, ...] = ()
    period: Period
    """The served span: what is at its end belongs to the next."""
    time_zone: str = "UTC"
    window: Window | None = None
    anchor: Instant | None = None
    """Windows of a month are counted from it; without one from the start of the period."""
    full_period: Period | None = None
    """The grid period that prorated aggregations divide by; the period itself, if left out."""

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            return zone(name).key
        except ValueError as fault:
            raise contradiction(str(fault).removeprefix("time_zone: ")) from None

    @field_validator("full_period")
    @classmethod
    def _encloses_the_period(cls, full: Period | None, info: ValidationInfo) -> Period | None:
        period = info.data.get("period")
        if full is not None and period is not None and not full.encloses(period):
            raise contradiction("must enclose the period")
        return full


class AggregateAnswer(Strict):
    """Quantities per window and group, ascending, and what became of every event of the request."""

    id: str | None = None
    usage: tuple[UsageRow, ...]
    counted: int
    """In the period and in a row; those with a value that the meter cannot use among them."""
    invalid: int
    """Of the counted ones: their value is absent or no number, so no value of theirs is in a quantity."""
    carried: int
    """Before the period: the state that it opens with."""
    outside: int
    """Before the period without carry-over, or at its end and later."""
    filtered: int
    """Of another type, or kept out by `match` and `exclude`."""
    duplicates: int
    """Later copies of an identity."""
    conflicts: int
    """Of the duplicates: those with other content."""


def moment_of(event: AggregateEvent) -> datetime:
    """Event time, floored to milliseconds as it is stored."""
    return event.time.replace(microsecond=event.time.microsecond // 1000 * 1000)
