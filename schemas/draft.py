"""A draft before the end of grace: what a tick makes of an open period, and what became of it. Source: design.md §4."""

from __future__ import annotations

import operator
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from schemas.customer_state import BillingRun
from schemas.period import Instant


class DraftStep(BaseModel):
    """What a tick does with a customer's draft: rates it anew, or (without a run) has its invoice replace it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    customer: str
    tick: int
    key: Instant
    due: Instant
    run: Annotated[BillingRun | None, Field(exclude_if=operator.not_)] = None
    """What would be billed when it is due, as of the tick."""
    billed_by: int = 0
    """Number of the tick whose run billed what was drafted; 0 if none did."""
