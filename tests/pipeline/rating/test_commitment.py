"""rating.md §3, "Commitment": what is owed at least, and what use beyond it costs."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.rating.charge_lines import rate_runs, rate_slice
from pipeline.rating.commitment import Segment, commit, commit_term, commit_windows, plan_true_up, rounded
from pipeline.rating.pricing import UsageRow
from pipeline.rating.stages import UNKNOWN_TERM
from schemas.money import currency
from schemas.period import Period
from schemas.rated_line import TermSoFar
from tests.pipeline.rate_cards import EUR, TIERS, D, by_day, card, day, rows, terms


@pytest.mark.parametrize(
    ("base", "commitment", "factor", "true_up", "parts"),
    [
        ("248", "200", "1.25", True, ("200", "60", "0")),
        ("200", "200", "1.25", True, ("200", "0", "0")),
        ("168", "200", "1.25", True, ("168", "0", "32")),
        ("168", "200", "1.25", False, ("168", "0", "0")),
        ("0", "200", "1.25", True, ("0", "0", "200")),
        ("250", "200", "0", True, ("200", "0", "0")),
        ("5", "0", "2", True, ("0", "10", "0")),
        ("0", "0", "2", True, ("0", "0", "0")),
    ],
)
def test_the_table_of_section_3_splits_a_base(
    base: str, commitment: str, factor: str, true_up: bool, parts: tuple[str, str, str]
) -> None:
    found = commit(D(base), D(commitment), D(factor), true_up=true_up)
    assert (found.utilized, found.overage, found.true_up) == tuple(map(D, parts))


STORAGE = {"commitment": {"amount": "200.00", "overage_factor": "1.25", "true_up": True}}


@pytest.mark.parametrize(
    ("used", "utilized", "overage", "true_up", "amount"),
    [
        ("3100", "200.00", "60.00", "0.00", "260.00"),
        ("2500", "200.00", "0.00", "0.00", "200.00"),
        ("2100", "168.00", "0.00", "32.00", "200.00"),
        ("0", "0.00", "0.00", "200.00", "200.00"),
        ("2500.1", "200.00", "0.01", "0.00", "200.01"),
    ],
)
def test_the_commitment_of_section_3_is_a_line_with_its_parts(
    used: str, utilized: str, overage: str, true_up: str, amount: str
) -> None:
    (line,) = rate_slice(card(unit_price="0.08", modifiers=STORAGE), D(used), terms()).lines
    assert line.commitment is not None
    found = (line.commitment.utilized, line.commitment.overage, line.commitment.true_up)
    assert [str(part) for part in (*found, line.amount)] == [utilized, overage, true_up, amount]


@pytest.mark.parametrize(
    ("modifiers", "used", "amount"),
    [
        # 2500 units at 0.08 are 200.00; free units do not count towards them.
        ({"commitment": {"quantity": "2500"}}, "3100", "248.00"),
        ({"commitment": {"quantity": "2500"}, "free_units": "600"}, "2600", "200.00"),
        ({"commitment": {"quantity": "2500"}, "percentage_discount": "10"}, "2000", "180.00"),
        ({"commitment": {"quantity": "2500", "overage_factor": "2"}, "percentage_discount": "10"}, "3500", "324.00"),
        ({"commitment": {"quantity": "2500", "true_up": False}}, "2000", "160.00"),
    ],
)
def test_a_committed_quantity_becomes_an_amount_by_the_same_price_and_discount(
    modifiers: dict[str, Any], used: str, amount: str
) -> None:
    assert rate_slice(card(unit_price="0.08", modifiers=modifiers), D(used), terms()).billed.total == D(amount)


def test_a_commitment_is_prorated_like_a_fee_and_exactly() -> None:
    half = terms(Period(day(1), day(11)))  # 10 of 31 days: 64.516…
    (line,) = rate_slice(card(unit_price="0.08", modifiers=STORAGE), D(100), half).lines
    assert line.commitment is not None
    assert (line.commitment.utilized, line.commitment.true_up, line.amount) == (D("8.00"), D("56.52"), D("64.52"))
    assert line.proration is not None
    assert (line.proration.numerator, line.proration.denominator) == (10, 31)


def test_the_true_up_comes_with_the_final_slice() -> None:
    early, final = rate_runs(card(unit_price="0.08", modifiers=STORAGE), [D(1000), D(2100)], terms(), final_run=1)
    assert (early.billed.total, final.billed.total) == (D("80.00"), D("120.00"))


@pytest.mark.parametrize(
    ("base", "commitment", "factor", "parts"),
    [
        (
            "10.004",
            "5.005",
            "1",
            ("5.01", "4.99", "0.00"),
        ),  # 10.004 → 10.00; utilized is rounded, overage takes the rest
        ("1.004", "2.009", "1", ("1.00", "0.00", "1.01")),
        ("1.005", "5", "1", ("1.01", "0.00", "3.99")),
    ],
)
def test_the_amount_is_rounded_once_and_the_last_part_takes_the_rest(
    base: str, commitment: str, factor: str, parts: tuple[str, str, str]
) -> None:
    use = rounded(commit(D(base), D(commitment), D(factor)), EUR)
    assert (str(use.utilized), str(use.overage), str(use.true_up)) == parts


DAILY = {"commitment": {"amount": "3.00", "overage_factor": "1.5", "per": "day"}}
DAILY_TRUED_UP = {"commitment": {"amount": "3.00", "overage_factor": "1.5", "per": "day", "true_up": True}}
THREE_DAYS = terms(Period(day(1), day(4)))


def test_windowed_commitments_price_the_days_of_section_3() -> None:
    usage = by_day(["50", "0", "20"])
    assert rate_slice(card(unit_price="0.08", modifiers=DAILY), usage, THREE_DAYS).billed.total == D("6.10")
    assert rate_slice(card(unit_price="0.08", modifiers=DAILY_TRUED_UP), usage, THREE_DAYS).billed.total == D("10.50")


def test_windows_are_trued_up_once_they_have_elapsed() -> None:
    daily = card(unit_price="0.08", modifiers=DAILY_TRUED_UP)
    owed = [
        rate_slice(daily, by_day(["10"]), THREE_DAYS, final=False, until=until).billed.total
        for until in (day(1), day(2), day(3))
    ]
    assert owed == [D("0.80"), D("3.00"), D("6.00")]


def test_a_window_without_usage_rows_counts_as_zero() -> None:
    daily = card(unit_price="0.08", modifiers=DAILY_TRUED_UP)
    assert rate_slice(daily, (), THREE_DAYS).billed.total == D("9.00")


def test_segments_have_their_own_price_and_commitment_and_one_without_counts_as_utilized() -> None:
    found = commit_windows(
        [
            Segment(D("4.00"), D("3.00"), D("1.5"), true_up=True),
            Segment(D("1.00"), D("2.00"), D("2"), true_up=True),
            Segment(D("0.50"), None),
        ]
    )
    assert (found.utilized, found.overage, found.true_up) == (D("4.50"), D("1.50"), D("1.00"))
    assert found.amount == D("7.00")


def test_windows_give_back_no_more_than_all_of_them_cost() -> None:
    used = [Segment(D("5.00"), D("0"), D("0")), Segment(D("-5.00"), D("0"), D("0"))]
    assert commit_windows(used).amount == D("0"), (
        "use beyond a commitment of 0 cost nothing: there is nothing to give back"
    )
    used = [Segment(D("5.00"), D("3.00"), D("0")), Segment(D("-1.00"), D("3.00"), D("0"))]
    assert commit_windows(used).amount == D("2.00")
    used = [Segment(D("5.00"), D("3.00"), D("2")), Segment(D("-9.00"), D("3.00"), D("2"))]
    found = commit_windows(used)
    assert (found.utilized, found.overage, found.amount) == (D("-4.00"), D("4.00"), D("0"))


def test_a_term_prices_the_lines_of_section_3_at_base_cost() -> None:
    found = commit_term(
        [D("61.00"), D("44.00")], prior_base=D(430), commitment=D(500), overage_factor=D("1.4"), currency=EUR
    )
    assert (found.within, found.within_by_line) == (D("70.00"), (D("40.67"), D("29.33")))
    assert (found.overage, found.true_up, found.amount) == (D("49.00"), 0, D("119.00"))


@pytest.mark.parametrize(
    ("prior", "last", "true_up", "amount"),
    [
        ("0", False, "0", "105.00"),
        ("0", True, "395.00", "500.00"),
        ("395", True, "0", "105.00"),
        ("500", True, "0", "147.00"),
        ("900", False, "0", "147.00"),
    ],
)
def test_the_last_period_of_a_term_trues_up_what_is_left_of_it(
    prior: str, last: bool, true_up: str, amount: str
) -> None:
    found = commit_term(
        [D("61.00"), D("44.00")], prior_base=D(prior), commitment=D(500), overage_factor=D("1.4"), currency=EUR,
        last=last,
    )  # fmt: skip
    assert (found.true_up, found.amount) == (D(true_up), D(amount))


@pytest.mark.parametrize(
    ("fees", "commitment", "missing"),
    [(["49.00", "30.00"], "100", "21.00"), (["100.00"], "100", "0"), (["150"], "100", "0"), ([], "64.516", "64.52")],
)
def test_a_plan_commitment_trues_up_what_all_fees_lack(fees: list[str], commitment: str, missing: str) -> None:
    assert plan_true_up([D(fee) for fee in fees], D(commitment), EUR) == D(missing)


REGIONS = {"prices": [{"match": {"region": ["*"]}, "unit_price": "0.001", "group_by": ["region"]}]}


@pytest.mark.parametrize(
    "usage",
    [(), rows("1", region="eu"), (*rows("1", region="eu"), *rows("2", region="us"))],
    ids=["no usage", "one part of 0.00", "two parts of 0.00"],
)
def test_a_commitment_without_priced_usage_still_makes_a_line(usage: Any) -> None:
    rated = rate_slice(card("matrix", **REGIONS, modifiers={"commitment": {"amount": "200"}}), usage, terms())
    assert rated.billed.total == 200
    assert sum(line.amount for line in rated.lines) == 200


def test_a_commitment_in_a_currency_without_minor_unit_adds_up() -> None:
    yen = terms(money=currency("JPY"))
    (line,) = rate_slice(card("volume", tiers=TIERS, modifiers={"commitment": {"amount": "31"}}), D("50.5"), yen).lines
    assert line.commitment is not None
    assert (line.commitment.utilized, line.commitment.true_up, line.amount) == (30, 1, 31)


TERM = {"commitment": {"amount": "500", "overage_factor": "1.4", "per": {"unit": "month", "count": 12}}}


@pytest.mark.parametrize(
    ("prior", "is_last", "utilized", "overage", "true_up"),
    [
        ("0", False, "105.00", "0.00", "0.00"),
        ("430", False, "70.00", "49.00", "0.00"),
        ("0", True, "105.00", "0.00", "395.00"),
        ("600", True, "0.00", "147.00", "0.00"),
    ],
)
def test_a_period_of_a_term_is_a_line_with_its_part_of_the_commitment(
    prior: str, is_last: bool, utilized: str, overage: str, true_up: str
) -> None:
    of_the_year = terms(term=TermSoFar(D(prior), is_last))
    (line,) = rate_slice(card(unit_price="1", modifiers=TERM), D(105), of_the_year).lines
    assert line.commitment is not None
    found = (line.commitment.utilized, line.commitment.overage, line.commitment.true_up)
    assert found == (D(utilized), D(overage), D(true_up))
    assert line.amount == sum(found)


def test_a_term_whose_earlier_periods_are_not_known_stops_finalisation() -> None:
    rated = rate_slice(card(unit_price="1", modifiers=TERM), D(105), terms())
    assert rated.unpriced == (UNKNOWN_TERM,)


def test_month_windows_of_a_quarter_follow_the_billing_anchor_and_not_the_clamped_start() -> None:
    quarter = Period(day(28, 2), day(31, 5))  # the anchor is the 31st, clamped in February
    monthly = card(unit_price="1", modifiers={"commitment": {"amount": "10", "per": "month", "true_up": True}})
    usage = (UsageRow(D(12), {}, Period(day(30), day(31))), UsageRow(D(10), {}, Period(day(31), day(1, 4))))
    rated = rate_slice(monthly, usage, terms(quarter, quarter, anchor=day(31, 1)))
    assert rated.billed.total == 12 + 10 + 10
