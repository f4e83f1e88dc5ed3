"""A month of usage becomes the invoices that a person computes by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from agents.crash_points import Step
from schemas.invoice import Invoice
from tests.builders import moment
from tests.command_line import Tally
from tests.deployments import Deployment
from tests.stories import october

pytestmark = pytest.mark.services


async def test_a_month_of_usage_is_drafted_in_its_grace_and_becomes_the_invoices_computed_by_hand(
    deployment: Deployment, tally: Tally
) -> None:
    deployment.worker("ingest")
    dying = deployment.worker("billing", crash_at=f"{Step.DRAFTED}:before:1", instance="billing")
    await october.begin(deployment)
    await deployment.publish(october.OF_OCTOBER)
    await deployment.tick(october.IN_GRACE)
    assert await deployment.until(lambda: dying.exit_code, "the worker dies before it notes its drafts") == -9
    deployment.worker("billing", instance="billing")
    first = await drafted(deployment, "drafted", 3)
    assert told(first) == [("edge", "01:00", "32.01"), ("over", "01:00", "26.60"), ("quiet", "01:00", "20.00")]
    shown = {row["customer"]: row["status"] for row in await tally.json("invoices")}
    assert shown == dict.fromkeys(october.PLANS, "draft")
    assert "draft until 11-01 06:00" in await tally.said("invoices", "--customer", "over")
    over = next(each["data"]["id"] for each in first if each["subject"] == "over")
    assert "26.60" in (said := await tally.said("invoice", over[:8]))
    assert "until the end of grace" in said
    # Half an hour later nothing is drafted; at the next hour only what late usage changed.
    await deployment.publish(october.LATE)
    await deployment.tick(moment("2026-11-01 01:30"))
    await deployment.tick(moment("2026-11-01 02:10"))
    both = await drafted(deployment, "drafted", 4)
    assert told(both) == sorted([*told(first), ("over", "02:10", "26.87")])
    await deployment.tick(october.CLOSES)
    await deployment.publish(october.TOO_LATE)
    invoices = await deployment.invoices(len(october.PLANS))
    october.check(invoices)
    drafts = await drafted(deployment, "replaced", 3)
    assert {each["data"]["customer"]: each["data"]["replaced_by"] for each in drafts} == {
        invoice.customer: invoice.id for invoice in invoices
    }
    assert {row["status"] for row in await tally.json("invoices")} == {"open"}
    messages = {(record.key, record.value) for record in await deployment.records("billing.invoices")}
    assert len(messages) == 3 + 4 + 3 + 3, "each event once, or again with the same bytes"
    assert {invoice.status for invoice in invoices} == {"open"}
    assert {invoice.issued_at for invoice in invoices} == {october.CLOSES}
    graduated = next(line.rated for line in invoices[1].lines if line.rated.charge == "calls")
    assert [(f"{tier.units:f}", f"{tier.amount:f}") for tier in graduated.tiers] == [
        ("10", "0"),
        ("10", "6"),
        ("1", "0.25"),
    ]
    # What consumers read is what is stored: one event per invoice, and the latest document under its id.
    published = await deployment.announced()
    published = [each for each in published if each["type"] == "tally.invoice.finalized.v1"]
    by_number = sorted((Invoice.model_validate(each["data"]) for each in published), key=lambda each: each.number or "")
    assert tuple(by_number) == invoices
    latest = {record.key: record.value for record in await deployment.records("billing.invoices-latest")}
    assert {key: Invoice.model_validate_json(value or b"") for key, value in latest.items()} == {
        invoice.id.encode(): invoice for invoice in invoices
    }


async def drafted(deployment: Deployment, transition: str, count: int) -> list[dict[str, Any]]:
    """The events of drafts with a transition, each id once, as soon as so many are stored: they are published then."""
    sql = f"SELECT count() FROM drafts FINAL WHERE replaced = {int(transition == 'replaced')}"
    await deployment.until(lambda: deployment.rows(sql)[0][0] >= count, f"{count} drafts are {transition}")
    events = {each["id"]: each for each in await deployment.announced()}
    return [each for each in events.values() if each["type"] == f"tally.invoice.{transition}.v1"]


def told(events: Sequence[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """(customer, time, total) of drafts."""
    return sorted((each["data"]["customer"], each["time"][11:16], each["data"]["totals"]["total"]) for each in events)


async def test_sealed_totals_hold_every_event_also_where_a_partition_holds_none(deployment: Deployment) -> None:
    deployment.line()
    await deployment.apply(october.CATALOGUE)
    await deployment.begin(october.BEGINS)
    ends = await deployment.logs.end_offsets("usage.events")
    assert ends == (0, 0, 0)
    key, value = october.OF_OCTOBER[-1]
    for partition in (1, 2):  # nothing is ever in partition 0
        await deployment.logs.append(
            "usage.events", key, value.replace(b"event-", b"copy-%d-" % partition), partition=partition
        )
    await deployment.tick(october.IN_GRACE)
    sealed = "SELECT events, total FROM pane_totals FINAL WHERE meter = 'tokens' AND subject = 'over/1'"
    assert await deployment.until(lambda: deployment.rows(sealed), "the pane is sealed") == [(2, 20)]
