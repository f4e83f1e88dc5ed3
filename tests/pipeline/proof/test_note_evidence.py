"""Evidence of a credit note: what it takes back is computed from the file alone, and every altered part is named."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agents.cli.proving import verified, written
from agents.signing import public_text, sign
from pipeline.proof.evidence import evidence_bytes, statement_bytes
from schemas.evidence import Evidence
from tests.pipeline.proof.noted import gathered_goodwill, gathered_note, gathered_void, used

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
GOLDEN = Path(__file__).parent / "golden"
Content = dict[str, Any]


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Signed evidence of CN-000002."""
    path = tmp_path_factory.mktemp("notes") / "cn.evidence.json"
    written(gathered_note(), KEY, path)
    return path.read_bytes()


@pytest.fixture
def file(content: bytes, tmp_path: Path) -> Path:
    """The same, to be altered."""
    path = tmp_path / "cn.evidence.json"
    path.write_bytes(content)
    return path


def resigned(file: Path, change: Callable[[Content], None]) -> tuple[str, ...]:
    """The faults after a change by somebody who has the key, or who may alter what is not signed."""
    content = json.loads(file.read_text())
    change(content)
    evidence = Evidence.model_validate(content)
    signature = sign(KEY, statement_bytes(evidence.statement))
    file.write_bytes(evidence_bytes(evidence.model_copy(update={"signature": signature})))
    return verified(file, public_text(KEY)).faults


def test_a_note_holds_and_says_which_invoice_it_corrects_after_which_notes(file: Path) -> None:
    found = verified(file, public_text(KEY))
    assert found.faults == ()
    facts = found.facts
    # 7 of 15.5 are left: 7.77 less 10 % is 6.99, billed 10.99 by then; of the fee 11 of 31 days come back.
    assert (facts["document"], facts["corrects"], facts["after"]) == ("CN-000002", "INV-000001", ["CN-000001"])
    note = json.loads(file.read_text())["statement"]["document"]
    assert [(line["charge"], line["asked"], line["discount"], line["net"]) for line in note["lines"]] == [
        ("tokens", "4.00", "0.59", "3.41"), ("fee", "11.00", "1.65", "9.35"),
    ]  # fmt: skip
    assert (note["totals"]["net"], note["totals"]["tax"], facts["total"]) == ("12.76", "2.68", "15.44")
    assert facts["partitions"] == [[0, 2, 0, 3, 6]]


def test_any_altered_byte_of_a_note_is_found(file: Path) -> None:
    content = file.read_bytes()
    for place in range(0, len(content), 61):
        altered = bytearray(content)
        altered[place] ^= 1
        file.write_bytes(altered)
        assert verified(file, public_text(KEY)).faults, content[place - 20 : place + 20]


def test_an_event_dropped_or_added_is_found_by_its_partition_and_by_what_is_owed(file: Path) -> None:
    original = file.read_bytes()
    dropped = resigned(file, lambda content: content["events"].pop())
    assert "events: partition 0: 2 stated, 1 found" in dropped
    assert "usage: tokens ['large']: frozen 2 events, 0 unusable, 7, the events give 1 events, 0 unusable, 4" in dropped
    assert "tokens: bills 7, its events give 4" in dropped
    file.write_bytes(original)
    added = dataclasses.asdict(used(2, "6"))  # the event that was retracted
    found = resigned(file, lambda content: content["events"].insert(1, added))
    assert {"events: partition 0: 2 stated, 3 found", "tokens: bills 7, its events give 13"} <= set(found)


def alter(*path: str | int, to: object) -> Callable[[Content], None]:
    """Sets one field of the signed part."""

    def change(content: Content) -> None:
        place: Any = content["statement"]
        for step in path[:-1]:
            place = place[step]
        assert place[path[-1]] != to
        place[path[-1]] = to

    return change


NOTE, FIRST, INVOICE = ("document",), ("earlier", 0, "document"), ("corrects", "document")
MUTATIONS = {
    "gross": ((*NOTE, "lines", 0, "gross"), "3.00", "line 1: gross is 3.00, 4.00 follows"),
    "asked": ((*NOTE, "lines", 0, "asked"), "4.01", "tokens: asks back 4.01, the run gave back 4.00"),
    "discount": ((*NOTE, "lines", 0, "discount"), "0.60", "line 1: discount is 0.60, 0.59 follows"),
    "net": ((*NOTE, "lines", 0, "net"), "3.40", "line 1: net is 3.40, 3.41 follows"),
    "tax": ((*NOTE, "totals", "tax"), "2.69", "document: tax is 2.69, 2.68 follows"),
    "total": ((*NOTE, "totals", "total"), "15.45", "document: total is 15.45, 15.44 follows"),
    "rate": ((*NOTE, "lines", 0, "taxes"), [], "line 1: tokens: subscription, charge, period or taxes are not those "
             "of the line that it gives back"),
    "invoice line": ((*NOTE, "lines", 0, "invoice_line"), "another", "line 1: the invoice has no such line"),
    "invoice": ((*NOTE, "invoice"), "another", "document: corrects INV-000001, INV-000001 is stated"),
    "number": ((*NOTE, "invoice_number"), "INV-000009", "document: corrects INV-000009, INV-000001 is stated"),
    "settled": ((*NOTE, "settled", "kept"), "0.01", "document: settled: 15.45 of 15.44"),
    "late": ((*NOTE, "lines", 0, "late", "positions"), ["usage.events/0/3"],
             "line 1: tokens: usage.events/0/3 did not come between the two closes"),
    "late records": ((*NOTE, "lines", 0, "late", "records"), 0, "line 1: tokens: names 1 records that came late, of 0"),
    "close": (("close", "close_id"), "another", "document: it does not rest on the close that is stated"),
    "vector": (("close", "tick", "vector", "ends", "usage.events"), [7],
               "document: it does not rest on the close that is stated"),
    "billed": ((*INVOICE, "lines", 1, "amount"), "20.00", "INV-000001: its SHA-256 is not the one stated"),
    "earlier": ((*FIRST, "lines", 0, "gross"), "1.00", "CN-000001: line 1: gross is 1.00, 0.84 follows"),
    "customer": ((*FIRST, "customer"), "other", "CN-000001: of other in EUR, the note is of another"),
    "issued": (("issued", 1, "stages", "gross"), "12.00",
               "tokens: deducts 10.99, what was issued before is 9.85"),
    "given back": (("given_back", 0, "rated", "amount"), "-4.77",
                   "tokens: its rate card gives -4.00 for this quantity, not -4.77"),
    "quantity": (("given_back", 0, "rated", "quantity"), "8", "tokens: bills 8, its events give 7"),
    "price": (("given_back", 0, "rated", "price", "tiers", 0, "unit_price"), "1.00",
              "tokens: its rate card gives"),
    "days": (("given_back", 1, "rated", "proration", "numerator"), "21", "fee: its rate card gives"),
    "frozen": (("usage", 0, "groups", 0, "value"), "8",
               "usage: tokens ['large']: frozen 2 events, 0 unusable, 8, the events give 2 events, 0 unusable, 7"),
    "owner": (("owners", 0, "customer"), "other", "events: 0:0 belongs to other"),
    "hash": (("document_sha256",), "0" * 64, "document: its SHA-256 is not the one stated"),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_field_that_does_not_follow_is_named_even_if_signed(name: str, file: Path) -> None:
    path, to, said = MUTATIONS[name]
    found = resigned(file, alter(*path, to=to))
    assert [fault for fault in found if fault.startswith(said)], found


def test_a_note_before_that_is_left_out_or_an_invoice_that_is_gone_is_found(file: Path) -> None:
    original = file.read_bytes()
    left_out = resigned(file, lambda content: content["statement"].update(earlier=[]))
    # Rounded alone the discount would be 0.60: 1.77 x 4.00 / 11.83.
    assert "line 1: discount is 0.59, 0.60 follows" in left_out
    file.write_bytes(original)
    gone = resigned(file, lambda content: content["statement"].update(corrects=None))
    assert "document: corrects INV-000001, None is stated" in gone
    file.write_bytes(original)
    silent = resigned(file, lambda content: content["statement"].update(given_back=[]))
    assert "tokens: asks back 4.00, the run gave back 0" in silent


def test_a_void_takes_all_that_the_notes_before_left_and_goodwill_what_was_asked(tmp_path: Path) -> None:
    file = tmp_path / "void.json"
    written(gathered_void(), KEY, file)
    found = verified(file, public_text(KEY))
    # 42.83 less 15 % was billed, 0.71 of it taken back by the first note: 44.06 less 0.86 with tax.
    assert (found.faults, found.facts["after"], found.facts["total"]) == ((), ["CN-000001"], "43.20")
    assert "line 2: gross is 10.99, 11.83 follows" in resigned(
        file, lambda content: content["statement"].update(earlier=[])
    )
    written(gathered_goodwill(), KEY, file)
    found = verified(file, public_text(KEY))
    assert (found.faults, found.facts["corrects"], found.facts["total"]) == ((), None, "12.10")
    assert "document: tax is 2.10, 2.31 follows" in resigned(file, alter(*NOTE, "lines", 0, "asked", to="11.00"))


@pytest.mark.parametrize("version", ["v1-invoice", "v2-credit-note"])
def test_evidence_of_every_version_stays_verifiable(version: str) -> None:
    file = GOLDEN / f"{version}.evidence.json"
    assert json.loads(file.read_text())["statement"]["format"] == f"tally.evidence.{version[:2]}"
    assert verified(file, public_text(KEY)).faults == ()
