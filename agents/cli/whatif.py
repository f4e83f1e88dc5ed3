"""`tally whatif`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agents.cli.options import AsJson

if TYPE_CHECKING:
    from decimal import Decimal

    from agents.cli.screen import Screen
    from agents.settings import Settings
    from pipeline.closing.whatif import Shadow
    from schemas.catalogue_entry import Catalogue, MeterEntry, PlanEntry

ROWS_SHOWN = 20


def register(app: typer.Typer) -> None:
    """Adds the command of this module."""
    from agents.cli.frame import PROVE

    app.command("whatif", rich_help_panel=PROVE, epilog="Example: tally whatif --plan team --catalogue new.toml")(
        whatif
    )


def whatif(
    plan: Annotated[
        str, typer.Option("--plan", help="The candidate: a plan of --catalogue, or NAME@VERSION of the log.")
    ],
    catalogue: Annotated[
        list[Path] | None, typer.Option("--catalogue", help="Catalogue files that hold the candidate; not applied.")
    ] = None,
    period: Annotated[
        str, typer.Option("--period", help="Closes of periods that begin in 2026-10, 2026-10-31 or START/END (UTC).")
    ] = "",
    of: Annotated[
        list[str] | None, typer.Option("--of", help="Plans whose periods it would replace; default: of its own name.")
    ] = None,
    percent: Annotated[str, typer.Option("--percent", help="A difference of so many percent is an outlier.")] = "20",
    as_json: AsJson = False,
) -> None:
    """Shadow billing: rate history again with a candidate plan; the difference per customer, totals and outliers.

    Usage is read from raw events at the vectors of the stored closes, and rated by the code that bills. Nothing is
    stored, published or applied.
    """
    import asyncio

    from agents.settings import load

    asyncio.run(_whatif(load(), plan, catalogue or [], period, of or [], percent, as_json=as_json))


async def _whatif(
    settings: Settings, plan: str, files: list[Path], period: str, of: list[str], percent: str, *, as_json: bool
) -> None:
    from agents.cli.failures import NotFound
    from agents.cli.instants import span_of
    from agents.cli.reading import reading
    from agents.cli.replaying import Replayer
    from agents.cli.screen import Screen
    from pipeline.closing.whatif import compared, outliers, summed
    from schemas.quantity import exact

    screen = Screen(json_only=as_json)
    bound = exact(percent)
    span = span_of(period, "--period") if period else None
    async with reading(settings) as readers:
        candidate, meters = candidate_of(plan, files, await readers.catalogue.newest())
        replayer = Replayer(readers.billing, readers.documents, readers.lines, readers.looks, readers.catalogue)
        before, after = await replayer.shadow(candidate, meters, frozenset(of or [candidate.name]), span)
    if not before:
        raise NotFound(
            f"no close bills a period on {' or '.join(of or [candidate.name])}{f' in {period}' * bool(period)}"
        )
    shadows = compared(before, after)
    odd = outliers(shadows, percent=bound)
    if as_json:
        screen.document({
            "plan": f"{candidate.name}@{candidate.version}", "customers": [_described(one) for one in shadows],
            "totals": [_described(one) for one in summed(shadows)], "outliers": [one.customer for one in odd],
        })  # fmt: skip
        return
    _show(screen, candidate, shadows, odd, bound)


def candidate_of(name: str, files: list[Path], applied: Catalogue) -> tuple[PlanEntry, tuple[MeterEntry, ...]]:
    """The plan and meters of files, or of the log. Raises Refused for faults, NotFound for an unknown plan."""
    from agents.catalogue_files import entries_of, read_files
    from agents.cli.failures import NotFound, Refused
    from agents.cli.names import near
    from schemas.catalogue_entry import MeterEntry, PlanEntry

    if files:
        loaded = read_files(files)
        if loaded.faults:
            raise Refused("the candidate is refused:\n  " + "\n  ".join(map(str, loaded.faults)))
        entries = entries_of(loaded)
        plans = {entry.name: entry for entry in entries if isinstance(entry, PlanEntry)}
        if name not in plans:
            raise NotFound(f"--plan: no plan {name!r} in these files{near(name, tuple(plans))}")
        return plans[name], tuple(entry for entry in entries if isinstance(entry, MeterEntry))
    known, _, version = name.partition("@")
    entry = applied.plan(known, version or applied.newest_plans.get(known, ""))
    if entry is None:
        raise NotFound(f"--plan: no plan {name!r} in the log{near(known, tuple(applied.newest_plans))}")
    return entry, applied.meters_of(entry)


def _show(
    screen: Screen, candidate: PlanEntry, shadows: tuple[Shadow, ...], odd: tuple[Shadow, ...], percent: Decimal
) -> None:
    from pipeline.closing.whatif import summed

    columns = ("customer", ">documents", ">billed", ">candidate", ">difference", ">percent", "currency", "")
    marked = {(one.customer, one.currency) for one in odd}
    rows = [(*_row(one), _mark(one, marked)) for one in shadows[:ROWS_SHOWN]]
    rows += [("in all", *_row(one)[1:], "") for one in summed(shadows)]
    screen.table(f"{candidate.name}@{candidate.version} instead of what was billed", columns, rows)
    if len(shadows) > ROWS_SHOWN:
        screen.say(f"and {len(shadows) - ROWS_SHOWN:,} more customers; --json has them all")
    screen.say(f"{len(odd):,} of {len(shadows):,} differ by {percent:f} % or more, or are billed for the first time")


def _mark(one: Shadow, odd: set[tuple[str, str]]) -> str:
    said = ["outlier"] if (one.customer, one.currency) in odd else []
    said += [f"{one.unpriced} lines without a price"] if one.unpriced else []
    return ", ".join(said)


def _row(one: Shadow) -> tuple[str, str, str, str, str, str, str]:
    share = "" if one.percent is None else f"{one.percent:+,.1f} %"
    return (
        one.customer, f"{one.documents:,}", f"{one.before:,f}", f"{one.after:,f}", f"{one.difference:+,f}", share,
        one.currency,
    )  # fmt: skip


def _described(one: Shadow) -> dict[str, object]:
    return {
        "customer": one.customer, "currency": one.currency, "documents": one.documents, "billed": f"{one.before:f}",
        "candidate": f"{one.after:f}", "difference": f"{one.difference:f}",
        "percent": None if one.percent is None else f"{one.percent:.4f}", "unpriced_lines": one.unpriced,
    }  # fmt: skip
