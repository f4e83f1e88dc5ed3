"""Reads for people: which invoices there are, what one rests on, what it left out. Nothing billed reads here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from string import Template
from typing import Any

from agents.store.connection import Connection, query_text
from pipeline.meters.meter_sql import meter_sql
from schemas.catalogue_entry import MeterEntry
from schemas.credit_note import CreditNote
from schemas.customer_state import BillingRun, CustomerState, PeriodClosed
from schemas.invoice import Invoice
from schemas.period import Period


@dataclass(frozen=True, slots=True)
class StoredClose:
    """A close as it was published, and the run that it was made from."""

    record: str
    run: BillingRun

    def closed_run(self, span: Period | None) -> BillingRun:
        """The run with what was closed for it, also earlier periods that it looked at again; what begins in a span."""
        closed = PeriodClosed.model_validate_json(self.record).periods
        periods = tuple(due for due in closed if span is None or span.contains(due.service.start))
        return self.run.model_copy(update={"periods": periods})


@dataclass(frozen=True, slots=True)
class StoredInvoice:
    """A document as it was stored: its bytes are what a replay must give again."""

    document: str
    sha256: str

    @property
    def invoice(self) -> Invoice:
        """The document as a model."""
        return Invoice.model_validate_json(self.document)


@dataclass(frozen=True, slots=True)
class StoredNote:
    """A credit note as it was stored."""

    document: str
    sha256: str

    @property
    def note(self) -> CreditNote:
        """The document as a model."""
        return CreditNote.model_validate_json(self.document)


@dataclass(frozen=True, slots=True)
class NotBilled:
    """Events of one type, of a customer's subjects in a span, that a document left out, by why."""

    type: str
    events: int
    beyond: int
    uncounted: int


@dataclass(frozen=True, slots=True)
class Gone:
    """Raw usage that is no longer as it was counted: before an instant retired, of some customers erased."""

    before: datetime
    customers: frozenset[str]


class LookStore:
    """What `tally invoice`, `invoices`, `usage` and `replay` ask of ClickHouse."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def invoices(self, customer: str = "", status: str = "") -> list[dict[str, Any]]:
        """Rows of v_invoices in order of number, drafts last; empty arguments do not narrow."""
        return self._db.rows(query_text("invoice_list"), {"customer": customer, "status": status})

    def documents(self, where: str, parameters: dict[str, object]) -> tuple[StoredInvoice, ...]:
        """Documents in their latest revision, in order of number."""
        rows = self._db.tuples(
            f"SELECT document, content_sha256 FROM invoices FINAL WHERE kind = 'invoice' AND ({where}) "
            "ORDER BY number, issued_at, customer",
            parameters,
        )
        return tuple(StoredInvoice(*row) for row in rows)

    def documents_of(self, close_ids: Sequence[str]) -> tuple[StoredInvoice, ...]:
        """The documents of closes."""
        return self.documents("close_id IN {ids:Array(UUID)}", {"ids": list(close_ids)})

    def notes_of(self, close_ids: Sequence[str]) -> tuple[StoredNote, ...]:
        """The credit notes of closes, in order of number; bookings of voids stand with the close of their invoice."""
        rows = self._db.tuples(
            "SELECT document, content_sha256 FROM invoices FINAL WHERE kind = 'credit_note' "
            "AND close_id IN {ids:Array(UUID)} ORDER BY number, document_id",
            {"ids": list(close_ids)},
        )
        return tuple(StoredNote(*row) for row in rows)

    def notes_on(self, invoices: Sequence[str]) -> tuple[CreditNote, ...]:
        """The issued credit notes that correct invoices."""
        return tuple(found.note for found in self.stored_notes_on(invoices))

    def stored_notes_on(self, invoices: Sequence[str]) -> tuple[StoredNote, ...]:
        """The issued credit notes that correct invoices, as they were stored."""
        rows = self._db.tuples(
            "SELECT document, content_sha256 FROM invoices FINAL WHERE kind = 'credit_note' AND status = 'issued' "
            "AND corrects IN {ids:Array(String)}",
            {"ids": list(invoices)},
        )
        return tuple(StoredNote(*row) for row in rows)

    def find_invoice(self, name: str) -> tuple[StoredInvoice, ...]:
        """The document that a number, a customer (its latest) or the beginning of an id names; the latest for ''.

        Several only where they share the beginning of an id.
        """
        rows = self._db.tuples(query_text("invoice_by_name"), {"name": name})
        if not rows:
            return ()
        kept = rows if rows[0][0] == BY_ID else rows[:1]
        return self.documents("document_id IN {ids:Array(UUID)}", {"ids": [str(row[1]) for row in kept]})

    def find_notes(self, name: str) -> tuple[StoredNote, ...]:
        """The credit notes that a number, or the beginning of an id, names."""
        rows = self._db.tuples(
            "SELECT document, content_sha256 FROM invoices FINAL WHERE kind = 'credit_note' "
            "AND (lower(number) = lower({name:String}) "
            "OR (lengthUTF8({name:String}) >= 4 AND startsWith(toString(document_id), lower({name:String})))) "
            "ORDER BY number, document_id",
            {"name": name},
        )
        return tuple(StoredNote(*row) for row in rows)

    def find_documents(self, name: str) -> list[dict[str, Any]]:
        """Rows of v_invoices whose number is a name, or whose id begins with it."""
        return self._db.rows(
            "SELECT * FROM v_invoices WHERE lower(number) = lower({name:String}) "
            "OR (lengthUTF8({name:String}) >= 4 AND startsWith(toString(document_id), lower({name:String})))",
            {"name": name},
        )

    def invoice_names(self) -> tuple[str, ...]:
        """Everything that names an invoice for a person: numbers and customers."""
        return tuple(row[0] for row in self._db.tuples("SELECT DISTINCT arrayJoin([number, customer]) FROM v_invoices"))

    def customers(self) -> tuple[str, ...]:
        """Every customer somebody has named: with a subscription, or with subjects."""
        rows = self._db.tuples("SELECT customer FROM customers UNION DISTINCT SELECT customer FROM attributions")
        return tuple(sorted(row[0] for row in rows))

    def has_used(self, subject: str) -> bool:
        """Whether a subject ever used anything."""
        sql = "SELECT 1 FROM events WHERE subject = {subject:String} LIMIT 1"
        return bool(self._db.tuples(sql, {"subject": subject}))

    def meters(self) -> tuple[str, ...]:
        """Meters that have counted something that is sealed."""
        return tuple(row[0] for row in self._db.tuples("SELECT DISTINCT meter FROM seals ORDER BY meter"))

    def daily_usage(self, customer: str, meter: str = "") -> list[dict[str, Any]]:
        """Rows of v_usage_daily of a customer with `aggregation`, of all meters for ''."""
        daily = (
            "(SELECT d.*, k.aggregation AS aggregation FROM v_usage_daily AS d LEFT JOIN "
            "(SELECT * FROM meter_kinds) AS k ON d.meter = k.meter AND d.meter_version = k.meter_version)"
        )
        return self._usage(daily, customer, meter)

    def current_usage(self, customer: str, meter: str = "") -> list[dict[str, Any]]:
        """Rows of v_usage_current of a customer, of all meters for ''."""
        return self._usage("v_usage_current", customer, meter)

    def _usage(self, view: str, customer: str, meter: str) -> list[dict[str, Any]]:
        return self._db.rows(
            f"SELECT * FROM {view} WHERE customer = {{customer:String}} AND ({{meter:String}} = '' OR "
            "meter = {meter:String})",
            {"customer": customer, "meter": meter},
        )

    def freshness(self) -> dict[str, Any]:
        """The last tick, its time, and the broker time of the newest usage that is stored."""
        return self._db.rows("SELECT * FROM freshness")[0]

    def closes(self, close_ids: Sequence[str] | None = None, span: Period | None = None) -> tuple[StoredClose, ...]:
        """Stored closes with their runs, in order of tick and customer; all of them for None.

        With a `span`, those that bill a period which begins in it.
        """
        rows = self._db.tuples(query_text("closes_with_runs"), {
            "all": int(close_ids is None), "ids": list(close_ids or ()), "always": int(span is None),
            "span_starts": EPOCH if span is None else span.start, "span_ends": EPOCH if span is None else span.end,
        })  # fmt: skip
        return tuple(StoredClose(row[0], BillingRun.model_validate_json(row[1])) for row in rows)

    def gone(self) -> Gone:
        """What of raw usage was retired or erased."""
        before = self._db.tuples("SELECT max(before) FROM retirements")[0][0]
        customers = self._db.tuples("SELECT DISTINCT arrayJoin(customers) FROM erasures FINAL")
        return Gone(before, frozenset(row[0] for row in customers))

    def stored_to(self) -> datetime | None:
        """Broker time of the newest usage that is stored; None before the first."""
        rows = self._db.tuples("SELECT count(), max(appended_at) FROM ledger WHERE topic = 'usage.events'")
        return rows[0][1] if rows[0][0] else None

    def dead_letters(self) -> tuple[int, datetime | None, tuple[tuple[str, int], ...]]:
        """How many records were refused, the broker time of the last, and how many by reason, the most first."""
        rows = self._db.tuples(
            "SELECT reason, count(), max(appended_at) FROM dead_letters FINAL GROUP BY reason ORDER BY 2 DESC, 1"
        )
        last = max((row[2] for row in rows), default=None)
        return sum(row[1] for row in rows), last, tuple((row[0], row[1]) for row in rows)

    def next_due(self) -> tuple[CustomerState, datetime, int] | None:
        """The customer whose period is due next, when, and how many are due at that time; None if nobody's is."""
        rows = self._db.tuples(query_text("next_due"))
        return (CustomerState.model_validate_json(rows[0][0]), rows[0][1], int(rows[0][2])) if rows else None

    def parked(self) -> tuple[tuple[str, int, str, str], ...]:
        """(customer, tick, reason, detail) of runs that were set aside."""
        sql = "SELECT customer, tick, reason, detail FROM parked_runs FINAL WHERE NOT released ORDER BY tick, customer"
        return tuple(self._db.tuples(sql))

    def not_billed(
        self, customer: str, span: Period, *, billed_to: Sequence[int], coverage: Sequence[int], attributions: int,
        meters: Sequence[MeterEntry],
    ) -> tuple[NotBilled, ...]:  # fmt: skip
        """Events in a span that count by now but are not on a document of `meters` as of the vector `billed_to`."""
        billed = " OR ".join(f"({meter_sql(entry.meter).where})" for entry in meters) or "0"
        sql = Template(query_text("not_billed")).substitute(
            billed=billed,
            counted_events=Template(query_text("counted_events")).substitute(
                types="SELECT DISTINCT type FROM events", subjects=SUBJECTS
            ),
            attributions_as_of=query_text("attributions_as_of"),
        )  # fmt: skip
        rows = self._db.tuples(sql, {
            "customer": customer, "starts": span.start, "ends": span.end, "usage": list(coverage),
            "billed_to": list(billed_to), "attributions": attributions,
        })  # fmt: skip
        return tuple(NotBilled(*row) for row in rows)

    def unattributed(self, span: Period) -> tuple[int, int]:
        """(events, subjects) in a span of subjects that belong to no customer and are none themselves."""
        rows = self._db.tuples(query_text("unattributed"), {"starts": span.start, "ends": span.end})
        return int(rows[0][0]), int(rows[0][1])


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BY_ID = "id"
SUBJECTS = (
    "subject IN (SELECT subject FROM attributions WHERE customer = {customer:String}) OR subject = {customer:String}"
)
