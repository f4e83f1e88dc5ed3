"""Numbers that a producer gave out and that never arrived are listed, exactly, however the others arrived."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from random import Random

import pytest

from agents.ledger import Ledger, LedgerRow
from agents.store.completeness import CompletenessStore
from agents.store.connection import Connection
from agents.store.usage import UsageStore
from pipeline.intake.usage_block import Events
from pipeline.intake.validation import Event
from schemas.dead_letter import DeadLetter, Reason

pytestmark = pytest.mark.services

MILLION = 1_000_000
T0 = datetime(2026, 10, 5, tzinfo=UTC)
T0_MS = int(T0.timestamp() * 1000)
MINUTE = 60_000


def broker_time(connection: Connection, ms: int) -> None:
    """The newest record of any log arrived then."""
    Ledger(connection).append([LedgerRow("billing.ticks", 0, 0, ms - T0_MS + 1, appended_at_ms=ms)])


def arrive(
    connection: Connection,
    source: str,
    numbers: Sequence[int | str],
    *,
    at_ms: int,
    time_ms: int = T0_MS,
    first: int = 0,
) -> None:
    """Events with numbers, one after the other; their event time rises by a second each."""
    events = Events()
    for place, number in enumerate(numbers):
        event = Event(
            "call", "a", time_ms + place * 1000, source, f"{source}{time_ms}-{place}", b"{}", "", 0, str(number)
        )
        events.append(event, 0, first + place, at_ms)
    UsageStore(connection).insert_events(events)


def found(connection: Connection, *, waiting: bool = False) -> list[tuple[object, ...]]:
    rows = CompletenessStore(connection).gaps(waiting=waiting)
    return [(row["source"], row["epoch"], row["run"], row["first_missing"], row["last_missing"]) for row in rows]


def test_a_hundred_numbers_missing_from_a_million_that_came_in_any_order_are_exactly_the_ones_listed(
    connection: Connection,
) -> None:
    missing = sorted(Random(7).sample(range(2, MILLION), 100))
    connection.execute(
        "INSERT INTO events (type, subject, ts, source, id, k_partition, inv_offset, data, sequence, appended_at) "
        "SELECT 'call', toString(number % 97), toDateTime64('2026-10-05 00:00:00', 3, 'UTC') + INTERVAL "
        "intDiv(number, 20) SECOND, '/big', toString(number), number % 8, bitNot(number), '{}', toString(number + 1), "
        "toDateTime64('2026-10-05 00:00:00', 3, 'UTC') + INTERVAL cityHash64(number) % 86400 SECOND "
        "FROM numbers(1000000) WHERE number + 1 NOT IN {missing:Array(UInt64)}",
        {"missing": missing},
    )
    broker_time(connection, T0_MS + 25 * 60 * MINUTE)
    listed = CompletenessStore(connection).gaps()
    numbers = [n for row in listed for n in range(row["first_missing"], row["last_missing"] + 1)]
    assert numbers == missing


def test_a_gap_opens_after_ten_minutes_and_a_late_arrival_closes_it(connection: Connection) -> None:
    arrive(connection, "/a", [5, 6, 9], at_ms=T0_MS)
    broker_time(connection, T0_MS + 10 * MINUTE - 1)
    assert (found(connection), found(connection, waiting=True)) == ([], [("/a", "", 1, 7, 8)])
    broker_time(connection, T0_MS + 10 * MINUTE)
    assert found(connection) == [("/a", "", 1, 7, 8)]
    arrive(connection, "/a", [8], at_ms=T0_MS + 11 * MINUTE, time_ms=T0_MS + 1, first=3)
    assert found(connection) == [("/a", "", 1, 7, 7)]
    arrive(connection, "/a", [7], at_ms=T0_MS + 12 * MINUTE, time_ms=T0_MS + 2, first=4)
    assert found(connection) == []


def test_a_restart_at_1_is_no_gap_and_hides_none(connection: Connection) -> None:
    arrive(connection, "/a", [1, 2, 4, 5, 1, 2, 3, 5, 1], at_ms=T0_MS)
    arrive(connection, "/named", ["x/2", "x/3", "y/1", "y/2", "a/b/1", "a/b/3"], at_ms=T0_MS, first=100)
    broker_time(connection, T0_MS + 10 * MINUTE)
    assert CompletenessStore(connection).numbered() == [("/a", 3, 9), ("/named", 3, 6)]
    assert found(connection) == [
        ("/a", "", 1, 3, 3), ("/a", "", 2, 4, 4), ("/named", "a/b", 1, 2, 2), ("/named", "x", 1, 1, 1)
    ]  # fmt: skip


def test_times_out_of_order_without_a_restart_and_numbers_that_are_none_open_no_gap(connection: Connection) -> None:
    arrive(connection, "/a", [2, 1, 3, "no number", "-4", "x/", "/"], at_ms=T0_MS)
    broker_time(connection, T0_MS + 10 * MINUTE)
    assert found(connection) == []


def test_a_number_whose_record_was_refused_has_arrived(connection: Connection) -> None:
    arrive(connection, "/a", [1, 4], at_ms=T0_MS)
    letters = [
        DeadLetter(topic="usage.events", partition=1, offset=1, reason=Reason.INVALID_TIME, detail="", source="/a",
                   key=None, headers=(), value=b'{"sequence": 2, "time": "x"}', appended_at_ms=T0_MS),
        DeadLetter(topic="usage.events", partition=1, offset=2, reason=Reason.INVALID_JSON, detail="", source="/a",
                   key=None, headers=(("ce_sequence", b"3"),), value=b"{", appended_at_ms=T0_MS),
    ]  # fmt: skip
    UsageStore(connection).insert_dead_letters(letters)
    broker_time(connection, T0_MS + 10 * MINUTE)
    assert found(connection) == []
