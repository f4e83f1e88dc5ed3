"""The alerter: about once a second, every figure that a rule of the catalogue watches, as of what is stored.

One worker looks (the holder of the log of documents); what it finds goes out through the collector, each key once for
ever. How a watch stands is the last record of it in billing.alerts, and a note for each time that it was armed again.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from agents import telemetry
from agents.catalogue import CatalogueLog
from agents.delivery import TallyApp
from agents.logs import Logs
from agents.store.alerts import AlertStore, Key
from agents.store.balances import BalanceStore
from agents.store.billing import BillingStore
from agents.topics import ALERTS, CATALOGUE, FINALISATIONS
from pipeline.limits.alerting import WatchState, steps
from pipeline.limits.entitlements import Running, running
from pipeline.limits.watching import Hours, Seen, hour_of, observations, wanted, watches
from schemas.alert_rule import AlertRule
from schemas.catalogue_entry import Catalogue
from schemas.customer_state import CustomerState
from schemas.tick import Tick

log = logging.getLogger(__name__)

EVERY_S = 1.0
LOOK_BACK = timedelta(days=1)
"""How much longer than a rule's silence a source may be silent and still be known after a restart."""
OVERLAP = timedelta(hours=2)


class Alerter:
    """Looks at what the rules watch."""

    def __init__(
        self, logs: Logs, catalogue: CatalogueLog, billing: BillingStore, balances: BalanceStore, store: AlertStore
    ) -> None:
        self._logs, self._catalogue, self._billing = logs, catalogue, billing
        self._balances, self._store = balances, store
        self._states: dict[Key, WatchState] | None = None
        self._customers: dict[str, tuple[int, CustomerState]] = {}
        self._running: tuple[object, tuple[Running, ...]] = (None, ())
        self._hours: tuple[object, Mapping[tuple[str, str], Hours]] = (None, {})
        self._sources: dict[str, datetime] = {}
        self._sources_at: datetime | None = None
        self._rest_until = 0.0
        self.watches = False
        """Whether the catalogue has rules: usage moves without a tick."""

    def forget(self) -> None:
        """Another worker looks from now on."""
        self._states = None

    async def look(self) -> int:
        """Looks once, unless the last look took so long that this one comes too soon; how many alerts it found."""
        began = time.monotonic()
        if began < self._rest_until:
            return 0
        tick = await asyncio.to_thread(self._billing.last_tick)
        if tick is None:
            return 0
        catalogue = await self._catalogue.as_of(tick.vector.end(CATALOGUE, 0))
        rules = catalogue.alert_rules
        self.watches = bool(rules)
        if not rules:
            return 0
        if self._states is None:
            self._states = await self._known()
        seen, found = await asyncio.to_thread(self._see, rules, catalogue, tick)
        count = await asyncio.to_thread(self._tell, rules, found, seen)
        took = time.monotonic() - began
        telemetry.ALERT_LOOK_SECONDS.observe(took)
        self._rest_until = time.monotonic() + max(EVERY_S - took, took)  # at most half of the time is spent on it
        return count

    async def _known(self) -> dict[Key, WatchState]:
        """How every watch stands: as it was told last, unless it was armed again since."""
        states = await asyncio.to_thread(self._store.states)
        begins, ends = await self._logs.bounds(ALERTS)
        for partition, (begin, end) in enumerate(zip(begins, ends, strict=True)):
            async for record in self._logs.stream(ALERTS, partition, begin, end):
                evidence = json.loads(record.value or b"{}").get("evidence", {})
                if "watch" in evidence:
                    key, crossing = (evidence["rule"], evidence["watch"]), int(evidence["crossing"])
                    if states.get(key, WatchState()).crossings < crossing:
                        states[key] = WatchState(crossing, is_beyond=True)
        return states

    def _see(self, rules: Sequence[AlertRule], catalogue: Catalogue, tick: Tick) -> tuple[Seen, tuple[Running, ...]]:
        found = self._charges(catalogue, tick)
        read = self._balances.read(wanted(rules, found, tick.time), tick, everybody=True)
        hours = self._hours_before(rules, found, tick)
        balances = self._store.balances() if any(rule.on == "balance" for rule in rules) else {}
        return Seen(tick, read.vector, read.usage, hours, balances, self._heard(rules, tick)), found

    def _charges(self, catalogue: Catalogue, tick: Tick) -> tuple[Running, ...]:
        """What every customer is served at the tick; worked out again when a state or the tick is another one."""
        offsets = self._billing.state_offsets()
        key = (tick.number, tuple(sorted(offsets.items())))
        if key != self._running[0]:
            changed = [name for name, offset in offsets.items() if self._customers.get(name, (-1,))[0] != offset]
            for name, stored in self._billing.states(changed).items():
                self._customers[name] = (stored.offset, stored.state)
            states = [state for _, (_, state) in sorted(self._customers.items())]
            self._running = key, tuple(one for state in states for one in running(state, catalogue, tick.time))
        return self._running[1]

    def _hours_before(
        self, rules: Sequence[AlertRule], found: Sequence[Running], tick: Tick
    ) -> Mapping[tuple[str, str], Hours]:
        """The days before, read once per hour and meter version."""
        anomalies = [rule for rule in rules if rule.on == "anomaly"]
        entries = {one.entry.key: one.entry for rule in anomalies for one in found if watches(rule, one)}
        hour = hour_of(tick.time)
        key = (hour, tuple(sorted(entries)))
        if key != self._hours[0]:
            self._hours = (
                key,
                {
                    (customer, entry.name): hours
                    for entry in entries.values()
                    for customer, hours in self._store.hours(entry, hour).items()
                },
            )
        return self._hours[1]

    def _heard(self, rules: Sequence[AlertRule], tick: Tick) -> Mapping[str, datetime]:
        """When each source was last heard of; read anew at every tick, from a little before the last one on."""
        quiet = max((rule.quiet for rule in rules if rule.on == "silence"), default=None)
        if quiet is not None and self._sources_at != tick.time:
            before = self._sources_at or tick.time - quiet - LOOK_BACK
            for source, last in self._store.sources(before - OVERLAP).items():
                self._sources[source] = max(last, self._sources.get(source, last))
            self._sources_at = tick.time
        return self._sources

    def _tell(self, rules: Sequence[AlertRule], found: Sequence[Running], seen: Seen) -> int:
        """Stores what was crossed, then how the watches stand: a crash in between comes to the same keys."""
        assert self._states is not None
        observed = [each for rule in rules for each in observations(rule, found, seen)]
        changes = list(steps(self._states, observed, seen.tick.time))
        alerts = [alert for _, _, alert in changes if alert is not None]
        self._store.to_tell(alerts)
        states = {key: state for key, state, _ in changes}
        self._store.note(states)
        self._states.update(states)
        for alert in alerts:
            log.info("%s: %s", alert.kind, alert.text, extra={"tick": seen.tick.number})
        return len(alerts)


def attach(app: TallyApp, alerter: Alerter) -> None:
    """Looks about once a second while there are rules, in the worker that holds the log of documents."""
    finalisations = app.deliveries[app.settings.topic_prefix + FINALISATIONS]

    async def look() -> bool:
        if finalisations.partitions:
            await alerter.look()
        else:
            alerter.forget()
        return alerter.watches

    app.look("alerter", look)
