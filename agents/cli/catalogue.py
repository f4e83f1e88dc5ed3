"""`tally catalogue check | show | apply`; more of it in `catalogue_history`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agents.cli import catalogue_history
from agents.cli.options import AsJson, DryRun

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from agents.catalogue import Applied
    from agents.cli.screen import Screen
    from pipeline.catalogue.changes import Change
    from pipeline.catalogue.loading import Loaded
    from schemas.catalogue_entry import AnyEntry, Catalogue

Files = Annotated[
    list[Path] | None,
    typer.Argument(
        help="Files, or folders of *.toml, read as one catalogue; default: the example.", show_default=False
    ),
]


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    from agents.cli.frame import MONEY

    group = typer.Typer(no_args_is_help=True, rich_markup_mode="rich")
    group.command("check", epilog="Example: tally catalogue check plans.toml")(check)
    group.command("show", epilog="Example: tally catalogue show team")(show)
    group.command("apply", epilog="Example: tally catalogue apply --dry-run plans.toml")(apply)
    catalogue_history.register(group)
    app.add_typer(
        group,
        name="catalogue",
        rich_help_panel=MONEY,
        help="Meters and plans: check files, show what is in the log, apply changes.",
        epilog="Example: tally catalogue apply --dry-run",
    )


def check(files: Files = None, as_json: AsJson = False) -> None:
    """Check catalogue files and tell every fault: file, table, field, and what would be right. Needs no service.

    Exit code 1 if there is a fault.
    """
    from dataclasses import asdict

    from agents.cli.exit_codes import OK, REFUSED
    from agents.cli.screen import Screen

    screen, loaded = Screen(json_only=as_json), _read(files)
    if as_json:
        screen.document(
            {
                "faults": [asdict(fault) for fault in loaded.faults],
                **{kind: [each.id for each in objects] for kind, objects in _kinds(loaded).items()},
            }
        )
    elif not loaded.faults:
        told = [_names(kind, objects) for kind, objects in _kinds(loaded).items() if objects]
        screen.say(f"No fault: {'; '.join(told) or 'and nothing in it'}.")
    for fault in () if as_json else loaded.faults:
        screen.say(str(fault))
    if loaded.faults and not as_json:
        screen.say(_count_of(loaded))
    raise typer.Exit(REFUSED if loaded.faults else OK)


def show(
    name: Annotated[str, typer.Argument(help="A meter or plan: name, plan/name, or name@version.")] = "",
    as_json: AsJson = False,
) -> None:
    """Show what the log holds: meters, plans, their versions and which is newest; with a name, what it says."""
    import asyncio

    from agents.cli.screen import Screen

    asyncio.run(_show(Screen(json_only=as_json), name, as_json=as_json))


def apply(
    files: Files = None,
    dry_run: DryRun = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; a script is never asked.")] = False,
    as_json: AsJson = False,
) -> None:
    """Publish what the files change, after showing it: new, unchanged, or replacing a version field by field.

    A fault in any file stops it before anything changes. Running subscriptions keep the version they are on; new ones
    take the newest. Applying twice changes nothing; objects that the files do not name stay.
    """
    import asyncio

    from agents.cli.screen import Screen

    asyncio.run(_apply(Screen(json_only=as_json), _read(files), dry_run=dry_run, yes=yes, as_json=as_json))


def _read(files: list[Path] | None) -> Loaded:
    from agents.catalogue_files import example_folder, read_files

    return read_files(files or [example_folder()])


def _kinds(loaded: Loaded) -> dict[str, Sequence[Any]]:
    return {
        "meters": loaded.meters, "plans": loaded.plans, "tax_rates": loaded.tax_rates, "coupons": loaded.coupons,
        "issuers": loaded.issuers, "alerts": loaded.alerts,
    }  # fmt: skip


def _names(kind: str, objects: Sequence[Any]) -> str:
    what = kind.replace("_", " ").removesuffix("s" if len(objects) == 1 else "")
    return f"{len(objects)} {what} ({', '.join(each.id for each in objects)})"


def _count_of(loaded: Loaded) -> str:
    found = len(loaded.faults)
    return f"{found} fault{'' if found == 1 else 's'} in {len({fault.file for fault in loaded.faults})} file(s)."


# -- apply -----------------------------------------------------------------------------------------------------------


async def _apply(screen: Screen, loaded: Loaded, *, dry_run: bool, yes: bool, as_json: bool) -> None:
    from agents.catalogue import CatalogueLog
    from agents.catalogue import apply as publish
    from agents.catalogue_files import entries_of
    from agents.cli.failures import Refused
    from agents.logs import Logs
    from agents.settings import load
    from pipeline.catalogue.changes import changes, kept, refusals

    if loaded.faults:
        told = "\n  ".join(str(fault) for fault in loaded.faults)
        raise Refused(f"nothing was changed: {_count_of(loaded)}\n  {told}")
    entries = entries_of(loaded)
    async with Logs(load()) as logs:
        current = await CatalogueLog(logs).newest()
        if refused := refusals(current, entries):
            raise Refused("nothing was changed:\n  " + "\n  ".join(refused))
        found, stay = changes(current, entries), kept(current, entries)
        if not as_json:
            say_changes(screen, found, stay)
        if not (dry_run or yes or as_json) and any(change.status != "unchanged" for change in found):
            _ask()
        published = 0 if dry_run else await publish(logs, current, entries)
    if as_json:
        screen.document(
            {"changes": [change_document(change) for change in found], "kept": stay, "published": published}
        )
    else:
        screen.say(_summary(found, published, dry_run=dry_run))


def _ask() -> None:
    """Asks a person at a terminal. Raises Refused for a no."""
    import sys

    from agents.cli.failures import Refused

    if sys.stdin.isatty() and sys.stdout.isatty() and not typer.confirm("Publish these versions?"):
        raise Refused("nothing was changed")


def say_changes(screen: Screen, found: Sequence[Change], stay: Sequence[str]) -> None:
    """What would change, object by object and field by field."""
    signs = {"new": "+", "unchanged": "=", "replaces": "~"}
    for change in found:
        replaced = f" {change.replaces}" if change.replaces else ""
        again = ", applied before" if change.returns else ""
        screen.say(f"{signs[change.status]} {change.entry.key}  {change.status}{replaced}{again}")
        for field in change.fields:
            screen.say(f"    {field.path}: {value_text(field.before)} → {value_text(field.after)}")
    if stay:
        screen.say(f"  not in these files, kept as they are: {', '.join(stay)}")


def _summary(found: Sequence[Change], published: int, *, dry_run: bool) -> str:
    changed = sum(change.status != "unchanged" for change in found)
    if not changed:
        return "Nothing to do: the log has these versions as its newest."
    if dry_run:
        return f"Dry run: {changed} versions would be published, nothing was."
    return f"Published {published} versions; they count from the next tick on. Next: tally catalogue show"


def change_document(change: Change) -> dict[str, Any]:
    """A change for programs."""
    return {
        "key": change.entry.key,
        "status": change.status,
        "replaces": change.replaces or None,
        "fields": [{"path": f.path, "before": f.before, "after": f.after} for f in change.fields],
    }


# -- show ------------------------------------------------------------------------------------------------------------


async def _show(screen: Screen, name: str, *, as_json: bool) -> None:
    from agents.catalogue import CatalogueLog
    from agents.logs import Logs
    from agents.settings import load
    from schemas.catalogue_entry import catalogue_of

    async with Logs(load()) as logs:
        history = await CatalogueLog(logs).history()
    current = catalogue_of(applied.entry for applied in history)
    versions = _matching(_versions(history), name)
    if as_json:
        screen.document([_version_document(applied, current) for applied in versions])
        return
    if not versions:
        screen.say("The log holds no meters and no plans yet. Next: tally catalogue apply")
        return
    _say_versions(screen, versions, current)
    if name:
        newest = [applied for applied in versions if _is_newest(applied.entry, current)] or versions[-1:]
        for applied in newest:
            _say_content(screen, applied.entry)


def _versions(history: Sequence[Applied]) -> list[Applied]:
    """Each version once, with its first record; by kind and name, the first applied first."""
    first: dict[str, Applied] = {}
    for applied in history:
        first.setdefault(applied.entry.key, applied)
    return sorted(first.values(), key=lambda applied: (applied.entry.kind, applied.entry.name, applied.offset))


def _matching(versions: list[Applied], name: str) -> list[Applied]:
    """The versions of a name, or the one of name@version (or the beginning of a version). Raises NotFound."""
    from agents.cli.failures import NotFound
    from pipeline.catalogue.fault_texts import nearest

    wanted, _, version = name.partition("@")
    kind, slash, rest = wanted.partition("/")
    of_kind = slash and kind in ("meter", "plan", "issuer", "coupon", "alert")
    found = [
        applied
        for applied in versions
        if not name
        or (
            applied.entry.version.startswith(version)
            and (applied.entry.name == wanted or (of_kind and (applied.entry.kind, applied.entry.name) == (kind, rest)))
        )
    ]
    if name and not found:
        known = {applied.entry.name for applied in versions}
        raise NotFound(f"the log has no meter and no plan {name!r}{nearest(wanted, known)}; see: tally catalogue show")
    return found


def _is_newest(entry: AnyEntry, current: Catalogue) -> bool:
    newest = current.newest_of(entry)
    return newest is not None and newest.version == entry.version


def _version_document(applied: Applied, current: Catalogue) -> dict[str, Any]:
    from pipeline.catalogue.changes import content

    return {
        "kind": applied.entry.kind,
        "name": applied.entry.name,
        "version": applied.entry.version,
        "newest": _is_newest(applied.entry, current),
        "applied_at": applied.applied_at.isoformat(),
        "offset": applied.offset,
        "content": content(applied.entry),
    }


def _say_versions(screen: Screen, versions: Sequence[Applied], current: Catalogue) -> None:
    rows = [
        (
            applied.entry.kind,
            applied.entry.name,
            applied.entry.version,
            "newest" if _is_newest(applied.entry, current) else "",
            f"{applied.applied_at:%Y-%m-%d %H:%M}",
            described(applied.entry),
        )
        for applied in versions
    ]
    screen.table("", ("kind", "name", "version", "", "applied (UTC)", "what"), rows)


def described(entry: AnyEntry) -> str:
    """What a meter, a plan, a coupon, an alert rule or the issuer is, in a few words."""
    if entry.kind == "alert":
        rule = entry.alert
        at = ", ".join([*map(str, rule.thresholds), *(f"{percent}%" for percent in rule.percents)])
        return f"{'retired: ' if rule.retired else ''}{rule.on} {rule.meter or ''} {at}".strip()
    if entry.kind == "coupon":
        unit = "%" if entry.coupon.type == "percentage" else f" {entry.coupon.currency}"
        return f"{entry.coupon.value}{unit} off {', '.join(entry.coupon.applies_to) or 'everything'}"
    if entry.kind == "issuer":
        return f"{entry.issuer.name} · {entry.issuer.invoice_series}, {entry.issuer.credit_note_series}"
    if entry.kind == "meter":
        meter = entry.meter
        groups = f" by {', '.join(meter.group_by)}" if meter.group_by else ""
        return (
            f"{meter.aggregation}{' of ' + meter.value if meter.value else ''}{groups} · {', '.join(meter.event_types)}"
        )
    plan = entry.plan
    every = f"{plan.interval.count} {plan.interval.unit}s" if plan.interval.count > 1 else plan.interval.unit
    return f"{', '.join(plan.currencies)} per {every} · {', '.join(card.id for card in plan.rate_cards)}"


def _say_content(screen: Screen, entry: AnyEntry) -> None:
    from pipeline.catalogue.changes import content

    screen.table(entry.key, ("field", "value"), list(_leaves(content(entry))))


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """The fields that say something, as (path, text); rows of a list that have an id by that."""
    if value in (None, "", [], {}):
        return
    if isinstance(value, dict):
        for key, below in value.items():
            yield from _leaves(below, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and any(isinstance(each, dict | list) for each in value):
        for index, each in enumerate(value):
            yield from _leaves(each, f"{path}[{each.get('id', index) if isinstance(each, dict) else index}]")
    else:
        yield path, ", ".join(map(str, value)) if isinstance(value, list) else value_text(value)


def value_text(value: Any) -> str:
    """A JSON value in one line, as short as it can be read."""
    import json

    if value is None:
        return "nothing"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
