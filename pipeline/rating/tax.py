"""Tax per rate and invoice, rounded once; shares per line for display. Source: rating.md §7."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from schemas.money import Currency, allocate, round_money
from schemas.period import Moment
from schemas.quantity import HUNDRED, ONE, ZERO, exactly, not_negative
from schemas.tax import AppliedTax, Exemption, TaxGroup, TaxRate

GroupKey = tuple[Decimal, Exemption | None]


@dataclass(frozen=True, slots=True)
class Taxable:
    """What is left of a line after all discounts, and its taxes; `inclusive` if they are contained in it."""

    net: Decimal
    taxes: tuple[AppliedTax, ...] = ()
    inclusive: bool = False

    @property
    def bases(self) -> Iterator[tuple[AppliedTax, Decimal]]:
        """Each tax with the factor of its base: 1, and for a compound one also the taxes listed before it."""
        if len(self.taxes) == 1:
            yield self.taxes[0], ONE
            return
        before = ZERO
        for tax in self.taxes:
            base = ONE + before if tax.compound else ONE
            yield tax, base
            before += base * tax.percentage / HUNDRED


@dataclass(frozen=True, slots=True)
class Taxes:
    """`total` = `net` + `tax`; `shares` is the tax of each line, allocated from the groups, never their source."""

    net: Decimal
    tax: Decimal
    total: Decimal
    groups: tuple[TaxGroup, ...]
    shares: tuple[Decimal, ...]


@dataclass(slots=True)
class _Sums:
    """Groups under construction, in order of first line, and what each line bears of them."""

    groups: dict[GroupKey, tuple[Decimal, Decimal]] = field(default_factory=dict)
    shares: dict[int, Decimal] = field(default_factory=lambda: defaultdict(lambda: ZERO))

    def add(self, key: GroupKey, taxable: Decimal, tax: Decimal) -> None:
        base, sum_of_tax = self.groups.get(key, (ZERO, ZERO))
        self.groups[key] = (base + taxable, sum_of_tax + tax)

    def share(self, tax: Decimal, weights: Mapping[int, Decimal], currency: Currency) -> None:
        for index, part in zip(weights, allocate(tax, list(weights.values()), currency), strict=True):
            self.shares[index] += part


@exactly
def tax_lines(lines: Sequence[Taxable], currency: Currency) -> Taxes:
    """The taxes of a document.

    Exclusive lines: per rate, the sum of their nets x the rate. Inclusive ones: per rate, net = gross x 100 /
    (100 + rate) and the tax is the rest, so that what was quoted is what is paid. Two taxes of one line have the same
    base; equal percentages share a group. Raises ValueError for a negative or inexact net.
    """
    zero = Decimal((0, (0,), -currency.minor_units))
    gross = [not_negative(line.net, f"lines[{index}].net") for index, line in enumerate(lines)]
    sums = _Sums()
    _add_exclusive(sums, lines, currency)
    contained = _add_inclusive(sums, lines, currency)
    groups = tuple(TaxGroup(*key, taxable=taxable, tax=tax) for key, (taxable, tax) in sums.groups.items())
    tax = sum((group.tax for group in groups), zero)
    net = sum(gross, zero) - contained
    return Taxes(net, tax, net + tax, groups, tuple(zero + sums.shares[index] for index in range(len(lines))))


def _add_exclusive(sums: _Sums, lines: Sequence[Taxable], currency: Currency) -> None:
    bases: dict[GroupKey, dict[int, Decimal]] = {}
    for index, line in enumerate(lines):
        for tax, base in () if line.inclusive else line.bases:
            weights = bases.setdefault((tax.percentage, tax.exemption), {})
            weights[index] = weights.get(index, ZERO) + (line.net if base is ONE else line.net * base)
    for (percentage, exemption), weights in bases.items():
        taxable = sum(weights.values(), ZERO)
        tax_of_group = round_money(taxable * percentage / HUNDRED, currency)
        sums.add((percentage, exemption), taxable, tax_of_group)
        sums.share(tax_of_group, weights, currency)


def _add_inclusive(sums: _Sums, lines: Sequence[Taxable], currency: Currency) -> Decimal:
    """Adds the lines that contain their taxes, together per set of rates; the tax that they contain."""
    together: dict[tuple[tuple[Decimal, bool, Exemption | None], ...], dict[int, Decimal]] = {}
    for index, line in enumerate(lines):
        if line.inclusive and line.taxes:
            rates = tuple((tax.percentage, tax.compound, tax.exemption) for tax in line.taxes)
            together.setdefault(rates, {})[index] = line.net
    contained = ZERO
    for weights in together.values():
        borne = list(lines[next(iter(weights))].bases)
        factors = [base * tax.percentage / HUNDRED for tax, base in borne]
        gross = sum(weights.values(), ZERO)
        net = round_money(gross / (ONE + sum(factors, ZERO)), currency)
        for (tax, base), part in zip(borne, allocate(gross - net, factors, currency), strict=True):
            sums.add((tax.percentage, tax.exemption), net if base == ONE else net * base, part)
        sums.share(gross - net, weights, currency)
        contained += gross - net
    return contained


def taxes_at(
    names: Iterable[str], rates: Mapping[str, TaxRate], tax_point: Moment, time_zone: str
) -> tuple[AppliedTax, ...]:
    """The taxes of a line by name, as they are on the local day of its tax point.

    The tax point of a line is the last moment of its service span; of a fee in advance the first; an adjustment has
    that of its original period. Raises LookupError for an unknown name.
    """
    day = tax_point.local_date(time_zone)
    found = []
    for name in names:
        if name not in rates:
            raise LookupError(f"tax_rates: no tax rate {name!r}")
        found.append(rates[name].on(day))
    return tuple(found)


def exempt(reason: Exemption) -> tuple[AppliedTax, ...]:
    """What replaces all taxes of an exempt line: a group of rate 0 with the reason, never a missing group."""
    return (AppliedTax("", ZERO, exemption=reason),)
