"""Rows of a file become usage events by a mapping; the same row becomes the same event, with the same id, always."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from hashlib import blake2b
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from pipeline.meters.scaled import NUMBER_PATTERN
from schemas.event_mapping import PLACE, EventMapping
from schemas.event_time import milliseconds
from schemas.identity import derived_id

HOUR_MS = 3_600_000
DAY_HOURS = 24
_NUMBER = re.compile(NUMBER_PATTERN)


class RowRefused(ValueError):
    """A row that the mapping cannot read; the message names the column."""


class Occurrences:
    """How many equal rows came before, for rows that come within a day of the order of their times."""

    def __init__(self) -> None:
        self._by_hour: dict[int, Counter[bytes]] = {}
        self._newest = -1

    def before(self, row: bytes, at_ms: int) -> int:
        """How often an equal row came, of the same time as it is equal. Raises RowRefused for one out of order."""
        hour = at_ms // HOUR_MS
        if hour > self._newest:
            self._newest = hour
            for old in [known for known in self._by_hour if known < hour - DAY_HOURS]:
                del self._by_hour[old]
        elif hour < self._newest - DAY_HOURS:
            raise RowRefused("comes more than a day out of the order of time: name the columns of its id")
        seen = self._by_hour.setdefault(hour, Counter())
        seen[row] += 1
        return seen[row] - 1


class RowReader:
    """Turns the rows of one file into events, in their order."""

    def __init__(self, mapping: EventMapping) -> None:
        self._mapping, self._zone = mapping, ZoneInfo(mapping.time_zone)
        self._occurrences = Occurrences()

    def event(self, row: Mapping[str, str], whole: str = "") -> bytes:
        """The event of a row. Raises RowRefused.

        `whole` is what equal rows have in common, where the mapping names no columns of the id; by default all cells.
        """
        mapping = self._mapping
        attributes: dict[str, Any] = {"specversion": "1.0"}
        for name, template in (("source", mapping.source), ("type", mapping.type), ("subject", mapping.subject)):
            attributes[name] = _filled(template, row)
        if mapping.time is not None:
            attributes["time"] = self._time(_filled(mapping.time, row))
        try:
            attributes["id"] = self._id(attributes, row, whole)
            attributes["datacontenttype"] = "application/json"
            attributes["data"] = self._data(row)
            return msgspec.json.encode(attributes)
        except UnicodeEncodeError:
            raise RowRefused("is not UTF-8") from None

    def _data(self, row: Mapping[str, str]) -> dict[str, str]:
        data = {name: _filled(template, row) for name, template in self._mapping.dimensions.items()}
        data = {name: text for name, text in data.items() if text}
        for name, template in self._mapping.measures.items():
            text = _filled(template, row).strip()
            if not _NUMBER.fullmatch(text):
                raise RowRefused(f"{name}: {text[:50]!r} is no number")
            data[name] = text
        return data

    def _time(self, text: str) -> str:
        try:
            at = self._read(text)
        except ValueError as error:
            raise RowRefused(f"time: {text[:50]!r}: {error}") from None
        aware = at if at.tzinfo is not None else at.replace(tzinfo=self._zone)
        return aware.isoformat(timespec="milliseconds")

    def _read(self, text: str) -> datetime:
        """A time with the zone that it names, if it names one."""
        pattern = self._mapping.time_format
        # The linter wants a zone at once; which one it is is known only when the text is read.
        return datetime.fromisoformat(text) if pattern is None else datetime.strptime(text, pattern)  # noqa: DTZ007

    def _id(self, attributes: Mapping[str, str], row: Mapping[str, str], whole: str) -> str:
        mapping = self._mapping
        if mapping.id:
            return str(derived_id("usage", attributes["source"], *(_cell(row, column) for column in mapping.id)))
        whole = whole or msgspec.json.encode(sorted(row.items())).decode()
        digest = blake2b(whole.encode(), digest_size=16).digest()
        before = self._occurrences.before(digest, milliseconds(attributes["time"]))
        return str(derived_id("usage-row", attributes["source"], whole, before))


def _filled(template: str, row: Mapping[str, str]) -> str:
    return PLACE.sub(lambda place: _cell(row, place.group(1)), template) if "{" in template else template


def _cell(row: Mapping[str, str], column: str) -> str:
    try:
        return row[column]
    except KeyError:
        raise RowRefused(f"has no column {column!r}") from None
