"""A record of billing.commands that is no command is refused with what is wrong, under a request id of its own."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from agents.refused_commands import unreadable
from schemas.command import COMMAND_RECORD, CommandOutcome

RESULT = {"id": "ch_1", "outcome": "succeeded", "currency": "EUR"}
PAYMENT = {"command": "act_on_document", "action": "payment", "document_id": "d", "customer": "acme", "actor": "bank",
           "request_id": "r", "reason": "paid", "result": RESULT}  # fmt: skip


def refused(value: bytes | None) -> CommandOutcome:
    with pytest.raises(ValidationError) as fault:
        COMMAND_RECORD.validate_json(value or b"")
    return unreadable(b"key", value, fault.value).outcome(7, 2, 40)


@pytest.mark.parametrize(
    ("value", "customer", "command", "detail"),
    [
        (json.dumps(PAYMENT).encode(), "acme", "act_on_document",
         "request r is no command: act_on_document.result: Value error, amount: is missing: outcome succeeded"),
        (b'{"command": "void"}', "key", "void", "the record is no command: "),
        (b"not json", "key", "unreadable", "the record is no command: Invalid JSON"),
        (b'["a"]', "key", "unreadable", "the record is no command: "),
        (None, "key", "unreadable", "the record is no command: Invalid JSON"),
    ],
)  # fmt: skip
def test_it_says_whose_it_is_and_what_is_wrong(
    value: bytes | None, customer: str, command: str, detail: str
) -> None:  # fmt: skip
    found = refused(value)
    assert (found.customer, found.command, found.accepted) == (customer, command, False)
    assert found.detail.startswith(detail)
    assert (found.request_id, found.tick, found.partition, found.offset) == ("unreadable/2/40", 7, 2, 40)
