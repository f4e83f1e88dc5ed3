"""What open periods come to so far, for `tally revenue` and the trial balance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from datetime import date
    from decimal import Decimal

OpenUsage = Annotated[
    bool,
    typer.Option(
        "--open-usage", help="Count what open periods come to so far, rated as of the last tick: an estimate."
    ),
]


def open_usage(day: date, customer: str) -> dict[str, Decimal]:
    """Currency -> what was earned before a day and no final document bills. Raises Refused if usage is not stored."""
    import asyncio

    return asyncio.run(_estimate(day, customer))


async def _estimate(day: date, customer: str) -> dict[str, Decimal]:
    from agents.accruals import Accruals, by_currency
    from agents.cli.failures import NotFound, Refused
    from agents.cli.reading import reading
    from agents.settings import load
    from agents.topics import CATALOGUE

    async with reading(load()) as readers:
        tick = readers.billing.last_tick()
        if tick is None:
            raise NotFound("billing time has not begun: `tally tick` begins it")
        if uncovered := readers.billing.uncovered(tick):
            raise Refused(f"usage of tick {tick.number} is not stored yet: {uncovered}; ask again")
        catalogue = await readers.catalogue.as_of(tick.vector.end(CATALOGUE, 0))
        accruals = Accruals(readers.billing, readers.documents, readers.lines)
        return by_currency(accruals.before(day, tick, catalogue, customer))
