"""Collection as stories: paid, declined and recovered, declined to the end, and a rebuild that charges nobody again."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from agents.crash_points import Step
from agents.store.ledger_looks import LedgerLooks
from tests.builders import moment
from tests.command_line import tally
from tests.deployments import ROOT, Deployment, WorkerProcess

pytestmark = pytest.mark.services

D = Decimal
BEGINS, ISSUED = moment("2027-01-01 00:00"), moment("2027-02-01 06:00")
DUE = ISSUED + timedelta(days=14)
NOWHERE = "11111111-1111-5111-8111-111111111111"
CATALOGUE = """
[[plans]]
id = "basic"
currency = "EUR"
anchor = "calendar"
dunning = { days = [0, 3], patience = "4 d", at_end = "cancel" }
[[plans.rate_cards]]
id = "fee"
price = { model = "flat", amount = "20.00" }
"""


@contextmanager
def payment_service(deployment: Deployment, behaviour: str) -> Iterator[None]:
    """The sample payment service, as a process of its own."""
    settings = deployment.settings
    command = [sys.executable, "-m", "deploy.payments", "--kafka", settings.kafka, "--prefix", settings.topic_prefix,
               "--behaviour", behaviour]  # fmt: skip
    with subprocess.Popen(command, cwd=ROOT) as process:
        try:
            yield
        finally:
            process.terminate()


async def billed(deployment: Deployment, customers: tuple[str, ...] = ("acme",)) -> WorkerProcess:
    """January is invoiced: 20.00 each, due on 15 February; the billing worker."""
    deployment.worker("ingest")
    worker = deployment.worker("billing", instance="billing")
    await deployment.apply(CATALOGUE)
    await deployment.begin(BEGINS)
    await deployment.subscribe(dict.fromkeys(customers, "basic"), BEGINS)
    await deployment.tick(ISSUED)
    invoices = await deployment.invoices(len(customers))
    assert {(str(each.balance.open), each.due_at) for each in invoices} == {("20.00", DUE)}
    return worker


async def status(deployment: Deployment, wanted: str, at: datetime | None = None, count: int = 1) -> None:
    """Returns once so many invoices have a status."""
    if at is not None:
        await deployment.tick(at)
    sql = f"SELECT count() FROM invoices FINAL WHERE status = '{wanted}'"
    await deployment.until(lambda: deployment.rows(sql)[0][0] >= count, f"{count} invoices are {wanted}")


async def subscription(deployment: Deployment, wanted: str) -> None:
    sql = "SELECT status FROM subscriptions FINAL"
    await deployment.until(lambda: {row[0] for row in deployment.rows(sql)} == {wanted}, f"subscriptions are {wanted}")


async def ageing(deployment: Deployment) -> Any:
    """Currency -> days overdue -> what acme owes."""
    return json.loads((await tally(deployment, "statement", "acme", "--json")).stdout)["ageing"]


async def kinds(deployment: Deployment, topic: str, field: str) -> list[str]:
    return [json.loads(record.value or b"")[field] for record in await deployment.records(topic)]


async def act(deployment: Deployment, action: str, request: str, document: str, **told: object) -> None:
    """A command about a document of acme, as a bank or a payment service appends it."""
    command = {"command": "act_on_document", "action": action, "document_id": document, "customer": "acme",
               "request_id": request, "actor": "bank", "reason": "transfer", **told}  # fmt: skip
    await deployment.logs.append("billing.commands", b"acme", json.dumps(command).encode())


def balances(deployment: Deployment) -> dict[str, str]:
    looks = LedgerLooks(deployment.db)
    assert looks.faults() == []
    return {book: f"{amount.normalize():f}" for _, book, amount in looks.trial_balance() if amount}


async def test_an_invoice_is_paid_when_it_is_due_and_told_once(deployment: Deployment) -> None:
    await billed(deployment)
    with payment_service(deployment, "twice"):
        await status(deployment, "paid", DUE)
    (request,) = [json.loads(r.value or b"") for r in await deployment.records("billing.payment-requests")]
    assert (request["amount"], request["attempt"], request["currency"]) == ("20.00", 1, "EUR")
    assert balances(deployment) == {"cash": "20", "revenue": "-20"}
    notices = "SELECT count() FROM notices WHERE toString(key) IN (SELECT key FROM sent_records)"
    await deployment.until(lambda: deployment.rows(notices)[0][0] >= 2, "both notices are sent")
    assert sorted(await kinds(deployment, "billing.alerts", "kind")) == ["paid", "past_due"]
    events = [each["type"].split(".")[2] for each in await deployment.announced()]
    assert events[0] == "finalized"
    assert events[-2:] == ["payment_received", "paid"]
    await sent_back(deployment)


async def sent_back(deployment: Deployment) -> None:
    """Of 20.00 that were paid 12.50 are asked back once, and not collected again; more than came is refused."""
    asked = ("payment", "refund", "INV-000001", "12.50", "--reason", "goodwill", "--json")
    (dry, done, beyond) = [
        await tally(deployment, *each)
        for each in ((*asked, "--dry-run"), (*asked, "--request-id", "once"),
                     ("payment", "refund", "INV-000001", "7.51", "--reason", "more"))
    ]  # fmt: skip
    assert json.loads(dry.stdout)["owed_again"] == "12.5", dry.stderr
    assert (done.returncode, beyond.returncode) == (0, 1), done.stderr
    assert "7.50 EUR came for INV-000001 and can be sent back, not 7.51" in beyond.stderr
    assert (await tally(deployment, *asked, "--request-id", "once")).returncode == 0  # the same request
    with payment_service(deployment, "twice"):
        await status(deployment, "open")
    assert balances(deployment) == {"cash": "7.5", "receivable": "12.5", "revenue": "-20"}
    shown = (await tally(deployment, "payment", "show", "INV-000001")).stdout
    assert "is open: 12.5 of 20 EUR is open; 7.5 can be sent back" in shown
    assert "dunning has nothing to do" in shown
    notices = "SELECT count() FROM notices WHERE toString(key) IN (SELECT key FROM sent_records)"
    await deployment.until(lambda: deployment.rows(notices)[0][0] >= 3, "the notice of it is sent")
    assert (await kinds(deployment, "billing.alerts", "kind"))[-1] == "payment_refunded"
    requests = [json.loads(r.value or b"") for r in await deployment.records("billing.payment-requests")]
    assert [(each.get("kind"), each.get("refund_amount")) for each in requests] == [(None, None), ("refund", "12.50")]


async def test_a_declined_payment_is_tried_again_and_the_subscription_recovers(deployment: Deployment) -> None:
    await billed(deployment)
    with payment_service(deployment, "decline-first"):
        await deployment.tick(DUE)
        await subscription(deployment, "past_due")
        attempts = "SELECT JSONExtractString(receivable, 'attempts', 1, 'state') FROM invoices FINAL"
        await deployment.until(lambda: deployment.rows(attempts) == [("failed",)], "the first attempt failed")
        await status(deployment, "paid", DUE + timedelta(days=3))
        await subscription(deployment, "active")
    notices = "SELECT count() FROM notices WHERE toString(key) IN (SELECT key FROM sent_records)"
    await deployment.until(lambda: deployment.rows(notices)[0][0] >= 3, "the notices are sent")
    assert sorted(await kinds(deployment, "billing.alerts", "kind")) == ["paid", "past_due", "payment_failed"]
    assert balances(deployment) == {"cash": "20", "revenue": "-20"}


async def test_an_invoice_that_nobody_pays_is_given_up_and_a_rebuild_charges_nobody(
    deployment: Deployment, rebuilt: Deployment
) -> None:
    await billed(deployment)
    stray = {"id": "stray", "outcome": "succeeded", "document": NOWHERE, "amount": "7.00", "currency": "EUR"}
    await act(deployment, "payment", "stray", NOWHERE, result=stray)
    await act(deployment, "refund", "back", NOWHERE, payment="stray", amount="7.00")
    with payment_service(deployment, "decline"):
        for day in (0, 3):
            await deployment.tick(DUE + timedelta(days=day))
            failed = (
                f"SELECT count() FROM invoices FINAL WHERE countSubstrings(receivable, '\"failed\"') = {1 + day // 3}"
            )
            await deployment.until(lambda sql=failed: deployment.rows(sql) == [(1,)], f"attempt of day {day} failed")
        assert await ageing(deployment) == {"EUR": {"1-30": "20"}}
        await status(deployment, "uncollectible", DUE + timedelta(days=7))
        await subscription(deployment, "canceled")
        sent = "SELECT count() FROM refund_requests WHERE toString(key) IN (SELECT key FROM sent_records)"
        await deployment.until(lambda: deployment.rows(sent) == [(1,)], "the refund is asked for")
    assert balances(deployment) == {"bad_debt": "20", "cash": "7", "revenue": "-20", "unapplied": "-7"}
    assert await kinds(deployment, "billing.payment-requests", "currency") == ["EUR"] * 3  # two attempts, a refund
    for worker in deployment.workers:
        worker.stop()
    before = {
        topic: await deployment.logs.end_offsets(topic) for topic in ("billing.payment-requests", "billing.alerts")
    }
    original = documents(deployment)
    rebuilt.worker("ingest")
    rebuilt.worker("billing", instance="billing")
    await status(rebuilt, "uncollectible")
    await asyncio.sleep(2)  # time enough for a collector that would ask again
    assert documents(rebuilt) == original
    assert balances(rebuilt) == balances(deployment)
    assert before == {topic: await rebuilt.logs.end_offsets(topic) for topic in before}


def documents(deployment: Deployment) -> list[tuple[Any, ...]]:
    return list(deployment.rows("SELECT number, status, document, receivable FROM invoices FINAL ORDER BY number"))


async def test_a_worker_without_outputs_asks_nobody_for_money(deployment: Deployment, rebuilt: Deployment) -> None:
    worker = await billed(deployment)
    assert worker.stop() == 0
    await deployment.tick(DUE)
    dying = deployment.worker("billing", crash_at=f"{Step.REQUEST}:before:1", instance="billing")
    await deployment.until(lambda: dying.exit_code, "a worker dies that has decided a request and not sent it")
    silent = [rebuilt.worker(name, outputs="off") for name in ("ingest", "billing")]
    await rebuilt.invoices(1)
    decided = "SELECT count() FROM payment_requests"
    await rebuilt.until(lambda: rebuilt.rows(decided) == [(1,)], "the request is decided here too")
    await asyncio.sleep(2)  # time enough for a collector, if there were one
    assert await kinds(rebuilt, "billing.payment-requests", "attempt") == []
    for each in silent:
        each.kill()
    deployment.worker("billing", instance="billing")
    with payment_service(deployment, "success"):
        await status(deployment, "paid")
    assert await kinds(deployment, "billing.payment-requests", "attempt") == [1]


@pytest.mark.parametrize("step", [Step.DUN, Step.REQUEST, Step.NOTIFY, Step.CARRY], ids=str)
async def test_a_worker_killed_around_a_step_of_collection_charges_once(deployment: Deployment, step: Step) -> None:
    worker = await billed(deployment)
    assert worker.stop() == 0
    await deployment.tick(DUE)
    for place in (f"{step}:before:1", f"{step}:after:1"):
        dying = deployment.worker("billing", crash_at=place, instance="billing")
        code = await deployment.until(lambda it=dying: it.exit_code, f"the worker dies at {place}")
        assert code == -9, dying.said()
    deployment.worker("billing", instance="billing")
    with payment_service(deployment, "success"):
        await status(deployment, "paid")
        await subscription(deployment, "active")
    notices = "SELECT count() FROM notices WHERE toString(key) IN (SELECT key FROM sent_records)"
    await deployment.until(lambda: deployment.rows(notices)[0][0] >= 2, "both notices are sent")
    assert await kinds(deployment, "billing.payment-requests", "attempt") == [1]
    assert sorted(await kinds(deployment, "billing.alerts", "kind")) == ["paid", "past_due"]
    assert balances(deployment) == {"cash": "20", "revenue": "-20"}


async def test_a_bank_transfer_is_recorded_once_and_the_books_say_so(deployment: Deployment) -> None:
    await billed(deployment)
    assert await ageing(deployment) == {"EUR": {"not due": "20"}}
    for _ in range(2):  # the same reference of the bank
        done = await tally(deployment, "payment", "record", "INV-000001", "25.00", "--reference", "bank 77",
                           "--reason", "transfer", "--json")  # fmt: skip
    assert done.returncode == 1, done.stderr  # refused: it was booked before
    await status(deployment, "paid")
    assert await ageing(deployment) == {}
    assert balances(deployment) == {"cash": "25", "customer_balance": "-5", "revenue": "-20"}
    told = json.loads((await tally(deployment, "statement", "acme", "--json")).stdout)
    assert [(line["what"], line["amount"], line["balance"]) for line in told["lines"]] == [
        ("invoiced", "20.000000000000", "20.000000000000"), ("paid", "-25.000000000000", "-5.000000000000"),
    ]  # fmt: skip
    assert (await tally(deployment, "ledger", "--check")).returncode == 0
    # The fee of January was earned in January, and billed in February.
    asked = (("ledger", "trial-balance", "--at", "2027-02-01"), ("revenue", "--at", "2027-02-02"), ("mrr",))
    balance, revenue, recurring = [json.loads((await tally(deployment, *each, "--json")).stdout) for each in asked]
    assert [(each["book"], each["debit"], each["credit"]) for each in balance["balances"]] == [
        ("revenue", "", "20"), ("unbilled_revenue", "20", ""),
    ]  # fmt: skip
    (euros,) = revenue
    assert [euros[name] for name in ("invoiced", "recognised", "deferred", "unbilled")] == ["20", "20", "0", "0"]
    assert [(each["month"], each["gained"], each["closed"]) for each in recurring] == [("2027-01-01", "20", "20")]
    chart = deployment.folder / "chart.toml"
    chart.write_text('receivable = "9001"\n', encoding="utf-8")
    journal = deployment.folder / "journal.jsonl"
    assert (await tally(deployment, "ledger", "export", str(journal), "--chart", str(chart))).returncode == 0
    rows = [json.loads(line) for line in journal.read_text("utf-8").splitlines()]
    assert sum(D(row["debit"] or "0") - D(row["credit"] or "0") for row in rows) == 0
    assert {row["account"] for row in rows if row["book"] == "receivable"} == {"9001"}
    assert [row["debit"] for row in rows if row["cause"] == "recognised"] == ["", "20"]
    deployment.db.execute("ALTER TABLE postings DELETE WHERE book = 'cash' SETTINGS mutations_sync = 2")
    assert (await tally(deployment, "ledger", "--check")).returncode == 5
    deployment.db.execute("TRUNCATE TABLE postings")


async def test_money_for_an_unknown_document_is_kept_apart_and_a_result_may_come_before_its_request(
    deployment: Deployment,
) -> None:
    await billed(deployment)
    (invoice,) = await deployment.invoices(1)
    strays = (("stray", NOWHERE, "7.00"), ("early", invoice.id, "20.00"))
    for name, document, amount in (*strays, strays[1]):  # the early one twice
        result = {"id": name, "outcome": "succeeded", "document": document, "attempt": 1, "amount": amount,
                  "currency": "EUR", "detail": ""}  # fmt: skip
        await act(deployment, "payment", name, document, result=result)
    await act(
        deployment, "payment", "broken", invoice.id, result={"id": "x", "outcome": "succeeded", "currency": "EUR"}
    )
    await status(deployment, "paid")
    told = "SELECT detail FROM command_outcomes FINAL WHERE NOT accepted AND startsWith(request_id, 'unreadable/')"
    await deployment.until(lambda: deployment.rows(told), "a result that says too little is refused")
    assert "request broken is no command: act_on_document.result" in deployment.rows(told)[0][0]
    await deployment.tick(DUE)
    await asyncio.sleep(2)  # time enough for a request, if there were one
    assert await kinds(deployment, "billing.payment-requests", "attempt") == []
    assert balances(deployment) == {"cash": "27", "revenue": "-20", "unapplied": "-7"}
