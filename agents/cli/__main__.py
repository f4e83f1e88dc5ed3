"""`python -m agents.cli`: the same as the `tally` script, for workers under a supervisor."""

from __future__ import annotations

from agents.cli import main

if __name__ == "__main__":
    main()
