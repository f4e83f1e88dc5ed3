"""The public contract: which message travels on which topic, and its JSON Schema.

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

# message -> (topic, where its type is). A type is a pydantic model or a TypeAdapter.
MESSAGES: Mapping[str, tuple[str, str]] = {
    "usage-event": ("usage.events", "schemas.usage_event:UsageEvent"),
    "usage-correction": ("usage.events", "schemas.usage_event:CorrectionPayload"),
    "dead-letter-resolution": ("usage.dead-letters", "schemas.resolution:Resolution"),
    "tick": ("billing.ticks", "schemas.tick:Tick"),
    "attribution": ("billing.attributions", "schemas.command:Attribution"),
    "catalogue-entry": ("billing.catalogue", "schemas.catalogue_entry:ENTRY"),
    "command": ("billing.commands", "schemas.command:COMMAND_RECORD"),
    "command-outcome": ("billing.command-outcomes", "schemas.command:CommandOutcome"),
    "period-closed": ("billing.periods", "schemas.customer_state:PeriodClosed"),
    "finalisation": ("billing.finalisations", "schemas.invoice:Finalisation"),
    "invoice-event": ("billing.invoices", "schemas.invoice:InvoiceEvent"),
    "invoice": ("billing.invoices-latest", "schemas.invoice:Invoice"),
}
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schemas() -> dict[str, str]:
    """File name -> JSON Schema (draft 2020-12) of each message, as text with sorted keys."""
    return {f"{message}.schema.json": _text(message, topic, place) for message, (topic, place) in MESSAGES.items()}


def _text(message: str, topic: str, place: str) -> str:
    module, name = place.split(":")
    found: Any = getattr(import_module(module), name)
    adapter: TypeAdapter[Any] = found if isinstance(found, TypeAdapter) else TypeAdapter(found)
    schema = adapter.json_schema(mode="serialization")
    document = {"$schema": DIALECT, "$id": f"urn:tally:{message}", "x-topic": topic, **schema}
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def differences(folder: Path) -> tuple[str, ...]:
    """Which files of a folder are not what the code exports: changed, missing or left over."""
    exported = json_schemas()
    there = {file.name for file in folder.glob("*.schema.json")}
    changed = {name for name, text in exported.items() if name in there and (folder / name).read_text("utf-8") != text}
    return (
        *(f"{name}: differs" for name in sorted(changed)),
        *(f"{name}: missing" for name in sorted(exported.keys() - there)),
        *(f"{name}: no message has this name" for name in sorted(there - exported.keys())),
    )


def export(folder: Path) -> tuple[Path, ...]:
    """Writes every schema; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = tuple(folder / name for name in json_schemas())
    for file, text in zip(files, json_schemas().values(), strict=True):
        file.write_text(text, encoding="utf-8")
    return files
