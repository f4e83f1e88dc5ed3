"""What applying a catalogue would change: every object against its newest version, field by field.

A version is a hash of its content, so equal content is the same version and applying it again changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from schemas.catalogue_entry import AnyEntry, Catalogue, PlanEntry

Status = Literal["new", "unchanged", "replaces"]


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field that differs, as JSON values; None where it is absent or empty."""

    path: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Change:
    """What applying one object would do. `replaces` is the version that is newest now."""

    entry: AnyEntry
    status: Status
    replaces: str = ""
    returns: bool = False
    """Whether the version was applied before and is becoming the newest again."""
    fields: tuple[FieldChange, ...] = ()


def changes(current: Catalogue, entries: Sequence[AnyEntry]) -> tuple[Change, ...]:
    """What each entry would change, in order; unchanged ones included."""
    return tuple(_change(current, entry) for entry in entries)


def kept(current: Catalogue, entries: Sequence[AnyEntry]) -> tuple[str, ...]:
    """Objects of the log that the entries do not name, as `kind/name`: applying leaves them as they are."""
    named = {(entry.kind, entry.name) for entry in entries}
    there = [("meter", name) for name in sorted(current.newest_meters)]
    there += [("plan", name) for name in sorted(current.newest_plans)]
    there += [("issuer", name) for name in sorted(current.newest_issuers)]
    there += [("coupon", name) for name in sorted(current.newest_coupons)]
    there += [("alert", name) for name in sorted(current.newest_alerts)]
    return tuple(f"{kind}/{name}" for kind, name in there if (kind, name) not in named)


def refusals(current: Catalogue, entries: Sequence[AnyEntry]) -> tuple[str, ...]:
    """Why nothing of the entries may be applied: a plan whose `version` number already stands for other content."""
    found = []
    for entry in entries:
        number = entry.plan.version if isinstance(entry, PlanEntry) else None
        if number is None or (entry.name, entry.version) in current.plans:
            continue
        taken = [held for held in current.plans.values() if held.name == entry.name and held.plan.version == number]
        if taken:
            highest = max(h.plan.version or 0 for h in current.plans.values() if h.name == entry.name)
            found.append(
                f"plan {entry.name}: version: {number} is {taken[0].key} with other content, and versions never"
                f" change; must be a new number such as {highest + 1}, or left out"
            )
    return tuple(found)


def content(entry: AnyEntry) -> dict[str, Any]:
    """What an entry says, as JSON values: the definition, and for a plan what it freezes of others."""
    told = entry.model_dump(mode="json", exclude={"kind", "name", "version"})
    definition: dict[str, Any] = told.pop(entry.kind)
    return {**definition, **{f"{key} (frozen)" if key in definition else key: told[key] for key in told}}


def differences(before: Any, after: Any, path: str = "") -> Iterator[FieldChange]:
    """The fields in which two JSON values differ; lists of tables with an `id` are compared by id."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in [*before, *(key for key in after if key not in before)]:
            yield from differences(before.get(key), after.get(key), f"{path}.{key}" if path else str(key))
    elif _have_ids(before) and _have_ids(after):
        yield from _by_id(before, after, path)
    elif isinstance(before, list) and isinstance(after, list):
        for index in range(max(len(before), len(after))):
            old, new = (side[index] if index < len(side) else None for side in (before, after))
            yield from differences(old, new, f"{path}[{index}]")
    elif before != after:
        yield FieldChange(path, before, after)


def _change(current: Catalogue, entry: AnyEntry) -> Change:
    newest = current.newest_of(entry)
    if newest is None:
        return Change(entry, "new")
    if newest.version == entry.version:
        return Change(entry, "unchanged")
    returns = current.holds(entry)
    return Change(entry, "replaces", newest.version, returns, tuple(differences(content(newest), content(entry))))


def _have_ids(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, Mapping) and "id" in each for each in value)


def _by_id(before: Sequence[Any], after: Sequence[Any], path: str) -> Iterator[FieldChange]:
    old, new = ({each["id"]: each for each in side} for side in (before, after))
    for name in [*old, *(name for name in new if name not in old)]:
        yield from differences(old.get(name), new.get(name), f"{path}[{name}]")
    if list(old) != list(new) and set(old) == set(new):
        yield FieldChange(f"{path} (order)", list(old), list(new))
