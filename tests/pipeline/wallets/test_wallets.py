"""rating.md §6, §8: what happens to prepaid credits, and that nothing of them is lost or doubled."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.documents.document_events import commands_of
from pipeline.wallets.wallet import Wallet, balance, wallet_of
from pipeline.wallets.wallet_steps import due
from schemas.command import RestoreCredit, SettleTopUp
from schemas.credit import CreditGrant
from schemas.credit_note import CreditNote
from schemas.invoice import Invoice
from schemas.tick import Tick, Vector
from schemas.wallet import CreditOrder, RechargeRule
from tests.pipeline.document_log import FIRST, JUNE, VAT, Log, day, invoice, note

D = Decimal
LAW = settings(max_examples=max(150, settings().max_examples), deadline=None)
MAY = JUNE.start - timedelta(days=31)


def grant(name: str, amount: str, **more: object) -> CreditGrant:
    fields = {"id": name, "amount": amount, "currency": "EUR", "effective_at": MAY} | more
    return CreditGrant.model_validate(fields)


def order(name: str, amount: str, at: datetime = FIRST, **more: object) -> CreditOrder:
    return CreditOrder.model_validate({"id": name, "amount": amount, "currency": "EUR", "at": at} | more)


def wallet(log: Log) -> Wallet:
    return log.books.wallets.of("acme")


def sums(log: Log, name: str) -> tuple[Decimal, ...]:
    held = wallet(log).grants[name]
    return held.granted, held.burnt, held.expired, held.revoked, held.withdrawn, held.left


def sold(amount: str, **more: object) -> Log:
    """A sale of credits `t` whose invoice is final."""
    log = Log(invoice("sale", {"t": amount}, sells=True, taxes=(VAT,) if more.get("taxed") else ()))
    log.credit("order", order=order("t", amount, **more))
    log.final("sale")
    return log


def test_what_a_final_invoice_draws_is_burnt_and_a_paid_grant_is_a_debt_until_then() -> None:
    paid, free = grant("paid", "50.00"), grant("free", "20.00", funding="free", treatment="payment")
    log = Log(invoice("a", {"fee": "50.00"}, grants=[paid, free]))  # 60.50 with tax
    log.credit("grant", terms=paid)
    log.credit("grant", terms=free)
    assert (log.balance("cash"), log.balance("prepaid_credits")) == (D("50.00"), D("-50.00"))
    log.final("a")
    assert sums(log, "free") == (D("20.00"), D("20.00"), 0, 0, 0, 0)
    assert sums(log, "paid") == (D("50.00"), D("40.50"), 0, 0, 0, D("9.50"))
    assert (log.balance("prepaid_credits"), log.balance("promotions")) == (D("-9.50"), D("20.00"))
    assert (log.balance("revenue"), log.balance("tax")) == (D("-50.00"), D("-10.50"))


def test_credit_that_expires_is_income_if_it_was_paid_for_and_nothing_if_it_was_given() -> None:
    log = Log()
    log.credit("grant", terms=grant("paid", "50.00", expires_at=day(3)))
    log.credit("grant", terms=grant("free", "20.00", expires_at=day(3), funding="free"))
    assert "nothing of paid expires" in log.credit("expire", grant_id="paid", at=day(3) - timedelta(seconds=1)).refusal
    for name in ("paid", "free"):
        assert log.credit("expire", grant_id=name, at=day(3)).refusal == ""
        assert sums(log, name)[-1] == 0
    assert (log.balance("breakage"), log.balance("prepaid_credits")) == (D("-50.00"), 0)
    assert "nothing of paid expires" in log.credit("expire", grant_id="paid", at=day(4)).refusal


def test_service_before_the_expiry_is_paid_by_an_invoice_after_it_out_of_what_had_expired() -> None:
    held = grant("g", "50.00", expires_at=JUNE.end)
    log = Log(invoice("a", {"fee": "10.00"}, grants=[held]))
    log.credit("grant", terms=held)
    log.credit("expire", grant_id="g", at=JUNE.end)
    log.final("a")
    assert sums(log, "g") == (D("50.00"), D("12.10"), D("37.90"), 0, 0, 0)
    assert (log.balance("breakage"), log.balance("prepaid_credits")) == (D("-37.90"), 0)


@pytest.mark.parametrize(("revoking", "account"), [("refunded", "cash"), ("forfeited", "breakage"), (None, "breakage")])
def test_what_is_left_of_a_revoked_grant_goes_back_or_is_forfeited(revoking: str | None, account: str) -> None:
    held = grant("g", "50.00")
    log = Log(invoice("a", {"fee": "10.00"}, grants=[held]))
    log.credit("grant", terms=held)
    log.final("a")
    before = log.balance(account)  # type: ignore[arg-type]
    log.credit("revoke", grant_id="g", revoking=revoking)
    assert sums(log, "g") == (D("50.00"), D("12.10"), 0, D("37.90"), 0, 0)
    assert log.balance(account) - before == D("-37.90")  # type: ignore[arg-type]
    log.act("void", "a")  # what comes back to a revoked grant is revoked
    assert sums(log, "g") == (D("50.00"), 0, 0, D("50.00"), 0, 0)
    assert log.balance("prepaid_credits") == 0


@pytest.mark.parametrize("treatment", ["payment", "discount"])
def test_a_void_gives_all_credits_back_to_their_grants(treatment: str) -> None:
    held = grant("g", "30.00", funding="free", treatment=treatment)
    log = Log(invoice("a", grants=[held]))
    log.credit("grant", terms=held)
    log.final("a")
    assert sums(log, "g")[1] == D("30.00")
    changes = log.act("void", "a").changes
    assert sums(log, "g") == (D("30.00"), 0, 0, 0, 0, D("30.00"))
    told = [command for change in changes for command in commands_of(change)]
    assert [(each.grant, each.amount) for each in told if isinstance(each, RestoreCredit)] == [("g", D("30.00"))]
    assert {book: log.balance(book) for book in ("revenue", "tax", "promotions", "receivable")} == dict.fromkeys(
        ("revenue", "tax", "promotions", "receivable"), D(0)
    )


def test_notes_give_back_a_gift_in_proportion_by_cumulative_rounding() -> None:
    held = grant("g", "10.00", funding="free")
    original = invoice("a", {"fee": "30.00"}, grants=[held])
    log = Log(original, *(note(f"n{i}", original, {"fee": "10.00"}) for i in range(3)))
    log.credit("grant", terms=held)
    log.final("a")
    back = []
    for i in range(3):
        log.final(f"n{i}")
        back.append(D("10.00") - sums(log, "g")[1] - sum(back, D(0)))
    assert back == [D("3.33"), D("3.34"), D("3.33")]


def test_a_document_in_the_place_of_a_void_one_draws_the_same_credits_once() -> None:
    held = grant("g", "30.00")
    log = Log(invoice("a", grants=[held]))
    log.credit("grant", terms=held)
    log.final("a")
    changes = log.act("reissue", "a").changes
    assert sums(log, "g") == (D("30.00"), D("30.00"), 0, 0, 0, 0)
    assert not [command for change in changes for command in commands_of(change)]
    log.act("void", changes[2].document.id)
    assert sums(log, "g")[-1] == D("30.00")


def test_what_a_rejected_draft_would_have_drawn_can_be_drawn_again() -> None:
    held = grant("g", "30.00", funding="free")
    log = Log(invoice("a", grants=[held], held=("why",)))
    log.credit("grant", terms=held)
    (change,) = log.act("reject", "a").changes
    assert sums(log, "g")[-1] == D("30.00")
    assert [c.amount for c in commands_of(change) if isinstance(c, RestoreCredit)] == [D("30.00")]


def test_credits_that_are_bought_can_be_used_once_their_invoice_is_paid_in_full() -> None:
    log = sold("50.00", valid_days=30)
    assert balance(wallet(log), "EUR", day(9)) == 0
    assert (log.balance("receivable"), log.balance("credits_on_order")) == (D("50.00"), D("-50.00"))
    log.act("payment", "sale", amount="49.99")
    assert balance(wallet(log), "EUR", day(9)) == 0
    (change,) = log.act("payment", "sale", amount="0.01", at=day(9)).changes
    assert [balance(wallet(log), "EUR", at) for at in (day(8), day(9), day(9) + timedelta(days=30))] == [
        0, D("50.00"), 0,
    ]  # fmt: skip
    (told,) = commands_of(change)
    assert isinstance(told, SettleTopUp) and told.terms is not None
    assert (told.terms.funding, told.terms.treatment, told.terms.expires_at) == (
        "paid", "payment", day(9) + timedelta(days=30),
    )  # fmt: skip
    assert {book: log.balance(book) for book in ("cash", "prepaid_credits", "credits_on_order", "revenue")} == {
        "cash": D("50.00"), "prepaid_credits": D("-50.00"), "credits_on_order": D(0), "revenue": D(0),
    }  # fmt: skip


def test_credits_that_were_taxed_when_they_were_sold_are_drawn_before_tax() -> None:
    log = sold("50.00", taxed=True)
    assert log.balance("tax") == D("-10.50")
    log.act("payment", "sale", amount="60.50", at=FIRST)
    terms = wallet(log).grants["t"].terms.model_copy(update={"effective_at": MAY})
    log.add(invoice("a", {"fee": "80.00"}, grants=[terms]))
    log.final("a")
    assert log.invoice("a").totals.total == D("36.30")  # 30.00 with tax: that of the other 50.00 was paid before
    assert (log.balance("prepaid_credits"), log.balance("revenue"), log.balance("tax")) == (0, D("-80.00"), D("-16.80"))


def test_a_payment_that_is_sent_back_takes_what_is_left_until_it_is_paid_again() -> None:
    log = sold("50.00")
    log.act("payment", "sale", amount="50.00", at=FIRST)
    bought = wallet(log).grants["t"].terms.model_copy(update={"effective_at": MAY})
    log.add(invoice("a", {"fee": "10.00"}, grants=[bought]))
    log.final("a")
    result = {"id": "r", "outcome": "refunded", "document": "sale", "amount": "50.00", "currency": "EUR"}
    (change,) = log.result("sale", result).changes
    assert sums(log, "t") == (D("50.00"), D("12.10"), 0, 0, D("37.90"), 0)
    assert [c.terms for c in commands_of(change) if isinstance(c, SettleTopUp)] == [None]
    log.act("payment", "sale", amount="50.00")
    assert sums(log, "t") == (D("50.00"), D("12.10"), 0, 0, 0, D("37.90"))
    assert (log.balance("prepaid_credits"), log.balance("credits_on_order")) == (D("-37.90"), 0)


@pytest.mark.parametrize("end", ["void", "uncollectible"])
def test_a_sale_that_nobody_pays_leaves_nothing_in_the_books(end: str) -> None:
    log = sold("50.00")
    log.act(end, "sale")  # type: ignore[arg-type]
    books = ("receivable", "credits_on_order", "bad_debt", "revenue", "prepaid_credits")
    assert [log.balance(book) for book in books] == [0] * 5  # type: ignore[arg-type]
    if end == "uncollectible":
        log.act("payment", "sale", amount="50.00")
        assert balance(wallet(log), "EUR", day(20)) == D("50.00")
        assert [log.balance(book) for book in books] == [0, 0, 0, 0, D("-50.00")]  # type: ignore[arg-type]


def recharging(**more: object) -> Log:
    log = Log()
    rule = {"currency": "EUR", "below": "20.00", "amount": "50.00", "at": FIRST} | more
    log.credit("recharge_rule", currency="EUR", rule=RechargeRule.model_validate(rule))
    return log


def recharge(log: Log, at: datetime) -> str:
    """Asks for a recharge; bills it, and pays it unless it is refused."""
    entered = log.credit("recharge", currency="EUR", at=at)
    for top_up in entered.commands:
        log.add(invoice(top_up.request_id, {top_up.request_id: "50.00"}, sells=True, taxes=(), at=at))
        log.final(top_up.request_id)
        log.act("payment", top_up.request_id, amount="50.00", at=at)
    return entered.refusal


def spend(log: Log, name: str) -> None:
    """An invoice burns everything that is left."""
    there = [
        held.terms.model_copy(update={"effective_at": MAY, "used": held.burnt}) for held in wallet(log).grants.values()
    ]
    log.add(invoice(name, {"fee": "500.00"}, grants=there))
    log.final(name)


def test_a_recharge_buys_when_the_balance_is_below_its_threshold_within_its_caps() -> None:
    log = recharging(per_day="100.00", per_month="150.00", time_zone="Pacific/Auckland")  # 06:00 UTC is its evening
    assert recharge(log, day(1)) == ""
    assert "50.00 EUR is not below" in recharge(log, day(1))
    spend(log, "a")
    assert recharge(log, day(1)) == ""
    spend(log, "b")
    assert "this day" in recharge(log, day(1))
    assert recharge(log, day(1) + timedelta(hours=8)) == ""  # the next day there
    spend(log, "c")
    assert "this month" in recharge(log, day(20))
    assert recharge(log, day(31) + timedelta(hours=8)) == ""  # the next month there


def test_a_recharge_asks_for_no_second_sale_before_the_first_is_paid_and_stops_when_it_is_given_up() -> None:
    log = recharging()
    (asked,) = log.credit("recharge", currency="EUR").commands
    assert "not paid yet" in recharge(log, day(2))
    log.add(invoice("sale", {asked.request_id: "50.00"}, sells=True, taxes=()))
    log.final("sale")
    assert "not paid yet" in recharge(log, day(2))
    log.act("uncollectible", "sale")
    assert "has stopped" in recharge(log, day(30))
    rule = wallet(log).rules["EUR"].model_copy(update={"at": day(10)})
    log.credit("recharge_rule", currency="EUR", rule=rule)
    assert recharge(log, day(30)) == ""
    log.credit("recharge_rule", currency="EUR", rule=None)
    assert "no rule" in recharge(log, day(31))


def test_a_tick_proposes_what_is_due_each_thing_once() -> None:
    log = recharging()
    log.credit("grant", terms=grant("g", "10.00", expires_at=day(3)))
    tick = Tick(number=7, time=day(3), clock="test", vector=Vector())
    steps = list(due("acme", wallet(log), tick))
    assert [step.action for step in steps] == ["expire", "recharge"]
    for step in steps:
        assert log._enter(step).refusal == ""
        assert log._enter(step).repeats
    assert list(due("acme", wallet(log), tick)) == []


class Line:
    """What a customer's commands and runs do with its grants, over the books: drafts draw from what they know."""

    def __init__(self) -> None:
        self.log, self.grants, self.used, self.count = Log(), {}, {}, 0  # type: ignore[var-annotated]

    def grant(self, funding: str, treatment: str | None, expires: int | None) -> None:
        self.count += 1
        until = None if expires is None else JUNE.start + timedelta(days=expires)
        made = grant(f"g{self.count}", "40.00", funding=funding, treatment=treatment, expires_at=until)
        self.grants[made.id] = made
        self.log.credit("grant", terms=made)

    def draft(self, amount: str, *, held: bool) -> None:
        self.count += 1
        known = [g.model_copy(update={"used": self.used.get(g.id, D(0))}) for g in self.grants.values()]
        made = invoice(f"i{self.count}", {"fee": amount}, grants=known, held=("why",) if held else ())
        for use in made.credits:
            self.used[use.grant] = self.used.get(use.grant, D(0)) + use.used
        self.log.add(made)

    def done(self, entered: object) -> None:
        """The state learns what the books decided."""
        for change in entered.changes:  # type: ignore[attr-defined]
            for command in commands_of(change):
                held = self.grants.get(getattr(command, "grant", ""))
                if isinstance(command, RestoreCredit) and held is not None:
                    more = held.model_copy(update={"returned": held.returned + command.amount})
                    self.grants[held.id] = more

    def act(self, what: str, place: int) -> None:
        """One of the grants or documents that it can be done to."""
        if what in ("expire", "revoke"):
            name = sorted(wallet(self.log).grants)[place % len(wallet(self.log).grants)]
            if what == "revoke":
                self.grants.pop(name, None)
            self.done(self.log.credit(what, grant_id=name, at=JUNE.end, revoking="refunded"))
            return
        wanted = {"final": (False, False), "release": (False, True), "reject": (False, True)}.get(what, (True, False))
        found = [
            each.id for each in self.log.books.documents.values()
            if isinstance(each, Invoice) and (each.number is not None, bool(each.held)) == wanted
            and each.status != "rejected"
        ]  # fmt: skip
        if found:
            self._act_on(what, found[place % len(found)])

    def _act_on(self, what: str, document: str) -> None:
        if what == "final":
            self.done(self.log.final(document))
        elif what == "note":
            self.count += 1
            self.log.add(note(f"n{self.count}", self.log.invoice(document), {"fee": "7.77"}))
            self.done(self.log.final(f"n{self.count}"))
        else:
            amount = "5.00" if what == "payment" else None
            self.done(self.log.act(what, document, amount=amount))  # type: ignore[arg-type]


Step = Callable[[Line], None]


def _steps() -> st.SearchStrategy[list[Step]]:
    """Grants, then documents that draw from them, and what may become of both, in any order."""
    grants = st.builds(
        lambda f, t, e: lambda line: line.grant(f, t, e),
        st.sampled_from(["free", "paid"]), st.sampled_from([None, "payment", "discount"]),
        st.sampled_from([None, 10, 30]),
    )  # fmt: skip
    drafts = st.builds(
        lambda a, h: lambda line: line.draft(a, held=h), st.sampled_from(["10.01", "33.33", "90.00"]), st.booleans()
    )
    names = ["final", "final", "final", "void", "reissue", "note", "payment", "expire", "revoke", "release", "reject"]
    acts = st.builds(lambda w, p: lambda line: line.act(w, p), st.sampled_from(names), st.integers(0, 9))
    return st.tuples(
        st.lists(grants, min_size=1, max_size=3), st.lists(drafts, min_size=1, max_size=3),
        st.lists(st.one_of(drafts, acts, acts, acts, grants), min_size=5, max_size=25),
    ).map(lambda parts: [step for part in parts for step in part])  # fmt: skip


@LAW
@given(_steps())
def test_credits_are_conserved_whatever_happens(steps: list[Step]) -> None:
    line = Line()
    for step in steps:
        step(line)
        for held in wallet(line.log).grants.values():
            assert held.granted == held.burnt + held.expired + held.revoked + held.withdrawn + held.left
            assert all(0 <= part <= held.granted for part in (held.burnt, held.expired, held.revoked, held.left))
    assert wallet_of(line.log.entries) == wallet(line.log)
    owed = sum((h.left for h in wallet(line.log).grants.values() if h.terms.funding == "paid"), D(0))
    assert line.log.balance("prepaid_credits") == -owed
    assert line.log.balance("credits_on_order") == 0
    assert not [d for d in line.log.books.documents.values() if isinstance(d, CreditNote) and d.totals.total < 0]
