"""A month of usage becomes the invoices that a person computes by hand."""

from __future__ import annotations

import pytest

from schemas.invoice import Invoice
from tests.deployments import Deployment
from tests.stories import october

pytestmark = pytest.mark.services


async def test_a_month_of_usage_becomes_the_invoices_computed_by_hand(deployment: Deployment) -> None:
    deployment.line()
    invoices = await october.play(deployment)
    october.check(invoices)
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
    assert {each["type"] for each in published} == {"tally.invoice.finalized.v1"}
    by_number = sorted((Invoice.model_validate(each["data"]) for each in published), key=lambda each: each.number or "")
    assert tuple(by_number) == invoices
    latest = {record.key: record.value for record in await deployment.records("billing.invoices-latest")}
    assert {key: Invoice.model_validate_json(value or b"") for key, value in latest.items()} == {
        invoice.id.encode(): invoice for invoice in invoices
    }


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
