"""rating.md §6: discounts of lines and of the invoice."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.rating.discounts import discount_amount, discount_lines, refuse_unknown_charges
from schemas.discount import Discount
from schemas.money import currency

D = Decimal
EUR, JPY, KWD = currency("EUR"), currency("JPY"), currency("KWD")
LAW = settings(max_examples=max(200, settings().max_examples), deadline=None)


def percent(value: str, name: str = "percent", **more: object) -> Discount:
    return Discount.model_validate({"id": name, "type": "percentage", "value": value} | more)


def fixed(value: str, name: str = "fixed", **more: object) -> Discount:
    return Discount.model_validate({"id": name, "type": "fixed", "value": value} | more)


def test_percentages_come_first_each_on_the_remainder_then_fixed_amounts() -> None:
    found = discount_amount(D("84.50"), [fixed("10.00"), percent("15", "a"), percent("5", "b")], EUR)
    assert [(part.source, part.amount) for part in found.parts] == [
        ("a", D("12.68")), ("b", D("3.59")), ("fixed", D("10.00")),
    ]  # fmt: skip
    assert (found.discount, found.rest) == (D("26.27"), D("58.23"))


def test_thirty_and_twenty_percent_are_forty_four() -> None:
    assert discount_amount(D("100.00"), [percent("30"), percent("20")], EUR).discount == D("44.00")


@pytest.mark.parametrize(
    ("amount", "discounts", "rest"),
    [
        ("84.50", [], "84.50"),
        ("0.00", [percent("50"), fixed("1.00")], "0.00"),
        ("9.99", [fixed("10.00")], "0.00"),
        ("10.00", [fixed("10.00")], "0.00"),
        ("10.01", [fixed("10.00")], "0.01"),
        ("84.50", [percent("100")], "0.00"),
        ("84.50", [percent("100.1")], "0.00"),
        ("84.50", [percent("0")], "84.50"),
        ("0.05", [percent("10")], "0.04"),
        ("0.04", [percent("10")], "0.04"),
        ("5.00", [fixed("3.00", "a"), fixed("4.00", "b")], "0.00"),
        ("5.00", [fixed("1.005")], "3.99"),
    ],
)
def test_a_discount_is_rounded_and_never_more_than_the_amount(
    amount: str, discounts: list[Discount], rest: str
) -> None:
    assert discount_amount(D(amount), discounts, EUR).rest == D(rest)


def test_a_discount_is_rounded_to_the_minor_unit_of_its_currency() -> None:
    assert discount_amount(D("995"), [percent("10")], JPY).discount == D("100")
    assert discount_amount(D("0.995"), [percent("10")], KWD).discount == D("0.100")


def test_a_discount_of_the_invoice_is_rounded_once_and_allocated() -> None:
    lines = [("a", D("0.35")), ("b", D("0.35")), ("c", D("0.35"))]
    found = discount_lines(lines, [percent("10")], EUR)
    assert [line.discount for line in found] == [D("0.04"), D("0.04"), D("0.03")]
    assert [line.rest for line in found] == [D("0.31"), D("0.31"), D("0.32")]
    assert sum(discount_amount(amount, [percent("10")], EUR).discount for _, amount in lines) == D("0.12")


def test_a_discount_limited_to_charges_takes_only_from_their_lines() -> None:
    lines = [("seats", D("40.00")), ("usage", D("60.00")), ("seats", D("20.00"))]
    found = discount_lines(lines, [fixed("45.00", applies_to=("seats",))], EUR)
    assert [line.rest for line in found] == [D("10.00"), D("60.00"), D("5.00")]
    assert [line.parts for line in found][1] == ()


def test_the_unused_rest_of_a_limited_discount_reaches_no_other_line() -> None:
    lines = [("seats", D("40.00")), ("usage", D("60.00"))]
    found = discount_lines(lines, [fixed("50.00", applies_to=("seats",))], EUR)
    assert [line.rest for line in found] == [D("0.00"), D("60.00")]


def test_later_discounts_of_the_invoice_see_what_earlier_ones_left() -> None:
    lines = [("a", D("100.00")), ("b", D("100.00"))]
    found = discount_lines(lines, [fixed("30.00"), percent("50", applies_to=("a",)), percent("10")], EUR)
    # 50 % of a leaves 50 + 100; 10 % of 150 is 15, as 5 and 10; 30 fixed over 45 and 90.
    assert [line.rest for line in found] == [D("35.00"), D("70.00")]


@pytest.mark.parametrize("amount", [D("-0.01"), D("NaN"), D("Infinity")])
def test_refused_a_negative_or_infinite_amount(amount: Decimal) -> None:
    with pytest.raises(ValueError, match="amount: must be"):
        discount_amount(amount, [], EUR)
    with pytest.raises(ValueError, match=r"lines\[1\]: must be"):
        discount_lines([("a", D(1)), ("b", amount)], [], EUR)


def test_refused_a_float() -> None:
    with pytest.raises(ValueError, match="not a float"):
        discount_amount(1.5, [], EUR)  # type: ignore[arg-type]


def test_refused_another_currency() -> None:
    with pytest.raises(ValueError, match=r"discounts\[1\].currency: must be EUR, not USD"):
        discount_amount(D(1), [percent("1"), fixed("1", currency="USD")], EUR)
    with pytest.raises(ValueError, match=r"discounts\[0\].currency: must be EUR, not USD"):
        discount_lines([("a", D(1))], [fixed("1", currency="USD")], EUR)


def test_refused_an_unknown_charge() -> None:
    with pytest.raises(ValueError, match=r"discounts\[0\].applies_to\[1\]: no charge 'sets'"):
        refuse_unknown_charges([percent("1", applies_to=("seats", "sets"))], ["seats", "usage"])


amounts = st.integers(0, 10**7).map(lambda cents: D(cents) / 100)
percentages = st.lists(st.integers(0, 12_000).map(lambda basis: percent(str(D(basis) / 100))), max_size=4)
fixed_amounts = st.lists(st.integers(0, 10**6).map(lambda cents: fixed(str(D(cents) / 100))), max_size=4)


@LAW
@given(amounts, percentages, fixed_amounts, st.randoms(use_true_random=False))
def test_law_the_order_in_which_coupons_are_redeemed_does_not_matter(
    amount: Decimal, percents: list[Discount], fixeds: list[Discount], random: object
) -> None:
    mixed = [*percents, *fixeds]
    random.shuffle(mixed)  # type: ignore[attr-defined]
    # Percentages keep their order among each other (each is rounded), whatever comes between them.
    again = iter(percents)
    mixed = [next(again) if discount.type == "percentage" else discount for discount in mixed]
    assert discount_amount(amount, mixed, EUR).rest == discount_amount(amount, [*percents, *fixeds], EUR).rest


@LAW
@given(amounts, percentages, fixed_amounts)
def test_law_a_discount_is_never_negative_and_never_more_than_there_is(
    amount: Decimal, percents: list[Discount], fixeds: list[Discount]
) -> None:
    found = discount_amount(amount, [*percents, *fixeds], EUR)
    assert all(part.amount >= 0 for part in found.parts)
    assert 0 <= found.rest <= amount
    assert found.discount + found.rest == amount


@LAW
@given(st.lists(st.tuples(st.sampled_from("abc"), amounts), min_size=1, max_size=8), percentages, fixed_amounts)
def test_law_the_parts_of_lines_add_up_to_the_discount_of_their_sum(
    lines: list[tuple[str, Decimal]], percents: list[Discount], fixeds: list[Discount]
) -> None:
    found = discount_lines(lines, [*fixeds, *percents], EUR)
    whole = discount_amount(sum((amount for _, amount in lines), D(0)), [*percents, *fixeds], EUR)
    assert sum((line.discount for line in found), D(0)) == whole.discount
    assert all(0 <= line.rest <= amount for line, (_, amount) in zip(found, lines, strict=True))
