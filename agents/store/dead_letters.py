"""Dead letters and what became of them, as stored."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agents.store.connection import Connection
from schemas.resolution import LogPosition, Resolution

OPEN = "open"
SETTLED = frozenset({"waived", "event", "correction", "duplicate"})
_COLUMNS = (
    "topic, k_partition, k_offset, reason, detail, source, base64Encode(record_key), headers, base64Encode(payload), "
    "appended_at, state, actor, why, replayed_partition, replayed_offset"
)


@dataclass(frozen=True, slots=True)
class StoredLetter:
    """A dead letter with its bytes. `state`: open, waived, or where the record ended that was sent for it."""

    position: LogPosition
    reason: str
    detail: str
    source: str
    key: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    value: bytes
    appended_at: datetime
    state: str
    actor: str = ""
    why: str = ""
    replayed_as: LogPosition | None = None


class DeadLetterStore:
    """What the workflow of dead letters asks of ClickHouse."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def insert_resolutions(self, resolutions: Sequence[tuple[Resolution, int, int]]) -> None:
        """Stores resolutions as (resolution, partition, offset of its record in usage.dead-letters)."""
        columns = ("topic", "k_partition", "k_offset", "resolution", "replayed_partition", "replayed_offset", "actor",
                   "reason", "r_partition", "r_offset")  # fmt: skip
        self._db.insert("dead_letter_resolutions", columns, [
            (r.letter.topic, r.letter.partition, r.letter.offset, r.resolution,
             r.replayed_as.partition if r.replayed_as else 0, r.replayed_as.offset if r.replayed_as else 0,
             r.actor, r.reason, partition, offset)
            for r, partition, offset in resolutions
        ])  # fmt: skip

    def summary(self) -> list[tuple[str, str, str, int, datetime, datetime]]:
        """(reason, source, state, how many, first and last broker time), most first."""
        return [
            (row[0], row[1], row[2], row[3], row[4], row[5])
            for row in self._db.tuples(
                "SELECT reason, source, state, count(), min(appended_at), max(appended_at) FROM dead_letters_now "
                "GROUP BY reason, source, state ORDER BY count() DESC, reason, source, state"
            )
        ]

    def states(self) -> dict[str, int]:
        """State -> dead letters, the most first."""
        sql = "SELECT state, count() FROM dead_letters_now GROUP BY state ORDER BY count() DESC, state"
        return dict(self._db.tuples(sql))

    def letters(self, *, reason: str = "", source: str = "", state: str = "", limit: int = 1000) -> list[StoredLetter]:
        """Dead letters in order of their positions; an empty word means any."""
        rows = self._db.tuples(
            f"SELECT {_COLUMNS} FROM dead_letters_now WHERE ({{reason:String}} = '' OR reason = {{reason:String}}) "
            "AND ({source:String} = '' OR source = {source:String}) "
            "AND ({state:String} = '' OR state = {state:String}) "
            "ORDER BY topic, k_partition, k_offset LIMIT {limit:UInt32}",
            {"reason": reason, "source": source, "state": state, "limit": limit},
        )
        return [_letter(row) for row in rows]

    def letter(self, position: LogPosition) -> StoredLetter | None:
        """The dead letter at a position, if there is one."""
        rows = self._db.tuples(
            f"SELECT {_COLUMNS} FROM dead_letters_now WHERE topic = {{topic:String}} "
            "AND k_partition = {partition:UInt16} AND k_offset = {offset:UInt64}",
            {"topic": position.topic, "partition": position.partition, "offset": position.offset},
        )
        return _letter(rows[0]) if rows else None


def _letter(row: tuple[Any, ...]) -> StoredLetter:
    (topic, partition, offset, reason, detail, source, key, headers, value, at, state, actor, why,
     replayed_partition, replayed_offset) = row  # fmt: skip
    replayed = state not in (OPEN, "waived")
    return StoredLetter(
        position=LogPosition(topic=topic, partition=partition, offset=offset),
        reason=reason,
        detail=detail,
        source=source,
        key=base64.b64decode(key) or None,
        headers=tuple((name, base64.b64decode(content)) for name, content in headers),
        value=base64.b64decode(value),
        appended_at=at,
        state=state,
        actor=actor,
        why=why,
        replayed_as=LogPosition(topic=topic, partition=replayed_partition, offset=replayed_offset)
        if replayed
        else None,
    )
