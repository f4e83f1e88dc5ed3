"""Records of billing.alerts: what a person or a mailer should know, with the evidence. Each key once, for ever."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict

from schemas.period import Instant


class Alert(BaseModel):
    """One thing that happened. `key` is derived from what it is about; a mailer that has seen it sends nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    key: str
    kind: str
    """What happened: `payment_failed`, `past_due`, `usage_threshold` …"""
    customer: str
    at: Instant
    """Billing time."""
    text: str
    """One sentence for a person."""
    evidence: Mapping[str, str] = {}
    """What it rests on: ids, amounts, positions of logs."""
