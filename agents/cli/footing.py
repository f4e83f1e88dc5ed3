"""What an invoice stands on, for its footer: how far it is complete, what it left out, what a replay gives now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agents.cli.reading import Reading
from agents.cli.replaying import Replayer, Verdict
from agents.store.looks import NotBilled, StoredInvoice
from agents.topics import ATTRIBUTIONS, CATALOGUE, USAGE_EVENTS
from pipeline.meters.sealing import PANE_S
from schemas.catalogue_entry import Catalogue, MeterEntry
from schemas.invoice import Invoice


@dataclass(frozen=True, slots=True)
class Footing:
    """The proof under one document."""

    invoice: Invoice
    sha256: str
    not_billed: tuple[NotBilled, ...]
    invalid: int
    unattributed_events: int
    unattributed_subjects: int
    metered_types: frozenset[str]
    unsealed_panes: int
    verdicts: tuple[Verdict, ...] | None

    def differences(self) -> tuple[str, ...]:
        """What a replay gave otherwise; empty if nothing, or if none was made."""
        return tuple(f"{v.kind} {v.name}: {said}" for v in self.verdicts or () for said in v.differences)


async def footing(reading: Reading, stored: StoredInvoice, *, replayed: bool) -> Footing:
    """Looks at everything that a document rests on; `replayed` computes it again from raw events."""
    invoice = stored.invoice
    vector = invoice.basis.vector
    catalogue = await reading.catalogue.as_of(_end(vector.get(CATALOGUE, ())))
    meters = _meters(invoice, catalogue)
    coverage = reading.billing.coverage(USAGE_EVENTS)
    ends = [coverage.get(partition, 0) for partition in range(max(coverage, default=-1) + 1)]
    not_billed = reading.looks.not_billed(
        invoice.customer, invoice.period, billed_to=vector.get(USAGE_EVENTS, ()), coverage=ends,
        attributions=_end(vector.get(ATTRIBUTIONS, ())), meters=meters,
    )  # fmt: skip
    events, subjects = reading.looks.unattributed(invoice.period)
    verdicts = await _verdicts(reading, invoice) if replayed else None
    return Footing(
        invoice=invoice,
        sha256=stored.sha256,
        not_billed=not_billed,
        invalid=sum(line.rated.invalid_events for line in invoice.lines),
        unattributed_events=events,
        unattributed_subjects=subjects,
        metered_types=frozenset(kind for entry in catalogue.meters.values() for kind in entry.meter.event_types),
        unsealed_panes=_unsealed(reading, invoice, meters),
        verdicts=verdicts,
    )


async def _verdicts(reading: Reading, invoice: Invoice) -> tuple[Verdict, ...]:
    replayer = Replayer(reading.billing, reading.documents, reading.lines, reading.looks, reading.catalogue)
    found = await replayer.replay([invoice.basis.close_id])
    if found:
        return found
    return (Verdict("close", invoice.basis.close_id, invoice.customer, invoice.basis.tick, ("is not stored",)),)


def _meters(invoice: Invoice, catalogue: Catalogue) -> tuple[MeterEntry, ...]:
    """The meter versions that the plans of an invoice price."""
    plans = {(line.plan, line.plan_version) for line in invoice.lines}
    found = {
        (entry.name, entry.version): entry
        for name, version in plans
        if (plan := catalogue.plan(name, version)) is not None
        for entry in catalogue.meters_of(plan)
    }
    return tuple(found[key] for key in sorted(found))


def _unsealed(reading: Reading, invoice: Invoice, meters: Sequence[MeterEntry]) -> int:
    """Panes of the invoice's period that wait to be sealed (again): late events came, or no tick has passed since."""
    first, last = (int(at.timestamp()) // PANE_S for at in (invoice.period.start, invoice.period.end))
    return len({pane for entry in meters for pane in reading.totals.touched_panes(entry) if first <= pane < last})


def _end(ends: Sequence[int]) -> int:
    return ends[0] if ends else 0


def footer_lines(footing: Footing) -> Iterator[str]:
    """The footer, a line per fact."""
    basis = footing.invoice.basis
    for topic, ends in basis.vector.items():
        yield f"complete to   {topic} {' '.join(f'{end:,}' for end in ends)}  (next offset by partition)"
    yield f"usage         {basis.events:,} events, fingerprint {basis.usage_fingerprint.split('-')[-1]}"
    yield f"sealed        {_sealed(footing.unsealed_panes)}"
    yield f"close         {basis.close_id}, revision {basis.revision}"
    issued = footing.invoice.issued_at
    yield f"clock         {basis.clock}, tick {basis.tick} at {issued:%Y-%m-%d %H:%M:%S} UTC"
    yield f"replay        {_replay(footing)}"
    yield f"sha256        {footing.sha256}"


def _sealed(panes: int) -> str:
    if not panes:
        return "every five-minute pane of the period"
    return f"all but {panes:,} five-minute panes of the period, touched since; the next tick seals them again"


def _replay(footing: Footing) -> str:
    if footing.verdicts is None:
        return "not made; tally replay makes it"
    if not footing.differences():
        return "identical bytes, computed now from raw events below these offsets"
    return "DIFFERENT: " + "; ".join(footing.differences())


def left_out_lines(footing: Footing) -> Iterator[str]:
    """What was used in the period and is not on the invoice, a line per reason; at least one line."""
    said = list(_left_out(footing))
    yield from said or ["nothing: every event of the period is on a line"]


def _left_out(footing: Footing) -> Iterator[str]:
    for found in footing.not_billed:
        if found.beyond:
            yield f"{found.beyond:,} × {found.type}: came after the close; the next invoice settles them"
        if found.uncounted and found.type in footing.metered_types:
            yield f"{found.uncounted:,} × {found.type}: no meter of the plan counts them (filtered, or not priced)"
        elif found.uncounted:
            yield f"{found.uncounted:,} × {found.type}: unmetered, no meter knows this event type"
    if footing.invalid:
        yield f"{footing.invalid:,} events whose value the meter cannot use"
    if footing.unattributed_events:
        subjects = f"{footing.unattributed_subjects:,} subject{'s' * (footing.unattributed_subjects != 1)}"
        yield f"{footing.unattributed_events:,} events, of anybody, of {subjects} without a customer"
