"""Laws of a subscription's life, whatever is asked for in whatever order: rating.md §0.4 to §0.6."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.calendar.proration import days
from pipeline.documents.invoicing import invoices_of
from pipeline.rating.explain import recompute
from pipeline.subscriptions.charges import billed_periods, served_in
from schemas.money import currency, round_money
from tests.pipeline.billing import Billing, fee, plan, use

AMOUNTS = {"small": Decimal("31.00"), "large": Decimal("59.90")}
PLANS = [plan(name, fee(f"{amount}"), use("0.07")) for name, amount in AMOUNTS.items()]
CALLS = [
    (f"2027-{month:02}-{day:02} {hour:02}:00", day)
    for month in range(1, 6)
    for day, hour in ((3, 1), (17, 13), (28, 23))
]
ASKED: list[dict[str, Any]] = [
    {"command": "change", "plan": "large", "when": "now"},
    {"command": "change", "plan": "small", "when": "period_end"},
    {"command": "change_quantity", "card": "fee", "quantity": "3"},
    {"command": "change_quantity", "card": "fee", "quantity": "0"},
    {"command": "pause"},
    {"command": "resume"},
    {"command": "cancel", "when": "now"},
    {"command": "cancel", "when": "period_end"},
    {"command": "reactivate"},
    {"command": "set_anchor", "anchor": "2027-02-10"},
    {"command": "set_override", "card": "use", "override": {"price": {"model": "per_unit", "unit_price": "0.05"}}},
    {"command": "set_override", "card": "use", "override": {"waived": "all"}},
]
MOVES = st.lists(
    st.tuples(st.integers(min_value=0, max_value=20), st.sampled_from(ASKED), st.booleans()), max_size=8
)  # fmt: skip


def live(moves: list[tuple[int, dict[str, Any], bool]], *, ticks: bool = True) -> Billing:
    """A life from 1 January to 1 June 2027; without `ticks` nothing is billed before its end."""
    life = Billing(PLANS, calls=CALLS)
    life.do("subscribe", plan="small")
    for number, (later, asked, between) in enumerate(moves):
        moment = life.now + timedelta(days=later, hours=later % 7)
        if ticks and between:
            life.tick(f"{moment:%Y-%m-%d %H:%M}")
        else:
            life.now, life.number = moment, life.number + 1
        life.ask(**asked, request_id=f"r{number}")
    life.tick("2027-07-01")
    return life


def owed(life: Billing) -> Decimal:
    """What the fees of its charges come to, from their spans alone."""
    total = Decimal(0)
    for charge in life.subscription.charges:
        for period in billed_periods(charge, "UTC") if charge.card == "fee" else ():
            served = sum(days(span, "UTC") for span in served_in(charge, life.subscription.pauses, period))
            full = AMOUNTS[charge.plan] * (1 if charge.quantity is None else charge.quantity)
            total += round_money(full * served / days(period, "UTC"), currency("EUR"))
    return total


@given(MOVES)
@settings(max_examples=150, deadline=None)
def test_billed_is_rated_after_every_run_whatever_happened(moves: list[tuple[int, dict[str, Any], bool]]) -> None:
    life = live(moves)
    fees = sum(
        (line.amount for _, found in life.documents for line in found.all if line.charge.card == "fee"), Decimal(0)
    )
    assert fees == owed(life)
    assert life.tick("2027-07-01") == []


@given(MOVES)
@settings(max_examples=100, deadline=None)
def test_runs_that_were_missed_come_to_the_same(moves: list[tuple[int, dict[str, Any], bool]]) -> None:
    assert live(moves).billed() == live(moves, ticks=False).billed()


@given(MOVES)
@settings(max_examples=100, deadline=None)
def test_a_call_is_billed_once_or_not_at_all(moves: list[tuple[int, dict[str, Any], bool]]) -> None:
    life = live(moves)
    spans = sorted(
        span
        for charge in life.subscription.charges
        if charge.card == "use"
        for period in billed_periods(charge, "UTC")
        for span in served_in(charge, life.subscription.pauses, period)
    )
    assert all(one.end <= other.start for one, other in pairwise(spans))


@given(MOVES)
@settings(max_examples=100, deadline=None)
def test_every_line_is_computed_again_from_itself_and_has_an_id_of_its_own(
    moves: list[tuple[int, dict[str, Any], bool]],
) -> None:
    life = live(moves)
    lines = [line for _, found in life.documents for line in found.all]
    assert [recompute(line.rated) for line in lines] == [line.rated for line in lines]
    invoices = [invoice for closed, runs in life.closes for invoice in invoices_of(closed, runs, life.catalogue)]
    ids = [line.id for invoice in invoices for line in invoice.lines]
    assert len(ids) == len(set(ids))
