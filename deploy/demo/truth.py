"""What a simulation knows about itself: where every record it made must end, and what must be billed.

Computed from the simulated events with Decimal while they are made; never from Kafka, never from our tables.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

# (customer, meter, group): the group is the model for token meters and empty for requests.
Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Truth:
    """Expected counts and totals. Every record is counted, a duplicate or dead; late ones are among the counted.

    `by_partition_key` has the records per key, to check that nothing was lost on the way into Kafka.
    """

    produced: int
    counted: int
    duplicates: int
    late: int
    dead: Mapping[str, int]
    unattributed: int
    unmetered: int
    totals: Mapping[Key, Decimal]
    events: Mapping[str, int]

    def adds_up(self) -> bool:
        """Whether every record ends in exactly one place."""
        return self.produced == self.counted + self.duplicates + sum(self.dead.values())


@dataclass(slots=True)
class Ledger:
    """Counts while records are made; `truth` is its state as a value."""

    produced: int = 0
    counted: int = 0
    duplicates: int = 0
    late: int = 0
    unattributed: int = 0
    unmetered: int = 0
    dead: Counter[str] = field(default_factory=Counter)
    totals: dict[Key, Decimal] = field(default_factory=dict)
    events: Counter[str] = field(default_factory=Counter)

    def add(self, customer: str, meter: str, group: str, value: Decimal | int) -> None:
        """One event's contribution to a total."""
        key = (customer, meter, group)
        self.totals[key] = self.totals.get(key, Decimal(0)) + value

    def truth(self) -> Truth:
        """The state as a value."""
        return Truth(
            produced=self.produced,
            counted=self.counted,
            duplicates=self.duplicates,
            late=self.late,
            dead=dict(sorted(self.dead.items())),
            unattributed=self.unattributed,
            unmetered=self.unmetered,
            totals=dict(sorted(self.totals.items())),
            events=dict(sorted(self.events.items())),
        )
