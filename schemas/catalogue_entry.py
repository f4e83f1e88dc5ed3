"""Records of billing.catalogue: each version of a meter, plan, coupon or issuer once, keyed `kind/name@version`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from schemas.alert_rule import AlertRule
from schemas.discount import Coupon
from schemas.identity import content_version
from schemas.issuer import UNNAMED, Issuer
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
        said = plan.model_dump(mode="json")
        if not plan.entitlements:  # a plan without any is the version that it was before there were any
            del said["entitlements"]
        content: dict[str, object] = {"plan": said, "meters": used}
        if taxes:
            content["tax_rates"] = [rate.model_dump(mode="json") for rate in taxes]
        return cls(name=plan.id, version=content_version(content), plan=plan, meters=used, tax_rates=taxes)

    @property
    def key(self) -> str:
        """`plan/name@version`."""
        return entry_key(self)


class IssuerEntry(BaseModel):
    """A version of the issuer's record. Documents carry the one that is newest as of their tick."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["issuer"] = "issuer"
    name: str
    version: str
    issuer: Issuer

    @classmethod
    def of(cls, issuer: Issuer) -> IssuerEntry:
        """The entry of an issuer, with its version."""
        return cls(name=issuer.id, version=content_version(issuer.model_dump(mode="json")), issuer=issuer)

    @property
    def key(self) -> str:
        """`issuer/name@version`."""
        return entry_key(self)


class CouponEntry(BaseModel):
    """A version of a coupon. Who redeems it keeps that version."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["coupon"] = "coupon"
    name: str
    version: str
    coupon: Coupon

    @classmethod
    def of(cls, coupon: Coupon) -> CouponEntry:
        """The entry of a coupon, with its version."""
        return cls(name=coupon.id, version=content_version(coupon.model_dump(mode="json")), coupon=coupon)

    @property
    def key(self) -> str:
        """`coupon/name@version`."""
        return entry_key(self)


class AlertEntry(BaseModel):
    """A version of an alert rule. The newest one watches; a rule that is `retired` watches nothing any more."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["alert"] = "alert"
    name: str
    version: str
    alert: AlertRule

    @classmethod
    def of(cls, rule: AlertRule) -> AlertEntry:
        """The entry of a rule, with its version."""
        return cls(name=rule.id, version=content_version(rule.model_dump(mode="json")), alert=rule)

    @property
    def key(self) -> str:
        """`alert/name@version`."""
        return entry_key(self)


AnyEntry = MeterEntry | PlanEntry | IssuerEntry | CouponEntry | AlertEntry
Entry = Annotated[AnyEntry, Field(discriminator="kind")]
ENTRY: TypeAdapter[AnyEntry] = TypeAdapter(Entry)


def entry_key(entry: AnyEntry) -> str:
    """The key of the record: `kind/name@version`."""
    return f"{entry.kind}/{entry.name}@{entry.version}"


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What lies below a position of billing.catalogue, by (name, version), and the newest version of each name."""

    meters: Mapping[tuple[str, str], MeterEntry] = field(default_factory=dict)
    plans: Mapping[tuple[str, str], PlanEntry] = field(default_factory=dict)
    newest_meters: Mapping[str, str] = field(default_factory=dict)
    newest_plans: Mapping[str, str] = field(default_factory=dict)
    issuers: Mapping[tuple[str, str], IssuerEntry] = field(default_factory=dict)
    newest_issuers: Mapping[str, str] = field(default_factory=dict)
    issuer: Issuer = UNNAMED
    """The one that was applied last."""
    coupons: Mapping[tuple[str, str], CouponEntry] = field(default_factory=dict)
    newest_coupons: Mapping[str, str] = field(default_factory=dict)
    alerts: Mapping[tuple[str, str], AlertEntry] = field(default_factory=dict)
    newest_alerts: Mapping[str, str] = field(default_factory=dict)

    @property
    def alert_rules(self) -> tuple[AlertRule, ...]:
        """The newest version of each rule that is not retired, by name."""
        newest = (self.alerts[name, version].alert for name, version in sorted(self.newest_alerts.items()))
        return tuple(rule for rule in newest if not rule.retired)

    def plan(self, name: str, version: str) -> PlanEntry | None:
        """A version of a plan, if it is there."""
        return self.plans.get((name, version))

    def holds(self, entry: AnyEntry) -> bool:
        """Whether this very version was applied before."""
        return (entry.name, entry.version) in self._versions(entry)[0]

    def newest_of(self, entry: AnyEntry) -> AnyEntry | None:
        """The newest version of the object that an entry is a version of; None if there is none."""
        versions, newest = self._versions(entry)
        version = newest.get(entry.name)
        return None if version is None else versions[entry.name, version]

    def _versions(self, entry: AnyEntry) -> tuple[Mapping[tuple[str, str], AnyEntry], Mapping[str, str]]:
        if isinstance(entry, MeterEntry):
            return self.meters, self.newest_meters
        if isinstance(entry, PlanEntry):
            return self.plans, self.newest_plans
        if isinstance(entry, CouponEntry):
            return self.coupons, self.newest_coupons
        if isinstance(entry, AlertEntry):
            return self.alerts, self.newest_alerts
        return self.issuers, self.newest_issuers

    def meters_of(self, plan: PlanEntry) -> tuple[MeterEntry, ...]:
        """The meters that a plan version prices, in the versions it froze."""
        return tuple(self.meters[name, version] for name, version in sorted(plan.meters.items()))


def catalogue_of(entries: Iterable[AnyEntry]) -> Catalogue:
    """Folds records in log order: each version once, and the newest applied of a name is its current one."""
    meters: dict[tuple[str, str], MeterEntry] = {}
    plans: dict[tuple[str, str], PlanEntry] = {}
    issuers: dict[tuple[str, str], IssuerEntry] = {}
    newest: dict[str, dict[str, str]] = {"meter": {}, "plan": {}, "issuer": {}, "coupon": {}, "alert": {}}
    coupons: dict[tuple[str, str], CouponEntry] = {}
    alerts: dict[tuple[str, str], AlertEntry] = {}
    issuer = UNNAMED
    for entry in entries:
        newest[entry.kind][entry.name] = entry.version
        if isinstance(entry, MeterEntry):
            meters.setdefault((entry.name, entry.version), entry)
        elif isinstance(entry, PlanEntry):
            plans.setdefault((entry.name, entry.version), entry)
        elif isinstance(entry, CouponEntry):
            coupons.setdefault((entry.name, entry.version), entry)
        elif isinstance(entry, AlertEntry):
            alerts.setdefault((entry.name, entry.version), entry)
        else:
            issuers.setdefault((entry.name, entry.version), entry)
            issuer = entry.issuer
    return Catalogue(
        meters, plans, newest["meter"], newest["plan"], issuers, newest["issuer"], issuer, coupons, newest["coupon"],
        alerts, newest["alert"],
    )  # fmt: skip
