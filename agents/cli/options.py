"""Options that mean the same wherever they appear."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="JSON on standard output, for programs.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Actor = Annotated[str, typer.Option("--actor", help="Who asks; default: your login name.", show_default=False)]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept with the record.")]
Why = Annotated[str, typer.Option("--reason", help="Why; mandatory, as money moves; kept with the record.")]
Customer = Annotated[str, typer.Argument(help="Who pays.")]
SubscriptionId = Annotated[str, typer.Argument(help="The id of the subscription.")]
RequestId = Annotated[
    str,
    typer.Option("--request-id", help="Repeats a request: its first outcome stands. Default: drawn, and printed."),
]
Currency = Annotated[str, typer.Option("--currency", help="Default: that of the subscription.", show_default=False)]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Return once the record is in the log.")]
Timeout = Annotated[float, typer.Option("--timeout", min=0, help="Seconds to wait; then exit code 6.")]
WAIT_S = 30.0
REASON = "from the command line"


class Funding(StrEnum):
    """Whether credit was given or bought."""

    FREE = "free"
    PAID = "paid"


def login_name() -> str:
    """Who runs this process, by the system's list of users; not by the environment, which anyone may set."""
    import os
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
