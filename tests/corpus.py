"""Closes with their usage and catalogue, and the documents that they became: what every later version must reproduce.

A file holds inputs and expected bytes of one close under the engine that its tick asks for. Files are written once:
`python -m tests.corpus` writes those of `CASES` that are not there, for the present engine, and changes none.
Until that engine is released, `python -m tests.corpus --unreleased` writes all of its files anew.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from pipeline.closing.engines import engine_of
from pipeline.documents.books import Books
from pipeline.documents.invoicing import NO_TERMS
from pipeline.rating.charge_lines import Usage
from schemas.catalogue_entry import ENTRY, MeterEntry, PlanEntry, catalogue_of
from schemas.customer_state import DuePeriod, PeriodClosed
from schemas.document_log import Finalisation
from schemas.engine import ENGINE
from schemas.identity import canonical_json
from schemas.meter import Meter
from schemas.period import Period
from schemas.plan import Plan
from schemas.tax import TaxRate
from schemas.tick import Tick, Vector

FOLDER = Path(__file__).parent / "schemas" / "corpus"
USAGE: TypeAdapter[Usage] = TypeAdapter(Usage)
D = Decimal
OCTOBER = Period(datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC))
SERVED = Period(datetime(2026, 10, 12, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC))
CALLS = MeterEntry.of(Meter.model_validate({"id": "calls", "event_types": ["call"], "aggregation": "count"}))
TOKENS = MeterEntry.of(
    Meter.model_validate({"id": "tokens", "event_types": ["call"], "aggregation": "sum", "value": "tokens",
                          "group_by": ["model"], "unit": "tokens"})
)  # fmt: skip
VAT = TaxRate.model_validate({"id": "vat", "percentages": [{"percentage": "21"}]})


@dataclass(frozen=True)
class Case:
    """One plan, what was used of it, and the part of October that was served."""

    cards: Sequence[Mapping[str, Any]]
    usage: Mapping[str, Sequence[Usage]] = field(default_factory=dict)
    served: Period = OCTOBER
    plan: Mapping[str, Any] = field(default_factory=dict)


def day(number: int) -> Period:
    """A day of October."""
    return Period(datetime(2026, 10, number, tzinfo=UTC), datetime(2026, 10, number + 1, tzinfo=UTC))


FEE = {"id": "fee", "timing": "advance", "price": {"model": "flat", "amount": "31.00"}}
TIERS = [{"up_to": "50", "unit_price": "0.80", "flat_fee": "4.00"},
         {"up_to": "200", "unit_price": "0.55", "flat_fee": "2.50"}, {"unit_price": "0.30"}]  # fmt: skip
MODELS = {"tokens": [Usage(("large",), D("40.5"), 3), Usage(("small",), D(10), 2, 1), Usage((None,), D("0.125"), 1)]}
CASES: Mapping[str, Case] = {
    "graduated-with-tax": Case(
        [FEE, {"id": "tokens", "meter": "tokens", "price": {"model": "graduated", "tiers": TIERS}}], MODELS,
        plan={"tax_rates": ["vat"]},
    ),
    "volume-tax-inclusive": Case(
        [FEE, {"id": "tokens", "meter": "tokens", "price": {"model": "volume", "tiers": TIERS}}], MODELS,
        plan={"tax_rates": ["vat"], "tax_behavior": "inclusive"},
    ),
    "prorated-minimum-and-free-units": Case(
        [{**FEE, "proration": {"basis": "day", "applies_to": ["fee"]}},
         {"id": "calls", "meter": "calls", "free_units": "15", "minimum": "60.00", "percentage_discount": "10",
          "proration": {"basis": "day", "applies_to": ["minimum"]},
          "price": {"model": "per_unit", "unit_price": "0.45"}}],
        {"calls": [Usage((), D(85), 85)]}, served=SERVED,
    ),
    "package-with-maximum": Case(
        [{"id": "calls", "meter": "calls", "maximum": "9.995",
          "price": {"model": "package", "package_size": "24", "package_price": "3.60", "free_units": "5"}}],
        {"calls": [Usage((), D(101), 101)]},
    ),
    "bucketed-by-day": Case(
        [{"id": "calls", "meter": "calls", "price": {"model": "bucketed", "by": "day", "free_units_per_bucket": "100",
                                                     "price": {"model": "per_unit", "unit_price": "0.04"}}}],
        {"calls": [Usage((), D(n), n, 0, day(at), "day") for at, n in ((3, 130), (4, 60), (9, 101))]},
    ),
    "percentage-of-transactions": Case(
        [{"id": "share", "meter": "tokens", "price": {"model": "percentage", "rate_percent": "1.8", "fixed_fee": "0.25",
                                                      "free_events": "4", "free_amount": "120"}}],
        {"tokens": [Usage((), D(amount), 1, 0, None, "transactions") for amount in (40, 60, 35, 90)]},
    ),
    "matrix-by-model": Case(
        [{"id": "tokens", "meter": "tokens", "price": {"model": "matrix", "default_unit_price": "0.01", "prices": [
            {"match": {"model": ["large"]}, "unit_price": "0.075"},
            {"match": {"model": ["*"]}, "unit_price": "0.02"}]}}],
        MODELS,
    ),
    "commitment-with-overage": Case(
        [{"id": "calls", "meter": "calls", "commitment": {"amount": "200.00", "overage_factor": "1.25"},
          "price": {"model": "per_unit", "unit_price": "0.08"}}],
        {"calls": [Usage((), D(3100), 3100)]},
    ),
    "yen-without-minor-unit": Case(
        [{"id": "tokens", "meter": "tokens", "price": {"model": "per_unit", "unit_price": "0.5"}}], MODELS,
        plan={"currency": "JPY"},
    ),
}  # fmt: skip


def inputs(name: str, case: Case) -> dict[str, Any]:
    """What a file of the corpus holds, but for the expected bytes."""
    fields = {"id": "corpus", "currency": "EUR", "rate_cards": list(case.cards), **case.plan}
    plan = PlanEntry.of(
        Plan.model_validate(fields), {"calls": CALLS.version, "tokens": TOKENS.version},
        [VAT] if "tax_rates" in fields else [],
    )  # fmt: skip
    due = DuePeriod(subscription="sub", plan=plan.name, plan_version=plan.version, currency=str(fields["currency"]),
                    time_zone="Europe/Berlin", period=OCTOBER, service=case.served)  # fmt: skip
    vector = Vector(ends={"usage.events": (1000, 2000), "billing.attributions": (3,), "billing.catalogue": (5,)})
    closed = PeriodClosed(
        close_id="3b1c6c58-6f0f-5b6a-9a59-5f0c3f3f7c11", customer=f"customer-{name}", revision=0,
        tick=Tick(number=44, time=OCTOBER.end, clock="test", vector=vector, engine=ENGINE), periods=(due,),
        usage_rows=sum(len(rows) for rows in case.usage.values()), events=10, fingerprint=f"10-{7:032x}",
    )  # fmt: skip
    return {
        "closed": closed.model_dump(mode="json"),
        "catalogue": [ENTRY.dump_python(entry, mode="json") for entry in (CALLS, TOKENS, plan)],
        "usage": [
            {"subscription": "sub", "meter": meter, "service": due.model_dump(mode="json")["service"],
             **USAGE.dump_python(row, mode="json")}
            for meter, rows in case.usage.items() for row in rows
        ],
    }  # fmt: skip


def documents(content: Mapping[str, Any]) -> Iterator[str]:
    """The final documents of a file's inputs, as canonical JSON, by the engine that its tick asks for."""
    closed = PeriodClosed.model_validate(content["closed"])
    catalogue = catalogue_of([ENTRY.validate_python(entry) for entry in content["catalogue"]])
    usage: dict[tuple[str, str, Period], list[Usage]] = {}
    for row in content["usage"]:
        own = {name: value for name, value in row.items() if name not in ("subscription", "meter", "service")}
        span = Period(**{name: datetime.fromisoformat(moment) for name, moment in row["service"].items()})
        usage.setdefault((row["subscription"], row["meter"], span), []).append(USAGE.validate_python(own))
    engine = engine_of(closed.tick)
    books = Books()
    for offset, draft in enumerate(
        engine.invoices(closed, engine.lines(closed, usage, catalogue, ()), catalogue, NO_TERMS)
    ):
        books.documents[draft.id] = draft
        final = Finalisation(document_id=draft.id, series="INV", customer=draft.customer, tick=closed.tick.number)
        for change in books.enter(offset, final).changes:
            yield canonical_json(change.document.model_dump(mode="json")).decode()


def main(*, unreleased: bool) -> None:
    """Writes the cases that are not there yet; of an engine that is not released, all."""
    folder = FOLDER / f"engine-{ENGINE}"
    folder.mkdir(parents=True, exist_ok=True)
    for name, case in CASES.items():
        file = folder / f"{name}.json"
        if unreleased or not file.exists():
            content = inputs(name, case)
            whole = {**content, "documents": list(documents(content))}
            file.write_text(json.dumps(whole, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
            print(file)


if __name__ == "__main__":
    main(unreleased="--unreleased" in sys.argv)
