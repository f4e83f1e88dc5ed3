"""What a person sees where there is no terminal: plain lines, not too many, and standard output free for JSON."""

from __future__ import annotations

import json

import pytest

from agents.cli import screen as module
from agents.cli.screen import Screen


def test_a_wait_without_a_terminal_is_plain_lines_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with Screen().wait("publishing", 5000, "events") as wait:
        wait.advance(2000)
        wait.to(5000)
    out, err = capsys.readouterr()
    assert out == ""
    first, last = err.splitlines()
    assert first == "publishing …"
    assert last.startswith("  ✓ publishing: 5,000 events in ")
    assert last.endswith(" events/s")


def test_progress_is_said_at_most_every_two_seconds_and_not_twice(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    with Screen().wait("storing", 9000, "records") as wait:
        for seconds, done in ((1.0, 10), (1.5, 2000), (1.5, 4000), (1.5, 4000), (1.5, 4000), (16.0, 4000)):
            now[0] += seconds
            wait.to(done)
    said = [line.split(" · ")[0].strip() for line in capsys.readouterr().err.splitlines()[1:-1]]
    assert said == ["2,000 of 9,000 records", "4,000 of 9,000 records", "4,000 of 9,000 records"]


def test_a_wait_that_fails_does_not_claim_success(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(LookupError), Screen().wait("closing", 6, "invoices"):
        raise LookupError
    assert "✓" not in capsys.readouterr().err


def test_json_is_alone_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(json_only=True)
    screen.say("for a person")
    screen.table("title", ("name", ">count"), [("a", 1)])
    screen.document({"euro": "€", "n": 1})
    out, err = capsys.readouterr()
    assert json.loads(out) == {"euro": "€", "n": 1}
    assert "for a person" in err
    assert "title" in err


def test_a_table_aligns_columns_marked_so_to_the_right(capsys: pytest.CaptureFixture[str]) -> None:
    Screen().table("", ("name", ">count"), [("a", "7"), ("b", "1,000")])
    rows = [line.rstrip() for line in capsys.readouterr().out.splitlines() if line.strip()[:1] in ("a", "b")]
    assert [row.split() for row in rows] == [["a", "7"], ["b", "1,000"]]
    assert len({len(row) for row in rows}) == 1


def test_a_cell_is_shown_as_it_is_brackets_and_all(capsys: pytest.CaptureFixture[str]) -> None:
    Screen().table("", ("name", "value"), [("rate_cards[output]", "[bold]")])
    assert "rate_cards[output]   [bold]" in capsys.readouterr().out


def test_downloads_are_waits_of_the_screen(capsys: pytest.CaptureFixture[str]) -> None:
    downloads = Screen().downloads()
    downloads.say("two files, 300 MB")
    downloads.begin("kafka", 3000)
    downloads.advance(3000)
    downloads.end()
    out, err = capsys.readouterr()
    assert out == "two files, 300 MB\n"
    assert "✓ kafka: 3,000 bytes" in err
