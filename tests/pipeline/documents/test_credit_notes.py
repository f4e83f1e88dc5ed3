"""rating.md §8: credit notes, voids, settling, a debit and a credit of one run."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.documents.credit_notes import (
    Creditable,
    CreditableLine,
    CreditNote,
    NoteRefused,
    Settlement,
    credit_note,
    restore,
    set_off,
    settle,
    void,
)
from pipeline.rating.tax import Taxable, tax_lines
from schemas.credit import CreditUse
from schemas.money import currency
from schemas.tax import AppliedTax

D = Decimal
EUR = currency("EUR")
VAT21, VAT9 = AppliedTax("vat", D(21)), AppliedTax("reduced", D(9))
LAW = settings(max_examples=max(200, settings().max_examples), deadline=None)

WORKED = Creditable(EUR, "open", (CreditableLine("1", D("120.00"), D("18.00"), (VAT21,)),))


def test_discount_and_tax_are_taken_back_by_cumulative_rounding() -> None:
    first = credit_note(WORKED, [], {"1": D("50.00")})
    assert (first.lines[0].discount, first.net, first.tax) == (D("7.50"), D("42.50"), D("8.93"))
    second = credit_note(WORKED, [first], {"1": D("70.00")})
    assert (second.lines[0].discount, second.net, second.tax) == (D("10.50"), D("59.50"), D("12.49"))
    assert first.tax + second.tax == D("21.42")
    alone = credit_note(WORKED, [], {"1": D("70.00")})
    assert alone.tax == D("12.50")
    assert (first.total, second.total) == (D("51.43"), D("71.99"))


def test_a_note_names_its_tax_per_rate() -> None:
    invoice = Creditable(
        EUR, "paid", (CreditableLine("a", D("10.00"), taxes=(VAT21,)), CreditableLine("b", D("10.00"), taxes=(VAT9,)))
    )
    note = credit_note(invoice, [], {"b": D("5.00")})
    assert [(group.percentage, group.taxable, group.tax) for group in note.tax_by_rate] == [
        (D(9), D("5.00"), D("0.45"))
    ]


def test_a_note_on_lines_that_contain_their_tax_is_the_gross_that_is_named() -> None:
    vat19 = AppliedTax("vat", D(19))
    invoice = Creditable(EUR, "open", (CreditableLine("1", D("120.00"), taxes=(vat19,), inclusive=True),))
    first = credit_note(invoice, [], {"1": D("119.99")})
    second = credit_note(invoice, [first], {"1": D("0.01")})
    assert (first.total, first.net + second.net, first.tax + second.tax) == (D("119.99"), D("100.84"), D("19.16"))


@pytest.mark.parametrize(
    ("gross", "reason"),
    [
        ({"2": D("1.00")}, "no such line"),
        ({"1": D("120.01")}, "at most 120.00"),
        ({"1": D("0.00")}, "greater than 0"),
        ({"1": D("-1.00")}, "greater than 0"),
        ({"1": D("1.005")}, "rounded"),
    ],
)
def test_refused_notes(gross: dict[str, Decimal], reason: str) -> None:
    with pytest.raises(NoteRefused, match=reason):
        credit_note(WORKED, [], gross)


def test_refused_more_than_is_left_of_a_line() -> None:
    first = credit_note(WORKED, [], {"1": D("50.00")})
    with pytest.raises(NoteRefused, match=r"at most 70.00, what is left of the line, not 70.01"):
        credit_note(WORKED, [first], {"1": D("70.01")})


def test_refused_a_note_on_a_draft() -> None:
    with pytest.raises(NoteRefused, match="is a draft"):
        credit_note(Creditable(EUR, "draft", WORKED.lines), [], {"1": D("1.00")})


def test_a_void_is_a_note_for_the_full_amount() -> None:
    note = void(WORKED, [], D(0))
    assert (note.net, note.tax, note.total) == (D("102.00"), D("21.42"), D("123.42"))


def test_a_void_after_a_note_takes_back_the_rest() -> None:
    first = credit_note(WORKED, [], {"1": D("50.00")})
    assert void(WORKED, [first], D(0)).total == D("71.99")


@pytest.mark.parametrize(
    ("status", "paid", "reason"),
    [("draft", "0", "draft"), ("voided", "0", "void already"), ("open", "0.01", "paid: must be 0")],
)
def test_refused_voids(status: str, paid: str, reason: str) -> None:
    with pytest.raises(NoteRefused, match=reason):
        void(Creditable(EUR, status, WORKED.lines), [], D(paid))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("credited", "cancelled", "restored", "refunded"),
    [
        ("15.20", "15.20", "0", "0"),
        ("15.21", "15.20", "0.01", "0"),
        ("45.20", "15.20", "30.00", "0"),
        ("50.00", "15.20", "30.00", "4.80"),
        ("145.20", "15.20", "30.00", "100.00"),
        ("0.00", "0", "0", "0"),
    ],
)
def test_a_credited_amount_cancels_then_restores_then_refunds(
    credited: str, cancelled: str, restored: str, refunded: str
) -> None:
    found = settle(D(credited), D("145.20"), D("100.00"), D("30.00"))
    assert found == Settlement(D(cancelled), D(restored), D(refunded), D(0))


def test_money_is_kept_as_balance_if_that_is_the_policy() -> None:
    found = settle(D("50.00"), D("145.20"), D("100.00"), D("30.00"), policy="balance")
    assert (found.refunded, found.kept) == (D(0), D("4.80"))


def test_a_later_note_settles_what_earlier_ones_left() -> None:
    first = settle(D("20.00"), D("145.20"), D("100.00"), D("30.00"))
    second = settle(D("30.00"), D("145.20"), D("100.00"), D("30.00"), before=[first])
    assert (first.cancelled, first.restored) == (D("15.20"), D("4.80"))
    assert (second.cancelled, second.restored, second.refunded) == (D(0), D("25.20"), D("4.80"))


def test_what_was_paid_after_a_note_is_refunded_by_the_next() -> None:
    first = settle(D("15.20"), D("145.20"), D("0.00"), D("30.00"))
    second = settle(D("130.00"), D("145.20"), D("100.00"), D("30.00"), before=[first])
    assert (second.cancelled, second.restored, second.refunded) == (D(0), D("30.00"), D("100.00"))


@pytest.mark.parametrize(
    ("amounts", "reason"),
    [
        (("145.21", "145.20", "100.00", "30.00"), "credited: must be at most 145.20"),
        (("-0.01", "145.20", "100.00", "30.00"), "credited: must be at least 0"),
        (("1.00", "145.20", "-100.00", "30.00"), "paid: must be at least 0"),
    ],
)
def test_refused_settlements(amounts: tuple[str, str, str, str], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        settle(*(D(amount) for amount in amounts))


def test_restored_credits_go_back_to_the_grant_that_was_burnt_last() -> None:
    uses = [
        CreditUse("gift", "discount", D("9.00"), D(0)),
        CreditUse("first", "payment", D("20.00"), D(0)),
        CreditUse("second", "payment", D("10.00"), D("5.00")),
    ]
    assert restore(D("12.00"), uses) == (("second", D("10.00")), ("first", D("2.00")))
    with pytest.raises(ValueError, match=r"must be at most 30.00"):
        restore(D("30.01"), uses)


@pytest.mark.parametrize(
    ("due", "credited", "together", "still_due", "left"),
    [
        ("100.00", "30.00", "30.00", "70.00", "0.00"),
        ("30.00", "30.00", "30.00", "0.00", "0.00"),
        ("20.00", "30.00", "20.00", "0.00", "10.00"),
    ],
)
def test_a_note_is_set_off_against_the_invoice_of_its_run(
    due: str, credited: str, together: str, still_due: str, left: str
) -> None:
    found = set_off(D(due), D(credited))
    assert (found.set_off, found.due, found.credited) == (D(together), D(still_due), D(left))


def test_a_credit_and_a_debit_round_their_taxes_apart() -> None:
    debit = tax_lines([Taxable(D("26.65"), (VAT21,))], EUR)
    credit = tax_lines([Taxable(D("3.10"), (VAT21,))], EUR)
    netted = tax_lines([Taxable(D("23.55"), (VAT21,))], EUR)
    assert (debit.tax, credit.tax, netted.tax) == (D("5.60"), D("0.65"), D("4.95"))
    apart = tax_lines([Taxable(D("0.12"), (VAT21,))], EUR).tax - tax_lines([Taxable(D("0.02"), (VAT21,))], EUR).tax
    assert (apart, tax_lines([Taxable(D("0.10"), (VAT21,))], EUR).tax) == (D("0.03"), D("0.02"))


@st.composite
def invoices(draw: st.DrawFn) -> Creditable:
    lines = []
    for index in range(draw(st.integers(1, 4))):
        amount = D(draw(st.integers(1, 100_000))) / 100
        discount = (amount * draw(st.integers(0, 100)) / 100).quantize(D("0.01"))
        taxes = draw(st.sampled_from([(), (VAT21,), (VAT9,), (VAT21, VAT9)]))
        lines.append(CreditableLine(str(index), amount, discount, taxes, draw(st.booleans())))
    return Creditable(EUR, "open", tuple(lines))


def whole(invoice: Creditable) -> tuple[Decimal, Decimal]:
    taxes = tax_lines([Taxable(each.amount - each.discount, each.taxes, each.inclusive) for each in invoice.lines], EUR)
    return taxes.net, taxes.tax


@LAW
@given(invoices(), st.data())
def test_law_all_notes_together_are_the_invoice(invoice: Creditable, data: st.DataObject) -> None:
    notes: list[CreditNote] = []
    for _ in range(data.draw(st.integers(0, 4))):
        credited = {each.id: sum((part.gross for note in notes for part in note.lines if part.line == each.id), D(0))
                    for each in invoice.lines}  # fmt: skip
        left = {each.id: each.amount - credited[each.id] for each in invoice.lines if each.amount > credited[each.id]}
        chosen = {
            line: D(data.draw(st.integers(1, int(rest * 100)))) / 100
            for line, rest in left.items()
            if data.draw(st.booleans())
        }
        notes.append(credit_note(invoice, notes, chosen))
    net, tax = whole(invoice)
    assert all(note.net >= 0 and note.tax >= 0 and note.total == note.net + note.tax for note in notes)
    assert all(part.discount >= 0 and part.net >= 0 for note in notes for part in note.lines)
    assert sum((note.net for note in notes), D(0)) <= net
    assert sum((note.tax for note in notes), D(0)) <= tax
    notes.append(void(invoice, notes, D(0)))
    assert (sum((note.net for note in notes), D(0)), sum((note.tax for note in notes), D(0))) == (net, tax)


@LAW
@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6), st.lists(st.integers(0, 10**6), max_size=4))
def test_law_settlements_add_up_and_return_no_more_than_was_paid(
    opened: int, paid: int, used: int, parts: list[int]
) -> None:
    total = D(opened + paid + used) / 100
    left, done = total, list[Settlement]()
    for part in [*parts, None]:
        credited = left if part is None else min(left, D(part) / 100)
        left -= credited
        done.append(settle(credited, total, D(paid) / 100, D(used) / 100, before=done))
        latest = done[-1]
        assert latest.cancelled + latest.restored + latest.refunded == credited
    assert sum((each.cancelled for each in done), D(0)) == D(opened) / 100
    assert sum((each.restored for each in done), D(0)) == D(used) / 100
    assert sum((each.refunded for each in done), D(0)) == D(paid) / 100
