"""How long work shows itself: a bar on a terminal, plain lines elsewhere. The caller brings the screen."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """What the local services tell about their work."""

    def say(self, line: str) -> None:
        """One line for the reader."""

    def begin(self, what: str, total: int) -> None:
        """Starts a piece of work of `total` units (bytes)."""

    def advance(self, done: int) -> None:
        """So many units are done, in all."""

    def end(self) -> None:
        """The piece of work is done."""


class Plain:
    """Plain lines on standard output, one per tenth of a piece of work."""

    def __init__(self) -> None:
        self._what, self._total, self._tenth = "", 0, -1

    def say(self, line: str) -> None:
        """Prints the line."""
        print(line, flush=True)

    def begin(self, what: str, total: int) -> None:
        """Remembers what is being done."""
        self._what, self._total, self._tenth = what, total, -1

    def advance(self, done: int) -> None:
        """Prints a line when another tenth is done."""
        tenth = done * 10 // self._total if self._total else 10
        if tenth > self._tenth:
            self._tenth = tenth
            self.say(f"  {self._what}: {tenth * 10} %  ({done / 1e6:.0f} of {self._total / 1e6:.0f} MB)")

    def end(self) -> None:
        """Nothing more to print."""


class Silent(Plain):
    """Says nothing: for tests."""

    def say(self, line: str) -> None:
        """Drops the line."""
