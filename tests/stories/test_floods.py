"""One source's flood of broken usage only alerts; from three sources on, the worker stops: then the mistake is ours."""

from __future__ import annotations

import pytest

from agents.publisher import Record
from tests.builders import event, events
from tests.deployments import Deployment
from tests.stories import october

pytestmark = pytest.mark.services

FAILED = 70


def broken(count: int, *sources: str) -> list[Record]:
    """Events without a readable time, the sources in turn."""
    readable = [event("a", "2026-10-05 10:00", source=sources[number % len(sources)]) for number in range(count)]
    return [(key, value.replace(b"2026-10-05T10:00:00+00:00", b"yesterday")) for key, value in readable]


async def test_one_sources_flood_alerts_and_three_sources_stop_the_worker(deployment: Deployment) -> None:
    worker = deployment.worker("ingest")
    await deployment.begin(october.BEGINS)
    await deployment.publish([*broken(11_000, "/flood"), *events("a", "2026-10-05 10:00", 500)])
    await deployment.stored()
    assert deployment.rows("SELECT count() FROM events FINAL") == [(500,)], "the others go on"
    assert deployment.rows("SELECT records FROM v_dead_letters WHERE source = '/flood'") == [(11_000,)]
    assert "alert: " in worker.log.read_text(encoding="utf-8") and worker.exit_code is None

    worker.may_die = True
    await deployment.publish(broken(12_000, "/one", "/two", "/three"))
    assert await deployment.until(lambda: worker.exit_code, "the worker stops") == FAILED
    assert "TooManyRefused" in worker.log.read_text(encoding="utf-8")
    stored = deployment.rows("SELECT count() FROM dead_letters FINAL")[0][0]
    assert stored < 11_000 + 12_000, "what would have buried everything is not stored"

    deployment.worker("ingest", flood_stops=False)
    await deployment.stored()
    assert deployment.rows("SELECT count() FROM dead_letters FINAL") == [(23_000,)]
