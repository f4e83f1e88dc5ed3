"""The crash run in short: everything dies, some of it forty times, and every record is accounted for afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.settings import Settings
from tests.crash.run import run
from tests.crash.sabotage import KINDS
from tests.crash.size import SHORT
from tests.services import Services

pytestmark = pytest.mark.services


async def test_after_forty_kills_nothing_is_lost_nothing_doubled_and_a_replay_gives_the_same_bytes(
    settings: Settings, services: Services, tmp_path: Path
) -> None:
    verdict = await run(settings, services, tmp_path, SHORT, seed=4, told=print)
    assert verdict.differences == []
    assert verdict.kills >= 40 and verdict.zombies >= 1
    assert verdict.checked >= verdict.events >= SHORT.events
    assert verdict.redelivered[0] * 1000 < verdict.redelivered[1]
    assert verdict.caught == [*KINDS], "the proof sees a row that is dropped, doubled or shifted"
