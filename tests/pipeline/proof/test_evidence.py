"""Evidence holds as it was written, and fails on any altered byte and any event dropped or added."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from agents.cli import proving
from agents.cli.proving import Gathered, verified, written
from agents.signing import KeyRefused, create_key, load_key, public_text, read_public_key, sign
from agents.store.looks import StoredInvoice
from pipeline.documents.invoicing import invoice_of
from pipeline.meters.aggregation import MeteredEvent, aggregate, read_payload
from pipeline.proof.evidence import event_line, evidence_bytes, statement_bytes
from pipeline.rating.charge_lines import Usage
from schemas.catalogue_entry import MeterEntry, PlanEntry, catalogue_of
from schemas.customer_state import DuePeriod, PeriodClosed
from schemas.evidence import Evidence, FrozenUsage, Owner, RawEvent, UsageProof
from schemas.identity import canonical_json
from schemas.meter import Meter
from schemas.period import Period
from schemas.plan import Plan
from schemas.tick import Tick, Vector
from tests.builders import finalized

D = Decimal
OCTOBER = Period(datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC))
TOKENS = MeterEntry.of(
    Meter.model_validate({"id": "tokens", "event_types": ["call"], "aggregation": "sum", "value": "tokens",
                          "group_by": ["model"]})
)  # fmt: skip
METERS = {"tokens": TOKENS.version}
CARDS = [
    {"id": "fee", "price": {"model": "flat", "amount": "20.00"}},
    {"id": "tokens", "meter": "tokens", "price": {"model": "graduated", "tiers": [
        {"up_to": "10", "unit_price": "0.10"}, {"unit_price": "0.05"}]}},
]  # fmt: skip
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def used(offset: int, tokens: object, *, partition: int = 0, model: str = "large", hour: int = 0) -> RawEvent:
    """An event of acme/1 in October."""
    at = int((OCTOBER.start + timedelta(hours=hour)).timestamp() * 1000)
    data = json.dumps({"model": model, "tokens": tokens})
    return RawEvent("call", "acme/1", at, "/test", f"{partition}-{offset}", partition, offset, data)


EVENTS = (
    used(0, 4),
    used(1, "2.5", model="small", hour=3),
    used(7, 6),
    used(2, 5, partition=1),
    used(3, "x", partition=1),
)
VECTOR = Vector(ends={"usage.events": (8, 9), "billing.attributions": (1,), "billing.catalogue": (2,)})


def gathered(events: tuple[RawEvent, ...] = EVENTS, cards: Sequence[dict[str, Any]] = CARDS) -> Gathered:
    """What stands behind acme's invoice of October, computed from its events in the shapes that its cards ask for."""
    metered = [
        MeteredEvent(e.type, datetime.fromtimestamp(e.time_ms / 1000, UTC), read_payload(e.data)) for e in events
    ]
    rows = aggregate(TOKENS.meter, metered, OCTOBER)
    plan = PlanEntry.of(Plan.model_validate({"id": "p", "currency": "EUR", "rate_cards": cards}), METERS)
    due = DuePeriod(subscription="s", plan="p", plan_version=plan.version, currency="EUR", time_zone="UTC",
                    period=OCTOBER, service=OCTOBER)  # fmt: skip
    closed = PeriodClosed(
        close_id="0c9f6f7e-0000-5000-8000-000000000001", customer="acme", revision=0,
        tick=Tick(number=7, time=OCTOBER.end, clock="test", vector=VECTOR), periods=(due,), usage_rows=len(rows),
        events=len(events), fingerprint=f"{len(events)}-0",
    )  # fmt: skip
    usage = [Usage(row.group, row.value, row.events, row.invalid) for row in rows]
    usage += [
        Usage(row.group, row.value, row.events, row.invalid, row.window, "day")
        for row in aggregate(TOKENS.meter.model_copy(update={"group_by": ()}), metered, OCTOBER, window="day")
    ]
    usage += [
        Usage((), D(text), 1, 0, None, "transactions") for text in ("4", "6", "5", "2.5")
    ]  # in order of time, then offset
    (draft,) = invoice_of(closed, {("s", "tokens", OCTOBER): usage}, catalogue_of([TOKENS, plan]))
    invoice = finalized(draft, 3)
    proof = UsageProof(
        subscription="s", meter="tokens", meter_version=TOKENS.version, definition=TOKENS.meter, service=OCTOBER,
        period=OCTOBER, time_zone="UTC",
        groups=tuple(FrozenUsage(group=r.group, events=r.events, invalid=r.invalid, value=r.value) for r in rows),
    )  # fmt: skip
    stored = StoredInvoice(canonical_json(invoice.model_dump(mode="json")).decode(), invoice.sha256())
    owner = Owner(subject="acme/1", since=datetime(2026, 1, 1, tzinfo=UTC), customer="acme")
    return Gathered(stored, json.loads(closed.model_dump_json()), (proof,), (owner,), events)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Signed evidence of acme's invoice."""
    path = tmp_path / "inv.evidence.json"
    written(gathered(), KEY, path)
    return path


def test_evidence_as_it_was_written_holds_and_says_what_it_covers_per_partition(file: Path) -> None:
    found = verified(file, public_text(KEY))
    assert found.faults == ()
    assert (found.facts["document"], found.facts["customer"], found.facts["total"]) == ("INV-000003", "acme", "21.38")
    # partition, events, first and last offset, and the end of what was looked at
    assert found.facts["partitions"] == [[0, 3, 0, 7, 8], [1, 2, 2, 3, 9]]


def test_the_same_invoice_gives_the_same_bytes(file: Path, tmp_path: Path) -> None:
    written(gathered(), KEY, tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == file.read_bytes()


def test_any_altered_byte_is_found(file: Path) -> None:
    content = file.read_bytes()
    for place in range(0, len(content), 29):
        altered = bytearray(content)
        altered[place] ^= 1
        file.write_bytes(altered)
        assert verified(file, public_text(KEY)).faults, content[place - 20 : place + 20]
    for other in (content + b"\n", content[:-1], b" " + content, b"", b"{}"):
        file.write_bytes(other)
        assert verified(file, public_text(KEY)).faults


def test_another_key_does_not_verify(file: Path) -> None:
    other = public_text(Ed25519PrivateKey.generate())
    assert verified(file, other).faults == ("the signature is not by this key over these bytes",)


def resigned(file: Path, change: Callable[[dict[str, Any]], None]) -> tuple[str, ...]:
    """The faults after a change by somebody who has the key, or who may alter what is not signed."""
    content = json.loads(file.read_text())
    change(content)
    evidence = Evidence.model_validate(content)
    signature = sign(KEY, statement_bytes(evidence.statement))
    file.write_bytes(evidence_bytes(evidence.model_copy(update={"signature": signature})))
    return verified(file, public_text(KEY)).faults


def test_a_dropped_event_is_found_by_its_partition_and_by_the_quantity(file: Path) -> None:
    found = resigned(file, lambda content: content["events"].pop(0))
    assert "events: partition 0: 3 stated, 2 found" in found
    assert "usage: tokens ['large']: frozen 4 events, 1 unusable, 15, the events give 3 events, 1 unusable, 11" in found


def test_an_added_event_is_found(file: Path) -> None:
    added = dataclasses.asdict(used(5, 1))
    found = resigned(file, lambda content: content["events"].insert(2, added))
    assert "events: partition 0: 3 stated, 4 found" in found


def test_an_altered_event_is_found(file: Path) -> None:
    def alter(content: dict[str, Any]) -> None:
        content["events"][0]["data"] = '{"model": "large", "tokens": 5}'

    assert "events: partition 0: other bytes" in resigned(file, alter)


def test_an_event_beyond_the_vector_or_of_somebody_else_or_twice_is_found(file: Path) -> None:
    def beyond(content: dict[str, Any]) -> None:
        content["events"].insert(3, dataclasses.asdict(used(8, 1)))

    assert "events: 0:8 lies beyond the vector of the close" in resigned(file, beyond)
    strangers = replace(used(8, 1), subject="other/1", offset=6)
    written(gathered((*EVENTS[:2], strangers, *EVENTS[2:])), KEY, file)
    assert verified(file, public_text(KEY)).faults == ("events: 0:6 belongs to other/1",)
    twice = replace(EVENTS[0], offset=6)
    written(gathered((*EVENTS[:2], twice, *EVENTS[2:])), KEY, file)
    assert verified(file, public_text(KEY)).faults == ("events: an identity (source, id) is there twice",)


def test_amounts_that_do_not_follow_are_found_even_if_signed(file: Path) -> None:
    def dearer(content: dict[str, Any]) -> None:
        line = content["statement"]["document"]["lines"][1]
        line["rated"]["amount"] = line["amount"] = "1.39"

    found = resigned(file, dearer)
    assert "line 2: tokens: its rate card gives 1.38 for this quantity, not 1.39" in found
    assert "document: its SHA-256 is not the one stated" in found
    assert "document: subtotal is 21.38, its parts give 21.39" in found


def test_a_quantity_that_the_close_did_not_freeze_is_found_even_if_signed(file: Path) -> None:
    def more(content: dict[str, Any]) -> None:
        content["statement"]["usage"][0]["groups"][0]["value"] = "16"

    found = resigned(file, more)
    assert found == (
        "usage: tokens ['large']: frozen 4 events, 1 unusable, 16, the events give 4 events, 1 unusable, 15",
    )


def test_a_quantity_that_the_events_do_not_give_is_found_even_if_signed(file: Path) -> None:
    def less(content: dict[str, Any]) -> None:
        content["statement"]["document"]["lines"][1]["rated"]["quantity"] = "17"

    assert "line 2: tokens: bills 17, its events give 17.5" in resigned(file, less)


def test_windows_and_transactions_are_computed_from_the_events_too(tmp_path: Path) -> None:
    daily = {
        "id": "daily",
        "meter": "tokens",
        "price": {
            "model": "bucketed",
            "by": "day",
            "free_units_per_bucket": "3",
            "price": {"model": "per_unit", "unit_price": "1"},
        },
    }
    share = {"id": "share", "meter": "tokens", "price": {"model": "percentage", "rate_percent": "10", "fixed_fee": "1"}}
    file = tmp_path / "windows.json"
    written(gathered(cards=[daily, share]), KEY, file)
    found = verified(file, public_text(KEY))
    assert found.faults == ()
    # 15 + 2.5 on one day, 3 of it free: 14.50; of each of four usable events 10 % and 1.00: 5.75
    assert found.facts["total"] == "20.25"


def test_many_events_go_to_a_companion_file_and_are_checked_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proving, "EMBEDDED_AT_MOST", 3)
    file = tmp_path / "many.json"
    _, companion = written(gathered(), KEY, file)
    assert verified(file, public_text(KEY)).faults == ()
    lines = companion.read_bytes().splitlines(keepends=True)
    assert lines == [event_line(event) + b"\n" for event in EVENTS]
    for altered in (lines[1:], [*lines, lines[-1]], [lines[1], lines[0], *lines[2:]], [b" " + lines[0], *lines[1:]]):
        companion.write_bytes(b"".join(altered))
        assert verified(file, public_text(KEY)).faults
    companion.unlink()
    with pytest.raises(FileNotFoundError, match="companion"):
        verified(file, public_text(KEY))


@given(st.builds(RawEvent, *[st.text()] * 2, st.integers(0, 2**52), st.text(), st.text(), *[st.integers(0, 2**52)] * 2,
                 st.text()))  # fmt: skip
def test_the_line_of_an_event_is_its_canonical_json(event: RawEvent) -> None:
    assert event_line(event) == canonical_json(dataclasses.asdict(event))


def test_a_key_is_a_file_of_its_owner_alone_and_is_never_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "sub" / "key.pem"
    public = create_key(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert public_text(load_key(file)) == public
    assert read_public_key(public) == public
    (tmp_path / "public.key").write_text(public + "\n")
    assert read_public_key(str(tmp_path / "public.key")) == public
    with pytest.raises(KeyRefused, match="never overwritten"):
        create_key(file)
    file.chmod(0o640)
    with pytest.raises(KeyRefused, match="chmod 600"):
        load_key(file)
    with pytest.raises(KeyRefused, match="tally keys create"):
        load_key(tmp_path / "absent.pem")
    with pytest.raises(KeyRefused, match="64 hex digits"):
        read_public_key("abc")
