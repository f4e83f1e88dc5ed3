"""rating.md §9: aggregations with a state: unique, weighted, prorated, carried over; and the exact percentile."""

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.meters.aggregation import aggregate
from schemas.period import Period
from tests.pipeline.metering import JUNE, at, meter, quantity, table, used

JUNE_11_ADDED, JUNE_26_REMOVED = used("06-11", 50), used("06-26", -120)


# -- unique count ---------------------------------------------------------------------------------------------------


def test_distinct_values_are_compared_as_text() -> None:
    events = [used("06-02", value) for value in ("a", "A", 1, Decimal("1.0"), "1", "1.0", True, "true", None, "", [1])]
    assert table(aggregate(meter("unique_count"), events, JUNE)) == [
        ((), "6", 11, 2)
    ]  # a A 1 1.0 true and the empty one


@pytest.mark.parametrize(
    ("operations", "count"),
    [
        ([("06-02", "add"), ("06-03", "remove")], "0"),
        ([("06-03", "remove"), ("06-02", "add")], "0"),  # by event time, not by arrival
        ([("06-02", "remove"), ("06-03", None)], "1"),
        ([("06-02", "add"), ("06-02", "remove")], "0"),  # ties to the later arrival
        ([("06-02", "remove"), ("06-02", "add")], "1"),
        ([("06-02", "remove")], "0"),
        ([("06-02", "add"), ("06-03", "drop")], "1"),  # an unknown operation is invalid
    ],
)
def test_the_last_operation_of_a_member_decides(operations: list[tuple[str, str | None]], count: str) -> None:
    assert quantity(meter("unique_count"), [used(when, "a", operation=said) for when, said in operations]) == count


def test_the_operation_may_have_another_name() -> None:
    events = [used("06-02", "a", op="remove"), used("06-02", "b", operation="remove")]
    assert quantity(meter("unique_count", operation="op"), events) == "1"


# -- weighted sum ---------------------------------------------------------------------------------------------------


def test_a_level_is_weighted_by_elapsed_time() -> None:
    opened = meter("weighted_sum", initial_value="100")
    assert quantity(opened, [JUNE_11_ADDED, JUNE_26_REMOVED]) == "113.333333333333"
    carried = meter("weighted_sum", carry_over=True)
    assert quantity(carried, [used("05-07", 100), JUNE_11_ADDED, JUNE_26_REMOVED]) == "113.333333333333"


def test_without_carrying_over_earlier_events_do_not_exist() -> None:
    assert quantity(meter("weighted_sum"), [used("05-07", 100), JUNE_11_ADDED]) == "33.333333333333"


def test_the_day_of_25_hours_weighs_25_hours() -> None:
    day = Period(at("2027-10-30 22:00"), at("2027-10-31 23:00"))
    assert quantity(meter("weighted_sum"), [used("2027-10-31 18:00", 10)], day) == "2"


def test_events_of_equal_time_all_count_and_one_at_the_start_counts_all_along() -> None:
    assert quantity(meter("weighted_sum"), [used("06-16", 2), used("06-16", 4)]) == "3"
    assert quantity(meter("weighted_sum"), [used("06-01", 7)]) == "7"


def test_an_initial_level_is_there_without_events() -> None:
    assert quantity(meter("weighted_sum", initial_value="100"), []) == "100"


def test_windows_of_a_level_combine_weighted_by_length() -> None:
    opened = meter("weighted_sum", carry_over=True)
    events = [used("05-07", 100), JUNE_11_ADDED, JUNE_26_REMOVED]
    span = Period(at("06-03 12:00"), at("06-29"))
    weeks = aggregate(opened, events, span, window="week")
    lengths = [row.window.intersection(span).length for row in weeks if row.window]
    (whole,) = aggregate(opened, events, span)
    combined = sum(row.value * (length // timedelta(hours=1)) for row, length in zip(weeks, lengths, strict=True))
    assert abs(combined / (span.length // timedelta(hours=1)) - whole.value) < Decimal("1e-11")
    assert [row.events for row in weeks] == [0, 1, 0, 1, 0]  # windows open with the state at their start


# -- percentile -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("p", "value"),
    [("0", "10"), ("25", "20"), ("50", "30"), ("95", "48"), ("99.9", "49.96"), ("100", "50"), ("33", "23.2")],
)
def test_a_percentile_lies_between_neighbours_by_rank(p: str, value: str) -> None:
    events = [used("06-02", v) for v in (30, 10, 50, 20, 40)]
    assert quantity(meter("percentile", p=p), events) == value


def test_a_percentile_of_one_value_is_that_value_and_ties_are_kept() -> None:
    assert quantity(meter("percentile", p="95"), [used("06-02", "-7.5")]) == "-7.5"
    assert quantity(meter("percentile", p="50"), [used("06-02", v) for v in (1, 1, 1, 9)]) == "1"


def test_a_percentile_is_rounded_once_half_away_from_zero() -> None:
    tiny = [used("06-02", "-0.000000000001"), used("06-02", "0")]
    assert quantity(meter("percentile", p="50"), tiny) == "-0.000000000001"


# -- carried state --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "aggregation", ["sum", "unique_count", "weighted_sum", "prorated_sum", "prorated_unique_count"]
)
def test_a_group_with_only_carried_state_has_a_row(aggregation: str) -> None:
    carried = meter(aggregation, group_by=["region"], carry_over=True)
    assert table(aggregate(carried, [used("05-07", 1, region="eu")], JUNE)) == [(("eu",), "1", 0, 0)]
    assert aggregate(carried.model_copy(update={"carry_over": False}), [used("05-07", 1, region="eu")], JUNE) == ()


def test_carried_events_pass_the_filter_and_are_kept_per_group() -> None:
    carried = meter(group_by=["region"], carry_over=True, match={"tier": ["gold"]})
    events = [
        used("05-07", 5, region="eu", tier="gold"),
        used("05-08", 9, region="eu", tier="tin"),
        used("05-09", 7, region="us", tier="gold"),
        used("06-02", 1, region="eu", tier="gold"),
    ]
    assert table(aggregate(carried, events, JUNE)) == [(("eu",), "6", 1, 0), (("us",), "7", 0, 0)]


def test_each_window_opens_with_the_state_at_its_start() -> None:
    events = [used("05-07", 5), used("06-08", 1), used("06-23", 2)]
    rows = aggregate(meter(carry_over=True), events, Period(at("06-07"), at("06-28")), window="week")
    assert [(row.value, row.events) for row in rows] == [(6, 1), (6, 0), (8, 1)]


def test_removing_a_carried_member_takes_it_out() -> None:
    events = [used("05-07", "a"), used("05-08", "b"), used("06-02", "a", operation="remove")]
    assert quantity(meter("unique_count", carry_over=True), events) == "1"
    assert quantity(meter("unique_count"), events) == "0"


# -- prorated -------------------------------------------------------------------------------------------------------


def test_a_value_weighs_the_local_days_from_its_own_to_the_end() -> None:
    assert quantity(meter("prorated_sum", carry_over=True), [used("05-07", 9), used("06-11 15:00", 6)]) == "13"


def test_prorated_values_are_divided_by_the_days_of_the_full_period() -> None:
    served = Period(at("06-11"), at("06-21"))
    events = [used("06-09", 9), used("06-16", 6)]
    assert quantity(meter("prorated_sum", carry_over=True), events, served, full_period=JUNE) == "4"  # 90 + 30 of 30


def test_local_days_decide_what_a_value_weighs() -> None:
    berlin = Period(at("05-31 22:00"), at("06-30 22:00"))
    events = [used("06-10 22:30", 30)]  # the 11th there
    assert quantity(meter("prorated_sum"), events, berlin, time_zone="Europe/Berlin") == "20"
    assert quantity(meter("prorated_sum"), events, JUNE) == "21"


def test_a_member_counts_for_the_days_on_which_it_was_there() -> None:
    events = [used("05-07", "a"), used("06-05 23:00", "b"), used("06-16 01:00", "b", operation="remove")]
    assert quantity(meter("prorated_unique_count", carry_over=True), events) == "1.4"


@pytest.mark.parametrize(
    ("operations", "days"),
    [
        ([("06-05 01:00", "add"), ("06-05 02:00", "remove")], 1),  # both days count
        ([("06-05 01:00", "add"), ("06-05 02:00", "remove"), ("06-05 03:00", "add"), ("06-05 04:00", "remove")], 1),
        ([("06-05", "add"), ("06-06", "remove"), ("06-06 12:00", "add"), ("06-07", "remove")], 3),
        ([("06-05", "remove")], 0),
        ([("06-05", "add"), ("06-07", "add"), ("06-09", "remove"), ("06-20", "remove")], 5),
        ([("05-05", "add"), ("05-20", "remove")], 0),  # gone before the period
        ([("05-05", "add"), ("06-01 10:00", "remove")], 1),
        ([("06-30", "add")], 1),
    ],
)
def test_every_day_counts_once(operations: list[tuple[str, str]], days: int) -> None:
    events = [used(when, "a", operation=said) for when, said in operations]
    (row,) = aggregate(meter("prorated_unique_count", carry_over=True), events, JUNE)
    assert round(row.value * 30, 9) == days


# -- laws -----------------------------------------------------------------------------------------------------------

OCCURRENCES = st.lists(
    st.tuples(st.integers(0, 59), st.integers(-3, 9), st.sampled_from(["eu", "us", None])),
    max_size=12,
    unique_by=lambda o: o[0],
)


@pytest.mark.parametrize("aggregation", ["count", "sum", "min", "max", "avg", "latest", "unique_count", "weighted_sum",
                                         "percentile", "prorated_sum", "prorated_unique_count"])  # fmt: skip
@given(occurrences=OCCURRENCES, seed=st.randoms())
def test_the_order_of_arrival_changes_nothing_where_times_differ(
    aggregation: str, occurrences: list[tuple[int, int, str | None]], seed: object
) -> None:
    carry = aggregation in ("sum", "unique_count", "weighted_sum", "prorated_sum", "prorated_unique_count")
    measured = meter(aggregation, group_by=["region"], carry_over=carry)
    events = [
        used((JUNE.start + timedelta(days=day - 20)).isoformat()[:19], value, region=region)
        for day, value, region in occurrences
    ]
    shuffled = list(events)
    seed.shuffle(shuffled)  # type: ignore[attr-defined]
    assert aggregate(measured, shuffled, JUNE) == aggregate(measured, events, JUNE)
