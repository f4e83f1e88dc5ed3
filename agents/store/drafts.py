"""Drafts of open periods, and the steps that ticks take with them; apart from documents, which have numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agents.store.connection import Connection, query_text
from schemas.draft import DraftStep
from schemas.invoice import Invoice


@dataclass(frozen=True, slots=True)
class Published:
    """A draft as it was published last."""

    key: datetime
    due: datetime
    group: str
    content: str
    document: Invoice


@dataclass(frozen=True, slots=True)
class OpenStep:
    """A step that is not done, with its place in its tick and the partition that led to it."""

    partition: int
    place: int
    step: DraftStep


class DraftStore:
    """Every write is idempotent by its key."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def insert_steps(self, steps: Iterable[OpenStep], *, done: bool = False) -> None:
        """Stores steps as a tick asks for them; or notes that they are done, and keeps no run of them: it was large."""
        self._db.insert("draft_steps", ("customer", "tick", "place", "k_partition", "step", "done"), [
            (each.step.customer, each.step.tick, each.place, each.partition,
             "" if done else each.step.model_dump_json(), int(done))
            for each in steps
        ])  # fmt: skip

    def open_steps(self, partitions: Sequence[int], at_most: int) -> list[OpenStep]:
        """Steps of partitions that are not done, in order of ticks; what is behind a parked run waits with it."""
        rows = self._db.tuples(query_text("open_draft_steps"), {"partitions": list(partitions), "at_most": at_most})
        return [OpenStep(partition, place, DraftStep.model_validate_json(step)) for partition, place, step in rows]

    def published(self, customers: Iterable[str]) -> dict[str, dict[str, Published]]:
        """Customer -> id -> its open drafts."""
        sql = (
            "SELECT customer, document_id, key, due, grp, content_sha256, document FROM drafts FINAL "
            "WHERE customer IN {customers:Array(String)} ORDER BY document_id, tick DESC, replaced DESC "
            "LIMIT 1 BY document_id"
        )
        found: dict[str, dict[str, Published]] = {}
        rows = self._db.tuples(sql, {"customers": sorted(set(customers))})
        for customer, document_id, key, due, group, content, text in rows:
            held = Published(key, due, group, content, Invoice.model_validate_json(text))
            if held.document.replaced_by is None:
                found.setdefault(customer, {})[str(document_id)] = held
        return found

    def named(self, name: str) -> Invoice | None:
        """The open draft whose id begins with a name of at least four characters; the first of several."""
        rows = self._db.tuples(
            "SELECT document FROM drafts FINAL WHERE lengthUTF8({name:String}) >= 4 "
            "AND startsWith(toString(document_id), lower({name:String})) "
            "ORDER BY document_id, tick DESC, replaced DESC LIMIT 1",
            {"name": name},
        )
        found = Invoice.model_validate_json(rows[0][0]) if rows else None
        return found if found is not None and found.replaced_by is None else None

    def insert(self, drafts: Iterable[tuple[Published, int, bytes]]) -> None:
        """Stores drafts as (draft, tick, its canonical JSON), once they are published."""
        columns = (
            "document_id", "tick", "customer", "key", "grp", "replaced", "content_sha256", "currency", "period_start",
            "period_end", "due", "tax", "total", "amount_due", "document",
        )  # fmt: skip
        self._db.insert("drafts", columns, [
            (d.id, tick, d.customer, one.key, one.group, int(d.replaced_by is not None), one.content, d.currency,
             d.period.start, d.period.end, one.due, d.totals.tax, d.totals.total, d.totals.amount_due, text.decode())
            for one, tick, text in drafts for d in [one.document]
        ])  # fmt: skip

    def listed(self, customer: str = "") -> list[dict[str, Any]]:
        """Rows of v_drafts, in order of when they are due; an empty customer does not narrow."""
        return self._db.rows(
            "SELECT * FROM v_drafts WHERE {customer:String} = '' OR customer = {customer:String} "
            "ORDER BY due, customer, document_id",
            {"customer": customer},
        )
