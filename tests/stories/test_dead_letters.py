"""A refused record is mended and counted, sent again, or waived; each ends settled, with the proof."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from agents.dead_letters import replay, waive
from agents.store.dead_letters import DeadLetterStore, StoredLetter
from agents.topics import DEAD_LETTERS
from pipeline.intake.mending import mended
from schemas.resolution import LogPosition
from tests.command_line import answer, tally
from tests.deployments import Deployment
from tests.stories.test_identity import begun, billed, event

pytestmark = pytest.mark.services


async def letters(deployment: Deployment) -> list[StoredLetter]:
    await deployment.stored()
    await deployment.stored(DEAD_LETTERS)
    return DeadLetterStore(deployment.db).letters()


async def test_a_mended_record_counts_at_its_original_time_and_the_letter_says_where_it_went(
    deployment: Deployment,
) -> None:
    await begun(deployment)
    broken = event("a", 5).replace(b'"tokens": 5', b'"tokens": 1e15')
    await deployment.publish([(b"acme", broken), (b"acme", event("b", 7))])
    (letter,) = await letters(deployment)
    assert (letter.reason, letter.state, letter.value) == ("number_out_of_range", "open", broken)
    value = mended(letter.value, letter.appended_at, {"data.tokens": 5})
    sent = await replay(deployment.logs, letter, value, actor="test", reason="a unit too small")
    (letter,) = await letters(deployment)
    assert (letter.state, letter.replayed_as, letter.actor) == ("event", sent, "test")
    at = deployment.rows("SELECT ts FROM events FINAL WHERE id = 'a'")
    assert at == [(datetime(2026, 10, 5, 10, tzinfo=UTC),)]
    assert await billed(deployment) == Decimal("12.00")


async def test_sending_twice_counts_once_and_sending_the_broken_one_again_is_dead_again(deployment: Deployment) -> None:
    await begun(deployment)
    await deployment.publish([(b"acme", b"{"), (b"acme", event("a", 5))])
    (letter,) = await letters(deployment)
    await replay(deployment.logs, letter, b"{", actor="test", reason="")
    again = await letters(deployment)
    assert [found.state for found in again] == ["dead again", "open"]
    await replay(deployment.logs, letter, event("a", 5), actor="test", reason="it was this one")
    assert [found.state for found in await letters(deployment)] == ["duplicate", "open"]
    await waive(deployment.logs, again[1], actor="test", reason="a test")
    assert [found.state for found in await letters(deployment)] == ["duplicate", "waived"]
    assert await billed(deployment) == Decimal("5.00")


async def test_the_commands_settle_every_letter_with_proof(deployment: Deployment) -> None:
    await begun(deployment)
    broken = event("a", 5).replace(b'"tokens": 5', b'"tokens": 1e15')
    await deployment.publish([(b"acme", broken), (b"acme", b"{")])
    names = {"specversion": "1.0", "source": "/test", "type": "llm.request", "subject": "acme"}
    headers = [*((f"ce_{name}", text.encode()) for name, text in names.items()), ("ce_time", b"2026-10-05T10:00:00Z")]
    await deployment.logs.append("usage.events", b"acme", b'{"tokens":3}', headers=headers)
    await letters(deployment)
    listed = await answer(deployment, "dead-letters", "list", "--each")
    places = {row["refused for"]: row["position"] for row in listed}
    assert {row["state"] for row in listed} == {"open"}
    shown = await answer(deployment, "dead-letters", "show", places["number_out_of_range"])
    assert shown["help"].startswith("A number in data is 10^15 or more.")
    await _fixed(deployment, places)
    await answer(deployment, "dead-letters", "list", "--check", code=5)
    (left,) = await answer(deployment, "dead-letters", "replay", "--reason", "invalid_json", "--dry-run")
    assert (left["accepted"], left["position"]) == (False, places["invalid_json"])
    await answer(deployment, "dead-letters", "waive", "--reason", "invalid_json", "--why", "line noise")
    await letters(deployment)
    found = await answer(deployment, "dead-letters", "list", "--check")
    assert {row["refused for"]: row["state"] for row in found} == {
        "number_out_of_range": "event", "missing_attribute": "event", "invalid_json": "waived"
    }  # fmt: skip
    assert await billed(deployment) == Decimal("8.00")


async def _fixed(deployment: Deployment, places: dict[str, str]) -> None:
    """A dry run says what would be and sends nothing; what would be refused again is not sent at all."""
    fix = ("dead-letters", "fix", places["number_out_of_range"], "--set", "data.tokens=5")
    (tried,) = await answer(deployment, *fix, "--dry-run")
    assert (tried["accepted"], tried["sent_as"]) == (True, None)
    again = await tally(deployment, *fix[:3], "--set", "data.tokens=2e15")
    assert (again.returncode, "would be refused again: number_out_of_range" in again.stderr) == (1, True)
    (sent,) = await answer(deployment, *fix, "--why", "a unit too small")
    assert sent["sent_as"].startswith("usage.events/")
    await answer(deployment, "dead-letters", "fix", places["missing_attribute"], "--set", "id=b")
    await letters(deployment)
    at = deployment.rows("SELECT id, ts, data FROM events FINAL ORDER BY id")
    ten = datetime(2026, 10, 5, 10, tzinfo=UTC)
    assert [(row[0], row[1]) for row in at] == [("a", ten), ("b", ten)]
    assert at[1][2] == '{"tokens":3}'


async def test_a_waiver_without_a_reason_is_refused(deployment: Deployment) -> None:
    letter = StoredLetter(
        LogPosition(topic="usage.events", partition=0, offset=0), "invalid_json", "", "", None, (), b"{",
        datetime(2026, 10, 5, tzinfo=UTC), "open",
    )  # fmt: skip
    with pytest.raises(ValueError, match="to waive usage needs a reason"):
        await waive(deployment.logs, letter, actor="test", reason=" ")
