"""Lines, discounts, tax and credits become totals: sums of rounded lines. Source: rating.md §6, §7."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal

from pipeline.rating import credits, discounts
from pipeline.rating.credits import Payable
from pipeline.rating.tax import Taxable, exempt, tax_lines
from schemas.credit import CreditGrant, CreditUse
from schemas.discount import Discount, DiscountPart
from schemas.money import Currency, round_money
from schemas.period import Moment
from schemas.quantity import ZERO, exact, exactly
from schemas.tax import AppliedTax, Exemption, TaxGroup


@dataclass(frozen=True, slots=True)
class Line:
    """A rounded line on its way into a document: what it costs as quoted, its taxes, discounts of its own.

    `moment` is when a credit grant must be valid to pay it: the last of its service span, of a fee in advance the
    first. Lines without one are paid by no grant.
    """

    charge: str
    amount: Decimal
    taxes: tuple[AppliedTax, ...] = ()
    inclusive: bool = False
    moment: Moment | None = None
    discounts: tuple[Discount, ...] = ()


@dataclass(frozen=True, slots=True)
class LineTotals:
    """`net` = `amount` - `discount` (for a line that contains its tax, less `tax`, its share for display).

    `taxes` are those that applied: of an exempt line the one of rate 0.
    """

    charge: str
    amount: Decimal
    discounts: tuple[DiscountPart, ...]
    discount: Decimal
    net: Decimal
    tax: Decimal
    taxes: tuple[AppliedTax, ...]


@dataclass(frozen=True, slots=True)
class Totals:
    """§7: `net` = `subtotal` - `discount_total` (less the tax that inclusive lines contain), `total` = `net` + `tax`,
    `amount_due` = `total` - `credits_applied`. Credits treated as a discount are in `discount_total`."""

    subtotal: Decimal
    discount_total: Decimal
    net: Decimal
    tax: Decimal
    tax_by_rate: tuple[TaxGroup, ...]
    total: Decimal
    credits_applied: Decimal
    amount_due: Decimal
    lines: tuple[LineTotals, ...]
    credits: tuple[CreditUse, ...]


@exactly
def totals(
    lines: Sequence[Line],
    currency: Currency,
    *,
    discounts: Sequence[Discount] = (),
    grants: Sequence[CreditGrant] = (),
    exemption: Exemption | None = None,
    charges: Collection[str] | None = None,
    deducted: Decimal = ZERO,
) -> Totals:
    """The totals of a document: lines, line discounts, invoice discounts, tax, credits, amount due, in this order.

    `deducted` was billed before, by interim invoices: credits pay what is left.
    An `exemption` replaces the taxes of all lines. Raises ValueError for a line that is negative (those form a credit
    note) or not rounded, for another currency, and for a discount or grant limited to a charge that `charges` lacks.
    """
    _refuse(lines, currency, discounts, grants, charges)
    zero = Decimal((0, (0,), -currency.minor_units))
    parts = _discounted(lines, discounts, currency)
    gifts, parts = _gifted(lines, parts, grants, currency)
    taken = [sum((part.amount for part in held), zero) for held in parts]
    rests = [line.amount - off for line, off in zip(lines, taken, strict=True)]
    taxables = [
        Taxable(rest, line.taxes if exemption is None else exempt(exemption), line.inclusive)
        for line, rest in zip(lines, rests, strict=True)
    ]
    taxes = tax_lines(taxables, currency)
    nets = [
        rest - share if line.inclusive else rest for line, rest, share in zip(lines, rests, taxes.shares, strict=True)
    ]
    left = max(zero, taxes.total - deducted)
    paid = credits.pay(left, _payables(lines, nets, taxes.shares) if grants else (), grants, currency)
    return Totals(
        subtotal=sum((line.amount for line in lines), zero),
        discount_total=sum(taken, zero),
        net=taxes.net,
        tax=taxes.tax,
        tax_by_rate=taxes.groups,
        total=taxes.total,
        credits_applied=left - paid.due,
        amount_due=paid.due,
        lines=tuple(
            LineTotals(line.charge, line.amount, held, off, net, share, taxable.taxes)
            for line, held, off, net, share, taxable in zip(
                lines, parts, taken, nets, taxes.shares, taxables, strict=True
            )
        ),
        credits=(*gifts, *paid.uses),
    )


def _refuse(
    lines: Sequence[Line],
    currency: Currency,
    found: Sequence[Discount],
    grants: Sequence[CreditGrant],
    charges: Collection[str] | None,
) -> None:
    for index, line in enumerate(lines):
        amount = exact(line.amount)
        if amount < 0:
            raise ValueError(f"lines[{index}].amount: must be at least 0, not {amount}: it belongs on a credit note")
        if round_money(amount, currency) != amount:
            raise ValueError(f"lines[{index}].amount: {amount} is not rounded to {currency.minor_units} decimals")
    if charges is not None:
        discounts.refuse_unknown_charges([*found, *(own for line in lines for own in line.discounts)], charges)
        credits.refuse_unknown_charges(grants, charges)


def _discounted(lines: Sequence[Line], found: Sequence[Discount], currency: Currency) -> list[tuple[DiscountPart, ...]]:
    """What each discount takes off each line: discounts of the lines first, then of the invoice on what is left."""
    if not found and not any(line.discounts for line in lines):
        return [()] * len(lines)
    of_lines = [discount for discount in found if discount.scope == "line"]
    own = [
        discounts.discount_amount(
            line.amount, (*line.discounts, *(held for held in of_lines if held.covers(line.charge))), currency
        )
        for line in lines
    ]
    rests = [(line.charge, held.rest) for line, held in zip(lines, own, strict=True)]
    of_invoice = [discount for discount in found if discount.scope == "invoice"]
    shared = discounts.discount_lines(rests, of_invoice, currency)
    return [(*first.parts, *second.parts) for first, second in zip(own, shared, strict=True)]


def _gifted(
    lines: Sequence[Line], parts: list[tuple[DiscountPart, ...]], grants: Sequence[CreditGrant], currency: Currency
) -> tuple[tuple[CreditUse, ...], list[tuple[DiscountPart, ...]]]:
    """What grants that are a discount give, and the discounts of each line with it."""
    if not grants:
        return (), parts
    nets = [line.amount - sum((part.amount for part in held), ZERO) for line, held in zip(lines, parts, strict=True)]
    uses, given = credits.discount_by_grants(_payables(lines, nets, [ZERO] * len(lines)), grants, currency)
    return uses, [(*held, *gift) for held, gift in zip(parts, given, strict=True)]


def _payables(lines: Sequence[Line], nets: Sequence[Decimal], shares: Sequence[Decimal]) -> list[Payable]:
    return [Payable(line.charge, net, line.moment, share) for line, net, share in zip(lines, nets, shares, strict=True)]
