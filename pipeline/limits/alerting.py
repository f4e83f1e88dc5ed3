"""Watched figures become alerts: once per crossing, armed again when the figure is back.

A crossing has a number, and an alert's key is derived from what is watched and that number. A worker that begins
without its notes (a rebuild) counts from 1 again and comes to keys that are out already: nothing is told twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from schemas.alert import Alert
from schemas.identity import canonical_json, derived_id
from schemas.quantity import plain

BACK = Decimal("0.95")
"""A figure that goes to and fro (a forecast, a balance) is back once it is so far away from its threshold again."""


@dataclass(frozen=True, slots=True)
class Watch:
    """One threshold of a rule for one customer (or source) in one period: what an alert is about."""

    rule: str
    kind: str
    customer: str
    about: tuple[str, ...]
    """What tells it from the other watches of the rule: period, threshold, source …"""

    @property
    def what(self) -> str:
        """The watch as text, by which its state is kept."""
        return canonical_json([self.kind, self.customer, *self.about]).decode()


@dataclass(frozen=True, slots=True)
class Observed:
    """A figure beside its threshold, with what it rests on."""

    watch: Watch
    is_beyond: bool
    is_back: bool
    """Whether a crossing is over. Between the two nothing changes."""
    text: str
    evidence: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WatchState:
    """How often a figure crossed its threshold, and whether it is beyond it now."""

    crossings: int = 0
    is_beyond: bool = False


def over(watch: Watch, figure: Decimal, threshold: Decimal, *, back: Decimal | None = None, text: str,
         evidence: Mapping[str, str]) -> Observed:  # fmt: skip
    """A figure that must stay below its threshold; `back` is below which a crossing is over, the threshold itself if
    left out."""
    told = {"figure": plain(figure), "threshold": plain(threshold), **evidence}
    return Observed(watch, figure >= threshold, figure < (threshold if back is None else back), text, told)


def under(watch: Watch, figure: Decimal, threshold: Decimal, *, text: str, evidence: Mapping[str, str]) -> Observed:
    """A figure that must stay at or above its threshold."""
    told = {"figure": plain(figure), "threshold": plain(threshold), **evidence}
    return Observed(watch, figure < threshold, figure * BACK >= threshold, text, told)


def step(before: WatchState, found: Observed) -> tuple[WatchState, bool]:
    """The state after a look, and whether it is a crossing."""
    if found.is_beyond and not before.is_beyond:
        return WatchState(before.crossings + 1, is_beyond=True), True
    if before.is_beyond and not found.is_beyond and found.is_back:
        return WatchState(before.crossings, is_beyond=False), False
    return before, False


def steps(
    states: Mapping[tuple[str, str], WatchState], observed: Iterable[Observed], at: datetime
) -> Iterator[tuple[tuple[str, str], WatchState, Alert | None]]:
    """What changes: the state of a watch by (rule, what), and the alert that it leads to."""
    for found in observed:
        key = (found.watch.rule, found.watch.what)
        before = states.get(key, WatchState())
        after, crosses = step(before, found)
        if after != before:
            yield key, after, alert_of(found, after.crossings, at) if crosses else None


def alert_of(found: Observed, crossing: int, at: datetime) -> Alert:
    """The record of a crossing; its key says which one it is, and nothing of what was seen then."""
    watch = found.watch
    return Alert(
        key=str(derived_id("alert", watch.rule, watch.kind, watch.customer, *watch.about, crossing)),
        kind=watch.kind,
        customer=watch.customer,
        at=at,
        text=found.text,
        evidence={"rule": watch.rule, "watch": watch.what, "crossing": str(crossing), **found.evidence},
    )
