"""A refused record is mended and counted, sent again, or waived; each ends settled, with the proof."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from agents.dead_letters import replay, waive
from agents.store.dead_letters import DeadLetterStore, StoredLetter
from agents.topics import DEAD_LETTERS
from pipeline.mending import mended
from schemas.resolution import LogPosition
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


async def test_a_waiver_without_a_reason_is_refused(deployment: Deployment) -> None:
    letter = StoredLetter(
        LogPosition(topic="usage.events", partition=0, offset=0), "invalid_json", "", "", None, (), b"{",
        datetime(2026, 10, 5, tzinfo=UTC), "open",
    )  # fmt: skip
    with pytest.raises(ValueError, match="to waive usage needs a reason"):
        await waive(deployment.logs, letter, actor="test", reason=" ")
