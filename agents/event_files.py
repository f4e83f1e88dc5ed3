"""Files of usage, read line by line in three formats; every line is an event or says why it is none."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import IO, Literal

from pipeline.intake.access_log import columns_of
from pipeline.intake.event_rows import RowReader, RowRefused
from schemas.event_mapping import ACCESS_LOG, EventMapping

Format = Literal["json", "csv", "access-log"]
SUFFIXES: dict[str, Format] = {".csv": "csv", ".log": "access-log"}
BLANKS = b" \t\r\n"


class FileRefused(ValueError):
    """A file that cannot be read with this mapping at all; the message names the line and the column."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line, or a row that spans some: its number (of its first line), and the event that it is, or why it is none."""

    number: int
    value: bytes | None
    fault: str = ""


class EventFile:
    """One file, read from its beginning. `bytes_read` and `digest` are those of the lines that were taken so far."""

    def __init__(self, lines: IO[bytes], kind: Format, mapping: EventMapping | None = None) -> None:
        self._lines, self._kind = lines, kind
        if kind == "csv" and mapping is None:
            raise FileRefused("a CSV file needs a mapping: --mapping FILE.toml says which column is what")
        self._mapping = mapping or ACCESS_LOG
        self._digest = sha256()
        self.bytes_read = self.lines_read = 0

    @property
    def digest(self) -> str:
        """SHA-256, in hex, of everything that was read."""
        return self._digest.hexdigest()

    def __iter__(self) -> Iterator[Line]:
        """Every line that is not blank."""
        match self._kind:
            case "json":
                return self._events()
            case "csv":
                return self._rows()
            case "access-log":
                return self._requests()

    def _raw(self) -> Iterator[bytes]:
        for raw in self._lines:
            self._digest.update(raw)
            self.bytes_read += len(raw)
            self.lines_read += 1
            yield raw

    def _text(self) -> Iterator[str]:
        """Lines as text; bytes that are no UTF-8 stay recognisable, and make their row one that is refused."""
        for raw in self._raw():
            yield raw.decode("utf-8", "surrogateescape")

    def _events(self) -> Iterator[Line]:
        for raw in self._raw():
            if line := raw.strip(BLANKS):
                yield Line(self.lines_read, line)

    def _requests(self) -> Iterator[Line]:
        reader = RowReader(self._mapping)
        for text in self._text():
            if line := text.strip():
                try:
                    yield Line(self.lines_read, reader.event(columns_of(line), line))
                except ValueError as fault:
                    yield Line(self.lines_read, None, str(fault))

    def _rows(self) -> Iterator[Line]:
        """The rows below the header, which is read at once. Raises FileRefused."""
        rows = csv.reader(self._text(), strict=True)
        header = [name.removeprefix("\ufeff").strip() for name in next(rows, [])]
        self._check(header)
        return self._below(rows, header)

    def _below(self, rows: Iterator[list[str]], header: list[str]) -> Iterator[Line]:
        reader = RowReader(self._mapping)
        while True:
            number = self.lines_read + 1
            try:
                row = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                yield Line(number, None, f"is no CSV: {error}")
                continue
            if row:
                yield _line(reader, number, header, row)

    def _check(self, header: list[str]) -> None:
        if not header:
            raise FileRefused("line 1: a CSV file begins with the names of its columns")
        if absent := sorted(self._mapping.columns() - set(header)):
            raise FileRefused(f"line 1: there is no column {absent[0]!r}; there are {', '.join(header)[:300]}")
        if len(set(header)) < len(header):
            raise FileRefused("line 1: two columns have the same name")


def _line(reader: RowReader, number: int, header: list[str], row: list[str]) -> Line:
    if len(row) != len(header):
        return Line(number, None, f"has {len(row)} values for {len(header)} columns")
    try:
        return Line(number, reader.event(dict(zip(header, row, strict=True))))
    except RowRefused as fault:
        return Line(number, None, str(fault))
