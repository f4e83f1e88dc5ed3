"""What an expression over measures is worth: exact, twelve decimals, no value instead of a wrong one."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.meters.aggregation.events import number_of
from pipeline.meters.expression import value_of
from pipeline.meters.scaled import LIMIT, UNIT, QuantityOverflow, quantity, quotient, value_of_text
from schemas.expression import parse_expression


def worth(text: str, **measures: object) -> str | None:
    value = value_of(parse_expression(text), lambda name: number_of(measures.get(name)))
    return None if value is None else format(quantity(value).normalize(), "f")


@pytest.mark.parametrize(
    ("text", "measures", "expected"),
    [
        ("duration_ms / 1000 * memory_gb", {"duration_ms": 1500, "memory_gb": "0.5"}, "0.75"),
        ("a - b - c", {"a": 10, "b": 3, "c": 2}, "5"),
        ("-a * -b", {"a": 2, "b": 3}, "6"),
        ("(a + b) * 0.1", {"a": Decimal("0.1"), "b": Decimal("0.2")}, "0.03"),
        ("a / 3 * 3", {"a": 1}, "0.999999999999"),  # each quotient is rounded to twelve decimals
        ("a * 3 / 3", {"a": 1}, "1"),
        ("a / b", {"a": 2, "b": 3}, "0.666666666667"),
        ("a / b", {"a": -2, "b": 3}, "-0.666666666667"),
        ("a / 2", {"a": Decimal("0.000000000001")}, "0.000000000001"),  # half away from zero
        ("a / 2", {"a": Decimal("-0.000000000001")}, "-0.000000000001"),
        ("a * b", {"a": "0.0000001", "b": "0.0000001"}, "0"),
        ("a * b / c", {"a": 10**13, "b": 10**12, "c": 10**12}, "10000000000000"),  # between: 10^25
        ("a * b / c", {"a": 17 * 10**13, "b": 10**12, "c": 10**13}, "17000000000000"),  # between: 1.7 x 10^26
    ],
)
def test_the_value_of_an_expression(text: str, measures: dict[str, object], expected: str) -> None:
    assert worth(text, **measures) == expected


@pytest.mark.parametrize(
    ("text", "measures"),
    [
        ("a / b", {"a": 1, "b": 0}),
        ("a / (b - b)", {"a": 1, "b": 5}),
        ("a + b", {"a": 1}),
        ("a + b * 0", {"a": 1, "b": None}),
        ("a + b", {"a": 1, "b": True}),
        ("a + b", {"a": 1, "b": "many"}),
        ("a + b", {"a": 1, "b": [2]}),
        ("a * b", {"a": 10**8, "b": 10**7}),  # 10^15: no value of an event
        ("a * b / c", {"a": 2 * 10**14, "b": 10**12, "c": 10**14}),  # between: 2 x 10^26, the result would be 2 x 10^12
    ],
)
def test_division_by_zero_a_missing_measure_or_too_much_is_no_value(text: str, measures: dict[str, object]) -> None:
    assert worth(text, **measures) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("10", "10"), ("-0.5", "-0.5"), ("1e3", "1000"), ("1.5E-2", "0.015"), ("007", "7"),
        ("0.0000000000005", "0.000000000001"), ("0.0000000000004", "0"), ("999999999999999", "999999999999999"),
        ("999999999999999.9999999999995", None), ("1000000000000000", None), ("1e999", None), ("1e-999", "0"),
        ("", None), ("+1", None), (" 1", None), ("1\n", None), (".5", None), ("5.", None), ("1_000", None),
        ("NaN", None), ("Infinity", None), ("0x10", None), ("٣", None), ("true", None),
    ],
)  # fmt: skip
def test_which_texts_are_numbers(text: str, value: str | None) -> None:
    found = value_of_text(text)
    assert found == (None if value is None else int(Decimal(value) * UNIT))


@given(st.integers(-(10**60), 10**60), st.integers(-(10**30), 10**30).filter(bool))
def test_a_quotient_is_rounded_half_away_from_zero(numerator: int, denominator: int) -> None:
    exact = Fraction(numerator, denominator)
    found = quotient(numerator, denominator)
    assert abs(found - exact) <= Fraction(1, 2)
    if abs(found - exact) == Fraction(1, 2):
        assert abs(found) > abs(exact)


def test_a_quantity_is_below_ten_to_the_26th_and_never_wraps() -> None:
    assert quantity(LIMIT - 1) == Decimal("99999999999999999999999999.999999999999")
    for value in (LIMIT, -LIMIT, 2**127):
        with pytest.raises(QuantityOverflow, match=r"10\^26 or more"):
            quantity(value)
