"""The same identity is the same event, wherever and however it was sent again; a correction wins over what it names."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from schemas.usage_event import CORRECTION_TYPE
from tests.command_line import answer, tally
from tests.deployments import Deployment

pytestmark = pytest.mark.services

OCTOBER = datetime(2026, 10, 1, tzinfo=UTC)
CATALOGUE = """
[[meters]]
id = "tokens"
event_types = ["llm.request"]
aggregation = "sum"
value = "tokens"

[[plans]]
id = "plain"
currency = "EUR"
anchor = "calendar"
grace = "PT6H"

[[plans.rate_cards]]
id = "tokens"
meter = "tokens"
price = { model = "per_unit", unit_price = "1" }
"""


def event(event_id: str, tokens: int, *, time: str = "2026-10-05T10:00:00Z", **changes: Any) -> bytes:
    content = {
        "specversion": "1.0",
        "id": event_id,
        "source": "/test",
        "type": "llm.request",
        "subject": "acme",
        "time": time,
        "data": {"tokens": tokens},
    }
    return json.dumps(content | changes).encode()


def correction(event_id: str, **content: Any) -> bytes:
    return event(f"fix-{event_id}", 0, type=CORRECTION_TYPE, data={"source": "/test", "id": event_id, **content})


async def begun(deployment: Deployment) -> None:
    deployment.line()
    await deployment.apply(CATALOGUE)
    await deployment.begin(OCTOBER)
    await deployment.subscribe({"acme": "plain"}, OCTOBER)


async def billed(deployment: Deployment) -> Decimal:
    await deployment.tick(datetime(2026, 11, 1, 6, tzinfo=UTC))
    (invoice,) = await deployment.invoices(1)
    return invoice.totals.total


async def test_a_copy_in_another_partition_or_with_another_time_or_type_is_never_billed(deployment: Deployment) -> None:
    await begun(deployment)
    await deployment.publish([(b"acme", event("a", 5)), (b"acme", event("b", 7))])
    await deployment.tick(datetime(2026, 10, 6, tzinfo=UTC))
    keys = [f"key-{number}".encode() for number in range(6)]
    copies = [(key, event("a", 5)) for key in keys]
    restamped = [(b"acme", event("a", 5, time="2026-10-07T12:00:00Z")), (b"acme", event("b", 7, type="llm.experiment"))]
    conflicting = [(b"acme", event("b", 9, time="2026-10-08T12:00:00Z"))]
    in_place = [(b"acme", event("b", 7)), (b"acme", event("b", 8))]
    await deployment.publish([*copies, *restamped, *conflicting, *in_place])
    assert await billed(deployment) == Decimal("12.00")
    retracted = deployment.rows("SELECT id, kind, count() FROM retractions FINAL GROUP BY 1, 2 ORDER BY 1, 2")
    partitions = {row[0] for row in deployment.rows("SELECT DISTINCT k_partition FROM events WHERE id = 'a'")}
    assert retracted == [("a", "duplicate", len(partitions)), ("b", "duplicate", 1), ("b", "conflict", 1)]
    found = await answer(deployment, "duplicates")
    assert {(row["source"], row["kind"], row["place"]): row["copies"] for row in found} == {
        ("/test", "duplicate", "same partition"): len(keys) - (len(partitions) - 1) + 1,
        ("/test", "conflict", "same partition"): 1,
        ("/test", "duplicate", "other partition"): len(partitions) - 1,
        ("/test", "duplicate", "re-stamped"): 2,
        ("/test", "conflict", "re-stamped"): 1,
    }
    await _listed_with_their_positions(deployment)


async def _listed_with_their_positions(deployment: Deployment) -> None:
    first = deployment.rows("SELECT k_partition, k_offset FROM events FINAL WHERE id = 'b' ORDER BY k_offset LIMIT 1")
    conflicts = await answer(deployment, "duplicates", "--each", "--kind", "conflict")
    assert [(row["id"], row["place"]) for row in conflicts] == [("b", "re-stamped"), ("b", "same partition")]
    for row in conflicts:
        assert (row["first_partition"], row["first_offset"]) == first[0]
        (record,) = await deployment.logs.read("usage.events", row["partition"], row["offset"], row["offset"] + 1)
        assert json.loads(record.value or b"")["data"] in ({"tokens": 9}, {"tokens": 8})


async def test_the_copy_under_the_earlier_tick_counts_though_its_position_is_greater(deployment: Deployment) -> None:
    await begun(deployment)
    await deployment.publish([(b"acme", event(f"filler-{number}", 0)) for number in range(5)])
    await deployment.publish([(b"acme", event("a", 5))])
    await deployment.tick(datetime(2026, 10, 6, tzinfo=UTC))
    other = await other_partition(deployment)
    await deployment.publish([(other, event("a", 500))])
    assert await billed(deployment) == Decimal("5.00")
    assert deployment.rows("SELECT kind, k_offset, first_offset FROM retractions FINAL") == [("conflict", 0, 5)]


async def other_partition(deployment: Deployment) -> bytes:
    home = await deployment.logs.partition_of("usage.events", b"acme")
    for number in range(100):
        key = f"other-{number}".encode()
        if await deployment.logs.partition_of("usage.events", key) != home:
            return key
    raise AssertionError("every key goes to one partition")


async def test_totals_follow_a_correction_of_an_event_whose_pane_is_sealed(deployment: Deployment) -> None:
    await begun(deployment)
    await deployment.publish([(b"acme", event(name, 10)) for name in ("kept", "retracted", "replaced")])
    await deployment.tick(datetime(2026, 10, 6, tzinfo=UTC))
    totals = "SELECT pane, total FROM pane_totals FINAL WHERE events > 0 ORDER BY pane"
    await deployment.until(lambda: [row[1] for row in deployment.rows(totals)] == [Decimal(30)], "the pane is sealed")
    moved = {"type": "llm.request", "subject": "acme", "time": "2026-10-05T11:00:00Z", "data": {"tokens": "4.5"}}
    await deployment.publish(
        [
            (b"acme", correction("retracted", action="retract", reason="test")),
            (b"acme", correction("replaced", action="replace", event=moved)),
        ]
    )
    await deployment.tick(datetime(2026, 10, 7, tzinfo=UTC))
    sealed = [
        (datetime(2026, 10, 5, 10, tzinfo=UTC), Decimal(10)),
        (datetime(2026, 10, 5, 11, tzinfo=UTC), Decimal("4.5")),
    ]
    await deployment.until(lambda: deployment.rows(totals) == sealed, "both panes are sealed again")
    await _corrected_once_more(deployment, moved)
    assert await billed(deployment) == Decimal("12.00")
    assert (await answer(deployment, "reconcile", "--deep"))["balanced"]


async def _corrected_once_more(deployment: Deployment, moved: dict[str, Any]) -> None:
    """By hand: what counts is changed, one is taken back that had been replaced; an old correction that comes again is
    a copy, and undoes nothing."""
    changed = ("correct", "replace", "/test", "replaced", "--set", "data.tokens=2", "--why", "half")
    tried = await answer(deployment, *changed, "--dry-run")
    assert (json.loads(tried["counted_before"])["data"], tried["position"]) == ({"tokens": "4.5"}, None)
    assert json.loads(tried["counts_then"]) == moved | {"time": "2026-10-05T11:00:00.000Z", "data": {"tokens": 2}}
    await answer(deployment, *changed)
    await deployment.publish([(b"acme", correction("replaced", action="replace", event=moved))])
    back = {"type": "llm.request", "subject": "acme", "time": "2026-10-05T10:00:00Z", "data": {"tokens": 50}}
    await deployment.publish([(b"acme", correction("retracted", action="replace", event=back))])
    await deployment.stored()
    await answer(deployment, "correct", "retract", "/test", "kept", "--why", "a test", "--request-id", "once")
    by = {"type": "llm.request", "subject": "acme", "time": "2026-10-05T12:00:00Z", "data": {"tokens": 10}}
    file = deployment.folder / "by.json"
    file.write_text(json.dumps(by))
    await answer(deployment, "correct", "replace", "/test", "kept", "--value", str(file), "--why", "it was right")
    await answer(deployment, "correct", "retract", "/test", "kept", "--why", "a test", "--request-id", "once")
    await deployment.stored()
    history = await answer(deployment, "correct", "show", "/test", "kept")
    assert [record["what"] for record in history["records"]] == ["event", "retract", "replace", "retract"]
    assert [found["time"] for found in history["counted"]] == ["2026-10-05T12:00:00+00:00"]
    refused = await tally(deployment, "correct", "replace", "/test", "kept", "--set", "time=now", "--why", "x")
    assert (refused.returncode, "invalid_time" in refused.stderr) == (1, True)


async def test_a_correction_that_comes_before_its_event_holds(deployment: Deployment) -> None:
    await begun(deployment)
    await deployment.publish([(b"acme", correction("later", action="retract"))])
    await deployment.tick(datetime(2026, 10, 6, tzinfo=UTC))
    await deployment.publish([(b"acme", event("later", 10)), (b"acme", event("other", 3))])
    assert await billed(deployment) == Decimal("3.00")
