"""Records of billing.catalogue: each version of a meter or a plan once, keyed `kind/name@version`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from schemas.identity import content_version
from schemas.meter import Meter
from schemas.plan import Plan
from schemas.tax import TaxRate


class MeterEntry(BaseModel):
    """A version of a meter. The version is a hash of the content, so equal content is one version."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["meter"] = "meter"
    name: str
    version: str
    meter: Meter

    @classmethod
    def of(cls, meter: Meter) -> MeterEntry:
        """The entry of a meter, with its version."""
        return cls(name=meter.id, version=content_version(meter.model_dump(mode="json")), meter=meter)

    @property
    def key(self) -> str:
        """`meter/name@version`."""
        return entry_key(self)


class PlanEntry(BaseModel):
    """A version of a plan, with the version of each meter that it prices and the taxes it names.

    A running subscription keeps all of them: an invoice is a function of its close and of this entry.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["plan"] = "plan"
    name: str
    version: str
    plan: Plan
    meters: Mapping[str, str]
    tax_rates: tuple[TaxRate, ...] = ()
    """With all their percentages in time: the tax point of a line chooses."""

    @classmethod
    def of(cls, plan: Plan, meters: Mapping[str, str], tax_rates: Iterable[TaxRate] = ()) -> PlanEntry:
        """The entry of a plan that prices `meters` (meter id -> version), with its version; only what it names."""
        used = {card.meter: meters[card.meter] for card in plan.rate_cards if card.meter is not None}
        named = {*plan.tax_rates, *(name for card in plan.rate_cards for name in card.tax_rates)}
        taxes = tuple(sorted((rate for rate in tax_rates if rate.id in named), key=lambda rate: rate.id))
        content: dict[str, object] = {"plan": plan.model_dump(mode="json"), "meters": used}
        if taxes:
            content["tax_rates"] = [rate.model_dump(mode="json") for rate in taxes]
        return cls(name=plan.id, version=content_version(content), plan=plan, meters=used, tax_rates=taxes)

    @property
    def key(self) -> str:
        """`plan/name@version`."""
        return entry_key(self)


Entry = Annotated[MeterEntry | PlanEntry, Field(discriminator="kind")]
ENTRY: TypeAdapter[MeterEntry | PlanEntry] = TypeAdapter(Entry)


def entry_key(entry: MeterEntry | PlanEntry) -> str:
    """The key of the record: `kind/name@version`."""
    return f"{entry.kind}/{entry.name}@{entry.version}"


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The meters and plans below a position of billing.catalogue, by (name, version), and the newest of each name."""

    meters: Mapping[tuple[str, str], MeterEntry] = field(default_factory=dict)
    plans: Mapping[tuple[str, str], PlanEntry] = field(default_factory=dict)
    newest_meters: Mapping[str, str] = field(default_factory=dict)
    newest_plans: Mapping[str, str] = field(default_factory=dict)

    def plan(self, name: str, version: str) -> PlanEntry | None:
        """A version of a plan, if it is there."""
        return self.plans.get((name, version))

    def holds(self, entry: MeterEntry | PlanEntry) -> bool:
        """Whether this very version was applied before."""
        return (entry.name, entry.version) in (self.meters if isinstance(entry, MeterEntry) else self.plans)

    def newest_of(self, entry: MeterEntry | PlanEntry) -> MeterEntry | PlanEntry | None:
        """The newest version of the object that an entry is a version of; None if there is none."""
        if isinstance(entry, MeterEntry):
            meter = self.newest_meters.get(entry.name)
            return None if meter is None else self.meters[entry.name, meter]
        plan = self.newest_plans.get(entry.name)
        return None if plan is None else self.plans[entry.name, plan]

    def meters_of(self, plan: PlanEntry) -> tuple[MeterEntry, ...]:
        """The meters that a plan version prices, in the versions it froze."""
        return tuple(self.meters[name, version] for name, version in sorted(plan.meters.items()))


def catalogue_of(entries: Iterable[MeterEntry | PlanEntry]) -> Catalogue:
    """Folds records in log order: each version once, and the newest applied of a name is its current one."""
    meters: dict[tuple[str, str], MeterEntry] = {}
    plans: dict[tuple[str, str], PlanEntry] = {}
    newest_meters: dict[str, str] = {}
    newest_plans: dict[str, str] = {}
    for entry in entries:
        if isinstance(entry, MeterEntry):
            meters.setdefault((entry.name, entry.version), entry)
            newest_meters[entry.name] = entry.version
        else:
            plans.setdefault((entry.name, entry.version), entry)
            newest_plans[entry.name] = entry.version
    return Catalogue(meters, plans, newest_meters, newest_plans)
