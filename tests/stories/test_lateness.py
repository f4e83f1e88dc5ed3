"""How late usage came is told by positions against vectors; usage that would be free unseen is told at first sight."""

from __future__ import annotations

from uuid import uuid4

import pytest

from agents.commands import outcomes, send
from agents.store.completeness import CompletenessStore
from schemas.command import Pause
from tests.builders import event, moment
from tests.command_line import answer
from tests.deployments import Deployment
from tests.stories import october

pytestmark = pytest.mark.services

CATALOGUE = october.CATALOGUE.replace('grace = "PT6H"', 'grace = "PT6H"\nlate_usage = { horizon = "P10D" }')


async def test_usage_is_on_time_late_too_late_or_beyond_the_horizon_and_no_leak_stays_unseen(
    deployment: Deployment,
) -> None:
    deployment.line()
    await deployment.apply(CATALOGUE)
    await deployment.attribute({**october.OWNERS, "nobody/1": "nobody"}, october.BEGINS)
    await deployment.begin(october.BEGINS)
    await deployment.subscribe(october.PLANS, october.BEGINS)
    await deployment.publish([event("over/1", "2026-10-05 10:00", {"tokens": 1}, id="on time")])
    await deployment.tick(moment("2026-10-06 00:00"))
    await _paused(deployment, "quiet")
    await deployment.publish([event("over/1", "2026-10-05 10:01", {"tokens": 1}, id="late")])
    await deployment.publish(_leaking())
    await deployment.tick(october.CLOSES)
    await deployment.invoices(2)  # who is paused has none
    await deployment.publish([event("over/1", "2026-10-31 23:59:59.999", {"tokens": 1}, id="too late")])
    await deployment.publish([event("over/1", "2026-11-01 08:00", {"tokens": 1}, id="of November")])
    await deployment.tick(moment("2026-11-11 00:00"))
    await deployment.publish([event("over/1", "2026-10-01 00:00", {"tokens": 1}, id="beyond")])
    await deployment.tick(moment("2026-11-12 00:00"))
    await deployment.stored()
    await _how_late(deployment)
    await _what_leaks(deployment)


async def _paused(deployment: Deployment, customer: str) -> None:
    command = Pause(
        request_id="pause", actor="test", reason="a test", customer=customer, subscription=f"{customer}-small"
    )
    (outcome,) = await outcomes(deployment.logs, await send(deployment.logs, [command]), within_s=60)
    assert outcome is not None
    assert outcome.accepted, outcome.detail


def _leaking() -> list[tuple[bytes | None, bytes]]:
    return [
        event("edge/1", "2026-10-07 10:00", {}, type="visit", source="/web"),
        event("edge/1", "2026-10-07 10:00", {}, type="visit", source="/web"),
        event("edge/1", "2026-10-07 10:00", {"tokens": "many"}, source="/broken"),
        event("stranger", "2026-10-07 10:00", {"tokens": 1}),
        event("nobody/1", "2026-10-07 10:00", {"tokens": 1}),
        event("edge/1", "2026-09-30 10:00", {"tokens": 1}),
        event("quiet/1", "2026-10-08 10:00", {"tokens": 1}, source="/night"),
    ]


async def _how_late(deployment: Deployment) -> None:
    rows = await answer(deployment, "lateness", "over")
    assert {row["lateness"]: row["events"] for row in rows} == {
        "on time": 2, "late": 1, "too late": 1, "beyond the horizon": 1
    }  # fmt: skip
    for label, identity in (("late", "late"), ("too late", "too late"), ("beyond the horizon", "beyond")):
        (found,) = await answer(deployment, "lateness", "over", "--each", label)
        place = deployment.rows(
            "SELECT k_partition, k_offset FROM events FINAL WHERE id = {id:String}", {"id": identity}
        )
        assert (found["id"], (found["k_partition"], found["k_offset"])) == (identity, place[0])
    assert CompletenessStore(deployment.db).late()["beyond the horizon"] == 1


async def _what_leaks(deployment: Deployment) -> None:
    document = str(uuid4())
    deployment.db.insert("invoices", ("document_id", "status", "customer"), [(document, "draft", "edge")])
    line = '{"rated": {"kind": "unpriced", "dimensions": {"model": "new"}, "events": 7}}'
    columns = ("document_id", "line", "customer", "meter", "period_start", "period_end", "record")
    span = (moment("2026-10-01 00:00"), moment("2026-11-01 00:00"))
    deployment.db.insert("invoice_lines", columns, [(document, 0, "edge", "tokens", *span, line)])
    found = await answer(deployment, "leaks")
    assert {(row["leak"], row["what"], row["source"]): row["events"] for row in found} == {
        ("unmetered type", "visit", "/web"): 2,
        ("invalid measure", "tokens", "/broken"): 1,
        ("subject without customer", "stranger", "/test"): 1,
        ("no subscription then", "nobody", "/test"): 1,
        ("subject without customer", "edge/1", "/test"): 1,  # the day before it belongs to anybody
        ("in a pause", "quiet", "/night"): 1,
        ("unpriced dimension", 'edge tokens {"model":"new"}', ""): 7,
    }
    visits = next(row for row in found if row["leak"] == "unmetered type")
    assert (visits["first_seen"], visits["last_seen"]) == ("2026-10-07T10:00:00+00:00", "2026-10-07T10:00:00+00:00")
    assert deployment.rows("SELECT sum(events) FROM v_leaks WHERE leak = 'in a pause'") == [(1,)]
