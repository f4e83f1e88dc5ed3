"""Records of billing.commands that are no commands: refused with a reason, so that whoever sent them sees why."""

from __future__ import annotations

import json

from pydantic import BaseModel, ConfigDict, ValidationError

from schemas.command import CommandOutcome

LONGEST = 200


class Unreadable(BaseModel):
    """A record that is no command: what can be told of it, and what is wrong."""

    model_config = ConfigDict(frozen=True)

    customer: str
    command: str
    actor: str
    detail: str

    def outcome(self, tick: int, partition: int, offset: int) -> CommandOutcome:
        """The refusal. It has a request id of its own: the one of the record may be used again by what was meant."""
        return CommandOutcome(
            request_id=f"unreadable/{partition}/{offset}",
            customer=self.customer,
            command=self.command,
            actor=self.actor,
            reason="",
            accepted=False,
            detail=self.detail,
            tick=tick,
            partition=partition,
            offset=offset,
        )


def unreadable(key: bytes | None, value: bytes | None, error: ValidationError) -> Unreadable:
    """What a record says of itself, as far as it is JSON; the customer is that of its key where it names none."""
    try:
        read = json.loads(value or b"")
    except ValueError:
        read = None
    told = read if isinstance(read, dict) else {}
    first = error.errors(include_url=False, include_context=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    request = _text(told.get("request_id"))
    about = f"request {request}" if request else "the record"
    return Unreadable(
        customer=_text(told.get("customer")) or (key or b"").decode(errors="replace")[:LONGEST],
        command=_text(told.get("command")) or "unreadable",
        actor=_text(told.get("actor")),
        detail=f"{about} is no command: {place + ': ' if place else ''}{first['msg']}",
    )


def _text(value: object) -> str:
    return value[:LONGEST] if isinstance(value, str) else ""
