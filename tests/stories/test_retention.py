"""A subject's bytes go from every table and stay gone in a rebuild; old raw usage is retired; what was billed stays."""

from __future__ import annotations

import asyncio
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from agents.settings import Settings
from agents.store.connection import Connection
from schemas.erasure import pseudonym_of, subject_hash
from tests.builders import moment
from tests.deployments import Deployment
from tests.stories import october
from tests.stories.test_looking import answer, tally

pytestmark = pytest.mark.services

BROKEN = (b"over/1", b'{"specversion": "1.0", "subject": "over/1", "data": {"name": "Otto Over"')
TOTALS = "SELECT meter, sum(events), sum(total) FROM pane_totals FINAL GROUP BY meter ORDER BY meter"
DAY = date(2026, 10, 15)
OF_THE_DAY = """
SELECT DISTINCT events, total FROM day_totals FINAL
WHERE meter = 'tokens' AND day = '2026-10-15' AND subject = {subject:String}
"""
DOCUMENTS = "SELECT number, content_sha256 FROM invoices FINAL WHERE tick <= 3 ORDER BY number"


async def test_what_is_erased_or_retired_is_gone_and_what_was_billed_stays(
    deployment: Deployment, tmp_path: Path
) -> None:
    deployment.settings = deployment.settings.model_copy(update={"signing_key": tmp_path / "signing.pem"})
    assert (await tally(deployment, "keys", "create")).returncode == 0
    deployment.line()
    await deployment.publish([BROKEN])
    october.check(await october.play(deployment))
    await deployment.tick(moment("2026-11-01 07:00"))
    await deployment.stored()
    sealed = [("calls", 34), ("tokens", 36)]
    await deployment.until(lambda: [row[:2] for row in deployment.rows(TOTALS)] == sealed, "the panes are sealed")
    await deployment.until(lambda: of_the_day(deployment, "over/1") == [(20, 200)], "the day is sealed")
    before = deployment.rows(TOTALS), deployment.rows(DOCUMENTS)
    await _erased(deployment)
    assert of_the_day(deployment, "over/1") == []
    assert deployment.last is not None
    usable = deployment.billing.days.usable(deployment.last)
    assert {(DAY in days, date(2026, 10, 7) in days) for days in usable.values()} == {(False, True)}
    assert (deployment.rows(TOTALS), deployment.rows(DOCUMENTS)) == before
    await _retired(deployment)
    assert (deployment.rows(TOTALS)[:2], deployment.rows(DOCUMENTS)) == before


async def _erased(deployment: Deployment) -> None:
    assert places_of(deployment.settings, "over/1") != {}
    asked = await answer(deployment, "erase", "over/1", "--reason", "request 12", "--dry-run")
    # 20 and 5 late, all billed, and 9,999 too late; a broken record; one attribution
    assert (asked["events"], asked["dead_letters"], asked["customers"]) == (22, 1, ["over"])
    assert places_of(deployment.settings, "over/1") != {}
    asked = await answer(deployment, "erase", "over/1", "--reason", "request 12")
    assert (asked["carried_out"], asked["waits_for"]) == (False, "the next tick")
    await deployment.tick(moment("2026-11-01 08:00"))
    done = "SELECT count() FROM erasures"
    await deployment.until(lambda: deployment.rows(done) == [(1,)], "it is carried out")
    assert places_of(deployment.settings, "over/1") == {}
    assert places_of(deployment.settings, "Otto Over") == {}
    assert (await tally(deployment, "erase", "over/1", "--reason", "again")).returncode == 4
    assert (await tally(deployment, "reconcile", "--deep")).returncode == 0
    replayed = await answer(deployment, "replay", "--all")
    assert replayed["identical"]
    assert {
        each["note"] for each in replayed["verdicts"] if each["customer"] == "over" and each["kind"] == "close"
    } == {"fingerprints of erased subjects"}
    explained = await answer(deployment, "explain", "over:tokens", "--days", "31")
    assert {event["subject"] for event in explained["events"]} == {asked["pseudonym"]}
    again = deployment.settings.model_copy(update={"database": f"{deployment.settings.database}_again"})
    assert (await answer(deployment, "rebuild", "--into", again.database))["equal"]
    assert places_of(again, "over/1") == {}
    await asyncio.to_thread(deployment.db.execute, f"DROP DATABASE {again.database} SYNC")


async def _retired(deployment: Deployment) -> None:
    refused = await tally(deployment, "retention", "apply", "--keep-days", "30", "--dry-run")
    assert (refused.returncode, "at least 90" in refused.stderr) == (1, True)
    await deployment.tick(moment("2027-03-01 06:00"))
    await deployment.invoices(2 * 3)  # what was due since then, on one invoice each
    pseudonym = pseudonym_of(subject_hash("over/1"))
    await deployment.until(lambda: of_the_day(deployment, pseudonym) == [(20, 200)], "the day is sealed again")
    arguments = ("retention", "apply", "--keep-days", "90")
    would = await answer(deployment, *arguments, "--dry-run")
    # all that was published, late and too late as well; the last day that goes is 30 November
    assert (would["before"], would["events"], would["applied"]) == ("2026-12-01T00:00:00+00:00", 36, False)
    assert (await answer(deployment, *arguments))["applied"]
    assert deployment.rows("SELECT count() FROM events") == [(0,)]
    assert (await tally(deployment, "reconcile", "--deep")).returncode == 0
    explained = await answer(deployment, "explain", "INV-000001:tokens")
    assert (explained["raw"], explained["events"], explained["rated"]["quantity"]) == ("frozen", [], "4003.5")
    assert "Frozen:" in (await tally(deployment, "explain", "INV-000001:tokens")).stdout
    assert "no longer kept" in (await tally(deployment, "evidence", "INV-000001")).stderr
    replayed = await answer(deployment, "replay", "--all")
    assert replayed["identical"]
    frozen = {each["customer"] for each in replayed["verdicts"] if each["note"].startswith("frozen")}
    assert frozen == {"edge", "over", "quiet"}


def of_the_day(deployment: Deployment, subject: str) -> list[tuple[int, int]]:
    """Events and tokens of a subject on the 15th, as the day is sealed."""
    return [(events, int(total)) for events, total in deployment.rows(OF_THE_DAY, {"subject": subject})]


def places_of(settings: Settings, text: str) -> dict[str, int]:
    """Tables that hold a text somewhere, and in how many rows."""
    connection = Connection(settings)
    tables = connection.tuples(
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree' "
        "AND name NOT IN ('schema_migrations')"
    )
    found: dict[str, Any] = {}
    for (table,) in tables:
        sql = f"SELECT count() FROM {table} WHERE position(toString(tuple(*)), {{text:String}}) > 0"
        if count := connection.tuples(sql, {"text": text})[0][0]:
            found[table] = count
    connection.close()
    return found
