"""Progressive billing in the line: rating.md §5, with the commands, runs and documents of one customer."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.closing.interims import crossed, deductions, final_charges, is_asked
from pipeline.closing.progressive import progressive_billing
from pipeline.closing.run_lines import run_lines
from pipeline.closing.runs import interim_dues, next_due_at
from pipeline.documents.document_postings import invoiced
from pipeline.documents.invoicing import NO_TERMS, Terms, invoices_of
from pipeline.wallets.wallet_books import CreditSplit
from schemas.credit_note import CreditNote
from schemas.customer_state import BillingRun, Disregarded, PeriodClosed
from schemas.discount import Discount
from schemas.invoice import Invoice
from schemas.period import Period
from schemas.posting import balance
from schemas.quantity import ZERO
from schemas.subscription import Progress
from tests.pipeline.billing import Billing, at, fee, plan, use
from tests.pipeline.document_log import Log

D = Decimal
JANUARY = Period(at("2027-01-01"), at("2027-02-01"))


@dataclass
class Life:
    """A customer on a plan with thresholds, whose usage is watched after every call."""

    fields: dict[str, Any] = field(default_factory=dict)
    price: str = "0.02"
    terms: Terms = NO_TERMS
    cards: tuple[dict[str, Any], ...] = ()
    invoices: list[Invoice] = field(default_factory=list)

    def __post_init__(self) -> None:
        cards = self.cards or (use(self.price), {**fee("25.00"), "timing": "arrears"})
        self.billing = Billing([plan("p", *cards, **self.fields)], calls=[])
        self.billing.do("subscribe", plan="p", starts_at="2027-01-01T00:00Z")
        self.seen = 0

    def used(self, day: int, count: int) -> None:
        """Calls on a day of January; then the watch looks, and what it asks for is billed two hours later."""
        self.billing.calls = [*self.billing.calls, (f"2027-01-{day:02} 10:00", count)]
        self.tick(f"2027-01-{day:02} 11:00")
        self.watch()
        self.tick(f"2027-01-{day:02} 12:00")

    def watch(self) -> None:
        billing = self.billing
        dues = interim_dues(billing.state, billing.subscription, billing.now)
        run = BillingRun(customer="acme", tick=billing.clock, periods=tuple(dues))
        closed = PeriodClosed(close_id="w", customer="acme", revision=0, tick=billing.clock, periods=run.periods,
                              usage_rows=0, events=0, fingerprint="")  # fmt: skip
        lines = run_lines(closed, billing._usage(run), billing.catalogue, billing.issued)
        unbilled = sum((line.amount for found in lines for line in found.debits), ZERO)
        billed = sum((line.stages.capped for line in billing.issued if line.kind == "usage"), ZERO)
        found = crossed(billing.plans[0].plan, billing.subscription.progress, dues[0].period, unbilled,
                        unbilled + billed)  # fmt: skip
        if found is not None and unbilled:
            progress = billing.subscription.progress
            billing.do("bill_interim", period=dues[0].period, number=progress.asked + 1 if progress else 1,
                       used=found.used, steps=found.steps, amount=str(unbilled))  # fmt: skip

    def tick(self, moment: str) -> list[Invoice]:
        self.billing.tick(moment)
        made = []
        for closed, lines in self.billing.closes[self.seen :]:
            interims = [each for each in self.invoices if each.interim]
            terms = Terms(discounts=self.terms.discounts, grants=self.terms.grants, interims=interims)
            made += invoices_of(closed, lines, self.billing.catalogue, terms)
        self.seen = len(self.billing.closes)
        self.invoices += made
        return made


def amounts(invoices: list[Invoice]) -> list[tuple[bool, str, str, str]]:
    return [
        (each.interim, *(f"{amount:f}" for amount in (each.totals.total, each.totals.deducted, each.totals.amount_due)))
        for each in invoices
    ]


def test_the_example_of_a_lifetime() -> None:
    life = Life({"thresholds": ["50", "120"], "recurring_threshold": "100", "threshold_base": "lifetime"})
    for day, count in enumerate((2000, 1000, 2500, 800, 4000, 1000), start=2):
        life.used(day, count)
    life.tick("2027-02-01")
    assert amounts(life.invoices) == [
        (True, "60.00", "0", "60.00"), (True, "66.00", "0", "66.00"), (True, "100.00", "0", "100.00"),
        (False, "251.00", "226.00", "25.00"),
    ]  # fmt: skip


def test_unbilled_usage_starts_again_at_0_after_each_interim_invoice_and_each_threshold_counts_once() -> None:
    life = Life({"thresholds": ["10", "30"]}, price="1")
    for day, count in ((2, 10), (3, 9), (4, 21), (5, 500)):
        life.used(day, count)
    (final,) = life.tick("2027-02-01")
    assert [each.totals.total for each in life.invoices[:-1]] == [D("10.00"), D("30.00")]
    assert [line.span for each in life.invoices[:-1] for line in each.lines] == [
        Period(at("2027-01-01"), at("2027-01-02 12:00")), Period(at("2027-01-01"), at("2027-01-04 12:00")),
    ]  # fmt: skip
    assert (final.totals.total, final.totals.deducted, final.totals.amount_due) == (D(565), D(40), D(525))


def test_a_first_tier_fee_is_billed_once_and_the_minimum_only_at_the_end() -> None:
    tiers = {"model": "graduated", "tiers": [{"up_to": "100", "unit_price": "1", "flat_fee": "5.00"},
                                            {"unit_price": "0.50"}]}  # fmt: skip
    card = {"id": "use", "meter": "calls", "price": tiers, "minimum": "400.00"}
    life = Life({"thresholds": ["50"], "recurring_threshold": "40"}, cards=(card,))
    for day, count in ((2, 60), (3, 80), (4, 10)):
        life.used(day, count)
    (final,) = life.tick("2027-02-01")
    assert [each.totals.total for each in life.invoices[:-1]] == [D("65.00"), D("60.00")]
    assert (final.totals.total, final.totals.amount_due) == (D("400.00"), D("275.00"))


def test_a_percentage_comes_off_every_part_and_a_fixed_amount_off_the_whole() -> None:
    off = (Discount.model_validate({"id": "half", "type": "percentage", "value": "50"}),
           Discount.model_validate({"id": "five", "type": "fixed", "value": "5.00", "currency": "EUR"}))  # fmt: skip
    life = Life({"thresholds": ["10"]}, price="1", terms=Terms(discounts=off))
    life.used(2, 20)
    (final,) = life.tick("2027-02-01")
    assert life.invoices[0].totals.total == D("10.00")
    assert (final.totals.total, final.totals.amount_due) == (D("17.50"), D("7.50"))  # (20 + 25) / 2 - 5


def test_what_was_billed_too_much_is_kept_for_the_customer() -> None:
    life = Life({"thresholds": ["10"]}, price="1", cards=(use("1"),))
    life.used(2, 20)
    life.billing.calls = [("2027-01-02 10:00", 5)]  # the rest is taken back by corrections
    (final,) = life.tick("2027-02-01")
    assert (final.totals.total, final.totals.amount_due, final.totals.excess) == (D("5.00"), D("0.00"), D("15.00"))
    (booked,) = invoiced(final, CreditSplit())
    assert balance(booked.postings, "revenue") == D("15.00")
    assert balance(booked.postings, "customer_balance") == D("-15.00")


def test_a_rejected_interim_invoice_is_not_deducted() -> None:
    life = Life({"thresholds": ["10"]}, price="1")
    life.used(2, 20)
    (interim,) = life.invoices
    (line,) = interim.lines
    gone = Disregarded(tick=interim.basis.tick, subscription="s", card="use", number=0, period=line.rated.period)
    charges = final_charges([
        due.model_copy(update={"interim": False, "interims": 1}) for due in life.billing.runs[-1].periods
    ])  # fmt: skip
    assert [each.total for each in deductions([interim], charges, ())] == [D("20.00")]
    assert deductions([interim], charges, [gone]) == ()
    life.billing.do("bill_again", document_id=interim.id, tick=interim.basis.tick, parts=[
        {"subscription": "s", "card": "use", "number": 0, "period": line.rated.period},
    ])  # fmt: skip
    assert not any(charge.rerates for charge in life.billing.subscription.charges)


@pytest.mark.parametrize(
    ("changed", "why"),
    [({"number": 2}, "number: must be 1"), ({"period": Period(at("2027-02-01"), at("2027-03-01"))}, "period: s does")],
)
def test_an_interim_invoice_that_cannot_be_is_refused(changed: dict[str, Any], why: str) -> None:
    life = Life({"thresholds": ["10"]})
    life.tick("2027-01-05")
    asked = {"period": JANUARY, "number": 1, "used": 1, "amount": "10", **changed}
    assert why in life.billing.ask("bill_interim", **asked)


def test_what_is_asked_for_at_the_end_of_a_period_is_billed_with_the_whole_of_it() -> None:
    life = Life({"thresholds": ["10"]}, price="1")
    life.billing.calls = [("2027-01-31 10:00", 20)]
    life.tick("2027-01-31 23:00")
    life.watch()
    assert next_due_at(life.billing.state) == JANUARY.start
    (final,) = life.tick("2027-02-01")
    assert (final.interim, final.totals.amount_due, final.deductions) == (False, D("45.00"), ())
    assert not is_asked(life.billing.subscription)


def test_late_usage_is_rated_against_the_whole_period_and_not_against_its_parts_too() -> None:
    life = Life({"thresholds": ["10"]}, price="1")
    life.used(2, 20)
    life.tick("2027-02-01")
    life.billing.calls = [*life.billing.calls, ("2027-01-20 10:00", 3)]
    part = [{"subscription": "s", "card": "use", "number": 0, "period": JANUARY}]
    life.billing.do("bill_again", document_id="x", tick=99, parts=part)
    assert life.billing.tick("2027-02-02") == [("use", "01-01/02-01", "3.00")]


def test_a_threshold_of_a_new_period_counts_again_but_one_of_a_lifetime_does_not() -> None:
    entry = plan("p", use("1"), thresholds=["10"], recurring_threshold=None).plan
    used = Progress(period=JANUARY, used=1, asked=1, billed=1)
    february = Period(at("2027-02-01"), at("2027-03-01"))
    assert crossed(entry, used, JANUARY, D(50), D(50)) is None
    assert crossed(entry, used, february, D(10), D(60)) is not None
    lifetime = entry.model_copy(update={"threshold_base": "lifetime"})
    assert crossed(lifetime, used, february, D(10), D(60)) is None


CALLS = st.lists(st.tuples(st.integers(2, 28), st.integers(0, 900)), max_size=6).map(sorted)


@settings(max_examples=30, deadline=None)
@given(CALLS, st.sampled_from(["unbilled", "lifetime"]), st.sampled_from(["0.013", "0.5", "1"]))
def test_interim_invoices_never_change_what_a_period_comes_to(
    calls: list[tuple[int, int]], base: str, price: str
) -> None:
    fields = {"thresholds": ["20", "50"], "recurring_threshold": "70", "threshold_base": base}
    life, plain = Life(fields, price=price), Life({}, price=price)
    for day, count in dict(calls).items():
        life.used(day, count)
        plain.used(day, count)
    life.tick("2027-02-01")
    (whole,) = plain.tick("2027-02-01")
    assert sum(each.totals.amount_due - each.totals.excess for each in life.invoices) == whole.totals.amount_due
    final = life.invoices[-1]
    assert (final.totals.total, final.totals.subtotal) == (whole.totals.total, whole.totals.subtotal)
    booked = [posting for each in life.invoices for made in invoiced(each, CreditSplit()) for posting in made.postings]
    assert balance(tuple(booked), "revenue") == -whole.totals.net
    days = list(dict(calls).items())
    so_far = [sum(count for _, count in days[: index + 1]) for index in range(len(days))]
    exact = [(D(price) * count).quantize(D("0.01"), "ROUND_HALF_UP") for count in so_far]
    (told,) = progressive_billing([exact], [D(20), D(50)], D(70), base=base)  # type: ignore[arg-type]
    assert [each.totals.total for each in life.invoices[:-1]] == [each.amount for each in told.interims]


def test_a_void_of_the_whole_cancels_what_is_open_and_keeps_what_its_parts_billed() -> None:
    life = Life({"thresholds": ["10"]}, price="1")
    life.used(2, 20)
    life.tick("2027-02-01")
    part, whole = life.invoices
    log = Log(part, whole)
    log.final(part.id)
    log.final(whole.id)
    note = log.act("void", whole.id).changes[0].document
    assert isinstance(note, CreditNote)
    assert (note.totals.total, note.settled.cancelled, note.settled.kept) == (D("45.00"), D("25.00"), D("20.00"))
    assert log.invoice(part.id).balance.open == D("20.00")
