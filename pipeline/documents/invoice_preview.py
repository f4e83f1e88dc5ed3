"""A preview of an invoice: the same functions as billing, on a request instead of the log."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from pipeline.closing.commitments import lifted
from pipeline.closing.run_lines import tax_point
from pipeline.documents.invoicing import invoice_totals
from pipeline.documents.run_documents import RunDocuments, run_documents
from pipeline.rating.charge_lines import rate_slice
from pipeline.rating.pricing import UsageRow, Used
from pipeline.rating.stages import Terms
from pipeline.rating.tax import taxes_at
from pipeline.rating.totals import Line, Totals
from pipeline.subscriptions.commitments import COMMITMENT, true_up_card
from schemas.invoice_preview import (
    InvoicePreview,
    InvoicePreviewed,
    PreviewAmount,
    PreviewCharge,
    PreviewedDocument,
    PreviewedLine,
    PreviewedSetOff,
)
from schemas.money import Currency, currency, round_money
from schemas.period import zone
from schemas.quantity import ZERO, plain
from schemas.rated_line import RatedLine


class PreviewRefused(ValueError):
    """A request that cannot be billed: every fault as (path, problem)."""

    def __init__(self, faults: Sequence[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{path}: {problem}" if path else problem for path, problem in faults))
        self.faults = tuple(faults)


def preview(request: InvoicePreview) -> InvoicePreviewed:
    """The documents of a request and what is due in the end. Raises PreviewRefused."""
    try:
        zone(request.time_zone)
        _refuse_unknown_taxes(request)
        money = currency(
            request.currency, None if request.minor_units is None else {request.currency: request.minor_units}
        )
        lines = [
            found for index, charge in enumerate(request.charges) for found in _lines(request, charge, index, money)
        ]
        lines += _true_up(request, [line for line, _ in lines], money)
        found = run_documents(
            [line for line, _ in lines],
            money,
            discounts=request.discounts,
            grants=request.grants,
            exemption=request.exemption,
            charges={_id(charge) for charge in request.charges} | {COMMITMENT},
        )
    except PreviewRefused:
        raise
    except (ValueError, TypeError, LookupError) as fault:
        path, _, problem = str(fault.args[0]).partition(": ")
        raise PreviewRefused([(path, problem)] if problem else [("", path)]) from None
    return _answer(found, lines, money)


def _id(charge: PreviewCharge | PreviewAmount) -> str:
    return charge.id if isinstance(charge, PreviewAmount) else charge.rate_card.id


def _lines(
    request: InvoicePreview, charge: PreviewCharge | PreviewAmount, index: int, money: Currency
) -> list[tuple[Line, RatedLine | None]]:
    rates = {rate.id: rate for rate in request.tax_rates}
    inclusive = request.tax_behavior == "inclusive"
    if isinstance(charge, PreviewAmount):
        amount = round_money(charge.amount, money)
        if amount != charge.amount:
            problem = f"{charge.amount} is not rounded to {money.minor_units} decimals"
            raise PreviewRefused([(f"charges[{index}].amount", problem)])
        moment = request.period.first_moment if charge.timing == "advance" else request.period.last_moment
        taxes = taxes_at(charge.tax_rates or request.default_tax_rates, rates, moment, request.time_zone)
        return [(Line(charge.id, amount, taxes, inclusive, moment, charge.discounts), None)]
    names = charge.rate_card.tax_rates or request.default_tax_rates
    lines: list[tuple[Line, RatedLine | None]] = []
    for rated in _rated(request, charge, index, money):
        moment = tax_point(charge.rate_card, rated.service)
        taxes = taxes_at(names, rates, moment, request.time_zone)
        lines.append((Line(rated.charge, rated.amount, taxes, inclusive, moment), rated))
    return lines


def _true_up(request: InvoicePreview, lines: Sequence[Line], money: Currency) -> list[tuple[Line, RatedLine | None]]:
    """What the charges lack to the commitment of the plan: a line with the default taxes."""
    if request.commitment is None:
        return []
    service = request.commitment.service or request.period
    if not request.period.encloses(service):
        raise PreviewRefused([("commitment.service", "must lie within the period")])
    if COMMITMENT in {line.charge for line in lines}:
        raise PreviewRefused([("commitment", f"a charge must not be called {COMMITMENT}: the true-up is")])
    card = true_up_card(request.commitment.amount)
    reached = sum((line.amount for line in lines), round_money(ZERO, money))
    found = lifted(card, Terms(money, request.period, service, request.time_zone), reached)
    rates = {rate.id: rate for rate in request.tax_rates}
    moment = request.period.last_moment if service.is_empty else service.last_moment
    taxes = taxes_at(request.default_tax_rates, rates, moment, request.time_zone)
    inclusive = request.tax_behavior == "inclusive"
    return [(Line(rated.charge, rated.amount, taxes, inclusive, moment), rated) for rated in found]


def _rated(request: InvoicePreview, charge: PreviewCharge, index: int, money: Currency) -> Sequence[RatedLine]:
    service = charge.service or request.period
    if not request.period.encloses(service):
        raise PreviewRefused([(f"charges[{index}].service", "must lie within the period")])
    terms = Terms(money, request.period, service, request.time_zone)
    try:
        found = rate_slice(charge.rate_card, _used(charge), terms)
    except (ValueError, TypeError) as fault:
        raise PreviewRefused([(f"charges[{index}]", str(fault))]) from None
    if found.unpriced:
        raise PreviewRefused([(f"charges[{index}].usage", _unpriced(rest)) for rest in found.unpriced])
    return found.lines


def _unpriced(rest: object) -> str:
    if not isinstance(rest, UsageRow):
        return f"has no price: {rest}"
    values = ", ".join(f"{name} = {value}" for name, value in rest.values.items())
    return f"{plain(rest.quantity)} units have no price{f': no entry matches {values}' if values else ''}"


def _refuse_unknown_taxes(request: InvoicePreview) -> None:
    known = {rate.id for rate in request.tax_rates}
    named = [(f"default_tax_rates[{place}]", name) for place, name in enumerate(request.default_tax_rates)]
    for index, charge in enumerate(request.charges):
        rated = isinstance(charge, PreviewCharge)
        path = f"charges[{index}].rate_card.tax_rates" if rated else f"charges[{index}].tax_rates"
        names = charge.rate_card.tax_rates if isinstance(charge, PreviewCharge) else charge.tax_rates
        named += [(f"{path}[{place}]", name) for place, name in enumerate(names)]
    faults = [(path, f"no tax rate {name!r} in tax_rates") for path, name in named if name not in known]
    if faults:
        raise PreviewRefused(faults)


def _used(charge: PreviewCharge) -> Used:
    if isinstance(charge.usage, Decimal):
        return charge.usage
    if charge.rate_card.meter is None and not charge.usage:
        return ZERO
    return tuple(UsageRow(row.quantity, row.values, row.window, row.events) for row in charge.usage)


def _answer(found: RunDocuments, lines: Sequence[tuple[Line, RatedLine | None]], money: Currency) -> InvoicePreviewed:
    zero = Decimal((0, (0,), -money.minor_units))
    told = found.set_off
    return InvoicePreviewed(
        currency=money.code,
        invoice=_document(found.invoice, [rated for line, rated in lines if line.amount >= 0]),
        credit_note=_document(found.note, [rated for line, rated in lines if line.amount < 0]),
        set_off=PreviewedSetOff(set_off=told.set_off + zero, due=told.due + zero, credited=told.credited + zero),
    )


def _document(found: Totals | None, rated: Sequence[RatedLine | None]) -> PreviewedDocument | None:
    if found is None:
        return None
    lines = [
        PreviewedLine(
            charge=line.charge,
            amount=line.amount,
            discounts=line.discounts,
            discount=line.discount,
            net=line.net,
            taxes=line.taxes,
            tax=line.tax,
            rated=explained,
        )
        for line, explained in zip(found.lines, rated, strict=True)
    ]
    return PreviewedDocument(lines=tuple(lines), totals=invoice_totals(found), credits=found.credits)
