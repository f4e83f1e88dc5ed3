"""Where a TOML file says what: the line of every key, table and list element, by its path.

The standard parser keeps no positions. This reads a text that it accepts, and only as far as places need it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pipeline.catalogue.fault_texts import Steps, path_text

_SPACE = re.compile(r"[ \t]*")
_BETWEEN = re.compile(r"(?:[ \t\r\n,]|#[^\n]*)*")  # also the comma after an element of a list or an inline table
_KEY = re.compile(r"[A-Za-z0-9_-]+|\"(?:\\.|[^\"\\])*\"|'[^']*'")
_TEXT = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}(?!")|' r"'''.*?'{3,5}(?!')|" r'"(?:\\.|[^"\\])*"|' r"'[^'\n]*'", re.DOTALL
)
_PLAIN = re.compile(r"[^,\]}#\r\n]*")
_LAST_STEP = re.compile(r"(\.?[^.\[\]]+|\[\d+\])$")


def line_numbers(text: str) -> Mapping[str, int]:
    """Path, as faults write it -> line, from 1. The text must be TOML."""
    return _Reader(text).read()


def line_of(lines: Mapping[str, int], path: str) -> int:
    """The line of a path, or of the nearest table around it that is written; 0 if none is."""
    while path and path not in lines:
        path = _LAST_STEP.sub("", path)
    return lines.get(path, 0)


class _Reader:
    """A position in a text, and the places found before it."""

    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0
        self._lines: dict[str, int] = {}
        self._elements: dict[Steps, int] = {}
        """Path of a list of tables -> index of its last one."""

    def read(self) -> Mapping[str, int]:
        """Every statement: a header, or a key with its value."""
        table: Steps = ()
        self._take(_BETWEEN)
        while self._at < len(self._text):
            table = self._header() if self._text[self._at] == "[" else self._pair(table)
            self._take(_BETWEEN)
        return self._lines

    def _take(self, pattern: re.Pattern[str]) -> str:
        matched = pattern.match(self._text, self._at)
        assert matched is not None, f"not TOML at {self._at}"
        self._at = matched.end()
        return matched[0]

    def _found(self, steps: Steps, at: int) -> None:
        self._lines.setdefault(path_text(steps), self._text.count("\n", 0, at) + 1)

    def _keys(self) -> tuple[str, ...]:
        """A key with its dots; the spaces around them are left out."""
        keys = [self._key()]
        while self._text[self._at : self._at + 1] == ".":
            self._at += 1
            keys.append(self._key())
        return tuple(keys)

    def _key(self) -> str:
        self._take(_SPACE)
        key = self._take(_KEY)
        self._take(_SPACE)
        return key.strip("\"'") if key[0] in "\"'" else key

    def _header(self) -> Steps:
        begins, listed = self._at, self._text.startswith("[[", self._at)
        self._at += 2 if listed else 1
        keys = self._keys()
        self._at += 2 if listed else 1
        steps: Steps = ()
        for place, key in enumerate(keys):
            steps = (*steps, key)
            if listed and place == len(keys) - 1:
                self._elements[steps] = self._elements.get(steps, -1) + 1
            if steps in self._elements:
                steps = (*steps, self._elements[steps])
        self._found(steps, begins)
        return steps

    def _pair(self, table: Steps) -> Steps:
        """A key with its value, in a table; returns the table."""
        begins, steps = self._at, table
        for key in self._keys():
            steps = (*steps, key)
            self._found(steps, begins)
        self._at += 1  # the equals sign
        self._take(_SPACE)
        self._value(steps)
        return table

    def _value(self, steps: Steps) -> None:
        opened = self._text[self._at]
        if opened not in "[{":
            self._take(_TEXT if opened in "\"'" else _PLAIN)
            return
        self._at += 1
        self._take(_BETWEEN)
        index = 0
        while self._text[self._at] not in "]}":
            if opened == "{":
                self._pair(steps)
            else:
                self._found((*steps, index), self._at)
                self._value((*steps, index))
            index += 1
            self._take(_BETWEEN)
        self._at += 1
