"""`tally tokens create`, `list`, `revoke`."""

from __future__ import annotations

from typing import Annotated

import typer

from agents.cli.options import AsJson, DryRun


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    from agents.cli.frame import PRODUCE

    tokens = typer.Typer(no_args_is_help=True, help="Bearer tokens of tally serve: who may send whose usage.")
    tokens.command("create", epilog="Example: tally tokens create eu-1 --subject acme --source /gateway/eu-1")(create)
    tokens.command("list", epilog="Example: tally tokens list --json")(show)
    tokens.command("revoke", epilog="Example: tally tokens revoke eu-1")(revoke)
    app.add_typer(
        tokens, name="tokens", rich_help_panel=PRODUCE, epilog="Example: tally tokens create all --everything"
    )


def create(
    name: Annotated[str, typer.Argument(help="What you call it; no two tokens share a name.")],
    subject: Annotated[
        list[str] | None, typer.Option(help="acme: acme and all below acme/; acme-*: what begins so.")
    ] = None,
    customer: Annotated[list[str] | None, typer.Option(help="Subjects attributed to this customer.")] = None,
    source: Annotated[list[str] | None, typer.Option(help="Sources, as subjects; '*' is every one.")] = None,
    everything: Annotated[bool, typer.Option("--everything", help="Any subject, any source.")] = False,
    days: Annotated[int | None, typer.Option(min=1, help="Expires after so many days; else never.")] = None,
    as_json: AsJson = False,
) -> None:
    """Create a token and print it, this once: only a hash of it is kept.

    A token says whose usage its bearer may send (--subject, --customer; each may be repeated) and under which sources
    (--source). An identity is (source, id): give every party a source of its own, or one could use up another's ids.
    """
    from datetime import timedelta

    from agents.cli.screen import Screen
    from agents.clock import wall_time
    from agents.settings import load
    from agents.tokens import Tokens, place
    from schemas.token import EVERYTHING, Scope

    screen, now = Screen(json_only=as_json), wall_time()
    _check(subject, customer, source, everything)
    scope = EVERYTHING if everything else Scope(
        subjects=tuple(subject or ()), customers=tuple(customer or ()), sources=tuple(source or ())
    )  # fmt: skip
    expires_at = None if days is None else now + timedelta(days=days)
    token, text = Tokens(place(load())).create(name, scope, at=now, expires_at=expires_at)
    if as_json:
        screen.document({**token.model_dump(mode="json", exclude={"sha256"}), "token": text})
        return
    screen.say(text)
    screen.say(
        "It is shown this once. Use: curl -H 'Authorization: Bearer …'. Take it away: tally tokens revoke " + name
    )


def _check(subject: list[str] | None, customer: list[str] | None, source: list[str] | None, everything: bool) -> None:
    if everything and (subject or customer or source):
        raise typer.BadParameter("--everything stands alone")
    if not everything and not (subject or customer):
        raise typer.BadParameter("say whose usage: --subject or --customer, or --everything")
    if not everything and not source:
        raise typer.BadParameter("say under which sources: --source PREFIX, or --source '*' for every one")


def show(as_json: AsJson = False) -> None:
    """List the tokens that were not revoked; never their text, which nobody has."""
    from agents.cli.screen import Screen
    from agents.settings import load
    from agents.tokens import Tokens, place

    screen = Screen(json_only=as_json)
    tokens = Tokens(place(load())).all()
    if as_json:
        screen.document([token.model_dump(mode="json", exclude={"sha256"}) for token in tokens])
        return
    if not tokens:
        screen.say("No tokens: tally serve listens to this machine only. Next: tally tokens create")
        return
    rows = [
        (token.name, token.id, ", ".join(token.scope.subjects), ", ".join(token.scope.customers),
         ", ".join(token.scope.sources), f"{token.created_at:%Y-%m-%d}",
         "never" if token.expires_at is None else f"{token.expires_at:%Y-%m-%d %H:%M} UTC")
        for token in tokens
    ]  # fmt: skip
    screen.table("", ("name", "id", "subjects", "customers", "sources", "created", "expires"), rows)


def revoke(name: Annotated[str, typer.Argument(help="Its name or its id.")], dry_run: DryRun = False) -> None:
    """Take a token away; it is refused from the next request on."""
    from agents.settings import load
    from agents.tokens import Tokens, TokenUnknown, place

    tokens = Tokens(place(load()))
    if dry_run:
        found = next((token for token in tokens.all() if name in (token.id, token.name)), None)
        if found is None:
            raise TokenUnknown(f"no token has the id or the name {name!r}: tally tokens list")
        typer.echo(f"Would revoke {found.name} ({found.id}).")
        return
    token = tokens.revoke(name)
    typer.echo(f"Revoked {token.name} ({token.id}); it is refused from the next request on.")
