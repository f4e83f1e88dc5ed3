"""Documents and the log that makes them final, as stored: drafts, records of billing.finalisations, numbers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from pydantic import TypeAdapter

from agents.store.connection import Connection, query_text
from agents.store.credits import CreditStore
from pipeline.collection.collecting import COLLECTS
from pipeline.collection.dunning import next_step_at
from pipeline.collection.strays import Strays, strays_of
from pipeline.documents.books import MARKED, Books, Document, SeriesEnd, books_of, kept_by, number_of
from pipeline.documents.document_events import Written, head_of, written
from pipeline.documents.run_notes import BilledLine, credited
from schemas.credit import CreditUse
from schemas.credit_note import CreditNote, CreditNoteLine
from schemas.customer_state import PeriodClosed
from schemas.document_log import DOCUMENT_RECORD, CreditAction, DocumentAction, Finalisation, LogRecord
from schemas.invoice import FINAL, FINAL_REVISION, Invoice, InvoiceLine
from schemas.quantity import ZERO, plain
from schemas.rated_line import RatedLine
from schemas.receivable import Receivable


@dataclass(frozen=True, slots=True)
class _Held:
    """A document with its bytes, and what it brings."""

    document: Document
    written: Written
    receivable: Receivable | None


class DocumentStore:
    """What the invoicer and the finaliser ask of ClickHouse."""

    def __init__(self, connection: Connection, *, partitions: int) -> None:
        self._db = connection
        self._partitions = partitions

    # -- drafts ------------------------------------------------------------------------------------------------------

    def period_usage(self, close_ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        """Frozen usage by close id, in order of subscription, meter, period, shape, window and first usage."""
        found: dict[str, list[dict[str, Any]]] = {close_id: [] for close_id in close_ids}
        rows = self._db.rows(
            "SELECT * FROM period_usage FINAL WHERE close_id IN {ids:Array(UUID)} "
            "ORDER BY close_id, subscription, meter, period_start, shape, window_start, first_at, k_offset, "
            "k_partition, grp",
            {"ids": list(close_ids)},
        )
        for row in rows:
            found[str(row["close_id"])].append(row)
        return found

    def insert_drafts(self, drafts: Sequence[Document]) -> None:
        """Stores drafts with their lines."""
        self.insert_lines(drafts)
        self.insert_documents([(draft, written(draft), None) for draft in drafts])

    def insert_lines(self, documents: Sequence[Document]) -> None:
        """Stores the lines of documents, before these: they are no commit. What is final keeps its lines."""
        self._db.insert("invoice_lines", LINE_COLUMNS, [row for each in documents for row in _line_rows(each)])

    def insert_documents(self, documents: Sequence[tuple[Document, Written, Receivable | None]]) -> None:
        """Stores documents as they stand; of one id the greatest revision stays.

        A document and its receivable are one row: whoever goes on from it finds both as of one place in the log.
        """
        self._db.insert("invoices", INVOICE_COLUMNS, [
            (*_row(document, made), *_receivable_cells(held)) for document, made, held in documents
        ])  # fmt: skip

    def drafts(self, customer: str = "") -> list[Invoice]:
        """Invoices that are not final, held or on their way; of everybody if nobody is named."""
        rows = self._db.tuples(
            "SELECT document FROM invoices FINAL WHERE kind = 'invoice' AND status = 'draft' "
            "AND ({customer:String} = '' OR customer = {customer:String}) ORDER BY document_id",
            {"customer": customer},
        )
        return [Invoice.model_validate_json(row[0]) for row in rows]

    def largest_totals(self, customers: Sequence[str], before_tick: int) -> dict[tuple[str, str], Decimal]:
        """(customer, currency) -> the largest total of its invoices of earlier ticks."""
        rows = self._db.tuples(
            "SELECT customer, currency, max(total) FROM invoices FINAL WHERE kind = 'invoice' "
            "AND customer IN {customers:Array(String)} AND tick < {tick:UInt64} GROUP BY customer, currency",
            {"customers": list(customers), "tick": before_tick},
        )
        return {(row[0], row[1]): row[2] for row in rows}

    def billed_versions(self, customers: Sequence[str], before_tick: int) -> dict[str, set[tuple[str, str]]]:
        """Customer -> (plan, version) of the lines of documents of earlier ticks."""
        rows = self._db.tuples(
            "SELECT DISTINCT customer, JSONExtractString(record, 'plan'), JSONExtractString(record, 'plan_version') "
            "FROM invoice_lines WHERE document_id IN (SELECT document_id FROM invoices WHERE kind = 'invoice' "
            "AND customer IN {customers:Array(String)} AND tick < {tick:UInt64})",
            {"customers": list(customers), "tick": before_tick},
        )
        found: dict[str, set[tuple[str, str]]] = {}
        for customer, plan, version in rows:
            found.setdefault(customer, set()).add((plan, version))
        return found

    def used_of_grants(self, closes: Sequence[PeriodClosed]) -> dict[tuple[str, str], Decimal]:
        """(customer, grant) -> what invoices of earlier ticks drew from it."""
        found: dict[tuple[str, str], Decimal] = {}
        if not closes:
            return found
        ticks = {closed.customer: closed.tick.number for closed in closes}
        rows = self._db.tuples(
            f"SELECT customer, tick, JSONExtractRaw(document, 'credits') FROM {ORIGINALS} "
            "WHERE customer IN {customers:Array(String)} AND JSONLength(document, 'credits') > 0",
            {"customers": sorted(ticks)},
        )
        for customer, tick, text in rows:
            if tick < ticks[customer]:
                for use in CREDIT_USES.validate_json(text):
                    found[customer, use.grant] = found.get((customer, use.grant), ZERO) + use.used
        return found

    def interims(self, closes: Sequence[PeriodClosed]) -> dict[str, tuple[Invoice, ...]]:
        """Customer -> its interim invoices of earlier ticks, in order, as their runs made them."""
        ticks = {
            closed.customer: closed.tick.number for closed in closes if any(due.interims for due in closed.periods)
        }
        found: dict[str, tuple[Invoice, ...]] = {}
        if not ticks:
            return found
        rows = self._db.tuples(
            f"SELECT customer, tick, document FROM {ORIGINALS} WHERE customer IN {{customers:Array(String)}} "
            "AND JSONExtractBool(document, 'interim') ORDER BY customer, tick, document_id",
            {"customers": sorted(ticks)},
        )
        for customer, tick, text in rows:
            if tick < ticks[customer]:
                found[customer] = (*found.get(customer, ()), Invoice.model_validate_json(text))
        return found

    def billed_lines(self, closes: Sequence[PeriodClosed]) -> dict[str, tuple[BilledLine, ...]]:
        """Customer -> the lines of its invoices of earlier ticks, in order, less what drafts of notes asked back."""
        if not closes:
            return {}
        ticks = {closed.customer: closed.tick.number for closed in closes}
        rows = self._db.tuples(
            f"SELECT i.customer, i.tick, i.kind, l.document_id, i.corrects, l.record FROM {ORIGINALS} AS i "
            "INNER JOIN (SELECT document_id, line, record FROM invoice_lines FINAL "
            "WHERE customer IN {customers:Array(String)}) AS l ON i.document_id = l.document_id "
            "WHERE i.customer IN {customers:Array(String)} ORDER BY i.customer, i.tick, l.document_id, l.line",
            {"customers": sorted(ticks)},
        )
        lines: dict[str, list[BilledLine]] = {customer: [] for customer in ticks}
        asked: dict[tuple[str, str], Decimal] = {}
        for customer, tick, kind, document, corrects, record in rows:
            if tick >= ticks[customer]:
                continue
            if kind == "invoice":
                lines[customer].append(BilledLine(str(document), InvoiceLine.model_validate_json(record)))
            elif (line := CreditNoteLine.model_validate_json(record)).invoice_line is not None:
                place = (corrects, line.invoice_line)
                asked[place] = asked.get(place, ZERO) + (line.gross if line.asked is None else line.asked)
        return {customer: credited(found, asked) for customer, found in lines.items()}

    # -- the order in which documents become final -------------------------------------------------------------------

    def complete_tick(self) -> int:
        """The last tick of which, and before which, every draft is here; 0 before the first."""
        return int(self._db.tuples(query_text("complete_tick"), {"partitions": self._partitions})[0][0])

    def drafts_of_complete_ticks(self, complete: int) -> list[tuple[str, str, int, str]]:
        """(document, customer, tick, series) of drafts up to a complete tick that are not ordered yet."""
        rows = self._db.tuples(query_text("drafts_of_complete_ticks"), {"complete": complete})
        return [(str(row[0]), row[1], row[2], row[3]) for row in rows]

    def known_documents(self, document_ids: Sequence[str]) -> set[str]:
        """Which of these are documents that are here; an id that is no UUID is none."""
        sql = "SELECT DISTINCT toString(document_id) FROM invoices WHERE toString(document_id) IN {ids:Array(String)}"
        return {row[0] for row in self._db.tuples(sql, {"ids": list(document_ids)})}

    def insert_actions(self, actions: Sequence[DocumentAction | CreditAction]) -> None:
        """Stores commands about documents and credits until they are in billing.finalisations."""
        self._db.insert(
            "document_actions", ("k_partition", "k_offset", "customer", "request_id", "action_id", "tick", "record"),
            [(a.partition, a.offset, a.customer, a.request_id, a.id, a.tick, a.model_dump_json()) for a in actions],
        )  # fmt: skip

    def waiting_actions(self) -> list[DocumentAction | CreditAction]:
        """Actions that are not in billing.finalisations yet, in order of billing time and position."""
        rows = self._db.tuples(
            "SELECT record FROM document_actions FINAL WHERE action_id NOT IN "
            "(SELECT document_id FROM ordered_documents) ORDER BY tick, k_partition, k_offset"
        )
        found = [DOCUMENT_RECORD.validate_json(row[0]) for row in rows]
        return [record for record in found if not isinstance(record, Finalisation)]

    def unordered(self, actions: Sequence[CreditAction]) -> list[CreditAction]:
        """Those that are not in billing.finalisations yet."""
        sql = "SELECT toString(document_id) FROM ordered_documents WHERE document_id IN {ids:Array(UUID)}"
        there = {row[0] for row in self._db.tuples(sql, {"ids": [action.id for action in actions]})}
        return [action for action in actions if action.id not in there]

    def mark_ordered(self, document_ids: Sequence[str]) -> None:
        """Notes that documents are in billing.finalisations: they are not appended again."""
        self._db.insert("ordered_documents", ("document_id",), [(document_id,) for document_id in document_ids])

    def insert_records(self, records: Sequence[tuple[int, bytes]]) -> None:
        """Projects records of billing.finalisations under their offsets, as they are."""
        read = [(offset, text, DOCUMENT_RECORD.validate_json(text)) for offset, text in records]
        self._db.insert("document_log", ("k_offset", "record", "customer", "request_id"), [
            (offset, text.decode(), one.customer, "" if isinstance(one, Finalisation) else one.request_id)
            for offset, text, one in read
        ])  # fmt: skip

    # -- the books ---------------------------------------------------------------------------------------------------

    def entered_to(self) -> int:
        """The offset of billing.finalisations behind the last record that changed a document."""
        rows = self._db.tuples("SELECT max(revision) FROM invoices")
        return max(0, int(rows[0][0]) - FINAL_REVISION)

    def records_from(self, offset: int, at_most: int) -> list[tuple[int, LogRecord]]:
        """Records of billing.finalisations from an offset on, in order."""
        rows = self._db.tuples(
            "SELECT k_offset, record FROM document_log FINAL WHERE k_offset >= {offset:UInt64} "
            "ORDER BY k_offset LIMIT {at_most:UInt32}",
            {"offset": offset, "at_most": at_most},
        )
        return [(row[0], DOCUMENT_RECORD.validate_json(row[1])) for row in rows]

    def books(self, records: Sequence[tuple[int, LogRecord]]) -> tuple[Books, dict[str, Written]]:
        """The books below the first of some records, as far as those speak of them; and final documents as written.

        Where records only collect an invoice it is there without its lines, and without its notes.
        """
        first = records[0][0]
        named = {
            record.document_id: None for _, record in records
            if isinstance(record, Finalisation) or (isinstance(record, DocumentAction) and not record.unknown)
        }  # fmt: skip
        whole = {
            record.document_id for _, record in records
            if isinstance(record, Finalisation | DocumentAction) and not _only_collects(record)
        }  # fmt: skip
        held = self._held(list(named), whole)
        concerned = {found for one in held.values() for found in _concerned(one.document)} - held.keys()
        held |= self._held(sorted(concerned), concerned)
        customers = sorted({record.customer for _, record in records})
        requests = [record.request for _, record in records if not isinstance(record, Finalisation)]
        books = books_of(
            [one.document for one in held.values()],
            self._notes(sorted(held.keys() & (whole | concerned))),
            self._series(first),
            self._balances(customers),
            self._requests(requests, first),
            {name: one.receivable for name, one in held.items() if one.receivable is not None},
            CreditStore(self._db).wallets(customers, first),
            self._strays(records),
        )
        return books, {name: one.written for name, one in held.items() if one.document.revision >= FINAL_REVISION}

    def documents(self, document_ids: Sequence[str]) -> dict[str, Document]:
        """Stored documents by id."""
        return {name: one.document for name, one in self._held(document_ids, set(document_ids)).items()}

    def _held(self, document_ids: Sequence[str], whole: Collection[str]) -> dict[str, _Held]:
        """Stored documents by id; those that are not wanted `whole` without their lines, where that is enough."""
        if not document_ids:
            return {}
        sql = (
            "SELECT toString(document_id), kind, status, document, content_sha256, receivable FROM invoices FINAL "
            "WHERE document_id IN {ids:Array(UUID)}"
        )
        found = {}
        for name, kind, status, text, sha256, record in self._db.tuples(sql, {"ids": list(document_ids)}):
            receivable = Receivable.model_validate_json(record) if record else None
            made = Written(text.encode(), sha256)
            is_head = name not in whole and status in FINAL and _says_enough(receivable)
            found[name] = _Held(head_of(made.text) if is_head else document_of(kind, text), made, receivable)
        return found

    def _strays(self, records: Sequence[tuple[int, LogRecord]]) -> Strays:
        """Money without a document below the first of some records, of the customers that they tell of such money."""
        customers = {each.customer for _, each in records if isinstance(each, DocumentAction) and each.unknown}
        if not customers:
            return Strays()
        rows = self._db.tuples(
            "SELECT record FROM document_log FINAL WHERE k_offset < {below:UInt64} "
            "AND customer IN {customers:Array(String)} AND JSONExtractBool(record, 'unknown') ORDER BY k_offset",
            {"below": records[0][0], "customers": sorted(customers)},
        )
        return strays_of(DocumentAction.model_validate_json(row[0]) for row in rows)

    def not_spread(self, at_most: int) -> list[tuple[Document, Decimal, Invoice | None]]:
        """Final documents whose revenue is not spread over days, with what they booked and what they correct."""
        rows = self._db.tuples(query_text("not_spread"), {"at_most": at_most})
        return [
            (document_of(kind, text), booked, Invoice.model_validate_json(corrected) if corrected else None)
            for kind, text, corrected, booked in rows
        ]

    def insert_numbers(self, numbered: Sequence[tuple[Document, int]]) -> None:
        """Stores the numbers and issue dates of documents that became final, with the offsets at which they did."""
        self._db.insert("finalisations", ("document_id", "series", "number", "k_offset", "issued_at"), [
            (document.id, *number_of(document), offset, document.issued_at) for document, offset in numbered
        ])  # fmt: skip

    def _notes(self, invoices: Sequence[str]) -> list[CreditNote]:
        if not invoices:
            return []
        rows = self._db.tuples(
            "SELECT document FROM invoices FINAL WHERE kind = 'credit_note' AND status = 'issued' "
            "AND (corrects IN {ids:Array(String)} OR run_invoice IN {ids:Array(String)}) ORDER BY revision",
            {"ids": list(invoices)},
        )
        return [CreditNote.model_validate_json(row[0]) for row in rows]

    def _series(self, below: int) -> dict[str, SeriesEnd]:
        rows = self._db.tuples(
            "SELECT series, max(number), max(issued_at) FROM finalisations FINAL WHERE k_offset < {below:UInt64} "
            "GROUP BY series",
            {"below": below},
        )
        return {series: SeriesEnd(int(number), issued_at) for series, number, issued_at in rows}

    def _balances(self, customers: Sequence[str]) -> dict[tuple[str, str], Decimal]:
        rows = self._db.tuples(
            "SELECT customer, currency, sum(kept), any(JSONExtractInt(document, 'minor_units')) FROM invoices FINAL "
            "WHERE customer IN {customers:Array(String)} AND kept != 0 GROUP BY customer, currency",
            {"customers": list(customers)},
        )
        return {(row[0], row[1]): round(row[2], int(row[3])) for row in rows}

    def _requests(self, wanted: Sequence[tuple[str, str]], below: int) -> dict[tuple[str, str], str]:
        """Requests entered before, with the refusal of those that were refused."""
        sql = (
            "SELECT l.customer, l.request_id, any(o.detail), any(o.accepted) FROM "
            "(SELECT customer, request_id FROM document_log WHERE k_offset < {below:UInt64}"
            " AND request_id IN {ids:Array(String)}) AS l LEFT JOIN command_outcomes AS o "
            "ON l.customer = o.customer AND l.request_id = o.request_id GROUP BY l.customer, l.request_id"
        )
        asked = {"below": below, "ids": sorted({request for _, request in wanted})}
        return {
            (customer, request): "" if accepted else detail
            for customer, request, detail, accepted in self._db.tuples(sql, asked)
        }


def document_of(kind: str, text: str) -> Document:
    """A stored document."""
    return CreditNote.model_validate_json(text) if kind == "credit_note" else Invoice.model_validate_json(text)


def _only_collects(record: LogRecord) -> bool:
    """Whether a record changes no more than how an invoice stands with its money."""
    return isinstance(record, DocumentAction) and record.action in (*COLLECTS, *MARKED)


def _says_enough(held: Receivable | None) -> bool:
    """Whether an invoice is collected by what its receivable says, so that nobody looks at its lines."""
    return held is not None and bool(held.subscriptions) and not held.order


def _concerned(document: Document) -> Iterable[str]:
    if isinstance(document, CreditNote):
        yield from (found for found in (document.invoice, document.run_invoice) if found is not None)


def _line_rows(document: Document) -> Iterable[tuple[object, ...]]:
    lines: Iterable[tuple[InvoiceLine | CreditNoteLine, RatedLine | None, Decimal]]
    if isinstance(document, Invoice):
        lines = [(line, line.rated, line.amount) for line in document.lines]
    else:
        lines = [(line, line.rated, line.gross) for line in document.lines]
    for index, (line, rated, amount) in enumerate(lines):
        if rated is not None:
            service, told = rated.service, (rated.charge, rated.meter or "", rated.quantity, plain(rated.amount_exact))
        else:
            assert isinstance(line, CreditNoteLine)
            service, told = line.service, (line.charge, "", ZERO, "")
        charge, meter, quantity, exact = told
        yield (document.id, index, document.customer, line.subscription, charge, meter, service.start, service.end,
               quantity, amount, exact, document.currency, line.model_dump_json())  # fmt: skip


def _receivable_cells(held: Receivable | None) -> tuple[str, datetime | None]:
    return ("", None) if held is None else (held.model_dump_json(), next_step_at(held))


def _row(document: Document, made: Written) -> tuple[object, ...]:
    shared = (document.id, document.kind, document.status, document.number or "", document.customer,
              document.currency, document.period.start, document.period.end, document.issued_at, document.basis.tick,
              document.basis.close_id, made.sha256, made.text.decode(), document.revision, kept_by(document),
              list(document.held))  # fmt: skip
    if isinstance(document, CreditNote):
        back = document.totals
        return (*shared, back.gross, back.tax, back.total, ZERO, None, ZERO, document.invoice or "",
                document.run_invoice or "", document.series)  # fmt: skip
    totals = document.totals
    return (*shared, totals.subtotal, totals.tax, totals.total, totals.amount_due, document.due_at,
            document.balance.open, "", "", document.terms.series)  # fmt: skip


# What runs made, not what actions made of it: when an action is entered is no matter of a later run's rating.
ORIGINALS = (
    "(SELECT document_id, customer, tick, kind, corrects, document FROM invoices FINAL "
    "WHERE JSONExtractString(document, 'replaces') = '' AND NOT JSONExtractBool(document, 'books_void'))"
)
CREDIT_USES: TypeAdapter[tuple[CreditUse, ...]] = TypeAdapter(tuple[CreditUse, ...])
INVOICE_COLUMNS = (
    "document_id", "kind", "status", "number", "customer", "currency", "period_start", "period_end", "issued_at",
    "tick", "close_id", "content_sha256", "document", "revision", "kept", "held", "subtotal", "tax", "total",
    "amount_due", "due_at", "open_amount", "corrects", "run_invoice", "series", "receivable", "next_step_at",
)  # fmt: skip
LINE_COLUMNS = (
    "document_id", "line", "customer", "subscription", "charge", "meter", "period_start", "period_end", "quantity",
    "amount", "amount_exact", "currency", "record",
)  # fmt: skip
