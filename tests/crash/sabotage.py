"""The negative control: one stored row is dropped, doubled or shifted, and the proof must see each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from agents.settings import Settings
from agents.store.connection import Connection
from tests.crash import usage

COLUMNS = "type, subject, ts, source, id, k_epoch, k_partition, inv_offset, data, exact, flags, sequence, appended_at"
SOMEWHERE = "(k_partition, inv_offset) = ({partition:UInt16}, {inv_offset:UInt64})"


def drop(db: Connection, at: Mapping[str, object]) -> None:
    """The row is gone."""
    db.execute(f"DELETE FROM events WHERE {SOMEWHERE}", at)


def double(db: Connection, at: Mapping[str, object]) -> None:
    """The same event once more, a second later."""
    db.execute(f"INSERT INTO events ({COLUMNS}) SELECT * REPLACE (ts + INTERVAL 1 SECOND AS ts) "
               f"FROM (SELECT {COLUMNS} FROM events FINAL WHERE {SOMEWHERE})", at)  # fmt: skip


def shift(db: Connection, at: Mapping[str, object]) -> None:
    """A thousandth of a token more."""
    db.execute(f"INSERT INTO events ({COLUMNS}) SELECT * REPLACE ("
               "replaceOne(data, JSONExtractString(data, 'tokens'), JSONExtractString(data, 'tokens') || '1') AS data) "
               f"FROM (SELECT {COLUMNS} FROM events FINAL WHERE {SOMEWHERE})", at)  # fmt: skip


KINDS: Mapping[str, Callable[[Connection, Mapping[str, object]], None]] = {
    "drop": drop, "double": double, "shift": shift,
}  # fmt: skip


@contextmanager
def sabotaged(settings: Settings, kind: str, number: int) -> Iterator[str]:
    """One stored event is damaged in a way that nobody announces; afterwards it is as before. Gives what was done."""
    db = Connection(settings)
    try:
        partition, inv_offset, subject = db.tuples(
            "SELECT k_partition, inv_offset, subject FROM events FINAL WHERE source = {source:String} "
            "AND id = {id:String} ORDER BY k_partition, inv_offset DESC LIMIT 1",
            {"source": usage.SOURCE, "id": str(number)},
        )[0]
        at = {"partition": partition, "inv_offset": inv_offset}
        db.execute("DROP TABLE IF EXISTS kept_rows SYNC")
        db.execute("CREATE TABLE kept_rows ENGINE = MergeTree ORDER BY id AS "
                   f"SELECT {COLUMNS} FROM events FINAL WHERE {SOMEWHERE}", at)  # fmt: skip
        KINDS[kind](db, at)
        yield f"{kind} event {number} of {subject}"
        db.execute("DELETE FROM events WHERE (source, id) IN (SELECT source, id FROM kept_rows) "
                   f"AND {SOMEWHERE}", at)  # fmt: skip
        db.execute(f"INSERT INTO events ({COLUMNS}) SELECT {COLUMNS} FROM kept_rows")
        db.execute("DROP TABLE kept_rows SYNC")
    finally:
        db.close()
