"""What lies at the positions that a document names as the cause of a correction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from string import Template

from agents.store.connection import Connection, query_text
from agents.store.looks import SUBJECTS
from schemas.period import Period
from schemas.tick import ATTRIBUTIONS, USAGE


@dataclass(frozen=True, slots=True)
class LateRecord:
    """A record that changed a closed period: an event, a correction of one, or a subject that changed hands.

    `source` and `id` are those of the event that is meant; of an attribution `source` is the customer.
    """

    position: str
    what: str
    time: datetime
    subject: str
    source: str
    id: str
    data: str


class LateRecordStore:
    """What `tally explain` asks about a correction."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def at(self, positions: Sequence[str], customer: str, span: Period) -> tuple[LateRecord, ...]:
        """The records at positions (`topic/partition/offset`), in their order; those that are gone are left out."""
        places = [(topic, int(partition), int(offset)) for topic, partition, offset in map(_parts, positions)]
        usage = [(partition, offset) for topic, partition, offset in places if topic == USAGE]
        rows = self._db.tuples(Template(query_text("records_at")).substitute(subjects=SUBJECTS), {
            "customer": customer, "starts": span.start, "ends": span.end,
            "partitions": [partition for partition, _ in usage], "offsets": [offset for _, offset in usage],
            "attributions": [offset for topic, _, offset in places if topic == ATTRIBUTIONS],
        })  # fmt: skip
        found = {}
        for what, partition, offset, *rest in rows:
            position = f"{ATTRIBUTIONS if what == 'attribution' else USAGE}/{partition}/{offset}"
            found[position] = LateRecord(position, what, *rest)
        return tuple(found[position] for position in positions if position in found)


def _parts(position: str) -> list[str]:
    return position.rsplit("/", 2)
