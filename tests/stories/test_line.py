"""The line as a whole: what is published is stored, once, by real workers on real servers."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.deployments import Deployment

pytestmark = pytest.mark.services


async def test_every_record_is_stored_in_the_order_of_its_partition(deployment: Deployment) -> None:
    deployment.worker("ingest")
    await deployment.begin(datetime(2026, 10, 1, tzinfo=UTC))
    await deployment.publish([(b"key", b"{}")] * 10)
    assert sum((await deployment.stored()).values()) == 10
    dead = deployment.rows("SELECT k_offset, reason, payload FROM dead_letters FINAL ORDER BY k_offset")
    assert dead == [(offset, "not_an_event", "{}") for offset in range(10)]
