"""rating.md §5, "Progressive billing": interim invoices when an amount crosses a threshold."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.closing.progressive import progressive_billing
from tests.pipeline.rate_cards import D

LEVELS = [D(50), D(120)]


def interims(amounts: list[str], thresholds: list[str], step: str | None = None, **keys: Any) -> list[tuple[int, str]]:
    (period,) = progressive_billing(
        [[D(amount) for amount in amounts]], [D(one) for one in thresholds], None if step is None else D(step), **keys
    )
    return [(interim.event, str(interim.amount)) for interim in period.interims]


def test_lifetime_thresholds_bill_the_example_of_section_5() -> None:
    used = accumulate([2000, 1000, 2500, 800, 4000, 1000])
    amounts = [D("0.02") * quantity for quantity in used]
    assert amounts == [40, 60, 110, 126, 206, 226]
    (period,) = progressive_billing([amounts], LEVELS, D(100), base="lifetime", fees=[D("25.00")])
    assert [interim.amount for interim in period.interims] == [60, 66, 100]
    assert (period.fees + period.usage, period.deducted, period.final) == (251, 226, 25)


@pytest.mark.parametrize(
    ("amounts", "thresholds", "step", "found"),
    [
        (["49.99"], ["50"], None, []),
        (["50"], ["50"], None, [(0, "50")]),
        (["50", "99", "200"], ["50"], None, [(0, "50")]),  # a threshold counts once
        (["200"], ["50", "120"], None, [(0, "200")]),  # several crossings at once are one invoice
        (["60", "119", "190"], ["50", "120"], None, [(0, "60"), (2, "130")]),  # unbilled starts again at 0
        (["60", "170", "185"], ["50", "120"], None, [(0, "60"), (2, "125")]),
        (["100", "150", "200", "310"], [], "100", [(0, "100"), (2, "100"), (3, "110")]),
        (["60", "61", "62"], [], None, []),
        (["60", "40", "60"], ["50"], None, [(0, "60")]),  # a correction and back again
    ],
)
def test_unbilled_amounts_start_again_with_each_interim_invoice(
    amounts: list[str], thresholds: list[str], step: str | None, found: list[tuple[int, str]]
) -> None:
    assert interims(amounts, thresholds, step) == found


def test_unbilled_thresholds_start_anew_with_each_period_and_lifetime_ones_never_do() -> None:
    twice = [[D(60)], [D(60)]]
    unbilled = progressive_billing(twice, [D(50)])
    lifetime = progressive_billing(twice, [D(50)], base="lifetime")
    assert [len(period.interims) for period in unbilled] == [1, 1]
    assert [len(period.interims) for period in lifetime] == [1, 0]


@pytest.mark.parametrize(
    ("thresholds", "step", "problem"),
    [
        (["50", "50"], None, r"thresholds\[1\]: must be greater than 50"),
        (["0"], None, r"thresholds\[0\]: must be greater than 0"),
        (["50"], "0", "recurring_threshold: must be greater than 0"),
    ],
)
def test_thresholds_that_do_not_ascend_are_refused(thresholds: list[str], step: str | None, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        interims(["1"], thresholds, step)


amount_lists = st.lists(st.lists(st.integers(0, 50_000).map(lambda n: D(n).scaleb(-2)), max_size=8), max_size=4)


@given(amount_lists, st.sampled_from(["unbilled", "lifetime"]), st.none() | st.just(D(30)))
def test_interim_invoices_never_change_what_a_period_comes_to(
    periods: list[list[D]], base: Any, step: D | None
) -> None:
    billed = progressive_billing(periods, LEVELS, step, base=base)
    for amounts, period in zip(periods, billed, strict=True):
        assert period.deducted + period.final == (amounts[-1] if amounts else 0)


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=20))
def test_unbilled_growth_never_reaches_the_lowest_recurring_step(parts: list[int]) -> None:
    amounts = [D(amount).scaleb(-2) for amount in accumulate(parts)]
    (period,) = progressive_billing([amounts], [], D(100))
    billed = D(0)
    at = {interim.event: interim.amount for interim in period.interims}
    for event, amount in enumerate(amounts):
        billed += at.get(event, D(0))
        assert amount - billed < 100
