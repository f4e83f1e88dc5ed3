"""rating.md §10: a rated line holds enough to be computed again, also after it went over the wire."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.rating.charge_lines import rate_fee, rate_slice
from pipeline.rating.explain import recompute
from pipeline.rating.pricing import UsageRow
from pipeline.rating.rated_lines import unpriced_of
from schemas.customer_state import DuePeriod
from schemas.money import currency
from schemas.period import Period
from schemas.plan import RateCard
from schemas.rated_line import RatedLine, TermSoFar
from tests.pipeline.generated import cards, decimals, usage
from tests.pipeline.rate_cards import MARCH, TIERS, D, card, day, rows, terms


def on_the_wire(line: RatedLine) -> RatedLine:
    return RatedLine.model_validate_json(line.model_dump_json())


def differences(line: RatedLine, amounts: list[D] | None = None) -> dict[str, tuple[object, object]]:
    """Field -> (computed again, as it was), where the two differ."""
    again = recompute(on_the_wire(line), amounts)
    fields = RatedLine.model_fields
    return {name: (a, b) for name in fields if (a := getattr(again, name)) != (b := getattr(line, name))}


def transactions(card: RateCard, used: tuple[UsageRow, ...]) -> list[D] | None:
    return [row.quantity for row in used] if card.price.model == "percentage" else None


@given(cards(), usage(), st.booleans(), st.booleans())
def test_a_line_is_computed_again_from_itself(
    rated: RateCard, used: tuple[UsageRow, ...], is_trial: bool, prorates: bool
) -> None:
    service = Period(day(4), day(9))
    if rated.price.model == "percentage":
        used = tuple(UsageRow(row.quantity, {}, row.window) for row in used)
    under = terms(service, time_zone="Asia/Kathmandu", trial=is_trial, prorate_free_units=prorates, anchor=day(31, 1))
    for line in rate_slice(rated, used, under).lines:
        assert differences(line, transactions(rated, used)) == {}


@given(cards(), st.lists(usage(6), min_size=2, max_size=3), st.booleans())
def test_a_line_of_a_later_slice_is_computed_again_with_what_was_billed_before(
    rated: RateCard, runs: list[tuple[UsageRow, ...]], is_final: bool
) -> None:
    previous = None
    for index, given_rows in enumerate(runs):
        used = given_rows
        if rated.price.model == "percentage":
            used = tuple(UsageRow(row.quantity, {}, row.window) for row in used)
        final = is_final and index == len(runs) - 1
        found = rate_slice(rated, used, terms(Period(day(1), day(9))), previous=previous, final=final, until=day(6))
        for line in found.lines:
            assert differences(line, transactions(rated, used)) == {}
        previous = found.stages


@given(
    decimals(0, 500, 3),
    decimals(0, 9, 1),
    st.integers(0, 31),
    st.integers(0, 31),
    st.sampled_from(["day", "second", False]),
    st.sampled_from(["EUR", "JPY", "KWD"]),
    st.sampled_from([{}, {"percentage_discount": "12.5"}, {"minimum": "20"}, {"one_time": True}]),
)
def test_a_fee_is_computed_again_from_its_line(
    amount: str, quantity: str, start: int, days: int, basis: Any, money: str, own: dict[str, Any]
) -> None:
    starts_at = MARCH.start + timedelta(days=start)
    ends_at = min(MARCH.end, starts_at + timedelta(days=days))
    rated = RateCard.model_validate(
        {
            "id": "platform",
            "price": {"model": "flat", "amount": amount, "quantity": quantity},
            "proration": {"basis": basis} if basis else False,
            **own,
        }
    )
    due = DuePeriod(
        subscription="s", plan="team", plan_version="1", currency=money, time_zone="Europe/Berlin", period=MARCH,
        service=Period(starts_at, ends_at),
    )  # fmt: skip
    line = rate_fee(rated, due, currency(money))
    assert differences(line) == {}


def of_a_term(prior: str, *, is_last: bool) -> RatedLine:
    rated = card(unit_price="1", modifiers={"commitment": {"amount": "500", "per": {"unit": "month", "count": 12}}})
    (line,) = rate_slice(rated, D(105), terms(term=TermSoFar(D(prior), is_last))).lines
    return line


@pytest.mark.parametrize(("prior", "is_last"), [("0", False), ("430", False), ("0", True)])
def test_a_line_of_a_term_holds_how_far_the_term_had_come(prior: str, is_last: bool) -> None:
    line = of_a_term(prior, is_last=is_last)
    assert differences(line) == {}


@pytest.mark.parametrize(
    "changed",
    [
        {"amount": D("46.79")},
        {"gross": D("46.79")},
        {"quantity": D(51)},
        {"billed_quantity": D(51)},
        {"amount_exact": D("46.7751")},
        {"tiers": ()},
        {"minor_units": 3},
        {"price": card(unit_price="1").price},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_a_line_that_was_changed_does_not_come_out_the_same(changed: dict[str, Any]) -> None:
    (line,) = rate_slice(card("graduated", tiers=TIERS), D("50.5"), terms()).lines
    assert recompute(line) == line
    forged = line.model_copy(update=changed)
    assert recompute(forged) != forged


def test_a_changed_top_up_does_not_come_out_the_same() -> None:
    _, top_up = rate_slice(card(unit_price="1", modifiers={"minimum": "60"}), D("31"), terms()).lines
    assert recompute(top_up) == top_up
    forged = top_up.model_copy(update={"amount": D("30.00")})
    assert recompute(forged) != forged
    with pytest.raises(ValueError, match="reached: a top-up names its minimum"):
        recompute(top_up.model_copy(update={"reached": None}))


def test_a_commitment_by_group_that_nobody_used_is_computed_again() -> None:
    modifiers = {"commitment": {"amount": "0.01", "per": "day", "true_up": True}}
    rated = card("dynamic", modifiers, group_by=["team"])
    (line,) = rate_slice(rated, (), terms(Period(day(1), day(9))), final=False, until=day(6)).lines
    assert line.amount == D("0.05")
    assert differences(line) == {}


def test_a_percentage_price_needs_its_transactions_again() -> None:
    rated = card("percentage", rate_percent="1.8", fixed_fee="0.25")
    (line,) = rate_slice(rated, rows("40", "60"), terms()).lines
    assert recompute(line, [D(40), D(60)]) == line
    assert recompute(line, [D(40), D(61)]) != line
    with pytest.raises(ValueError, match="transactions: a percentage price is computed from every transaction"):
        recompute(line)


def test_an_unpriced_line_says_again_that_it_has_no_price() -> None:
    rated = card("matrix", prices=[{"match": {"region": ["eu"]}, "unit_price": "1"}])
    line = unpriced_of(rated, UsageRow(D(5), {"region": "us"}), "no entry matches", terms())
    assert differences(line) == {}
    assert (line.kind, str(line.amount), line.quantity) == ("unpriced", "0.00", 5)


def test_the_terms_of_a_slice_stand_on_its_line_only_where_they_are_not_ordinary() -> None:
    rated = card(unit_price="1")
    (ordinary,) = rate_slice(rated, D(5), terms()).lines
    first = rate_slice(rated, D(5), terms(), final=False, until=datetime.fromisoformat("2027-03-09T00:00Z"))
    assert ordinary.conditions is None
    assert first.lines[0].conditions is not None
    assert (first.lines[0].conditions.is_final, first.lines[0].conditions.until) == (False, day(9))
