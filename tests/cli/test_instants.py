"""Instants as people type them: with a zone as written, without one in the zone that is asked for."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import typer

from agents.cli.instants import instant, shown, span_of


@pytest.mark.parametrize(
    ("text", "time_zone", "utc"),
    [
        ("2026-11-01", "UTC", "2026-11-01T00:00:00"),
        ("2026-11-01", "Europe/Berlin", "2026-10-31T23:00:00"),
        ("2026-10-01", "Europe/Berlin", "2026-09-30T22:00:00"),
        ("2026-11-01T08:30", "Asia/Kolkata", "2026-11-01T03:00:00"),
        ("2026-11-01T08:30:00+01:00", "Asia/Kolkata", "2026-11-01T07:30:00"),
        ("2026-11-01 08:30Z", "Europe/Berlin", "2026-11-01T08:30:00"),
        ("2026-11-01T00:00:00.0019Z", "UTC", "2026-11-01T00:00:00.001"),
    ],
)
def test_a_zone_in_the_text_wins_and_milliseconds_are_rounded_down(text: str, time_zone: str, utc: str) -> None:
    assert instant(text, "--at", time_zone=time_zone) == datetime.fromisoformat(utc).replace(tzinfo=UTC)


@pytest.mark.parametrize("text", ["soon", "", "2026-13-01", "01.11.2026", "2026-11-01T25:00", "0001-01-01T00:00+23:00"])
def test_what_is_no_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is not a time such as 2026-11-01") as fault:
        instant(text, "--starts-at")
    assert fault.value.param_hint == "--starts-at"


@pytest.mark.parametrize("text", ["2026-13", "October", "2026-10-32", ""])
def test_what_is_no_span_is_refused_as_it_was_written(text: str) -> None:
    with pytest.raises(typer.BadParameter, match=f"^{text!r} is no month 2026-10, no day") as fault:
        span_of(text, "--period")
    assert fault.value.param_hint == "--period"


def test_an_unknown_zone_is_never_replaced_by_another() -> None:
    with pytest.raises(typer.BadParameter, match="unknown zone 'Berlin'"):
        instant("2026-11-01", "--starts-at", time_zone="Berlin")


@pytest.mark.parametrize(
    ("time", "text"),
    [
        ("2026-11-01T00:00:00+01:00", "2026-10-31 23:00 UTC"),
        ("2026-11-01T00:00:07Z", "2026-11-01 00:00:07 UTC"),
        ("2026-11-01T00:00:00.050Z", "2026-11-01 00:00:00.050 UTC"),
    ],
)
def test_a_time_is_shown_in_utc_as_fine_as_it_is(time: str, text: str) -> None:
    assert shown(datetime.fromisoformat(time)) == text
