"""rating.md §7: how an invoice adds up, in the order of §0."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.rating.totals import Line, totals
from schemas.credit import CreditGrant
from schemas.discount import Discount
from schemas.money import currency
from schemas.period import Moment
from schemas.tax import AppliedTax, Exemption

D = Decimal
EUR = currency("EUR")
NOON = Moment(datetime(2027, 6, 1, 12, tzinfo=UTC))
VAT20, VAT9 = AppliedTax("vat", D(20)), AppliedTax("reduced", D(9))
LAW = settings(max_examples=max(200, settings().max_examples), deadline=None)


def line(charge: str, amount: str, *taxes: AppliedTax, **more: object) -> Line:
    return Line(charge, D(amount), taxes, moment=NOON, **more)  # type: ignore[arg-type]


def discount(value: str, **more: object) -> Discount:
    return Discount.model_validate({"id": "coupon", "type": "percentage", "value": value} | more)


def grant(amount: str, **more: object) -> CreditGrant:
    fields = {"id": "grant", "amount": amount, "currency": "EUR", "effective_at": datetime(2027, 1, 1, tzinfo=UTC)}
    return CreditGrant.model_validate(fields | more)


def test_four_rounded_lines_of_2_345_make_9_40() -> None:
    assert totals([line("a", "2.35")] * 4, EUR).subtotal == D("9.40")


def test_lines_then_discounts_then_tax_then_credits_then_the_amount_due() -> None:
    found = totals(
        [line("seats", "100.00", VAT20), line("usage", "50.00", VAT20), line("books", "20.00", VAT9)],
        EUR,
        discounts=[
            discount("10", id="autumn"),
            discount("30.00", type="fixed", id="welcome", applies_to=("seats",), scope="line"),
        ],
        grants=[grant("40.00")],
    )
    # Line discount: seats 70.00. Invoice: 10 % of 140.00 = 14.00, as 7.00, 5.00, 2.00.
    assert (found.subtotal, found.discount_total, found.net) == (D("170.00"), D("44.00"), D("126.00"))
    assert [(group.percentage, group.taxable, group.tax) for group in found.tax_by_rate] == [
        (D(20), D("108.00"), D("21.60")), (D(9), D("18.00"), D("1.62")),
    ]  # fmt: skip
    assert (found.tax, found.total) == (D("23.22"), D("149.22"))
    assert (found.credits_applied, found.amount_due) == (D("40.00"), D("109.22"))
    assert [(part.amount, part.discount, part.net) for part in found.lines] == [
        (D("100.00"), D("37.00"), D("63.00")), (D("50.00"), D("5.00"), D("45.00")), (D("20.00"), D("2.00"), D("18.00")),
    ]  # fmt: skip
    assert [(part.source, part.amount) for part in found.lines[0].discounts] == [
        ("welcome", D("30.00")), ("autumn", D("7.00")),
    ]  # fmt: skip
    assert [(use.grant, use.used, use.left) for use in found.credits] == [("grant", D("40.00"), D("0.00"))]


def test_a_discount_that_belongs_to_a_line_reaches_no_other() -> None:
    found = totals([line("a", "10.00", discounts=(discount("50"),)), line("a", "10.00")], EUR)
    assert [part.net for part in found.lines] == [D("5.00"), D("10.00")]


def test_a_paid_credit_pays_tax_and_a_gift_reduces_it() -> None:
    usage = [line("usage", "100.00", VAT20)]
    paid = totals(usage, EUR, grants=[grant("50.00")])
    assert (paid.net, paid.tax, paid.credits_applied, paid.amount_due) == (
        D("100.00"), D("20.00"), D("50.00"), D("70.00"),
    )  # fmt: skip
    gift = totals(usage, EUR, grants=[grant("50.00", funding="free")])
    assert (gift.discount_total, gift.net, gift.tax, gift.credits_applied, gift.amount_due) == (
        D("50.00"), D("50.00"), D("10.00"), D("0.00"), D("60.00"),
    )  # fmt: skip


def test_credits_larger_than_the_invoice_pay_what_is_due_and_keep_the_rest() -> None:
    found = totals([line("usage", "100.00", VAT20)], EUR, grants=[grant("500.00")])
    assert (found.amount_due, found.credits[0].left) == (D("0.00"), D("380.00"))


def test_lines_that_contain_their_tax_are_paid_as_quoted() -> None:
    vat19 = AppliedTax("vat", D(19))
    found = totals([line("a", "119.00", vat19, inclusive=True), line("b", "1.00", vat19, inclusive=True)], EUR)
    assert (found.subtotal, found.net, found.tax, found.total) == (D("120.00"), D("100.84"), D("19.16"), D("120.00"))
    assert [(part.net, part.tax) for part in found.lines] == [(D("100.00"), D("19.00")), (D("0.84"), D("0.16"))]


def test_an_exempt_customer_has_a_zero_group_with_the_reason_instead_of_every_tax() -> None:
    found = totals(
        [line("a", "100.00", VAT20), line("b", "10.00", VAT9), line("c", "1.00")], EUR,
        exemption=Exemption.REVERSE_CHARGE,
    )  # fmt: skip
    (group,) = found.tax_by_rate
    assert (group.percentage, group.exemption, group.taxable, group.tax) == (
        D(0), Exemption.REVERSE_CHARGE, D("111.00"), D("0.00"),
    )  # fmt: skip
    assert found.total == D("111.00")


def test_no_lines_make_an_invoice_of_nothing() -> None:
    found = totals([], EUR, discounts=[discount("10")], grants=[grant("5.00")])
    assert (found.subtotal, found.total, found.amount_due, found.credits) == (0, 0, 0, ())


def test_totals_of_a_custom_unit_have_its_decimals() -> None:
    tokens = currency("TOK", {"TOK": 4})
    assert str(totals([Line("a", D("1.2345"))], tokens).amount_due) == "1.2345"


@pytest.mark.parametrize(("amount", "reason"), [("-0.01", "credit note"), ("1.005", "not rounded to 2 decimals")])
def test_refused_lines(amount: str, reason: str) -> None:
    with pytest.raises(ValueError, match=rf"lines\[1\].amount: .*{reason}"):
        totals([line("a", "1.00"), line("b", amount)], EUR)


def test_refused_discounts_and_grants_for_unknown_charges() -> None:
    lines = [line("seats", "1.00")]
    with pytest.raises(ValueError, match=r"discounts\[0\].applies_to\[0\]: no charge 'sets'"):
        totals(lines, EUR, discounts=[discount("1", applies_to=("sets",))], charges=["seats", "usage"])
    with pytest.raises(ValueError, match=r"grants\[0\].applies_to\[0\]: no charge 'sets'"):
        totals(lines, EUR, grants=[grant("1", applies_to=("sets",))], charges=["seats", "usage"])
    # A charge without a line this time is known all the same.
    assert totals(lines, EUR, discounts=[discount("1", applies_to=("usage",))], charges=["seats", "usage"]).net == 1


cents = st.integers(0, 10**7).map(lambda value: D(value) / 100)
taxes = st.lists(st.sampled_from([VAT20, VAT9, AppliedTax("gst", D("9.975"), compound=True)]), max_size=2).map(tuple)
charges = st.sampled_from(["a", "b", "c"])
limits = st.lists(charges, max_size=2).map(tuple)
lines = st.lists(st.builds(Line, charges, cents, taxes, st.booleans(), st.just(NOON)), max_size=6)
discounts = st.lists(
    st.builds(
        Discount,
        id=st.just("coupon"),
        type=st.sampled_from(["percentage", "fixed"]),
        value=st.integers(0, 15_000).map(lambda value: D(value) / 100),
        applies_to=limits,
        scope=st.sampled_from(["line", "invoice"]),
    ),
    max_size=4,
)
grants = st.lists(st.tuples(cents, st.sampled_from(["free", "paid"]), limits), max_size=3).map(
    lambda found: [
        grant(str(amount), id=str(index), funding=funding, applies_to=applies_to)
        for index, (amount, funding, applies_to) in enumerate(found)
    ]
)


@LAW
@given(lines, discounts, grants)
def test_law_totals_are_sums_of_rounded_lines(
    found: list[Line], held: list[Discount], given_grants: list[CreditGrant]
) -> None:
    result = totals(found, EUR, discounts=held, grants=given_grants)
    contained = sum((part.tax for part, each in zip(result.lines, found, strict=True) if each.inclusive), D(0))
    assert result.subtotal == sum((part.amount for part in result.lines), D(0))
    assert result.discount_total == sum((part.discount for part in result.lines), D(0))
    assert result.net == sum((part.net for part in result.lines), D(0))
    assert result.net == result.subtotal - result.discount_total - contained
    assert result.tax == sum((part.tax for part in result.lines), D(0))
    assert result.total == result.net + result.tax
    assert result.amount_due == result.total - result.credits_applied
    assert all(part.net >= 0 and part.discount >= 0 for part in result.lines)


@LAW
@given(lines, discounts, grants)
def test_law_credits_applied_are_at_most_the_total_and_at_most_the_balance(
    found: list[Line], held: list[Discount], given_grants: list[CreditGrant]
) -> None:
    result = totals(found, EUR, discounts=held, grants=given_grants)
    left = {each.id: each.left for each in given_grants}
    payments = [use for use in result.credits if use.treatment == "payment"]
    assert sum((use.used for use in payments), D(0)) == result.credits_applied <= result.total
    assert all(use.used + use.left == left[use.grant] for use in result.credits)
