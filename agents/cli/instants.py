"""Instants as people type them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from schemas.period import Period


def instant(text: str, option: str, *, time_zone: str = "UTC") -> datetime:
    """A moment from `2026-11-01`, `2026-11-01T08:30` or with a zone of its own; otherwise local time of `time_zone`.

    Kept in UTC, in whole milliseconds, rounded down. Raises BadParameter with what would be right.
    """
    try:
        written = datetime.fromisoformat(text)
        aware = written if written.tzinfo else written.replace(tzinfo=zone(time_zone, "--time-zone"))
        found = aware.astimezone(UTC)
    except (ValueError, OverflowError):
        example = "a time such as 2026-11-01, 2026-11-01T08:30 or 2026-11-01T08:30:00+01:00"
        raise typer.BadParameter(f"{text!r} is not {example}", param_hint=option) from None
    return found.replace(microsecond=found.microsecond // 1000 * 1000)


def span_of(text: str, option: str) -> Period:
    """A span in UTC from a month `2026-10`, a day `2026-10-31`, or `START/END`. Raises BadParameter."""
    from calendar import monthrange
    from datetime import timedelta

    from schemas.period import Period

    start, slash, end = text.partition("/")
    if slash:
        first, last = instant(start, option), instant(end, option)
        if last <= first:
            raise typer.BadParameter(f"{text!r} ends before it starts", param_hint=option)
        return Period(first, last)
    whole_month = len(text) == len("2026-10")
    try:
        first = instant(f"{text}-01" if whole_month else text, option)
    except typer.BadParameter:
        said = "is no month 2026-10, no day 2026-10-31 and no span START/END"
        raise typer.BadParameter(f"{text!r} {said}", param_hint=option) from None
    return Period(first, first + timedelta(days=monthrange(first.year, first.month)[1] if whole_month else 1))


def zone(name: str, option: str) -> ZoneInfo:
    """The IANA zone of a name. Raises BadParameter for an unknown one."""
    from schemas.period import zone as known

    try:
        return known(name)
    except ValueError as fault:
        raise typer.BadParameter(str(fault).removeprefix("time_zone: "), param_hint=option) from None


def shown(moment: datetime) -> str:
    """A moment in UTC, to the minute if it is a whole one."""
    utc = moment.astimezone(UTC)
    if utc.microsecond:
        return f"{utc:%Y-%m-%d %H:%M:%S}.{utc.microsecond // 1000:03d} UTC"
    return f"{utc:%Y-%m-%d %H:%M:%S} UTC" if utc.second else f"{utc:%Y-%m-%d %H:%M} UTC"
