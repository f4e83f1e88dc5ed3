"""`tally meters`, `tally meters backfill`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from agents.cli.options import AsJson, DryRun

if TYPE_CHECKING:
    from agents.cli.reading import Reading
    from agents.cli.screen import Screen
    from schemas.catalogue_entry import Catalogue, MeterEntry


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    from agents.cli.frame import LOOK

    group = typer.Typer(invoke_without_command=True, rich_markup_mode="rich")
    group.callback()(meters)
    group.command("backfill", epilog="Example: tally meters backfill tokens_out")(backfill)
    app.add_typer(
        group,
        name="meters",
        rich_help_panel=LOOK,
        help="What is metered, from what it is read, how far it is sealed; make a new meter see old events.",
        epilog="Example: tally meters --check",
    )


def meters(
    context: typer.Context,
    check: Annotated[bool, typer.Option("--check", help="Exit code 1 where groups are at 80 % of the limit.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the meters of the catalogue: aggregation, groups, how many panes are sealed and how many are still to be."""
    if context.invoked_subcommand is not None:
        return
    import asyncio

    from agents.cli.failures import Refused
    from agents.cli.reading import reading
    from agents.cli.screen import Screen
    from agents.settings import load

    async def run() -> list[dict[str, Any]]:
        async with reading(load()) as held:
            return _described(held, await held.catalogue.newest())

    screen = Screen(json_only=as_json)
    found = asyncio.run(run())
    if as_json:
        screen.document(found)
    elif found:
        _show(screen, found)
    else:
        screen.say("No meters: tally catalogue apply FILE")
    crowded = [f"{row['meter']}: {row['groups']:,} groups of {row['groups_max']:,}" for row in found if row["alert"]]
    if check and crowded:
        raise Refused("near the limit of groups, beyond which usage has no price:\n  " + "\n  ".join(crowded))


def backfill(
    names: Annotated[
        list[str] | None, typer.Argument(help="Meters; default: every one that has panes to seal.")
    ] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Seal the panes of meters that are new, changed or behind, from all stored events, while the line goes on.

    The sealer does the same, a part at each look; two that seal one pane write the same row. Closes do not wait for it:
    they read raw events.
    """
    import asyncio

    from agents.cli.reading import reading
    from agents.cli.screen import Screen
    from agents.settings import load

    screen = Screen(json_only=as_json)

    async def run() -> dict[str, int]:
        async with reading(load()) as held:
            return await asyncio.to_thread(
                _backfill, screen, held, await _chosen(held, names or []), await held.catalogue.newest(), dry_run
            )

    sealed = asyncio.run(run())
    if as_json:
        screen.document({"sealed": sealed, "dry_run": dry_run})
        return
    word = "to seal" if dry_run else "sealed"
    for name, panes in sealed.items():
        screen.say(f"{name}: {panes:,} panes {word}")
    if not any(sealed.values()):
        screen.say("Every pane that has ended is sealed.")


async def _chosen(held: Reading, names: list[str]) -> list[MeterEntry]:
    from agents.cli.failures import NotFound
    from agents.cli.names import near

    catalogue = await held.catalogue.newest()
    for name in names:
        if name not in catalogue.newest_meters:
            raise NotFound(f"no meter {name!r}{near(name, tuple(catalogue.newest_meters))}")
    return [entry for entry in catalogue.meters.values() if not names or entry.name in names]


def _backfill(
    screen: Screen, held: Reading, entries: list[MeterEntry], catalogue: Catalogue, dry_run: bool
) -> dict[str, int]:
    """The panes sealed per meter version; of every version that the catalogue holds, as the sealer does."""
    from agents.sealer import PANES_PER_STATEMENT
    from pipeline.meters.sealing import chunks, ended_panes
    from pipeline.meters.vectors import vector_of
    from schemas.tick import USAGE

    tick = held.totals.last_tick()
    if tick is None:
        return {}
    audited = held.totals.audited_tick()
    coverage = vector_of(held.totals.coverage(), len(tick.vector.of(USAGE)))
    waiting = {_called(entry, catalogue): (entry, ended_panes(tuple(held.totals.touched_panes(entry)), tick.time))
               for entry in entries}  # fmt: skip
    counts = {name: len(panes) for name, (_, panes) in waiting.items()}
    if dry_run or not any(counts.values()):
        return counts
    with screen.wait("seal", sum(counts.values()), "panes") as wait:
        for name, (entry, ended) in waiting.items():
            for panes in chunks(ended[::-1], PANES_PER_STATEMENT // 8):  # the newest first: they are looked at
                held.totals.seal([entry], sorted(panes), coverage, audited, work="backfill")
                wait.to(wait.done + len(panes), name)
    return counts


def _called(entry: MeterEntry, catalogue: Catalogue) -> str:
    """Its name; with the version where it is not the newest."""
    newest = catalogue.newest_meters.get(entry.name) == entry.version
    return entry.name if newest else f"{entry.name}@{entry.version[:8]}"


def _described(held: Reading, catalogue: Catalogue) -> list[dict[str, Any]]:
    from pipeline.meters.sealing import ended_panes
    from schemas.meter import GROUPS_ALERT, GROUPS_MAX

    tick = held.totals.last_tick()
    groups = held.totals.groups()
    rows = []
    for entry in catalogue.meters.values():
        meter = entry.meter
        unsealed = ended_panes(tuple(held.totals.touched_panes(entry)), tick.time) if tick else ()
        most = groups.get((entry.name, entry.version), 0)
        rows.append({
            "meter": entry.name, "version": entry.version,
            "newest": catalogue.newest_meters.get(entry.name) == entry.version,
            "aggregation": meter.aggregation, "value": meter.value, "group_by": list(meter.group_by),
            "event_types": list(meter.event_types), "unit": meter.unit,
            "billed_from": "raw events as of a vector", "shown_from": _shown_from(meter.aggregation),
            "plans": sorted({plan.name for plan in catalogue.plans.values()
                             if plan.meters.get(entry.name) == entry.version}),
            "sealed_panes": held.reconciliation.sealed(entry)[0], "unsealed_panes": len(unsealed),
            "groups": most, "groups_max": GROUPS_MAX, "alert": bool(meter.group_by) and most >= GROUPS_ALERT,
        })  # fmt: skip
    return rows


def _shown_from(aggregation: str) -> str:
    """What adds up over panes is shown from them; anything else is only right when it is read anew from raw."""
    from pipeline.catalogue.contradictions import ADDS_UP_OVER_WINDOWS

    return "sealed panes" if aggregation in ADDS_UP_OVER_WINDOWS else "raw events (tally price --customer)"


def _crowd(row: dict[str, Any]) -> str:
    return f"{row['groups']:,}{' !' if row['alert'] else ''}" if row["group_by"] else ""


def _show(screen: Screen, found: list[dict[str, Any]]) -> None:
    columns = ("meter", "version", "aggregation", "groups by", ">groups", "plans", "shown from", ">sealed", ">to seal")
    screen.table("", columns, [
        (
            row["meter"], row["version"][:8] + ("" if row["newest"] else " (old)"),
            f"{row['aggregation']} of {row['value']}" if row["value"] else row["aggregation"],
            ", ".join(row["group_by"]) or "–", _crowd(row), ", ".join(row["plans"]) or "–", row["shown_from"],
            f"{row['sealed_panes']:,}", f"{row['unsealed_panes']:,}",
        )
        for row in found
    ])  # fmt: skip
    if any(row["unsealed_panes"] for row in found):
        screen.say("Panes to seal: the sealer works on them; tally meters backfill does it now")
