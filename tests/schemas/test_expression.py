"""rating.md §9: the value of a meter is a field or an arithmetic expression over fields; faults name the position."""

import pytest
from pydantic import ValidationError

from schemas.expression import Measure, NotAnExpression, Operation, measures_of, parse_expression
from schemas.meter import Meter


def test_a_product_binds_closer_than_a_sum_and_equals_go_from_left_to_right() -> None:
    a, b, c = Measure("a"), Measure("b"), Measure("c")
    assert parse_expression("a - b - c") == Operation("-", Operation("-", a, b), c)
    assert parse_expression("a + b * c") == Operation("+", a, Operation("*", b, c))
    assert parse_expression("(a + b) / c") == Operation("/", Operation("+", a, b), c)
    assert parse_expression("a / b / c") == Operation("/", Operation("/", a, b), c)


def test_a_name_that_is_no_plain_word_stands_in_quotes() -> None:
    assert parse_expression('"tokens-in"') == Measure("tokens-in")
    assert parse_expression("usage.tokens_in2") == Measure("usage.tokens_in2")
    assert measures_of(parse_expression('a * "b c" + a')) == ("a", "b c")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "position 1: expected a number, a measure"),
        ("a +", "position 4: expected a number, a measure"),
        ("a b", "position 3: expected an operator"),
        ("a ** b", "position 4: expected a number, a measure"),
        ("(a", "position 3: expected ), found the end"),
        ("a)", "position 2: expected an operator (+ - * /) or the end, found ')'"),
        ("a * 0.0000000000001", "position 5: a number has at most 15 digits before and 12 after the point"),
        ("a * 1234567890123456", "position 5: a number has at most"),
        ("a * 1e3", "position 5: expected a number"),
        ("a % b", "position 3: expected an operator"),
        ("__import__('os')", "position 11: expected"),
        ("'a'", "position 1: expected a number, a measure"),
        ("2 * 3", "must name a measure"),
        ("(" * 21 + "a" + ")" * 21, "nests deeper than 20"),
        ("+".join("a" * 52), "must have at most 50 operations"),
        ("a" * 1001, "must have at most 1000 characters"),
    ],
)
def test_what_is_no_expression_is_refused_with_its_position(text: str, problem: str) -> None:
    with pytest.raises(NotAnExpression) as caught:
        parse_expression(text)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("changed", "path", "problem"),
    [
        ({"value": "a + * b"}, "value", "position 5: expected a number"),
        ({"aggregation": "unique_count", "value": "a + b"}, "value", "must be one field"),
        ({"aggregation": "weighted_sum", "initial_value": "1e15"}, "initial_value", "must be below 10^15"),
        ({"aggregation": "percentile", "p": "0.1234567890123"}, "p", "at most 12 decimals"),
    ],
)
def test_a_meter_with_a_faulty_value_names_the_field(changed: dict[str, str], path: str, problem: str) -> None:
    raw = {"id": "m", "event_types": ["use"], "aggregation": "sum", "value": "a"} | changed
    with pytest.raises(ValidationError) as caught:
        Meter.model_validate(raw)
    assert [(error["loc"], problem in error["msg"]) for error in caught.value.errors()] == [((path,), True)]
