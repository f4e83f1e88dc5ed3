"""Some usage of an LLM API, as lines for `tally publish -`; each run is other usage.

    python -m deploy.demo.sample --events 1000 | tally publish -

The events carry no time: the broker's counts, so they belong to now on a wall clock. Plans, meters and customers are
those of deploy/catalogue/llm.toml and of `tally demo`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from uuid import uuid4

from deploy.demo.draws import Draws
from deploy.demo.usage import BUSY, KEY_CHOICES, MODELS, REGIONS, SOURCES


def lines(run: str, events: int) -> Iterator[str]:
    """CloudEvents, one JSON object per line. Equal runs give equal lines, and so are counted once."""
    for number in range(events):
        draws = Draws(run.encode()[:64], number)
        customer, source = draws.one_of(BUSY), draws.one_of(SOURCES)
        event = {
            "specversion": "1.0",
            "id": f"{run}-{number:06d}",
            "source": source,
            "type": "llm.request",
            "subject": f"{customer}/key-{draws.one_of(KEY_CHOICES):02d}",
            "datacontenttype": "application/json",
            "data": {
                "model": draws.one_of(MODELS),
                "region": draws.one_of(REGIONS),
                "tokens_in": 20 + draws.below(4000),
                "tokens_out": str(1 + draws.below(1500)),
                "cached": draws.below(5) == 0,
            },
        }
        yield json.dumps(event, separators=(",", ":"))


def main() -> None:
    """Prints the lines of a new run."""
    parser = argparse.ArgumentParser(description="Sample usage as CloudEvents, one per line.")
    parser.add_argument("--events", type=int, default=1000, help="how many (default: 1000)")
    parser.add_argument("--run", default=f"sample-{uuid4().hex[:12]}", help="name of the run; the same, the same usage")
    arguments = parser.parse_args()
    for line in lines(arguments.run, arguments.events):
        sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
