"""rating.md §1: minor units, the one rounding, allocation by largest remainder."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.money import Currency, Rounding, allocate, currency, currency_codes, round_money, round_to

D = Decimal

EUR = currency("EUR")
LAW = settings(max_examples=max(200, settings().max_examples))


@pytest.mark.parametrize(
    ("code", "minor_units"),
    [
        ("JPY", 0), ("KRW", 0), ("VND", 0), ("CLP", 0),
        ("EUR", 2), ("USD", 2), ("CHF", 2),
        ("KWD", 3), ("BHD", 3),
        ("CLF", 4),
    ],
)  # fmt: skip
def test_a_currency_has_the_minor_unit_of_iso_4217(code: str, minor_units: int) -> None:
    assert currency(code) == Currency(code, minor_units)


def test_a_custom_unit_has_the_scale_it_is_configured_with() -> None:
    assert currency("CREDITS", {"CREDITS": 5}) == Currency("CREDITS", 5)
    assert round_money(D("1.0000055"), currency("CREDITS", {"CREDITS": 5})) == D("1.00001")


@pytest.mark.parametrize("code", ["", "EURO", "eur", "XXX", "XAU"])
def test_an_unknown_currency_is_refused(code: str) -> None:
    with pytest.raises(ValueError, match="currency: unknown code"):
        currency(code)


@pytest.mark.parametrize("scale", [-1, True, "2", D(2)])
def test_a_custom_scale_that_is_not_an_integer_from_zero_is_refused(scale: object) -> None:
    with pytest.raises(ValueError, match="minor_units: must be an integer of at least 0"):
        currency("CREDITS", {"CREDITS": scale})  # type: ignore[dict-item]


def test_a_custom_unit_cannot_redefine_a_currency() -> None:
    with pytest.raises(ValueError, match="EUR is an ISO 4217 code"):
        currency("EUR", {"EUR": 3})


def test_every_listed_currency_can_be_looked_up() -> None:
    assert len(currency_codes()) > 150
    assert all(currency(code).code == code for code in currency_codes())


@pytest.mark.parametrize(
    ("value", "half_up", "half_even", "ceiling", "floor", "up", "down"),
    [
        ("7.125", "7.13", "7.12", "7.13", "7.12", "7.13", "7.12"),
        ("-7.125", "-7.13", "-7.12", "-7.12", "-7.13", "-7.13", "-7.12"),
        ("7.135", "7.14", "7.14", "7.14", "7.13", "7.14", "7.13"),
        ("7.121", "7.12", "7.12", "7.13", "7.12", "7.13", "7.12"),
        ("7.12", "7.12", "7.12", "7.12", "7.12", "7.12", "7.12"),
        ("0", "0.00", "0.00", "0.00", "0.00", "0.00", "0.00"),
    ],
)
def test_each_mode_rounds_to_the_minor_unit(
    value: str, half_up: str, half_even: str, ceiling: str, floor: str, up: str, down: str
) -> None:
    modes = dict(zip(Rounding, (half_up, half_even, ceiling, floor, up, down), strict=True))
    assert {mode: str(round_money(D(value), EUR, mode)) for mode in Rounding} == modes


@pytest.mark.parametrize(("mode", "rounded"), [("half_up", "1300"), ("floor", "1200")])
def test_the_scale_may_be_negative(mode: str, rounded: str) -> None:
    assert str(round_to(D("1284.5"), -2, mode)) == rounded


def test_half_away_from_zero_is_the_default() -> None:
    assert str(round_money(D("0.005"), EUR)) == "0.01"
    assert str(round_money(D("-0.005"), EUR)) == "-0.01"


def test_a_currency_without_minor_unit_rounds_to_whole_units_away_from_zero() -> None:
    assert str(round_money(D("100.5"), currency("JPY"))) == "101"
    assert str(round_money(D("-100.5"), currency("JPY"))) == "-101"


def test_rounding_gives_no_negative_zero() -> None:
    assert str(round_money(D("-0.004"), EUR)) == "0.00"


def test_a_number_of_38_digits_is_rounded_exactly() -> None:
    assert str(round_money(D("12345678901234567890123456789012345678.125"), EUR)).endswith("5678.13")


@pytest.mark.parametrize("mode", ["half_down", "", "HALF_UP"])
def test_an_unknown_mode_is_refused(mode: str) -> None:
    with pytest.raises(ValueError, match="mode: unknown rounding"):
        round_money(D(1), EUR, mode)


@pytest.mark.parametrize("value", [D("NaN"), D("Infinity"), D("-Infinity")])
def test_what_is_no_number_is_not_rounded(value: D) -> None:
    with pytest.raises(ValueError, match="value: must be a finite number"):
        round_money(value, EUR)


@pytest.mark.parametrize("value", [1.5, 1, "1"])
def test_only_decimals_are_rounded(value: object) -> None:
    with pytest.raises(TypeError, match="value: must be a Decimal"):
        round_money(value, EUR)  # type: ignore[arg-type]


def test_totals_add_rounded_lines() -> None:
    assert sum(round_money(D("2.345"), EUR) for _ in range(4)) == D("9.40")


@pytest.mark.parametrize(
    ("amount", "weights", "parts"),
    [
        ("10.00", ["3", "3", "1"], ["4.29", "4.28", "1.43"]),
        ("-10.00", ["3", "3", "1"], ["-4.29", "-4.28", "-1.43"]),
        ("0.01", ["1", "1"], ["0.01", "0.00"]),
        ("1.00", ["1", "1", "1"], ["0.34", "0.33", "0.33"]),
        ("0.11", ["0.35", "0.35", "0.35"], ["0.04", "0.04", "0.03"]),
        ("5.00", ["0", "1", "0"], ["0.00", "5.00", "0.00"]),
        ("0.00", ["3", "1"], ["0.00", "0.00"]),
        ("7.00", ["0", "0"], ["0.00", "0.00"]),
        ("7.00", [], []),
    ],
)
def test_an_amount_is_allocated_by_largest_remainder(amount: str, weights: list[str], parts: list[str]) -> None:
    assert [str(part) for part in allocate(D(amount), [D(weight) for weight in weights], EUR)] == parts


def test_whole_units_are_allocated_in_a_currency_without_minor_unit() -> None:
    assert allocate(D(100), [D(1), D(1), D(1)], currency("JPY")) == (D(34), D(33), D(33))


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(ValueError, match="weights: must be finite and not negative"):
        allocate(D("1.00"), [D(1), D(-1)], EUR)


def test_an_amount_below_the_minor_unit_cannot_be_allocated() -> None:
    with pytest.raises(ValueError, match=r"amount: 1\.005 is not rounded"):
        allocate(D("1.005"), [D(1)], EUR)


cents = st.integers(-(10**12), 10**12).map(lambda units: D(units).scaleb(-2))
weights = st.lists(st.decimals(0, 10**9, places=6), min_size=1, max_size=12)


@LAW
@given(cents, weights)
def test_allocated_parts_add_up_to_the_amount_and_keep_to_their_share(amount: D, shares: list[D]) -> None:
    parts = allocate(amount, shares, EUR)
    total = sum(shares)
    if total == 0:
        assert set(parts) == {D("0.00")}
        return
    assert sum(parts) == amount
    assert all(abs(part - amount * share / total) < D("0.010001") for part, share in zip(parts, shares, strict=True))


@LAW
@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**15), max_value=10**15, places=9))
def test_rounding_is_symmetrical_around_zero(value: D) -> None:
    assert round_money(-value, EUR) == -round_money(value, EUR)
