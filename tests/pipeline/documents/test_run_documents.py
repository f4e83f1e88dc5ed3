"""rating.md §8: a debit and a credit of one run are separate documents, set off against each other."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.documents.run_documents import run_documents
from pipeline.rating.totals import Line, totals
from schemas.discount import Discount
from schemas.money import currency
from schemas.tax import AppliedTax

D = Decimal
EUR = currency("EUR")
VAT21 = AppliedTax("vat", D(21))
LAW = settings(max_examples=max(200, settings().max_examples), deadline=None)


def line(charge: str, amount: str) -> Line:
    return Line(charge, D(amount), (VAT21,))


def test_a_change_of_plan_is_an_invoice_and_a_credit_note_and_the_customer_pays_once() -> None:
    # §5: 7.00 to 59.00 with 14 of 31 days left.
    found = run_documents([line("small", "-3.16"), line("large", "26.65")], EUR)
    assert found.invoice is not None
    assert found.note is not None
    assert (found.invoice.total, found.note.total) == (D("32.25"), D("3.82"))
    assert (found.set_off.set_off, found.set_off.due, found.set_off.credited) == (D("3.82"), D("28.43"), D(0))
    assert totals([line("net", "23.49")], EUR).total == D("28.42")


def test_a_run_that_only_gives_back_has_no_invoice() -> None:
    found = run_documents([line("small", "-3.16")], EUR)
    assert found.invoice is None
    assert (found.set_off.due, found.set_off.credited) == (D(0), D("3.82"))


def test_lines_of_nothing_are_an_invoice_and_no_lines_are_no_document() -> None:
    zero = run_documents([line("small", "0.00")], EUR)
    assert zero.invoice is not None
    assert (zero.invoice.total, zero.note) == (0, None)
    assert (run_documents([], EUR).invoice, run_documents([], EUR).note) == (None, None)


def test_discounts_belong_to_the_invoice() -> None:
    half = Discount(id="half", type="percentage", value=D(50))
    found = run_documents([line("a", "-10.00"), line("b", "10.00")], EUR, discounts=[half])
    assert found.invoice is not None
    assert found.note is not None
    assert (found.invoice.net, found.note.net) == (D("5.00"), D("10.00"))


@LAW
@given(st.lists(st.integers(-(10**6), 10**6).map(lambda cents: D(cents) / 100), max_size=8))
def test_law_what_is_paid_and_what_is_left_of_the_note_are_the_difference_of_the_documents(
    amounts: list[Decimal],
) -> None:
    found = run_documents([line("a", str(amount)) for amount in amounts], EUR)
    due = found.invoice.total if found.invoice else D(0)
    credited = found.note.total if found.note else D(0)
    assert found.set_off.due - found.set_off.credited == due - credited
    assert found.set_off.due == 0 or found.set_off.credited == 0
