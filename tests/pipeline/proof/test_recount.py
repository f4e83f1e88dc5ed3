"""The second reading of a record, by other code, comes to what the first came to, on sound and on damaged records."""

from __future__ import annotations

import ast
import random
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

import pipeline.proof.recount
from pipeline.intake.validation import Correction, Event, Rejection, validate
from pipeline.proof.recount import Reading, amounts, counted, needs_no_exact_form, read
from tests.pipeline.records import BROKER_MS, event, mutated

RECORDS = 20_000
HEADERS = tuple((f"ce_{name}", text.encode()) for name, text in (
    ("specversion", "1.0"), ("id", "req-1"), ("source", "/gateway"), ("type", "llm.request"), ("subject", "acme"),
))  # fmt: skip


def test_it_shares_no_code_with_the_validator() -> None:
    tree = ast.parse(Path(pipeline.proof.recount.__file__).read_text("utf-8"))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name for name in imported if name and name.split(".")[0] in ("pipeline", "schemas", "agents")} == set()


def agrees(verdict: Event | Correction | Rejection, found: Reading) -> bool:
    """Whether both say the same of a record."""
    if isinstance(verdict, Rejection):
        return found.outcome == "dead letter"
    if isinstance(verdict, Correction):
        by = verdict.event
        named = (found.outcome, found.source, found.id) == ("correction", verdict.target_source, verdict.target_id)
        return named and (by is None) == (found.type == "") and (by is None or _same(by, found))
    return (
        found.outcome == "event" and (verdict.source, verdict.id) == (found.source, found.id) and _same(verdict, found)
    )


def _same(event: Event, found: Reading) -> bool:
    exact = not event.exact or amounts(counted(event.exact)) == amounts(found.data)
    return (
        (event.type, event.subject, event.ts_ms) == (found.type, found.subject, found.ts_ms)
        and counted(event.payload.decode()) == found.data
        and exact
        and (bool(event.exact) or needs_no_exact_form(found.data))
    )


def test_both_readings_agree_on_damaged_records() -> None:
    rnd = random.Random(20261101)
    outcomes: Counter[str] = Counter()
    for _ in range(RECORDS):
        record, wall_clock = mutated(rnd), rnd.random() < 0.5
        verdict = validate(record, b"k", (), BROKER_MS, wall_clock=wall_clock)
        found = read(record, (), BROKER_MS, wall_clock=wall_clock)
        assert agrees(verdict, found), (record, verdict, found)
        outcomes[found.outcome] += 1
    assert min(outcomes[name] for name in ("event", "correction", "dead letter")) > 500


@pytest.mark.parametrize("value", [b"", b"{}", b' {"tokens": 1.5}\n', b"null", b"[1]", b"{", b'{"a": 1e15}', b"\xff"])
@pytest.mark.parametrize("changed", [(), (("ce_time", b"2026-10-05T10:00:00Z"),), (("ce_sequence", b"17"),),
                                     (("content-type", b"application/cloudevents+json"),), (("ce_id", b""),),
                                     (("ce_source", b"\xff"),), (("ce_id", None),)])  # fmt: skip
def test_both_readings_agree_on_binary_mode(value: bytes, changed: tuple[tuple[str, bytes | None], ...]) -> None:
    headers = (*changed, *HEADERS)
    verdict = validate(value, b"k", headers, BROKER_MS, wall_clock=True)
    assert agrees(verdict, read(value, headers, BROKER_MS, wall_clock=True))


def test_no_value_and_a_large_one_are_dead() -> None:
    assert read(None, (), BROKER_MS, wall_clock=False).outcome == "dead letter"
    large = event(extra='"' + "x" * 1_048_576 + '"')
    assert read(large, (), BROKER_MS, wall_clock=False).outcome == "dead letter"


def test_a_number_and_the_text_of_the_same_number_are_one_amount_and_no_other() -> None:
    assert amounts({"a": Decimal("1.5"), "b": ["2e0"]}) == amounts({"a": "1.50", "b": [Decimal(2)]})
    assert amounts({"a": "1.5"}) != amounts({"a": "1.6"})
    assert amounts("9" * 20) == "9" * 20
