"""Why a command stops without being a mistake of ours; each leads to an exit code (exit_codes.py)."""

from __future__ import annotations


class Refused(Exception):
    """A rule says no, and the message says which."""


class NotFound(Exception):
    """What was asked for by name does not exist."""


class ProofFailed(Exception):
    """Two ways to compute the same thing differ."""


class TimedOut(Exception):
    """What was waited for did not happen in time."""
