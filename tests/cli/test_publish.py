"""Publishing a file: keys are subjects, and the command line says what a file is."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.publisher import Publisher, subject_of
from agents.settings import Settings
from tests.cli.test_frame import run


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("usage.csv",), 1, "a CSV file needs a mapping"),
        (("usage.csv", "--mapping", "typo.toml"), 1, "typo.toml: subjet: Extra inputs are not permitted"),
        (("usage.csv", "--mapping", "broken.toml"), 1, "broken.toml: "),
        (("usage.csv", "--mapping", "other.toml"), 1, "line 1: there is no column 'user'; there are at, key"),
        (("usage.csv", "--mapping", "absent.toml"), 4, "absent.toml"),
        (("usage.jsonl", "--source", "/x"), 2, "says itself what it is"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_before_anything_is_sent(
    tmp_path: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    mapping = 'source = "/x"\ntype = "call"\nsubject = "{user}"\ntime = "{at}"\n'
    files = {
        "usage.csv": "at,key\n", "usage.jsonl": "", "typo.toml": mapping + 'subjet = "x"' ,
        "broken.toml": "source =", "other.toml": mapping,
    }  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    done = run("publish", *arguments, home=tmp_path, TALLY_KAFKA="127.0.0.1:1")
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


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
