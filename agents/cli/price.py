"""`tally price` and `tally rate`: what usage costs, by the same rating as an invoice's. No service needed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agents.cli.options import AsJson

if TYPE_CHECKING:
    from agents.cli.screen import Screen
    from schemas.plan import Plan, RateCard
    from schemas.rate_request import RateAnswer, RateRequest

COLUMNS_OF_CHART = 64

Usage = Annotated[
    str,
    typer.Argument(
        help="A number, or JSON: a list of numbers (transactions, or one per window) or rows with quantity, values, "
        "window and events.",
        show_default=False,
    ),
]


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    from agents.cli.frame import MONEY

    app.command(
        "price",
        rich_help_panel=MONEY,
        epilog="Example: tally price --plan team --card output 1500000 --chart",
        context_settings={"ignore_unknown_options": True},
    )(price)
    app.command(
        "rate",
        rich_help_panel=MONEY,
        epilog="Example: tally rate --jsonl deploy/examples/rate.jsonl",
    )(rate)


def price(
    usage: Usage = "0",
    plan: Annotated[str, typer.Option("--plan", help="A plan of the catalogue files.")] = "",
    card: Annotated[str, typer.Option("--card", help="Its rate card; may be left out if there is one.")] = "",
    catalogue: Annotated[
        list[Path] | None,
        typer.Option("--catalogue", help="Catalogue file or folder; default: the example.", show_default=False),
    ] = None,
    alone: Annotated[
        str, typer.Option("--price", help="Instead of a plan: a price or rate card, as TOML or JSON, or a file of it.")
    ] = "",
    currency: Annotated[str, typer.Option("--currency", help="Of --price; a plan has its own.")] = "EUR",
    period: Annotated[str, typer.Option("--period", help="START/END of the full period, to prorate.")] = "",
    service: Annotated[str, typer.Option("--service", help="START/END of the part of it that is served.")] = "",
    time_zone: Annotated[str, typer.Option("--time-zone", help="Whose days are counted.")] = "UTC",
    customer: Annotated[str, typer.Option("--customer", help="Its usage so far, as a close would read it now.")] = "",
    meter: Annotated[str, typer.Option("--meter", help="The meter whose usage is meant; with --customer.")] = "",
    with_chart: Annotated[bool, typer.Option("--chart", help="Draw the amount against the usage.")] = False,
    as_json: AsJson = False,
) -> None:
    """Price usage and show how the amount comes about: tiers, modifiers, rounding.

    With --customer and --meter the usage is that of the customer's running period, in the shape that the price needs;
    the price is that of its subscription, or --price, or --plan with --card. Only this needs the services.
    Exit code 1 if the price or the usage is refused; the message names the field.
    """
    from agents.cli.screen import Screen
    from pipeline.rating.rate_request import parse_request

    if bool(customer) != bool(meter):
        raise typer.BadParameter("--customer and --meter belong together", param_hint="--customer")
    if customer:
        from agents.cli.price_of_customer import request_of

        own = _of_plan(plan, card, catalogue) if plan else _alone(alone, currency, meter) if alone else {}
        screen = Screen(json_only=as_json)
        request, said = request_of(
            customer, meter, own, period=_span(period, "--period", time_zone) if period else None
        )
        if not as_json:
            screen.say(said)
        _answer(screen, request, as_json=as_json, with_chart=with_chart)
        return
    raw: dict[str, Any] = {"time_zone": time_zone}
    if period:
        raw["period"] = _span(period, "--period", time_zone)
    if service:
        raw["service"] = _span(service, "--service", time_zone)
    raw |= _of_plan(plan, card, catalogue) if plan or not alone else _alone(alone, currency)
    request = _with_usage(parse_request(raw), usage)
    _answer(Screen(json_only=as_json), request, as_json=as_json, with_chart=with_chart)


def _answer(screen: Screen, request: RateRequest, *, as_json: bool, with_chart: bool) -> None:
    from pipeline.rating.rate_request import rate_request

    answer = rate_request(request)
    if as_json:
        screen.document(answer.model_dump(mode="json"))
        return
    _show(screen, answer)
    if with_chart:
        _draw(screen, request)


def rate(
    file: Annotated[Path | None, typer.Argument(help="Requests; default: standard input.", show_default=False)] = None,
    jsonl: Annotated[
        bool, typer.Option("--jsonl", help="One JSON request per line in, one answer per line out: the only form.")
    ] = True,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of a request, and end.")] = False,
) -> None:
    """Rate requests: a price or rate card with usage per line, an answer or its faults per line.

    A refused line does not stop the next one. Field names are the catalogue's: schemas/json/rate.schema.json,
    and an example of every model in deploy/examples/rate.jsonl.
    """
    from agents.cli.screen import Screen
    from pipeline.rating.rate_request import answers
    from schemas.rate_request import RateRequest

    if schema:
        Screen(json_only=True).document(RateRequest.model_json_schema())
        return
    with file.open(encoding="utf-8") if file else sys.stdin as lines:
        for line in answers(lines):
            sys.stdout.write(line + "\n")
            sys.stdout.flush()


def _of_plan(name: str, card: str, files: Sequence[Path] | None) -> dict[str, Any]:
    """The rate card and currency of a plan in catalogue files."""
    from agents.catalogue_files import example_folder, read_files
    from agents.cli.failures import NotFound, Refused

    loaded = read_files(files or [example_folder()])
    if loaded.faults:
        raise Refused("the catalogue is refused:\n  " + "\n  ".join(map(str, loaded.faults)))
    plans: dict[str, Plan] = {plan.id: plan for plan in loaded.plans}
    if name not in plans:
        raise NotFound(f"--plan: no plan {name!r}; there are {', '.join(plans) or 'none'}")
    found = _card(plans[name], card)
    return {"rate_card": found, "currency": plans[name].currency, "minor_units": plans[name].minor_units}


def _card(plan: Plan, name: str) -> RateCard:
    from agents.cli.failures import NotFound

    cards = {card.id: card for card in plan.rate_cards}
    if not name and len(cards) == 1:
        return plan.rate_cards[0]
    if name not in cards:
        raise NotFound(f"--card: plan {plan.id} has no rate card {name!r}; there are {', '.join(cards)}")
    return cards[name]


def _alone(written: str, currency: str, meter: str = "usage") -> dict[str, Any]:
    """A price or a rate card (it has a `price` of its own) from a file or from the command line."""
    table = _table(written)
    if "model" in table or "price" not in table:
        return {"price": table, "currency": currency}
    defaults = {"id": "price"} | ({} if table["price"].get("model") == "flat" else {"meter": meter})
    return {"rate_card": defaults | table, "currency": currency}


def _table(written: str) -> dict[str, Any]:
    import tomllib

    from agents.cli.failures import Refused
    from schemas.quantity import read_json

    text = written
    if "=" not in written and "{" not in written:
        text = Path(written).read_text(encoding="utf-8")
    try:
        if text.lstrip().startswith("{"):
            table = read_json(text)
        else:
            table = tomllib.loads(text, parse_float=Decimal)
    except ValueError as fault:
        raise Refused(f"--price: is neither TOML nor JSON: {fault}") from None
    if not isinstance(table, dict) or not isinstance(table.get("price", {}), dict):
        raise Refused("--price: must be a table of keys with `model`, or a rate card with such a `price`")
    return table


def _span(text: str, option: str, time_zone: str) -> dict[str, Any]:
    from agents.cli.instants import instant

    start, slash, end = text.partition("/")
    if not slash:
        raise typer.BadParameter(f"{text!r} is not START/END, such as 2027-03-01/2027-04-01", param_hint=option)
    return {"start": instant(start, option, time_zone=time_zone), "end": instant(end, option, time_zone=time_zone)}


def _with_usage(request: RateRequest, written: str) -> RateRequest:
    """The request with its usage: a number, rows, or numbers that are transactions or successive windows."""
    from agents.cli.failures import Refused
    from pipeline.rating.rate_request import rows_of, with_usage
    from schemas.quantity import read_json

    if not written.lstrip().startswith(("[", "{")):
        return with_usage(request, {"quantity": written.replace("_", "")})
    try:
        given = read_json(written)
    except ValueError as fault:
        raise Refused(f"usage: is not JSON: {fault}") from None
    if isinstance(given, dict):
        return with_usage(request, given)
    return with_usage(request, {"usage": rows_of(request, given)})


def _show(screen: Screen, answer: RateAnswer) -> None:
    from agents.cli.invoice_table import COLUMNS, exact_text, rated_rows

    rows = [row for line in answer.lines for row in rated_rows(line, line.period)]
    exact = "" if answer.amount_exact == answer.amount else exact_text(answer.amount_exact)
    rows.append(("amount", "", "", "", "", exact, f"{answer.amount:,f} {answer.currency}"))
    screen.table("", COLUMNS, rows)


def _draw(screen: Screen, request: RateRequest) -> None:
    """The amount at equal steps of usage from 0 to one and a half times the usage asked for."""
    from agents.cli.chart import chart
    from agents.cli.failures import Refused
    from pipeline.rating.rate_request import RequestRefused, rate_request

    if request.usage is not None:
        raise Refused("--chart: draws prices of one number; this usage has rows")
    asked = request.quantity if request.quantity else Decimal(100)
    step = (asked * 3 / 2 / (COLUMNS_OF_CHART - 1)).normalize()
    try:
        points = [
            (step * index, rate_request(request.model_copy(update={"quantity": step * index})).amount)
            for index in range(COLUMNS_OF_CHART)
        ]
    except RequestRefused as refused:
        raise Refused(f"--chart: {refused}") from None
    screen.say()
    for line in chart([(Decimal(round(used, 2)), amount) for used, amount in points], marked=round(asked / step)):
        screen.say(line)
