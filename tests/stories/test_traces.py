"""Real traffic gives exactly the totals that a few lines of independent Python give."""

from __future__ import annotations

import csv
import os
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from agents.cli.stage import catalogue_files
from agents.publisher import Record
from deploy.demo import trace
from schemas.invoice import Invoice
from tests.builders import event, moment
from tests.deployments import ROOT, Deployment

pytestmark = pytest.mark.services

SHARED = Path(os.environ.get("TALLY_TEST_TRACES") or ROOT.parent / "shared" / "data")
ABSENT = "the shared traces lie beside the checkout only where they were laid; TALLY_TEST_TRACES names another folder"
LLM, ACCESS = SHARED / "llm-inference-trace.csv", SHARED / "access.log"

SITE = """
[[meters]]
id = "bytes"
event_types = ["http.request"]
aggregation = "sum"
value = "bytes"
group_by = ["client"]

[[meters]]
id = "requests"
event_types = ["http.request"]
aggregation = "count"
group_by = ["client"]

[[plans]]
id = "site"
currency = "USD"
anchor = "calendar"
grace = "PT6H"

[[plans.rate_cards]]
id = "traffic"
meter = "bytes"
price = { model = "per_unit", unit_price = "0.00000001" }

[[plans.rate_cards]]
id = "requests"
meter = "requests"
price = { model = "per_unit", unit_price = "0.0001" }
"""


@pytest.mark.skipif(not LLM.exists(), reason=ABSENT)
async def test_the_requests_of_a_language_model_are_billed_to_the_token(deployment: Deployment) -> None:
    found = trace.read(LLM)
    deployment.line()
    await deployment.stage.apply_catalogue(catalogue_files())
    await deployment.attribute({trace.SUBJECT: trace.CUSTOMER}, found.start)
    await deployment.begin(found.start)
    await deployment.subscribe({trace.CUSTOMER: trace.PLAN}, found.start)
    for batch in trace.batches(found):
        await deployment.publish(batch.records)
        await deployment.tick(batch.tick_at)
    (invoice,) = await deployment.invoices(1)
    with LLM.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert totals(invoice) == {
        "tokens_in": sum(int(row["ContextTokens"]) for row in rows),
        "tokens_out": sum(int(row["GeneratedTokens"]) for row in rows),
        "requests": len(rows),
    }
    assert len(rows) == 8819


@pytest.mark.skipif(not ACCESS.exists(), reason=ABSENT)
async def test_the_requests_to_a_web_server_are_billed_to_the_byte_per_client(deployment: Deployment) -> None:
    lines = ACCESS.read_text(encoding="utf-8").splitlines()
    start, end = moment("2015-05-01 00:00"), moment("2015-06-01 06:00")
    deployment.line()
    await deployment.apply(SITE)
    await deployment.attribute({line.split()[0]: "semicomplete" for line in lines}, start)
    await deployment.begin(start)
    await deployment.subscribe({"semicomplete": "site"}, start)
    await deployment.publish(requests(lines))
    await deployment.tick(end)
    (invoice,) = await deployment.invoices(1)
    sizes, counts = Counter[str](), Counter[str]()
    for line in lines:  # client - - [time] "request" status bytes "referrer" "agent"
        client, size = line.split()[0], re.sub(r'^[^"]*"(\\.|[^"\\])*" \d+ (\S+).*$', r"\2", line)
        counts[client] += 1
        sizes[client] += 0 if size == "-" else int(size)
    assert groups(invoice, "bytes") == sizes
    assert groups(invoice, "requests") == counts
    assert totals(invoice) == {"bytes": sum(sizes.values()), "requests": 10_000}


def requests(lines: list[str]) -> Iterator[Record]:
    """One event per line, at its time; where no bytes were sent the log has a dash, and the event no number."""
    for number, line in enumerate(lines, start=1):
        client, rest = line.split(" ", 1)
        time = datetime.strptime(rest[rest.index("[") + 1 : rest.index("]")], "%d/%b/%Y:%H:%M:%S %z").astimezone(UTC)
        status, size = rest.split('" ')[1].split()[:2]
        data = {"client": client, "status": status} | ({} if size == "-" else {"bytes": int(size)})
        yield event(client, f"{time:%Y-%m-%d %H:%M:%S}", data, type="http.request", id=f"line-{number}")


def totals(invoice: Invoice) -> dict[str, Decimal]:
    """Meter -> billed quantity."""
    return {line.rated.meter: line.rated.quantity for line in invoice.lines if line.rated.meter}


def groups(invoice: Invoice, meter: str) -> dict[str | None, Decimal]:
    """Client -> quantity."""
    (line,) = (line.rated for line in invoice.lines if line.rated.meter == meter)
    return {group.values["client"]: group.quantity for group in line.groups}
