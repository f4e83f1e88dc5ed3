"""rating.md §0.2: every span is [start, end), aware and in UTC."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from pydantic import BaseModel, ValidationError

from schemas.period import Period, utc, zone


def at(day: int, hour: int = 0) -> datetime:
    return datetime(2027, 3, day, hour, tzinfo=UTC)


MARCH = Period(at(5), at(20))


@pytest.mark.parametrize(
    ("instant", "inside"),
    [
        (at(4, 23), False),
        (at(5), True),
        (at(19, 23), True),
        (at(20) - timedelta(microseconds=1), True),
        (at(20), False),
    ],
)
def test_a_period_holds_its_start_and_not_its_end(instant: datetime, inside: bool) -> None:
    assert MARCH.contains(instant) is inside


@pytest.mark.parametrize(
    ("other", "shared"),
    [
        (Period(at(1), at(5)), Period(at(5), at(5))),
        (Period(at(1), at(6)), Period(at(5), at(6))),
        (Period(at(8), at(9)), Period(at(8), at(9))),
        (Period(at(19), at(25)), Period(at(19), at(20))),
        (Period(at(20), at(25)), Period(at(20), at(20))),
    ],
)
def test_the_intersection_is_what_lies_in_both_and_may_be_empty(other: Period, shared: Period) -> None:
    assert MARCH.intersection(other) == shared
    assert MARCH.intersects(other) is not shared.is_empty


def test_adjacent_periods_share_no_instant() -> None:
    assert not Period(at(1), at(5)).contains(at(5))
    assert MARCH.contains(at(5))


def test_an_instant_of_another_zone_is_kept_in_utc() -> None:
    berlin = datetime(2027, 3, 5, 1, tzinfo=timezone(timedelta(hours=1)))
    assert Period(berlin, at(6)) == Period(at(5), at(6))
    assert Period(berlin, at(6)).start.tzinfo is UTC


def test_a_zero_length_period_is_empty() -> None:
    assert Period(at(5), at(5)).is_empty
    assert not Period(at(5), at(5)).contains(at(5))


def test_a_naive_instant_is_refused() -> None:
    with pytest.raises(ValueError, match="start: 2027-03-05T00:00:00 has no time zone"):
        Period(datetime(2027, 3, 5), at(6))  # noqa: DTZ001
    with pytest.raises(TypeError, match="instant: must be a datetime"):
        utc("2027-03-05")  # type: ignore[arg-type]


def test_a_period_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(ValueError, match=r"end: .* is before the start"):
        Period(at(6), at(5))


@pytest.mark.parametrize("name", ["Europe/Berlim", "", "../etc/passwd", "+01:00"])
def test_an_unknown_zone_is_refused_and_never_utc(name: str) -> None:
    with pytest.raises(ValueError, match="time_zone: unknown zone"):
        zone(name)


class Served(BaseModel):
    span: Period


def test_a_period_goes_over_the_wire_as_two_instants_and_nothing_else() -> None:
    served = Served(span=MARCH)
    assert served.model_dump_json() == '{"span":{"start":"2027-03-05T00:00:00Z","end":"2027-03-20T00:00:00Z"}}'
    assert Served.model_validate_json(served.model_dump_json()) == served
    with pytest.raises(ValidationError):
        Served.model_validate({"span": {"start": at(5), "end": at(6), "until": at(7)}})
