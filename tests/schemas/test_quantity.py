"""rating.md §0.1 and §1: decimals only, exact on the wire and in calculations."""

from decimal import Decimal

import pytest
from pydantic import BaseModel, ValidationError

from schemas.quantity import Amount, Quantity, exact, exactly, plain, read_json

D = Decimal


class Reading(BaseModel):
    used: Quantity
    paid: Amount = D("0.00")


@pytest.mark.parametrize(
    "value", [1.5, 0.0, float("nan"), True, None, b"1", [1], "", " 1", "1_000", "x", "1,5", "0x10"]
)
def test_what_is_not_written_as_a_decimal_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="must be a decimal"):
        exact(value)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-inf", D("NaN"), D("Infinity")])
def test_nan_and_infinity_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="must be a finite number"):
        exact(value)


@pytest.mark.parametrize("value", ["1e60", "1e999999", "1e-101"])
def test_absurdly_long_numbers_are_refused(value: str) -> None:
    with pytest.raises(ValueError, match="has more than"):
        exact(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [("1.500", "1.5"), ("100", "100"), ("1E+2", "100"), ("0.0000025", "0.0000025"), ("-0.00", "0"), ("-7.10", "-7.1")],
)
def test_equal_quantities_have_one_text(value: str, text: str) -> None:
    assert plain(D(value)) == text


def test_a_json_number_is_read_at_its_literal_value() -> None:
    assert read_json('{"used": 12345678901234567890.12}') == {"used": D("12345678901234567890.12")}


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
def test_json_constants_are_not_numbers(text: str) -> None:
    with pytest.raises(ValueError, match="is not a number of JSON"):
        read_json(text)


def test_a_quantity_of_38_digits_survives_the_wire() -> None:
    digits = "12345678901234567890123456789012345678"
    assert Reading.model_validate_json(f'{{"used": "{digits}"}}').model_dump_json() == (
        f'{{"used":"{digits}","paid":"0.00"}}'
    )


def test_a_binary_float_in_a_message_is_an_error_that_names_the_field() -> None:
    with pytest.raises(ValidationError, match=r"used\n.*must be a decimal, as a string"):
        Reading.model_validate_json('{"used": 1.5}')


def test_calculations_carry_60_digits_not_28() -> None:
    third = exactly(lambda: D(1) / D(3))()
    assert len(str(third)) == 62
