"""Catalogue files (TOML) become a catalogue, or all their faults; nothing of a faulty catalogue is used.

A fault names the file, the path of the field as the file writes it, what is wrong and what would be right.
Source: rating.md §0, "Validation".
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from pipeline.fault_texts import Steps, faults_of, nearest, path_text
from schemas.catalogue import Catalogue
from schemas.meter import COMBINES_OVER_WINDOWS, Meter
from schemas.plan import Plan, RateCard
from schemas.price import Bucketed, Dynamic, Matrix, Percentage

Model = TypeVar("Model", bound=BaseModel)

# One table `[plan]` in a file, or several as `[[plans]]`; both may be in one catalogue.
_TABLES: Mapping[str, type[BaseModel]] = {"meter": Meter, "meters": Meter, "plan": Plan, "plans": Plan}


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One thing that is wrong in one file, and what would be right."""

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

    @property
    def catalogue(self) -> Catalogue:
        """The meters and plans as one; empty if there are faults."""
        return Catalogue(meters=self.meters, plans=self.plans)


@dataclass(frozen=True, slots=True)
class _Found:
    """A valid meter or plan, and where it stands."""

    file: str
    steps: Steps
    value: Meter | Plan


@dataclass(frozen=True, slots=True)
class _Table:
    """A meter or plan as written, valid or not: names are checked in faulty ones too."""

    file: str
    steps: Steps
    model: type[BaseModel]
    raw: object

    def name(self) -> str | None:
        """Its id, if that is a text."""
        return _text(self.raw, "id")


@dataclass(slots=True)
class _Reading:
    found: list[_Found] = field(default_factory=list)
    tables: list[_Table] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def fault(self, file: str, steps: Steps, problem: str) -> None:
        self.faults.append(Fault(file, path_text(steps), problem))


def load_catalogue(files: Mapping[str, str]) -> Loaded:
    """Reads catalogue files, given as name -> text, checks each field and then all files together."""
    reading = _Reading()
    for file, text in sorted(files.items()):
        _read(reading, file, text)
    _refuse_doubles(reading, Meter)
    _refuse_doubles(reading, Plan)
    _refuse_unknown_meters(reading)
    _refuse_missing_input(reading)
    if reading.faults:
        return Loaded(faults=tuple(sorted(reading.faults, key=lambda fault: fault.file)))
    meters = tuple(found.value for found in reading.found if isinstance(found.value, Meter))
    return Loaded(meters, tuple(found.value for found in reading.found if isinstance(found.value, Plan)))


def _read(reading: _Reading, file: str, text: str) -> None:
    try:
        tables = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        reading.fault(file, (), f"is not TOML: {error}")
        return
    for key, content in tables.items():
        model = _TABLES.get(key)
        if model is None:
            reading.fault(file, (key,), f"unknown key{nearest(key, _TABLES)}")
            continue
        many = content if isinstance(content, list) else [content]
        for index, raw in enumerate(many):
            _read_one(reading, file, (key, index) if isinstance(content, list) else (key,), model, raw)


def _read_one(reading: _Reading, file: str, steps: Steps, model: type[BaseModel], raw: object) -> None:
    reading.tables.append(_Table(file, steps, model, raw))
    try:
        value = model.model_validate(raw)
    except ValidationError as error:
        for below, problem in faults_of(error, model, raw):
            reading.fault(file, (*steps, *below), problem)
        return
    if isinstance(value, Meter | Plan):
        reading.found.append(_Found(file, steps, value))


def _refuse_doubles(reading: _Reading, model: type[BaseModel]) -> None:
    first: dict[str, _Table] = {}
    for table in reading.tables:
        name = table.name()
        if table.model is not model or name is None:
            continue
        earlier = first.setdefault(name, table)
        if earlier is not table:
            problem = f"must differ: {name!r} is {path_text(earlier.steps)} of {earlier.file}"
            reading.fault(table.file, (*table.steps, "id"), problem)


def _refuse_unknown_meters(reading: _Reading) -> None:
    known = {name for table in reading.tables if table.model is Meter and (name := table.name())}
    for table in reading.tables:
        cards = table.raw.get("rate_cards") if table.model is Plan and isinstance(table.raw, Mapping) else None
        for index, card in enumerate(cards if isinstance(cards, list) else ()):
            meter = _text(card, "meter")
            if meter is not None and meter not in known:
                hint = nearest(meter, known) or f"; the meters are {', '.join(sorted(known)) or 'none'}"
                reading.fault(table.file, (*table.steps, "rate_cards", index, "meter"), f"no meter {meter!r}{hint}")


def _refuse_missing_input(reading: _Reading) -> None:
    meters = {found.value.id: found.value for found in reading.found if isinstance(found.value, Meter)}
    for found in reading.found:
        for index, card in enumerate(found.value.rate_cards if isinstance(found.value, Plan) else ()):
            if card.meter in meters:
                for below, problem in input_faults(card, meters[card.meter]):
                    reading.fault(found.file, (*found.steps, "rate_cards", index, *below), problem)


def _text(raw: object, key: str) -> str | None:
    value = raw.get(key) if isinstance(raw, Mapping) else None
    return value if isinstance(value, str) else None


def input_faults(card: RateCard, meter: Meter) -> list[tuple[Steps, str]]:
    """Why a meter cannot supply what the price of a rate card needs: transactions, dimensions or windows."""
    price = card.price
    faults: list[tuple[Steps, str]] = []
    if isinstance(price, Percentage | Dynamic) and meter.aggregation != "sum":
        problem = f"must be a sum of amounts for a {price.model} price; {meter.id} is {meter.aggregation}"
        faults.append((("meter",), problem))
    if isinstance(price, Matrix):
        for index, entry in enumerate(price.prices):
            faults += _ungrouped(("price", "prices", index, "match"), entry.match, meter)
            faults += _ungrouped(("price", "prices", index, "group_by"), entry.group_by, meter)
        faults += _ungrouped(("price", "default_group_by"), price.default_group_by, meter)
    if isinstance(price, Bucketed) and not isinstance(price.by, str):
        faults += _ungrouped(("price", "by"), price.by, meter)
    if isinstance(price, Dynamic):
        faults += _ungrouped(("price", "group_by"), price.group_by, meter)
    windowed = card.free_units_reset != "period" and card.free_units is not None
    if windowed and meter.aggregation not in COMBINES_OVER_WINDOWS:
        faults.append((("free_units_reset",), f'must be "period": {meter.aggregation} does not add up over windows'))
    return faults


def _ungrouped(steps: Steps, dimensions: Mapping[str, object] | Sequence[str], meter: Meter) -> list[tuple[Steps, str]]:
    missing = [dimension for dimension in dimensions if dimension not in meter.group_by]
    grouped = f"is grouped by {', '.join(meter.group_by)}" if meter.group_by else "has no group_by"
    return [(steps, f"{name!r} is not a dimension of meter {meter.id}, which {grouped}") for name in missing]


def tables() -> Mapping[str, type[BaseModel]]:
    """What a catalogue file may hold: the name of a table, or of a list of them, and what each must be."""
    return _TABLES
