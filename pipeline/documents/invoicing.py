"""The debits of a run become an invoice; totals are sums of rounded lines. Source: rating.md §5, §7, §8."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from pipeline.closing.interims import deductions, final_charges, interim_discounts
from pipeline.closing.run_lines import RunLine, RunLines, UsageByMeter, plan_of, run_lines
from pipeline.documents.document_keys import charge_key, dimension_group, document_id, line_id
from pipeline.rating.tax import taxes_at
from pipeline.rating.totals import Line, LineTotals, Totals, totals
from schemas.catalogue_entry import Catalogue
from schemas.credit import CreditGrant
from schemas.customer_state import PeriodClosed
from schemas.discount import Discount
from schemas.invoice import Basis, DocumentTerms, Invoice, InvoiceLine, InvoiceTotals
from schemas.issued_line import IssuedLine
from schemas.issuer import Issuer
from schemas.party import buyer_of, seller_of
from schemas.period import Period
from schemas.quantity import ZERO
from schemas.tax import Exemption, TaxGroup


@dataclass(frozen=True, slots=True)
class Terms:
    """What a customer has beside the plans: discounts in the order they apply, credit grants, an exemption from tax."""

    discounts: Sequence[Discount] = ()
    grants: Sequence[CreditGrant] = ()
    exemption: Exemption | None = None
    interims: Sequence[Invoice] = ()
    """Interim invoices of earlier runs, in order: the invoice of their period deducts them."""


NO_TERMS = Terms()


def terms_of(
    closed: PeriodClosed, used: Mapping[tuple[str, str], Decimal], interims: Mapping[str, Sequence[Invoice]]
) -> Terms:
    """A customer's discounts and credits as of a run; `used` is what earlier documents drew, by (customer, grant).

    `interims` are interim invoices of earlier runs by customer.
    """
    grants = [
        grant.model_copy(
            update={"used": min(grant.amount + grant.returned, used.get((closed.customer, grant.id), ZERO))}
        )
        for grant in closed.grants
    ]
    return Terms(discounts=closed.discounts, grants=grants, interims=interims.get(closed.customer, ()))


def invoice_of(
    closed: PeriodClosed,
    usage: UsageByMeter,
    catalogue: Catalogue,
    terms: Terms = NO_TERMS,
    issued: Sequence[IssuedLine] = (),
) -> tuple[Invoice, ...]:
    """The draft invoices of a close, one per currency and group, in their order; pure: the same close gives the same.

    `issued` are the lines of the customer's earlier runs. A run that only gives back makes no invoice.
    """
    return invoices_of(closed, run_lines(closed, usage, catalogue, issued), catalogue, terms)


def invoices_of(
    closed: PeriodClosed, runs: Sequence[RunLines], catalogue: Catalogue, terms: Terms = NO_TERMS
) -> tuple[Invoice, ...]:
    """The draft invoices of the debits of a run; a credit grant pays what the ones before have left of it."""
    made: list[Invoice] = []
    used: dict[str, Decimal] = {}
    for run in runs:
        if not run.is_skipped:
            grants = [
                grant.model_copy(update={"used": used.get(grant.id, grant.used)})
                for grant in terms.grants
                if grant.currency == run.money.code
            ]
            discounts = [held for held in terms.discounts if held.currency in (None, run.money.code)]
            made.append(_invoice(closed, run, catalogue, replace(terms, grants=grants, discounts=discounts)))
            for use in made[-1].credits:
                used[use.grant] = used.get(use.grant, _used(terms.grants, use.grant)) + use.used
    return tuple(made)


def _used(grants: Sequence[CreditGrant], grant: str) -> Decimal:
    return next(each.used for each in grants if each.id == grant)


def _invoice(closed: PeriodClosed, run: RunLines, catalogue: Catalogue, terms: Terms) -> Invoice:
    code = run.money.code
    dues = [due for due in closed.periods if (due.currency, due.group) == (code, run.group)]
    is_interim = any(due.interim for due in dues)
    if is_interim:
        gifts = [grant for grant in terms.grants if grant.treatment == "payment"]
        terms = replace(terms, discounts=interim_discounts(terms.discounts), grants=gifts)
    off = deductions(terms.interims, final_charges(dues), closed.disregarded)
    deducted = sum((each.total for each in off), ZERO)
    exemption = terms.exemption or closed.record.exemption
    own = NO_TERMS if run.sells_credits else terms  # credits are sold at their price, and bought with money
    found = totals(
        [_line(each) for each in run.debits], run.money,
        discounts=own.discounts, grants=own.grants, exemption=exemption, deducted=deducted,
    )  # fmt: skip
    return Invoice(
        engine=closed.tick.engine,
        id=document_id(closed.customer, code, closed.tick.number, group=run.group, revision=closed.revision),
        status="draft",
        number=None,
        customer=closed.customer,
        currency=code,
        minor_units=run.money.minor_units,
        issued_at=closed.tick.time,
        seller=seller_of(catalogue.issuer),
        buyer=buyer_of(closed.record, closed.customer),
        order_reference=closed.record.order_reference,
        notes=exemption_notes(found.tax_by_rate, catalogue.issuer),
        period=_period(closed, run),
        lines=tuple(_invoice_line(closed, each, part) for each, part in zip(run.debits, found.lines, strict=True)),
        totals=invoice_totals(found, deducted),
        interim=is_interim,
        deductions=off,
        credits=found.credits,
        basis=basis_of(closed),
        terms=document_terms(closed, run, catalogue),
        revision=closed.tick.number,
    )


def document_terms(closed: PeriodClosed, run: RunLines, catalogue: Catalogue) -> DocumentTerms:
    """What the issuer and the plans on a document say about it; of several payment terms the shortest."""
    issuer = catalogue.issuer
    if run.sells_credits:
        return _sale_terms(run, catalogue)
    group = (run.money.code, run.group)
    plans = [plan_of(due, catalogue).plan for due in closed.periods if (due.currency, due.group) == group]
    terms = [plan.payment_terms if plan.payment_terms is not None else issuer.payment_terms for plan in plans]
    return DocumentTerms(
        series=issuer.invoice_series,
        credit_note_series=issuer.credit_note_series,
        payment_days=min((each.days for each in terms), default=issuer.payment_terms.days),
        dunning=next((plan.dunning for plan in plans if plan.dunning is not None), None),
    )


def _sale_terms(run: RunLines, catalogue: Catalogue) -> DocumentTerms:
    """A sale of credits is collected at once, as the plan says; if nobody pays, no service ends.

    Where nobody is asked for money, the customer has as long to pay as ever.
    """
    issuer, line = catalogue.issuer, run.debits[0]
    entry = catalogue.plan(line.plan, line.plan_version)
    policy = None if entry is None else entry.plan.dunning
    terms = issuer.payment_terms if entry is None or entry.plan.payment_terms is None else entry.plan.payment_terms
    return DocumentTerms(
        series=issuer.invoice_series,
        credit_note_series=issuer.credit_note_series,
        payment_days=terms.days if policy is None else 0,
        dunning=None if policy is None else policy.model_copy(update={"at_end": "leave", "writes_off": True}),
    )


def exemption_notes(groups: Sequence[TaxGroup], issuer: Issuer) -> tuple[str, ...]:
    """What a document must say about lines without tax, each reason once."""
    reasons = dict.fromkeys(group.exemption for group in groups if group.exemption is not None)
    return tuple(issuer.exemption_text(reason) for reason in reasons)


def _period(closed: PeriodClosed, run: RunLines) -> Period:
    """From the first to the last moment that the invoice bills."""
    own = [due for due in closed.periods if (due.currency, due.group) == (run.money.code, run.group)]
    spans = [due.service for due in own if due.late is None or all(each.late for each in own)]
    spans += [line.span for line in run.debits]
    return Period(start=min(span.start for span in spans), end=max(span.end for span in spans))


def invoice_totals(found: Totals, deducted: Decimal = ZERO) -> InvoiceTotals:
    """The totals as they stand on a document; interim invoices billed `deducted` of them before."""
    return InvoiceTotals(
        subtotal=found.subtotal,
        discount_total=found.discount_total,
        net=found.net,
        tax=found.tax,
        tax_by_rate=found.tax_by_rate,
        total=found.total,
        credits_applied=found.credits_applied,
        amount_due=found.amount_due,
        deducted=deducted,
        excess=max(ZERO, deducted - found.total),
    )


def basis_of(closed: PeriodClosed) -> Basis:
    return Basis(
        tick=closed.tick.number,
        clock=closed.tick.clock,
        close_id=closed.close_id,
        revision=closed.revision,
        events=closed.events,
        usage_fingerprint=closed.fingerprint,
        vector=closed.tick.vector.ends,
    )


def _line(each: RunLine) -> Line:
    """A rated line as the totals take it: a charge's own taxes override those of the plan."""
    taxes = taxes_at(each.tax_rates, each.known_rates, each.tax_point, each.time_zone)
    return Line(each.rated.charge, each.amount, taxes, each.inclusive, each.tax_point)


def _invoice_line(closed: PeriodClosed, each: RunLine, part: LineTotals) -> InvoiceLine:
    line = each.rated
    group = dimension_group(line.kind, line.dimensions, each.entry)
    # A correction of a period that was billed before is another line in every run.
    adjusts = each.period if each.rerates else None
    return InvoiceLine(
        id=line_id(
            each.subscription,
            charge_key(each.charge),
            each.plan_version,
            each.span,
            group=group,
            adjusted=adjusts,
            revision=closed.tick.number if each.rerates else 0,
        ),
        subscription=each.subscription,
        plan=each.plan,
        plan_version=each.plan_version,
        charge_number=each.charge.number,
        adjusts=adjusts,
        late=each.late,
        span=each.span if each.span != line.service else None,
        rated=line,
        amount=part.amount,
        discounts=part.discounts,
        discount=part.discount,
        net=part.net,
        taxes=part.taxes,
        tax_behavior="inclusive" if each.inclusive else "exclusive",
        tax=part.tax,
    )
