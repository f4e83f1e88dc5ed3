"""An invoice as a person reads it: lines, what each is made of, totals. The demo and `tally invoice` share it."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from agents.cli.screen import Screen
from schemas.invoice import Invoice, InvoiceLine
from schemas.period import Period
from schemas.quantity import ZERO, plain
from schemas.rated_line import RatedLine, TierUse
from schemas.tax import TaxGroup

COLUMNS = ("line", ">quantity", "unit", ">unit price", ">flat fee", ">exact", ">amount")
BUCKETS_SHOWN = 5
EXACT_DECIMALS = 12

Row = tuple[str, str, str, str, str, str, str]


def show_invoice(screen: Screen, invoice: Invoice) -> None:
    """One invoice as a table; below it the hash of its billed content."""
    screen.table(title(invoice), COLUMNS, [*line_rows(invoice), *total_rows(invoice)])
    screen.say(f"sha256 {invoice.sha256()}")


def title(invoice: Invoice) -> str:
    """Number, customer, what it covers, and whether it is paid."""
    span = f"{invoice.period.start:%Y-%m-%d} to {invoice.period.end:%Y-%m-%d}"
    return f"{invoice.number or 'draft ' + invoice.id[:8]}  {invoice.customer}  {span}  {invoice.status}"


def line_rows(invoice: Invoice) -> list[Row]:
    """Every line, with its parts indented below it."""
    return [row for line in invoice.lines for row in _line(invoice, line)]


def total_rows(invoice: Invoice) -> Iterator[Row]:
    """The totals: those between subtotal and amount due only where they say something."""
    totals = invoice.totals
    if totals.discount_total or totals.tax_by_rate:
        yield _sum("subtotal", totals.subtotal)
        if totals.discount_total:
            yield _sum("discounts", -totals.discount_total)
        yield from (_sum(_tax(group), group.tax) for group in totals.tax_by_rate)
    yield _sum("total", totals.total, invoice.currency)
    for each in invoice.deductions:
        yield _sum(f"billed before, to {each.period.end:%Y-%m-%d}: net {each.net:,f}, tax {each.tax:,f}", -each.total)
    if totals.excess:
        yield _sum("kept for the next invoice", totals.excess)
    if totals.credits_applied:
        yield _sum("credits", -totals.credits_applied)
    if totals.credits_applied or totals.deducted:
        yield _sum("amount due", totals.amount_due, invoice.currency)
    for use in invoice.credits:
        yield _note(f"{use.grant}: {use.used:,f} as {use.treatment}, {use.left:,f} left")


def number(value: Decimal) -> str:
    """A quantity or an exact amount for reading: grouped by thousands, without trailing zeros."""
    return f"{Decimal(plain(value)):,f}"


def exact_text(amount: Decimal) -> str:
    """An exact amount for reading: a quotient that does not end is cut, and says so."""
    text = number(amount)
    whole, point, decimals = text.partition(".")
    return text if len(decimals) <= EXACT_DECIMALS else f"{whole}{point}{decimals[:EXACT_DECIMALS]}…"


def _tax(group: TaxGroup) -> str:
    """A rate with what it is taken of, or why there is none."""
    why = f", {group.exemption.replace('_', ' ')}" if group.exemption else ""
    return f"tax {number(group.percentage)} % of {group.taxable:,f}{why}"


def _sum(name: str, amount: Decimal, currency: str = "") -> Row:
    return (name, "", "", "", "", "", f"{amount:,f} {currency}".rstrip())


def _line(invoice: Invoice, line: InvoiceLine) -> Iterator[Row]:
    yield from rated_rows(line.rated, invoice.period)
    for part in line.discounts:
        yield (f"  discount {part.source}", "", "", "", "", "", f"{-part.amount:,f}")


def rated_rows(rated: RatedLine, covers: Period) -> Iterator[Row]:
    """One rated line of a document that covers a span, and below it what its amount is made of."""
    exact = exact_text(rated.amount_exact) if rated.amount_exact != rated.amount else ""
    yield (rated.name, number(rated.quantity), rated.unit, *_price(rated), exact, f"{rated.amount:,f}")
    if rated.service != covers or (rated.proration is not None and not rated.proration.is_full):
        yield _note(_service(rated))
    yield from _groups(rated)
    yield from _quantities(rated)
    if not _is_one_price(rated):
        yield from (_tier(tier, low, rated.unit) for tier, low in _with_lows(rated.tiers))
    yield from _buckets(rated)
    yield from _deductions(rated)


def _price(rated: RatedLine) -> tuple[str, str]:
    """Unit price and flat fee of a line that has one price for all units; nothing where its parts say more."""
    if not _is_one_price(rated):
        return "", ""
    (tier,) = rated.tiers
    return number(tier.unit_price), number(tier.flat_fee) if tier.flat_fee else ""


def _is_one_price(rated: RatedLine) -> bool:
    return len(rated.tiers) == 1 and rated.tiers[0].up_to is None


def _service(rated: RatedLine) -> str:
    said = f"served {rated.service.start:%Y-%m-%d %H:%M} to {rated.service.end:%Y-%m-%d %H:%M}"
    share = rated.proration
    if share is None or share.is_full:
        return said
    return f"{said}, {number(share.numerator)} of {number(share.denominator)} {share.basis}s"


def _groups(rated: RatedLine) -> Iterator[Row]:
    if rated.dimensions:
        yield _note(_named(rated.dimensions))
    for group in rated.groups:
        if group.values:
            yield (f"  {_named(group.values)}", number(group.quantity), rated.unit, "", "", "", "")


def _named(values: object) -> str:
    pairs = values.items() if isinstance(values, dict) else dict(values).items()  # type: ignore[call-overload]
    return ", ".join(f"{name} {'–' if value is None else value}" for name, value in pairs)


def _quantities(rated: RatedLine) -> Iterator[Row]:
    """What a conversion or free units made of the quantity that was used."""
    if rated.kind != "usage":
        return
    if rated.converted_quantity != rated.quantity:
        yield ("  converted", number(rated.converted_quantity), "", "", "", "", "")
    if rated.billed_quantity != rated.converted_quantity:
        yield ("  after free units", number(rated.billed_quantity), "", "", "", "", "")


def _with_lows(tiers: tuple[TierUse, ...]) -> Iterator[tuple[TierUse, Decimal]]:
    low = ZERO
    for tier in tiers:
        yield tier, low
        low = tier.up_to if tier.up_to is not None else low


def _tier(tier: TierUse, low: Decimal, unit: str) -> Row:
    name = f"from {number(low)}" if tier.up_to is None else f"{number(low)} to {number(tier.up_to)}"
    fee = number(tier.flat_fee) if tier.flat_fee else ""
    return (f"    {name}", number(tier.units), unit, number(tier.unit_price), fee, number(tier.amount), "")


def _buckets(rated: RatedLine) -> Iterator[Row]:
    for bucket in rated.buckets[:BUCKETS_SHOWN]:
        name = _named(bucket.values) if bucket.window is None else f"{bucket.window.start:%Y-%m-%d %H:%M}"
        yield (f"    {name}", number(bucket.billed_quantity), rated.unit, "", "", number(bucket.amount), "")
    if len(rated.buckets) > BUCKETS_SHOWN:
        yield _note(f"and {len(rated.buckets) - BUCKETS_SHOWN:,} more windows or groups, each priced alone")


def _deductions(rated: RatedLine) -> Iterator[Row]:
    """Transactions, discounts and commitment, and what an earlier document billed of the period."""
    if (used := rated.transactions) is not None:
        yield _note(f"{used.events:,} transactions, {used.paid_events:,} of them charged")
    if rated.discounts:
        yield ("  before discounts", "", "", "", "", "", f"{rated.gross:,f}")
    for discount in rated.discounts:
        yield (f"  {discount.source.replace('_', ' ')}", "", "", "", "", "", f"{-discount.amount:,f}")
    if (held := rated.commitment) is not None:
        parts = f"used {held.utilized:,f}, overage {held.overage:,f}, true-up {held.true_up:,f}"
        yield _note(f"commitment {number(held.commitment)}: {parts}")
    if rated.reached is not None and rated.modifiers is not None and rated.modifiers.minimum is not None:
        yield _note(f"minimum {number(rated.modifiers.minimum)} of a whole period, reached {rated.reached:,f}")
    if rated.previous is not None:
        yield _note(f"billed before for this period: {rated.previous.total:,f}")
    if rated.problem is not None:
        yield _note(f"no price: {rated.problem}")
    if rated.invalid_events:
        yield _note(f"{rated.invalid_events:,} events without a usable value are not in the quantity")


def _note(text: str) -> Row:
    return (f"  {text}", "", "", "", "", "", "")
