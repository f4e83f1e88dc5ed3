"""The simulated month: exact shares, the same bytes for a seed, and a truth that an independent reading confirms."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from datetime import timedelta
from decimal import Decimal
from functools import cache

import pytest

from agents.logs import partition_of
from deploy.demo.broken import broken
from deploy.demo.draws import Draws, seeded
from deploy.demo.truth import Ledger, Truth
from deploy.demo.usage import (
    CUSTOMERS,
    DAYS,
    GRACE_END,
    MONTH_END,
    MONTH_START,
    Batch,
    Month,
    simulate,
    subjects,
    truth_of,
)
from pipeline.intake.validation import Rejection, validate
from schemas.dead_letter import Reason

SMALL = Month(seed=11, events=20_000)
BROKER_MS = 1_793_000_000_000


@cache
def month(parameters: Month = SMALL) -> tuple[tuple[Batch, ...], Truth]:
    ledger = Ledger()
    batches = tuple(simulate(parameters, ledger))
    return batches, ledger.truth()


@cache
def whole_month() -> Truth:
    """The truth of the month that the demo plays; it takes seconds to draw."""
    return truth_of(Month())


def digest(batches: tuple[Batch, ...]) -> str:
    hashed = hashlib.sha256()
    for batch in batches:
        for key, value in batch.records:
            hashed.update(repr((batch.day, key, hashlib.sha256(value).digest())).encode())
    return hashed.hexdigest()


def accepted(batches: tuple[Batch, ...]) -> list[tuple[int, dict[str, object]]]:
    """Every record that is an event, read with a plain JSON parser, with the batch it came in."""
    found = []
    for batch in batches:
        for key, value in batch.records:
            if not isinstance(validate(value, key, (), BROKER_MS, wall_clock=False), Rejection):
                found.append((batch.day, json.loads(value, parse_float=Decimal, parse_int=Decimal)))
    return found


def test_equal_seeds_give_equal_bytes_keys_and_order_and_another_seed_gives_others() -> None:
    batches, _ = month()
    assert digest(tuple(simulate(SMALL, Ledger()))) == digest(batches)
    assert digest(tuple(simulate(Month(seed=12, events=20_000), Ledger()))) != digest(batches)


def test_the_bytes_of_the_month_are_pinned_because_the_readme_shows_hashes_of_its_invoices() -> None:
    assert digest(month()[0]) == "60c16b73f2daa64c230f825d1267f1f3c6267f46bad23da14ca99796044aaf72"


def test_draws_are_the_same_on_every_machine_and_python() -> None:
    draws = Draws(seeded(2026, "event"), 1)
    assert [draws.below(1000) for _ in range(5)] == [264, 168, 240, 735, 369]


def test_shares_are_exact_one_in_a_hundred_twice_one_in_a_hundred_late_one_in_a_thousand_broken() -> None:
    batches, truth = month()
    assert truth.counted == 20_000
    assert truth.duplicates == 200
    assert truth.late == 200
    assert sum(truth.dead.values()) == 20
    assert truth.produced == sum(len(batch.records) for batch in batches) == SMALL.records == 20_220
    assert truth.adds_up()


def test_the_month_of_the_demo_is_large_and_wide_enough() -> None:
    truth = whole_month()
    assert truth.counted >= 200_000
    assert len(CUSTOMERS) >= 5
    assert len(subjects()) >= 50
    assert {partition_of(subject.encode(), 8) for subject in subjects()} == set(range(8))
    assert truth.unattributed > 0
    assert truth.unmetered > 0


def test_a_copy_has_the_same_bytes_and_is_never_published_before_its_original() -> None:
    batches, truth = month()
    values = Counter(value for batch in batches for _, value in batch.records)
    assert sum(count - 1 for value, count in values.items() if b"broken" not in value and count > 1) >= 200
    identities = Counter((event["source"], event["id"]) for _, event in accepted(batches))
    assert len(identities) == truth.counted
    assert sum(identities.values()) == truth.counted + truth.duplicates
    assert max(identities.values()) == 2


def test_an_event_is_late_exactly_if_it_is_published_after_the_tick_that_ends_its_day() -> None:
    batches, truth = month()
    ticks = [batch.tick_at for batch in batches]
    assert ticks == [MONTH_START + timedelta(days=day + 1) for day in range(DAYS)] + [GRACE_END]
    first: dict[object, tuple[int, int]] = {}
    for batch, event in accepted(batches):
        first.setdefault(event["id"], (batch, int(str(event["time"])[8:10]) - 1))
    delays = Counter(batch - day for batch, day in first.values())
    assert delays[0] == truth.counted - truth.late
    assert set(delays) == {0, 1, 2, 3}
    assert all(ticks[batch] < MONTH_END + timedelta(hours=6, seconds=1) for batch, _ in first.values())


def test_every_event_lies_in_the_month_and_its_key_is_its_subject_but_for_every_tenth_copy() -> None:
    batches, _ = month()
    keyless = 0
    for batch in batches:
        for key, value in batch.records:
            if b'"req-' in value:
                event = json.loads(value)
                keyless += key is None
                assert key in (event["subject"].encode(), None)
                assert "2026-10-01T00:00:00.000Z" <= event["time"] < "2026-11-01T00:00:00.000Z"
    assert keyless == 20


def test_every_broken_record_dies_of_the_reason_the_simulation_says() -> None:
    for number in range(80):
        reason, value = broken(number)
        verdict = validate(value, b"acme/key-00", (), BROKER_MS, wall_clock=False)
        assert isinstance(verdict, Rejection), (number, reason)
        assert verdict.reason.value == reason


def test_each_reason_for_refusal_appears_except_the_one_that_needs_a_wall_clock() -> None:
    assert set(whole_month().dead) == {reason.value for reason in Reason} - {Reason.TIME_AHEAD.value}


def test_dead_letters_are_counted_by_the_reason_that_the_rules_give() -> None:
    batches, truth = month()
    verdicts = (validate(v, k, (), BROKER_MS, wall_clock=False) for batch in batches for k, v in batch.records)
    assert Counter(v.reason.value for v in verdicts if isinstance(v, Rejection)) == truth.dead


def test_totals_are_what_a_plain_sum_over_the_distinct_events_gives() -> None:
    batches, truth = month()
    totals: dict[tuple[str, str, str], Decimal] = {}
    owners = subjects()
    for event in {event["id"]: event for _, event in accepted(batches)}.values():
        payload = event["data"]
        assert isinstance(payload, dict)
        if event["type"] != "llm.request":
            continue
        customer = owners.get(str(event["subject"]), str(event["subject"]))
        wanted = [("tokens_in", payload["model"], payload["tokens_in"])]
        wanted += [("tokens_out", payload["model"], payload["tokens_out"])]
        wanted += [] if payload["cached"] else [("requests", "", 1)]
        for meter, group, value in wanted:
            key = (customer, meter, group)
            totals[key] = totals.get(key, Decimal(0)) + Decimal(str(value))
    assert totals == truth.totals


def test_shares_that_would_not_be_exact_are_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 1,000"):
        next(simulate(Month(events=1500), Ledger()))
