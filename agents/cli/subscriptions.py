"""`tally subscribe`, `tally cancel` and `tally reactivate`: where a subscription begins and ends."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agents.cli.handing_in import plan_version, refusal_text, submit
from agents.cli.options import (
    REASON,
    WAIT_S,
    Actor,
    AsJson,
    Customer,
    NoWait,
    Reason,
    RequestId,
    SubscriptionId,
    Timeout,
    Why,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["plan_version", "refusal_text", "register"]


class When(StrEnum):
    """When a change takes effect."""

    NOW = "now"
    PERIOD_END = "period-end"


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    from agents.cli.frame import MONEY

    app.command("subscribe", rich_help_panel=MONEY, epilog="Example: tally subscribe acme team")(subscribe)
    app.command("cancel", rich_help_panel=MONEY, epilog="Example: tally cancel acme acme-team --when now")(cancel)
    app.command("reactivate", rich_help_panel=MONEY, epilog="Example: tally reactivate acme acme-team --reason stays")(
        reactivate
    )


def subscribe(
    customer: Customer,
    plan: Annotated[str, typer.Argument(help="A plan of the catalogue, or plan@version.")],
    subscription: Annotated[str, typer.Option(help="Its id; default: CUSTOMER-PLAN.", show_default=False)] = "",
    version: Annotated[str, typer.Option(help="A version, or its beginning; default: the newest.")] = "",
    starts_at: Annotated[str, typer.Option(help="When it starts; default: billing time.", show_default=False)] = "",
    time_zone: Annotated[
        str, typer.Option(help="Where its days and months begin; default: the customer's, or UTC.", show_default=False)
    ] = "",
    currency: Annotated[
        str, typer.Option(help="One that the plan is offered in; default: its own.", show_default=False)
    ] = "",
    quantity: Annotated[
        list[str] | None, typer.Option(help="Seats, as CARD=NUMBER; may be repeated.", show_default=False)
    ] = None,
    add_on: Annotated[list[str] | None, typer.Option(help="An add-on; may be repeated.", show_default=False)] = None,
    subject: Annotated[
        list[str] | None,
        typer.Option(help="Bills only this subject's usage; may be repeated.", show_default=False),
    ] = None,
    trial_until: Annotated[str, typer.Option(help="In place of the plan's trial.", show_default=False)] = "",
    no_trial: Annotated[bool, typer.Option("--no-trial", help="Fees begin at once.")] = False,
    separate: Annotated[bool, typer.Option("--separate", help="Invoices of its own.")] = False,
    contract: Annotated[str, typer.Option(help="A minimum term, such as 1year or 6month.", show_default=False)] = "",
    renews: Annotated[bool, typer.Option("--renews", help="The contract is renewed; else it ends.")] = False,
    actor: Actor = "",
    reason: Reason = REASON,
    request_id: RequestId = "",
    no_wait: NoWait = False,
    timeout: Timeout = WAIT_S,
    as_json: AsJson = False,
) -> None:
    """Put a customer on a plan; prints whether it was accepted, or refused and why (exit code 1).

    The subscription keeps the plan version it starts with. Times without a zone are local times of --time-zone. Two
    subscriptions of a customer that bill the same meter need disjoint subjects.
    """
    from agents.cli.instants import instant, zone

    local = time_zone or "UTC"
    zone(local, "--time-zone")
    starts = instant(starts_at, "--starts-at", time_zone=local) if starts_at else None
    trial = instant(trial_until, "--trial-until", time_zone=local) if trial_until else None
    name = subscription or f"{customer}-{plan.partition('@')[0]}"
    given: dict[str, Any] = {
        "customer": customer, "subscription": name, "currency": currency or None, "starts_at": starts,
        "time_zone": time_zone or None, "quantities": quantities_of(quantity or ()), "add_ons": tuple(add_on or ()),
        "subjects": tuple(subject) if subject else None, "trial_ends_at": trial, "no_trial": no_trial,
        "separate": separate, "contract": contract_of(contract, renews=renews),
    }  # fmt: skip
    submit("subscribe", f"{customer} is on {{plan}} as {name}", given, actor=actor, reason=reason,
           request_id=request_id, timeout=None if no_wait else timeout, as_json=as_json, plan=plan,
           version=version)  # fmt: skip


def cancel(
    customer: Customer,
    subscription: SubscriptionId,
    when: Annotated[
        When, typer.Option(help="At the end of the running period (or contract), or now.")
    ] = When.PERIOD_END,
    at: Annotated[str, typer.Option(help="At an instant, in place of --when.", show_default=False)] = "",
    actor: Actor = "",
    reason: Reason = REASON,
    request_id: RequestId = "",
    no_wait: NoWait = False,
    timeout: Timeout = WAIT_S,
    as_json: AsJson = False,
) -> None:
    """End a subscription: at the end of its running period, now, or at an instant.

    Fees billed in advance for the time after it come back as the plan says (on_cancel); usage is billed up to it.
    """
    from agents.cli.instants import instant

    given = {"customer": customer, "subscription": subscription, "when": when.replace("-", "_"),
             "at": instant(at, "--at") if at else None}  # fmt: skip
    ends = f"ends at {at}" if at else "ends now" if when is When.NOW else "ends with its running period"
    submit("cancel", f"{subscription} of {customer} {ends}", given, actor=actor, reason=reason, request_id=request_id,
           timeout=None if no_wait else timeout, as_json=as_json)  # fmt: skip


def reactivate(
    customer: Customer,
    subscription: SubscriptionId,
    reason: Why,
    actor: Actor = "",
    request_id: RequestId = "",
    no_wait: NoWait = False,
    timeout: Timeout = WAIT_S,
    as_json: AsJson = False,
) -> None:
    """Take a cancellation back whose end has not come yet."""
    given = {"customer": customer, "subscription": subscription}
    submit("reactivate", f"{subscription} of {customer} goes on", given, actor=actor, reason=reason,
           request_id=request_id, timeout=None if no_wait else timeout, as_json=as_json)  # fmt: skip


def quantities_of(texts: Sequence[str]) -> dict[str, str]:
    """CARD=NUMBER pairs. Raises BadParameter."""
    found = {}
    for text in texts:
        card, equals, number = text.partition("=")
        if not (card and equals and number):
            raise typer.BadParameter(f"{text!r} is not CARD=NUMBER, such as seats=5", param_hint="--quantity")
        found[card] = number
    return found


def contract_of(text: str, *, renews: bool) -> dict[str, Any] | None:
    """A term such as `1year`, or nothing. Raises BadParameter."""
    import re

    if not text:
        if renews:
            raise typer.BadParameter("needs --contract: what is renewed?", param_hint="--renews")
        return None
    matched = re.fullmatch(r"(\d+) ?(day|week|month|quarter|half_year|year)s?", text)
    if matched is None or int(matched[1]) < 1:
        raise typer.BadParameter(f"{text!r} is not a term such as 1year, 6month or 2quarter", param_hint="--contract")
    return {"term": {"unit": matched[2], "count": int(matched[1])}, "renews": renews}
