"""The contract for payment services, mailers and readers of reservations: complete, and its examples hold."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

import pytest
from pydantic import TypeAdapter

import schemas
from pipeline.collection.collection_effects import TOLD
from pipeline.limits import alerting, watching
from schemas.alert import Alert
from schemas.command import COMMAND_RECORD, ActOnDocument
from schemas.invoice import InvoiceEvent
from schemas.payment import Outcome, PaymentRequest, RefundRequest
from schemas.reservation import RESERVATION_RECORD

FOLDER = Path(schemas.__path__[0])
PAGE = (FOLDER / "PAYMENTS.md").read_text("utf-8")
INVOICES = (FOLDER / "INVOICES.md").read_text("utf-8")
EXAMPLES = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
WATCHED = set(re.findall(r'Watch\(\s*rule\.id, "(\w+)"', Path(str(watching.__file__)).read_text("utf-8")))


def test_its_examples_are_messages() -> None:
    types: list[TypeAdapter[object]] = [
        TypeAdapter(PaymentRequest), TypeAdapter(RefundRequest), COMMAND_RECORD, TypeAdapter(Alert)
    ]  # fmt: skip
    found = [adapter.validate_json(text) for adapter, text in zip(types, EXAMPLES, strict=True)]
    assert isinstance(found[2], ActOnDocument)
    for one, text in zip(found, EXAMPLES, strict=True):
        assert json.loads(text).keys() <= one.model_dump().keys()  # type: ignore[attr-defined]


def test_alerts_of_rules_are_found_in_their_source() -> None:
    assert alerting.Watch.__name__ == "Watch"
    assert len(WATCHED) == 6


@pytest.mark.parametrize("word", sorted({*get_args(Outcome), *TOLD, *WATCHED}))
def test_every_outcome_and_every_kind_of_alert_has_a_row(word: str) -> None:
    assert re.search(rf"^\|[^|]*`{word}`", PAGE, re.MULTILINE)


@pytest.mark.parametrize("type_", get_args(InvoiceEvent.model_fields["type"].annotation))
def test_every_transition_of_an_invoice_is_announced_to_consumers(type_: str) -> None:
    assert f"`{type_}`" in INVOICES or f"`.{type_.removeprefix('tally.invoice.')}`" in INVOICES


def test_every_record_of_reservations_has_a_row() -> None:
    variants = RESERVATION_RECORD.json_schema()["$defs"].values()
    records = {each["properties"]["record"]["const"] for each in variants}
    assert records == {"reserve", "release", "balance"}
    assert all(f"| `{record}` |" in PAGE for record in records)
