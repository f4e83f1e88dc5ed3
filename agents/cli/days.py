"""Days as people type them, where billing time says which is the last one."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agents.store.connection import Connection


def day_of(text: str, option: str, connection: Connection) -> date:
    """A day in UTC from `2027-01-01`; without one the day after the last tick's, before which all is that there is.

    Raises BadParameter for anything else, NotFound where there is no tick.
    """
    import typer

    from agents.cli.failures import NotFound
    from agents.store.billing import BillingStore

    if text:
        try:
            return date.fromisoformat(text)
        except ValueError:
            raise typer.BadParameter(f"{text!r} is not a day such as 2027-01-01", param_hint=option) from None
    newest = BillingStore(connection).newest_tick()
    if newest is None:
        raise NotFound("billing time has not begun: `tally tick` begins it")
    return newest[0].time.date() + timedelta(days=1)
