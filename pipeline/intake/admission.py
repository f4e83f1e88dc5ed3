"""What becomes of events that somebody hands in: which may go to usage.events, and why the others may not.

The verdict is the ingester's own, on the very bytes that the log would hold, so what is admitted is stored. Beyond it
stands the scope of who hands them in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from pipeline.intake.scope import correction_refusal, is_everything, refusal
from pipeline.intake.usage_block import UsageBlock, judge
from pipeline.intake.validation import Correction, Headers, decode
from schemas.dead_letter import EXPLANATIONS, Reason
from schemas.token import EVERYTHING, Scope

OUT_OF_SCOPE = "out_of_scope"
"""The reason of a refusal that no dead letter has: the event is well formed, and not its sender's."""

OwnerOf = Callable[[str, int], str]
"""Whose a subject is at a time (milliseconds since 1970); without an attribution the subject is its own customer."""


def nobodys(subject: str, _at_ms: int) -> str:
    """Whose a subject is where nothing is attributed: its own."""
    return subject


class Admitted(NamedTuple):
    """An event that may go to the log: its place among those handed in, its key (the subject), its bytes."""

    place: int
    key: bytes
    value: bytes


class Refusal(NamedTuple):
    """An event that may not, its place among those handed in, and what its producer can do."""

    place: int
    reason: str
    detail: str

    @property
    def help(self) -> str:
        """What a producer does about it."""
        return EXPLANATIONS[Reason(self.reason)] if self.reason != OUT_OF_SCOPE else "Ask for a token that covers it."


class Admission(NamedTuple):
    """Both, each in the order in which they were handed in; every event is in exactly one."""

    admitted: Sequence[Admitted]
    refused: Sequence[Refusal]


class _HandedIn(NamedTuple):
    """Events in the form in which records are judged: their places are their offsets."""

    offsets: Sequence[int]
    timestamps: Sequence[int]
    keys: Sequence[bytes | None]
    headers: Sequence[Headers]
    values: Sequence[bytes | None]
    partition: int = 0


def admit(
    values: Sequence[bytes], *, now_ms: int, wall_clock: bool, scope: Scope = EVERYTHING, owner_of: OwnerOf = nobodys
) -> Admission:
    """Judges structured events as records that the broker takes at `now_ms`, for a sender with this scope."""
    count = len(values)
    handed_in = _HandedIn(range(count), [now_ms] * count, [None] * count, [()] * count, values)
    block = judge("", [handed_in], wall_clock=wall_clock)
    refused = [Refusal(letter.offset, letter.reason.value, letter.detail) for letter in block.dead_letters]
    if not is_everything(scope):
        refused += _out_of_scope(block, values, scope, owner_of)
    left_out = {each.place for each in refused}
    keys = _keys(block, values)
    admitted = [Admitted(index, key, values[index]) for index, key in sorted(keys.items()) if index not in left_out]
    return Admission(admitted, sorted(refused))


def _keys(block: UsageBlock, values: Sequence[bytes]) -> dict[int, bytes]:
    keys = {index: subject.encode() for index, subject in zip(block.events.offset, block.events.subject, strict=True)}
    return keys | {row.offset: decode(values[row.offset]).subject.encode() for row in block.corrections}


def _out_of_scope(block: UsageBlock, values: Sequence[bytes], scope: Scope, owner_of: OwnerOf) -> list[Refusal]:
    events = block.events
    found = []
    for index, subject, source, ts_ms in zip(events.offset, events.subject, events.source, events.ts_ms, strict=True):
        if why := refusal(scope, subject=subject, source=source, customer=owner_of(subject, ts_ms)):
            found.append(Refusal(index, OUT_OF_SCOPE, why))
    for row in block.corrections:
        subject = decode(values[row.offset]).subject
        if why := _correction_out_of_scope(row.correction, subject, row.appended_at_ms, scope, owner_of):
            found.append(Refusal(row.offset, OUT_OF_SCOPE, why))
    return found


def _correction_out_of_scope(correction: Correction, subject: str, now_ms: int, scope: Scope, owner_of: OwnerOf) -> str:
    """A correction is its sender's if it itself is, if what it corrects is, and if what it puts in its place is."""
    why = refusal(scope, subject=subject, source=correction.source, customer=owner_of(subject, now_ms))
    why = why or correction_refusal(scope, target_source=correction.target_source)
    if not why and (event := correction.event) is not None:
        owner = owner_of(event.subject, event.ts_ms)
        why = refusal(scope, subject=event.subject, source=correction.target_source, customer=owner)
    return why
