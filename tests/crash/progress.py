"""One line every few seconds while the storm lasts: what happened, what is missing, when it is likely to end."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.crash.storm import Storm

SHOWN = 4


class Progress:
    """Tells of one storm."""

    def __init__(self, told: Callable[[str], None], storm: Storm) -> None:
        self._told, self._storm, self._began = told, storm, time.monotonic()

    def tell(self, where: str) -> None:
        """`where` says how far the tables are."""
        storm, spent = self._storm, time.monotonic() - self._began
        counts = {what: (is_, wanted) for what, (is_, wanted) in storm.counts().items() if wanted}
        said = [f"{spent:5.0f} s: " + ", ".join(f"{is_:,}/{wanted:,} {what}" for what, (is_, wanted) in counts.items())]
        if missing := storm.planner.missing():
            more = f" and {len(missing) - SHOWN} more places" if len(missing) > SHOWN else ""
            said.append(f"too few deaths at {', '.join(missing[:SHOWN])}{more}")
        done = min([storm.planner.share(), *(is_ / wanted for is_, wanted in counts.values())])
        said += [f"day {len(storm.days)}, {where}", _left(spent, min(done, 1.0))]
        self._told("; ".join(said))


def _left(spent: float, done: float) -> str:
    """When what was slowest so far will be done, if it goes on like that."""
    return f"{done:.0%} done, about {spent / done * (1 - done) / 60:.0f} min to go" if done else "just begun"
