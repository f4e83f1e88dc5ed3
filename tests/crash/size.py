"""How long a crash run is: short for every test run, full for a release.

The short run asks for no billing place in particular: `tests/stories/test_crash.py` dies at each of them anyway.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

FEWEST_DAYS = 4


@dataclass(frozen=True, slots=True)
class Size:
    """A run ends once it has so many events and kills, and every place was died at `each_place` times."""

    events: int
    kills: int
    each_place: int
    each_audit_place: int
    each_billing_place: int
    zombies: int
    events_per_day: int
    """Of the last days, which only lead workers to where they are still to die, a tenth."""
    chunk: int
    within_s: float
    ingest_workers: int = 3
    billing_workers: int = 2
    pause_s: float = 0.25
    calm_s: float = 3.0
    settle_s: float = 180.0
    life_s: float = 12.0
    tell_every_s: float = 5.0
    random_odds: float = 0.2
    spared: tuple[str, ...] = ()
    """Kinds of workers that die only where and when it is due."""
    random_billing: int = 0
    """Billing workers that die at no place in particular."""

    def part(self, fraction: float) -> Size:
        """The same run, but only so much of it, on four days at least; every place at least once."""
        scaled = {name: max(1, round(getattr(self, name) * fraction)) for name in (
            "events", "kills", "each_place", "each_audit_place", "each_billing_place", "zombies", "random_billing",
        ) if getattr(self, name)}  # fmt: skip
        return replace(self, **scaled, events_per_day=min(self.events_per_day, -(-scaled["events"] // FEWEST_DAYS)))


SHORT = Size(
    events=6_000,
    kills=40,
    each_place=1,
    each_audit_place=0,
    each_billing_place=0,
    zombies=1,
    events_per_day=1_500,
    chunk=100,
    within_s=300,
    billing_workers=1,
    pause_s=0.1,
    calm_s=4.0,
    life_s=8.0,
    random_odds=0.15,
)
FULL = Size(
    events=2_000_000,
    kills=1_000,
    each_place=10,
    each_audit_place=10,
    each_billing_place=10,
    zombies=10,
    events_per_day=50_000,
    chunk=1_000,
    within_s=3_600,
    tell_every_s=15.0,
    settle_s=600.0,
)
BILLING = replace(
    FULL, events=100_000, kills=700, each_place=1, each_audit_place=1, zombies=5, events_per_day=2_500, chunk=250,
    ingest_workers=1, billing_workers=3, random_odds=0.3, random_billing=200, within_s=1_800, spared=("ingest",),
)  # fmt: skip
"""Mostly billing workers die: ten at each named step, and two hundred at random between the steps."""
SIZES = {"short": SHORT, "billing": BILLING, "full": FULL}
