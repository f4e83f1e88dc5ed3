"""Files and programs as producers: killed, run again, run twice; every event is there, and counts once."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agents.producer import Producer
from agents.publishing import CHUNK_LINES, read_position
from tests.builders import attributes, moment
from tests.deployments import ROOT, Deployment, environment

pytestmark = pytest.mark.services

BEGINS = moment("2026-10-01 00:00")
LINES = 12 * CHUNK_LINES


def command(deployment: Deployment, *arguments: object) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "agents.cli", "publish", *map(str, arguments)]
    return subprocess.Popen(
        words, env=environment(deployment.settings), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def run(deployment: Deployment, *arguments: object) -> tuple[int | None, dict[str, object]]:
    process = command(deployment, *arguments, "--json")
    out, said = process.communicate(timeout=60)
    assert out, said
    return process.returncode, json.loads(out)


async def test_a_file_goes_on_where_a_killed_run_came_to_and_its_bad_lines_are_told_with_their_numbers(
    deployment: Deployment,
) -> None:
    await deployment.begin(BEGINS)
    file = deployment.folder / "usage.jsonl"
    with file.open("w") as lines:
        for number in range(LINES):
            event = attributes(f"s-{number % 50}", "2026-10-05 10:00", {"n": number}, id=f"e-{number}")
            lines.write((json.dumps(event) if number % 20_000 != 9_999 else "broken") + "\n")
    position = Path(f"{file}.position")
    first = command(deployment, file)
    deadline = time.monotonic() + 60
    while not position.exists():
        assert first.poll() is None and time.monotonic() < deadline, first.communicate()
    first.kill()
    first.communicate()
    kept = read_position(position)
    assert kept is not None
    sent_before = sum(await deployment.logs.end_offsets("usage.events"))
    assert kept.accepted + kept.refused < LINES, "the run was over before it was killed"
    code, told = await asyncio.to_thread(run, deployment, file, "--resume")
    assert code == 1
    assert (told["accepted"], told["refused"]) == (LINES - 3, 3)
    assert told["skipped"] == kept.accepted + kept.refused
    refusals = told["refusals"]
    assert isinstance(refusals, list)
    expected = [10_000, 30_000, 50_000]
    assert [each["line"] for each in refusals] == [number for number in expected if number > int(str(told["skipped"]))]
    assert not position.exists()
    sent = sum(await deployment.logs.end_offsets("usage.events"))
    # What was sent and not noted is sent again: at most the chunk that was under way.
    assert LINES - 3 <= sent <= LINES - 3 + CHUNK_LINES
    assert sent_before >= kept.accepted
    deployment.worker("ingest")
    await deployment.stored()
    assert deployment.rows("SELECT count(), uniqExact(id) FROM events FINAL") == [(LINES - 3, LINES - 3)]


async def test_access_logs_tables_and_programs_may_send_everything_twice(deployment: Deployment) -> None:
    await deployment.begin(BEGINS)
    folder = deployment.folder
    request = '10.0.0.%d - - [05/Oct/2026:10:00:%02d +0000] "GET /a HTTP/1.1" 200 %d "-" "agent"'
    log = [request % (number % 7, number // 10, number % 3) for number in range(500)]
    (folder / "access.log").write_text("\n".join([*log, log[0], "cut off"]))
    (folder / "access.log.1").write_text("\n".join(log[:300]))  # an earlier copy, rotated away
    (folder / "table.csv").write_text("at,key,n\n2026-10-05 10:00:00,a,1.5\n2026-10-05 10:00:00,a,1.5\n")
    (folder / "map.toml").write_text(
        'source="/table"\ntype="call"\nsubject="{key}"\ntime="{at}"\n[measures]\ntokens="{n}"\n'
    )
    for _ in range(2):
        code, told = await asyncio.to_thread(run, deployment, folder / "access.log", "--subject", "web/{host}")
        assert (code, told["accepted"], told["refused"]) == (1, 501, 1)
        code, _ = await asyncio.to_thread(
            run, deployment, folder / "access.log.1", "--format", "access-log", "--subject", "web/{host}"
        )
        assert code == 0
        code, told = await asyncio.to_thread(run, deployment, folder / "table.csv", "--mapping", folder / "map.toml")
        assert (code, told["accepted"]) == (0, 2)
        await produce(deployment)
    deployment.worker("ingest")
    await deployment.stored()
    assert deployment.rows("SELECT type, count(), uniqExact(id) FROM events FINAL GROUP BY type ORDER BY type") == [
        ("call", 2, 2), ("http.request", 501, 501), ("job", 200, 200)
    ]  # fmt: skip
    total = "SELECT sum(JSONExtract(data, 'bytes', 'Decimal(38, 12)')) FROM events FINAL WHERE type = 'http.request'"
    assert deployment.rows(total) == [(sum(number % 3 for number in range(500)),)]
    assert deployment.rows("SELECT count() FROM dead_letters") == [(0,)]


async def produce(deployment: Deployment) -> None:
    at = datetime(2026, 10, 5, 12, tzinfo=UTC)
    async with Producer(source="/jobs", settings=deployment.settings) as usage:
        sends = (
            usage.send("job", subject=f"a/{n % 9}", of=("job", n), time=at + timedelta(seconds=n), data={"n": n})
            for n in range(200)
        )
        assert len(set(await asyncio.gather(*sends))) == 200
