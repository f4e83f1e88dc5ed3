"""Which rules rate a close: those that its tick asks for. Source: design.md §7.

The engine is in the tick, so it is a function of the log: during a rolling restart old and new workers rate alike, and
a rebuild gives the bytes of then. To change what documents say: copy the functions that change under a name of the old
engine, enter them below, raise `schemas.engine.ENGINE`, add documents of the new one to the corpus. Documents of every
engine in the corpus must come out byte for byte (tests/schemas/test_corpus.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.closing.run_lines import RunLines, UsageByMeter, run_lines
from pipeline.documents.invoicing import Terms, invoices_of
from pipeline.documents.run_notes import BilledLine, notes_of
from schemas.catalogue_entry import Catalogue
from schemas.credit_note import CreditNote
from schemas.customer_state import PeriodClosed
from schemas.engine import ENGINE
from schemas.invoice import Invoice
from schemas.issued_line import IssuedLine
from schemas.tick import Tick


class UnknownEngine(Exception):
    """A tick asks for rules that this version does not have: it was made by a newer one. Upgrade the worker first."""


@dataclass(frozen=True, slots=True)
class Engine:
    """The rules of one version: a close becomes lines, lines become documents."""

    lines: Callable[[PeriodClosed, UsageByMeter, Catalogue, Sequence[IssuedLine]], tuple[RunLines, ...]]
    invoices: Callable[[PeriodClosed, Sequence[RunLines], Catalogue, Terms], tuple[Invoice, ...]]
    notes: Callable[
        [PeriodClosed, Sequence[RunLines], Catalogue, Sequence[Invoice], Sequence[BilledLine]], tuple[CreditNote, ...]
    ]


ENGINES: Mapping[str, Engine] = {ENGINE: Engine(run_lines, invoices_of, notes_of)}
"""Every version that documents may have been made by, with its rules as they were."""


def engine_of(tick: Tick) -> Engine:
    """The rules that a tick asks for. Raises UnknownEngine."""
    engine = ENGINES.get(tick.engine)
    if engine is None:
        known = ", ".join(ENGINES)
        raise UnknownEngine(f"tick {tick.number} asks for engine {tick.engine}; this version knows {known}: upgrade it")
    return engine
