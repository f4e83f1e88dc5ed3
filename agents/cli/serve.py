"""`tally serve`."""

from __future__ import annotations

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Adds the command of this module."""
    from agents.cli.frame import PRODUCE

    app.command("serve", rich_help_panel=PRODUCE, epilog="Example: tally serve --port 8420")(serve)


def serve(
    host: Annotated[str | None, typer.Option(help="Address; any but a loopback one requires tokens.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port; 0: any that is free.")] = None,
) -> None:
    """Take usage over HTTP until stopped: POST /v1/events, CloudEvents structured, binary or as a batch.

    An answer of 2xx means that every in-sync replica has the events. Also: /livez, /readyz, /metrics. Without --host
    and --port the settings TALLY_SERVE_HOST and TALLY_SERVE_PORT decide.
    """
    from agents.log_lines import configure
    from agents.settings import load
    from agents.web.server import run

    given = {name: value for name, value in (("serve_host", host), ("serve_port", port)) if value is not None}
    settings = load().model_copy(update=given)
    configure(settings)
    run(settings)
