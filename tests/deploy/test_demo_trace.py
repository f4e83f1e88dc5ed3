"""A request trace: one event per request, exactly the totals of its rows, clear errors for another format."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from deploy.demo import trace

ROWS = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:17:03.9799600,4808,10
2023-11-16 23:59:59.9999999,3180,8
2023-11-17 00:00:00.0000000,110,27
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "trace.csv"
    file.write_text(text, encoding="utf-8")
    return file


def test_each_request_is_one_event_with_its_tokens_and_its_time_as_recorded(tmp_path: Path) -> None:
    batches = list(trace.batches(trace.read(written(tmp_path, ROWS))))
    events = [json.loads(value) for batch in batches for _, value in batch.records]
    assert [(e["id"], e["time"], e["data"]["tokens_in"], e["data"]["tokens_out"]) for e in events] == [
        ("request-1", "2023-11-16T18:17:03.9799600Z", 4808, 10),
        ("request-2", "2023-11-16T23:59:59.9999999Z", 3180, 8),
        ("request-3", "2023-11-17T00:00:00.0000000Z", 110, 27),
    ]
    assert {key for batch in batches for key, _ in batch.records} == {b"trace/code"}


def test_days_are_followed_by_a_tick_and_the_last_tick_ends_the_grace_of_the_month(tmp_path: Path) -> None:
    found = trace.read(written(tmp_path, ROWS))
    assert found.start == datetime(2023, 11, 1, tzinfo=UTC)
    assert [(len(batch.records), batch.tick_at) for batch in trace.batches(found)] == [
        (2, datetime(2023, 11, 17, tzinfo=UTC)),
        (1, datetime(2023, 11, 18, tzinfo=UTC)),
        (0, datetime(2023, 12, 1, 6, tzinfo=UTC)),
    ]


def test_the_truth_is_the_sum_of_the_rows(tmp_path: Path) -> None:
    assert trace.truth_of(trace.read(written(tmp_path, ROWS))).totals == {
        ("trace", "tokens_in", "code"): Decimal(8098),
        ("trace", "tokens_out", "code"): Decimal(45),
        ("trace", "requests", ""): Decimal(3),
    }


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "line 1: expected TIMESTAMP"),
        ("a,b,c\n", "line 1: expected TIMESTAMP,ContextTokens,GeneratedTokens, found a,b,c"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n", "no request"),
        (ROWS + "yesterday,1,2\n", "line 5: yesterday,1,2"),
        (ROWS + "2023-11-16 18:17:03,1\n", "line 5"),
        (ROWS + "2023-11-16 18:17:03,1.5,2\n", "line 5"),
    ],
)
def test_another_format_is_refused_with_the_line(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(trace.TraceUnreadable, match=complaint):
        trace.read(written(tmp_path, text))


SHARED = Path(__file__).parents[3] / "shared" / "data" / "llm-inference-trace.csv"


@pytest.mark.skipif(not SHARED.exists(), reason="the shared trace lies beside the checkout only where it was laid")
def test_the_real_trace_comes_to_what_a_few_lines_of_python_say() -> None:
    with SHARED.open(newline="") as file:
        rows = list(csv.DictReader(file))
    truth = trace.truth_of(trace.read(SHARED))
    assert truth.produced == len(rows) == 8819
    assert truth.totals["trace", "tokens_in", "code"] == sum(int(row["ContextTokens"]) for row in rows)
    assert truth.totals["trace", "tokens_out", "code"] == sum(int(row["GeneratedTokens"]) for row in rows)
