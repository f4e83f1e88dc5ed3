"""A history of one charge: billed, then twice less than was billed, so that two notes correct one invoice."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from agents.cli.note_grounds import Grounds
from agents.cli.proving import GatheredNote
from agents.cli.proving import Usage as UsageBehind
from agents.store.looks import StoredInvoice, StoredNote
from pipeline.closing.run_lines import RunLines, run_lines
from pipeline.documents.books import Document
from pipeline.documents.invoicing import Terms, invoices_of
from pipeline.documents.run_notes import BilledLine, credited, notes_of
from pipeline.meters.aggregation import MeteredEvent, aggregate, read_payload
from pipeline.rating.charge_lines import Usage
from schemas.catalogue_entry import MeterEntry, PlanEntry, catalogue_of
from schemas.customer_state import DueCharge, DuePeriod, Late, OneOff, PeriodClosed
from schemas.discount import Discount
from schemas.evidence import FrozenUsage, GivenBack, Owner, RawEvent, UsageProof
from schemas.identity import canonical_json
from schemas.issued_line import IssuedLine
from schemas.meter import Meter
from schemas.period import Period
from schemas.plan import Plan
from schemas.tax import TaxRate
from schemas.tick import Tick, Vector
from tests.pipeline.document_log import Log

OCTOBER = Period(datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC))
TOKENS = MeterEntry.of(
    Meter.model_validate({"id": "tokens", "event_types": ["call"], "aggregation": "sum", "value": "tokens",
                          "group_by": ["model"]})
)  # fmt: skip
VAT = TaxRate.model_validate({"id": "vat", "percentages": [{"percentage": "21"}]})
PLAN = PlanEntry.of(
    Plan.model_validate({
        "id": "p", "currency": "EUR", "tax_rates": ["vat"], "rate_cards": [
            {"id": "fee", "timing": "advance", "price": {"model": "flat", "amount": "31.00"}},
            {"id": "tokens", "meter": "tokens", "percentage_discount": "10", "price": {"model": "graduated", "tiers": [
                {"up_to": "10", "unit_price": "1.11"}, {"unit_price": "0.37"}]}},
        ],
    }),
    {"tokens": TOKENS.version}, [VAT],
)  # fmt: skip
CATALOGUE = catalogue_of([TOKENS, PLAN])
COUPON = Discount.model_validate({"id": "welcome", "type": "percentage", "value": "15", "scope": "invoice"})
CUT = Period(OCTOBER.start, datetime(2026, 10, 21, tzinfo=UTC))
"""The subscription ends early by the last run, which so gives back of the fee too."""


def used(offset: int, tokens: str, model: str = "large") -> RawEvent:
    """An event of acme/1 in October."""
    at = int((OCTOBER.start + timedelta(hours=offset)).timestamp() * 1000)
    data = json.dumps({"model": model, "tokens": tokens})
    return RawEvent("call", "acme/1", at, "/test", f"0-{offset}", 0, offset, data)


EVENTS = (used(0, "4"), used(1, "2.5", "small"), used(2, "6"), used(3, "3"))
LAST = (EVENTS[0], EVENTS[3])
"""The second run knows that 2.5 were retracted, the third that 6 were."""


class History:
    """Runs of acme, each with the events that count by then, and the documents that become final of them."""

    def __init__(self) -> None:
        self.log = Log()
        self.issued: list[IssuedLine] = []
        self.billed: tuple[BilledLine, ...] = ()
        self.runs: list[tuple[PeriodClosed, tuple[RunLines, ...], Sequence[RawEvent]]] = []

    def run(
        self, tick: int, due: Sequence[DuePeriod], events: Sequence[RawEvent], one_offs: tuple[OneOff, ...] = ()
    ) -> list[Document]:
        """Bills what is due; the documents, final."""
        ends = {"usage.events": (3 + tick,), "billing.attributions": (1,), "billing.catalogue": (2,)}
        time = OCTOBER.end + timedelta(days=tick)
        closed = PeriodClosed(
            close_id=f"0c9f6f7e-0000-5000-8000-00000000000{tick}", customer="acme", revision=0, periods=tuple(due),
            one_offs=one_offs,
            tick=Tick(number=tick, time=time, clock="test", vector=Vector(ends=ends)), usage_rows=2,
            follows=tick - 1, events=len(events), fingerprint=f"{len(events)}-0",
        )  # fmt: skip
        usage = {("s", "tokens", each.service): _usage(events, each.service) for each in due}
        lines = run_lines(closed, usage, CATALOGUE, self.issued)
        invoices = invoices_of(closed, lines, CATALOGUE, Terms(discounts=(COUPON,)))
        drafts = [*notes_of(closed, lines, CATALOGUE, invoices, self.billed), *invoices]
        self.log.add(*drafts)
        for draft in drafts:
            self.log.final(draft.id)
        final = [self.log.books.documents[draft.id] for draft in drafts]
        self.issued = [*self.issued, *(line.issued() for each in lines for line in each.all)]
        self.runs.append((closed, lines, events))
        self._remember(final)
        return final

    def _remember(self, documents: Sequence[Document]) -> None:
        asked: dict[tuple[str, str], Decimal] = {(each.invoice, each.line.id): each.credited for each in self.billed}
        for document in documents:
            if document.kind == "invoice":
                self.billed += tuple(BilledLine(document.id, line) for line in document.lines)
            elif document.invoice is not None:
                for line in document.lines:
                    asked[document.invoice, str(line.invoice_line)] += line.asked or line.gross
        self.billed = credited(self.billed, asked)


def due(service: Period, *cards: str, rerates: bool = False, late: int | None = None) -> DuePeriod:
    """October of acme's plan; `late` is the offset of what came after the close before."""
    why = None
    if late is not None:
        why = Late(policy="next_invoice", minimum=Decimal(0), records=1, positions=(f"usage.events/0/{late}",))
    return DuePeriod(
        subscription="s", plan="p", plan_version=PLAN.version, currency="EUR", time_zone="UTC", period=OCTOBER,
        service=service, rerates=rerates, late=why, charges=tuple(DueCharge(card=card) for card in cards),
    )  # fmt: skip


def gathered_note() -> GatheredNote:
    """What stands behind CN-000002: the second note of INV-000001, of usage and of the rest of a fee."""
    history = History()
    (invoice,) = history.run(1, [due(OCTOBER, "fee", "tokens")], EVENTS)
    (first,) = history.run(2, [due(OCTOBER, "tokens", rerates=True, late=4)], [EVENTS[0], *EVENTS[2:]])
    before = list(history.issued)
    (second,) = history.run(3, [due(OCTOBER, "tokens", rerates=True, late=5), due(CUT, "fee", rerates=True)], LAST)
    found = _grounds(history, second, invoice, (first,), before)
    events = history.runs[-1][2]
    rows = aggregate(TOKENS.meter, _metered(events), OCTOBER)
    groups = tuple(FrozenUsage(group=r.group, events=r.events, invalid=r.invalid, value=r.value) for r in rows)
    proof = UsageProof(
        subscription="s", meter="tokens", meter_version=TOKENS.version, definition=TOKENS.meter, service=OCTOBER,
        period=OCTOBER, time_zone="UTC", groups=groups,
    )  # fmt: skip
    owner = Owner(subject="acme/1", since=datetime(2026, 1, 1, tzinfo=UTC), customer="acme")
    return GatheredNote(found, UsageBehind((proof,), (owner,), tuple(events)))


def gathered_void() -> GatheredNote:
    """What stands behind the note that books the void of INV-000001, after CN-000001."""
    history = History()
    (invoice,) = history.run(1, [due(OCTOBER, "fee", "tokens")], EVENTS)
    (first,) = history.run(2, [due(OCTOBER, "tokens", rerates=True, late=4)], [EVENTS[0], *EVENTS[2:]])
    history.log.act("void", invoice.id)
    (note,) = (each for each in history.log.books.notes[invoice.id] if each.books_void)
    grounds = _grounds(history, note, invoice, (first,), ())
    return GatheredNote(replace(grounds, closed=history.runs[0][0], given_back=()), UsageBehind())


def gathered_goodwill() -> GatheredNote:
    """What stands behind a note that no invoice billed before."""
    history = History()
    sorry = OneOff(id="sorry", name="Sorry", amount=Decimal("-10.00"), currency="EUR", at=OCTOBER.end, alone=True,
                   plan=("p", PLAN.version))  # fmt: skip
    (note,) = history.run(1, [], (), (sorry,))
    return GatheredNote(_grounds(history, note, None, (), ()), UsageBehind())


def _grounds(
    history: History, note: Document, invoice: Document | None, earlier: Sequence[Document],
    issued: Sequence[IssuedLine],
) -> Grounds:  # fmt: skip
    closed, runs, _ = history.runs[-1]
    given = tuple(
        GivenBack(subscription=line.subscription, number=line.charge.number, entry=line.entry, span=line.span,
                  rated=line.rated)
        for each in runs for line in each.credits
    )  # fmt: skip
    return Grounds(
        stored=StoredNote(*_stored(note)),
        corrects=None if invoice is None else StoredInvoice(*_stored(history.log.invoice(invoice.id))),
        earlier=tuple(StoredNote(*_stored(each)) for each in earlier),
        closed=closed,
        catalogue=CATALOGUE,
        given_back=given,
        issued=tuple(issued),
    )


def _stored(document: Document) -> tuple[str, str]:
    return canonical_json(document.model_dump(mode="json")).decode(), document.sha256()


def _metered(events: Sequence[RawEvent]) -> list[MeteredEvent]:
    return [MeteredEvent(e.type, datetime.fromtimestamp(e.time_ms / 1000, UTC), read_payload(e.data)) for e in events]


def _usage(events: Sequence[RawEvent], span: Period) -> list[Usage]:
    rows = aggregate(TOKENS.meter, _metered(events), span)
    return [Usage(row.group, row.value, row.events, row.invalid) for row in rows]
