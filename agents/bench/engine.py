"""ClickHouse's own Kafka engine into the same table: what a pipeline without Faust, and without a ledger, costs."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from agents.bench.events import START, Traffic, records
from agents.bench.figures import Figures
from agents.bench.site import Deployment, Say, Site
from agents.topics import USAGE_EVENTS

ENVELOPE = "Tuple(specversion String, id String, source String, type String, subject String, time String)"

# The payload is parsed once: what the first view reads, the other two take from a table that keeps nothing.
RAW = (
    "CREATE TABLE queue (raw String) ENGINE = Kafka SETTINGS {settings}, kafka_format = 'RawBLOB'",
    """CREATE TABLE parsed (type String, subject String, ts Nullable(DateTime64(3, 'UTC')), source String, id String,
       k_partition UInt16, inv_offset UInt64, data String, appended_at DateTime64(3, 'UTC'), raw String, ok UInt8)
       ENGINE = Null""",
    """CREATE MATERIALIZED VIEW to_events TO events AS
       SELECT type, subject, assumeNotNull(ts) AS ts, source, id, k_partition, inv_offset, data, appended_at
       FROM parsed WHERE ok""",
    """CREATE MATERIALIZED VIEW to_dead_letters TO dead_letters AS
       SELECT 'usage.events' AS topic, k_partition, bitNot(inv_offset) AS k_offset, 'invalid' AS reason, '' AS detail,
         raw AS payload, appended_at FROM parsed WHERE NOT ok""",
    f"""CREATE MATERIALIZED VIEW to_parsed TO parsed AS
       WITH JSONExtract(raw, '{ENVELOPE}') AS e
       SELECT e.type AS type, e.subject AS subject, parseDateTime64BestEffortOrNull(e.time, 3, 'UTC') AS ts,
         e.source AS source, e.id AS id, toUInt16(_partition) AS k_partition, bitNot(toUInt64(_offset)) AS inv_offset,
         simpleJSONExtractRaw(raw, 'data') AS data, assumeNotNull(_timestamp_ms) AS appended_at, raw,
         toUInt8(e.specversion = '1.0' AND e.id != '' AND e.source != '' AND e.type != '' AND e.subject != ''
           AND isNotNull(ts) AND startsWith(data, '{{{{')) AS ok
       FROM queue""",
)
ROWS = (
    """CREATE TABLE queue (id String, source String, type String, subject String, time DateTime64(3, 'UTC'),
         data String)
       ENGINE = Kafka SETTINGS {settings}, kafka_format = 'JSONEachRow', date_time_input_format = 'best_effort',
         input_format_skip_unknown_fields = 1, input_format_json_read_objects_as_strings = 1""",
    """CREATE MATERIALIZED VIEW to_events TO events AS
       SELECT type, subject, time AS ts, source, id, toUInt16(_partition) AS k_partition,
         bitNot(toUInt64(_offset)) AS inv_offset, data, assumeNotNull(_timestamp_ms) AS appended_at
       FROM queue""",
)


async def measure(site: Site, figures: Figures, events: int, say: Say) -> None:
    """Figures of the part `Kafka engine`. Without copies: they collapse in its inserts, and we count to the end."""
    site.spread()
    async with await site.deployment("engine") as deployed:
        await deployed.tick(START - timedelta(days=1))
        published = await deployed.publish(records(Traffic(events, twice=0)), "lz4")
        for name, statements in (("raw bytes through a view cascade", RAW), ("JSONEachRow", ROWS)):
            say(f"ClickHouse's Kafka engine, {name}: {published:,} records")
            await _drain(deployed, figures, name, statements, published)


async def _drain(
    deployed: Deployment, figures: Figures, name: str, statements: tuple[str, ...], published: int
) -> None:
    settings = (
        f"kafka_broker_list = '{deployed.settings.kafka}', "
        f"kafka_topic_list = '{deployed.settings.topic_prefix}{USAGE_EVENTS}', "
        f"kafka_group_name = '{name}', kafka_num_consumers = 1, kafka_flush_interval_ms = 1000"
    )
    db = deployed.db
    await asyncio.to_thread(db.execute, "TRUNCATE TABLE events")
    before = deployed.server_cpu_s()
    for statement in statements:
        await asyncio.to_thread(db.execute, statement.format(settings=settings))

    def stored() -> int:
        rows = db.tuples("SELECT (SELECT count() FROM events) + (SELECT count() FROM dead_letters)")
        return int(rows[0][0])

    await deployed.until(lambda: stored() >= published, every_s=0.25)
    spent = deployed.server_cpu_s() - before
    figures.add("Kafka engine", name, spent / published * 1e6, "µs/event")
    for table in ("to_parsed", "to_events", "to_dead_letters", "queue", "parsed"):
        await asyncio.to_thread(db.execute, f"DROP TABLE IF EXISTS {table} SYNC")
