"""rating.md §6: prepaid credits, their burn order and what they may pay."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.rating.credits import (
    InsufficientBalance,
    Payable,
    burn_order,
    discount_by_grants,
    draw,
    pay,
    refuse_unknown_charges,
)
from schemas.credit import CreditGrant
from schemas.money import currency
from schemas.period import Moment, Period

D = Decimal
EUR = currency("EUR")
LAW = settings(max_examples=max(200, settings().max_examples), deadline=None)


def day(month: int, number: int) -> datetime:
    return datetime(2027, month, number, tzinfo=UTC)


AUGUST = Moment(day(8, 1))
SEPTEMBER = Period(day(9, 1), day(10, 1)).last_moment


def grant(name: str, amount: str, **more: object) -> CreditGrant:
    fields = {"id": name, "amount": amount, "currency": "EUR", "effective_at": day(1, 1)} | more
    return CreditGrant.model_validate(fields)


A = grant("A", "40.00", priority=2)
B = grant("B", "25.00", priority=1, expires_at=day(9, 1))
C = grant("C", "30.00", priority=1)
WITHOUT = grant("D", "10.00")


def test_the_grant_with_the_lower_priority_and_the_earlier_expiry_is_burnt_first() -> None:
    drawn = draw(D("60.00"), [A, B, C, WITHOUT], AUGUST, EUR)
    assert [(use.grant, use.used) for use in drawn.uses] == [("B", D("25.00")), ("C", D("30.00")), ("A", D("5.00"))]
    assert (drawn.due, drawn.balance) == (D("0.00"), D("45.00"))
    assert [use.left for use in drawn.uses] == [D("0.00"), D("0.00"), D("35.00")]


def test_equal_grants_are_burnt_free_before_paid_then_by_creation_then_by_id() -> None:
    grants = [
        grant("paid", "1"),
        grant("later", "1", funding="free", created_at=day(3, 1)),
        grant("b", "1", funding="free", created_at=day(2, 1)),
        grant("a", "1", funding="free", created_at=day(2, 1)),
        grant("expiring", "1", expires_at=day(12, 1)),
        grant("first", "1", priority=0),
    ]
    order = ["first", "expiring", "a", "b", "later", "paid"]
    assert [held.id for held in burn_order(grants)] == order
    assert [held.id for held in burn_order(reversed(grants))] == order


@pytest.mark.parametrize(
    ("at", "paid"),
    [
        (Moment(day(8, 1)), "0"),
        (Moment(day(9, 1), before=True), "0"),
        (Moment(day(9, 1)), "5.00"),
        (Moment(day(10, 1) - timedelta(microseconds=1)), "5.00"),
        (Moment(day(10, 1), before=True), "5.00"),
        (Moment(day(10, 1)), "0"),
        (Moment(day(10, 1) + timedelta(microseconds=1), before=True), "0"),
    ],
)
def test_a_grant_is_usable_from_when_it_is_effective_until_before_it_expires(at: Moment, paid: str) -> None:
    held = grant("G", "5.00", effective_at=day(9, 1), expires_at=day(10, 1))
    drawn = draw(D("7.00"), [held], at, EUR)
    assert drawn.due == D("7.00") - D(paid)


def test_grants_that_cannot_be_used_then_are_no_balance() -> None:
    grants = [grant("old", "5.00", expires_at=day(8, 1)), grant("new", "6.00", effective_at=day(8, 2)), C]
    assert draw(D("0.00"), grants, AUGUST, EUR).balance == D("30.00")


def test_what_is_due_is_used_and_the_rest_kept() -> None:
    drawn = draw(D("12.34"), [C], AUGUST, EUR)
    assert (drawn.due, drawn.balance) == (D("0.00"), D("17.66"))
    beyond = draw(D("31.00"), [C], AUGUST, EUR)
    assert (beyond.due, beyond.balance) == (D("1.00"), D("0.00"))


def test_nothing_is_drawn_for_nothing() -> None:
    drawn = draw(D("0.00"), [A, B, C], AUGUST, EUR)
    assert (drawn.uses, drawn.balance) == ((), D("95.00"))


def test_what_was_used_before_is_not_there_any_more() -> None:
    assert draw(D("30.00"), [grant("G", "30.00", used="29.99")], AUGUST, EUR).due == D("29.99")


@pytest.mark.parametrize(("due", "balance"), [("105.01", "105.00"), ("1000.00", "105.00")])
def test_an_all_or_nothing_debit_beyond_the_balance_draws_nothing(due: str, balance: str) -> None:
    with pytest.raises(InsufficientBalance, match="insufficient_balance") as refused:
        draw(D(due), [A, B, C, WITHOUT], AUGUST, EUR, all_or_nothing=True)
    assert refused.value.balance == D(balance)
    assert refused.value.code == "insufficient_balance"


def test_an_all_or_nothing_debit_of_the_whole_balance_is_paid() -> None:
    drawn = draw(D("105.00"), [A, B, C, WITHOUT], AUGUST, EUR, all_or_nothing=True)
    assert (drawn.due, drawn.balance) == (D("0.00"), D("0.00"))


def line(charge: str, net: str, tax: str = "0", moment: Moment = SEPTEMBER) -> Payable:
    return Payable(charge, D(net), moment, D(tax))


def test_a_grant_until_the_end_of_september_pays_september_though_it_is_billed_in_october() -> None:
    held = grant("G", "50.00", expires_at=day(10, 1))
    assert pay(D("24.00"), [line("usage", "20.00", "4.00")], [held], EUR).due == D("0.00")
    october = line("fee", "20.00", "4.00", Moment(day(10, 1)))  # in advance: its first moment
    assert pay(D("24.00"), [october], [held], EUR).due == D("24.00")


def test_a_grant_pays_the_total_with_tax() -> None:
    drawn = pay(D("120.00"), [line("usage", "100.00", "20.00")], [grant("G", "110.00")], EUR)
    assert (drawn.due, drawn.balance) == (D("10.00"), D("0.00"))


def test_a_grant_restricted_to_lines_pays_at_most_their_nets_without_tax() -> None:
    lines = [line("seats", "40.00", "8.00"), line("usage", "60.00", "12.00")]
    drawn = pay(D("120.00"), lines, [grant("G", "100.00", applies_to=("seats",))], EUR)
    assert (drawn.due, drawn.balance) == (D("80.00"), D("60.00"))


def test_a_restricted_grant_pays_less_what_earlier_restricted_ones_took_there() -> None:
    lines = [line("seats", "40.00", "8.00"), line("usage", "60.00", "12.00")]
    first = grant("1", "30.00", applies_to=("seats",), priority=1)
    second = grant("2", "100.00", applies_to=("seats",), priority=2)
    drawn = pay(D("120.00"), lines, [second, first], EUR)
    assert [(use.grant, use.used) for use in drawn.uses] == [("1", D("30.00")), ("2", D("10.00"))]


def test_a_restricted_grant_never_pays_more_than_is_due() -> None:
    lines = [line("seats", "40.00"), line("usage", "60.00")]
    grants = [grant("all", "85.00", priority=1), grant("seats", "40.00", priority=2, applies_to=("seats",))]
    drawn = pay(D("100.00"), lines, grants, EUR)
    assert [(use.grant, use.used) for use in drawn.uses] == [("all", D("85.00")), ("seats", D("15.00"))]


def test_a_grant_that_is_valid_for_some_lines_pays_at_most_what_they_come_to_with_tax() -> None:
    october = line("fee", "50.00", "10.00", Moment(day(10, 1)))
    held = grant("G", "100.00", expires_at=day(10, 1))
    drawn = pay(D("84.00"), [line("usage", "20.00", "4.00"), october], [held], EUR)
    assert (drawn.due, drawn.balance) == (D("60.00"), D("76.00"))


def test_a_free_grant_is_a_discount_and_a_paid_one_a_payment_unless_it_says_otherwise() -> None:
    assert grant("G", "1", funding="free").treatment == "discount"
    assert grant("G", "1", funding="paid").treatment == "payment"
    assert grant("G", "1", funding="free", treatment="payment").treatment == "payment"
    assert grant("G", "1", funding="paid", treatment="discount").treatment == "discount"


def test_a_gift_is_drawn_from_the_nets_it_covers_and_allocated() -> None:
    lines = [line("a", "0.30"), line("b", "0.30"), line("c", "0.10"), line("d", "5.00")]
    gift = grant("gift", "0.10", funding="free", applies_to=("a", "b", "c"))
    uses, parts = discount_by_grants(lines, [gift, C], EUR)
    assert [(use.grant, use.used, use.left) for use in uses] == [("gift", D("0.10"), D("0.00"))]
    assert [sum((part.amount for part in held), D(0)) for held in parts] == [D("0.04"), D("0.04"), D("0.02"), D(0)]


def test_gifts_are_burnt_in_the_same_order_and_never_below_zero() -> None:
    gifts = [grant("2", "6.00", funding="free", priority=2), grant("1", "7.00", funding="free", priority=1)]
    uses, _ = discount_by_grants([line("a", "10.00")], gifts, EUR)
    assert [(use.grant, use.used, use.left) for use in uses] == [
        ("1", D("7.00"), D("0.00")),
        ("2", D("3.00"), D("3.00")),
    ]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"amount": "-0.01"}, "greater than or equal to 0"),
        ({"expires_at": day(1, 1)}, "must be after effective_at"),
        ({"expires_at": day(1, 1) - timedelta(days=1)}, "must be after effective_at"),
        ({"used": "5.01"}, "must be at most the amount, 5.00"),
        ({"amount": 5.0}, "not a float"),
        ({"funding": "gift"}, "'free' or 'paid'"),
        ({"effective_at": datetime(2027, 1, 1)}, "timezone"),  # noqa: DTZ001
    ],
)
def test_refused_grants(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        grant("G", **({"amount": "5.00"} | fields))  # type: ignore[arg-type]


def test_refused_another_currency() -> None:
    dollars = grant("G", "5.00", currency="USD")
    for attempt in (
        lambda: draw(D(1), [C, dollars], AUGUST, EUR),
        lambda: pay(D(1), [line("a", "1")], [C, dollars], EUR),
        lambda: discount_by_grants([line("a", "1")], [C, dollars], EUR),
    ):
        with pytest.raises(ValueError, match=r"grants\[1\].currency: must be EUR, not USD"):
            attempt()


def test_refused_a_negative_debit() -> None:
    with pytest.raises(ValueError, match="due: must be at least 0"):
        draw(D("-0.01"), [C], AUGUST, EUR)
    with pytest.raises(ValueError, match="due: must be at least 0"):
        pay(D("-0.01"), [], [C], EUR)


def test_refused_an_unknown_charge() -> None:
    with pytest.raises(ValueError, match=r"grants\[0\].applies_to\[0\]: no charge 'sets'"):
        refuse_unknown_charges([grant("G", "5.00", applies_to=("sets",))], ["seats"])


amounts = st.integers(0, 10**6).map(lambda cents: str(D(cents) / 100))
moments = st.sampled_from([Moment(day(8, 1)), SEPTEMBER, Moment(day(10, 1))])
grants = st.lists(
    st.fixed_dictionaries(
        {"amount": amounts},
        optional={
            "priority": st.integers(0, 3),
            "expires_at": st.sampled_from([day(9, 1), day(10, 1)]),
            "funding": st.sampled_from(["free", "paid"]),
            "applies_to": st.lists(st.sampled_from("abc"), max_size=2).map(tuple),
        },
    ),
    max_size=6,
).map(lambda found: [grant(str(index), **fields) for index, fields in enumerate(found)])


@LAW
@given(amounts, grants, moments)
def test_law_credits_used_are_at_most_what_is_due_and_at_most_the_balance(
    due: str, found: list[CreditGrant], at: Moment
) -> None:
    drawn = draw(D(due), found, at, EUR)
    used = sum((use.used for use in drawn.uses), D(0))
    assert used + drawn.due == D(due)
    assert drawn.due >= 0
    assert drawn.balance >= 0
    assert drawn.due == 0 or drawn.balance == 0
    assert all(use.used > 0 and use.left >= 0 for use in drawn.uses)


@LAW
@given(st.lists(st.tuples(st.sampled_from("abc"), amounts, amounts, moments), max_size=5), grants)
def test_law_no_grant_pays_more_than_it_has_or_than_its_lines(
    found: list[tuple[str, str, str, Moment]], held: list[CreditGrant]
) -> None:
    lines = [line(*fields) for fields in found]
    due = sum((each.net + each.tax for each in lines), D(0))
    drawn = pay(due, lines, held, EUR)
    limits = {each.id: each for each in held}
    assert sum((use.used for use in drawn.uses), D(0)) + drawn.due == due
    for use in drawn.uses:
        source = limits[use.grant]
        covered = [each for each in lines if source.covers(each.charge) and source.is_usable_at(each.moment or AUGUST)]
        assert use.used + use.left == source.left
        assert use.used <= sum((each.net + (D(0) if source.applies_to else each.tax) for each in covered), D(0))


@LAW
@given(amounts, grants, moments, st.randoms(use_true_random=False))
def test_law_the_order_in_which_grants_are_given_does_not_matter(
    due: str, found: list[CreditGrant], at: Moment, random: object
) -> None:
    shuffled = list(found)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert draw(D(due), shuffled, at, EUR) == draw(D(due), found, at, EUR)
