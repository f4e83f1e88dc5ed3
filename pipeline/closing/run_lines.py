"""The lines of a run: per charge and grid period what is owed now, less what was issued for it. Source: rating.md §5.

Debits become the invoice of the run, credits its credit note: separate documents (rating.md §8).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Literal

from pipeline.closing.commitments import so_far, true_up
from pipeline.closing.issued import issued_line
from pipeline.rating.charge_lines import Usage, fee_line, rate_fee_anew, rate_metered, terms_of
from pipeline.subscriptions.commitments import COMMITMENT, charged_cards
from schemas.catalogue_entry import Catalogue, PlanEntry
from schemas.customer_state import DueCharge, DuePeriod, Late, OneOff, PeriodClosed
from schemas.issued_line import IssuedLine
from schemas.money import Currency, currency, round_money
from schemas.period import Moment, Period
from schemas.plan import Plan, RateCard
from schemas.price import Flat
from schemas.quantity import ONE, ZERO
from schemas.rated_line import RatedLine
from schemas.tax import TaxRate

ALONE = "one-off"
SALE = "credits/"
"""Begins the group of a sale of credits, which has a document of its own."""
"""The group of lines that are billed on an invoice of their own."""
IssuedKey = tuple[str, str, int, Period]
IssuedByKey = Mapping[IssuedKey, Sequence[IssuedLine]]
UsageByMeter = Mapping[tuple[str, str, Period], Sequence[Usage]]
"""(subscription, meter, served span) -> usage per group."""


@dataclass(frozen=True, slots=True)
class RunLine:
    """A rated line with what it is for: positive amounts are owed, negative ones given back."""

    subscription: str
    charge: DueCharge
    plan: str
    plan_version: str
    rated: RatedLine
    span: Period
    """The served span that it bills, or (of a credit) the span given back."""
    period: Period
    time_zone: str
    tax_point: Moment
    """The last moment of its service span, of a fee in advance the first; a correction keeps that of its original."""
    tax_rates: tuple[str, ...]
    known_rates: Mapping[str, TaxRate]
    inclusive: bool
    rerates: bool = False
    late: Late | None = None
    interim: bool = False
    """Whether it bills a running period so far."""
    entry: int = 0
    """Which of the lines of its charge with equal dimensions it is."""

    @property
    def amount(self) -> Decimal:
        """Rounded; negative if it gives back."""
        return self.rated.amount

    def issued(self) -> IssuedLine:
        """The line as the next run of its charge and period deducts it."""
        return issued_line(
            self.subscription, self.charge.number, self.rated, self.span, self.entry, interim=self.interim
        )


@dataclass(frozen=True, slots=True)
class Known:
    """What was issued, as lines of a due period see it."""

    deducted: IssuedByKey
    """By runs before, for the same charge and period: what is deducted from what is owed."""
    before: IssuedByKey
    """By runs before, of whole periods."""
    now: IssuedByKey
    """By this run, of periods that end before or with the due one."""

    def with_own(self, own: IssuedByKey) -> tuple[IssuedByKey, ...]:
        """What commitments count: with the lines of the due period itself."""
        return self.before, self.now, own


@dataclass(frozen=True, slots=True)
class RunLines:
    """What goes on the documents of one currency and group: debits, then credits, each in order of charges.

    A run whose lines cancel out has neither.
    """

    money: Currency
    group: str
    debits: tuple[RunLine, ...]
    credits: tuple[RunLine, ...]
    is_skipped: bool = False
    """Whether it has nothing to announce: no line, or nothing owed where every plan skips such invoices."""

    @property
    def sells_credits(self) -> bool:
        """Whether it is a sale of prepaid credits: no service yet."""
        return any(line.rated.kind == "credits" for line in self.debits)

    @property
    def all(self) -> tuple[RunLine, ...]:
        """Debits and credits."""
        return (*self.debits, *self.credits)


def run_lines(
    closed: PeriodClosed, usage: UsageByMeter, catalogue: Catalogue, issued: Sequence[IssuedLine] = ()
) -> tuple[RunLines, ...]:
    """The lines of a close per (currency, group), in their order.

    `issued` are all lines of the customer's earlier runs; only periods that are rated anew look at them. Raises
    LookupError for a plan version that the catalogue does not have.
    """
    before: dict[IssuedKey, list[IssuedLine]] = defaultdict(list)
    interim: dict[IssuedKey, list[IssuedLine]] = defaultdict(list)
    for line in issued:
        (interim if line.interim else before)[line.key].append(line)
    found: dict[tuple[str, str], list[RunLine]] = {}
    skips: dict[tuple[str, str], bool] = {}
    billed = _billed(closed, usage, catalogue, before, interim)
    for due, lines in zip(closed.periods, billed, strict=True):
        entry = plan_of(due, catalogue)
        key = (due.currency, due.group)
        found.setdefault(key, []).extend(lines)
        silent = due.rerates or due.interim or (entry.plan.zero_invoices == "skip" and not due.interims)
        skips[key] = skips.get(key, True) and silent
    for one in closed.one_offs:
        group = f"{SALE}{one.id}" if one.sells else ALONE if one.alone else _group_of(closed, one)
        key = (one.currency, group)
        found.setdefault(key, []).append(_one_off(one, closed, catalogue))
        skips[key] = False
    return tuple(_split(key, lines, closed, catalogue, skips[key]) for key, lines in sorted(found.items()))


def _billed(
    closed: PeriodClosed, usage: UsageByMeter, catalogue: Catalogue, before: IssuedByKey, interim: IssuedByKey
) -> list[list[RunLine]]:
    """The lines of each due period; rated in order of their ends: commitments count what ends before, or with them."""
    found: dict[int, list[RunLine]] = {}
    now: dict[IssuedKey, list[IssuedLine]] = {}
    has_commitments = any(due.counted or any(charge.term for charge in due.charges or ()) for due in closed.periods)
    for index in sorted(range(len(closed.periods)), key=lambda index: _turn(closed.periods[index])):
        due = closed.periods[index]
        known = Known(interim if due.interim else before, before, now)
        lines = list(_lines(due, plan_of(due, catalogue), usage, catalogue, known))
        found[index] = settled(due, lines)
        if has_commitments and not due.interim:
            _note(found[index], now)
    return [found[index] for index in range(len(closed.periods))]


def _turn(due: DuePeriod) -> tuple[datetime, bool]:
    return due.period.end, bool(due.counted)


def _note(lines: Iterable[RunLine], issued: dict[IssuedKey, list[IssuedLine]]) -> None:
    """Enters lines of a run among those that it has issued so far; one that is rated anew adds to what was issued."""
    for line in lines:
        one = line.issued()
        issued.setdefault(one.key, []).append(one)


def settled(due: DuePeriod, lines: list[RunLine]) -> list[RunLine]:
    """What a plan's policy bills of a closed period that late usage touches: all of its lines, or none.

    What is not billed is not issued either: the next run that looks at the period finds it again.
    """
    if due.late is None:
        return lines
    difference = sum((line.amount for line in lines), ZERO)
    given_back_only = due.late.policy == "credit_note" and difference >= 0
    if due.late.policy == "ignore":
        return []
    if given_back_only or abs(difference) < due.late.minimum:
        return [line for line in lines if line.rated.kind == "unpriced"]
    return lines


def _split(
    key: tuple[str, str], lines: Sequence[RunLine], closed: PeriodClosed, catalogue: Catalogue, skips: bool
) -> RunLines:
    code, group = key
    numbered = [line for line in _numbered(lines) if _is_billed(line)]
    debits = tuple(line for line in numbered if line.amount >= 0)
    credits = tuple(line for line in numbered if line.amount < 0)
    nothing = not any(line.amount for line in debits) and (skips or bool(credits))
    return RunLines(_money(code, closed, catalogue), group, debits, credits, is_skipped=nothing and not _stops(debits))


def _is_billed(line: RunLine) -> bool:
    """Of a running period what is more; what became less, and what has no price, is for the invoice of all of it."""
    if line.interim:
        return line.amount > 0
    return bool(line.amount) or not line.rerates or line.rated.kind == "unpriced"


def _stops(debits: Sequence[RunLine]) -> bool:
    """Unpriced usage is never left out silently."""
    return any(line.rated.kind == "unpriced" for line in debits)


def _numbered(lines: Sequence[RunLine]) -> Iterator[RunLine]:
    seen: Counter[tuple[object, ...]] = Counter()
    for line in lines:
        same = (line.subscription, line.charge.card, line.charge.number, line.period, line.rerates, line.rated.kind,
                *sorted(line.rated.dimensions.items()))  # fmt: skip
        yield replace(line, entry=seen[same])
        seen[same] += 1


def _money(code: str, closed: PeriodClosed, catalogue: Catalogue) -> Currency:
    due = next((due for due in closed.periods if due.currency == code), None)
    return currency(code) if due is None else plan_of(due, catalogue).plan.in_currency(code).money


def plan_of(due: DuePeriod, catalogue: Catalogue) -> PlanEntry:
    """The plan version of a due period. Raises LookupError if the catalogue does not have it."""
    plan = catalogue.plan(due.plan, due.plan_version)
    if plan is None:
        raise LookupError(f"plan {due.plan}@{due.plan_version} is not in the catalogue")
    return plan


def due_charges(due: DuePeriod, plan: Plan) -> Iterator[tuple[RateCard, DueCharge]]:
    """The rate cards that are due, as the subscription has them: its seats and its own prices in place."""
    cards = {card.id: card for card in charged_cards(plan)}
    charges = [DueCharge(card=card.id) for card in plan.rate_cards] if due.charges is None else due.charges
    for charge in charges:
        yield own_card(cards[charge.card], charge), charge


def own_card(card: RateCard, charge: DueCharge) -> RateCard:
    """A rate card with the quantity and the price of one subscription."""
    own = charge.override
    if own is not None and own.price is not None:
        card = card.model_copy(update={"price": own.price})
    if charge.quantity is not None and isinstance(card.price, Flat):
        card = card.model_copy(update={"price": card.price.model_copy(update={"quantity": charge.quantity})})
    return card


def _lines(
    due: DuePeriod, entry: PlanEntry, usage: UsageByMeter, catalogue: Catalogue, known: Known
) -> Iterator[RunLine]:
    """The lines of a due period; where it is rated anew, also those of 0: they keep the places of the others."""
    plan = entry.plan.in_currency(due.currency)
    rates = {rate.id: rate for rate in entry.tax_rates}
    own: dict[IssuedKey, list[IssuedLine]] = {}
    for card, charge in sorted(due_charges(due, plan), key=lambda each: each[1].card == COMMITMENT):
        key = (due.subscription, charge.card, charge.number, due.period)
        issued = known.deducted.get(key, ()) if due.rerates else known.deducted.get(key) if due.interim else None
        for line in _rated(due, card, charge, entry, plan.money, usage, catalogue, issued, known.with_own(own)):
            made = RunLine(
                subscription=due.subscription,
                charge=charge,
                plan=due.plan,
                plan_version=due.plan_version,
                rated=line,
                span=due.service if due.interim else named_span(line.service, issued or (), line.amount),
                period=due.period,
                time_zone=due.time_zone,
                tax_point=tax_point(card, issued[0].service if issued else line.service),
                tax_rates=card.tax_rates or plan.tax_rates,
                known_rates=rates,
                inclusive=plan.tax_behavior == "inclusive",
                rerates=due.rerates,
                late=due.late,
                interim=due.interim,
            )
            if due.counted:
                _note([made], own)
            yield made


def _rated(
    due: DuePeriod,
    card: RateCard,
    charge: DueCharge,
    entry: PlanEntry,
    money: Currency,
    usage: UsageByMeter,
    catalogue: Catalogue,
    issued: Sequence[IssuedLine] | None,
    known: Sequence[IssuedByKey],
) -> Sequence[RatedLine]:
    own = charge.override
    terms = replace(terms_of(due, money, card), waived=own is not None and own.waived == "all")
    if due.interim:  # it shrinks by what is not served of the whole period, not by what has not passed
        terms = replace(terms, service=Period(due.service.start, due.period.end))
    if charge.card == COMMITMENT and due.counted:
        return true_up(card, due, terms, known, issued)
    if charge.term is not None:
        terms = replace(terms, term=so_far(due, charge, charge.term, card, known))
    if card.meter is None:
        return (fee_line(card, terms),) if issued is None else rate_fee_anew(card, terms, issued)
    version = entry.meters[card.meter]
    rows = usage.get((due.subscription, card.meter, due.service), ())
    meter = catalogue.meters[card.meter, version].meter
    kind: Literal["unpriced", "waived"] = "unpriced" if own is None or own.waived is None else "waived"
    until = due.service.end if due.interim else None
    return rate_metered(card, terms, meter, version, rows, issued, kind=kind, until=until)


def named_span(service: Period, issued: Sequence[IssuedLine], amount: Decimal) -> Period:
    """The service span of a debit; for a credit the span given back, if the service became shorter."""
    if amount >= 0 or not issued:
        return service
    if service.is_empty:
        return Period(min(line.service.start for line in issued), max(line.service.end for line in issued))
    end = max(line.service.end for line in issued)
    if end > service.end:
        return Period(service.end, end)
    start = min(line.service.start for line in issued)
    return Period(start, service.start) if start < service.start else service


def tax_point(card: RateCard, service: Period) -> Moment:
    """When a line is taxed, and when a credit grant must be valid to pay it.

    The last moment of its service span; a fee in advance has its first. An adjustment has the span of its original
    period.
    """
    return service.first_moment if card.timing == "advance" else service.last_moment


def _group_of(closed: PeriodClosed, one: OneOff) -> str:
    """The documents that a line of its subscription would stand on."""
    return next((due.group for due in closed.periods if due.subscription == one.subscription), "")


def _one_off(one: OneOff, closed: PeriodClosed, catalogue: Catalogue) -> RunLine:
    """A line that no plan has, in a span of no length: the moment at which it was asked for."""
    entry = catalogue.plan(*one.plan) if one.plan is not None else None
    money = entry.plan.in_currency(one.currency).money if entry is not None else currency(one.currency)
    at = Period(one.at, one.at)
    names = one.tax_rates if one.tax_rates is not None else entry.plan.tax_rates if entry is not None else ()
    amount = round_money(one.amount, money)
    line = RatedLine.model_construct(
        charge=one.id, name=one.name, kind=one.sells or "one_off", meter=None, meter_version=None, aggregation=None,
        price_version=None, period=at, service=at, time_zone=one.time_zone, currency=money.code,
        minor_units=money.minor_units, price=Flat(model="flat", amount=abs(amount)), quantity=ONE,
        converted_quantity=ONE, billed_quantity=ONE, unit_price=amount, gross=amount, amount_exact=amount,
        amount=amount, tax_rates=names,
    )  # fmt: skip
    return RunLine(
        subscription=one.subscription or "",
        charge=DueCharge(card=one.id),
        plan="" if one.plan is None else one.plan[0],
        plan_version="" if one.plan is None else one.plan[1],
        rated=line,
        span=at,
        period=at,
        time_zone=one.time_zone,
        tax_point=at.first_moment,
        tax_rates=names,
        known_rates={} if entry is None else {rate.id: rate for rate in entry.tax_rates},
        inclusive=entry is not None and entry.plan.tax_behavior == "inclusive",
    )
