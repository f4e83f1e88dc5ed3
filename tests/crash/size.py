"""How long a crash run is: short for every test run, full for a release.

The short run asks for no billing place in particular: `tests/stories/test_crash.py` dies at each of them anyway.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Size:
    """A run ends once it has so many events and kills, and every place was died at `each_place` times."""

    events: int
    kills: int
    each_place: int
    each_billing_place: int
    zombies: int
    events_per_day: int
    chunk: int
    within_s: float
    ingest_workers: int = 3
    billing_workers: int = 2
    pause_s: float = 0.25
    calm_s: float = 3.0
    settle_s: float = 180.0
    life_s: float = 12.0
    tell_every_s: float = 5.0
    zombie_odds: float = 0.04
    random_odds: float = 0.2

    def part(self, fraction: float) -> Size:
        """The same run, but only so much of it; every place at least once."""
        scaled = {name: max(1, round(getattr(self, name) * fraction)) for name in (
            "events", "kills", "each_place", "each_billing_place", "zombies", "events_per_day",
        ) if getattr(self, name)}  # fmt: skip
        return replace(self, **scaled)


SHORT = Size(
    events=6_000,
    kills=40,
    each_place=1,
    each_billing_place=0,
    zombies=1,
    events_per_day=1_500,
    chunk=50,
    within_s=300,
    billing_workers=1,
    pause_s=0.2,
    calm_s=4.0,
    life_s=12.0,
    zombie_odds=0.1,
    random_odds=0.15,
)
FULL = Size(
    events=2_000_000,
    kills=1_000,
    each_place=10,
    each_billing_place=10,
    zombies=10,
    events_per_day=50_000,
    chunk=1_000,
    within_s=2_400,
)
BILLING = replace(
    FULL, events=100_000, kills=700, each_place=1, zombies=5, events_per_day=2_500, chunk=250, ingest_workers=1,
    random_odds=0.3,
)  # fmt: skip
"""Mostly billing workers die: ten at each named step, and two hundred at random between the steps."""
SIZES = {"short": SHORT, "billing": BILLING, "full": FULL}
