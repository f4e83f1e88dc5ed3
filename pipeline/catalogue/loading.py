"""Catalogue files (TOML) become a catalogue, or all their faults; nothing of a faulty catalogue is used.

A fault names the file, the path of the field as the file writes it, what is wrong and what would be right.
Source: rating.md §0, "Validation".
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TypeVar

from pydantic import BaseModel

from pipeline.catalogue.contradictions import commitment_faults, input_faults, unfed
from pipeline.catalogue.fault_texts import Faulty, Steps, checked, nearest, path_text
from pipeline.catalogue.toml_lines import line_numbers, line_of
from schemas.alert_rule import AlertRule
from schemas.catalogue import Catalogue
from schemas.discount import Coupon, unknown_charges
from schemas.issuer import Issuer
from schemas.meter import Meter
from schemas.plan import Plan, RateCard
from schemas.tax import TaxRate

Model = TypeVar("Model", bound=BaseModel)

# One table `[plan]` in a file, or several as `[[plans]]`; both may be in one catalogue.
_TABLES: Mapping[str, type[BaseModel]] = {
    "meter": Meter, "meters": Meter, "plan": Plan, "plans": Plan, "tax_rate": TaxRate, "tax_rates": TaxRate,
    "coupon": Coupon, "coupons": Coupon, "issuer": Issuer, "alert": AlertRule, "alerts": AlertRule,
}  # fmt: skip
_KINDS: tuple[type[BaseModel], ...] = (Meter, Plan, TaxRate, Coupon, Issuer, AlertRule)


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One thing that is wrong in one file, and what would be right."""

    file: str
    path: str
    problem: str
    line: int = 0
    """Where the field is, or the table that lacks it; 0 if the file cannot be read so far."""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.path}: {self.problem}" if self.path else f"{place}: {self.problem}"


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the files define, in file order, or their faults; never both."""

    meters: tuple[Meter, ...] = ()
    plans: tuple[Plan, ...] = ()
    tax_rates: tuple[TaxRate, ...] = ()
    coupons: tuple[Coupon, ...] = ()
    issuers: tuple[Issuer, ...] = ()
    alerts: tuple[AlertRule, ...] = ()
    faults: tuple[Fault, ...] = ()

    @property
    def catalogue(self) -> Catalogue:
        """All of it as one; empty if there are faults."""
        return Catalogue(
            meters=self.meters, plans=self.plans, tax_rates=self.tax_rates, coupons=self.coupons, issuers=self.issuers,
            alerts=self.alerts,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Found:
    """A valid object, and where it stands."""

    file: str
    steps: Steps
    value: BaseModel


@dataclass(frozen=True, slots=True)
class _Table:
    """An object as written, valid or not: names are checked in faulty ones too."""

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

    def names(self, model: type[BaseModel]) -> list[str]:
        """The ids of all objects of a kind, in faulty ones too."""
        return sorted({name for table in self.tables if table.model is model and (name := table.name())})

    def valid(self, model: type[Model]) -> tuple[Model, ...]:
        """The valid objects of a kind, in file order."""
        return tuple(found.value for found in self.found if isinstance(found.value, model))


def load_catalogue(files: Mapping[str, str]) -> Loaded:
    """Reads catalogue files, given as name -> text, checks each field and then all files together."""
    reading = _Reading()
    for file, text in sorted(files.items()):
        _read(reading, file, text)
    for kind in _KINDS:
        _refuse_doubles(reading, kind)
    _refuse_unknown_meters(reading)
    _refuse_unknown_taxes(reading)
    _refuse_unknown_charges(reading)
    _refuse_second_issuer(reading)
    _refuse_unmetered_holds(reading)
    _refuse_unknown_watches(reading)
    _refuse_unfed_meters(reading)
    _refuse_missing_input(reading)
    _refuse_uncountable_commitments(reading)
    if reading.faults:
        return Loaded(faults=_placed(reading.faults, files))
    return Loaded(
        reading.valid(Meter), reading.valid(Plan), reading.valid(TaxRate), reading.valid(Coupon),
        reading.valid(Issuer), reading.valid(AlertRule),
    )  # fmt: skip


def _placed(faults: Sequence[Fault], files: Mapping[str, str]) -> tuple[Fault, ...]:
    """The faults with their lines, by file and line."""
    lines = {name: line_numbers(files[name]) for name in {fault.file for fault in faults if fault.path}}
    placed = [replace(f, line=line_of(lines[f.file], f.path)) if f.path else f for f in faults]
    return tuple(sorted(placed, key=lambda fault: (fault.file, fault.line)))


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
        value = checked(model, raw)
    except Faulty as faulty:
        for below, problem in faulty.faults:
            reading.fault(file, (*steps, *below), problem)
        return
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
    known = reading.names(Meter)
    for table in reading.tables:
        for index, card in _cards(table):
            meter = _text(card, "meter")
            if meter is not None and meter not in known:
                problem = _unknown("meter", meter, known)
                reading.fault(table.file, (*table.steps, "rate_cards", index, "meter"), problem)


def _refuse_unknown_taxes(reading: _Reading) -> None:
    known = reading.names(TaxRate)
    for table in reading.tables:
        if table.model is not Plan:
            continue
        for below, raw in ((), table.raw), *((("rate_cards", index), card) for index, card in _cards(table)):
            for place, name in _names_in(raw, "tax_rates"):
                if name not in known:
                    steps = (*table.steps, *below, "tax_rates", place)
                    reading.fault(table.file, steps, _unknown("tax rate", name, known))


def _refuse_second_issuer(reading: _Reading) -> None:
    """One deployment serves one issuer: a second one, by whatever id, has no documents to stand on."""
    tables = [table for table in reading.tables if table.model is Issuer]
    for table in tables[1:]:
        problem = f"must be one: {path_text(tables[0].steps)} of {tables[0].file} is the issuer of this deployment"
        reading.fault(table.file, table.steps, problem)


def _refuse_unmetered_holds(reading: _Reading) -> None:
    known = reading.names(Meter)
    for found in reading.found:
        for name in found.value.holds.quantities if isinstance(found.value, Issuer) else ():
            if name not in known:
                steps = (*found.steps, "holds", "quantities", name)
                reading.fault(found.file, steps, _unknown("meter", name, known))


def _refuse_unknown_watches(reading: _Reading) -> None:
    """An alert rule that names a meter or a plan that is not there would watch nothing, and say nothing."""
    meters, plans = reading.names(Meter), reading.names(Plan)
    for found in reading.found:
        if not isinstance(found.value, AlertRule):
            continue
        if found.value.meter is not None and found.value.meter not in meters:
            reading.fault(found.file, (*found.steps, "meter"), _unknown("meter", found.value.meter, meters))
        for place, name in enumerate(found.value.plans):
            if name not in plans:
                reading.fault(found.file, (*found.steps, "plans", place), _unknown("plan", name, plans))


def _refuse_unknown_charges(reading: _Reading) -> None:
    cards = (card for table in reading.tables for _, card in _cards(table))
    known = sorted({name for card in cards if (name := _text(card, "id")) is not None})
    for found in reading.found:
        for place, name in unknown_charges(found.value.applies_to, known) if isinstance(found.value, Coupon) else ():
            reading.fault(found.file, (*found.steps, "applies_to", place), _unknown("charge", name, known))


def _cards(table: _Table) -> list[tuple[int, object]]:
    """The rate cards of a plan as written, with their place; none for other objects."""
    cards = table.raw.get("rate_cards") if table.model is Plan and isinstance(table.raw, Mapping) else None
    return list(enumerate(cards)) if isinstance(cards, list) else []


def _names_in(raw: object, key: str) -> list[tuple[int, str]]:
    names = raw.get(key) if isinstance(raw, Mapping) else None
    return [
        (place, name) for place, name in enumerate(names if isinstance(names, list) else ()) if isinstance(name, str)
    ]


def _unknown(kind: str, name: str, known: Sequence[str]) -> str:
    there = f"; the {kind}s are {', '.join(known) or 'none'}"
    return f"no {kind} {name!r}{nearest(name, known) or there}"


def _refuse_unfed_meters(reading: _Reading) -> None:
    for found in reading.found:
        for below, problem in unfed(found.value) if isinstance(found.value, Meter) else ():
            reading.fault(found.file, (*found.steps, *below), problem)


def _refuse_missing_input(reading: _Reading) -> None:
    meters = {meter.id: meter for meter in reading.valid(Meter)}
    for found in reading.found:
        for steps, card in _priced(found.value) if isinstance(found.value, Plan) else ():
            if card.meter is not None and card.meter in meters:
                for below, problem in input_faults(card, meters[card.meter]):
                    reading.fault(found.file, (*found.steps, *steps, *below), problem)


def _refuse_uncountable_commitments(reading: _Reading) -> None:
    for found in reading.found:
        for below, problem in commitment_faults(found.value) if isinstance(found.value, Plan) else ():
            reading.fault(found.file, (*found.steps, *below), problem)


def _priced(plan: Plan) -> Iterator[tuple[Steps, RateCard]]:
    """Every rate card of a plan with each of its prices, and where that stands."""
    for index, card in enumerate(plan.rate_cards):
        yield ("rate_cards", index), card
    for index, listed in enumerate(plan.price_lists):
        for card in plan.in_currency(listed.currency).rate_cards:
            yield ("price_lists", index, "rate_cards", card.id), card


def _text(raw: object, key: str) -> str | None:
    value = raw.get(key) if isinstance(raw, Mapping) else None
    return value if isinstance(value, str) else None


def tables() -> Mapping[str, type[BaseModel]]:
    """What a catalogue file may hold: the name of a table, or of a list of them, and what each must be."""
    return _TABLES
