"""Every record is in one place; one row that is deleted, added or altered is found: by sums, and by reading again."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from aiokafka import AIOKafkaProducer

from agents.catalogue import CatalogueLog
from agents.cli.comparing import compare
from agents.cli.reading import reading
from agents.cli.screen import Screen
from agents.gate import touched_customers
from agents.store.reconciliation import ReconciliationStore
from agents.topics import USAGE_EVENTS
from schemas.period import Period
from tests.builders import event, events, replacement, retraction
from tests.command_line import answer, tally
from tests.deployments import Deployment
from tests.stories import october

pytestmark = pytest.mark.services

EVENT_COLUMNS = "type, subject, ts, source, id, k_partition, inv_offset, data, exact, appended_at"


async def aborted(deployment: Deployment, *records: bytes) -> None:
    """A transaction that a producer gave up: its records and its marker take positions."""
    producer = AIOKafkaProducer(bootstrap_servers=deployment.settings.kafka, transactional_id="given up")
    await producer.start()
    try:
        await producer.begin_transaction()
        for record in records:
            await producer.send_and_wait(deployment.settings.topic_prefix + USAGE_EVENTS, record, key=b"edge/1")
        await producer.abort_transaction()
    finally:
        await producer.stop()


async def begun(deployment: Deployment) -> None:
    """Every outcome in one log: 12 events, one of them replaced, 3 copies, 2 corrections, a dead letter, 3 controls."""
    deployment.line()
    await october.begin(deployment)
    first = event("edge/1", "2026-10-02 10:00", {"tokens": 1}, id="first")
    await deployment.publish([first, *events("edge/1", "2026-10-02 10:00", 9, {"tokens": 2})])
    await deployment.publish([event("over/1", "2026-10-02 10:00", {"tokens": "0.1234567890123"}, id="over")])
    other_content = event("edge/1", "2026-10-02 10:00", {"tokens": 7}, id="first")
    await deployment.publish([first, first, other_content, (b"edge/1", b"{")])
    await aborted(deployment, first[1], first[1])
    await deployment.publish([event("edge/1", "2026-10-02 10:00", {"tokens": 3}, id="corrected")])
    by = event("edge/1", "2026-10-02 11:00", {"tokens": 4})
    await deployment.publish([replacement("/test", "corrected", by), retraction("/test", "never sent")])
    await deployment.tick(datetime(2026, 10, 3, tzinfo=UTC))
    await deployment.stored()
    sealed = "SELECT count() FROM seals WHERE meter = 'tokens' AND pane = toDateTime('2026-10-02 11:00:00', 'UTC')"
    await deployment.until(lambda: deployment.rows(sealed)[0][0], "the panes are sealed")


async def test_the_sum_of_stored_rows_is_what_was_produced_and_one_row_that_differs_is_found(
    deployment: Deployment,
) -> None:
    await begun(deployment)
    for worker in deployment.workers:
        worker.kill()
    await _everything_adds_up(deployment)
    await _a_deleted_row(deployment)
    await _an_added_row(deployment)
    await _an_altered_row(deployment)
    await _a_part(deployment)


async def _everything_adds_up(deployment: Deployment) -> None:
    found = await answer(deployment, "reconcile", "--deep")
    outcomes = {name: found["total"][name] for name in (
        "produced", "counted", "duplicates", "conflicts", "corrected", "corrections", "dead_letters", "controls",
        "not_stored_yet",
    )}  # fmt: skip
    assert outcomes == {
        "produced": 21, "counted": 11, "duplicates": 2, "conflicts": 1, "corrected": 1, "corrections": 2,
        "dead_letters": 1, "controls": 3, "not_stored_yet": 0,
    }  # fmt: skip
    assert found["balanced"]
    again = found["read_again"]
    assert {name: again[name] for name in ("records", "events", "copies", "corrections", "dead_letters")} == {
        "records": 18, "events": 12, "copies": 3, "corrections": 2, "dead_letters": 1
    }  # fmt: skip
    copies = "SELECT kind, first_offset, k_offset FROM copies FINAL ORDER BY k_offset"
    assert [row[0] for row in deployment.rows(copies)] == ["duplicate", "duplicate", "conflict"]
    shown = await tally(deployment, "reconcile", "--topic", "billing.ticks")
    assert "billing.ticks" in shown.stdout
    assert "usage.events/0" not in shown.stdout
    unknown = await tally(deployment, "reconcile", "--topic", "billing.tick")
    assert (unknown.returncode, "did you mean billing.ticks" in unknown.stderr) == (4, True)


async def _differences(deployment: Deployment) -> list[str]:
    async with reading(deployment.settings) as readers:
        return (await compare(readers, Screen(json_only=True), deep=True)).differences


def _delete(deployment: Deployment, where: str) -> None:
    deployment.db.execute(f"DELETE FROM events WHERE {where} SETTINGS lightweight_deletes_sync = 2")


async def _a_deleted_row(deployment: Deployment) -> None:
    (row,) = deployment.rows("SELECT k_partition, k_offset FROM events FINAL WHERE id = 'over'")
    place = f"usage.events/{row[0]}/{row[1]}"
    everything = "SELECT * FROM events FINAL ORDER BY k_partition, inv_offset"
    before = deployment.rows(everything)
    _delete(deployment, "id = 'over'")
    said = (await answer(deployment, "reconcile", "--deep", code=5))["differences"]
    assert f"{place}: the log holds event /test over of over/1, but it has no row" in said
    assert f"read again: {place}: the event /test over of over/1, but it has no row" in said
    assert any(line.startswith("over: meter tokens: 1 panes differ, 0 events raw, 1 in totals") for line in said)
    assert any("offsets produced and outcomes" in line for line in said)
    await _the_gate(deployment)
    mended = await answer(deployment, "reconcile", "--repair", "--deep")
    assert (mended["balanced"], deployment.rows(everything)) == (True, before)


async def _the_gate(deployment: Deployment) -> None:
    """The deleted row would park its customer, in the span that it lies in, and nobody else."""
    assert deployment.last is not None
    month = Period(datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC))
    after = Period(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
    catalogue = await CatalogueLog(deployment.logs).newest()
    wanted = [(entry, span) for entry in catalogue.meters.values() for span in (month, after)]
    found = touched_customers(ReconciliationStore(deployment.db), deployment.last, wanted)
    assert {key: fault.reason for key, fault in found.items()} == {("over", month): "rows_lost"}
    assert "1 rows are missing, such as the event at usage.events/" in found["over", month].detail


def _forge(deployment: Deployment, partition: int, offset: int) -> None:
    deployment.db.execute(
        f"INSERT INTO events ({EVENT_COLUMNS}) SELECT type, subject, ts, source, 'forged', {{partition:UInt16}}, "
        "bitNot({offset:UInt64}), data, exact, appended_at FROM events FINAL WHERE id = 'over'",
        {"partition": partition, "offset": offset},
    )


async def _an_added_row(deployment: Deployment) -> None:
    """At the position of another row, and at one at which the log has no record."""
    (taken,) = deployment.rows("SELECT k_partition, k_offset FROM events FINAL WHERE id = 'over'")
    _forge(deployment, *taken)
    said = await _differences(deployment)
    assert f"usage.events/{taken[0]}/{taken[1]}: stands in 2 rows: event, event" in said
    assert f"read again: usage.events/{taken[0]}/{taken[1]}: stands in 2 rows" in said
    _delete(deployment, "id = 'forged'")
    (empty,) = deployment.rows("SELECT k_partition, first_offset FROM empty_positions FINAL ORDER BY 2 LIMIT 1")
    _forge(deployment, *empty)
    said = await _differences(deployment)
    assert any("offsets produced and outcomes" in line for line in said)
    assert f"read again: usage.events/{empty[0]}/{empty[1]}: a row (event), but the log has no record there" in said
    _delete(deployment, "id = 'forged'")


async def _an_altered_row(deployment: Deployment) -> None:
    """Another value of an event: the second reading names the row."""
    (before,) = deployment.rows("SELECT data, exact FROM events FINAL WHERE id = 'over'")
    for data, exact, says in (
        (json.dumps({"tokens": 5}), before[1], "data of /test over is stored as"),
        (before[0], json.dumps({"tokens": "0.2"}), "the exact numbers of /test over are stored as"),
        (before[0], "", "the exact numbers of /test over are missing"),
    ):
        _update(deployment, data, exact)
        said = await _differences(deployment)
        assert next(line for line in said if line.startswith("read again: ")).split(": ", 2)[2].startswith(says), said
    _update(deployment, *before)
    assert await _differences(deployment) == []


def _update(deployment: Deployment, data: str, exact: str) -> None:
    deployment.db.execute(
        "ALTER TABLE events UPDATE data = {data:String}, exact = {exact:String} WHERE id = 'over' "
        "SETTINGS mutations_sync = 2",
        {"data": data, "exact": exact},
    )


async def _a_part(deployment: Deployment) -> None:
    """What arrived between the ticks around a period; before the first tick nothing had."""
    found = await answer(deployment, "reconcile", "--period", "2026-10-01/2026-10-03")
    assert (found["total"]["produced"], found["logs"], found["balanced"]) == (21, [], True)
    nothing = await tally(deployment, "reconcile", "--period", "2026-11")
    assert (nothing.returncode, "billing time has not reached the period" in nothing.stderr) == (1, True)
