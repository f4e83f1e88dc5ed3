"""Commands handed in, and their outcomes awaited: billing.commands there, billing.command-outcomes back.

An outcome is found by the position of the command that it answers, so a request that is sent again gets an answer of
its own: the first outcome, repeated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass

from agents.logs import Logs
from agents.topics import COMMANDS, OUTCOMES
from schemas.command import Command, CommandOutcome

Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Sent:
    """Commands that are in the log: their partitions and offsets, and from where on their outcomes can be."""

    places: tuple[Place, ...]
    outcomes_from: tuple[int, ...]


async def send(logs: Logs, commands: Sequence[Command]) -> Sent:
    """Appends commands in order; returns once the broker has all of them."""
    outcomes_from = await logs.end_offsets(OUTCOMES)
    sent = [
        await logs.send(COMMANDS, command.customer.encode(), command.model_dump_json().encode()) for command in commands
    ]
    await logs.all_stored(sent)
    return Sent(tuple((stored.result().partition, stored.result().offset) for stored in sent), outcomes_from)


async def outcomes(
    logs: Logs, sent: Sent, *, within_s: float, decided: Callable[[int], None] = lambda _: None
) -> tuple[CommandOutcome | None, ...]:
    """The outcome of each command, in order; None for one that was not decided in time and still may be.

    `decided` is told how many are, whenever there are more.
    """
    found: dict[Place, CommandOutcome] = {}
    wanted = set(sent.places)
    with suppress(TimeoutError):  # what is missing then is told by its absence
        async with asyncio.timeout(within_s), aclosing(logs.follow(OUTCOMES, sent.outcomes_from)) as records:
            while found.keys() < wanted:
                record = await anext(records)
                outcome = CommandOutcome.model_validate_json(record.value or b"")
                if (place := (outcome.partition, outcome.offset)) in wanted:
                    found[place] = outcome
                    decided(len(found))
    return tuple(found.get(place) for place in sent.places)
