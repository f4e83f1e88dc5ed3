"""The issuer is one catalogue object; documents carry its newest version below their vector."""

from __future__ import annotations

from datetime import timedelta

import pytest

from agents.catalogue_files import entries_of
from pipeline.catalogue.changes import changes
from pipeline.catalogue.loading import load_catalogue
from schemas.catalogue_entry import IssuerEntry, catalogue_of
from schemas.issuer import UNNAMED, Issuer
from schemas.plan import Plan
from schemas.tax import Exemption

FILE = """
[issuer]
name = "Metered GmbH"
address = ["Wasserweg 1", "10115 Berlin"]
country = "DE"
tax_ids = ["DE123456789"]
bank = { iban = "DE02120300000000202051", bic = "BYLADEM1001" }
invoice_series = "2026"
payment_terms = "30 d"
exemption_texts = { reverse_charge = "Steuerschuldnerschaft des Leistungsempfängers" }
holds = { above_history = "10", quantities = { calls = "1000000" } }

[[meters]]
id = "calls"
event_types = ["call"]
aggregation = "count"
"""


def test_the_issuer_applied_last_is_the_one_that_documents_carry() -> None:
    loaded = load_catalogue({"issuer.toml": FILE})
    assert loaded.faults == ()
    (issuer,) = loaded.issuers
    assert issuer.payment_terms == timedelta(days=30)
    moved = issuer.model_copy(update={"address": ("Feldweg 2", "10115 Berlin")})
    catalogue = catalogue_of([*entries_of(loaded), IssuerEntry.of(moved)])
    assert catalogue.issuer.address[0] == "Feldweg 2"
    assert [change.status for change in changes(catalogue, [IssuerEntry.of(issuer)])] == ["replaces"]
    assert catalogue_of([]).issuer == UNNAMED


def test_an_exemption_is_worded_by_the_issuer_or_as_usual() -> None:
    (issuer,) = load_catalogue({"issuer.toml": FILE}).issuers
    assert issuer.exemption_text(Exemption.REVERSE_CHARGE) == "Steuerschuldnerschaft des Leistungsempfängers"
    assert issuer.exemption_text(Exemption.EXPORT) == "VAT-exempt export supply."


@pytest.mark.parametrize(
    ("before", "after", "fault"),
    [
        ('name = "Metered GmbH"\n', "", "issuer.name: is missing"),
        ('"2026"', '"CN"', "issuer.credit_note_series: must differ from invoice_series"),
        ('"30 d"', '"-1 d"', "issuer.payment_terms: must not be negative"),
        ("calls = ", "clals = ", "issuer.holds.quantities.clals: no meter 'clals'; did you mean 'calls'?"),
        ('"DE"', '"Germany"', "issuer.country:"),
    ],
)
def test_a_faulty_issuer_is_told_by_field(before: str, after: str, fault: str) -> None:
    assert before in FILE
    (found,) = load_catalogue({"issuer.toml": FILE.replace(before, after, 1)}).faults
    assert f"{found.path}: {found.problem}".startswith(fault)


def test_a_second_issuer_is_refused() -> None:
    faults = load_catalogue({"a.toml": FILE, "b.toml": '[issuer]\nid = "other"\nname = "Other"\n'}).faults
    assert [fault.path for fault in faults] == ["issuer"]
    assert "must be one" in faults[0].problem


def test_terms_and_late_usage_are_the_plans() -> None:
    plan = Plan.model_validate({
        "id": "p", "currency": "EUR", "payment_terms": "10 d",
        "late_usage": {"policy": "ignore", "minimum": "1.00", "horizon": "30 d"},
        "rate_cards": [{"id": "fee", "price": {"model": "flat", "amount": "1"}}],
    })  # fmt: skip
    assert plan.payment_terms == timedelta(days=10)
    assert (plan.late_usage.policy, plan.late_usage.horizon) == ("ignore", timedelta(days=30))
    assert Issuer(name="x").payment_terms == timedelta(days=14)
