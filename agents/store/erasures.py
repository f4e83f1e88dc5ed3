"""A subject's bytes taken out of every table; what was counted of it stays under a pseudonym."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from string import Template

from agents.store.connection import Connection, query_text
from pipeline.meters.meter_sql import quoted
from schemas.erasure import Erasure
from schemas.meter import COMPARES_TEXTS, Meter
from schemas.tick import ERASURES

OF_SUBJECT = "lower(hex(SHA256(subject))) = {hash:String}"
BELOW = "{offset} < {{usage:Array(UInt64)}}[k_partition + 1]"
AT_ONCE = " SETTINGS mutations_sync = 2"
LETTER = (
    "topic = 'usage.events' AND (lower(hex(SHA256(record_key))) = {hash:String} "
    "OR lower(hex(SHA256(JSONExtractString(payload, 'subject')))) = {hash:String} "
    r"""OR lower(hex(SHA256(extract(payload, '"subject"\\s*:\\s*"([^"]*)"')))) = {hash:String} """
    "OR arrayExists(h -> lower(h.1) = 'ce_subject' AND lower(hex(SHA256(base64Decode(h.2)))) = {hash:String}, headers))"
)


@dataclass(frozen=True, slots=True)
class Extent:
    """How much an erasure touches."""

    customers: tuple[str, ...] = ()
    events: int = 0
    corrections: int = 0
    dead_letters: int = 0
    attributions: int = 0


class ErasureStore:
    """Carries out erasures. Every step may be repeated; the row in `erasures` comes last."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def carried_out_to(self) -> int:
        """The offset of billing.erasures behind the last one that was carried out."""
        return int(self._db.tuples("SELECT if(count() = 0, 0, max(k_offset) + 1) FROM erasures")[0][0])

    def waits_for(self, offset: int, partitions: int) -> str:
        """What must come before the erasure at an offset, in words; empty if nothing."""
        end = f"JSONExtractUInt(vector, 'ends', '{ERASURES}', 1)"
        rows = self._db.tuples(
            f"SELECT count(), min(number) FROM ticks FINAL WHERE {end} > {{offset:UInt64}}", {"offset": offset}
        )
        if not rows[0][0]:
            return "the next tick"
        first = int(rows[0][1])
        clocks = self._db.tuples("SELECT count(), min(tick) FROM partition_clocks FINAL")[0]
        if clocks[0] < partitions or clocks[1] < first:
            return f"every partition of billing.commands to fold tick {first}"
        open_runs = self._db.tuples(
            "SELECT count() FROM billing_runs FINAL WHERE tick < {first:UInt64} "
            "AND (customer, tick, revision) NOT IN (SELECT customer, tick, revision FROM closes)",
            {"first": first},
        )[0][0]
        if open_runs:
            return f"{open_runs} closes before tick {first}"
        drafts = self._db.tuples(
            "SELECT count() FROM draft_steps FINAL WHERE NOT done AND tick < {first:UInt64} "
            "AND position(step, '\"run\":') > 0",
            {"first": first},
        )[0][0]
        return f"{drafts} drafts before tick {first}" if drafts else ""

    def extent(self, erasure: Erasure) -> Extent:
        """What is there of the subject."""
        bound = self._bound(erasure)
        below, row_below = BELOW.format(offset="bitNot(inv_offset)"), BELOW.format(offset="k_offset")
        owners = self._db.tuples(f"SELECT DISTINCT customer FROM attributions WHERE {OF_SUBJECT} ORDER BY 1", bound)
        return Extent(
            tuple(row[0] for row in owners),
            self._count(f"events FINAL WHERE {OF_SUBJECT} AND {below}", bound),
            self._count(f"corrections FINAL WHERE {OF_SUBJECT} AND {row_below}", bound),
            self._count(f"dead_letters FINAL WHERE {LETTER} AND {row_below}", bound),
            self._count(f"attributions FINAL WHERE {OF_SUBJECT}", bound),
        )

    def carry_out(self, offset: int, erasure: Erasure, meters: Iterable[Meter]) -> Extent:
        """Replaces the subject's rows; those that replace them stand before those that they replace are deleted."""
        extent, bound = self.extent(erasure), self._bound(erasure)
        events = f"{OF_SUBJECT} AND {BELOW.format(offset='bitNot(inv_offset)')}"
        rows = f"{OF_SUBJECT} AND {BELOW.format(offset='k_offset')}"
        names = kept_fields(meters)
        self._open_days(offset, bound)
        self._renamed("attributions", OF_SUBJECT, bound)
        self._renamed("retractions", rows, bound)
        self._db.execute(
            Template(query_text("erase_events")).substitute(kept=_minimal("d", names), chosen=events), bound
        )
        self._renamed("pane_totals", OF_SUBJECT, bound)
        minimal = _minimal("if(exact = '', data, exact)", names)
        for table, change, where in (
            ("corrections", f"subject = {{pseudonym:String}}, data = {minimal}, exact = '', reason = ''", rows),
            ("copies", "subject = {pseudonym:String}", rows),
            ("lost_rows", "subject = {pseudonym:String}", rows),
            ("dead_letters", "payload = '', record_key = '', headers = [], detail = 'erased'",
             f"{LETTER} AND {BELOW.format(offset='k_offset')}"),
        ):  # fmt: skip
            self._db.execute(f"ALTER TABLE {table} UPDATE {change} WHERE {where}{AT_ONCE}", bound)
        for table, where in (
            ("events", events), ("pane_totals", OF_SUBJECT), ("day_totals", OF_SUBJECT), ("retractions", rows),
            ("attributions", OF_SUBJECT),
        ):  # fmt: skip
            self._db.execute(f"ALTER TABLE {table} DELETE WHERE {where}{AT_ONCE}", bound)
        columns = ("k_offset", "subject_sha256", "pseudonym", "customers", "events", "corrections", "dead_letters",
                   "actor", "reason")  # fmt: skip
        self._db.insert("erasures", columns, [
            (offset, erasure.subject_sha256, erasure.pseudonym, list(extent.customers), extent.events,
             extent.corrections, extent.dead_letters, erasure.actor, erasure.reason)
        ])  # fmt: skip
        return extent

    def _open_days(self, offset: int, bound: dict[str, object]) -> None:
        """Days of the subject are computed again, under its pseudonym: until then they are read from raw events."""
        places = (("toDate(ts)", "events"), ("toDate(ts)", "corrections"), ("day", "day_totals"))
        days = {
            row[0] for day, table in places
            for row in self._db.tuples(f"SELECT DISTINCT {day} FROM {table} WHERE {OF_SUBJECT}", bound)
        }  # fmt: skip
        self._db.insert("opened_days", ("day", "because", "known", "vector", "erased_to"), [
            (day, "erasure", offset + 1, [], offset + 1) for day in sorted(days)
        ])  # fmt: skip

    def named_in_state(self, subject: str) -> tuple[str, ...]:
        """Customers one of whose subscriptions names the subject."""
        sql = "SELECT customer FROM customers FINAL WHERE position(state, {quoted:String}) > 0 ORDER BY customer"
        return tuple(row[0] for row in self._db.tuples(sql, {"quoted": f'"{subject}"'}))

    def _renamed(self, table: str, where: str, bound: dict[str, object]) -> None:
        chosen = (
            f"(SELECT * FROM {table} FINAL WHERE {where})"  # apart, or the condition would be asked of the pseudonym
        )
        self._db.execute(f"INSERT INTO {table} SELECT * REPLACE ({{pseudonym:String}} AS subject) FROM {chosen}", bound)

    def _count(self, what: str, bound: dict[str, object]) -> int:
        return int(self._db.tuples(f"SELECT count() FROM {what}", bound)[0][0])

    def _bound(self, erasure: Erasure) -> dict[str, object]:
        usage = list(erasure.usage) or [0]
        return {"hash": erasure.subject_sha256, "pseudonym": erasure.pseudonym, "usage": usage}


def kept_fields(meters: Iterable[Meter]) -> tuple[str, ...]:
    """The fields that some meter reads: what a payload keeps, so that every quantity stays what it is."""
    names: dict[str, None] = {}
    for meter in meters:
        operation = (meter.operation,) if meter.aggregation in COMPARES_TEXTS else ()
        names.update(dict.fromkeys((*meter.dimensions, *meter.measures, *operation)))
    return tuple(names)


def _minimal(payload: str, names: Iterable[str]) -> str:
    """SQL of a payload with some of its fields and no other."""
    fields = ", ".join(
        f"if(JSONHas({payload}, {quoted(name)}), concat(toJSONString({quoted(name)}), ':', "
        f"JSONExtractRaw({payload}, {quoted(name)})), '')"
        for name in names
    )
    return f"concat('{{', arrayStringConcat(arrayFilter(x -> x != '', [{fields}]), ','), '}}')" if fields else "'{}'"
