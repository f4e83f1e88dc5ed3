"""rating.md §8 and design.md §4: what billing.finalisations, in order, makes of drafts."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.documents.books import DraftMissing
from pipeline.documents.document_events import event_texts, events_of, head_of, rewritten, written
from schemas.credit import CreditGrant
from schemas.credit_note import CreditNote
from schemas.discount import Discount
from schemas.identity import canonical_json
from tests.pipeline.document_log import Log, day, invoice, note

D = Decimal


def test_numbers_are_gapless_per_series_in_the_order_of_the_log() -> None:
    log = Log(invoice("a"), invoice("b", customer="b"), invoice("c"))
    for name in ("b", "b", "a", "c", "a"):
        log.final(name)
    assert [log.invoice(name).number for name in ("b", "a", "c")] == ["INV-000001", "INV-000002", "INV-000003"]
    log.act("void", "a")
    log.act("void", "c")
    notes = sorted(each.number or "" for each in log.books.documents.values() if isinstance(each, CreditNote))
    assert notes == ["CN-000001", "CN-000002"]


def test_an_issue_date_never_runs_back_within_a_series_and_the_due_date_follows_it() -> None:
    late = invoice("late", at=day(1), held=("why",))
    log = Log(late, invoice("soon", at=day(5)))
    log.final("soon")
    log.act("release", "late", at=day(3))
    released = log.invoice("late")
    assert (released.number, released.issued_at) == ("INV-000002", day(5))
    assert released.due_at == day(5) + timedelta(days=14)
    assert released.held == ()


def test_a_rejected_draft_never_gets_a_number() -> None:
    log = Log(invoice("a", held=("why",)), invoice("b"))
    assert [change.transitions for change in log.act("reject", "a").changes] == [("rejected",)]
    log.final("a")
    log.final("b")
    assert (log.invoice("a").number, log.invoice("a").status, log.invoice("b").number) == (
        None,
        "rejected",
        "INV-000001",
    )
    assert "only a held draft can be released" in log.act("release", "a").refusal


def test_a_draft_that_a_note_was_set_off_against_is_not_rejected() -> None:
    original = invoice("a")
    log = Log(original, invoice("b", {"fee": "10.00"}), note("n", original, {"fee": "50.00"}, run="b"))
    log.final("a")
    log.final("n")
    assert "set off against it" in log.act("reject", "b").refusal


def test_a_record_waits_for_its_draft() -> None:
    log = Log()
    with pytest.raises(DraftMissing):
        log.final("a")
    log.add(invoice("a"))
    log.final("a")
    assert log.invoice("a").number == "INV-000001"


def test_a_void_is_a_status_and_a_note_for_all_that_is_left() -> None:
    log = Log(invoice("a", {"fee": "120.00", "use": "30.00"}))
    log.final("a")
    booked, status = log.act("void", "a").changes
    assert isinstance(booked.document, CreditNote)
    assert (booked.transitions, status.transitions) == (("issued",), ("voided",))
    assert (booked.document.totals.net, booked.document.totals.tax) == (D("150.00"), D("31.50"))
    assert booked.document.settled.cancelled == D("181.50")
    assert (booked.document.books_void, booked.document.invoice_number) == (True, "INV-000001")
    assert (log.invoice("a").status, log.invoice("a").balance.open) == ("voided", D("0.00"))
    assert "void already" in log.act("void", "a").refusal
    assert log.act("payment", "a", amount="1.00").refusal == ""  # money that came in is booked and kept
    assert log.books.balances["acme", "EUR"] == D("1.00")


def test_only_what_is_final_and_unpaid_can_be_void() -> None:
    log = Log(invoice("a"))
    assert "only a final invoice" in log.act("void", "a").refusal
    log.final("a")
    log.act("payment", "a", amount="0.01")
    assert "must be 0 to void" in log.act("void", "a").refusal
    assert log.invoice("a").status == "open"


def test_a_document_in_the_place_of_a_void_one_has_a_new_number_and_names_it() -> None:
    log = Log(invoice("a"))
    log.final("a")
    _, _, again = log.act("reissue", "a", at=day(4)).changes
    assert again.document.number == "INV-000002"
    assert not isinstance(again.document, CreditNote)
    assert (again.document.replaces, again.document.status) == ("INV-000001", "open")
    assert again.document.totals == log.invoice("a").totals
    assert again.document.lines[0].id != log.invoice("a").lines[0].id
    assert again.document.balance.open == D("145.20")


def test_an_invoice_is_paid_when_nothing_is_open_and_what_is_too_much_is_kept_for_the_next() -> None:
    log = Log(invoice("a"), invoice("b", {"fee": "10.00"}, at=day(3)))
    log.final("a")
    assert log.act("payment", "a", amount="100.00").changes[0].transitions == ("payment_received",)
    assert log.act("payment", "a", amount="50.00").changes[0].transitions == ("payment_received", "paid")
    assert (log.invoice("a").balance.overpaid, log.books.balances["acme", "EUR"]) == (D("4.80"), D("4.80"))
    log.final("b")
    assert (log.invoice("b").balance.from_balance, log.invoice("b").balance.open) == (D("4.80"), D("7.30"))
    assert log.books.balances["acme", "EUR"] == 0


@pytest.mark.parametrize(
    ("first", "then", "refusal"),
    [("uncollectible", "past_due", "only an open invoice"), ("past_due", "uncollectible", "")],
)
def test_states_follow_each_other(first: str, then: str, refusal: str) -> None:
    log = Log(invoice("a"))
    log.final("a")
    assert log.act(first, "a").refusal == ""  # type: ignore[arg-type]
    assert refusal in log.act(then, "a").refusal  # type: ignore[arg-type]


def test_the_same_request_is_decided_once_and_only_about_the_customers_own_documents() -> None:
    log = Log(invoice("a"))
    log.final("a")
    log.act("payment", "a", amount="1.00", request="once")
    again = log.act("payment", "a", amount="1.00", request="once")
    assert (again.changes, again.refusal, again.repeats) == ((), "", True)
    assert log.invoice("a").balance.paid == D("1.00")
    assert "is not of mallory" in log.act("void", "a", customer="mallory").refusal


def test_notes_of_one_invoice_round_tax_and_discount_cumulatively() -> None:
    # §8: line 120.00, discount 18.00, tax 21 %.
    discount = Discount.model_validate({"id": "d", "type": "fixed", "value": "18.00", "currency": "EUR"})
    original = invoice("a", discounts=[discount])
    log = Log(original, note("n1", original, {"fee": "50.00"}), note("n2", original, {"fee": "70.00"}))
    for name in ("a", "n1", "n2"):
        log.final(name)
    assert [(log.note(n).totals.net, log.note(n).totals.tax) for n in ("n1", "n2")] == [
        (D("42.50"), D("8.93")), (D("59.50"), D("12.49")),
    ]  # fmt: skip
    assert log.invoice("a").status == "paid"
    assert log.invoice("a").balance.open == 0


def test_a_note_takes_no_more_than_is_left_and_none_is_issued_for_nothing() -> None:
    original = invoice("a")
    log = Log(original, note("n1", original, {"fee": "100.00"}), note("n2", original, {"fee": "50.00"}),
              note("n3", original, {"fee": "1.00"}))  # fmt: skip
    for name in ("a", "n1", "n2", "n3"):
        log.final(name)
    assert (log.note("n2").totals.gross, log.note("n2").number) == (D("20.00"), "CN-000002")
    assert (log.note("n3").number, log.note("n3").status) == (None, "draft")


def test_a_note_is_set_off_against_the_invoice_of_its_run_before_anything_is_asked_for() -> None:
    original, after = invoice("a"), invoice("b", {"fee": "100.00"}, tick=2, at=day(2))
    log = Log(original, after, note("n", original, {"fee": "50.00"}, run="b"))
    log.final("a")
    log.act("payment", "a", amount="145.20")
    log.final("n")
    log.final("b")
    assert log.note("n").settled.set_off == D("60.50")
    assert (log.invoice("b").balance.set_off, log.invoice("b").balance.open) == (D("60.50"), D("60.50"))
    assert log.invoice("a").balance.open == 0


def test_what_is_left_cancels_what_is_open_then_restores_credits_then_money_goes_back() -> None:
    # §8: total 145.20, paid 100.00, credits 30.00.
    grant = CreditGrant.model_validate(
        {"id": "g", "amount": "30.00", "currency": "EUR", "effective_at": day(1) - timedelta(days=60)}
    )
    original = invoice("a", grants=[grant])
    log = Log(original, note("n", original, {"fee": "41.32"}, refund=True))
    log.final("a")
    log.act("payment", "a", amount="100.00")
    log.final("n")
    settled = log.note("n").settled
    assert log.note("n").totals.total == D("50.00")
    assert (settled.cancelled, settled.restored, settled.refunded) == (D("15.20"), D("30.00"), D("4.80"))
    assert [(share.grant, share.amount) for share in settled.grants] == [("g", D("30.00"))]


def test_every_transition_has_an_event_of_its_own_and_a_repetition_the_same_bytes() -> None:
    logs = [Log(invoice("a")), Log(invoice("a"))]
    found = []
    for log in logs:
        entered = [log.final("a")]
        entered += [log.act("payment", "a", amount=amount, request=amount) for amount in ("1.00", "144.20")]
        entered += [log.act("void", "a", request="3")]
        found.append([event for each in entered for change in each.changes for event in events_of(change)])
    assert found[0] == found[1]
    assert [event.type.split(".")[2] for event in found[0]] == [
        "finalized", "payment_received", "payment_received", "paid",
    ]  # fmt: skip
    assert len({event.id for event in found[0]}) == 4


@given(
    st.lists(st.sampled_from(["final a", "final b", "final n", "void a", "reissue b", "pay a", "pay b", "reject b"]))
)
def test_whatever_happens_money_is_in_one_place_and_numbers_have_no_gap(steps: list[str]) -> None:
    original = invoice("a")
    log = Log(original, invoice("b", {"fee": "10.00"}), note("n", original, {"fee": "60.00"}, run="b"))
    paid = D(0)
    for step in steps:
        what, name = step.split()
        if what == "final":
            log.final(name)
        elif what == "pay":
            paid += D("40.00") if log.act("payment", name, amount="40.00").refusal == "" else 0
        else:
            log.act(what, name)  # type: ignore[arg-type]
    documents = log.books.documents.values()
    numbers = sorted(each.number for each in documents if each.number)
    for series in ("CN", "INV"):
        found = [number for number in numbers if number.startswith(series)]
        assert found == [f"{series}-{index:06d}" for index in range(1, len(found) + 1)]
    invoices = [each for each in documents if not isinstance(each, CreditNote) and each.number]
    notes = [each for each in documents if isinstance(each, CreditNote) and each.number]
    for each in invoices:
        held = each.balance
        assert held.open >= 0
        assert each.totals.amount_due == held.open + held.paid + held.cancelled + held.set_off + held.from_balance
    for each in notes:
        told = each.settled
        assert each.totals.total == told.set_off + told.cancelled + told.restored + told.refunded + told.kept
    assert paid == sum((i.balance.paid + i.balance.overpaid for i in invoices), D(0))
    assert log.books.balances.get(("acme", "EUR"), D(0)) >= 0


def test_what_is_written_once_has_the_bytes_of_every_document_and_event_that_holds_it() -> None:
    original = invoice("a")
    log = Log(original, note("n", original, {"fee": "50.00"}))
    for entered in (log.final("a"), log.final("n"), log.act("past_due", "a")):
        for change in entered.changes:
            made = written(change.document)
            assert made.text == canonical_json(change.document.model_dump(mode="json"))
            assert made.sha256 == change.document.sha256()
            whole = [canonical_json(event.model_dump(mode="json")) for event in events_of(change)]
            assert list(event_texts(change, made)) == whole


def test_what_is_final_is_written_anew_only_in_how_it_stands_and_has_the_same_bytes() -> None:
    log = Log(invoice("a"))
    (final,) = log.final("a").changes
    before = written(final.document)
    results = ({"outcome": "succeeded", "amount": "150.00"}, {"outcome": "refunded", "amount": "10.00"})
    entered = [log.act("past_due", "a")]
    entered += [
        log.result("a", {"id": str(number), "document": "a", "currency": "EUR", **told})
        for number, told in enumerate(results)
    ]
    for change in (change for each in entered for change in each.changes):
        before = rewritten(change.document, before)
        assert before == written(change.document)


def test_an_invoice_without_its_lines_is_collected_like_one_with_them() -> None:
    whole = Log(invoice("a"))
    (final,) = whole.final("a").changes
    head = Log()
    head.offset = whole.offset
    head.books.documents["a"] = head_of(written(final.document).text)
    head.books.receivables["a"] = whole.books.receivables["a"]
    before = written(final.document)
    for log in (whole, head):
        log.act("past_due", "a")
        log.act("payment", "a", amount="145.20")
    stands = head.books.documents["a"]
    assert rewritten(stands, before) == written(whole.books.documents["a"])
    assert head.books.receivables == whole.books.receivables
    with pytest.raises(AttributeError):
        stands.lines  # noqa: B018
