"""Where the local system keeps its things: a home for state and data, a cache for what was downloaded."""

from __future__ import annotations

import os
from pathlib import Path


def default_home() -> Path:
    """The folder of state, data and logs: `TALLY_HOME`, else the XDG state folder."""
    if named := os.environ.get("TALLY_HOME"):
        return Path(named)
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "tally"


def cache() -> Path:
    """The folder of downloads, shared by all homes: the XDG cache folder, outside of any checkout."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tally"
