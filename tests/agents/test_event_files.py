"""Files of usage: every line that is not blank is an event or says why it is none, under its number."""

from __future__ import annotations

import io
import json
from hashlib import sha256
from pathlib import Path

import pytest

from agents.event_files import EventFile, FileRefused, Format
from agents.publishing import Position, PositionRefused, Run, read_position, write_position
from schemas.event_mapping import EventMapping

MAPPING = EventMapping(source="/x", type="call", subject="{key}", id=("id",), measures={"n": "{n}"})
CSV = b'\xef\xbb\xbfid,key,n\n1,a,5\n\n2,"b\nc",6\n3,d\n4,\xff,7\n5,e,8\n6,f,"9" 9\n7,g,10\n'


def lines(content: bytes, kind: Format, mapping: EventMapping | None = None) -> list[tuple[int, object]]:
    found = []
    for line in EventFile(io.BytesIO(content), kind, mapping):
        subject = None if line.value is None else json.loads(line.value).get("subject")
        found.append((line.number, subject or line.fault))
    return found


def test_rows_keep_their_line_numbers_and_one_bad_row_spoils_no_other() -> None:
    assert lines(CSV, "csv", MAPPING) == [
        (2, "a"), (4, "b\nc"), (6, "has 2 values for 3 columns"), (7, "is not UTF-8"), (8, "e"),
        (9, "is no CSV: ',' expected after '\"'"), (10, "g"),
    ]  # fmt: skip


def test_a_cloudevent_per_line_is_taken_as_it_is() -> None:
    assert lines(b'{"subject": "a"}\r\n\n  {"subject": "b"}', "json") == [(1, "a"), (3, "b")]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "line 1: a CSV file begins"),
        (b"id,key\n", "no column 'n'; there are id, key"),
        (b"id,key,n,n\n", "line 1: two columns have the same name"),
    ],
)
def test_a_file_without_the_columns_of_its_mapping_is_refused_as_a_whole(content: bytes, said: str) -> None:
    with pytest.raises(FileRefused, match=said):
        lines(content, "csv", MAPPING)


CONTENT = b"".join(b'{"subject": "%d"}\n' % number for number in range(9))


def begun(lines_taken: int, options: str = "v1") -> tuple[Run, Position]:
    run = Run(EventFile(io.BytesIO(CONTENT), "json"), options=options)
    run.skip(lines_taken)
    return run, run.position


def test_a_position_says_which_bytes_are_done_and_survives_as_a_whole(tmp_path: Path) -> None:
    _, position = begun(4)
    file = tmp_path / "usage.position"
    assert read_position(file) is None
    write_position(file, position)
    assert read_position(file) == position
    assert position.bytes_read == 4 * 17
    assert position.sha256 == sha256(CONTENT[: 4 * 17]).hexdigest()
    file.write_text(file.read_text()[:-5])
    with pytest.raises(PositionRefused, match="is no position file"):
        read_position(file)


def test_a_run_goes_on_behind_what_was_published_and_only_in_the_same_file_read_in_the_same_way() -> None:
    _, position = begun(4)
    again, _ = begun(0)
    again.resume(position)
    assert again.published.skipped == 4
    assert again.position == position
    other, _ = begun(0, options="v2")
    with pytest.raises(PositionRefused, match="another mapping"):
        other.resume(position)
    edited = Run(EventFile(io.BytesIO(CONTENT.replace(b'"2"', b'"x"')), "json"), options="v1")
    with pytest.raises(PositionRefused, match="not the one whose beginning"):
        edited.resume(position)
    cut = Run(EventFile(io.BytesIO(CONTENT[:20]), "json"), options="v1")
    with pytest.raises(PositionRefused, match="not the one whose beginning"):
        cut.resume(position)
