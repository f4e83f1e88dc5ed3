"""`tally customer` and `tally subscriptions`: who pays, for what, and how it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from agents.cli.handing_in import submit
from agents.cli.options import REASON, WAIT_S, Actor, AsJson, Customer, NoWait, Reason, RequestId, Timeout

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from agents.store.customers import KnownCustomer
    from schemas.subscription import Subscription


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    from agents.cli.frame import LOOK, MONEY

    app.command(
        "customer", rich_help_panel=MONEY, epilog="Example: tally customer acme --name 'Acme GmbH' --country DE"
    )(customer_record)
    app.command("subscriptions", rich_help_panel=LOOK, epilog="Example: tally subscriptions acme")(subscriptions)


def customer_record(
    customer: Customer,
    name: Annotated[str | None, typer.Option(help="As on an invoice.")] = None,
    address: Annotated[list[str] | None, typer.Option(help="A line of the address; may be repeated.")] = None,
    country: Annotated[str | None, typer.Option(help="Two letters, such as DE.")] = None,
    tax_id: Annotated[list[str] | None, typer.Option(help="May be repeated.")] = None,
    email: Annotated[str | None, typer.Option(help="Where invoices go.")] = None,
    order_reference: Annotated[str | None, typer.Option(help="What the customer wants on its invoices.")] = None,
    currency: Annotated[str | None, typer.Option(help="Of new subscriptions.")] = None,
    time_zone: Annotated[str | None, typer.Option(help="Of new subscriptions.")] = None,
    language: Annotated[str | None, typer.Option(help="Of documents, such as de or pt-BR.")] = None,
    exemption: Annotated[str | None, typer.Option(help="Why no tax is charged, such as reverse_charge.")] = None,
    actor: Actor = "",
    reason: Reason = REASON,
    request_id: RequestId = "",
    no_wait: NoWait = False,
    timeout: Timeout = WAIT_S,
    as_json: AsJson = False,
) -> None:
    """Show a customer, or set fields of its record: those given; an empty text clears one.

    Documents show the record as of their tick; final ones never change.
    """
    given: dict[str, Any] = {
        "name": name, "address": address, "country": country, "tax_ids": tax_id, "email": email,
        "order_reference": order_reference, "currency": currency, "time_zone": time_zone, "language": language,
        "exemption": exemption,
    }  # fmt: skip
    if all(value is None for value in given.values()):
        _show(customer, as_json=as_json)
        return
    well_formed(given)
    submit("set_customer", f"the record of {customer} is set", {"customer": customer, **given}, actor=actor,
           reason=reason, request_id=request_id, timeout=None if no_wait else timeout, as_json=as_json)  # fmt: skip


FORMS = {
    "country": "two capital letters such as DE", "currency": "a code such as EUR", "language": "such as de or pt-BR"
}  # fmt: skip


def well_formed(given: dict[str, Any]) -> None:
    """Raises BadParameter, with what would be right, for what no customer's record can hold."""
    from pydantic import ValidationError

    from schemas.customer import Customer as Record

    try:
        Record.model_validate({name: given[name] for name in FORMS if given[name] is not None})
    except ValidationError as error:
        name = str(error.errors(include_url=False)[0]["loc"][0])
        raise typer.BadParameter(f"must be {FORMS[name]}, not {given[name]!r}", param_hint=f"--{name}") from None


def subscriptions(
    customer: Annotated[str, typer.Argument(help="Only of this customer.", show_default=False)] = "",
    status: Annotated[str, typer.Option("--status", help="Only with this status, such as active or paused.")] = "",
    plan: Annotated[str, typer.Option("--plan", help="Only on this plan.")] = "",
    as_json: AsJson = False,
) -> None:
    """List subscriptions with their status at the last tick, plan, and up to where they are billed."""
    from agents.cli.failures import NotFound
    from agents.cli.screen import Screen

    at, found = _known(customer)
    if customer and not found:
        raise NotFound(f"no customer {customer!r}; next: tally subscribe {customer} PLAN")
    held = [
        (known, one)
        for known in found
        for one in known.state.subscriptions
        if (not status or one.status(at) == status) and (not plan or one.plan == plan)
    ]
    screen = Screen(json_only=as_json)
    if as_json:
        screen.document([document_of(known.state.customer, one, at) for known, one in held])
        return
    columns = ("customer", "subscription", "plan", "status", "starts", "ends", "billed to", "zone", "currency", "with")
    screen.table("subscriptions", columns, [
        (known.state.customer, one.id, f"{one.plan}@{one.plan_version}", one.status(at), _day(one.starts_at),
         _day(one.ends_at), _day(one.billed_through), one.time_zone, one.currency, _with(one))
        for known, one in held
    ])  # fmt: skip
    screen.say(f"{len(held):,} at billing time {at:%Y-%m-%d %H:%M} UTC. Next: tally customer NAME")


def document_of(customer: str, held: Subscription, at: datetime) -> dict[str, Any]:
    """A subscription for programs."""
    return {
        "customer": customer,
        **held.model_dump(mode="json", exclude={"charges"}),
        "status": held.status(at),
        "billed_through": held.billed_through.isoformat(),
        "charges": [charge.model_dump(mode="json", exclude_defaults=True) for charge in held.charges],
    }


def _with(held: Subscription) -> str:
    """What tells it from a plain one."""
    seats = {charge.card: charge.quantity for charge in held.charges if charge.quantity is not None}
    own = {charge.card for charge in held.charges if charge.override is not None}
    parts = [f"{count} × {card}" for card, count in seats.items()]
    parts += [*held.add_ons, *(f"own {card}" for card in sorted(own))]
    if held.subjects is not None:
        parts.append(f"{len(held.subjects)} subjects")
    if held.trial_ends_at is not None:
        parts.append(f"trial to {held.trial_ends_at:%Y-%m-%d}")
    if held.contract is not None:
        term = held.contract.term
        parts.append(f"contract of {term.count} {term.unit}{', renews' if held.contract.renews else ''}")
    return ", ".join(parts)


def _day(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d}"


def _known(customer: str) -> tuple[datetime, Sequence[KnownCustomer]]:
    from agents.cli.failures import Refused
    from agents.settings import load
    from agents.store.connection import Connection
    from agents.store.customers import CustomerStore

    connection = Connection(load())
    store = CustomerStore(connection)
    at = store.billing_time()
    if at is None:
        raise Refused("billing time has not begun; next: tally tick --start test --at TIME, or tally tick --start wall")
    found = store.customers(customer)
    connection.close()
    return at, found


def _show(customer: str, *, as_json: bool) -> None:
    from agents.cli.failures import NotFound
    from agents.cli.screen import Screen

    at, found = _known(customer)
    if not found:
        raise NotFound(f"no customer {customer!r}; next: tally subscribe {customer} PLAN")
    state, screen = found[0].state, Screen(json_only=as_json)
    if as_json:
        screen.document({
            "customer": customer, "record": state.record.model_dump(mode="json"),
            "subscriptions": [document_of(customer, one, at) for one in state.subscriptions],
            "lines_not_billed": [one.model_dump(mode="json") for one in state.one_offs],
            "grants": [grant.model_dump(mode="json") for grant in state.grants],
            "subjects": found[0].subjects,
        })  # fmt: skip
        return
    rows = [(name.replace("_", " "), ", ".join(value) if isinstance(value, tuple) else str(value))
            for name, value in dict(state.record).items() if value]  # fmt: skip
    for one in state.subscriptions:
        rows.append(("subscription", f"{one.id}: {one.status(at)}, {one.plan}@{one.plan_version}"))
    rows += [("line to bill", f"{one.name}: {one.amount} {one.currency}") for one in state.one_offs]
    rows += [("credit granted", f"{grant.amount} {grant.currency} ({grant.funding})") for grant in state.grants]
    rows += [("subjects", f"{found[0].subjects:,}")]
    screen.table(customer, ("", ""), rows)
