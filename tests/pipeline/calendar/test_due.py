"""rating.md §5: what is due at a date, in advance and in arrears."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from pipeline.calendar.due import due_fee, due_spans
from pipeline.calendar.periods import Grid, to_instant
from schemas.period import Period, zone
from schemas.plan import Interval
from tests.pipeline.rate_cards import EUR, D

BERLIN = "Europe/Berlin"


def local(text: str) -> datetime:
    return to_instant(datetime.fromisoformat(text), zone(BERLIN))


QUARTERS = Grid(local("2027-02-05"), Interval(unit="quarter"), BERLIN)
SERVICE = Period(local("2027-02-20"), local("2027-09-14"))


def due(timing: Any, date: str) -> list[str]:
    return [str(amount) for amount in due_fee(D("270.00"), SERVICE, QUARTERS, timing, local(date), EUR).amounts]


@pytest.mark.parametrize(
    ("timing", "date", "amounts"),
    [
        ("advance", "2027-02-19", []),
        ("advance", "2027-02-20", ["224.49"]),
        ("advance", "2027-05-04", ["224.49"]),
        ("advance", "2027-05-05", ["224.49", "270.00"]),
        ("advance", "2027-08-05", ["224.49", "270.00", "117.39"]),
        ("advance", "2030-01-01", ["224.49", "270.00", "117.39"]),
        ("arrears", "2027-05-04", []),
        ("arrears", "2027-05-05", ["224.49"]),
        ("arrears", "2027-08-05", ["224.49", "270.00"]),
        ("arrears", "2027-09-13", ["224.49", "270.00"]),
        ("arrears", "2027-09-14", ["224.49", "270.00", "117.39"]),
    ],
)
def test_270_a_quarter_is_due_as_in_the_table_of_section_5(timing: Any, date: str, amounts: list[str]) -> None:
    assert due(timing, date) == amounts


def test_the_sums_of_section_5() -> None:
    advance = due_fee(D("270.00"), SERVICE, QUARTERS, "advance", local("2027-08-05"), EUR)
    assert (advance.amount, str(advance.factor_sum)[:5]) == (D("611.88"), "2.266")
    assert due_fee(D("270.00"), SERVICE, QUARTERS, "arrears", local("2027-08-05"), EUR).amount == D("494.49")
    shares = [(int(one.share.numerator), int(one.share.denominator)) for one in advance.spans]
    assert shares == [(74, 89), (92, 92), (40, 92)]


def test_days_of_a_pause_are_not_served() -> None:
    around_a_pause = (Period(SERVICE.start, local("2027-06-01")), Period(local("2027-07-01"), SERVICE.end))
    spans = due_spans(around_a_pause, QUARTERS, "arrears", local("2027-09-14"))
    assert [(int(one.share.numerator), int(one.share.denominator)) for one in spans] == [(74, 89), (62, 92), (40, 92)]
    assert spans[1].service == Period(local("2027-05-05"), local("2027-08-05"))


def test_an_empty_service_has_nothing_due() -> None:
    nothing = Period(SERVICE.start, SERVICE.start)
    assert due_spans(nothing, QUARTERS, "advance", local("2030-01-01")) == ()


def test_an_unknown_timing_and_a_naive_date_are_refused() -> None:
    with pytest.raises(ValueError, match="timing: unknown 'later'"):
        due_spans(SERVICE, QUARTERS, "later", local("2027-05-05"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"billing_date: .* has no time zone"):
        due_spans(SERVICE, QUARTERS, "advance", datetime(2027, 5, 5))  # noqa: DTZ001
