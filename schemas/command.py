"""Records of billing.commands: everything that changes a customer's state, and the ticks that give it time."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter

from schemas.tick import Tick

Name = Annotated[str, Field(min_length=1, max_length=200)]


class _Command(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    request_id: Name
    actor: Name
    reason: str = Field(max_length=2000)
    customer: Name


class Subscribe(_Command):
    """Puts a customer on a version of a plan, from `starts_at` (default: billing time of the command)."""

    command: Literal["subscribe"] = "subscribe"
    subscription: Name
    plan: Name
    plan_version: Name
    currency: Name | None = None
    """One that the plan is offered in; its own, if left out."""
    starts_at: AwareDatetime | None = None
    time_zone: Name = "UTC"


class Cancel(_Command):
    """Ends a subscription at the end of its running period."""

    command: Literal["cancel"] = "cancel"
    subscription: Name


class TickCopy(BaseModel):
    """A tick, copied by the forwarder into every partition of billing.commands; the first copy of a number wins."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    command: Literal["tick"] = "tick"
    tick: Tick


Command = Subscribe | Cancel
CommandRecord = Annotated[Subscribe | Cancel | TickCopy, Field(discriminator="command")]
COMMAND_RECORD: TypeAdapter[Subscribe | Cancel | TickCopy] = TypeAdapter(CommandRecord)


class CommandOutcome(BaseModel):
    """A record of billing.command-outcomes: accepted or refused, with the reason; a function of the log prefix."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    request_id: str
    customer: str
    command: str
    actor: str
    reason: str
    accepted: bool
    detail: str = ""
    tick: int = Field(description="number of the last tick before the command in its partition; 0 before the first")
    partition: int
    offset: int


class Attribution(BaseModel):
    """A record of billing.attributions: `subject` belongs to `customer` from `effective_from` on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    subject: Name
    customer: Name
    effective_from: AwareDatetime
    request_id: Name
    actor: Name
    reason: str = Field(max_length=2000)
