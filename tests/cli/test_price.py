"""`tally price`, `tally rate`, `tally aggregate`: the calculators as people and programs call them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "deploy" / "catalogue" / "models"
EXAMPLES = ROOT / "deploy" / "examples"


def tally(*arguments: object, given: str = "") -> subprocess.CompletedProcess[str]:
    nowhere = {"TALLY_KAFKA": "127.0.0.1:1", "TALLY_CLICKHOUSE": "http://127.0.0.1:1"}
    return subprocess.run(
        [sys.executable, "-m", "agents.cli", *map(str, arguments)], input=given, capture_output=True, text=True,
        cwd=ROOT, env={**os.environ, **nowhere}, check=False, timeout=60,
    )  # fmt: skip


def test_a_price_of_a_plan_is_explained_by_tiers_and_drawn() -> None:
    done = tally("price", "--plan", "every-price", "--card", "requests", "--catalogue", MODELS, "260", "--chart")
    assert done.returncode == 0, done.stderr
    assert "147.00 EUR" in done.stdout
    assert [line.split()[:4] for line in done.stdout.splitlines() if "50 to 200" in line] == [
        ["50", "to", "200", "150"]
    ]
    chart = [line for line in done.stdout.splitlines() if "|" in line]
    assert sum(line.count("o") for line in chart) == 1
    assert chart[0].startswith("186.00 |")  # half as much again as was asked for: 390 units


def test_a_price_may_be_given_with_its_usage_as_json() -> None:
    price = '{"model": "percentage", "rate_percent": "1.8", "fixed_fee": "0.25", "free_events": 4, "free_amount": 120}'
    done = tally("price", "--price", price, "[40, 60, 35, 90]", "--json")
    assert json.loads(done.stdout)["amount"] == "2.39"


def test_what_a_price_refuses_names_the_field_and_ends_with_1() -> None:
    done = tally("price", "--price", '{"model": "graduated", "tiers": []}', "5")
    assert (done.returncode, done.stdout) == (1, "")
    assert "price.tiers: must not be empty" in done.stderr
    floats = tally("price", "--price", '{"model": "per_unit", "unit_price": NaN}', "5")
    assert (floats.returncode, "NaN is not a number of JSON" in floats.stderr) == (1, True)
    alone = tally("price", "--customer", "acme")
    assert (alone.returncode, "--meter" in alone.stderr) == (2, True)


def test_programs_get_a_line_for_every_line() -> None:
    for command in ("rate", "aggregate"):
        requests = (EXAMPLES / f"{command}.jsonl").read_text(encoding="utf-8").splitlines()
        done = tally(command, "--jsonl", given="\n".join(["{", *requests]))
        told = [json.loads(line) for line in done.stdout.splitlines()]
        assert [each["id"] for each in told] == [None, *(json.loads(line)["id"] for line in requests)]
        assert ["errors" in each for each in told] == [True, *(False for _ in requests)]
        of_a_file = tally(command, "--jsonl", EXAMPLES / f"{command}.jsonl")
        assert of_a_file.stdout.splitlines() == done.stdout.splitlines()[1:]


def test_an_aggregation_is_a_table_for_a_person() -> None:
    request = (EXAMPLES / "aggregate.jsonl").read_text(encoding="utf-8").splitlines()[5]
    done = tally("aggregate", given=request)
    assert "2027-06-09 18:15Z   2027-06-10 18:15Z" in done.stdout
    assert "3 counted, 0 invalid" in done.stdout
    refused = tally("aggregate", given='{"meter": {}}')
    assert (refused.returncode, "meter.aggregation: is missing" in refused.stderr) == (1, True)
