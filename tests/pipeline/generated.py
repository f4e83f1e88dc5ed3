"""Rate cards and usage of every kind, for laws that hold for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from pipeline.rating.pricing import UsageRow
from schemas.period import Period
from schemas.plan import RateCard
from tests.pipeline.rate_cards import D, day

DAYS = [Period(day(number), day(number + 1)) for number in range(1, 10)]


def decimals(low: int = 0, high: int = 10_000, places: int = 4) -> st.SearchStrategy[str]:
    """Text of a decimal."""
    return st.integers(low * 10**places, high * 10**places).map(lambda units: str(D(units).scaleb(-places)))


PRICES = decimals(0, 5)
MONEY = decimals(0, 500, 2)


@st.composite
def tiers(draw: st.DrawFn, rate: str = "unit_price") -> list[dict[str, str]]:
    """One to four ascending tiers, the first perhaps up to 0."""
    bounds = sorted(draw(st.sets(st.integers(0, 3000), max_size=3)))
    rates = [{rate: draw(PRICES), "flat_fee": draw(decimals(0, 20, 2))} for _ in range(len(bounds) + 1)]
    return [one | {"up_to": str(bound)} for one, bound in zip(rates, bounds, strict=False)] + rates[len(bounds) :]


flat = st.fixed_dictionaries({"model": st.just("flat"), "amount": MONEY, "quantity": decimals(0, 9, 1)})
per_unit = st.fixed_dictionaries({"model": st.just("per_unit"), "unit_price": PRICES})
graduated = st.fixed_dictionaries({"model": st.just("graduated"), "tiers": tiers()})
volume = st.fixed_dictionaries({"model": st.just("volume"), "tiers": tiers()})
package = st.fixed_dictionaries(
    {"model": st.just("package"), "package_size": decimals(1, 50, 1), "package_price": PRICES},
    optional={"rounding": st.sampled_from(["up", "down"])},
)
graduated_percentage = st.fixed_dictionaries({"model": st.just("graduated_percentage"), "tiers": tiers("rate_percent")})
dynamic = st.fixed_dictionaries({"model": st.just("dynamic"), "multiplier": PRICES})
scalar = per_unit | graduated | volume | package | graduated_percentage | dynamic
by_group = st.fixed_dictionaries({"model": st.just("dynamic"), "multiplier": PRICES, "group_by": st.just(["team"])})
percentage = st.fixed_dictionaries(
    {"model": st.just("percentage"), "rate_percent": PRICES},
    optional={
        "fixed_fee": MONEY, "free_events": st.integers(0, 5), "free_amount": MONEY,
        "min_per_event": decimals(0, 5, 2), "max_per_event": decimals(5, 9, 2),
    },
)  # fmt: skip
matrix = st.fixed_dictionaries(
    {
        "model": st.just("matrix"),
        "default_unit_price": PRICES,
        "prices": st.lists(
            st.fixed_dictionaries(
                {
                    "match": st.dictionaries(
                        st.sampled_from(["region", "team"]),
                        st.lists(st.sampled_from(["a", "b", "*"]), min_size=1, max_size=2), min_size=1,
                    ),
                    "unit_price": PRICES,
                },
                optional={"group_by": st.just(["team"])},
            ),
            min_size=1, max_size=3,
        ),
    }
)  # fmt: skip
bucketed = st.fixed_dictionaries(
    {"model": st.just("bucketed"), "by": st.sampled_from(["day", ["team"]]), "price": scalar | flat},
    optional={"free_units_per_bucket": decimals(0, 50, 1)},
)
SCALAR_MODELS = {
    "flat": flat, "per_unit": per_unit, "graduated": graduated, "volume": volume, "package": package,
    "graduated_percentage": graduated_percentage, "dynamic": dynamic,
}  # fmt: skip
MODELS = SCALAR_MODELS | {"percentage": percentage, "matrix": matrix, "bucketed": bucketed, "by_group": by_group}

conversions = st.fixed_dictionaries(
    {"factor": st.sampled_from(["1000", "60", "0.5", "3"])},
    optional={
        "operation": st.sampled_from(["divide", "multiply"]),
        "rounding": st.sampled_from(["none", "ceiling", "floor", "half_up"]),
        "precision": st.integers(-1, 3),
    },
)


@st.composite
def modifiers(draw: st.DrawFn, model: str, *, with_commitment: bool = True) -> dict[str, Any]:
    """Any modifiers that a price of the model may have."""
    found: dict[str, Any] = {}
    if model != "flat":
        found |= draw(st.fixed_dictionaries({}, optional={"unit_conversion": conversions}))
    if model not in ("flat", "percentage", "package", "bucketed"):
        found |= draw(st.fixed_dictionaries({}, optional={"free_units": decimals(0, 500, 1)}))
        if "free_units" in found and model in SCALAR_MODELS:
            found |= draw(st.fixed_dictionaries({}, optional={"free_units_reset": st.just("day")}))
    found |= draw(st.fixed_dictionaries({}, optional={"percentage_discount": decimals(0, 100, 1)}))
    if with_commitment and draw(st.booleans()):
        size = {"amount": draw(MONEY)} if model not in SCALAR_MODELS or draw(st.booleans()) else None
        found["commitment"] = {
            **(size or {"quantity": draw(decimals(0, 3000, 1))}), "overage_factor": draw(PRICES),
            "per": draw(st.sampled_from(["period", "day"])), "true_up": draw(st.booleans()),
        }  # fmt: skip
        return found
    minimum, maximum = sorted(map(D, (draw(decimals(0, 500, 3)), draw(decimals(0, 500, 3)))))
    found |= {"minimum": str(minimum)} if draw(st.booleans()) else {}
    return found | ({"maximum": str(maximum)} if draw(st.booleans()) else {})


@st.composite
def cards(draw: st.DrawFn, *, with_commitment: bool = True) -> RateCard:
    """A rate card of usage of any model, with any modifiers."""
    model = draw(st.sampled_from(sorted(MODELS)))
    own = draw(modifiers(model, with_commitment=with_commitment))
    return RateCard.model_validate({"id": "usage", "meter": "requests", "price": draw(MODELS[model]), **own})


values = st.fixed_dictionaries({}, optional={name: st.sampled_from(["a", "b", None]) for name in ("region", "team")})
row = st.builds(
    lambda quantity, dimensions, window, events: UsageRow(D(quantity), dimensions, window, events),
    decimals(-100, 900, 3), values, st.sampled_from(DAYS), st.integers(1, 5),
)  # fmt: skip


def usage(max_rows: int = 8) -> st.SearchStrategy[Sequence[UsageRow]]:
    """Rows in order of arrival, each with dimensions and a day of March; negative corrections among them."""
    return st.lists(row, max_size=max_rows).map(tuple)
