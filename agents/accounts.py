"""What a delivery tells of its work: counts and times for metrics, log lines with positions, and what is in its way."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence

from agents import telemetry
from agents.clock import wall_time
from agents.record_batch import RecordBatch

log = logging.getLogger("agents.delivery")

TELL_EVERY_S = 10.0


class Account:
    """The account of one topic in this process."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._began: float | None = None
        self._trying_since = 0.0
        self._told, self._records = time.monotonic(), 0
        self._newest_ms: dict[int, int] = {}
        self._positions: dict[int, int] = {}
        self.in_the_way = ""
        """The failure for which the cycle under way is being tried again; empty if it is not."""

    def begins(self) -> None:
        """A cycle of storing begins; it may be tried several times."""
        self._began = time.monotonic()

    @property
    def tried_for_s(self) -> float:
        """How long a cycle has been tried again; 0 if none is."""
        return time.monotonic() - self._trying_since if self.in_the_way else 0.0

    def tries_again(self, error: Exception) -> None:
        """A service is away, so the cycle is tried again."""
        self._trying_since = self._trying_since if self.in_the_way else time.monotonic()
        self.in_the_way = str(error)
        telemetry.RETRIES.labels(self._topic).inc()

    def ends(self, batches: Sequence[RecordBatch], *, stored: bool) -> None:
        """The cycle ends: its records are stored, or will be fetched again."""
        records = sum(len(batch) for batch in batches)
        self.in_the_way = ""
        if not stored:
            self.drops(records)
            return
        telemetry.STORED.labels(self._topic).inc(records)
        telemetry.BATCH_RECORDS.labels(self._topic).observe(records)
        if self._began is not None:
            telemetry.INSERT_SECONDS.labels(self._topic).observe(time.monotonic() - self._began)
        for batch in batches:
            self._positions[batch.partition] = batch.next_offset
            if len(batch):
                self._newest_ms[batch.partition] = batch.timestamps[-1]
        if newest := [batch.timestamps[-1] for batch in batches if len(batch)]:
            telemetry.DELAY_SECONDS.labels(self._topic).observe(max(0.0, _now_ms() - max(newest)) / 1000)
        self._tell(records)

    def drops(self, records: int) -> None:
        """Records are dropped before they were stored, because their partitions are placed anew."""
        telemetry.REDELIVERED.labels(self._topic).inc(records)

    def newest_age_s(self) -> Mapping[int, float]:
        """Partition -> age of the newest record that is stored, where one was."""
        now_ms = _now_ms()
        return {partition: max(0.0, now_ms - at_ms) / 1000 for partition, at_ms in self._newest_ms.items()}

    def _tell(self, records: int) -> None:
        """One line in ten seconds, with the positions that are stored."""
        self._records += records
        now = time.monotonic()
        if now - self._told < TELL_EVERY_S:
            return
        log.info(
            "%s: stored %s records in %.0f s", self._topic, self._records, now - self._told,
            extra={"topic": self._topic, "records": self._records, "seconds": round(now - self._told, 1),
                   "positions": {str(partition): offset for partition, offset in sorted(self._positions.items())}},
        )  # fmt: skip
        self._told, self._records = now, 0


def _now_ms() -> float:
    return wall_time().timestamp() * 1000
