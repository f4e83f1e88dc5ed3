"""Publishing lines: chunks in order, after those that were published before; keys are subjects."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from agents.cli import publish as module
from agents.publisher import Publisher, subject_of
from agents.settings import Settings


def test_lines_are_published_in_order_without_blank_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_LINES", 2)
    lines = io.BytesIO(b"a\n\nb\r\n  c  \nd\ne")
    assert list(module._chunks(lines, 0)) == [[b"a", b"b"], [b"c", b"d"], [b"e"]]


@pytest.mark.parametrize(("skip", "left"), [(0, b"abc"), (1, b"bc"), (2, b"c"), (3, b""), (9, b"")])
def test_lines_that_were_published_before_are_left_out(skip: int, left: bytes) -> None:
    chunks = module._chunks(io.BytesIO(b"a\nb\nc\n"), skip)
    assert b"".join(line for chunk in chunks for line in chunk) == left


@pytest.mark.parametrize(("kept", "position"), [("1200", 1200), ("1200\n", 1200), ("", 0), ("half a numb", 0)])
def test_a_run_goes_on_after_the_last_acknowledged_line(tmp_path: Path, kept: str, position: int) -> None:
    file = tmp_path / "usage.jsonl.position"
    file.write_text(kept)
    assert module._kept(file) == position
    assert module._kept(tmp_path / "absent") == 0


@pytest.mark.parametrize(
    ("event", "key"),
    [
        (b'{"subject": "acme/key-7"}', b"acme/key-7"),
        ('{"subject": "zoë"}'.encode(), "zoë".encode()),
        (b'{"subject": ""}', None),
        (b'{"subject": 7}', None),
        (b"{}", None),
        (b"{", None),
        (b"\xff", None),
    ],
)
def test_the_key_is_the_subject_and_what_has_none_that_can_be_read_has_no_key(event: bytes, key: bytes | None) -> None:
    assert subject_of(event) == key


def test_records_are_spread_by_key_in_order_and_without_a_key_by_content_so_that_a_rerun_agrees() -> None:
    publisher = Publisher(Settings(), "usage.events", partitions=4)
    records = [(b"acme" if n % 3 else None, b"%d" % n) for n in range(60)]
    spread = publisher.spread(records)
    assert spread == Publisher(Settings(), "usage.events", partitions=4).spread(records)
    assert sorted(value for part in spread for _, value in part) == sorted(value for _, value in records)
    (home,) = {place for place, part in enumerate(spread) if any(key == b"acme" for key, _ in part)}
    assert [value for key, value in spread[home] if key] == [value for key, value in records if key]
    assert sum(bool(part) for part in spread) == 4
