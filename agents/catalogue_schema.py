"""The JSON Schema of catalogue files, by which an editor completes them and marks what is wrong while it is typed.

It says less than `tally catalogue check`: a schema cannot compare fields with each other, nor files. What it refuses,
the check refuses too.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from pipeline.catalogue.loading import tables

PLAIN_VALUE = {
    "anyOf": [
        {"type": ["string", "boolean", "integer"]},
        {"type": "object", "properties": {"absent": {"const": True}}, "required": ["absent"]},
    ]
}


def catalogue_schema() -> dict[str, Any]:
    """The schema of a file: each table once, or as a list."""
    models: dict[str, type[BaseModel]] = dict(tables())
    refs, definitions = models_json_schema([(model, "validation") for model in dict.fromkeys(models.values())])
    found: dict[str, Any] = definitions["$defs"]
    for definition in found.values():
        _name_the_model(definition)
    _as_written(found["Meter"])
    return {
        "title": "Catalogue",
        "description": "What is metered and what it costs. Decimals are strings.",
        "type": "object",
        "properties": {name: _one_or_many(refs[model, "validation"]) for name, model in models.items()},
        "additionalProperties": False,
        "$defs": found,
    }


def _one_or_many(ref: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [ref, {"type": "array", "items": ref}]}


def _name_the_model(definition: dict[str, Any]) -> None:
    """A price says which model it is: it has no default where several are possible."""
    for field in definition.get("properties", {}).values():
        if "discriminator" in field:
            field["required"] = [field["discriminator"]["propertyName"]]


def _as_written(meter: dict[str, Any]) -> None:
    """What a file may say beside the form that we keep: one event type as text, and dimension values of any type."""
    fields = meter["properties"]
    several = fields.pop("event_types")
    written = {"anyOf": [{"type": "string", "minLength": 1}, several]}
    meter["properties"] = {**fields, "event_type": written, "event_types": written}
    meter["required"] = [name for name in meter["required"] if name != "event_types"]
    meter["oneOf"] = [{"required": ["event_type"]}, {"required": ["event_types"]}]
    fields["match"]["additionalProperties"]["items"] = PLAIN_VALUE
    fields["exclude"]["items"]["additionalProperties"]["items"] = PLAIN_VALUE
