"""The views are a contract: names, types, order, comments as in schemas/views.json; and each says how fresh it is."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from agents.store.connection import Connection
from agents.store.view_contract import contract, views

NAMES = {
    "v_usage_current", "v_usage_daily", "v_usage_monthly", "v_invoices", "v_invoice_lines", "v_ingest_coverage",
    "v_dead_letters",
}  # fmt: skip
CLOCK = re.compile(r"\b(?:now|now64|today|yesterday|currentTimestamp|utc_timestamp)\s*\(", re.IGNORECASE)


def test_the_contract_holds_the_views_that_readers_were_promised() -> None:
    assert set(contract()["views"]) >= NAMES


@pytest.mark.parametrize("view", sorted(contract()["views"]))
def test_every_view_and_column_says_what_it_is_and_every_view_how_fresh_it_is(view: str) -> None:
    found = contract()["views"][view]
    assert found["comment"]
    assert [column["name"] for column in found["columns"] if not column["comment"]] == []
    fresh = [column for column in found["columns"] if column["comment"].startswith("freshness: ")]
    assert fresh
    assert {column["type"] for column in fresh} == {"DateTime64(3, 'UTC')"}


def test_no_view_reads_a_clock_current_is_what_the_last_tick_says() -> None:
    assert CLOCK.search("SELECT now() AS at")
    texts = [entry.read_text("utf-8") for entry in (files("schemas") / "clickhouse").iterdir()]
    found = [view for text in texts for view in re.findall(r"VIEW\b.*?(?:;|\Z)", text, re.DOTALL)]
    assert len(found) > len(NAMES)
    assert [view[:60] for view in found if CLOCK.search(view)] == []


@pytest.mark.services
def test_the_real_views_are_those_of_the_contract(connection: Connection) -> None:
    # A change on purpose: tally migrate && tally schemas --views schemas/views.json
    assert views(connection) == contract()["views"]


@pytest.mark.services
def test_every_view_answers_before_anything_was_published(connection: Connection) -> None:
    assert {name: connection.tuples(f"SELECT * FROM {name}") for name in sorted(NAMES)} == {name: [] for name in NAMES}
