"""Rows become events by a mapping; the same rows become the same ids, however often and in whichever copy they come."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.intake.access_log import columns_of
from pipeline.intake.event_rows import RowReader, RowRefused
from schemas.event_mapping import ACCESS_LOG, EventMapping

LLM: dict[str, Any] = {
    "source": "/trace",
    "type": "llm.request",
    "subject": "acme/{key}",
    "time": "{at}",
    "measures": {"tokens": "{n}"},
    "dimensions": {"model": "large", "region": "{region}"},
}
ROW = {"key": "7", "at": "2026-10-05 10:00:00.1239", "n": "12.50", "region": ""}
LINE = (
    '83.149.9.216 - - [17/May/2015:10:05:03 +0000] "GET /a%20b?q=\\"x\\" HTTP/1.1" 200 203023 '
    '"http://example.org/" "Mozilla/5.0 (X11)"'
)


def read(row: dict[str, str], **changed: object) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(RowReader(EventMapping.model_validate({**LLM, **changed})).event(row))
    return event


def test_a_row_is_an_event_with_its_measures_as_written_and_without_empty_dimensions() -> None:
    event = read(ROW)
    assert {name: event[name] for name in ("specversion", "source", "type", "subject", "time", "data")} == {
        "specversion": "1.0", "source": "/trace", "type": "llm.request", "subject": "acme/7",
        "time": "2026-10-05T10:00:00.123+00:00", "data": {"model": "large", "tokens": "12.50"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "changed", "time"),
    [
        ("2026-10-05T10:00:00Z", {}, "2026-10-05T10:00:00.000+00:00"),
        ("2026-10-05 10:00", {"time_zone": "Europe/Berlin"}, "2026-10-05T10:00:00.000+02:00"),
        ("2026-10-05T10:00:00-05:00", {"time_zone": "Europe/Berlin"}, "2026-10-05T10:00:00.000-05:00"),
        ("05.10.2026 10:00", {"time_format": "%d.%m.%Y %H:%M"}, "2026-10-05T10:00:00.000+00:00"),
        ("2023-11-16 18:17:03.9799600", {}, "2023-11-16T18:17:03.979+00:00"),
    ],
)
def test_a_time_is_read_as_the_mapping_says(text: str, changed: dict[str, str], time: str) -> None:
    assert read({**ROW, "at": text}, **changed)["time"] == time


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"n": "many"}, "tokens: 'many' is no number"),
        ({"n": ""}, "tokens: '' is no number"),
        ({"n": "1,000"}, "tokens: '1,000' is no number"),
        ({"n": "NaN"}, "tokens: 'NaN' is no number"),
        ({"at": "yesterday"}, "time: 'yesterday'"),
        ({"region": "\udcff"}, "is not UTF-8"),
    ],
)
def test_a_row_that_cannot_be_read_is_refused_with_the_column(changed: dict[str, str], said: str) -> None:
    with pytest.raises(RowRefused, match=said):
        read({**ROW, **changed})


def test_columns_of_an_id_name_an_event_whatever_else_its_row_says() -> None:
    one, other = (read({**ROW, "request": "8f1c", "n": n}, id=["request"]) for n in ("1", "2"))
    assert one["id"] == other["id"] != read({**ROW, "request": "8f1d"}, id=["request"])["id"]


def test_without_them_equal_rows_are_told_apart_by_how_often_they_came_and_repeat_their_ids() -> None:
    def ids(*rows: dict[str, str]) -> list[str]:
        reader = RowReader(EventMapping.model_validate(LLM))
        return [json.loads(reader.event(row))["id"] for row in rows]

    later = {**ROW, "at": "2026-10-05 10:00:01"}
    first = ids(ROW, later, ROW)
    assert len(set(first)) == 3
    assert ids(ROW, ROW) == [first[0], first[2]]
    assert ids(later, ROW) == [first[1], first[0]]


def test_a_row_more_than_a_day_out_of_order_needs_an_id_of_its_own() -> None:
    reader = RowReader(EventMapping.model_validate(LLM))
    for at in ("2026-10-05 10:00", "2026-10-04 10:00", "2026-10-05 11:00"):
        reader.event({**ROW, "at": at})
    with pytest.raises(RowRefused, match="name the columns of its id"):
        reader.event({**ROW, "at": "2026-10-04 10:59"})


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"time": None}, "id: name the columns of the identity, or a time"),
        ({"time_zone": "Mars/Base"}, "there is no time zone 'Mars/Base'"),
        ({"dimensions": {"tokens": "{n}"}}, "'tokens' is a measure already"),
    ],
)
def test_a_mapping_that_says_nothing_or_two_things_is_refused(changed: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        EventMapping.model_validate({**LLM, **changed})


def test_a_line_of_an_access_log_is_a_request_with_its_bytes() -> None:
    row = columns_of(LINE)
    assert row == {
        "host": "83.149.9.216", "ident": "", "user": "", "time": "17/May/2015:10:05:03 +0000",
        "request": 'GET /a%20b?q=\\"x\\" HTTP/1.1', "method": "GET", "path": "/a%20b", "query": 'q=\\"x\\"',
        "protocol": "HTTP/1.1", "status": "200", "bytes": "203023", "referer": "http://example.org/",
        "agent": "Mozilla/5.0 (X11)",
    }  # fmt: skip
    event = json.loads(RowReader(ACCESS_LOG).event(row, LINE))
    assert (event["subject"], event["time"]) == ("83.149.9.216", "2015-05-17T10:05:03.000+00:00")
    assert event["data"] == {"bytes": "203023", "method": "GET", "path": "/a%20b", "status": "200"}


@pytest.mark.parametrize("line", ["", LINE[:-1], LINE + " x", LINE.replace("200", "OK"), '- - - [x] "GET'])
def test_what_is_no_line_of_the_format_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="is no line of the combined log format"):
        columns_of(line)


def test_a_request_that_sent_nothing_counts_no_bytes() -> None:
    assert columns_of(LINE.replace("203023", "-"))["bytes"] == "0"
    assert columns_of(LINE[: LINE.index(' "http')])["agent"] == ""  # the common format has no agent
