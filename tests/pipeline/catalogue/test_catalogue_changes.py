"""What applying a catalogue would change: new, unchanged, or replacing a version, told field by field."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.catalogue.changes import FieldChange, changes, content, differences, kept, refusals
from schemas.catalogue_entry import ENTRY, AnyEntry, Catalogue, MeterEntry, PlanEntry, catalogue_of
from schemas.meter import Meter
from schemas.plan import Plan

Entries = Sequence[AnyEntry]


def meter(name: str = "tokens", **given: Any) -> MeterEntry:
    told = {"id": name, "event_types": ["llm.request"], "aggregation": "sum", "value": "tokens", **given}
    return MeterEntry.of(Meter.model_validate(told))


def card(name: str = "use", price: str = "0.50", **given: Any) -> dict[str, Any]:
    return {"id": name, "meter": "tokens", "price": {"model": "per_unit", "unit_price": price}, **given}


def plan(*cards: dict[str, Any], priced: MeterEntry | None = None, **given: Any) -> PlanEntry:
    told = {"id": "team", "currency": "EUR", "rate_cards": list(cards) or [card()], **given}
    priced = priced or meter()
    return PlanEntry.of(Plan.model_validate(told), {priced.name: priced.version})


def told(current: Entries, entries: Entries) -> list[tuple[str, str, str]]:
    return [(c.status, c.entry.key, c.replaces) for c in changes(catalogue_of(current), entries)]


def test_what_the_log_does_not_have_is_new() -> None:
    assert told([], [meter(), plan()]) == [("new", meter().key, ""), ("new", plan().key, "")]


def test_applying_what_was_applied_changes_nothing() -> None:
    assert told([meter(), plan()], [meter(), plan()]) == [
        ("unchanged", meter().key, ""),
        ("unchanged", plan().key, ""),
    ]


def test_a_changed_price_replaces_the_plan_and_names_the_field() -> None:
    (change,) = changes(catalogue_of([plan()]), [plan(card(price="0.75"))])
    assert (change.status, change.replaces, change.returns) == ("replaces", plan().version, False)
    assert change.fields == (FieldChange("rate_cards[use].price.unit_price", "0.5", "0.75"),)


def test_a_changed_meter_changes_the_plans_that_price_it_too() -> None:
    finer = meter(group_by=["model"])
    first, second = changes(catalogue_of([meter(), plan()]), [finer, plan(priced=finer)])
    assert first.fields == (FieldChange("group_by[0]", None, "model"),)
    assert second.fields == (FieldChange("meters.tokens", meter().version, finer.version),)


def test_a_version_of_before_becomes_the_newest_again_and_says_so() -> None:
    (change,) = changes(catalogue_of([plan(), plan(card(price="0.75"))]), [plan()])
    assert (change.status, change.returns) == ("replaces", True)
    assert change.replaces == plan(card(price="0.75")).version


def test_rate_cards_are_compared_by_id_not_by_place() -> None:
    before, after = plan(card("a"), card("b")), plan(card("new"), card("a"), card("b", price="1"))
    (change,) = changes(catalogue_of([before]), [after])
    assert [(f.path, f.before) for f in change.fields if f.path != "rate_cards[new]"] == [
        ("rate_cards[b].price.unit_price", "0.5")
    ]
    assert [f.before for f in change.fields if f.path == "rate_cards[new]"] == [None]


def test_another_order_of_rate_cards_is_a_change_that_is_told() -> None:
    (change,) = changes(catalogue_of([plan(card("a"), card("b"))]), [plan(card("b"), card("a"))])
    assert change.fields == (FieldChange("rate_cards (order)", ["a", "b"], ["b", "a"]),)


@pytest.mark.parametrize(
    ("number", "price", "refused"),
    [(3, "0.50", False), (3, "0.75", True), (2, "0.75", False), (4, "0.75", False), (None, "0.75", False)],
)
def test_a_version_number_that_stands_for_other_content_is_refused(
    number: int | None, price: str, refused: bool
) -> None:
    current = catalogue_of([plan(version=3)])
    found = refusals(current, [plan(card(price=price), version=number)])
    assert bool(found) == refused
    assert not found or "must be a new number such as 4" in found[0]


def test_what_the_files_do_not_name_is_kept() -> None:
    assert kept(catalogue_of([meter(), meter("calls"), plan()]), [meter()]) == ("meter/calls", "plan/team")
    assert kept(Catalogue(), [meter()]) == ()


def test_an_entry_read_back_from_its_record_is_the_same_version() -> None:
    for entry in (meter(), plan()):
        assert told([entry], [ENTRY.validate_json(entry.model_dump_json())]) == [("unchanged", entry.key, "")]


leaves = st.none() | st.integers(0, 3) | st.sampled_from(["", "a", "b"])
documents = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3)
)


def present(value: Any) -> Any:
    """A document without what is absent: a key of nothing is no key, and nothing ends no list."""
    if isinstance(value, dict):
        return {key: below for key, each in value.items() if (below := present(each)) is not None}
    if isinstance(value, list):
        found = [present(each) for each in value]
        while found and found[-1] is None:
            found.pop()
        return found
    return value


@given(documents, documents)
def test_two_documents_differ_in_some_field_exactly_if_they_are_not_equal(before: Any, after: Any) -> None:
    assert bool(list(differences(before, after))) == (present(before) != present(after))


def test_the_content_of_an_entry_is_json() -> None:
    for entry in (meter(), plan()):
        assert json.loads(json.dumps(content(entry))) == content(entry)
