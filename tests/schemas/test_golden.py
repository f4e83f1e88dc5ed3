"""Messages of every version stay readable: what was written once is read later, and nothing of it is lost."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter

from agents.contract import MESSAGES
from pipeline.intake.validation import Correction, Event, validate
from schemas.command import NAMES

FOLDER = Path(__file__).parent / "golden"
FILES = sorted(FOLDER.glob("*/*.json"))
USAGE = ("usage-event", "usage-correction")
BROKER_MS = 1_793_701_000_000


def content(file: Path) -> Any:
    """A golden message."""
    return json.loads(file.read_text(encoding="utf-8"))


def lost(written: object, read: object, path: str = "") -> list[str]:
    """What a reader does not have of what was written; fields that it adds are no loss, numbers may be spelled anew."""
    if isinstance(written, dict) and isinstance(read, dict):
        return [said for name, value in written.items() for said in lost(value, read.get(name), f"{path}.{name}")]
    if isinstance(written, list) and isinstance(read, list) and len(written) == len(read):
        pairs = enumerate(zip(written, read, strict=True))
        return [said for place, (one, other) in pairs for said in lost(one, other, f"{path}[{place}]")]
    return [] if written == read else [f"{path}: {written!r} is read as {read!r}"]


@pytest.mark.parametrize("file", [file for file in FILES if file.parent.name not in USAGE],
                         ids=lambda file: f"{file.parent.name}-{file.stem}")  # fmt: skip
def test_a_message_of_an_earlier_version_is_read_without_loss(file: Path) -> None:
    module, name = MESSAGES[file.parent.name][1].split(":")
    found = getattr(import_module(module), name)
    adapter: TypeAdapter[Any] = found if isinstance(found, TypeAdapter) else TypeAdapter(found)
    read = adapter.validate_json(file.read_bytes())
    assert isinstance(read, BaseModel)
    assert lost(content(file), read.model_dump(mode="json")) == []


@pytest.mark.parametrize("file", [file for file in FILES if file.parent.name in USAGE],
                         ids=lambda file: f"{file.parent.name}-{file.stem}")  # fmt: skip
def test_usage_of_an_earlier_version_is_accepted_in_every_mode(file: Path) -> None:
    message = content(file)
    headers = tuple((name, value.encode()) for name, value in message.get("headers", {}).items())
    value = json.dumps(message["value"]).encode()
    verdict = validate(value, b"acme/key-7", headers, BROKER_MS, wall_clock=False)
    assert isinstance(verdict, Correction if file.parent.name == "usage-correction" else Event)
    if isinstance(verdict, Event):
        assert (verdict.source, verdict.id, verdict.subject) == ("/gateway/eu-1", "req-8f1c", "acme/key-7")
        assert json.loads(verdict.payload) == content(FOLDER / "usage-event" / "v1-structured.json")["value"]["data"]
    else:
        assert isinstance(verdict, Correction)
        assert (verdict.target_source, verdict.target_id) == ("/gateway/eu-1", "req-8f1c")


def test_every_message_of_the_contract_has_a_golden_one() -> None:
    assert {file.parent.name for file in FILES} == set(MESSAGES)


def test_every_command_has_a_golden_message() -> None:
    golden = {content(file)["command"] for file in FILES if file.parent.name == "command"}
    assert golden == {*NAMES, "tick"}


def test_a_message_says_with_which_version_of_its_schema_it_was_written() -> None:
    assert {file.stem.split("-")[0] for file in FILES} == {"v1"}
