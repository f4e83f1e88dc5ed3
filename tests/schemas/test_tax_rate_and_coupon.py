"""rating.md §6, §7: tax rates and coupons of a catalogue, and what is refused in them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from pipeline.catalogue.loading import load_catalogue
from schemas.catalogue_entry import ENTRY, PlanEntry
from schemas.tax import Exemption, TaxRate, exemption

D = Decimal

CATALOGUE = """
[[tax_rates]]
id = "vat-de"
name = "USt"
percentages = [
  { percentage = "19" },
  { percentage = "16", effective_from = 2020-07-01 },
  { percentage = "19", effective_from = 2021-01-01 },
]

[[tax_rates]]
id = "reduced"
percentages = [{ percentage = 7 }]

[[coupons]]
id = "welcome"
type = "fixed"
value = "25.00"
currency = "EUR"
applies_to = ["platform"]

[[plans]]
id = "team"
currency = "EUR"
tax_rates = ["vat-de"]
rate_cards = [
  { id = "platform", price = { model = "flat", amount = "49.00" } },
  { id = "books", tax_rates = ["reduced"], price = { model = "flat", amount = "10.00" } },
]
"""


def faults(text: str) -> list[str]:
    return [f"{fault.path}: {fault.problem}" for fault in load_catalogue({"plans.toml": text}).faults]


def test_a_catalogue_holds_tax_rates_and_coupons() -> None:
    loaded = load_catalogue({"plans.toml": CATALOGUE})
    assert loaded.faults == ()
    vat, reduced = loaded.tax_rates
    assert [vat.on(day).percentage for day in (date(2020, 6, 30), date(2020, 7, 1), date(2020, 12, 31))] == [19, 16, 16]
    assert vat.on(date(2021, 1, 1)).percentage == D(19)
    assert (reduced.on(date(1999, 1, 1)).percentage, reduced.compound) == (D(7), False)
    (coupon,) = loaded.coupons
    assert (coupon.value, coupon.scope, coupon.covers("platform"), coupon.covers("books")) == (
        D("25.00"), "invoice", True, False,
    )  # fmt: skip


def test_a_plan_version_freezes_the_taxes_it_names() -> None:
    loaded = load_catalogue({"plans.toml": CATALOGUE})
    entry = PlanEntry.of(loaded.plans[0], {}, loaded.tax_rates)
    assert [rate.id for rate in entry.tax_rates] == ["reduced", "vat-de"]
    assert ENTRY.validate_json(entry.model_dump_json()) == entry
    dearer = load_catalogue({"plans.toml": CATALOGUE.replace('"16"', '"17"')})
    assert PlanEntry.of(dearer.plans[0], {}, dearer.tax_rates).version != entry.version
    unnamed = TaxRate.model_validate({"id": "other", "percentages": [{"percentage": "1"}]})
    assert PlanEntry.of(loaded.plans[0], {}, (*loaded.tax_rates, unnamed)) == entry


@pytest.mark.parametrize(
    ("before", "after", "fault"),
    [
        ('tax_rates = ["vat-de"]', 'tax_rates = ["vat-ed"]',
         "plans[0].tax_rates[0]: no tax rate 'vat-ed'; did you mean 'vat-de'?"),
        ('["reduced"]', '["reduced", "x"]',
         "plans[0].rate_cards[1].tax_rates[1]: no tax rate 'x'; the tax rates are reduced, vat-de"),
        ('percentage = "16"', 'percentage = "-16"',
         "tax_rates[0].percentages[1].percentage: must be at least 0, not '-16'"),
        ("2021-01-01", "2020-07-01",
         "tax_rates[0].percentages[2].effective_from: must be after 2020-07-01 (percentages ascend in time)"),
        ('{ percentage = "16", effective_from = 2020-07-01 }', '{ percentage = "16" }',
         "tax_rates[0].percentages[1].effective_from: is missing: only the first percentage has none"),
        ('{ percentage = "19" },', '{ percentage = "19", effective_from = 2007-01-01 },',
         'tax_rates[0].percentages[0].effective_from: must be left out: the first percentage holds from the beginning'
         ' ("0" before there was a tax)'),
        ("[{ percentage = 7 }]", "[]", "tax_rates[1].percentages: must not be empty"),
        ('id = "reduced"', 'id = "vat-de"', "tax_rates[1].id: must differ: 'vat-de' is tax_rates[0] of plans.toml"),
        ('value = "25.00"', 'value = "-25.00"', "coupons[0].value: must be at least 0, not '-25.00'"),
        ('currency = "EUR"\napplies_to', "applies_to",
         'coupons[0].currency: is missing: a fixed amount is in a currency, such as "EUR"'),
        ('currency = "EUR"\napplies_to', 'currency = "EURO"\napplies_to',
         "coupons[0].currency: unknown code 'EURO'; use an ISO 4217 code such as \"EUR\""),
        ('type = "fixed"', 'type = "percentage"',
         "coupons[0].currency: must be left out: a percentage is the same in every currency"),
        ('applies_to = ["platform"]', 'applies_to = ["platfrom"]',
         "coupons[0].applies_to[0]: no charge 'platfrom'; did you mean 'platform'?"),
        ('[[coupons]]', '[[cupons]]', "cupons: unknown key; did you mean 'coupons'?"),
        ('value = "25.00"', 'value = "25.00"\nlimit = 3', "coupons[0].limit: unknown key"),
    ],
)  # fmt: skip
def test_refused_catalogues(before: str, after: str, fault: str) -> None:
    assert before in CATALOGUE
    assert fault in faults(CATALOGUE.replace(before, after, 1))


def test_refused_an_unknown_reason_code() -> None:
    assert exemption("reverse_charge") is Exemption.REVERSE_CHARGE
    assert {reason.category for reason in Exemption} == {"AE", "K", "G", "E", "O"}
    with pytest.raises(ValueError, match="unknown reason 'reverse'; one of reverse_charge"):
        exemption("reverse")


def test_a_moment_before_a_midnight_belongs_to_the_day_before() -> None:
    from schemas.period import Moment

    midnight = datetime(2027, 1, 1, tzinfo=UTC)
    assert Moment(midnight).local_date("UTC") == date(2027, 1, 1)
    assert Moment(midnight, before=True).local_date("UTC") == date(2026, 12, 31)
    assert Moment(midnight, before=True).local_date("Europe/Berlin") == date(2027, 1, 1)
