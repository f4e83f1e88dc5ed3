"""What runs issued, and which of them are rated: the memory of "owed now less issued before"."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Decimal

from pydantic import TypeAdapter

from agents.store.connection import Connection
from pipeline.closing.run_lines import RunLine
from schemas.customer_state import DuePeriod, PeriodClosed
from schemas.issued_line import IssuedLine
from schemas.period import Period

ISSUED_LINE: TypeAdapter[IssuedLine] = TypeAdapter(IssuedLine)
COLUMNS = (
    "customer", "tick", "revision", "line", "subscription", "charge", "number", "period_start", "period_end", "amount",
    "currency", "record",
)  # fmt: skip


class RunLineStore:
    """Lines by (customer, tick, revision) of their run; every write is idempotent by its key."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def insert(self, runs: Iterable[tuple[PeriodClosed, Sequence[RunLine]]]) -> None:
        """Stores the lines of runs, in their order."""
        self._db.insert("run_lines", COLUMNS, [
            (closed.customer, closed.tick.number, closed.revision, index, line.subscription, line.charge.card,
             line.charge.number, line.period.start, line.period.end, line.amount, line.rated.currency,
             ISSUED_LINE.dump_json(line.issued()).decode())
            for closed, lines in runs for index, line in enumerate(lines)
        ])  # fmt: skip

    def mark_rated(self, runs: Iterable[tuple[PeriodClosed, int]]) -> None:
        """Notes that lines and drafts of runs are stored, and how many drafts they have."""
        self._db.insert("rated_runs", ("customer", "tick", "revision", "documents"), [
            (closed.customer, closed.tick.number, closed.revision, documents) for closed, documents in runs
        ])  # fmt: skip

    def rated(self, runs: Iterable[tuple[str, int]]) -> set[tuple[str, int]]:
        """Which (customer, tick) of these are rated."""
        wanted = sorted(set(runs))
        if not wanted:
            return set()
        rows = self._db.tuples(
            "SELECT DISTINCT customer, tick FROM rated_runs WHERE (customer, tick) IN "
            "(SELECT arrayJoin(arrayZip({customers:Array(String)}, {ticks:Array(UInt64)})))",
            {"customers": [customer for customer, _ in wanted], "ticks": [tick for _, tick in wanted]},
        )
        return {(row[0], row[1]) for row in rows}

    def usage_billed(self, closed: PeriodClosed, subscription: str, period: Period) -> Decimal:
        """All usage that runs before a close billed of a subscription; of a period that runs, by interim invoices."""
        rows = self._db.tuples(
            "SELECT sum(amount), any(currency) FROM run_lines FINAL WHERE customer = {customer:String} "
            "AND subscription = {subscription:String} AND tick < {tick:UInt64} AND JSONExtractString(record, 'kind') = "
            "'usage' AND (NOT JSONExtractBool(record, 'interim') OR period_start = {start:DateTime64(3, 'UTC')})",
            {"customer": closed.customer, "subscription": subscription, "tick": closed.tick.number,
             "start": period.start},
        )  # fmt: skip
        return Decimal(rows[0][0])

    def issued(self, closes: Iterable[PeriodClosed]) -> dict[str, list[IssuedLine]]:
        """Close id -> every line that its customer's runs before it issued, in their order.

        Only closes that rate something anew, or a running period, or look at a commitment have any: what was never
        billed deducts nothing.
        """
        wanted = {closed.customer: closed for closed in closes if any(map(_deducts, closed.periods))}
        found: dict[str, list[IssuedLine]] = {closed.close_id: [] for closed in wanted.values()}
        if not wanted:
            return found
        rejected = {
            customer: {(gone.tick, gone.subscription, gone.card, gone.number, gone.period) for gone in one.disregarded}
            for customer, one in wanted.items()
        }
        rows = self._db.tuples(
            "SELECT customer, tick, revision, record FROM run_lines FINAL "
            "WHERE customer IN {customers:Array(String)} ORDER BY customer, tick, revision, line",
            {"customers": sorted(wanted)},
        )
        for customer, tick, revision, record in rows:
            closed = wanted[customer]
            if (tick, revision) < (closed.tick.number, closed.revision):
                line = ISSUED_LINE.validate_json(record)
                if (tick, *line.key) not in rejected[customer]:
                    found[closed.close_id].append(line)
        return found


def _deducts(due: DuePeriod) -> bool:
    return due.rerates or due.interim or bool(due.counted) or any(charge.term for charge in due.charges or ())


def in_rounds(closes: Sequence[PeriodClosed]) -> list[list[PeriodClosed]]:
    """Closes so that none is in a round with an earlier one of its customer, each in order: it deducts their lines."""
    rounds: list[list[PeriodClosed]] = []
    turns: Counter[str] = Counter()
    for closed in closes:
        if turns[closed.customer] == len(rounds):
            rounds.append([])
        rounds[turns[closed.customer]].append(closed)
        turns[closed.customer] += 1
    return rounds
