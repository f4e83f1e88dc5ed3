"""Hold rules: which drafts wait for a person, so that a producer's bug reaches no card. Functions of the log."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from decimal import Decimal

from schemas.invoice import Invoice
from schemas.issuer import HoldRules
from schemas.quantity import ZERO, plain

PlanVersion = tuple[str, str]


def held(
    draft: Invoice, rules: HoldRules, history: Decimal | None, billed_versions: Collection[PlanVersion] = ()
) -> tuple[str, ...]:
    """Why a draft waits; empty if it does not.

    `history` is the customer's largest total of earlier ticks in its currency, None without one; `billed_versions` the
    plan versions that earlier documents of the customer bill.
    """
    return (*_unpriced(draft), *_above_history(draft, rules, history), *_beyond_bounds(draft, rules),
            *_new_versions(draft, rules, billed_versions))  # fmt: skip


def _unpriced(draft: Invoice) -> Iterator[str]:
    """Usage that no price covers is never silently free."""
    charges = dict.fromkeys(line.rated.charge for line in draft.lines if line.rated.kind == "unpriced")
    for charge in charges:
        yield f"unpriced usage: {charge}"


def _above_history(draft: Invoice, rules: HoldRules, history: Decimal | None) -> Iterator[str]:
    total = draft.totals.total
    if rules.above_history is None or history is None or total <= (rules.at_least or ZERO):
        return
    if total > history * rules.above_history:
        yield f"total {total:f} is more than {plain(rules.above_history)} times {plain(history)}, the largest so far"


def _beyond_bounds(draft: Invoice, rules: HoldRules) -> Iterator[str]:
    for line in draft.lines:
        bound = rules.quantities.get(line.rated.meter or "")
        if bound is not None and line.rated.quantity > bound:
            yield f"quantity of {line.rated.meter}: {plain(line.rated.quantity)} is more than {plain(bound)}"


def _new_versions(draft: Invoice, rules: HoldRules, billed: Collection[PlanVersion]) -> Iterator[str]:
    if rules.new_plan_version:
        for plan, version in dict.fromkeys((line.plan, line.plan_version) for line in draft.lines):
            if (plan, version) not in billed:
                yield f"first document on plan {plan}@{version}"
