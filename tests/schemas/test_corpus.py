"""Finished documents of every engine come out byte for byte, from their closes, today and by any later version."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.closing.engines import ENGINES, UnknownEngine, engine_of
from schemas.engine import ENGINE
from schemas.identity import canonical_json
from schemas.tick import Tick
from tests.corpus import CASES, FOLDER, documents, inputs

FILES = sorted(FOLDER.glob("engine-*/*.json"))


def content(file: Path) -> dict[str, Any]:
    """A file of the corpus."""
    found = json.loads(file.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_a_finished_document_comes_out_byte_for_byte(file: Path) -> None:
    expected = content(file)
    assert expected["documents"]
    assert list(documents(expected)) == expected["documents"], (
        "bytes of finished documents changed: keep the old rule in pipeline/closing/engines.py and raise "
        "schemas/engine.py, or (before that engine is released) python -m tests.corpus --unreleased"
    )


def test_every_engine_that_documents_were_made_by_has_a_corpus_and_its_rules() -> None:
    there = {file.parent.name.removeprefix("engine-") for file in FILES}
    assert there == set(ENGINES)
    assert ENGINE in ENGINES


def test_every_case_is_in_the_corpus_of_the_present_engine() -> None:
    assert {file.stem for file in FILES if file.parent.name == f"engine-{ENGINE}"} >= set(CASES)


def test_a_document_names_the_engine_of_its_tick() -> None:
    for file in FILES:
        for document in content(file)["documents"]:
            assert json.loads(document)["engine"] == file.parent.name.removeprefix("engine-")


def test_a_tick_of_a_newer_version_stops_an_older_worker() -> None:
    tick = Tick.model_validate({**content(FILES[0])["closed"]["tick"], "engine": "999"})
    with pytest.raises(UnknownEngine, match=r"tick 44 asks for engine 999; this version knows .*: upgrade it"):
        engine_of(tick)


def test_a_changed_price_is_seen_in_the_bytes() -> None:
    case = inputs("graduated-with-tax", CASES["graduated-with-tax"])
    before = list(documents(case))
    case["usage"][0]["value"] = "41.5"
    assert list(documents(case)) != before
    assert canonical_json(json.loads(before[0])).decode() == before[0]
