"""`tally change`, `seats`, `add-ons`, `anchor`, `trial`, `pause`, `resume`: a subscription in mid-life."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from agents.cli.handing_in import submit
from agents.cli.options import WAIT_S, Actor, AsJson, Customer, NoWait, RequestId, SubscriptionId, Timeout, Why
from agents.cli.subscriptions import When, quantities_of


class ChangeWhen(StrEnum):
    """When another plan takes effect."""

    AUTO = "auto"
    NOW = "now"
    PERIOD_END = "period-end"


At = Annotated[str, typer.Option("--at", help="In place of --when; earlier is rated anew.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    from agents.cli.frame import MONEY

    for name, function, example in (
        ("change", change, "tally change acme acme-team enterprise --reason upgrade"),
        ("seats", seats, "tally seats acme acme-team seats 12 --reason 'two more'"),
        ("add-ons", add_ons, "tally add-ons acme acme-team --add support --reason asked"),
        ("anchor", anchor, "tally anchor acme acme-team 2027-02-15 --reason 'pays on the 15th'"),
        ("trial", trial, "tally trial acme acme-team --until 2027-02-15 --reason 'needs a week'"),
        ("pause", pause, "tally pause acme acme-team --reason 'asked by phone'"),
        ("resume", resume, "tally resume acme acme-team --reason 'is back'"),
    ):
        app.command(name, rich_help_panel=MONEY, epilog=f"Example: {example}")(function)


def change(
    customer: Customer,
    subscription: SubscriptionId,
    plan: Annotated[str, typer.Argument(help="The plan it moves to, or plan@version.")],
    reason: Why,
    version: Annotated[str, typer.Option(help="A version, or its beginning; default: the newest.")] = "",
    when: Annotated[
        ChangeWhen, typer.Option(help="auto: now, but a downgrade at the end of the period.")
    ] = ChangeWhen.AUTO,
    at: At = "",
    quantity: Annotated[
        list[str] | None, typer.Option(help="Seats, as CARD=NUMBER; may be repeated.", show_default=False)
    ] = None,
    add_on: Annotated[
        list[str] | None, typer.Option(help="Add-ons from then on; default: those it has.", show_default=False)
    ] = None,
    reset_anchor: Annotated[bool, typer.Option("--reset-anchor", help="Its periods begin anew with it.")] = False,
    actor: Actor = "",
    request_id: RequestId = "",
    no_wait: NoWait = False,
    timeout: Timeout = WAIT_S,
    as_json: AsJson = False,
) -> None:
    """Move a subscription to another plan, or another version of its plan.

    Now: the rest of the old fees comes back, the rest of the new is charged, on the old grid; usage is split at the
    instant. A later --at is scheduled (several make a ramp), an earlier one is rated anew.
    """
    from agents.cli.instants import instant

    given = {"customer": customer, "subscription": subscription, "when": when.replace("-", "_"),
             "at": instant(at, "--at") if at else None, "quantities": quantities_of(quantity or ()),
             "add_ons": tuple(add_on) if add_on is not None else None, "reset_anchor": reset_anchor}  # fmt: skip
    submit("change", f"{subscription} of {customer} moves to {{plan}}", given, actor=actor, reason=reason,
           request_id=request_id, timeout=None if no_wait else timeout, as_json=as_json, plan=plan,
           version=version)  # fmt: skip


def seats(
    customer: Customer,
    subscription: SubscriptionId,
    card: Annotated[str, typer.Argument(help="The fee, by the id of its rate card.")],
    quantity: Annotated[str, typer.Argument(help="How many from then on.")],
    reason: Why,
    when: Annotated[When, typer.Option(help="Now, prorated, or at the end of the period.")] = When.NOW,
    at: At = "",
    actor: Actor = "",
    request_id: RequestId = "",
    no_wait: NoWait = False,
    timeout: Timeout = WAIT_S,
    as_json: AsJson = False,
) -> None:
    """Change the quantity of a fee, such as seats; prorated like a change of plan."""
    from agents.cli.instants import instant

    given = {"customer": customer, "subscription": subscription, "card": card, "quantity": quantity,
             "when": when.replace("-", "_"), "at": instant(at, "--at") if at else None}  # fmt: skip
    submit("change_quantity", f"{subscription} of {customer} has {quantity} × {card}", given, actor=actor,
           reason=reason, request_id=request_id, timeout=None if no_wait else timeout, as_json=as_json)  # fmt: skip


def add_ons(
    customer: Customer,
    subscription: SubscriptionId,
    reason: Why,
    add: Annotated[list[str] | None, typer.Option("--add", help="Take it; may be repeated.")] = None,
    remove: Annotated[list[str] | None, typer.Option("--remove", help="Give it up; may be repeated.")] = None,
    when: Annotated[When, typer.Option(help="Now, prorated, or at the end of the period.")] = When.NOW,
    actor: Actor = "",
    request_id: RequestId = "",
    no_wait: NoWait = False,
    timeout: Timeout = WAIT_S,
    as_json: AsJson = False,
) -> None:
    """Take add-ons of the plan, or give them up."""
    if not (add or remove):
        raise typer.BadParameter("name at least one to --add or --remove")
    given = {"customer": customer, "subscription": subscription, "add": tuple(add or ()),
             "remove": tuple(remove or ()), "when": when.replace("-", "_")}  # fmt: skip
    submit("change_add_ons", f"the add-ons of {subscription} of {customer} are changed", given, actor=actor,
           reason=reason, request_id=request_id, timeout=None if no_wait else timeout, as_json=as_json)  # fmt: skip


def anchor(
    customer: Customer,
    subscription: SubscriptionId,
    day: Annotated[str, typer.Argument(help="A day of the new grid, such as 2027-02-15.")],
    reason: Why,
    actor: Actor = "",
    request_id: RequestId = "",
    no_wait: NoWait = False,
    timeout: Timeout = WAIT_S,
    as_json: AsJson = False,
) -> None:
    """Begin a new grid of periods now, through a day; what was billed of the old one comes back for its rest."""
    given = {"customer": customer, "subscription": subscription, "anchor": day}
    submit("set_anchor", f"{subscription} of {customer} is billed by {day}", given, actor=actor, reason=reason,
           request_id=request_id, timeout=None if no_wait else timeout, as_json=as_json)  # fmt: skip


def trial(
    customer: Customer,
    subscription: SubscriptionId,
    until: Annotated[str, typer.Option("--until", help="Where it ends from now on.")],
    reason: Why,
    actor: Actor = "",
    request_id: RequestId = "",
    no_wait: NoWait = False,
    timeout: Timeout = WAIT_S,
    as_json: AsJson = False,
) -> None:
    """Extend a trial that is running; fees begin later, on the same grid."""
    from agents.cli.instants import instant

    given = {"customer": customer, "subscription": subscription, "trial_ends_at": instant(until, "--until")}
    submit("extend_trial", f"the trial of {subscription} of {customer} ends at {until}", given, actor=actor,
           reason=reason, request_id=request_id, timeout=None if no_wait else timeout, as_json=as_json)  # fmt: skip


def pause(
    customer: Customer,
    subscription: SubscriptionId,
    reason: Why,
    until: Annotated[str, typer.Option("--until", help="Where it ends by itself.", show_default=False)] = "",
    actor: Actor = "",
    request_id: RequestId = "",
    no_wait: NoWait = False,
    timeout: Timeout = WAIT_S,
    as_json: AsJson = False,
) -> None:
    """Interrupt a subscription from now: its days are not billed, and usage in it belongs to nobody."""
    from agents.cli.instants import instant

    given = {"customer": customer, "subscription": subscription, "until": instant(until, "--until") if until else None}
    submit("pause", f"{subscription} of {customer} is paused", given, actor=actor, reason=reason,
           request_id=request_id, timeout=None if no_wait else timeout, as_json=as_json)  # fmt: skip


def resume(
    customer: Customer,
    subscription: SubscriptionId,
    reason: Why,
    actor: Actor = "",
    request_id: RequestId = "",
    no_wait: NoWait = False,
    timeout: Timeout = WAIT_S,
    as_json: AsJson = False,
) -> None:
    """End a pause now."""
    given = {"customer": customer, "subscription": subscription}
    submit("resume", f"{subscription} of {customer} goes on", given, actor=actor, reason=reason,
           request_id=request_id, timeout=None if no_wait else timeout, as_json=as_json)  # fmt: skip
