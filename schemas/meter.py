"""Meters: which events count, with which value, combined how, in which groups.

Field names and meanings are those of rating.md §9.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AliasChoices, BeforeValidator, Field, ValidationInfo, field_validator

from schemas.expression import Expression, Measure, NotAnExpression, measures_of, parse_expression
from schemas.faults import Strict, contradiction
from schemas.price import Dimension, Window
from schemas.quantity import Percent, Quantity

Aggregation = Literal[
    "count", "sum", "min", "max", "avg", "latest", "unique_count", "weighted_sum", "percentile",
    "prorated_sum", "prorated_unique_count",
]  # fmt: skip

Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:/-]*$")]
"""What a meter, plan, rate card or tax rate is called in files, records and commands."""

CARRIES_OVER = ("sum", "unique_count", "weighted_sum", "prorated_sum", "prorated_unique_count")
COMBINES_OVER_WINDOWS = ("count", "sum", "min", "max")
COMPARES_TEXTS = ("unique_count", "prorated_unique_count")
PRORATED = ("prorated_sum", "prorated_unique_count")

GROUPS_MAX = 10_000
"""Groups of one customer in one period, in order of first usage; the usage of all others is one group more, of this
name in every dimension. It has no price: the draft cannot become final until the meter or its events are mended."""
GROUPS_ALERT = GROUPS_MAX * 8 // 10
OVERFLOW_GROUP = "(more than 10000 groups)"

TRANSACTIONS_MAX = 100_000
"""Transactions of one customer in one period that a close keeps one by one, for a percentage price; all others are one
row, which has no price: the draft cannot become final until the price or the period is another."""

LEVEL_LIMIT = Decimal(10) ** 15
DECIMALS_MAX = 12


def _dimension_value(value: object) -> object:
    """Values of dimensions are compared as text; TOML has no null, so `{absent = true}` says it there."""
    if value == {"absent": True}:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | Decimal) else value


Value = Annotated[str | None, BeforeValidator(_dimension_value)]
Values = Annotated[tuple[Value, ...], Field(min_length=1)]


def _several(value: object) -> object:
    return (value,) if isinstance(value, str) else value


class Meter(Strict):
    """A quantity of usage: what the catalogue says of it is all there is to know."""

    id: Name
    name: str = ""
    event_types: Annotated[
        tuple[Dimension, ...],
        BeforeValidator(_several),
        Field(min_length=1, validation_alias=AliasChoices("event_types", "event_type")),
    ]
    aggregation: Aggregation
    value: Annotated[str | None, Field(min_length=1, validate_default=True)] = None
    """The field of the event's payload that is aggregated, or an arithmetic expression over fields such as
    `duration_ms / 1000 * memory_gb`. Names that are no plain words stand in double quotes."""
    operation: Dimension = "operation"
    """For `unique_count`: the field that says `add` (also when absent) or `remove`."""
    group_by: tuple[Dimension, ...] = ()
    match: Mapping[Dimension, Values] = Field(default_factory=dict)
    exclude: tuple[Annotated[Mapping[Dimension, Values], Field(min_length=1)], ...] = ()
    unit: str = ""
    carry_over: bool = False
    initial_value: Quantity | None = None
    p: Annotated[Percent | None, Field(validate_default=True)] = None
    window: Window | None = None
    """The finest window that prices or commitments ask for; totals are kept at least this fine."""

    @field_validator("value")
    @classmethod
    def _value_where_needed(cls, value: str | None, info: ValidationInfo) -> str | None:
        aggregation = info.data.get("aggregation")
        if value is None and aggregation not in (None, "count"):
            raise contradiction(f"is missing: {aggregation} needs the field whose values it combines")
        if value is not None and aggregation == "count":
            raise contradiction("must be left out: count counts events, whatever their values")
        if value is not None and aggregation is not None:
            _check_expression(value, aggregation)
        return value

    @field_validator("group_by")
    @classmethod
    def _groups_differ(cls, group_by: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(group_by)) < len(group_by):
            raise contradiction("must name each dimension once")
        return group_by

    @field_validator("carry_over")
    @classmethod
    def _carries_state(cls, carry_over: bool, info: ValidationInfo) -> bool:
        aggregation = info.data.get("aggregation")
        if carry_over and aggregation is not None and aggregation not in CARRIES_OVER:
            raise contradiction(f"must be false: {aggregation} has no state; one of {', '.join(CARRIES_OVER)} has")
        return carry_over

    @field_validator("initial_value")
    @classmethod
    def _level_to_start_from(cls, value: Decimal | None, info: ValidationInfo) -> Decimal | None:
        aggregation = info.data.get("aggregation")
        if value is not None and aggregation not in (None, "weighted_sum"):
            raise contradiction(f"must be left out: only weighted_sum starts from a level, not {aggregation}")
        return _fitting(value, "a level")

    @field_validator("p")
    @classmethod
    def _which_percentile(cls, p: Decimal | None, info: ValidationInfo) -> Decimal | None:
        aggregation = info.data.get("aggregation")
        if p is None and aggregation == "percentile":
            raise contradiction("is missing: a percentile needs p, from 0 to 100")
        if p is not None and aggregation not in (None, "percentile"):
            raise contradiction(f"must be left out: {aggregation} has no percentile")
        return _fitting(p, "p")

    @property
    def expression(self) -> Expression | None:
        """The value as an expression; a single field is one too. None for a count."""
        return None if self.value is None else parse_expression(self.value)

    @property
    def measures(self) -> tuple[str, ...]:
        """The fields of the payload that the value needs."""
        return () if self.value is None else measures_of(parse_expression(self.value))

    @property
    def dimensions(self) -> tuple[str, ...]:
        """The fields of the payload that groups and filters need, each once."""
        filtered = (*self.match, *(dimension for entry in self.exclude for dimension in entry))
        return tuple(dict.fromkeys((*self.group_by, *filtered)))


def _check_expression(value: str, aggregation: str) -> None:
    try:
        expression = parse_expression(value)
    except NotAnExpression as error:
        raise contradiction(str(error)) from None
    if aggregation in COMPARES_TEXTS and not isinstance(expression, Measure):
        raise contradiction(f"must be one field: {aggregation} compares values as text and computes nothing")


def _fitting(value: Decimal | None, what: str) -> Decimal | None:
    if value is None:
        return None
    exponent = value.as_tuple().exponent
    if abs(value) >= LEVEL_LIMIT or (isinstance(exponent, int) and exponent < -DECIMALS_MAX):
        raise contradiction(f"must be below 10^15 with at most {DECIMALS_MAX} decimals: {what} is as exact as values")
    return value
