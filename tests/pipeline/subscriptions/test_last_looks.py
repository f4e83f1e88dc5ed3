"""rating.md §8: late usage of a customer whose subscriptions have all ended still finds its adjustment."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from pipeline.closing.runs import bill, next_due_at
from schemas.customer_state import Redeemed
from schemas.discount import Discount
from tests.pipeline.billing import Billing, at, fee, plan, use


def ended(**fields: Any) -> Billing:
    """A month of service that ended on 20 January 2027, and was billed the day after."""
    life = Billing([plan("small", fee("7.00"), use(), grace="6 h", **fields)])
    life.do("subscribe", plan="small")
    life.tick("2027-01-01 00:01")
    life.do("cancel", at="2027-01-20T00:00Z")
    life.tick("2027-01-21")
    return life


def looks(life: Billing) -> list[datetime]:
    """Every moment at which a run comes from now on."""
    found = []
    while (moment := next_due_at(life.state)) is not None:
        found.append(moment)
        life.tick(f"{moment:%Y-%m-%d %H:%M}")
    return found


def test_a_run_comes_with_each_boundary_of_the_grid_until_the_horizon_and_none_after_it() -> None:
    life = ended(late_usage={"horizon": "60 d"})
    billed = life.billed()
    assert looks(life) == [at("2027-02-01 06:00"), at("2027-03-01 06:00"), at("2027-03-20 23:00")]
    assert life.tick("2027-12-01") == []
    assert life.billed() == billed
    assert [run.periods for run in life.runs[-3:]] == [(), (), ()]
    assert life.runs[-1].follows == life.runs[-2].tick.number


def test_where_late_usage_is_never_settled_no_run_comes() -> None:
    assert looks(ended(late_usage={"horizon": "0 s"})) == []


def test_a_subscription_without_meters_is_not_looked_at() -> None:
    life = Billing([plan("seat", fee("7.00"))])
    life.do("subscribe", plan="seat")
    life.tick("2027-01-01 00:01")
    life.do("cancel")
    assert next_due_at(life.state) is None


def test_a_look_uses_no_coupon_up() -> None:
    life = ended()
    coupon = Redeemed(id="c", discount=Discount(id="ten", type="percentage", value=Decimal(10)), left=2)
    life.state = life.state.model_copy(update={"coupons": (coupon,)})
    assert life.tick("2027-02-01 06:00") == []
    assert life.state.coupons == (coupon,)


def test_a_running_customer_is_not_looked_at_between_its_runs() -> None:
    life = Billing([plan("small", fee("7.00"), use())])
    life.do("subscribe", plan="small")
    life.tick("2027-02-01")
    assert bill(life.state, life.clock)[1] is None
    assert next_due_at(life.state) == at("2027-03-01")
