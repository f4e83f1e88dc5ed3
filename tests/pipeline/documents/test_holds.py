"""A draft that looks like a producer's bug waits for a person; the rules are functions of what was billed before."""

from __future__ import annotations

from decimal import Decimal

import pytest

from pipeline.documents.holds import held
from schemas.issuer import HoldRules
from tests.pipeline.document_log import invoice, rated

D = Decimal
NOTHING = HoldRules()
DRAFT = invoice("a", {"fee": "100.00"})  # with tax 121.00


@pytest.mark.parametrize(
    ("history", "at_least", "waits"),
    [
        ("12.10", None, False),  # exactly ten times
        ("12.09", None, True),
        (None, None, False),  # a first document has no history
        ("0.00", None, True),
        ("12.09", "121.00", False),
        ("12.09", "120.99", True),
    ],
)
def test_a_total_far_above_the_customers_own_history_waits(
    history: str | None, at_least: str | None, waits: bool
) -> None:
    rules = HoldRules(above_history=D(10), at_least=None if at_least is None else D(at_least))
    assert bool(held(DRAFT, rules, None if history is None else D(history))) is waits


def test_a_quantity_beyond_the_bound_of_a_meter_waits() -> None:
    line = DRAFT.lines[0]
    used = line.model_copy(
        update={"rated": rated("use", D("1.00")).model_copy(update={"meter": "calls", "quantity": D(11)})}
    )
    draft = DRAFT.model_copy(update={"lines": (used,)})
    assert held(draft, HoldRules(quantities={"calls": D(11)}), None) == ()
    assert held(draft, HoldRules(quantities={"calls": D(10)}), None) == ("quantity of calls: 11 is more than 10",)


def test_usage_without_a_price_always_waits() -> None:
    line = DRAFT.lines[0]
    unpriced = line.model_copy(update={"rated": line.rated.model_copy(update={"kind": "unpriced"})})
    assert held(DRAFT.model_copy(update={"lines": (unpriced,)}), NOTHING, None) == ("unpriced usage: fee",)
    assert held(DRAFT, NOTHING, D("0.01")) == ()


def test_the_first_document_on_a_plan_version_waits_if_that_is_wanted() -> None:
    rules = HoldRules(new_plan_version=True)
    assert held(DRAFT, rules, None, {("p", "0")}) == ("first document on plan p@1",)
    assert held(DRAFT, rules, None, {("p", "1")}) == ()
