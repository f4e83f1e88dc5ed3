"""The frame of the command line: groups by reader, clear messages for known failures, the bare `tally`.

A command lives in the module of its topic, which has `register(app)`. Heavy imports stay inside the functions, so that
a command without services starts in under 300 ms.
"""

from __future__ import annotations

import logging
import sys
from importlib import import_module
from types import TracebackType
from typing import Final

import typer

from agents.cli.exit_codes import INTERRUPTED, MEANINGS, route_of

START: Final = "Start here"
PRODUCE: Final = "Produce usage"
LOOK: Final = "Look"
MONEY: Final = "Money"
PROVE: Final = "Prove"
OPERATE: Final = "Operate"
GROUPS: Final = (START, PRODUCE, LOOK, MONEY, PROVE, OPERATE)

MODULES: Final = (
    "agents.cli.services",
    "agents.cli.demo",
    "agents.cli.publish",
    "agents.cli.check_event",
    "agents.cli.serve",
    "agents.cli.tokens",
    "agents.cli.contract",
    "agents.cli.catalogue",
    "agents.cli.price",
    "agents.cli.aggregate",
    "agents.cli.subscriptions",
    "agents.cli.changes",
    "agents.cli.adjustments",
    "agents.cli.credits",
    "agents.cli.customers",
    "agents.cli.audit",
    "agents.cli.attributions",
    "agents.cli.clock",
    "agents.cli.simulate",
    "agents.cli.usage",
    "agents.cli.entitlements",
    "agents.cli.alerts",
    "agents.cli.meters",
    "agents.cli.cost",
    "agents.cli.lateness",
    "agents.cli.invoices",
    "agents.cli.close",
    "agents.cli.rerate",
    "agents.cli.invoice_preview",
    "agents.cli.ledger",
    "agents.cli.payments",
    "agents.cli.revenue",
    "agents.cli.explain",
    "agents.cli.evidence",
    "agents.cli.keys",
    "agents.cli.replay",
    "agents.cli.whatif",
    "agents.cli.rebuild",
    "agents.cli.reconcile",
    "agents.cli.duplicates",
    "agents.cli.gaps",
    "agents.cli.leaks",
    "agents.cli.dead_letters",
    "agents.cli.correct",
    "agents.cli.retention",
    "agents.cli.tail",
    "agents.cli.topics",
    "agents.cli.migrate",
    "agents.cli.worker",
    "agents.cli.bench",
)

EPILOG: Final = "Exit codes: " + "; ".join(f"{code} {meaning}" for code, meaning in MEANINGS.items()) + "."


def build() -> typer.Typer:
    """The whole command line, with every command registered."""
    app = typer.Typer(
        name="tally",
        help="Usage metering and billing on Kafka and ClickHouse: every invoice line proven to the offset.",
        epilog=EPILOG,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        add_completion=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback(invoke_without_command=True)
    def tally(context: typer.Context) -> None:
        if context.invoked_subcommand is None:
            from agents.cli.services import overview

            raise typer.Exit(overview())

    for module in MODULES:
        import_module(module).register(app)
    app.registered_commands.sort(key=lambda command: GROUPS.index(str(command.rich_help_panel)))
    return app


def run() -> None:
    """Runs one command and ends the process with its exit code."""
    logging.basicConfig(level=logging.CRITICAL)  # a client's warnings come back to us as failures with a message
    with ClearMessages():
        build()()


class ClearMessages:
    """Turns a known failure inside the block into one message and its exit code; others keep their traceback."""

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, _: TracebackType | None
    ) -> None:
        if kind is None or failure is None or isinstance(failure, SystemExit):
            return
        if isinstance(failure, KeyboardInterrupt):
            sys.exit(INTERRUPTED)
        route = route_of(kind)
        if route is not None:
            print(f"tally: {failure}", file=sys.stderr)
            if route.help:
                print(f"  {route.help}", file=sys.stderr)
            sys.exit(route.code)
