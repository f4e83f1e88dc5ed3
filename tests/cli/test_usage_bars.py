"""Usage for the eye: exact sums, bars in proportion, days without usage shown as such."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from agents.cli.usage_bars import bar, described, lines, shown

D = Decimal
FRESH = {
    "tick": 7,
    "as_of": datetime(2026, 11, 1, 6, tzinfo=UTC),
    "stored_to": datetime(2026, 11, 1, 6, 0, 3, tzinfo=UTC),
}


def row(
    day: int, value: str, grp: str = "[]", meter: str = "calls", version: str = "v1", **more: int
) -> dict[str, Any]:
    return {
        "day": date(2026, 10, day), "meter": meter, "meter_version": version, "grp": grp, "value": D(value),
        "events": 1, "invalid": 0, "late": 0, **more,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("value", "most", "length"),
    [("0", "10", 0), ("-1", "10", 0), ("10", "10", 4), ("5", "10", 2), ("0.0001", "10", 1), ("1", "0", 0)],
)
def test_a_bar_is_to_its_width_as_the_value_is_to_the_greatest(value: str, most: str, length: int) -> None:
    assert len(bar(D(value), D(most), width=4)) == length


def test_a_bar_has_eighths() -> None:
    assert [bar(D(eighths), D(8), width=1) for eighths in range(1, 9)] == list("▏▎▍▌▋▊▉█")


def test_days_between_have_a_line_also_without_usage_and_the_end_is_exclusive() -> None:
    found = shown([row(3, "2"), row(5, "0.5")], [], FRESH, customer="acme")
    assert (found.first, found.last) == (date(2026, 10, 3), date(2026, 10, 6))
    said = [line.split() for line in lines(found) if line.startswith("  2026")]
    assert [(words[0], words[-1]) for words in said] == [
        ("2026-10-03", "2"),
        ("2026-10-04", "0"),
        ("2026-10-05", "0.5"),
    ]


def test_groups_and_days_add_up_exactly_and_versions_are_kept_apart() -> None:
    daily = [row(3, "0.1", '["a"]'), row(3, "0.2", '["b"]'), row(4, "0.3", '["a"]'), row(4, "9", version="v2")]
    first, second = shown(daily, [], FRESH, customer="acme").meters
    assert first.total == D("0.6")
    assert first.days == {date(2026, 10, 3): D("0.3"), date(2026, 10, 4): D("0.3")}
    assert first.groups == {'["a"]': D("0.4"), '["b"]': D("0.2")}
    assert (second.version, second.total) == ("v2", D(9))


def test_only_the_days_asked_for_are_shown_and_summed() -> None:
    found = shown(
        [row(3, "1"), row(4, "2"), row(5, "4")], [], FRESH, customer="acme", first=date(2026, 10, 4),
        last=date(2026, 10, 5),
    )  # fmt: skip
    assert [used.total for used in found.meters] == [D(2)]


def test_what_no_invoice_covers_yet_stands_beside_the_days() -> None:
    since = datetime(2026, 10, 1, tzinfo=UTC)
    current = [row(1, "40") | {"period_start": since}, row(1, "2", '["a"]') | {"period_start": since}]
    (used,) = shown([row(3, "1")], current, FRESH, customer="acme").meters
    assert (used.unbilled, used.unbilled_since) == (D(42), since)


def test_quantities_are_decimal_strings_for_programs() -> None:
    (meter,) = described(shown([row(3, "0.100000000000")], [], FRESH, customer="acme"))["meters"]  # type: ignore[misc]
    assert meter["value"] == "0.1"  # type: ignore[has-type]
    assert meter["not_billed"] is None  # type: ignore[has-type]


def test_a_customer_without_usage_gets_a_sentence_and_the_freshness() -> None:
    said = list(lines(shown([], [], FRESH, customer="acme", first=date(2026, 10, 1), last=date(2026, 10, 2))))
    assert said[0] == "acme: no usage from 2026-10-01 to 2026-10-02"
    assert "billing time 2026-11-01 06:00 UTC, tick 7 · stored to 2026-11-01 06:00 UTC" in said[1]


def test_days_of_a_meter_that_does_not_add_up_are_shown_and_not_added() -> None:
    rows = [row(3, "2"), row(4, "5"), row(5, "0")]
    told = [{**each, "aggregation": "max", "note": ""} for each in rows]
    told[2] |= {"value": None, "note": "max: known once the day is over and sealed"}
    found = shown(told, [], FRESH, customer="acme")
    said = list(lines(found))
    assert said[0] == "acme · calls: – in 3 events"
    assert [line.split()[-1] for line in said if line.startswith("  2026")] == ["2", "5", "–"]
    assert "  max: known once the day is over and sealed" in said
    meters: Any = described(found)["meters"]
    assert (meters[0]["value"], [day["value"] for day in meters[0]["days"]]) == (None, ["2", "5"])
