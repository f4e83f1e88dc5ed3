"""The catalogue of the measurements: five meters over one kind of traffic, and a plan that prices them."""

from __future__ import annotations

import tempfile
from pathlib import Path

from agents import catalogue as catalogue_log
from agents.bench.site import BenchFailed, Deployment
from agents.catalogue_files import entries_of, read_files
from schemas.catalogue_entry import AnyEntry, Catalogue, catalogue_of

METERS = """
[[meters]]
id = "tokens_in"
event_types = ["llm.completion"]
aggregation = "sum"
value = "tokens_in"
unit = "tokens"
"""
"""One meter: sealing is told per meter."""

PLAN = """
[[meters]]
id = "tokens_in"
event_types = ["llm.completion"]
aggregation = "sum"
value = "tokens_in"
unit = "tokens"

[[meters]]
id = "tokens_out"
event_types = ["llm.completion"]
aggregation = "sum"
value = "tokens_out"
unit = "tokens"

[[meters]]
id = "requests"
event_types = ["llm.completion"]
aggregation = "count"
unit = "requests"

[[meters]]
id = "embeddings"
event_types = ["llm.embedding"]
aggregation = "count"
unit = "requests"

[[meters]]
id = "slowest"
event_types = ["llm.completion", "llm.embedding", "storage.write"]
aggregation = "max"
value = "latency_ms"
unit = "ms"

[[plans]]
id = "mixed"
name = "Mixed"
currency = "EUR"
interval = { unit = "month" }
anchor = "calendar"
grace = "PT6H"

[[plans.rate_cards]]
id = "platform"
name = "Platform fee"
price = { model = "flat", amount = "49.00" }

[[plans.rate_cards]]
id = "input"
name = "Input tokens"
meter = "tokens_in"
price.model = "graduated"
price.tiers = [
  { up_to = "1000000", unit_price = "0.00001" },
  { up_to = "5000000", unit_price = "0.000008", flat_fee = "1.50" },
  { unit_price = "0.000006" },
]

[[plans.rate_cards]]
id = "output"
name = "Output tokens"
meter = "tokens_out"
price.model = "volume"
price.tiers = [{ up_to = "100000", unit_price = "0.00003" }, { unit_price = "0.00002" }]

[[plans.rate_cards]]
id = "requests"
name = "Requests"
meter = "requests"
price = { model = "package", package_size = "1000", package_price = "0.40" }

[[plans.rate_cards]]
id = "embeddings"
name = "Embeddings"
meter = "embeddings"
price = { model = "per_unit", unit_price = "0.0001" }
minimum = "2.00"
"""
"""Five meters; a fee and four prices of different models, one with a minimum."""


def loaded(text: str) -> Catalogue:
    """A catalogue written as TOML. Raises BenchFailed with its faults."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "bench.toml"
        file.write_text(text, encoding="utf-8")
        found = read_files([file])
    if found.faults:
        raise BenchFailed("\n".join(map(str, found.faults)))
    return catalogue_of(entries_of(found))


async def apply(deployed: Deployment, text: str) -> None:
    """Publishes a catalogue to a deployment."""
    wanted = loaded(text)
    entries: list[AnyEntry] = [*wanted.meters.values(), *wanted.plans.values(), *wanted.alerts.values()]
    newest = await catalogue_log.CatalogueLog(deployed.logs).newest()
    await catalogue_log.apply(deployed.logs, newest, entries)
