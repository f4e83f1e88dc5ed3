"""Log lines for programs: one JSON object per line, positions as fields of their own."""

from __future__ import annotations

import json
import logging
import sys

from agents.log_lines import JsonLines


def line(message: str, *arguments: object, extra: dict[str, object] | None = None, failure: bool = False) -> str:
    record = logging.LogRecord("agents.delivery", logging.WARNING, __file__, 1, message, arguments, None)
    record.__dict__.update(extra or {})
    if failure:
        try:
            raise ValueError("broken\nin two")
        except ValueError:
            record.exc_info = sys.exc_info()
    return JsonLines().format(record)


def test_a_line_has_its_position_as_fields_and_is_one_line() -> None:
    text = line(
        "%s stopped\nhere", "usage.events", extra={"topic": "usage.events", "partition": 3, "offset": 42, "x": 1}
    )
    found = json.loads(text)
    assert "\n" not in text
    assert found.pop("time").endswith("+00:00")
    assert found == {
        "level": "warning", "logger": "agents.delivery", "message": "usage.events stopped\nhere",
        "topic": "usage.events", "partition": 3, "offset": 42,
    }  # fmt: skip


def test_a_failure_is_told_with_its_traceback_in_one_field() -> None:
    found = json.loads(line("cannot go on", failure=True))
    assert found["exception"].endswith("ValueError: broken\nin two")
