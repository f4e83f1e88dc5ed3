"""The command line: `tally`."""

from __future__ import annotations


def main() -> None:
    """Entry point of the `tally` script."""
    from agents.cli.frame import run

    run()
