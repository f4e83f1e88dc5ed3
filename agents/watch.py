"""A worker watches itself: whether its services answer, whether its partitions move, what waits; health and gauges.

Live means: a restart would not help. A partition with lag that has not moved for a minute while nothing was in its way
is the one thing that a restart mends. A store or a broker that is away makes a worker not ready, and nothing more.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Mapping, Sequence

from aiokafka.errors import KafkaError
from prometheus_client import Gauge

from agents import telemetry
from agents.accounts import Account
from agents.delivery import TallyApp
from agents.logs import Logs
from agents.store.connection import Connection, StoreRefused, StoreUnavailable
from agents.store.waiting import Waiting, WaitingStore
from agents.topics import USAGE_EVENTS, KafkaUnavailable
from pipeline.intake.standstill import Freshness, Look, Place, Standstills

log = logging.getLogger(__name__)

LOOK_EVERY_S = 5.0
ANSWER_WITHIN_S = 5.0
REPORT_SHARE = 20
"""Counts of the store are asked for so seldom that asking takes at most a twentieth of the time."""


class Watch:
    """The health of one worker. `leads` says whether this worker reports what all workers share."""

    def __init__(self, app: TallyApp, logs: Logs, store: Connection, shared: WaitingStore) -> None:
        self._app, self._logs, self._store, self._shared = app, logs, store, shared
        self._standstills, self._freshness = Standstills(app.settings.standstill_s), Freshness()
        self._ends: dict[Place, int] = {}
        self._still: Mapping[Place, float] = {}
        self._away: dict[str, str] = {"kafka": "not asked yet", "clickhouse": "not asked yet"}

    def not_live(self) -> Sequence[str]:
        """Partitions that stand still."""
        return [
            f"{topic}/{partition} has lag and has not moved for {for_s:.0f} s, though nothing is in its way"
            for (topic, partition), for_s in self._still.items()
        ]

    def not_ready(self) -> Sequence[str]:
        """What keeps this worker from its work."""
        faults = ["stopping"] if self._app.should_stop else []
        faults += [f"{service}: {why}" for service, why in self._away.items() if why]
        faults += [f"{name}: {account.in_the_way}" for name, account in self._accounts() if account.in_the_way]
        return [*faults, *self.not_live()]

    async def run(self) -> None:
        """Looks until the worker stops."""
        await asyncio.gather(self._look_again_and_again(), self._report_again_and_again())

    async def _look_again_and_again(self) -> None:
        while not self._app.should_stop:
            await self.look()
            await asyncio.sleep(min(LOOK_EVERY_S, self._app.settings.standstill_s / 4))

    async def _report_again_and_again(self) -> None:
        """Counts of the store may take a while to compute: probes do not wait for them."""
        while not self._app.should_stop:
            usage = self._app.deliveries.get(self._app.settings.topic_prefix + USAGE_EVENTS)
            if usage is None or 0 not in usage.partitions:
                _set_shared(NOT_OURS)
                await asyncio.sleep(1)
                continue
            began = time.monotonic()
            try:
                _set_shared(await asyncio.to_thread(self._shared.look))
            except (StoreUnavailable, StoreRefused) as error:
                log.warning("leaks and open dead letters are not counted: %s; trying again", error)
            took = time.monotonic() - began
            await asyncio.sleep(max(self._app.settings.gauges_every_s, REPORT_SHARE * took))

    async def look(self) -> None:
        """One look; whatever is away is noted, never raised."""
        self._away["kafka"] = await _asked(self._read_ends())
        self._away["clickhouse"] = await _asked(asyncio.to_thread(self._store.tuples, "SELECT 1"))
        seen = self._seen()
        self._still = self._standstills.look(seen)
        for place, for_s in self._still.items():
            log.critical("%s/%s stands still for %.0f s", *place, for_s,
                         extra={"topic": place[0], "partition": place[1]})  # fmt: skip
        self._set_gauges(seen)

    def _accounts(self) -> list[tuple[str, Account]]:
        return [(delivery.topic, delivery.account) for delivery in self._app.deliveries.values()]

    def _held(self) -> dict[Place, int]:
        """What is stored of each partition that this worker holds."""
        return {
            (delivery.topic, partition): offset
            for delivery in self._app.deliveries.values()
            for partition, offset in delivery.stored().items()
        }

    def _seen(self) -> Look:
        held = self._held()
        whys = [*self._away.values(), *(account.in_the_way for _, account in self._accounts())]
        return Look(time.monotonic(), self._ends, held, next((why for why in whys if why), ""))

    async def _read_ends(self) -> None:
        for topic in sorted({topic for topic, _ in self._held()}):
            ends = await self._logs.end_offsets(topic)
            self._ends |= {(topic, partition): end for partition, end in enumerate(ends)}

    def _set_gauges(self, seen: Look) -> None:
        for service, why in self._away.items():
            telemetry.SERVICE_UP.labels(service).set(0 if why else 1)
        telemetry.READY.set(0 if self.not_ready() else 1)
        telemetry.STANDSTILL.set(len(self._still))
        telemetry.OLDEST_TRY_SECONDS.set(max((account.tried_for_s for _, account in self._accounts()), default=0.0))
        telemetry.LAG.clear()  # a partition that went to another worker is his
        telemetry.NEXT_OFFSET.clear()
        for (topic, partition), offset in seen.stored.items():
            telemetry.LAG.labels(topic, partition).set(seen.lag((topic, partition)))
            telemetry.NEXT_OFFSET.labels(topic, partition).set(offset)
        ages = {
            (topic, partition): age for topic, account in self._accounts()
            for partition, age in account.newest_age_s().items()
        }  # fmt: skip
        fresh = self._freshness.look(seen, ages)
        for topic, _ in self._accounts():
            telemetry.FRESHNESS.labels(topic).set(
                max((age for place, age in fresh.items() if place[0] == topic), default=0.0)
            )
            telemetry.STOPPED.labels(topic).set(self._stopped(topic, seen))

    def _stopped(self, topic: str, seen: Look) -> int:
        """Assigned partitions that no delivery reads."""
        name = self._app.settings.topic_prefix + topic
        assigned = {tp.partition for tp in self._app.consumer.assignment() if tp.topic == name}
        return len(assigned - {partition for found, partition in seen.stored if found == topic})


NOT_OURS = Waiting(math.nan, math.nan, math.nan, math.nan, math.nan, {}, {}, oldest_s=math.nan, past_due=math.nan)
"""Another worker tells them; a value that was told here before must not stand beside his."""


def _set_shared(found: Waiting) -> None:
    _set_by_kind(telemetry.LEAKS, found.leaks)
    _set_by_kind(telemetry.COPIES, found.copies)
    _set_by_kind(telemetry.METER_GROUPS, found.groups)
    telemetry.GAPS_OPEN.set(found.gaps_open)
    telemetry.DEAD_LETTERS_OPEN.set(found.dead_letters_open)
    telemetry.CLOCK_BEHIND.set(found.clock_behind_s)
    telemetry.RUNS_OPEN.set(found.runs_open)
    telemetry.RUNS_PARKED.set(found.runs_parked)
    _set_by_kind(telemetry.COLLECTION_WAITING, found.unanswered)
    _set_by_kind(telemetry.COLLECTION_UNSENT, found.unsent)
    telemetry.COLLECTION_OLDEST.set(found.oldest_s)
    telemetry.PAST_DUE.set(found.past_due)


def _set_by_kind(gauge: Gauge, counts: Mapping[str, int]) -> None:
    """A gauge per kind; kinds that are gone are told no more."""
    gauge.clear()
    for kind, count in counts.items():
        gauge.labels(kind).set(count)


async def _asked(work: Awaitable[object]) -> str:
    """Why a service does not answer; empty if it does. Only what a service may do is caught."""
    try:
        await asyncio.wait_for(work, ANSWER_WITHIN_S)
    except TimeoutError:
        return f"no answer within {ANSWER_WITHIN_S:.0f} s"
    except (StoreUnavailable, StoreRefused, KafkaUnavailable, KafkaError, OSError) as error:
        return f"{error}"
    return ""
