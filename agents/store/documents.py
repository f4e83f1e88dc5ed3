"""Invoices and their numbers, as stored: drafts, their order, finals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agents.store.connection import Connection, query_text
from schemas.identity import canonical_json
from schemas.invoice import Invoice
from schemas.quantity import plain

DRAFT_REVISION, FINAL_REVISION = 1, 2


class DocumentStore:
    """What the invoicer asks of ClickHouse."""

    def __init__(self, connection: Connection, *, partitions: int) -> None:
        self._db = connection
        self._partitions = partitions

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

    def insert_drafts(self, drafts: Sequence[Invoice]) -> None:
        """Stores drafts; a final one of the same id is newer and stays."""
        self._insert([(draft, DRAFT_REVISION) for draft in drafts])

    def insert_finals(self, finals: Sequence[Invoice]) -> None:
        """Stores final invoices, newer than their drafts."""
        self._insert([(invoice, FINAL_REVISION) for invoice in finals])

    def insert_numbers(self, series: str, numbered: Sequence[tuple[str, int, int]]) -> None:
        """Stores (document, number, offset): the places of documents in billing.finalisations."""
        self._db.insert("finalisations", ("document_id", "series", "number", "k_offset"), [
            (document_id, series, number, offset) for document_id, number, offset in numbered
        ])  # fmt: skip

    def numbered_drafts(self, at_most: int) -> list[tuple[int, Invoice | None]]:
        """(number, draft) of documents that are not final yet, in order; None where the draft is still to come."""
        rows = self._db.tuples(query_text("numbered_drafts"), {"at_most": at_most})
        return [(number, Invoice.model_validate_json(text) if text else None) for number, text in rows]

    def _insert(self, documents: Sequence[tuple[Invoice, int]]) -> None:
        self._db.insert("invoice_lines", LINE_COLUMNS, [
            (invoice.id, index, invoice.customer, line.subscription, line.rated.charge, line.rated.meter or "",
             line.rated.service.start, line.rated.service.end, line.rated.quantity, line.rated.amount,
             plain(line.rated.amount_exact), invoice.currency, line.model_dump_json())
            for invoice, _ in documents for index, line in enumerate(invoice.lines)
        ])  # fmt: skip
        self._db.insert("invoices", INVOICE_COLUMNS, [
            (invoice.id, invoice.kind, invoice.status, invoice.number or "", invoice.customer, invoice.currency,
             invoice.period.start, invoice.period.end, invoice.issued_at, invoice.totals.subtotal, invoice.totals.tax,
             invoice.totals.total, invoice.totals.amount_due, invoice.basis.tick, invoice.basis.close_id,
             invoice.sha256(), canonical_json(invoice.model_dump(mode="json")).decode(), revision)
            for invoice, revision in documents
        ])  # fmt: skip

    def drafts_of_complete_ticks(self) -> list[tuple[str, str, int]]:
        """(document, customer, tick) of drafts whose tick is complete and that are not ordered yet, in their order."""
        return [
            (str(row[0]), row[1], row[2])
            for row in self._db.tuples(query_text("drafts_of_complete_ticks"), {"partitions": self._partitions})
        ]

    def mark_ordered(self, document_ids: Sequence[str]) -> None:
        """Notes that documents are in billing.finalisations: they are not appended again."""
        self._db.insert("ordered_documents", ("document_id",), [(document_id,) for document_id in document_ids])

    def documents(self, document_ids: Sequence[str]) -> dict[str, Invoice]:
        """Stored documents by id."""
        rows = self._db.tuples(
            "SELECT document_id, document FROM invoices FINAL WHERE document_id IN {ids:Array(UUID)}",
            {"ids": list(document_ids)},
        )
        return {str(row[0]): Invoice.model_validate_json(row[1]) for row in rows}

    def numbers(self, document_ids: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Document -> (number, offset) for those that have one."""
        rows = self._db.tuples(
            "SELECT document_id, number, k_offset FROM finalisations FINAL WHERE document_id IN {ids:Array(UUID)}",
            {"ids": list(document_ids)},
        )
        return {str(row[0]): (row[1], row[2]) for row in rows}

    def next_number(self, series: str, below_offset: int) -> int:
        """The number that follows those below an offset of billing.finalisations: a function of the log prefix."""
        rows = self._db.tuples(
            "SELECT max(number) FROM finalisations FINAL WHERE series = {series:String} AND k_offset < {below:UInt64}",
            {"series": series, "below": below_offset},
        )
        return int(rows[0][0]) + 1


INVOICE_COLUMNS = (
    "document_id", "kind", "status", "number", "customer", "currency", "period_start", "period_end", "issued_at",
    "subtotal", "tax", "total", "amount_due", "tick", "close_id", "content_sha256", "document", "revision",
)  # fmt: skip
LINE_COLUMNS = (
    "document_id", "line", "customer", "subscription", "charge", "meter", "period_start", "period_end", "quantity",
    "amount", "amount_exact", "currency", "record",
)  # fmt: skip
