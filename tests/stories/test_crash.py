"""A worker killed with SIGKILL before and after each write of its cycle loses nothing and doubles nothing.

A chain: the same work is begun by a worker that dies at the first place, taken up by one that dies at the next, and so
on; the last one lives. So every write was also repeated over whatever the writes before it had left behind.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from agents.commands import send
from agents.crash_points import BILLING, INGESTION, Step
from schemas.command import ActOnDocument, CommandOutcome, Subscribe
from tests.builders import event, events, retraction
from tests.deployments import Deployment
from tests.stories import october

pytestmark = pytest.mark.services

INGEST_CHAINS = (INGESTION,)
BILLING_CHAINS = (
    (Step.TICKS, Step.COPIES, Step.OUTCOMES, Step.TOLD, Step.RUNS, Step.STATES, Step.CLOCK, Step.ANSWERS),
    (Step.LATE, Step.FREEZE, Step.CLOSE, Step.CLOSED),
    (Step.RATE, Step.RATED, Step.FINALISE, Step.FINALISED),
    (Step.NUMBER, Step.PUBLISH),
    (Step.DECIDED, Step.BOOKED, Step.FINAL),
)
# In the stories of collection, of interims, of the month.
ELSEWHERE = (Step.DUN, Step.REQUEST, Step.NOTIFY, Step.CARRY, Step.THRESHOLD, Step.DRAFT, Step.DRAFTED)
FOR_EACH_CUSTOMER = (Step.CLOSE, Step.FINALISE, Step.PUBLISH)
GAPS = "SELECT topic, k_partition, gaps FROM v_ingest_coverage WHERE gaps > 0 OR covered < reached"


def test_every_write_is_in_a_chain() -> None:
    assert [step for chain in INGEST_CHAINS for step in chain] == list(INGESTION)
    assert [*(step for chain in BILLING_CHAINS for step in chain), *ELSEWHERE] == list(BILLING)


def places(step: Step) -> Sequence[str]:
    """Before and after a write; where it is done once per customer, also in the middle of them."""
    middle = (f"{step}:after:2",) if step in FOR_EACH_CUSTOMER else ()
    return (f"{step}:before:1", *middle, f"{step}:after:1")


async def die_at(deployment: Deployment, worker: str, chain: Sequence[Step]) -> None:
    """One worker after the other, each killed at its place; then one that lives.

    An instance name makes the group hand the partitions of the dead to the next one at once.
    """
    for step in chain:
        for place in places(step):
            dying = deployment.worker(worker, crash_at=place, instance=worker)
            code = await deployment.until(lambda it=dying: it.exit_code, f"the worker dies at {place}")  # type: ignore[misc]
            assert code == -9, f"{place}: {dying.said()}"
    deployment.worker(worker, instance=worker)


@pytest.mark.parametrize("chain", INGEST_CHAINS, ids="-".join)
async def test_an_ingest_worker_killed_around_a_write_loses_and_doubles_nothing(
    deployment: Deployment, chain: Sequence[Step]
) -> None:
    await deployment.begin(october.BEGINS)
    taken_back = event("a", "2026-10-03 10:00", {"tokens": 5}, id="taken back")
    copy = event("a", "2026-10-03 10:00", {"tokens": 7}, id="sent twice")
    records = [*events("a", "2026-10-02 10:00", 100, {"tokens": 1}), taken_back, copy, copy, (b"a", b"{broken")]
    await deployment.publish([*records, retraction("/test", "taken back", "a")])
    await die_at(deployment, "ingest", chain)
    await deployment.stored()
    assert deployment.rows("SELECT count(), uniqExact(id) FROM events FINAL") == [(102, 102)]
    assert deployment.rows("SELECT count() FROM counted_events_now") == [(101,)]
    assert deployment.rows("SELECT count() FROM corrections FINAL") == [(1,)]
    assert deployment.rows("SELECT reason, payload FROM dead_letters FINAL") == [("invalid_json", "{broken")]
    ledger = "SELECT events, corrections, dead_letters, covered FROM v_ingest_coverage WHERE topic = 'usage.events'"
    assert deployment.rows(ledger) == [(103, 1, 1, 105)]
    assert deployment.rows(GAPS) == []
    letters = {(each.key, each.value, each.headers) for each in await deployment.records("usage.dead-letters")}
    assert [(key, value) for key, value, _ in letters] == [(b"a", b"{broken")]


@pytest.mark.parametrize("chain", BILLING_CHAINS, ids="-".join)
async def test_a_billing_worker_killed_around_a_write_bills_once_and_the_same(
    deployment: Deployment, chain: Sequence[Step]
) -> None:
    deployment.worker("ingest")
    first = deployment.worker("billing", instance="billing")
    await october.begin(deployment)
    await deployment.publish([*october.OF_OCTOBER, *october.LATE])
    await deployment.stored()
    assert first.stop() == 0
    nothing = ActOnDocument(
        request_id="refused as well", actor="test", reason="a test", customer="edge", action="void", document_id="none"
    )
    commands = [subscribe("newcomer", "small", "refused too"), subscribe("stranger", "unknown", "refused"), nothing]
    await send(deployment.logs, commands)
    await deployment.tick(october.CLOSES)
    await die_at(deployment, "billing", chain)
    october.check(await deployment.invoices(len(october.PLANS)))
    await check_outputs(deployment)
    assert deployment.rows(GAPS) == []


def subscribe(customer: str, plan: str, request_id: str) -> Subscribe:
    return Subscribe(
        request_id=request_id, actor="test", reason="", customer=customer, subscription=customer, plan=plan,
        plan_version="1", starts_at=october.CLOSES,
    )  # fmt: skip


async def check_outputs(deployment: Deployment) -> None:
    """Topics may hold a record twice, with the same bytes; never two that differ."""
    for topic, distinct in (("billing.periods", 3), ("billing.invoices", 6), ("billing.invoices-latest", 3)):
        records = {(record.key, record.value) for record in await deployment.records(topic)}
        assert len(records) == distinct, topic
    subscriptions = {each["id"]: each for each in await deployment.announced("subscription")}
    assert sorted((each["subject"], each["type"]) for each in subscriptions.values()) == [
        (customer, "tally.subscription.created.v1") for customer in sorted(october.PLANS)
    ]
    documents = [json.loads(record.value or b"") for record in await deployment.records("billing.finalisations")]
    assert len({document["document_id"] for document in documents}) == 3
    answers = {record.value or b"" for record in await deployment.records("billing.command-outcomes")}
    outcomes = [CommandOutcome.model_validate_json(answer) for answer in answers]
    assert len(outcomes) == len({outcome.request_id for outcome in outcomes}) == 6
    assert {outcome.accepted for outcome in outcomes if outcome.customer == "stranger"} == {False}
