"""Looks at revenue: at a date, by month, recurring, taxed; and the trial balance that follows from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from agents.store.connection import Connection, query_text
from agents.store.ledger_looks import OF_CUSTOMER, Entry
from schemas.identity import derived_id
from schemas.revenue import RevenueAt

MONTHS = (
    "SELECT customer, currency, month, invoiced - recognised, earned - recognised FROM v_revenue "
    f"WHERE {OF_CUSTOMER} AND addMonths(month, 1) <= toDate(as_of, 'UTC') ORDER BY month, customer, currency"
)


NOTHING: Mapping[str, Decimal] = {}


@dataclass(frozen=True, slots=True)
class CurrencyRevenue(RevenueAt):
    """Revenue of one currency at a date, and what prepaid credits hold of it."""

    currency: str
    unused_credits: Decimal = Decimal(0)
    """Paid for, and not drawn: owed in service."""
    breakage: Decimal = Decimal(0)
    """Of credits that expired unused, up to that date."""


class RevenueLooks:
    """Reads of revenue."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def at(self, day: date, customer: str = "") -> list[CurrencyRevenue]:
        """Revenue per currency at the beginning of a day: documents by their issue in UTC, service by local days."""
        rows = self._db.tuples(query_text("revenue_at"), {"day": day, "customer": customer})
        lines = {row[0]: RevenueAt(*row[1:]) for row in rows}
        credits = self._credits(day, customer)
        none = RevenueAt(Decimal(0), Decimal(0), Decimal(0), Decimal(0))
        return [
            CurrencyRevenue(
                found.invoiced, found.recognised, found.deferred, found.unbilled, code, *credits.get(code, ())
            )
            for code in sorted(lines.keys() | credits.keys())
            for found in [lines.get(code, none)]
        ]

    def _credits(self, day: date, customer: str) -> dict[str, tuple[Decimal, Decimal]]:
        rows = self._db.tuples(
            "SELECT currency, -sumIf(amount, book = 'prepaid_credits') AS unused, "
            "-sumIf(amount, book = 'breakage') AS breakage FROM postings FINAL "
            f"WHERE at < toDateTime64({{day:Date}}, 3, 'UTC') AND {OF_CUSTOMER} GROUP BY currency "
            "HAVING unused != 0 OR breakage != 0",
            {"day": day, "customer": customer},
        )
        return {row[0]: (row[1], row[2]) for row in rows}

    def trial_balance(
        self, day: date, customer: str = "", *, adjusted: bool = True, open_usage: Mapping[str, Decimal] = NOTHING
    ) -> list[tuple[str, str, Decimal]]:
        """(currency, book, balance) at the beginning of a day, positive is debit; each currency adds up to zero.

        Adjusted: revenue is what is earned; what is deferred, and what is earned and not billed, stand apart. What
        open periods come to so far (`agents.accruals`, by currency) is earned and not billed, where it is given.
        """
        rows = self._db.tuples(
            "SELECT currency, book, sum(amount) FROM postings FINAL WHERE at < toDateTime64({day:Date}, 3, 'UTC') "
            f"AND {OF_CUSTOMER} GROUP BY currency, book",
            {"day": day, "customer": customer},
        )
        balances = {(currency, book): amount for currency, book, amount in rows}
        found = [(now.currency, now.deferred, now.unbilled) for now in self.at(day, customer)] if adjusted else []
        found += [(currency, Decimal(0), amount) for currency, amount in open_usage.items()]
        for currency, deferred, unbilled in found:
            for book, amount in adjustments(deferred, unbilled):
                balances[currency, book] = balances.get((currency, book), Decimal(0)) + amount
        return [(*key, amount) for key, amount in sorted(balances.items()) if amount]

    def recognitions(self, customer: str = "") -> list[Entry]:
        """What closes each month that has ended: postings that defer revenue, and accrue what is not billed yet."""
        return [entry for row in self._db.tuples(MONTHS, {"customer": customer}) for entry in _recognised(*row)]

    def months(self, customer: str = "") -> list[dict[str, Any]]:
        """Revenue per currency and month, in order."""
        return self._db.rows(query_text("revenue_months"), {"customer": customer})

    def recurring(self, customer: str = "") -> list[dict[str, Any]]:
        """How recurring revenue changed per currency and month, in order; with the customers behind each change."""
        return self._db.rows(query_text("recurring_months"), {"customer": customer})

    def taxes(self, start: datetime, end: datetime, customer: str = "") -> list[dict[str, Any]]:
        """Tax of documents issued in a span, per currency, country, rate and exemption."""
        return self._db.rows(query_text("taxes"), {"start": start, "end": end, "customer": customer})


def adjustments(deferred: Decimal, unbilled: Decimal) -> tuple[tuple[str, Decimal], ...]:
    """What turns invoiced revenue into earned revenue; adds up to zero."""
    return (("revenue", deferred - unbilled), ("deferred_revenue", -deferred), ("unbilled_revenue", unbilled))


def _recognised(customer: str, currency: str, month: date, deferred: Decimal, unbilled: Decimal) -> Iterator[Entry]:
    after = date(month.year + month.month // 12, month.month % 12 + 1, 1)
    at = datetime(after.year, after.month, 1, tzinfo=UTC) - timedelta(milliseconds=1)
    transaction = str(derived_id("recognition", customer, currency, month.isoformat()))
    for book, amount in adjustments(deferred, unbilled):
        if amount:
            yield Entry(at, transaction, customer, currency, book, amount, "recognised", "", f"{month:%Y-%m}")
