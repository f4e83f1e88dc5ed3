"""An invoice taken apart to its events, proven in a signed file and computed again: by the commands themselves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from schemas.invoice import Invoice
from tests.deployments import Deployment
from tests.stories import october
from tests.stories.test_looking import answer, tally

pytestmark = pytest.mark.services


async def test_an_invoice_is_proven_to_the_event(deployment: Deployment, tmp_path: Path) -> None:
    deployment.line()
    invoices = await october.play(deployment)
    await _explained(deployment)
    await _evidence(deployment, tmp_path, invoices)
    await _computed_again(deployment)
    await _shadow(deployment, tmp_path)


async def _explained(deployment: Deployment) -> None:
    found = await answer(deployment, "explain", "over:tokens", "--days", "31", "--events", "3")
    # 20 x 10 on the 15th, 5 in the last millisecond of the month; 9,999 came after the close.
    assert [(day["start"][:10], day["events"], day["value"]) for day in found["days"]] == [
        ("2026-10-15", 20, "200"), ("2026-10-31", 1, "5")
    ]  # fmt: skip
    assert [(group["values"], group["events"], group["value"]) for group in found["groups"]] == [
        ({"model": None}, 21, "205")
    ]
    assert found["raw"] == "kept"
    seen = list(found["events"])
    while found["next"]["after"]:
        arguments = ("over:tokens", "--days", "31", "--events", "9", "--after", found["next"]["after"])
        found = await answer(deployment, "explain", *arguments)
        seen += found["events"]
    assert len({(event["partition"], event["offset"]) for event in seen}) == len(seen) == 21
    assert sum(int(event["value"]) for event in seen) == 205
    log = {(record.partition, record.offset): record.value for record in await deployment.records("usage.events")}
    for event in seen:
        assert json.loads(log[event["partition"], event["offset"]])["id"] == event["id"]
    shown = (await tally(deployment, "explain", "INV-000002:2")).stdout
    assert "0.615" in shown
    assert "2026-10-15 00:00" in shown

    unknown = await tally(deployment, "explain", "over:token")
    assert (unknown.returncode, "did you mean tokens?" in unknown.stderr) == (4, True)


async def _evidence(deployment: Deployment, folder: Path, invoices: tuple[Invoice, ...]) -> None:
    deployment.settings = deployment.settings.model_copy(update={"signing_key": folder / "keys" / "signing.pem"})
    refused = await tally(deployment, "evidence", "over")
    assert (refused.returncode, "tally keys create" in refused.stderr) == (1, True)
    public = (await answer(deployment, "keys", "create"))["public_key"]
    assert (await tally(deployment, "keys", "show")).stdout.strip() == public
    for invoice in invoices:
        file = folder / f"{invoice.number}.json"
        await answer(deployment, "evidence", str(invoice.number), "--out", str(file))
        found = await answer(deployment, "verify", str(file), "--key", public)
        assert (found["verified"], found["events"]) == (True, {"edge": 12, "over": 21, "quiet": 0}[invoice.customer])
    # One event of the log left out, by somebody who holds no key.
    content = json.loads(file.with_name("INV-000002.json").read_text())
    content["events"].pop()
    file.write_text(json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False))
    done = await tally(deployment, "verify", str(file), "--key", public)
    assert (done.returncode, "events: partition" in done.stderr) == (5, True)


async def _computed_again(deployment: Deployment) -> None:
    found = await answer(deployment, "replay", "--period", "2026-10")
    assert (found["identical"], len(found["verdicts"])) == (True, 6)
    assert (await answer(deployment, "replay", "--period", "2026-11"))["verdicts"] == []
    both = await tally(deployment, "replay", "edge", "--period", "2026-10")
    assert (both.returncode, "exclude each other" in both.stderr) == (1, True)


async def _shadow(deployment: Deployment, folder: Path) -> None:
    file = folder / "candidate.toml"
    file.write_text(october.CATALOGUE.replace('amount = "20.00"', 'amount = "22.00"').replace("0.003", "0.002"))
    found = await answer(deployment, "whatif", "--plan", "small", "--catalogue", str(file), "--period", "2026-10")
    # 4,003.5 x 0.002 = 8.007 instead of 12.0105; 205 x 0.002 = 0.41 instead of 0.615; the fee is 2.00 dearer
    assert [(one["customer"], one["billed"], one["candidate"], one["difference"]) for one in found["customers"]] == [
        ("edge", "32.01", "30.01", "-2.00"), ("quiet", "20.00", "22.00", "2.00"), ("over", "26.87", "28.66", "1.79"),
    ]  # fmt: skip
    assert [(one["billed"], one["candidate"]) for one in found["totals"]] == [("78.88", "80.67")]
    assert found["outliers"] == []
    unknown = await tally(deployment, "whatif", "--plan", "smal", "--catalogue", str(file))
    assert (unknown.returncode, "did you mean small?" in unknown.stderr) == (4, True)
