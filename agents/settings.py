"""Where this deployment runs: every setting, typed, with its default and its meaning.

A setting comes from the environment (`TALLY_…`), else from the state file of the local system (`tally up`), else from
its default. Nothing else reads the environment.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Typed settings of one deployment; one deployment serves one issuer."""

    model_config = SettingsConfigDict(env_prefix="TALLY_", frozen=True, extra="ignore")

    home: Path | None = Field(None, description="folder of the local system's state; default: the XDG state folder")
    kafka: str = Field("127.0.0.1:9092", description="bootstrap servers, comma-separated")
    clickhouse: str = Field("http://127.0.0.1:8123", description="HTTP address of ClickHouse")
    clickhouse_user: str = "default"
    clickhouse_password: str = Field("", repr=False)
    database: str = "tally"
    topic_prefix: str = Field("", description="put before every topic name; several issuers share one cluster by it")
    usage_partitions: int = Field(8, ge=1, le=4096, description="partitions of usage.events when it is created")
    billing_partitions: int = Field(4, ge=1, le=256, description="partitions of billing.commands; never changes")
    replication: int = Field(1, ge=1, le=9, description="replicas of each topic when it is created")
    instance: str = Field("", description="fixed name of this worker in its group: a restart takes over at once")
    tick_every_s: int = Field(60, ge=1, description="seconds between ticks of a wall clock")
    flush_rows: int = Field(50_000, ge=1, description="records per insert at most")
    linger_ms: int = Field(100, ge=1, description="how long records wait for company before they are inserted")
    pending_rows: int = Field(120_000, ge=1, description="records held in memory at most: back-pressure beyond")
    store_retry_s: int = Field(3600, ge=0, description="how long a store that is away is asked again before we stop")
    outputs: Literal["on", "off"] = Field("on", description="off: a worker that reads, computes and publishes nothing")
    flood_stops: bool = Field(True, description="whether a flood of refusals from several sources stops the worker")
    crash_at: str = Field("", description="for crash stories: step:before|after:n[,…] kills a worker there")
    signing_key: Path | None = Field(None, description="file of the key that signs evidence; default: in `home`")
    log_format: Literal["text", "json"] = Field("text", description="json: one object per line, with positions")
    metrics_port: int = Field(0, ge=0, le=65535, description="port of a worker's /livez, /readyz and /metrics; 0: none")
    metrics_host: str = Field("127.0.0.1", description="its address; whoever reaches it may read the metrics")
    standstill_s: float = Field(
        60.0, gt=0, description="how long a partition with lag may stand still before /livez fails"
    )
    gauges_every_s: int = Field(60, ge=1, description="seconds between looks at leaks and other counts of the store")
    serve_host: str = Field("127.0.0.1", description="address of tally serve; any but a loopback one requires tokens")
    serve_port: int = Field(8420, ge=0, le=65535, description="port of tally serve; 0: any that is free")
    serve_body_bytes: int = Field(4 * 1024 * 1024, ge=1024, description="largest body, also after decompression")
    serve_pending_bytes: int = Field(64 * 1024 * 1024, ge=1024 * 1024, description="bytes held at most; beyond: 429")
    serve_ack_within_s: float = Field(10.0, gt=0, description="how long an acknowledgement may take; beyond: 503")
    serve_tls_certificate: Path | None = Field(None, description="PEM file of the server's certificate chain")
    serve_tls_key: Path | None = Field(None, description="PEM file of its key")
    tokens: Path | None = Field(None, description="file of bearer tokens; default: tokens.json in the home folder")


def load() -> Settings:
    """Settings of the running deployment: environment first, then the local system's state file, then defaults."""
    from deploy.local import find

    explicit = Settings()
    system = find(explicit.home)
    if system is None:
        return explicit
    local: dict[str, object] = {
        "kafka": system.kafka,
        "clickhouse": system.clickhouse,
        "clickhouse_user": system.clickhouse_user,
        "clickhouse_password": system.clickhouse_password,
        "database": system.database,
    }
    given = {name: getattr(explicit, name) for name in explicit.model_fields_set}
    return Settings.model_validate({**local, **given})
