"""rating.md §7: tax per rate and invoice."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.rating.tax import Taxable, exempt, tax_lines, taxes_at
from schemas.money import currency
from schemas.period import Moment, Period
from schemas.tax import AppliedTax, Exemption, TaxRate

D = Decimal
EUR, JPY, CAD = currency("EUR"), currency("JPY"), currency("CAD")
LAW = settings(max_examples=max(200, settings().max_examples), deadline=None)


def vat(percentage: str, **more: bool) -> AppliedTax:
    return AppliedTax(f"vat-{percentage}", D(percentage), **more)


def exclusive(*lines: tuple[str, str]) -> list[Taxable]:
    return [Taxable(D(net), (vat(rate),)) for net, rate in lines]


def inclusive(*lines: tuple[str, str]) -> list[Taxable]:
    return [Taxable(D(gross), (vat(rate),), inclusive=True) for gross, rate in lines]


def test_tax_is_rounded_once_per_rate_and_not_per_line() -> None:
    found = tax_lines(exclusive(*[("0.03", "15")] * 7), EUR)
    assert (found.net, found.tax, found.total) == (D("0.21"), D("0.03"), D("0.24"))
    assert tax_lines(exclusive(("0.03", "15")), EUR).tax == D("0.00")


def test_each_rate_is_a_group_of_its_own() -> None:
    found = tax_lines(exclusive(("18.45", "21"), ("12.50", "9"), ("7.15", "21")), EUR)
    assert [(group.percentage, group.taxable, group.tax) for group in found.groups] == [
        (D(21), D("25.60"), D("5.38")), (D(9), D("12.50"), D("1.13")),
    ]  # fmt: skip
    assert found.tax == D("6.51")


def test_tax_that_is_contained_leaves_the_total_as_it_was_quoted() -> None:
    found = tax_lines(inclusive(("119.00", "19"), ("1.00", "19")), EUR)
    assert (found.net, found.tax, found.total) == (D("100.84"), D("19.16"), D("120.00"))


def test_equal_percentages_share_a_group_however_they_are_written() -> None:
    found = tax_lines([Taxable(D("10.00"), (vat("19"),)), Taxable(D("10.00"), (vat("19.00"),))], EUR)
    assert [(group.taxable, group.tax) for group in found.groups] == [(D("20.00"), D("3.80"))]


def test_two_taxes_on_a_line_have_the_same_base() -> None:
    found = tax_lines([Taxable(D("100.00"), (vat("5"), vat("9.975")))], CAD)
    assert [(group.taxable, group.tax) for group in found.groups] == [
        (D("100.00"), D("5.00")), (D("100.00"), D("9.98")),
    ]  # fmt: skip


def test_a_line_with_two_taxes_of_equal_percentage_counts_twice_in_their_group() -> None:
    line = Taxable(D("100.00"), (AppliedTax("state", D(6)), AppliedTax("city", D("6.0"))))
    found = tax_lines([line, Taxable(D("50.00"), (vat("6"),))], CAD)
    assert [(group.taxable, group.tax) for group in found.groups] == [(D("250.00"), D("15.00"))]


def test_a_compound_tax_is_charged_on_the_taxes_listed_before_it() -> None:
    found = tax_lines([Taxable(D("100.00"), (vat("5"), vat("9.975", compound=True)))], CAD)
    assert [(group.taxable, group.tax) for group in found.groups] == [
        (D("100.00"), D("5.00")), (D("105.00"), D("10.47")),
    ]  # fmt: skip
    first = tax_lines([Taxable(D("100.00"), (vat("9.975", compound=True), vat("5")))], CAD)
    assert first.tax == D("14.98")


def test_a_line_that_contains_two_taxes_is_split_by_their_parts_of_the_price() -> None:
    line = Taxable(D("114.98"), (vat("5"), vat("9.975")), inclusive=True)
    found = tax_lines([line], CAD)
    assert (found.net, found.tax, found.total) == (D("100.00"), D("14.98"), D("114.98"))
    assert [group.tax for group in found.groups] == [D("5.00"), D("9.98")]


def test_an_exempt_line_is_in_a_group_of_rate_zero_with_its_reason() -> None:
    lines = [Taxable(D("80.00"), exempt(Exemption.REVERSE_CHARGE)), *exclusive(("20.00", "0"))]
    found = tax_lines(lines, EUR)
    assert [(group.percentage, group.exemption, group.taxable, group.tax) for group in found.groups] == [
        (D(0), Exemption.REVERSE_CHARGE, D("80.00"), D("0.00")), (D(0), None, D("20.00"), D("0.00")),
    ]  # fmt: skip
    assert found.total == D("100.00")


def test_a_line_without_taxes_is_in_no_group() -> None:
    found = tax_lines([Taxable(D("80.00")), *exclusive(("20.00", "20"))], EUR)
    assert [(group.taxable, group.tax) for group in found.groups] == [(D("20.00"), D("4.00"))]
    assert (found.net, found.total) == (D("100.00"), D("104.00"))


def test_the_share_of_a_line_is_allocated_from_its_group() -> None:
    found = tax_lines(exclusive(*[("0.03", "15")] * 7), EUR)
    assert found.shares == (D("0.01"), D("0.01"), D("0.01"), D("0"), D("0"), D("0"), D("0"))
    mixed = tax_lines([Taxable(D("100.00"), (vat("5"), vat("9.975"))), Taxable(D("10.00"), (vat("5"),))], CAD)
    assert mixed.shares == (D("14.98"), D("0.50"))


def test_currencies_without_minor_unit_have_whole_taxes() -> None:
    assert tax_lines(exclusive(("105", "10")), JPY).tax == D("11")
    assert tax_lines(inclusive(("105", "10")), JPY).net == D("95")


def test_no_lines_no_tax() -> None:
    found = tax_lines([], EUR)
    assert (found.net, found.tax, found.total, found.groups, found.shares) == (0, 0, 0, (), ())


@pytest.mark.parametrize("net", [D("-0.01"), D("NaN"), D("-Infinity")])
def test_refused_a_net_that_is_negative_or_no_number(net: Decimal) -> None:
    with pytest.raises(ValueError, match=r"lines\[0\].net: must be"):
        tax_lines([Taxable(net)], EUR)


@pytest.mark.parametrize("percentage", ["-0.01", "NaN"])
def test_refused_a_negative_rate(percentage: str) -> None:
    with pytest.raises(ValueError, match="percentage: must be at least 0"):
        vat(percentage)


GERMAN = TaxRate.model_validate({
    "id": "vat",
    "percentages": [
        {"percentage": "19"},
        {"percentage": "16", "effective_from": date(2020, 7, 1)},
        {"percentage": "19", "effective_from": date(2021, 1, 1)},
    ],
})  # fmt: skip


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("start", "end", "percentage"),
    [
        ("2020-05-31T22:00", "2020-06-30T22:00", "19"),  # June in Berlin: its last moment is of 30 June
        ("2020-05-31T22:00", "2020-06-30T22:00:00.001", "16"),
        ("2020-06-30T22:00", "2020-07-31T22:00", "16"),
        ("2020-11-30T23:00", "2020-12-31T23:00", "16"),
        ("2020-12-31T23:00", "2021-01-31T23:00", "19"),
    ],
)
def test_usage_has_the_rate_of_the_last_moment_of_its_service_span(start: str, end: str, percentage: str) -> None:
    span = Period(at(start), at(end))
    (tax,) = taxes_at(["vat"], {"vat": GERMAN}, span.last_moment, "Europe/Berlin")
    assert tax.percentage == D(percentage)


def test_a_fee_in_advance_has_the_rate_of_its_first_day() -> None:
    july = Period(at("2020-06-30T22:00"), at("2021-06-30T22:00"))
    (tax,) = taxes_at(["vat"], {"vat": GERMAN}, july.first_moment, "Europe/Berlin")
    assert tax.percentage == D(16)
    (abroad,) = taxes_at(["vat"], {"vat": GERMAN}, july.first_moment, "UTC")
    assert abroad.percentage == D(19)


def test_an_empty_span_has_the_rate_of_its_instant() -> None:
    moment = Period(at("2020-07-01T00:00"), at("2020-07-01T00:00")).last_moment
    assert moment == Moment(at("2020-07-01T00:00"))
    assert taxes_at(["vat"], {"vat": GERMAN}, moment, "UTC")[0].percentage == D(16)


def test_an_unknown_tax_is_an_error_and_not_free() -> None:
    with pytest.raises(LookupError, match="no tax rate 'vta'"):
        taxes_at(["vta"], {"vat": GERMAN}, Moment(at("2020-07-01T00:00")), "UTC")


amounts = st.integers(0, 10**7).map(lambda cents: D(cents) / 100)
rates = st.sampled_from(["0", "5", "7", "9.975", "19", "21"])
taxes = st.lists(st.tuples(rates, st.booleans()).map(lambda pair: vat(pair[0], compound=pair[1])), max_size=3).map(
    tuple
)
lines = st.lists(st.builds(Taxable, amounts, taxes, st.booleans()), max_size=8)


@LAW
@given(lines)
def test_law_net_and_tax_are_the_total_and_shares_are_the_tax(found: list[Taxable]) -> None:
    result = tax_lines(found, EUR)
    assert result.net + result.tax == result.total
    assert sum(result.shares, D(0)) == result.tax == sum((group.tax for group in result.groups), D(0))
    assert all(share >= 0 for share in result.shares)


@LAW
@given(st.lists(st.builds(Taxable, amounts, taxes, st.just(True)), max_size=8))
def test_law_what_was_quoted_with_tax_is_what_is_paid(found: list[Taxable]) -> None:
    assert tax_lines(found, EUR).total == sum((line.net for line in found), D(0))


@LAW
@given(lines, st.randoms(use_true_random=False))
def test_law_the_order_of_lines_changes_no_tax_of_a_group(found: list[Taxable], random: object) -> None:
    shuffled = list(found)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = tax_lines(found, EUR), tax_lines(shuffled, EUR)
    assert {(group.percentage, group.tax) for group in one.groups} == {
        (group.percentage, group.tax) for group in other.groups
    }
