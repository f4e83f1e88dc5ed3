"""Drafts that wait because usage has no price: found for an override, and rated anew once it has one.

A draft is never edited: it is rejected, which is recorded with who and why, and the next run rates its periods by the
terms that hold now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agents.settings import Settings


@dataclass(frozen=True, slots=True)
class HeldDraft:
    """A draft with usage of a rate card that no price covers, and where the first such period begins."""

    document: str
    starts: datetime


def held_drafts(settings: Settings, customer: str, subscription: str, card: str) -> list[HeldDraft]:
    """The held drafts of a customer on which a card of a subscription has usage without a price, in order of time."""
    from agents.store.connection import Connection
    from agents.store.looks import LookStore

    connection = Connection(settings)
    try:
        where = "status = 'draft' AND customer = {customer:String} AND has(held, {reason:String})"
        reason = f"unpriced usage: {card}"
        found = LookStore(connection).documents(where, {"customer": customer, "reason": reason})
    finally:
        connection.close()
    held = []
    for each in found:
        starts = [
            line.rated.period.start for line in each.invoice.lines
            if line.subscription == subscription and line.rated.charge == card and line.rated.kind == "unpriced"
        ]  # fmt: skip
        if starts:
            held.append(HeldDraft(each.invoice.id, min(starts)))
    return sorted(held, key=lambda draft: draft.starts)


async def rate_anew(
    settings: Settings, customer: str, drafts: Sequence[HeldDraft], *, actor: str, reason: str, timeout: float
) -> None:
    """Rejects drafts, so that the next run rates their periods anew. Raises Refused, TimedOut."""
    from agents.cli.failures import Refused, TimedOut
    from agents.cli.options import login_name
    from agents.commands import outcomes, send
    from agents.logs import Logs
    from schemas.command import ActOnDocument
    from schemas.identity import derived_id

    commands = [
        ActOnDocument(
            request_id=str(derived_id("rated anew", draft.document)), actor=actor or login_name(), reason=reason,
            customer=customer, action="reject", document_id=draft.document,
        )
        for draft in drafts
    ]  # fmt: skip
    async with Logs(settings) as logs:
        found = await outcomes(logs, await send(logs, commands), within_s=timeout)
    if None in found:
        raise TimedOut("the override holds, but its held drafts are not decided yet: tally invoices --held")
    refused = [one.detail for one in found if one is not None and not one.accepted]
    if refused:
        raise Refused(f"the override holds, but a held draft was not rejected: {refused[0]}")
