"""rating.md §9: what meters say of events: assignment, invalid values, filters, groups and the plain aggregations."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from pipeline.meters.aggregation import aggregate, read_payload
from pipeline.meters.aggregation.events import MeteredEvent
from schemas.period import Period
from tests.pipeline.metering import JUNE, at, event, meter, quantity, table, used

MIXED = [used("06-02", "4"), used("06-03", "-1.5"), used("06-04", 2), used("06-05", Decimal("0.25"))]


@pytest.mark.parametrize(
    ("aggregation", "value"),
    [("count", "4"), ("sum", "4.75"), ("min", "-1.5"), ("max", "4"), ("avg", "1.1875"), ("latest", "0.25")],
)
def test_plain_aggregations_are_exact_and_sums_may_shrink(aggregation: str, value: str) -> None:
    assert quantity(meter(aggregation), MIXED) == value


@pytest.mark.parametrize(
    "aggregation",
    ["count", "sum", "min", "max", "avg", "latest", "unique_count", "weighted_sum", "percentile", "prorated_sum",
     "prorated_unique_count"],
)  # fmt: skip
def test_without_events_there_is_exactly_one_row_and_it_is_zero(aggregation: str) -> None:
    assert table(aggregate(meter(aggregation), [], JUNE)) == [((), "0", 0, 0)]


def test_a_sum_is_exact_where_doubles_are_not() -> None:
    assert quantity(meter(), [used("06-02", "0.1")] * 10) == "1"
    assert quantity(meter(), [used("06-02", "999999999999999"), used("06-02", "0.000000000001")]) == (
        "999999999999999.000000000001"
    )


def test_an_average_is_rounded_once_to_twelve_decimals() -> None:
    assert quantity(meter("avg"), [used("06-02", 1), used("06-03", 0), used("06-04", 1)]) == "0.666666666667"


def test_a_sum_may_be_negative_and_the_latest_value_is_not_clamped() -> None:
    assert quantity(meter(), [used("06-02", 1), used("06-03", -3)]) == "-2"
    assert quantity(meter("latest"), [used("06-02", 1), used("06-03", -3)]) == "-3"


def test_the_latest_value_is_that_of_the_greatest_event_time_ties_go_to_the_later_arrival() -> None:
    late_arrival = [used("06-09", "9"), used("06-03", "3")]
    tie = [used("06-09", "9"), used("06-09", "8"), used("06-09", "no number")]
    assert quantity(meter("latest"), late_arrival) == "9"
    assert quantity(meter("latest"), tie) == "8"


@pytest.mark.parametrize(
    ("when", "counted"),
    [("05-31 23:59:59.999", "0"), ("06-01", "1"), ("06-30 23:59:59.999", "1"), ("07-01", "0")],
)
def test_an_event_at_the_start_counts_and_one_at_the_end_belongs_to_the_next_period(when: str, counted: str) -> None:
    assert quantity(meter("count"), [event(when)]) == counted


@pytest.mark.parametrize("invalid", [None, "many", "", True, [1], {"v": 1}, "NaN", Decimal("NaN"), Decimal("Infinity")])
def test_invalid_values_are_flagged_and_left_out_but_their_events_are_counted(invalid: Any) -> None:
    events = [used("06-02", "4"), used("06-03", invalid), used("06-04", "2")]
    assert table(aggregate(meter(), events, JUNE)) == [((), "6", 3, 1)]
    assert table(aggregate(meter("avg"), events, JUNE)) == [((), "3", 3, 1)]
    assert table(aggregate(meter("min"), events, JUNE)) == [((), "2", 3, 1)]
    assert table(aggregate(meter("count"), events, JUNE)) == [((), "3", 3, 0)]


def test_an_absent_value_is_invalid_too() -> None:
    assert table(aggregate(meter(), [event("06-02")], JUNE)) == [((), "0", 1, 1)]


def test_a_binary_float_is_an_error_at_the_boundary() -> None:
    with pytest.raises(ValueError, match="binary float"):
        aggregate(meter(), [used("06-02", 0.1)], JUNE)
    with pytest.raises(ValueError, match="binary float"):
        aggregate(meter(group_by=["region"]), [used("06-02", 1, region=0.1)], JUNE)


def test_bad_arguments_are_refused_by_name() -> None:
    naive = MeteredEvent("use", datetime(2027, 6, 2), {"v": 1})  # noqa: DTZ001
    with pytest.raises(ValueError, match=r"time: .* has no time zone"):
        aggregate(meter(), [naive], JUNE)
    with pytest.raises(ValueError, match="unknown zone"):
        aggregate(meter(), [], JUNE, time_zone="Europe/Atlantis")
    with pytest.raises(ValueError, match="unknown size"):
        aggregate(meter(), [], JUNE, window="fortnight")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="full_period: must enclose"):
        aggregate(meter(), [], JUNE, full_period=Period(at("06-02"), at("07-01")))


def test_an_expression_is_the_value_and_its_gaps_are_invalid() -> None:
    seconds = meter(value="duration_ms / 1000 * memory_gb")
    events = [
        event("06-02", duration_ms=1500, memory_gb="0.5"),
        event("06-02", duration_ms="250", memory_gb=4),
        event("06-02", duration_ms=100),
    ]
    assert table(aggregate(seconds, events, JUNE)) == [((), "1.75", 3, 1)]


# -- filters and groups ---------------------------------------------------------------------------------------------

PLACES = [
    used("06-02", 1, region="eu", tier="gold"),
    used("06-02", 2, region="eu"),
    used("06-02", 4, region="us", tier="gold"),
    used("06-02", 8, tier=None),
    used("06-02", 16, region="", tier="gold"),
]


@pytest.mark.parametrize(
    ("filters", "value"),
    [
        ({}, "31"),
        ({"match": {"region": ["eu", "us"]}}, "7"),
        ({"match": {"region": ["eu", "us"], "tier": ["gold"]}}, "5"),
        ({"match": {"tier": ["gold", None]}}, "31"),
        ({"match": {"tier": [None]}}, "10"),
        ({"match": {"region": [""]}}, "16"),
        ({"match": {"planet": ["earth"]}}, "0"),
        ({"exclude": [{"region": ["eu"], "tier": ["gold"]}]}, "30"),
        ({"exclude": [{"region": ["eu"]}, {"tier": [None]}]}, "20"),
        ({"match": {"region": ["eu"]}, "exclude": [{"tier": ["gold"]}]}, "2"),
    ],
)
def test_filters_values_or_dimensions_and_absent_only_by_null(filters: dict[str, Any], value: str) -> None:
    assert quantity(meter(**filters), PLACES) == value


def test_events_of_another_type_do_not_count() -> None:
    two = meter(event_types=["use", "reuse"])
    assert (
        quantity(two, [used("06-02", 1), event("06-02", type="reuse", v=2), event("06-02", type="other", v=4)]) == "3"
    )


def test_a_row_per_combination_with_a_null_group_for_a_missing_dimension() -> None:
    assert table(aggregate(meter(group_by=["region", "tier"]), PLACES, JUNE)) == [
        (("", "gold"), "16", 1, 0),
        (("eu", "gold"), "1", 1, 0),
        (("eu", None), "2", 1, 0),
        (("us", "gold"), "4", 1, 0),
        ((None, None), "8", 1, 0),
    ]


def test_with_groups_and_without_events_there_is_no_row() -> None:
    assert aggregate(meter(group_by=["region"]), [], JUNE) == ()


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("true", "true"), ('"true"', "true"), ("false", "false"), ("1", "1"),
        ("1.0", "1"), ('"1.0"', "1.0"), ("0.10", "0.1"),
        ("-0.0", "0"), ("0.0000001", "0.0000001"), ("1e3", "1000"), ("123456789012345", "123456789012345"),
        ("0.1234567890125", "0.123456789013"), ('""', ""), ('"null"', "null"), ("null", None), ("[1]", None),
        ('{"a": 1}', None),
    ],
)  # fmt: skip
def test_the_text_of_a_dimension(written: str, text: str | None) -> None:
    payload = read_payload(f'{{"v": 1, "dim": {written}}}')
    (row,) = aggregate(meter(group_by=["dim"]), [MeteredEvent("use", at("06-02"), payload)], JUNE)
    assert row.group == (text,)


def test_of_a_repeated_name_the_first_counts() -> None:
    assert read_payload('{"v": 1, "v": 2}') == {"v": 1}


# -- windows --------------------------------------------------------------------------------------------------------


def test_windows_ascend_have_their_full_labels_and_empty_ones_are_absent() -> None:
    span = Period(at("06-09 12:00"), at("06-20"))
    events = [used("06-19", 5), used("06-09 11:00", 7), used("06-09 13:00", 1), used("06-09 23:00", 2)]
    rows = aggregate(meter(), events, span, window="day", time_zone="Europe/Berlin")
    assert [(row.window, row.value) for row in rows] == [
        (Period(at("06-08 22:00"), at("06-09 22:00")), Decimal(1)),
        (Period(at("06-09 22:00"), at("06-10 22:00")), Decimal(2)),
        (Period(at("06-18 22:00"), at("06-19 22:00")), Decimal(5)),
    ]


def test_the_repeated_hour_is_two_windows() -> None:
    night = Period(at("2027-10-30 22:00"), at("2027-10-31 23:00"))
    events = [used("2027-10-31 00:40", 1), used("2027-10-31 01:40", 2)]
    rows = aggregate(meter(), events, night, window="hour", time_zone="Europe/Berlin")
    assert [row.window.start for row in rows if row.window] == [at("2027-10-31 00:00"), at("2027-10-31 01:00")]
    (day,) = aggregate(meter(), events, night, window="day", time_zone="Europe/Berlin")
    assert (day.window, day.value) == (night, Decimal(3))


def test_a_half_hour_zone_has_its_own_days() -> None:
    events = [used("06-10 17:29:59", 1), used("06-10 17:30", 2)]
    rows = aggregate(meter(), events, JUNE, window="day", time_zone="Asia/Yangon")
    assert [(row.window.start, row.value) for row in rows if row.window] == [
        (at("06-09 17:30"), Decimal(1)),
        (at("06-10 17:30"), Decimal(2)),
    ]


def test_sums_counts_and_extremes_combine_over_windows() -> None:
    events = [used(f"06-{day:02}", str(day % 7 - 3)) for day in range(1, 30)]
    for aggregation, combine in {"sum": sum, "count": sum, "min": min, "max": max}.items():
        windows = [row.value for row in aggregate(meter(aggregation), events, JUNE, window="week")]
        (whole,) = aggregate(meter(aggregation), events, JUNE)
        assert combine(windows) == whole.value


def test_the_maximum_of_a_period_is_not_the_sum_of_its_windows_and_averages_do_not_combine() -> None:
    events = [used("06-02", 3), used("06-02", 5), used("06-03", 4)]
    assert [row.value for row in aggregate(meter("max"), events, JUNE, window="day")] == [5, 4]
    assert quantity(meter("max"), events) == "5"
    assert [row.value for row in aggregate(meter("avg"), events, JUNE, window="day")] == [4, 4]
    assert quantity(meter("avg"), [*events, used("06-03", 0)]) == "3"
