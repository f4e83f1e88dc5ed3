"""A file of usage on its way to usage.events: judged, sent, acknowledged chunk by chunk, and resumable after any death.

The position file is written only once a chunk is acknowledged, as a whole, so it never says more than the log holds.
What was sent after it is sent again, with the same ids, and counts once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from agents.clock import first_tick, wall_time
from agents.event_files import EventFile, Line
from agents.logs import Logs
from agents.publisher import Publisher, subject_of
from agents.settings import Settings
from agents.topics import USAGE_EVENTS
from pipeline.intake.admission import Admission, Refusal, admit

CHUNK_LINES = 5_000
KEPT_REFUSALS = 1_000
INVALID_ROW = "invalid_row"
"""The reason of a line that the mapping cannot read; it never becomes an event, and so never a dead letter."""


class Position(BaseModel):
    """How far a file was published: every line of its first `bytes_read` bytes is acknowledged, or was refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bytes_read: int
    sha256: str
    accepted: int
    refused: int
    options: str
    """What the lines were read with: another mapping makes other events of them."""


class PositionRefused(ValueError):
    """A position that is not one of this file."""


@dataclass(slots=True)
class Published:
    """What became of a file so far. Of many refused lines the first are kept, and all are counted."""

    accepted: int = 0
    refused: int = 0
    skipped: int = 0
    refusals: list[tuple[int, str, str]] = field(default_factory=list)
    """Line number, reason, detail."""

    def refuse(self, number: int, reason: str, detail: str) -> None:
        """Notes a line that was not sent."""
        self.refused += 1
        if len(self.refusals) < KEPT_REFUSALS:
            self.refusals.append((number, reason, detail))


def read_position(path: Path) -> Position | None:
    """The position of an interrupted run; None if there is none. Raises PositionRefused."""
    try:
        return Position.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError:
        raise PositionRefused(f"{path} is no position file") from None


def write_position(path: Path, position: Position) -> None:
    """Replaces the position as a whole: whoever dies here leaves the old one or the new one."""
    new = path.with_name(path.name + ".new")
    with new.open("w", encoding="utf-8") as file:
        file.write(position.model_dump_json())
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


class Run:
    """One run over one file."""

    def __init__(self, file: EventFile, *, options: str, as_is: bool = False) -> None:
        self._file, self._options, self._as_is = file, options, as_is
        self._lines: Iterator[Line] = iter(file)
        self.published = Published()

    def resume(self, position: Position) -> None:
        """Passes what an interrupted run has sent; all of it is read again, and compared. Raises PositionRefused."""
        if position.options != self._options:
            raise PositionRefused("the interrupted run had another mapping or other options: leave --resume out")
        while self._file.bytes_read < position.bytes_read and next(self._lines, None) is not None:
            self.published.skipped += 1
        if (self._file.bytes_read, self._file.digest) != (position.bytes_read, position.sha256):
            raise PositionRefused("the file is not the one whose beginning was published: leave --resume out")
        self.published.accepted, self.published.refused = position.accepted, position.refused

    def skip(self, lines: int) -> None:
        """Passes so many events."""
        while self.published.skipped < lines and next(self._lines, None) is not None:
            self.published.skipped += 1

    @property
    def position(self) -> Position:
        """Where it stands."""
        return Position(
            bytes_read=self._file.bytes_read, sha256=self._file.digest, accepted=self.published.accepted,
            refused=self.published.refused, options=self._options,
        )  # fmt: skip

    @property
    def bytes_read(self) -> int:
        """How much of the file was taken."""
        return self._file.bytes_read

    async def publish(self, settings: Settings, moved: Callable[[Position], None], *, dry_run: bool) -> None:
        """Sends all that is left; `moved` is told after each chunk that was acknowledged. Raises KafkaUnavailable."""
        async with Logs(settings) as logs:
            first = await first_tick(logs)
            partitions = await logs.partitions(USAGE_EVENTS)
        wall_clock = first is not None and first.clock == "wall"
        async with Publisher(settings, USAGE_EVENTS, partitions=partitions) as publisher:
            while chunk := self._next():
                admission, numbers = self._judged(chunk, wall_clock=wall_clock)
                if not dry_run:
                    await publisher.publish(self._records(chunk, admission))
                self._note(chunk, admission, numbers)
                moved(self.position)

    def _next(self) -> list[Line]:
        chunk = []
        for line in self._lines:
            chunk.append(line)
            if len(chunk) == CHUNK_LINES:
                break
        return chunk

    def _judged(self, chunk: list[Line], *, wall_clock: bool) -> tuple[Admission, list[int]]:
        numbers = [line.number for line in chunk if line.value is not None]
        values = [line.value for line in chunk if line.value is not None]
        return admit(values, now_ms=int(wall_time().timestamp() * 1000), wall_clock=wall_clock), numbers

    def _records(self, chunk: list[Line], admission: Admission) -> list[tuple[bytes | None, bytes]]:
        if self._as_is:
            return [(subject_of(line.value), line.value) for line in chunk if line.value is not None]
        return [(each.key, each.value) for each in admission.admitted]

    def _note(self, chunk: list[Line], admission: Admission, numbers: list[int]) -> None:
        self.published.accepted += len(admission.admitted)
        found = [(line.number, INVALID_ROW, line.fault) for line in chunk if line.value is None]
        found += [(numbers[each.place], *_said(each)) for each in admission.refused]
        for number, reason, detail in sorted(found):
            self.published.refuse(number, reason, detail)


def _said(refusal: Refusal) -> tuple[str, str]:
    return refusal.reason, refusal.detail
