"""Catalogue files (TOML) become meters and plans, or a list of faults; nothing of a faulty catalogue is used.

A fault names file, path of the field, what is wrong and what would be right. Source: rating.md §0, "Validation".
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from schemas.meter import Meter
from schemas.plan import Plan


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong in one file: `path` is the field as the file writes it."""

    file: str
    path: str
    problem: str

    def __str__(self) -> str:
        return f"{self.file}: {self.path}: {self.problem}" if self.path else f"{self.file}: {self.problem}"


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the files define, in file order, or their faults; never both."""

    meters: tuple[Meter, ...] = ()
    plans: tuple[Plan, ...] = ()
    faults: tuple[Fault, ...] = ()


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    meters: tuple[Meter, ...] = ()
    plans: tuple[Plan, ...] = ()


def load_catalogue(files: Mapping[str, str]) -> Loaded:
    """Reads catalogue files, given as name -> text, and checks them together."""
    faults: list[Fault] = []
    meters: list[tuple[str, int, Meter]] = []
    plans: list[tuple[str, int, Plan]] = []
    for name, text in sorted(files.items()):
        parsed = _parse(name, text)
        if isinstance(parsed, _File):
            meters += [(name, index, meter) for index, meter in enumerate(parsed.meters)]
            plans += [(name, index, plan) for index, plan in enumerate(parsed.plans)]
        else:
            faults += parsed
    if not faults:
        faults += _doubled("meters", meters) + _doubled("plans", plans) + _unknown_meters(meters, plans)
    if faults:
        return Loaded(faults=tuple(faults))
    return Loaded(tuple(meter for *_, meter in meters), tuple(plan for *_, plan in plans))


def _parse(name: str, text: str) -> _File | list[Fault]:
    try:
        raw = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        return [Fault(name, "", f"is not TOML: {error}")]
    try:
        return _File.model_validate(raw)
    except ValidationError as error:
        return [_fault(name, dict(detail)) for detail in error.errors()]


def _fault(name: str, detail: dict[str, Any]) -> Fault:
    message = re.sub(r"^(Value|Assertion) error, ", "", str(detail["msg"]))
    location = [part for part in detail["loc"] if not _is_tag(part)]
    if detail["type"] == "extra_forbidden":
        message = f"unknown key{_suggestion(location)}"
    elif detail["type"] == "missing":
        message = "is missing"
    elif detail["type"] == "union_tag_invalid":
        message = f"must be one of {detail['ctx']['expected_tags']}, is {detail['ctx']['tag']!r}"
        location.append("model")
    # Validators of a whole table name the field themselves, as "field: what".
    if match := re.match(r"^([a-z_]+(?:\[\d+\])?(?:\.[a-z_]+)*): (.*)$", message, re.DOTALL):
        location.append(match[1])
        message = match[2]
    return Fault(name, _path(location), message)


def _is_tag(part: object) -> bool:
    return part in {"flat", "per_unit", "graduated", "volume", "package"}


def _suggestion(location: Sequence[object]) -> str:
    known: Iterable[str] = {*Meter.model_fields, *Plan.model_fields, *_RATE_CARD_KEYS}
    near = difflib.get_close_matches(str(location[-1]), known, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


_RATE_CARD_KEYS = (
    "meter", "timing", "price", "proration", "model", "amount", "quantity", "unit_price", "tiers", "up_to", "flat_fee",
    "package_size", "package_price", "free_units", "rounding", "meters", "plans", "rate_cards",
)  # fmt: skip


def _path(location: Iterable[object]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _doubled(table: str, entries: Sequence[tuple[str, int, Meter]] | Sequence[tuple[str, int, Plan]]) -> list[Fault]:
    first: dict[str, str] = {}
    faults = []
    for file, index, entry in entries:
        if entry.id in first:
            problem = f"{entry.id!r} is defined in {first[entry.id]} already; ids are unique"
            faults.append(Fault(file, f"{table}[{index}].id", problem))
        first.setdefault(entry.id, file)
    return faults


def _unknown_meters(meters: Sequence[tuple[str, int, Meter]], plans: Sequence[tuple[str, int, Plan]]) -> list[Fault]:
    known = [meter.id for *_, meter in meters]
    faults = []
    for file, index, plan in plans:
        for position, card in enumerate(plan.rate_cards):
            if card.meter is None or card.meter in known:
                continue
            near = difflib.get_close_matches(card.meter, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; the meters are {', '.join(known) or 'none'}"
            path = f"plans[{index}].rate_cards[{position}].meter"
            faults.append(Fault(file, path, f"no meter {card.meter!r}{hint}"))
    return faults
