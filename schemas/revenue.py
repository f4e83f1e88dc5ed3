"""Revenue: what a line of a final document booked, and over which local days it is earned."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from schemas.quantity import Amount


@dataclass(frozen=True, slots=True)
class RevenueLine:
    """Revenue of one line; that of a credit note is negative. It is earned evenly over `days` local days.

    `net` is what its document booked as revenue for it: the lines of a document add up to its posting.
    """

    document: str
    line: int
    customer: str
    currency: str
    minor_units: int
    subscription: str
    plan: str
    charge: str
    issued_at: datetime
    first_day: date
    """The first local day of its service."""
    days: int
    """Local days of its service, at least 1."""
    net: Amount
    monthly: Amount
    """Of a recurring fee: what it comes to in a month; else 0."""


@dataclass(frozen=True, slots=True)
class RevenueAt:
    """Revenue at a date: `recognised` + `deferred` = `invoiced`; what is earned of later documents is `unbilled`."""

    invoiced: Amount
    recognised: Amount
    deferred: Amount
    unbilled: Amount
