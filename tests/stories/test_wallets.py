"""Prepaid credits as a story: grants that expire, bought credits, a recharge that is declined; and a rebuild."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from agents.crash_points import Step
from agents.store.credits import CreditStore
from agents.store.ledger_looks import LedgerLooks
from pipeline.wallets.wallet import balance, wallet_of
from schemas.document_log import DOCUMENT_RECORD, CreditAction
from tests.builders import moment
from tests.command_line import Tally
from tests.deployments import Deployment
from tests.stories.test_collection import payment_service

pytestmark = pytest.mark.services

D = Decimal
CUSTOMERS = ("acme", "bolt", "coil")
CATALOGUE = """
[[plans]]
id = "basic"
currency = "EUR"
anchor = "calendar"
dunning = { days = [0, 3], patience = "60 d" }
[[plans.rate_cards]]
id = "fee"
price = { model = "flat", amount = "20.00" }
"""
OUTPUTS = ("billing.payment-requests", "billing.alerts")


def left(deployment: Deployment) -> dict[str, tuple[str, ...]]:
    """Customer -> burnt, expired and left of all its grants, as the view has them."""
    rows = deployment.rows(
        "SELECT customer, toString(sum(burnt)), toString(sum(expired)), toString(sum(amount_left)) FROM v_credits "
        "GROUP BY customer"
    )
    return {row[0]: tuple(row[1:]) for row in rows}


async def stands(deployment: Deployment, wanted: Mapping[str, tuple[str, ...]]) -> None:
    """Returns once the wallets are so."""
    await deployment.until(lambda: left(deployment) == dict(wanted), f"credits are {wanted}, not {left(deployment)}")


async def counted(deployment: Deployment, question: str, count: int) -> None:
    """Returns once so many rows answer a question."""
    await deployment.until(lambda: deployment.rows(f"SELECT count() FROM {question}") == [(count,)], question)


def billed(deployment: Deployment) -> dict[tuple[str, datetime], tuple[str, str]]:
    """(customer, end of the period) -> total and amount due of its fee."""
    rows = deployment.rows(
        "SELECT customer, period_end, toString(total), toString(amount_due) FROM invoices FINAL "
        "WHERE number != '' AND period_end > period_start"
    )
    return {(row[0], row[1]): (row[2], row[3]) for row in rows}


def assert_one_truth(deployment: Deployment) -> None:
    """The wallet folded from its entries, the view, and the books say the same; everything adds up."""
    looks, store = LedgerLooks(deployment.db), CreditStore(deployment.db)
    assert looks.faults() == []
    at = deployment.last
    assert at is not None
    for customer in CUSTOMERS:
        wallet = wallet_of(store.entries([customer]))
        assert wallet == store.wallets([customer])[customer]
        (seen,) = deployment.rows(f"SELECT sum(usable) FROM v_credits WHERE customer = '{customer}'")
        assert balance(wallet, "EUR", at.time) == seen[0]
        for held in wallet.grants.values():
            assert held.granted == held.burnt + held.expired + held.revoked + held.withdrawn + held.left


async def test_grants_expire_credits_are_bought_and_a_declined_recharge_stops(
    deployment: Deployment, rebuilt: Deployment, tally: Tally
) -> None:
    deployment.line()
    await deployment.apply(CATALOGUE)
    await deployment.begin(moment("2027-01-01 00:00"))
    await deployment.subscribe(dict.fromkeys(CUSTOMERS, "basic"), moment("2027-01-01 00:00"))
    why = ("--reason", "a story")
    await tally.said("credits", "grant", "acme", "45.00", "--treatment", "payment", "--expires", "2027-03-01",
                     "--request-id", "gift", *why)  # fmt: skip
    await tally.said("credits", "grant", "acme", "30.00", "--funding", "paid", "--request-id", "bought", *why)
    assert "no charge 'fees'" in await tally.refused("credits", "grant", "acme", "1.00", "--only", "fees", *why)
    await tally.said("credits", "top-up", "bolt", "50.00", "--days", "365", "--request-id", "order", *why)
    await tally.said(
        "credits", "recharge", "coil", "--below", "50.00", "--amount", "20.00", "--per-month", "20.00", *why
    )
    await counted(deployment, "credit_entries FINAL WHERE kind = 'ordered'", 2)

    # Both sales are invoiced and asked for at once; the first attempt of each is declined: nothing can be used.
    with payment_service(deployment, "decline-first"):
        await deployment.tick(moment("2027-01-02 00:00"))
        await counted(deployment, "invoices FINAL WHERE countSubstrings(receivable, '\"failed\"') = 1", 2)
        assert left(deployment).keys() == {"acme"}
        await deployment.tick(moment("2027-01-03 00:00"))
        # The second attempts succeed. The cap of the month lets coil buy no more, though its balance is low.
        await deployment.tick(moment("2027-01-05 00:00"))
        await stands(deployment, {"acme": ("0", "0", "75"), "bolt": ("0", "0", "50"), "coil": ("0", "0", "20")})

        # January is paid by credits; of acme the gift first, as it expires. Coil buys again: a new month.
        await deployment.tick(moment("2027-02-01 06:00"))
        await stands(deployment, {"acme": ("20", "0", "55"), "bolt": ("20", "0", "30"), "coil": ("20", "0", "0")})
        await counted(deployment, "credit_entries FINAL WHERE kind = 'ordered'", 3)

        # February: what is left of the gift pays it although it has expired since; the rest of it is gone.
        # Coil's second sale is declined, so it buys nothing in March; its fee is owed.
        await deployment.tick(moment("2027-03-01 06:00"))
        await counted(deployment, "invoices FINAL WHERE number != ''", 3 + 6)
        await stands(deployment, {"acme": ("40", "5", "30"), "bolt": ("40", "0", "10"), "coil": ("20", "0", "0")})
        await counted(
            deployment, "invoices FINAL WHERE countSubstrings(receivable, '\"failed\"') = 1 AND open_amount > 0", 1
        )

        # March: bolt's credits do not suffice, and coil's sale is paid by its second attempt.
        await deployment.tick(moment("2027-04-01 06:00"))
        await stands(deployment, {"acme": ("60", "5", "10"), "bolt": ("50", "0", "0"), "coil": ("20", "0", "20")})

    ends = {moment(f"2027-0{month}-01 00:00"): month for month in (2, 3, 4)}
    due = {(who, ends[end]): owed for (who, end), owed in billed(deployment).items()}
    assert due == {
        ("acme", 2): ("20", "0"), ("acme", 3): ("20", "0"), ("acme", 4): ("20", "0"), ("bolt", 2): ("20", "0"),
        ("bolt", 3): ("20", "0"), ("bolt", 4): ("20", "10"), ("coil", 2): ("20", "0"), ("coil", 3): ("20", "20"),
        ("coil", 4): ("20", "20"),
    }  # fmt: skip
    assert_one_truth(deployment)
    await said(tally)
    await a_rebuild_buys_nothing(deployment, rebuilt)


async def said(tally: Tally) -> None:
    """What people and programs are told."""
    shown = await tally.json("credits", "list", "acme")
    assert shown["balances"] == {"EUR": "10.00"}
    assert [(grant["id"], grant["state"], grant["left"]) for grant in shown["grants"]] == [
        ("gift", "expired", "0.00"), ("bought", "usable", "10.00"),
    ]  # fmt: skip
    assert "45.00" in await tally.said("credits", "history", "acme")
    assert {row["customer"] for row in await tally.json("credits", "list")} == set(CUSTOMERS)
    assert "was paid for" in await tally.refused("credits", "revoke", "acme", "bought", "--reason", "a story")
    books = {each["book"]: each["credit"] for each in (await tally.json("ledger", "--check"))["balances"]}
    assert (books["prepaid_credits"], books["revenue"]) == ("30", "180")
    statement = await tally.json("statement", "acme")
    assert statement["credits"]["balances"] == {"EUR": "10.00"}


async def a_rebuild_buys_nothing(deployment: Deployment, rebuilt: Deployment) -> None:
    """Another database over the same topics: the same wallets, and nobody is asked for money again.

    Its first worker is killed when entries are stored and the documents that they belong to are not.
    """
    for worker in deployment.workers:
        worker.stop()
    before = {topic: await deployment.logs.end_offsets(topic) for topic in OUTPUTS}
    ordered = await orders(deployment)
    rows = "SELECT customer, k_offset, place, record FROM credit_entries FINAL ORDER BY customer, k_offset, place"
    original = deployment.rows(rows)
    rebuilt.worker("ingest")
    dying = rebuilt.worker("billing", crash_at=f"{Step.FINAL}:before:2", instance="billing")
    await rebuilt.until(lambda: dying.exit_code, "a worker dies between a wallet and its documents")
    rebuilt.worker("billing", instance="billing")
    await rebuilt.until(lambda: rebuilt.rows(rows) == original, "the wallets are there again")
    await asyncio.sleep(1)  # time enough for a collector that would ask again
    assert rebuilt.rows(rows) == original
    assert before == {topic: await rebuilt.logs.end_offsets(topic) for topic in OUTPUTS}
    assert await orders(rebuilt) == ordered


async def orders(deployment: Deployment) -> set[str]:
    """Sales that commands have asked for."""
    found: list[dict[str, Any]] = [
        json.loads(each.value or b"") for each in await deployment.records("billing.commands")
    ]
    log = [
        DOCUMENT_RECORD.validate_json(each.value or b"") for each in await deployment.records("billing.finalisations")
    ]
    assert any(isinstance(record, CreditAction) and record.action == "expire" for record in log)
    return {each["request_id"] for each in found if each["command"] == "top_up"}
