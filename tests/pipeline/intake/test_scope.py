"""What a scope covers: names and what is below them; never a neighbour whose name begins alike."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.intake.scope import correction_refusal, covered, is_everything, refusal
from schemas.token import EVERYTHING, Scope

ACME = Scope(subjects=("acme",), customers=("umbrella",), sources=("/acme",))


@pytest.mark.parametrize(
    ("prefix", "name", "yes"),
    [
        ("acme", "acme", True),
        ("acme", "acme/key-7", True),
        ("acme", "acme-2/key-7", False),
        ("acme", "acm", False),
        ("acme/", "acme/key-7", True),
        ("acme/", "acme", False),
        ("acme-*", "acme-2/key-7", True),
        ("acme-*", "acme/key-7", False),
        ("*", "whoever", True),
        ("acme", "ACME", False),
        ("acme", "acme\x00/x", False),
    ],
)
def test_a_prefix_covers_itself_and_what_is_below_it(prefix: str, name: str, yes: bool) -> None:
    assert covered(name, [prefix]) is yes


@given(st.text(min_size=1), st.text(min_size=1))
def test_a_prefix_without_a_star_covers_nothing_that_leaves_its_path(prefix: str, name: str) -> None:
    if covered(name, [prefix]) and not prefix.endswith("*"):
        assert name == prefix or name.startswith(prefix.rstrip("/") + "/")


@pytest.mark.parametrize(
    ("subject", "customer", "source", "fault"),
    [
        ("acme/key-1", "acme", "/acme/eu", ""),
        ("anything", "umbrella", "/acme", ""),
        ("acme-2/key-1", "acme-2", "/acme", "subject: 'acme-2/key-1'"),
        ("acme/key-1", "acme", "/other", "source: '/other'"),
        ("acme/key-1", "acme", "/acme-2", "source: '/acme-2'"),
    ],
)
def test_an_event_is_covered_by_its_subject_or_its_customer_and_by_its_source(
    subject: str, customer: str, source: str, fault: str
) -> None:
    assert refusal(ACME, subject=subject, source=source, customer=customer).startswith(fault)
    assert bool(refusal(ACME, subject=subject, source=source, customer=customer)) is bool(fault)


def test_who_may_use_any_source_but_not_any_subject_corrects_nothing_for_its_events_are_not_told_apart() -> None:
    broad = Scope(subjects=("acme",), sources=("*",))
    assert correction_refusal(broad, target_source="/acme")
    assert not correction_refusal(ACME, target_source="/acme/eu")
    assert correction_refusal(ACME, target_source="/other")
    assert not correction_refusal(EVERYTHING, target_source="/other")


def test_a_scope_says_whose_and_from_where() -> None:
    with pytest.raises(ValidationError, match="subjects or customers"):
        Scope(sources=("*",))
    with pytest.raises(ValidationError, match="sources"):
        Scope(subjects=("acme",), sources=())
    assert is_everything(EVERYTHING)
    assert not is_everything(Scope(subjects=("*",), sources=("/acme",)))
