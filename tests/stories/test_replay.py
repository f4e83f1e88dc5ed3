"""The same log twice gives the same bytes: everything but the log is a function of a log prefix."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from agents.topics import INVOICES, TOPICS
from tests.builders import moment
from tests.deployments import Deployment
from tests.same_bytes import SAME_IN_BOTH
from tests.stories import october
from tests.stories.test_looking import answer, tally

pytestmark = pytest.mark.services


async def test_a_database_rebuilt_from_the_log_has_the_same_bytes(deployment: Deployment, rebuilt: Deployment) -> None:
    workers = deployment.line()
    october.check(await october.play(deployment))
    await deployment.tick(moment("2026-11-01 07:00"))
    await deployment.stored()
    await _sealed(deployment)
    drafts = await _drafts(deployment)
    for worker in workers:
        assert worker.stop() == 0
    rebuilt.line()
    october.check(await rebuilt.invoices(len(october.PLANS)))
    await rebuilt.stored()
    await _sealed(rebuilt)
    assert await _drafts(rebuilt) == drafts
    for what, sql in SAME_IN_BOTH.items():
        original = deployment.rows(sql)
        assert original, what
        assert rebuilt.rows(sql) == original, what
    await _published_once(rebuilt, INVOICES)
    await _published_once(rebuilt, "billing.periods")


async def _drafts(deployment: Deployment) -> list[tuple[Any, ...]]:
    """Every form of the drafts of the month's grace, as soon as all of them are replaced by their invoices."""
    sql = "SELECT document_id, tick, replaced, document FROM drafts FINAL ORDER BY document_id, tick, replaced"
    gone = len(october.PLANS)
    await deployment.until(lambda: sum(row[2] for row in deployment.rows(sql)) == gone, "the drafts are replaced")
    return deployment.rows(sql)


async def _sealed(deployment: Deployment) -> None:
    """Returns once the meters' totals hold every event that happened before the last tick."""
    sql = "SELECT meter, sum(events) FROM pane_totals FINAL GROUP BY meter ORDER BY meter"
    calls, tokens = ("calls", 34), ("tokens", 36)
    await deployment.until(lambda: deployment.rows(sql) == [calls, tokens], "the panes are sealed")


async def _published_once(deployment: Deployment, topic: str) -> None:
    """A rebuild may publish again, but only bytes that are there already."""
    records: Sequence[Any] = await deployment.records(topic)
    distinct = {(record.key, record.value) for record in records}
    assert len(distinct) == len(october.PLANS) * (4 if topic == INVOICES else 1), topic  # also drafts, subscriptions


async def test_a_rebuild_beside_running_workers_publishes_nothing_and_a_backup_catches_up(
    deployment: Deployment,
) -> None:
    deployment.line()
    await october.begin(deployment)
    await deployment.publish(october.OF_OCTOBER)
    await deployment.stored()
    backup = await _backup(deployment)
    await deployment.tick(october.IN_GRACE)
    await deployment.publish([*october.LATE, (b"k", b"no event")])
    await deployment.tick(october.CLOSES)
    october.check(await deployment.invoices(len(october.PLANS)))
    await deployment.stored()
    await _drafts(deployment)
    before = await _ends(deployment)
    found = await answer(deployment, "rebuild", "--into", f"{deployment.settings.database}_again", "--drop")
    assert found["equal"]
    assert {table["table"] for table in found["tables"] if table["rows"] == 0} <= {
        "corrections",
        "retractions",
        "erasures",
        "credit_entries",
    }
    caught_up = await answer(deployment, "rebuild", "--into", backup, "--catch-up")
    assert caught_up["equal"]
    assert await _ends(deployment) == before
    # One frozen quantity is forged in the restored tables: the verdict names the table, and only that one.
    forge = (
        f"INSERT INTO {backup}.period_usage SELECT * REPLACE (value + 1 AS value) FROM {backup}.period_usage LIMIT 1"
    )
    await asyncio.to_thread(deployment.db.execute, forge)
    arguments = ("rebuild", "--into", backup, "--catch-up", "--drop", "--patience", "1")
    forged = await answer(deployment, *arguments, code=5)
    assert [table["table"] for table in forged["tables"] if not table["equal"]] == ["period_usage"]
    there = await tally(deployment, "rebuild", "--into", deployment.settings.database)
    assert (there.returncode, "another database" in there.stderr) == (1, True)


async def _ends(deployment: Deployment) -> dict[str, tuple[int, ...]]:
    """Where every log ends."""
    return {topic.name: await deployment.logs.end_offsets(topic.name) for topic in TOPICS}


async def _backup(deployment: Deployment) -> str:
    """A copy of every table as it is now, in a database of its own: a backup that was restored."""
    name = f"{deployment.settings.database}_backup"
    database = deployment.settings.database
    for sql in (
        f"BACKUP DATABASE {database} TO File('{name}')", f"RESTORE DATABASE {database} AS {name} FROM File('{name}')",
    ):  # fmt: skip
        await asyncio.to_thread(deployment.db.execute, sql)
    return name
