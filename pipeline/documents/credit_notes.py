"""Credit notes take back parts of final invoices, with their discount and tax by cumulative rounding; voids; settling.

Source: rating.md §8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from pipeline.rating.tax import Taxable, tax_lines
from schemas.credit import CreditUse
from schemas.money import Currency, round_money
from schemas.quantity import ZERO, exact, exactly
from schemas.tax import AppliedTax, Exemption, TaxGroup

Status = Literal["draft", "open", "paid", "past_due", "uncollectible", "voided"]
NOT_FINAL: tuple[Status, ...] = ("draft",)


class NoteRefused(ValueError):
    """A credit note or a void that must not be made; the message names the field and says why."""


@dataclass(frozen=True, slots=True)
class CreditableLine:
    """A line of a final invoice: its amount before discounts, all its discount, its taxes."""

    id: str
    amount: Decimal
    discount: Decimal = ZERO
    taxes: tuple[AppliedTax, ...] = ()
    inclusive: bool = False


@dataclass(frozen=True, slots=True)
class Creditable:
    """What a credit note needs to know of an invoice."""

    currency: Currency
    status: Status
    lines: tuple[CreditableLine, ...]


@dataclass(frozen=True, slots=True)
class CreditedLine:
    """What a note takes back of a line; `net` = `gross` - `discount`."""

    line: str
    gross: Decimal
    discount: Decimal
    net: Decimal


@dataclass(frozen=True, slots=True)
class CreditNote:
    """Amounts that a note takes back, all positive; `total` = `net` + `tax`."""

    lines: tuple[CreditedLine, ...]
    net: Decimal
    tax: Decimal
    tax_by_rate: tuple[TaxGroup, ...]
    total: Decimal


@dataclass(frozen=True, slots=True)
class _SoFar:
    """What is credited in all up to a note."""

    gross: Mapping[str, Decimal]
    discount: Mapping[str, Decimal]
    net: Decimal
    tax: Decimal
    groups: Mapping[tuple[Decimal, Exemption | None], tuple[Decimal, Decimal]]


@exactly
def credit_note(invoice: Creditable, earlier: Sequence[CreditNote], gross: Mapping[str, Decimal]) -> CreditNote:
    """The note that takes back `gross` per line id, after the `earlier` ones of the same invoice.

    Discount and tax are what all notes together take back, rounded, less what was taken back before; so all of them
    together are the invoice, to the cent. Raises NoteRefused for an invoice that is not final, an unknown line, an
    amount that is not positive or not rounded, and for more than is left of a line.
    """
    _refuse_status(invoice)
    before = _gross_of(earlier)
    _refuse_lines(invoice, before, gross)
    then = _so_far(invoice, before)
    now = _so_far(invoice, {line.id: before.get(line.id, ZERO) + gross.get(line.id, ZERO) for line in invoice.lines})
    return CreditNote(
        lines=tuple(_credited(line.id, gross[line.id], then, now) for line in invoice.lines if line.id in gross),
        net=now.net - then.net,
        tax=now.tax - then.tax,
        tax_by_rate=tuple(_groups(then, now)),
        total=now.net + now.tax - then.net - then.tax,
    )


def void(invoice: Creditable, earlier: Sequence[CreditNote], paid: Decimal) -> CreditNote:
    """The note that books a void: all that is left of the invoice.

    The status `voided` is no booking: who books both reverses twice. Raises NoteRefused for a draft, an invoice that is
    void already, and one of which something has been paid.
    """
    _refuse_status(invoice)
    if exact(paid) != 0:
        raise NoteRefused(f"paid: must be 0 to void an invoice, not {paid}; credit it instead")
    before = _gross_of(earlier)
    left = {line.id: line.amount - before.get(line.id, ZERO) for line in invoice.lines}
    return credit_note(invoice, earlier, {line: amount for line, amount in left.items() if amount})


@dataclass(frozen=True, slots=True)
class Settlement:
    """Where a credited amount goes: `cancelled` + `restored` + `refunded` + `kept` is the amount of the note."""

    cancelled: Decimal
    restored: Decimal
    refunded: Decimal
    kept: Decimal


@exactly
def settle(
    credited: Decimal,
    total: Decimal,
    paid: Decimal,
    credits_used: Decimal,
    *,
    before: Sequence[Settlement] = (),
    policy: Literal["refund", "balance"] = "refund",
) -> Settlement:
    """Cancels what is still open, then restores credits to their grants, then refunds money or keeps it as balance.

    `paid` is all money ever paid for the invoice, `before` the settlements of its earlier notes. Raises ValueError for
    a negative amount and for more than the invoice has left.
    """
    for name, amount in (("credited", credited), ("total", total), ("paid", paid), ("credits_used", credits_used)):
        if exact(amount) < 0:
            raise ValueError(f"{name}: must be at least 0, not {amount}")
    back = credited - credited
    restorable = credits_used - sum((done.restored for done in before), ZERO)
    refundable = paid - sum((done.refunded + done.kept for done in before), ZERO)
    settled = sum((done.cancelled + done.restored + done.refunded + done.kept for done in before), ZERO)
    # What is open now; money that came in after an earlier note cannot have paid what that note had cancelled.
    still_open = max(back, total - settled - restorable - refundable)
    cancelled = min(credited, still_open)
    restored = min(credited - cancelled, restorable)
    rest = credited - cancelled - restored
    if rest > refundable:
        raise ValueError(f"credited: must be at most {cancelled + restored + refundable}, not {credited}")
    return Settlement(cancelled, restored, rest if policy == "refund" else back, rest if policy == "balance" else back)


def restore(amount: Decimal, uses: Sequence[CreditUse]) -> tuple[tuple[str, Decimal], ...]:
    """An amount of restored credits per grant: what was burnt last comes back first.

    `uses` are those of the invoice, in burn order, less what earlier notes restored. Raises ValueError if they do not
    hold that much.
    """
    rest, parts = amount, []
    for use in reversed([use for use in uses if use.treatment == "payment"]):
        part = min(rest, use.used)
        rest -= part
        if part:
            parts.append((use.grant, part))
    if rest:
        raise ValueError(f"amount: must be at most {amount - rest}, what the grants paid, not {amount}")
    return tuple(parts)


@dataclass(frozen=True, slots=True)
class SetOff:
    """A note of a run against its invoice: `due` is what the customer pays, `credited` what the note has left."""

    set_off: Decimal
    due: Decimal
    credited: Decimal


def set_off(due: Decimal, credited: Decimal) -> SetOff:
    """Sets a note off against the invoice of the same run before any payment is requested.

    `credited` is what of the note would be refunded or kept. Both stay separate documents, each with its own tax.
    """
    together = min(due, credited)
    return SetOff(together, due - together, credited - together)


def _refuse_status(invoice: Creditable) -> None:
    if invoice.status in NOT_FINAL:
        raise NoteRefused(f"invoice: is a {invoice.status}; only a final invoice can be credited or voided")
    if invoice.status == "voided":
        raise NoteRefused("invoice: is void already")


def _refuse_lines(invoice: Creditable, before: Mapping[str, Decimal], gross: Mapping[str, Decimal]) -> None:
    lines = {line.id: line for line in invoice.lines}
    for line_id, amount in gross.items():
        if line_id not in lines:
            raise NoteRefused(f"gross[{line_id}]: the invoice has no such line")
        if exact(amount) <= 0 or round_money(amount, invoice.currency) != amount:
            raise NoteRefused(f"gross[{line_id}]: must be a rounded amount greater than 0, not {amount}")
        left = lines[line_id].amount - before.get(line_id, ZERO)
        if amount > left:
            raise NoteRefused(f"gross[{line_id}]: must be at most {left}, what is left of the line, not {amount}")


def _gross_of(notes: Sequence[CreditNote]) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for note in notes:
        for line in note.lines:
            found[line.line] = found.get(line.line, ZERO) + line.gross
    return found


def _so_far(invoice: Creditable, gross: Mapping[str, Decimal]) -> _SoFar:
    """What crediting these amounts comes to in one go; notes are differences of it."""
    discount = {line.id: _discount(line, gross.get(line.id, ZERO), invoice.currency) for line in invoice.lines}
    taxes = tax_lines(
        [Taxable(gross.get(line.id, ZERO) - discount[line.id], line.taxes, line.inclusive) for line in invoice.lines],
        invoice.currency,
    )
    groups = {(group.percentage, group.exemption): (group.taxable, group.tax) for group in taxes.groups}
    return _SoFar(gross, discount, taxes.net, taxes.tax, groups)


def _discount(line: CreditableLine, gross: Decimal, currency: Currency) -> Decimal:
    return round_money(line.discount * gross / line.amount, currency) if line.amount else ZERO


def _credited(line_id: str, gross: Decimal, then: _SoFar, now: _SoFar) -> CreditedLine:
    discount = now.discount[line_id] - then.discount[line_id]
    return CreditedLine(line_id, gross, discount, gross - discount)


def _groups(then: _SoFar, now: _SoFar) -> list[TaxGroup]:
    """The groups that the note changes: those of which it takes something back."""
    found = []
    for (percentage, exemption), (taxable, tax) in now.groups.items():
        taxable_before, tax_before = then.groups[percentage, exemption]
        if taxable != taxable_before or tax != tax_before:
            found.append(TaxGroup(percentage, exemption, taxable - taxable_before, tax - tax_before))
    return found
