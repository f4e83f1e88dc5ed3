"""The public contract: which message travels on which topic, its JSON Schema, and that of catalogue files.

The exported files are committed, so a change of the contract is seen in review; `tally schemas --check` fails in CI
when code and files disagree.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from agents import asyncapi
from agents.catalogue_schema import catalogue_schema

# message -> (topic, where its type is). A type is a pydantic model or a TypeAdapter.
MESSAGES: Mapping[str, tuple[str, str]] = {
    "usage-event": ("usage.events", "schemas.usage_event:UsageEvent"),
    "usage-correction": ("usage.events", "schemas.usage_event:CorrectionPayload"),
    "dead-letter-resolution": ("usage.dead-letters", "schemas.resolution:Resolution"),
    "epoch": ("usage.epochs", "schemas.epoch:Epoch"),
    "tick": ("billing.ticks", "schemas.tick:Tick"),
    "attribution": ("billing.attributions", "schemas.command:Attribution"),
    "catalogue-entry": ("billing.catalogue", "schemas.catalogue_entry:ENTRY"),
    "erasure": ("billing.erasures", "schemas.erasure:Erasure"),
    "command": ("billing.commands", "schemas.command:COMMAND_RECORD"),
    "command-outcome": ("billing.command-outcomes", "schemas.command:CommandOutcome"),
    "period-closed": ("billing.periods", "schemas.customer_state:PeriodClosed"),
    "finalisation": ("billing.finalisations", "schemas.document_log:DOCUMENT_RECORD"),
    "invoice-event": ("billing.invoices", "schemas.invoice:InvoiceEvent"),
    "credit-note-event": ("billing.invoices", "schemas.credit_note:CreditNoteEvent"),
    "subscription-event": ("billing.invoices", "schemas.subscription_event:SubscriptionEvent"),
    "invoice": ("billing.invoices-latest", "schemas.invoice:Invoice"),
    "credit-note": ("billing.invoices-latest", "schemas.credit_note:CreditNote"),
    "payment-request": ("billing.payment-requests", "schemas.payment:PaymentRequest"),
    "refund-request": ("billing.payment-requests", "schemas.payment:RefundRequest"),
    "alert": ("billing.alerts", "schemas.alert:Alert"),
    "reservation": ("billing.reservations", "schemas.reservation:RESERVATION_RECORD"),
}
# Requests of commands, as a program writes them.
REQUESTS: Mapping[str, str] = {
    "aggregate": "schemas.aggregate_request:AggregateRequest",
    "rate": "schemas.rate_request:RateRequest",
    "invoice-preview": "schemas.invoice_preview:InvoicePreview",
    "reservation-request": "schemas.reservation:ReservationRequest",
}
# What they answer.
ANSWERS: Mapping[str, str] = {
    "aggregate-answer": "schemas.aggregate_request:AggregateAnswer",
    "rate-answer": "schemas.rate_request:RateAnswer",
    "entitlement-answer": "schemas.entitlement:EntitlementAnswer",
    "reservation-answer": "schemas.reservation:ReservationAnswer",
}
CATALOGUE_FILE = "catalogue"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schemas() -> dict[str, str]:
    """File name -> JSON Schema (draft 2020-12) of each message and of catalogue files, as text with sorted keys."""
    found = {message: _of_message(topic, place) for message, (topic, place) in MESSAGES.items()}
    found |= {request: _type_at(place).json_schema(mode="validation") for request, place in REQUESTS.items()}
    found |= {answer: _type_at(place).json_schema(mode="serialization") for answer, place in ANSWERS.items()}
    found[CATALOGUE_FILE] = catalogue_schema()
    return {f"{name}.schema.json": _text(name, schema) for name, schema in found.items()}


def contract_files() -> dict[str, str]:
    """File name -> text of everything that is exported: the schemas, and the AsyncAPI document that refers to them."""
    return {**json_schemas(), asyncapi.FILE: asyncapi.asyncapi_document(MESSAGES)}


def _of_message(topic: str, place: str) -> dict[str, Any]:
    return {"x-topic": topic, **_type_at(place).json_schema(mode="serialization")}


def _type_at(place: str) -> TypeAdapter[Any]:
    module, name = place.split(":")
    found: Any = getattr(import_module(module), name)
    return found if isinstance(found, TypeAdapter) else TypeAdapter(found)


def _text(name: str, schema: Mapping[str, Any]) -> str:
    document = {"$schema": DIALECT, "$id": f"urn:tally:{name}", **schema}
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def differences(folder: Path) -> tuple[str, ...]:
    """Which files of a folder are not what the code exports: changed, missing or left over."""
    exported = contract_files()
    there = {file.name for file in folder.glob("*.json")}
    changed = {name for name, text in exported.items() if name in there and (folder / name).read_text("utf-8") != text}
    return (
        *(f"{name}: differs" for name in sorted(changed)),
        *(f"{name}: missing" for name in sorted(exported.keys() - there)),
        *(f"{name}: nothing of the contract has this name" for name in sorted(there - exported.keys())),
    )


def export(folder: Path) -> tuple[Path, ...]:
    """Writes every schema and the AsyncAPI document; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {folder / name: text for name, text in contract_files().items()}
    for file, text in texts.items():
        file.write_text(text, encoding="utf-8")
    return tuple(texts)
