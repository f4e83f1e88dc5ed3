"""Commands handed in from the command line: a request id, the outcome told, and what helps when it is a refusal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from agents.cli.screen import Screen
    from agents.logs import Logs
    from schemas.catalogue_entry import Catalogue
    from schemas.command import Command, CommandOutcome


def submit(
    kind: str,
    said: str,
    given: dict[str, Any],
    *,
    actor: str,
    reason: str,
    request_id: str,
    timeout: float | None,
    as_json: bool,
    plan: str = "",
    version: str = "",
) -> None:
    """Hands a command of a kind in and tells its outcome; `given` are its own fields, as the record has them.

    A `plan` is looked up in the catalogue; `{plan}` in what is said on acceptance names the version. Raises Refused.
    """
    import asyncio

    from agents.cli.options import login_name
    from agents.cli.screen import Screen

    asked = {"command": kind, "request_id": request_id or drawn(), "actor": actor or login_name(), "reason": reason}

    async def run() -> None:
        from agents.catalogue import CatalogueLog
        from agents.logs import Logs
        from agents.settings import load

        async with Logs(load()) as logs:
            own = dict(given)
            if plan:
                own["plan"], own["plan_version"] = plan_version(await CatalogueLog(logs).newest(), plan, version)
            if kind == "redeem_coupon":
                own["coupon_version"] = newest_coupon(await CatalogueLog(logs).newest(), own["coupon"])
            text = said.replace("{plan}", f"{own.get('plan')}@{own.get('plan_version')}")
            await hand_in(logs, Screen(json_only=as_json), record_of({**asked, **own}), text, timeout=timeout)

    asyncio.run(run())


def record_of(fields: dict[str, Any]) -> Command:
    """The record of a command. Raises BadParameter with the field that is wrong."""
    from pydantic import ValidationError

    from schemas.command import COMMAND_RECORD, TickCopy

    try:
        record = COMMAND_RECORD.validate_python(fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"][1:])
        raise typer.BadParameter(f"{place}: {first['msg'].removeprefix('Value error, ')}") from None
    assert not isinstance(record, TickCopy)
    return record


def drawn() -> str:
    """A request id that nobody has used."""
    from uuid import uuid4

    return str(uuid4())


def plan_version(catalogue: Catalogue, plan: str, version: str) -> tuple[str, str]:
    """The name and version that `plan`, `plan@version` or a beginning of the version mean; the newest without one.

    Raises NotFound for what is not in the catalogue, BadParameter if several versions begin so.
    """
    from agents.cli.failures import NotFound
    from pipeline.catalogue.fault_texts import nearest

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


def newest_coupon(catalogue: Catalogue, name: str) -> str:
    """The newest version of a coupon. Raises NotFound."""
    from agents.cli.failures import NotFound
    from pipeline.catalogue.fault_texts import nearest

    version = catalogue.newest_coupons.get(name)
    if version is None:
        known = sorted(catalogue.newest_coupons)
        hint = nearest(name, known) or f"; there are {', '.join(known) or 'none yet: tally catalogue apply'}"
        raise NotFound(f"the catalogue has no coupon {name!r}{hint}")
    return version


async def hand_in(logs: Logs, screen: Screen, command: Command, accepted: str, *, timeout: float | None) -> None:
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
