"""`tally catalogue check` needs no service and little time, and tells every fault; what `show` makes of a catalogue."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from agents.catalogue_files import entries_of, example_folder, read_files
from agents.cli.catalogue import described, value_text

ROOT = Path(__file__).parents[2]
FAULTY = """
[[meters]]
id = "calls"
event_types = ["call"]
aggregation = "counts"

[[plans]]
id = "basic"
currency = "EURO"
[[plans.rate_cards]]
id = "use"
meter = "call"
price = { model = "per_unit", unit_prize = "0.5" }
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python where no service answers, with modules compiled once, as on any machine where they were used before."""
    compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(folder / "compiled")}
    nowhere = {"TALLY_KAFKA": "127.0.0.1:1", "TALLY_CLICKHOUSE": "http://127.0.0.1:1", "TALLY_HOME": str(folder)}
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **compiled, **nowhere},
        check=False,
        timeout=60,
    )


def check(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(folder, "-m", "agents.cli", "catalogue", "check", *arguments)


def processor_seconds(folder: Path, *arguments: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert run(folder, *arguments).returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_the_example_is_what_is_checked_by_default_and_has_no_fault(tmp_path: Path) -> None:
    done = check(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("No fault: 3 meters (tokens_in, tokens_out, requests); 2 plans (team, scale)")


def test_every_fault_is_told_with_file_table_field_and_what_would_be_right(tmp_path: Path) -> None:
    (tmp_path / "plans.toml").write_text(FAULTY)
    (tmp_path / "latin.txt").write_bytes(b"# caf\xe9")
    done = check(tmp_path, "plans.toml")
    assert done.returncode == 1
    told = done.stdout.splitlines()
    assert [line.split(": ")[:2] for line in told[:-1]] == [
        ["plans.toml:5", "meters[0].aggregation"],
        ["plans.toml:9", "plans[0].currency"],
        ["plans.toml:12", "plans[0].rate_cards[0].meter"],
        ["plans.toml:13", "plans[0].rate_cards[0].price.unit_price"],
        ["plans.toml:13", "plans[0].rate_cards[0].price.unit_prize"],
    ]
    assert "did you mean 'count'?" in told[0]
    assert 'use an ISO 4217 code such as "EUR"' in told[1]
    assert "did you mean 'calls'?" in told[2]
    assert told[3].endswith("is missing")
    assert "did you mean 'unit_price'?" in told[4]
    assert told[-1] == "5 faults in 1 file(s)."

    (tmp_path / "folder").mkdir()
    faults = json.loads(check(tmp_path, "plans.toml", "--json").stdout)["faults"]
    assert [sorted(fault) for fault in faults] == [["file", "line", "path", "problem"]] * 5
    assert check(tmp_path, "latin.txt").stdout.startswith("latin.txt: must be UTF-8 text; byte 5 is not")
    assert check(tmp_path, "folder").stdout.startswith("folder: must hold catalogue files (*.toml); there is none")
    (tmp_path / "broken.toml").write_text("[[plans]\n")
    assert check(tmp_path, "broken.toml", "plans.toml").stdout.startswith("broken.toml: is not TOML: ")
    assert check(tmp_path, "absent.toml").returncode == 4


def test_a_check_loads_nothing_that_only_services_need(tmp_path: Path) -> None:
    heavy = ("aiokafka", "faust", "clickhouse_connect", "asyncio", "rich", "msgspec", "agents.settings")
    code = (
        "import sys\nfrom agents.cli.frame import build\n"
        "try:\n    build()(['catalogue', 'check'])\n"
        f"except SystemExit as done:\n    print(done.code, [name for name in {heavy!r} if name in sys.modules])"
    )
    done = run(tmp_path, "-c", code)
    assert done.stdout.splitlines()[-1] == "0 []"


def test_a_check_costs_little_more_than_the_library_that_does_the_checking(tmp_path: Path) -> None:
    # A ratio, as a busy machine slows both: 300 ms is five times the import of pydantic where that takes 60.
    checking = min(processor_seconds(tmp_path, "-m", "agents.cli", "catalogue", "check") for _ in range(5))
    importing = min(processor_seconds(tmp_path, "-c", "import pydantic.main") for _ in range(5))
    assert checking < 5 * importing


def test_a_meter_and_a_plan_are_described_in_a_few_words() -> None:
    entries = {entry.name: described(entry) for entry in entries_of(read_files([example_folder() / "llm.toml"]))}
    assert entries["tokens_in"] == "sum of tokens_in by model · llm.request"
    assert entries["requests"] == "count · llm.request"
    assert entries["scale"] == "USD per month · platform, input, output"


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "nothing"), ("0.5", "0.5"), (True, "true"), (["a", 1], '["a", 1]'), ({"ä": 1}, '{"ä": 1}')],
)
def test_a_value_is_shown_in_one_line(value: object, text: str) -> None:
    assert value_text(value) == text
