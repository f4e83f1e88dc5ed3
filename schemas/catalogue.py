"""The catalogue: meters, the plans that price them, their taxes, coupons, and who issues the documents."""

from __future__ import annotations

from schemas.alert_rule import AlertRule
from schemas.discount import Coupon
from schemas.faults import Strict
from schemas.issuer import Issuer
from schemas.meter import Meter
from schemas.plan import Plan
from schemas.tax import TaxRate


class Catalogue(Strict):
    """Everything that was loaded together; checked as a whole by `pipeline.catalogue.loading`."""

    meters: tuple[Meter, ...] = ()
    plans: tuple[Plan, ...] = ()
    tax_rates: tuple[TaxRate, ...] = ()
    coupons: tuple[Coupon, ...] = ()
    issuers: tuple[Issuer, ...] = ()
    alerts: tuple[AlertRule, ...] = ()

    def meter(self, meter_id: str) -> Meter | None:
        """The meter of an id, if it is there."""
        return next((meter for meter in self.meters if meter.id == meter_id), None)

    def plan(self, plan_id: str) -> Plan | None:
        """The plan of an id, if it is there."""
        return next((plan for plan in self.plans if plan.id == plan_id), None)
