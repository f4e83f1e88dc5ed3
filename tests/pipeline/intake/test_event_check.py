"""What one event would come to, meter by meter."""

from __future__ import annotations

from pipeline.intake.event_check import Fed, fed_by, flags_said
from pipeline.intake.validation import Event, validate
from schemas.catalogue_entry import MeterEntry
from schemas.meter import Meter
from tests.pipeline.records import BROKER_MS, event

METERS = tuple(
    MeterEntry.of(Meter.model_validate({"event_type": "llm.request", **given}))
    for given in (
        {"id": "requests", "aggregation": "count"},
        {"id": "tokens", "aggregation": "sum", "value": "tokens_in / 1000", "group_by": ["model"]},
        {"id": "models", "aggregation": "unique_count", "value": "model"},
        {"id": "seconds", "aggregation": "sum", "value": "seconds"},
        {"id": "small", "aggregation": "count", "match": {"model": ["small"]}},
        {"id": "others", "event_type": "call", "aggregation": "count"},
    )
)


def test_each_meter_that_counts_an_event_says_what_it_reads_and_in_which_group() -> None:
    verdict = validate(event(), None, (), BROKER_MS, wall_clock=True)
    assert isinstance(verdict, Event)
    versions = {entry.name: entry.version for entry in METERS}
    assert fed_by(verdict, METERS) == (
        Fed("models", versions["models"], "unique_count", "large", {}),
        Fed("requests", versions["requests"], "count", "1", {}),
        Fed("seconds", versions["seconds"], "sum", None, {}),
        Fed("tokens", versions["tokens"], "sum", "4.808", {"model": "large"}),
    )
    assert flags_said(verdict.flags) == ("the key of the record is not the subject",)
