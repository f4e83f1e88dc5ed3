"""The demo's proof: what a simulation knows about itself, against what Tally stored and billed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from decimal import Decimal

from agents.cli.screen import Screen
from agents.cli.stage import Accounting
from deploy.demo.truth import Truth
from schemas.invoice import Invoice


def show_accounting(screen: Screen, truth: Truth, found: Accounting) -> None:
    """Prints where every record ended."""
    dead, died = sum(truth.dead.values()), sum(found.dead.values())
    rows: list[tuple[object, ...]] = [
        ("produced", f"{truth.produced:,}", f"{found.produced:,}", _mark(truth.produced == found.produced)),
        ("= counted", f"{truth.counted:,}", f"{found.counted:,}", _mark(truth.counted == found.counted)),
        ("    of these late", f"{truth.late:,}", f"{found.late:,}", _mark(truth.late == found.late)),
        ("+ duplicates", f"{truth.duplicates:,}", f"{found.duplicates:,}", _mark(truth.duplicates == found.duplicates)),
        ("+ corrections", "0", f"{found.corrections:,}", _mark(found.corrections == 0)),
        ("+ dead letters", f"{dead:,}", f"{died:,}", _mark(dead == died)),
    ]
    for reason in sorted({*truth.dead, *found.dead}):
        expected, actual = truth.dead.get(reason, 0), found.dead.get(reason, 0)
        rows.append((f"    {reason}", expected, actual, _mark(expected == actual)))
    screen.table("", ("record", ">the simulator says", ">stored", ""), rows)


def _mark(equal: bool) -> str:
    return "✓" if equal else "✗"


def compare_accounting(truth: Truth, found: Accounting) -> Iterator[str]:
    """Every count that differs, in words."""
    for what, expected, actual in (
        ("produced", truth.produced, found.produced),
        ("counted", truth.counted, found.counted),
        ("late", truth.late, found.late),
        ("duplicates", truth.duplicates, found.duplicates),
        ("corrections", 0, found.corrections),
        ("dead letters by reason", dict(truth.dead), dict(found.dead)),
        ("events by customer", dict(truth.events), dict(found.events)),
        ("produced = counted + duplicates + dead", found.produced, _ended(found)),
    ):
        if expected != actual:
            yield f"{what}: expected {expected}, found {actual}"
    yield from found.unbalanced


def _ended(found: Accounting) -> int:
    return found.counted + found.duplicates + found.corrections + sum(found.dead.values())


def compare_totals(truth: Truth, invoices: Sequence[Invoice], customers: Collection[str]) -> Iterator[str]:
    """Every billed quantity that is not what the events add up to, in words; and customers without an invoice."""
    billed = {invoice.customer for invoice in invoices}
    for customer in sorted(set(customers) - billed):
        yield f"{customer} has no invoice"
    for invoice in invoices:
        for line in invoice.lines:
            if line.rated.meter is None:
                continue
            expected = _expected(truth, invoice.customer, line.rated.meter)
            actual = {_group(group.values): group.quantity for group in line.rated.groups}
            if expected != actual or sum(expected.values()) != line.rated.quantity:
                yield f"{invoice.customer}, {line.rated.name}: expected {expected}, billed {actual}"


def _expected(truth: Truth, customer: str, meter: str) -> dict[str, Decimal]:
    return {group: value for (who, what, group), value in truth.totals.items() if (who, what) == (customer, meter)}


def _group(values: object) -> str:
    """The group of a total, as the simulation names it: the only value, or nothing."""
    found = list(values.values()) if isinstance(values, dict) else []
    return str(found[0]) if found else ""
