"""What an operator sees of a closed month and of one that cannot close, through the commands themselves."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal

import pytest

from schemas.invoice import Invoice
from tests.builders import event, moment
from tests.command_line import answer, tally
from tests.deployments import Deployment
from tests.stories import october

pytestmark = pytest.mark.services

D = Decimal


async def closed(deployment: Deployment) -> tuple[Invoice, ...]:
    """October, with its three invoices; then an event after the close that another type did not meter, all stored."""
    deployment.line()
    invoices = await october.play(deployment)
    await deployment.publish([event("over/1", "2026-10-09 12:00", {}, type="visit"), (b"k", b"no event")])
    await deployment.publish([event("stranger", "2026-10-09 12:00", {"tokens": 1})])
    await deployment.stored()
    return invoices


async def test_a_closed_month_can_be_looked_at_and_proven(deployment: Deployment) -> None:
    invoices = await closed(deployment)
    await _the_list_and_one_invoice(deployment, invoices)
    await _usage_over_days(deployment)
    await _the_accounts(deployment)
    await _replay(deployment, invoices)


async def _the_list_and_one_invoice(deployment: Deployment, invoices: tuple[Invoice, ...]) -> None:
    listed = await answer(deployment, "invoices")
    assert [(row["number"], row["customer"], D(row["total"])) for row in listed] == [
        ("INV-000001", "edge", D("32.01")), ("INV-000002", "over", D("26.87")), ("INV-000003", "quiet", D("20.00"))
    ]  # fmt: skip
    assert [row["number"] for row in await answer(deployment, "invoices", "--customer", "over")] == ["INV-000002"]
    over = invoices[1]
    for name in ("INV-000002", "inv-000002", "over", over.id[:8]):
        found = await answer(deployment, "invoice", name)
        assert (found["invoice"]["number"], found["sha256"]) == ("INV-000002", over.sha256())
    # Too late for the close: one call; of a type that no meter knows: one visit, stored after the close too.
    left = {row["type"]: (row["after_the_close"], row["metered"]) for row in found["not_billed"]["events"]}
    assert left == {"call": (1, True), "visit": (1, False)}
    assert found["not_billed"]["unattributed"] == {"events": 1, "subjects": 1}
    assert found["replay"] == {"identical": True, "differences": []}
    shown = (await tally(deployment, "invoice", "over")).stdout
    assert "    10 to 20" in shown
    assert "1 × call: came after the close" in shown
    assert "replay        identical bytes" in shown
    unknown = await tally(deployment, "invoice", "ovr")
    assert (unknown.returncode, "did you mean over?" in unknown.stderr) == (4, True)


async def _usage_over_days(deployment: Deployment) -> None:
    found = await answer(deployment, "usage", "over", "--meter", "tokens", "--to", "2026-11-01")
    (tokens,) = found["meters"]
    # 20 x 10 on the 15th, then 5 late and 9999 too late, all of which were used, whoever pays for them.
    assert {day["day"]: day["value"] for day in tokens["days"]} == {"2026-10-15": "200", "2026-10-31": "10004"}
    assert found["as_of"] == "2026-11-01T06:00:00+00:00"
    edge = await answer(deployment, "usage", "edge", "--from", "2026-11-01")
    assert {used["meter"]: used["not_billed"]["value"] for used in edge["meters"]} == {"calls": "1", "tokens": "8888"}
    unknown = await tally(deployment, "usage", "edgy")
    assert (unknown.returncode, "did you mean edge?" in unknown.stderr) == (4, True)


async def _the_accounts(deployment: Deployment) -> None:
    found = await answer(deployment, "reconcile")
    produced = sum(await deployment.logs.end_offsets("usage.events"))
    whole = found["total"]
    assert found["balanced"]
    assert (whole["produced"], whole["dead_letters"], whole["not_stored_yet"]) == (produced, 1, 0)
    assert whole["counted"] == produced - 1
    # Late: one in the grace period, three after the close, and the one whose pane ended when billing time began.
    assert whole["of_the_counted"] == {"late": 5, "unattributed": 1, "unmetered": 1}
    deployment.db.execute(
        "INSERT INTO ledger SELECT * REPLACE (next_offset + 50 AS next_offset, next_offset + 40 AS first_offset) "
        "FROM ledger FINAL WHERE topic = 'billing.ticks' ORDER BY next_offset DESC LIMIT 1"
    )
    broken = await answer(deployment, "reconcile", code=5)
    assert broken["differences"] == ["billing.ticks/0: 1 ranges are missing in the ledger"]


async def _replay(deployment: Deployment, invoices: tuple[Invoice, ...]) -> None:
    found = await answer(deployment, "replay", "--all")
    assert found["identical"]
    assert sorted(each["name"] for each in found["verdicts"] if each["kind"] == "invoice") == [
        "INV-000001", "INV-000002", "INV-000003"
    ]  # fmt: skip
    # Somebody edits one amount in the table: the replay names it, and only that invoice.
    forged = invoices[1].model_copy(update={"totals": invoices[1].totals.model_copy(update={"total": D("26.86")})})
    deployment.db.execute(
        "INSERT INTO invoices SELECT * REPLACE ({document:String} AS document, revision + 1 AS revision) "
        "FROM invoices FINAL WHERE number = 'INV-000002'",
        {"document": json.dumps(forged.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))},
    )
    done = await tally(deployment, "replay", "--check", "--all")
    assert done.returncode == 5
    assert 'totals.total: stored "26.86", replayed "26.87"' in done.stderr
    assert "INV-000001" not in done.stderr


async def test_the_status_names_what_a_close_waits_for_and_what_was_set_aside(deployment: Deployment) -> None:
    deployment.worker("billing")
    await october.begin(deployment)
    await deployment.publish([event("edge/1", "2026-10-05 12:00", {"tokens": 1})])
    await deployment.tick(october.CLOSES)
    question = "SELECT count() FROM billing_runs FINAL"
    await deployment.until(lambda: deployment.rows(question) == [(3,)], "the runs are due")
    partition = await deployment.logs.partition_of("usage.events", b"edge/1")
    waiting = (await answer(deployment, "status"))["sections"]
    assert waiting["billing"]["rows"][0] == {
        "close": "closing", "customer": "edge", "period": "2026-10-01 00:00 to 2026-11-01 00:00",
        "waits for": f"usage.events/{partition} is stored to 0, tick 2 needs 1",
    }  # fmt: skip
    usage = waiting["lag"]["rows"][0]
    assert (usage["log"], usage["lag"], usage["behind"]) == ("usage.events", "1", f"{partition}: 1")
    deployment.worker("ingest")
    await deployment.invoices(3)
    done = await answer(deployment, "status")
    assert done["healthy"]
    (following,) = done["sections"]["billing"]["rows"]
    assert (following["close"], following["period"]) == ("next", "2026-11-01 00:00 to 2026-12-01 00:00")
    assert following["waits for"] == "a tick at or after 2026-12-01 06:00:00 UTC"
    row = ("edge", 2, 0, "totals_differ", "meter calls: 1 panes differ", 1)
    columns = ("customer", "tick", "revision", "reason", "detail", "version")
    await asyncio.to_thread(deployment.db.insert, "parked_runs", columns, [row])
    parked = await answer(deployment, "status", code=1)
    assert parked["sections"]["billing"]["rows"][0]["waits for"] == "totals_differ: meter calls: 1 panes differ"
    assert parked["next_step"] == "tally reconcile"


async def test_a_forged_total_is_found_against_raw_events(deployment: Deployment) -> None:
    deployment.line()
    await october.begin(deployment)
    await deployment.publish([event("over/1", "2026-10-05 12:00", {"tokens": 7})])
    await deployment.tick(moment("2026-10-06 00:00"))
    sealed = "SELECT count() FROM pane_totals FINAL WHERE events > 0"
    await deployment.until(lambda: deployment.rows(sealed) == [(2,)], "both meters are sealed")
    assert (await tally(deployment, "reconcile")).returncode == 0
    forge = (
        "INSERT INTO pane_totals SELECT * REPLACE (total + 1 AS total{}) FROM pane_totals FINAL WHERE meter = 'tokens'"
    )
    await asyncio.to_thread(deployment.db.execute, forge.format(""))
    found = await answer(deployment, "reconcile", code=5)
    (said,) = found["differences"]
    assert said.startswith("over: meter tokens: 1 panes differ, 1 events raw, 1 in totals, 7")
    # Totals of a seal that is under way say nothing yet: they are newer than what says as of what.
    await asyncio.to_thread(deployment.db.execute, forge.format(", ver + 1 AS ver"))
    assert (await tally(deployment, "reconcile")).returncode == 0
