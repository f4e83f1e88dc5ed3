"""`tally subscribe` and `tally cancel`: commands into the log, and what became of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from agents.cli.options import REASON, WAIT_S, Actor, AsJson, NoWait, Reason, RequestId, Timeout, login_name

if TYPE_CHECKING:
    from agents.cli.screen import Screen
    from agents.logs import Logs
    from schemas.catalogue_entry import Catalogue
    from schemas.command import Command, CommandOutcome

Customer = Annotated[str, typer.Argument(help="Who pays.")]


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    from agents.cli.frame import MONEY

    app.command("subscribe", rich_help_panel=MONEY, epilog="Example: tally subscribe acme team")(subscribe)
    app.command("cancel", rich_help_panel=MONEY, epilog="Example: tally cancel acme acme-team")(cancel)


def subscribe(
    customer: Customer,
    plan: Annotated[str, typer.Argument(help="A plan of the catalogue, or plan@version.")],
    subscription: Annotated[str, typer.Option(help="Its id; default: CUSTOMER-PLAN.", show_default=False)] = "",
    version: Annotated[str, typer.Option(help="A version, or its beginning; default: the newest.")] = "",
    starts_at: Annotated[str, typer.Option(help="When it starts; default: billing time.", show_default=False)] = "",
    time_zone: Annotated[str, typer.Option(help="Where its days and months begin.")] = "UTC",
    currency: Annotated[
        str, typer.Option(help="One that the plan is offered in; default: its own.", show_default=False)
    ] = "",
    actor: Actor = "",
    reason: Reason = REASON,
    request_id: RequestId = "",
    no_wait: NoWait = False,
    timeout: Timeout = WAIT_S,
    as_json: AsJson = False,
) -> None:
    """Put a customer on a plan; prints whether it was accepted, or refused and why (exit code 1).

    The subscription keeps the plan version it starts with. --starts-at without a zone is local time of --time-zone.
    """
    import asyncio

    from agents.cli.instants import instant, zone
    from agents.cli.screen import Screen

    zone(time_zone, "--time-zone")
    starts = instant(starts_at, "--starts-at", time_zone=time_zone) if starts_at else None

    async def run() -> None:
        from agents.catalogue import CatalogueLog
        from agents.logs import Logs
        from agents.settings import load
        from schemas.command import Subscribe

        async with Logs(load()) as logs:
            name, chosen = plan_version(await CatalogueLog(logs).newest(), plan, version)
            command = Subscribe(
                request_id=request_id or drawn(),
                actor=actor or login_name(),
                reason=reason,
                customer=customer,
                subscription=subscription or f"{customer}-{name}",
                plan=name,
                plan_version=chosen,
                currency=currency or None,
                starts_at=starts,
                time_zone=time_zone,
            )
            said = f"{customer} is on {name}@{chosen} as {command.subscription}"
            await _hand_in(logs, Screen(json_only=as_json), command, said, timeout=None if no_wait else timeout)

    asyncio.run(run())


def cancel(
    customer: Customer,
    subscription: Annotated[str, typer.Argument(help="The id of the subscription.")],
    actor: Actor = "",
    reason: Reason = REASON,
    request_id: RequestId = "",
    no_wait: NoWait = False,
    timeout: Timeout = WAIT_S,
    as_json: AsJson = False,
) -> None:
    """End a subscription at the end of its running period; prints accepted, or refused and why (exit code 1)."""
    import asyncio

    from agents.cli.screen import Screen

    async def run() -> None:
        from agents.logs import Logs
        from agents.settings import load
        from schemas.command import Cancel

        command = Cancel(
            request_id=request_id or drawn(),
            actor=actor or login_name(),
            reason=reason,
            customer=customer,
            subscription=subscription,
        )
        said = f"{subscription} of {customer} ends with its running period"
        async with Logs(load()) as logs:
            await _hand_in(logs, Screen(json_only=as_json), command, said, timeout=None if no_wait else timeout)

    asyncio.run(run())


def drawn() -> str:
    """A request id that nobody has used."""
    from uuid import uuid4

    return str(uuid4())


def plan_version(catalogue: Catalogue, plan: str, version: str) -> tuple[str, str]:
    """The name and version that `plan`, `plan@version` or a beginning of the version mean; the newest without one.

    Raises NotFound for what is not in the catalogue, BadParameter if several versions begin so.
    """
    from agents.cli.failures import NotFound
    from pipeline.fault_texts import nearest

    name, _, after = plan.partition("@")
    begins = version or after
    versions = [found for known, found in catalogue.plans if known == name]
    if not versions:
        known = sorted(catalogue.newest_plans)
        hint = nearest(name, known) or f"; there are {', '.join(known) or 'none yet: tally catalogue apply'}"
        raise NotFound(f"the catalogue has no plan {name!r}{hint}")
    if not begins:
        return name, catalogue.newest_plans[name]
    chosen = [found for found in versions if found.startswith(begins)]
    if not chosen:
        raise NotFound(f"plan {name} has no version {begins!r}; there are {', '.join(versions)}")
    if len(chosen) > 1:
        raise typer.BadParameter(f"{begins!r} begins {', '.join(chosen)}: give more of it", param_hint="--version")
    return name, chosen[0]


async def _hand_in(logs: Logs, screen: Screen, command: Command, accepted: str, *, timeout: float | None) -> None:
    """Sends a command and tells its outcome; without a timeout only that it is sent. Raises Refused, TimedOut."""
    from agents.cli.failures import Refused, TimedOut
    from agents.commands import outcomes, send
    from agents.topics import COMMANDS

    sent = await send(logs, [command])
    ((partition, offset),) = sent.places
    place = f"{COMMANDS} {partition}/{offset}"
    if timeout is None:
        if screen.json_only:
            screen.document({"request_id": command.request_id, "partition": partition, "offset": offset})
        screen.say(f"Sent, at {place}; request id {command.request_id}. Next: tally tail billing.command-outcomes")
        return
    with screen.wait("deciding") as wait:
        (outcome,) = await outcomes(logs, sent, within_s=timeout, decided=wait.to)
        if outcome is None:
            raise TimedOut(
                f"no outcome after {timeout:g} s. The command is in the log, at {place}, and may still be decided.\n"
                f"  Is a billing worker running? tally status; to ask again: --request-id {command.request_id}"
            )
    if screen.json_only:
        screen.document(outcome.model_dump(mode="json"))
    if not outcome.accepted:
        raise Refused(refusal_text(outcome))
    screen.say(f"Accepted: {accepted}.")
    screen.say(f"Request id {outcome.request_id}, by {outcome.actor}, {_under(outcome)}.{_note(outcome)}")


def _under(outcome: CommandOutcome) -> str:
    return f"under tick {outcome.tick}" if outcome.tick else "before the first tick"


def _note(outcome: CommandOutcome) -> str:
    return f" It {outcome.detail}." if outcome.detail else ""


def refusal_text(outcome: CommandOutcome) -> str:
    """Why a command was refused, under which tick, and what would help."""
    text = f"refused: {outcome.detail} (request id {outcome.request_id}, {_under(outcome)})"
    hint = next((hint for part, hint in HINTS.items() if part in outcome.detail), "")
    return f"{text}\n  {hint}" if hint else text


HINTS = {
    "billing time has not begun": "begin it: tally tick --start test --at TIME, or tally tick --start wall",
    "in the catalogue as of tick": "a version counts from the tick after it was applied: on a test clock, tally tick",
    "must say why": "say it with --reason: it is kept with the record",
    "has no subscription": "tally subscriptions lists who has which",
}
