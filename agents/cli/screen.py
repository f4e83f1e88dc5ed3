"""What a person sees: tables on standard output, progress on standard error; JSON for programs.

On a terminal a wait is a bar with a live rate; elsewhere it is plain lines, at most one every two seconds.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import date
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

PLAIN_WIDTH = 160
COUNTED_FROM = 1000  # a rate of a handful of things says nothing
PLAIN_EVERY_S = 2
PLAIN_UNCHANGED_S = 15


class Wait:
    """One piece of work under way: how far it is, and at which rate."""

    def __init__(self, what: str, total: int | None, unit: str) -> None:
        self.what, self.total, self.unit = what, total, unit
        self.done = 0
        self._began = time.monotonic()

    def advance(self, by: int = 1) -> None:
        """So many more units are done."""
        self.to(self.done + by)

    def to(self, done: int, note: str = "") -> None:
        """So many units are done in all; `note` says what is happening now."""
        self.done = done

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return time.monotonic() - self._began

    def summary(self) -> str:
        """What was done, in one line, with the rate where there is something to count."""
        if self.done <= 1:
            return f"{self.what} ({self.seconds:.1f} s)"
        rate = self.done / max(self.seconds, 0.001)
        if self.done < COUNTED_FROM:
            return f"{self.what}: {self.done:,} {self.unit} ({self.seconds:.1f} s)"
        return f"{self.what}: {self.done:,} {self.unit} in {self.seconds:.1f} s, {rate:,.0f} {self.unit}/s"


class _Bar(Wait):
    def __init__(self, progress: Progress, what: str, total: int | None, unit: str) -> None:
        super().__init__(what, total, unit)
        self._progress = progress
        self._task: TaskID = progress.add_task(what, total=total, rate="", note="", unit=unit)

    def to(self, done: int, note: str = "") -> None:
        self.done = done
        rate = f"{done / max(self.seconds, 0.001):,.0f} {self.unit}/s" if done > 1 else ""
        self._progress.update(self._task, completed=done, rate=rate, note=note)


class _Lines(Wait):
    def __init__(self, stream: IO[str], what: str, total: int | None, unit: str) -> None:
        super().__init__(what, total, unit)
        self._stream = stream
        self._printed = time.monotonic()
        self._said = ""
        print(f"{what} …", file=stream, flush=True)

    def to(self, done: int, note: str = "") -> None:
        self.done = done
        of = f" of {self.total:,}" if self.total else ""
        now = f"{done:,}{of} {self.unit}{' · ' + note if note else ''}"
        silent = time.monotonic() - self._printed
        if silent < PLAIN_EVERY_S or (now == self._said and silent < PLAIN_UNCHANGED_S):
            return
        self._printed, self._said = time.monotonic(), now
        rate = f" · {done / max(self.seconds, 0.001):,.0f} {self.unit}/s" if done > 1 else ""
        print(f"  {now}{rate}", file=self._stream, flush=True)


class Screen:
    """Where a command writes. `json_only` keeps standard output free of everything but JSON."""

    def __init__(self, *, json_only: bool = False) -> None:
        self.json_only = json_only
        self.terminal = sys.stderr.isatty()

    def say(self, line: str = "") -> None:
        """One line for a person."""
        print(line, file=sys.stderr if self.json_only else sys.stdout, flush=True)

    def clear(self) -> None:
        """On a terminal, an empty screen; elsewhere nothing."""
        if sys.stdout.isatty():
            print("\x1b[2J\x1b[H", end="", flush=True)

    def document(self, content: object) -> None:
        """One JSON document for a program."""
        print(json.dumps(content, ensure_ascii=False, default=_text), flush=True)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """A table for a person; a column whose name begins with `>` is aligned to the right."""
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(
            title=title or None, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold", pad_edge=False
        )
        for column in columns:
            table.add_column(column.lstrip(">"), justify="right" if column.startswith(">") else "left", overflow="fold")
        for row in rows:
            table.add_row(*(Text(str(cell)) for cell in row))  # not as markup: a subject may hold brackets
        self.console().print(table)

    def console(self) -> Console:
        """A rich console on the stream for people: as wide as the terminal, or wide enough where there is none."""
        from rich.console import Console

        stream = sys.stderr if self.json_only else sys.stdout
        return Console(file=stream, width=None if stream.isatty() else PLAIN_WIDTH, highlight=False)

    def downloads(self) -> Downloads:
        """Progress for the local services."""
        return Downloads(self)

    @contextmanager
    def wait(self, what: str, total: int | None = None, unit: str = "") -> Iterator[Wait]:
        """A wait with its progress; at the end one line says what was done and how fast."""
        if not self.terminal:
            lines = _Lines(sys.stderr, what, total, unit)
            yield lines
            print(f"  ✓ {lines.summary()}", file=sys.stderr, flush=True)
            return
        with _bars() as progress:
            bar = _Bar(progress, what, total, unit)
            yield bar
        print(f"  ✓ {bar.summary()}", file=sys.stderr, flush=True)


def _text(value: object) -> str:
    """What JSON has no form for: times as ISO 8601, decimals and ids as their text."""
    return value.isoformat() if isinstance(value, date) else str(value)


def _bars() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}", style="dim"),
        console=Console(stderr=True),
        transient=True,
    )


class Downloads:
    """What the local services tell about their work, as waits of a screen."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._open = ExitStack()
        self._wait: Wait | None = None

    def say(self, line: str) -> None:
        """One line for the reader."""
        self._screen.say(line)

    def begin(self, what: str, total: int) -> None:
        """Starts a piece of work of `total` bytes."""
        self.end()
        self._wait = self._open.enter_context(self._screen.wait(what, total, "bytes"))

    def advance(self, done: int) -> None:
        """So many bytes are done, in all."""
        if self._wait is not None:
            self._wait.to(done)

    def end(self) -> None:
        """The piece of work is done."""
        self._wait = None
        self._open.close()
