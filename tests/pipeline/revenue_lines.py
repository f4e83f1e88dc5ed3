"""Lines of revenue as a test needs them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

from hypothesis import strategies as st

from schemas.revenue import RevenueLine


def line(
    customer: str, issued: str, first_day: str, days: int, net: str, monthly: str = "0", *, number: int = 0,
    document: str = "",
) -> RevenueLine:  # fmt: skip
    """A line in euros, issued at midnight."""
    return RevenueLine(
        document=document or f"00000000-0000-0000-0000-{number:012}", line=number, customer=customer, currency="EUR",
        minor_units=2, subscription="s", plan="p", charge="fee",
        issued_at=datetime.fromisoformat(issued).replace(tzinfo=UTC), first_day=date.fromisoformat(first_day),
        days=days, net=Decimal(net), monthly=Decimal(monthly),
    )  # fmt: skip


DAYS = st.dates(date(2026, 1, 1), date(2028, 12, 31))
LINES = st.builds(
    lambda issued, first, days, units: line("acme", str(issued), str(first), days, f"{Decimal(units).scaleb(-2):f}"),
    DAYS, DAYS, st.integers(1, 400), st.integers(-(10**9), 10**9),
)  # fmt: skip
